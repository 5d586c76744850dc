"""Exercises of chapter 6, "Many heads, and what attention costs"."""

import math
import random

import torch

from nextword.exercises.engine import Mistake, compare, exercise


def _tensor(rng: random.Random, *shape: int) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _split(x, H):
    B, T, C = x.shape
    return x.reshape(B, T, H, C // H).transpose(1, 2)


def _split_by_view(x, H):
    B, T, C = x.shape
    return x.reshape(B, H, T, C // H)


def _split_every_nth(x, H):
    B, T, C = x.shape
    return x.reshape(B, T, C // H, H).permute(0, 3, 1, 2)


@exercise("6.1", "Split and stack")
def split(answer, rng):
    """(B, T, C) to (B, H, T, D)."""
    small = torch.arange(1.0, 9.0, dtype=torch.float64).view(1, 2, 4)
    cases = [(small, 2)]
    for B, T, C, H in ((1, 3, 6, 2), (2, 4, 6, 3), (3, 5, 8, 4)):
        cases.append((_tensor(rng, B, T, C), H))
    compare(
        answer,
        _split,
        cases,
        [
            Mistake(
                _split_by_view,
                "The shape is right and the numbers are not: `view` or "
                "`reshape` alone keeps the order in memory, so a head holds "
                "several pieces of one token. Cut the last axis first, then "
                "exchange two axes.",
            ),
            Mistake(
                lambda x, H: _split(x, H).transpose(1, 2),
                "The cut is right, but the result has the shape (B, T, H, D). "
                "Attention works on the last two axes, so tokens and heads "
                "must change places.",
            ),
            Mistake(
                _split_every_nth,
                "A head gets every H-th number of a token. It should get D "
                "neighbouring numbers: cut the last axis into (H, D), not "
                "into (D, H).",
            ),
            Mistake(
                lambda x, H: _split(x, H).transpose(2, 3),
                "The last two axes are exchanged: the result has the shape "
                "(B, H, D, T). Each row should be a token.",
            ),
            Mistake(
                lambda x, H: _split(x, x.shape[-1] // H),
                "You cut each token into D pieces of H numbers. Cut it into H "
                "pieces of D numbers.",
            ),
        ],
    )


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _merge_by_reshape(x):
    B, H, T, D = x.shape
    return x.reshape(B, T, H * D)


def _hide(scores, real, number=-torch.inf):
    return scores.masked_fill(~real[:, None, None, :], number)


def _cross(
    root="D",
    split=_split,
    merge=_merge,
    hide=_hide,
    axis=-1,
    after=False,
    sources="xmm",
    out=True,
    transposed=False,
):
    """Cross-attention as a learner may write it, with one thing wrong."""

    def answer(x, memory, real, Q, K, V, W_O, H):
        if transposed:
            Q, K, V, W_O = Q.T, K.T, V.T, W_O.T
        from_ = {"x": x, "m": memory}
        q, k, v = (
            split(from_[source] @ W, H)
            for source, W in zip(sources, (Q, K, V), strict=True)
        )
        C, D = x.shape[-1], x.shape[-1] // H
        divisor = {"D": D**0.5, "C": C**0.5, "size": D, "none": 1.0}[root]
        scores = q @ k.transpose(-2, -1) / divisor
        if after:
            weights = _hide(scores.softmax(-1), real, 0.0)
        else:
            weights = hide(scores, real).softmax(axis)
        merged = merge(weights @ v)
        return merged @ W_O if out else merged

    return answer


def _padded(rng, B, S):
    """Bool (B, S): each row has one real token or more, and one padding."""
    rows = []
    for _ in range(B):
        length = rng.randrange(1, S)
        row = [True] * length + [False] * (S - length)
        rows.append(row if rng.random() < 0.5 else row[::-1])
    rows[0] = [True] * (S - 1) + [False]  # two visible keys where S allows it
    return torch.tensor(rows)


@exercise("6.2", "Cross-attention with heads")
def cross_attention(answer, rng):
    """Tokens x look at memory with H heads; nobody looks at padding."""
    cases = []
    for B, T, S, C, H in (
        (1, 2, 2, 4, 2),
        (1, 3, 3, 4, 2),
        (2, 2, 5, 6, 3),
        (2, 4, 4, 6, 2),
    ):
        x, memory = _tensor(rng, B, T, C), _tensor(rng, B, S, C)
        # Small maps: a softmax of huge scores would look at one token only.
        maps = [_tensor(rng, C, C) / C**0.5 for _ in range(4)]
        cases.append((x, memory, _padded(rng, B, S), *maps, H))
    compare(
        answer,
        _cross(),
        cases,
        [
            Mistake(
                _cross(root="C"),
                "You divide by the root of C, the size of a token. A score is "
                "a sum over the D numbers of one head.",
            ),
            Mistake(
                _cross(root="none"),
                "The scores are not divided by the root of the head size.",
            ),
            Mistake(
                _cross(root="size"),
                "You divide the scores by D. Divide by its root.",
            ),
            Mistake(
                _cross(split=_split_by_view),
                "Your heads are cut by `view` or `reshape` alone: the shape is "
                "right, but a head mixes pieces of different tokens. The cut "
                "needs a transpose.",
            ),
            Mistake(
                _cross(merge=_merge_by_reshape),
                "Your heads are merged without a transpose: the shape is "
                "right, but the vectors mix different tokens.",
            ),
            Mistake(
                _cross(split=_split_by_view, merge=_merge_by_reshape),
                "Both the split and the merge lack their transpose. The two "
                "do not cancel: in between, the heads hold mixed-up tokens.",
            ),
            Mistake(
                _cross(hide=lambda scores, real: _hide(scores, ~real)),
                "Your mask has the opposite meaning: you hide the real tokens "
                "and look at the padding. `real` is true where a token may be "
                "looked at, and `masked_fill` writes where it is true.",
            ),
            Mistake(
                _cross(hide=lambda scores, real: scores),
                "Padding is attended to: `real` has no effect.",
            ),
            Mistake(
                _cross(after=True),
                "You mask after the softmax, so the weights no longer sum to "
                "1. Mask the scores.",
            ),
            Mistake(
                _cross(hide=lambda scores, real: _hide(scores, real, 0.0)),
                "You set the scores of padding to 0. That is a score like any "
                "other, so padding still receives weight.",
            ),
            Mistake(
                _cross(
                    hide=lambda scores, real: scores.masked_fill(
                        ~real[:, None, :, None], torch.finfo(scores.dtype).min
                    )
                ),
                "Your mask stands on the axis of the tokens that look. `real` "
                "is about those that are looked at: the last axis.",
            ),
            Mistake(
                _cross(
                    hide=lambda scores, real: _hide(scores, real, -1e9), axis=-2
                ),
                "Your softmax runs over the tokens that look. Each of them "
                "shares its weight among the memory: the last axis.",
            ),
            Mistake(
                _cross(axis=-2),
                "Your result is NaN: along the axis of your softmax, all "
                "scores of a padding token are -inf. The softmax runs over the "
                "memory, the last axis.",
            ),
            Mistake(
                _cross(
                    hide=lambda scores, real: _hide(scores, real, -1e9), axis=1
                ),
                "Your softmax runs over the heads (axis 1). Each head has its "
                "own weights, over the last axis.",
            ),
            Mistake(
                _cross(sources="xxx"),
                "Keys and values come from x, so this is self-attention. In "
                "cross-attention they come from the memory.",
            ),
            Mistake(
                _cross(sources="xmx"),
                "The values come from x. What is passed on must come from "
                "where the keys come from: the memory.",
            ),
            Mistake(
                _cross(sources="xxm"),
                "The keys come from x. They must come from the memory, as the "
                "values do.",
            ),
            Mistake(
                _cross(sources="mxx"),
                "The roles are exchanged: in your function the memory looks at "
                "x. Queries come from x, keys and values from the memory.",
            ),
            Mistake(
                _cross(out=False),
                "The last step of (6.1) is missing: mix the merged heads by "
                "W_O.",
            ),
            Mistake(
                _cross(transposed=True),
                "You multiply by the transposed matrices, as `nn.Linear` does. "
                "Here they stand on the right as they are: x @ W_Q.",
            ),
        ],
    )


@exercise("6.3", "Count the operations")
def cross_multiply_adds(answer, rng):
    """2 T C^2 + 2 S C^2 + 2 T S C."""
    cases = [(1, 2, 2, 1), (3, 5, 8, 2)]
    for _ in range(2):
        T, S = rng.sample(range(10, 99), 2)
        cases.append((T, S, 8 * rng.randrange(3, 9), rng.choice([2, 4, 8])))

    def right(T, S, C, H):
        return 2 * T * C**2 + 2 * S * C**2 + 2 * T * S * C

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda T, S, C, H: 2 * right(T, S, C, H),
                "This is twice the number. You count multiplications and "
                "additions separately; a multiply-add is one of each.",
            ),
            Mistake(
                lambda T, S, C, H: 4 * T * C**2 + 2 * T**2 * C,
                "This is self-attention over T tokens. Keys and values are "
                "made for S tokens, and there are T times S scores.",
            ),
            Mistake(
                lambda T, S, C, H: 4 * T * C**2 + 2 * T * S * C,
                "The scores are right, but you project only T tokens. Keys "
                "and values are made for the S tokens of the memory.",
            ),
            Mistake(
                lambda T, S, C, H: 4 * S * C**2 + 2 * T * S * C,
                "The scores are right, but you project only S tokens. Queries "
                "and outputs are made for T tokens.",
            ),
            Mistake(
                lambda T, S, C, H: T * C**2 + 3 * S * C**2 + 2 * T * S * C,
                "The output projection works on the tokens that look: T of "
                "them, not S.",
            ),
            Mistake(
                lambda T, S, C, H: T * C**2 + 2 * S * C**2 + 2 * T * S * C,
                "One projection is missing. Do you count the output map W_O?",
            ),
            Mistake(
                lambda T, S, C, H: 2 * T * C**2 + 2 * S * C**2 + T * S * C,
                "One of the two large products is missing: there are the "
                "scores, and there is the mixing of the values.",
            ),
            Mistake(
                lambda T, S, C, H: (
                    2 * T * C**2 + 2 * S * C**2 + 2 * H * T * S * C
                ),
                "You count H times too many operations for the scores and the "
                "mixing. Each head has vectors of C / H numbers only.",
            ),
            Mistake(
                lambda T, S, C, H: (
                    2 * T * C**2 + 2 * S * C**2 + 2 * T * S * C // H
                ),
                "This counts the scores and the mixing of one head only. There "
                "are H heads.",
            ),
            Mistake(
                lambda T, S, C, H: (
                    2 * (T + S) * C * C // H + 2 * T * S * C // H
                ),
                "This is the count of one head only. There are H heads.",
            ),
            Mistake(
                lambda T, S, C, H: 2 * T * C**2 + 2 * S * C**2,
                "You count the projections only. The scores and the mixing are "
                "missing.",
            ),
            Mistake(
                lambda T, S, C, H: 2 * T * S * C,
                "You count the scores and the mixing only. The four "
                "projections are missing.",
            ),
        ],
    )


def _distance(T):
    position = torch.arange(T)
    return position[:, None] - position[None, :]


def _anchored(low=0, extra=0, anchor=True):
    """Distances from ``low`` to below w + ``extra``, and maybe column 0."""

    def answer(T, w):
        distance = _distance(T)
        above = -T if low is None else -w + 1 if low == "-w" else low
        mask = (distance >= above) & (distance < w + extra)
        if anchor:
            mask[:, 0] = True
        return mask

    return answer


@exercise("6.4", "A window with an anchor")
def anchored_window(answer, rng):
    """The window of w positions, and position 0."""
    cases = [(4, 2), (6, 3), (7, 2), (rng.randrange(8, 12), 4)]
    right = _anchored()

    def row(T, w):
        mask = _anchored(anchor=False)(T, w)
        mask[0] = True
        return mask

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                _anchored(extra=1),
                "Your window is off by one: it shows w positions before the "
                "token and the token too. The token itself counts among the w.",
            ),
            Mistake(
                _anchored(extra=-1),
                "Your window is off by one: it is one position too short. The "
                "token itself and w - 1 before it are w positions.",
            ),
            Mistake(
                _anchored(low=1, extra=1),
                "Your tokens cannot see themselves. The window is the token "
                "and the w - 1 before it.",
            ),
            Mistake(
                _anchored(low="-w"),
                "Your window has two sides, so tokens look ahead. Only "
                "distances t - j of 0 and more are allowed.",
            ),
            Mistake(
                _anchored(low=None),
                "Your tokens may look at everything that comes later. The "
                "distance t - j must also be 0 or more.",
            ),
            Mistake(
                lambda T, w: right(T, w).T,
                "Rows and columns are exchanged: rows are the tokens that "
                "look, columns those that are looked at.",
            ),
            Mistake(
                _anchored(anchor=False),
                "The window is right, but the first token is hidden from those "
                "far behind it.",
            ),
            Mistake(
                row,
                "You set row 0: now the first token sees everything, also what "
                "comes later. It should be seen by everyone: column 0.",
            ),
            Mistake(
                lambda T, w: _distance(T) >= 0,
                "This is the causal mask: there is no window. Use w.",
            ),
            Mistake(
                lambda T, w: ~right(T, w),
                "Your mask is true where a position may NOT look. In this "
                "book, true means: may look here.",
            ),
            Mistake(
                lambda T, w: right(T, w).double(),
                "The pattern is right, but these are numbers. A mask is `bool`.",
            ),
            Mistake(
                lambda T, w: right(T, w).long(),
                "The pattern is right, but these are numbers. A mask is `bool`.",
            ),
        ],
    )


def _step(
    new=lambda m, z: torch.maximum(m, z.max()),
    repair=lambda m, n: (m - n).exp(),
    on="so",
    shift=lambda m, n: n,
):
    """One step of the online softmax, with one thing changed."""

    def answer(m, s, o, z, v):
        new_m = new(m, z)
        factor = repair(m, new_m)
        p = (z - shift(m, new_m)).exp()
        s = s * factor if "s" in on else s
        o = o * factor if "o" in on else o
        return new_m, s + p.sum(), o + p @ v

    return answer


@exercise("6.5", "One step of the online softmax")
def add_block(answer, rng):
    """Equation (6.6) for a block of keys; the result is not normalised."""

    def number(x):
        return torch.tensor(float(x), dtype=torch.float64)

    def block(size, D, shift=0.0):
        return _tensor(rng, size) + shift, _tensor(rng, size, D)

    def state(D, m):
        return number(m), number(1 + rng.random()), _tensor(rng, D)

    z, v = block(3, 2)
    later, w = block(2, 2, 1000.0)
    cases = [
        (number(0), number(1), _tensor(rng, 1) * 0 + 30, *_one(0.0, 20.0)),
        (*state(2, z.max() - 1), z, v),
        (*state(2, z.max() + 1), z, v),
        (number(-math.inf), number(0), torch.zeros(2).double(), z, v),
        (*state(2, later.max() - 0.5), later, w),
        (*state(3, -1000.0), *block(4, 3, -1000.0)),
    ]
    right = _step()

    def divided(m, s, o, z, v):
        m, s, o = right(m, s, o, z, v)
        return m, s, o / s

    def late(m, s, o, z, v):
        n, factor = torch.maximum(m, z.max()), (m - z.max().maximum(m)).exp()
        p = (z - n).exp()
        return n, s + p.sum() * factor, o + (p @ v) * factor

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                _step(on=""),
                "The old sums are not repaired. They were computed with the "
                "old maximum: multiply both by e^(m - new m).",
            ),
            Mistake(
                _step(on="o"),
                "The old sum s is not repaired: only o is multiplied by the "
                "factor. Both were computed with the old maximum.",
            ),
            Mistake(
                _step(on="s"),
                "The old output o is not repaired: only s is multiplied by the "
                "factor. Both were computed with the old maximum.",
            ),
            Mistake(
                _step(new=lambda m, z: z.max()),
                "Your new maximum is that of the block alone. If an earlier "
                "score was larger, it must stay.",
            ),
            Mistake(
                _step(repair=lambda m, n: (n - m).exp()),
                "Your factor is upside down: it makes the old sums larger. The "
                "exponent is the old maximum minus the new one.",
            ),
            Mistake(
                late,
                "You multiply the new terms by the factor. They already use "
                "the new maximum; the old sums need the repair.",
            ),
            Mistake(
                _step(shift=lambda m, n: m),
                "Your new terms use the old maximum. Subtract the new one from "
                "the scores, or the powers overflow.",
            ),
            Mistake(
                _step(repair=lambda m, n: 1.0, shift=lambda m, n: 0.0),
                "You never subtract the maximum, and e^1000 is infinite for a "
                "computer.",
            ),
            Mistake(
                divided,
                "You divide o by s in each step. This is done once, after the "
                "last block; a divided o cannot be added to.",
            ),
            Mistake(
                lambda m, s, o, z, v: (m, *right(m, s, o, z, v)[1:]),
                "The sums are right, but you return the old maximum.",
            ),
        ],
    )


def _one(z, v):
    """A block of a single key."""
    return (
        torch.tensor([z], dtype=torch.float64),
        torch.tensor([[v]], dtype=torch.float64),
    )
