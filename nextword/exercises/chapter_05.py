"""Exercises of chapter 5, "Self-attention"."""

import math
import random

import torch

from nextword.exercises.engine import (
    Mistake,
    Unsolved,
    Wrong,
    compare,
    exercise,
    show,
)


def _tensor(
    rng: random.Random, *shape: int, scale: float = 1.0
) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def _attend(q, k, v, divisor):
    return torch.softmax(q @ k.transpose(-2, -1) / divisor, dim=-1) @ v


@exercise("5.1", "Self-attention from x")
def self_attention(answer, rng):
    """softmax(x W_Q (x W_K)^T / sqrt(D)) x W_V, for a batch."""
    sizes = [(1, 1, 2, 2), (1, 3, 4, 2), (2, 5, 6, 3), (3, 4, 5, 5)]
    cases = [
        (_tensor(rng, B, T, C), *[_tensor(rng, C, D) for _ in range(3)])
        for B, T, C, D in sizes
    ]

    def by(rule):
        return lambda x, Q, K, V: rule(x @ Q, x @ K, x @ V)

    def root(q):
        return math.sqrt(q.shape[-1])

    compare(
        answer,
        by(lambda q, k, v: _attend(q, k, v, root(q))),
        cases,
        [
            Mistake(
                by(lambda q, k, v: _attend(q, k, v, 1.0)),
                "The division by the root of D is missing: see equation (5.6).",
            ),
            Mistake(
                by(lambda q, k, v: _attend(q, k, v, q.shape[-1])),
                "You divide the scores by D. Their standard deviation is the "
                "root of D, and this is the divisor of equation (5.6).",
            ),
            Mistake(
                lambda x, Q, K, V: _attend(x @ Q, x @ K, x @ V, root(x)),
                "You divide by the root of C, the size of x. The scores are "
                "sums over D products: use the size of a query.",
            ),
            Mistake(
                by(lambda q, k, v: _attend(q, k, v, math.sqrt(q.shape[-2]))),
                "You divide by the root of T, the number of tokens. The scores "
                "are sums over D products: use the size of a query.",
            ),
            Mistake(
                by(lambda q, k, v: _attend(q, k, v, 1 / root(q))),
                "You multiply the scores by the root of D. Divide by it.",
            ),
            Mistake(
                by(
                    lambda q, k, v: (
                        torch.softmax(q @ k.transpose(-2, -1) / root(q), dim=-2)
                        @ v
                    )
                ),
                "Your softmax runs over the queries, so the columns of the "
                "weights sum to 1. Each query shares its weight among the keys: "
                "the last axis.",
            ),
            Mistake(
                by(
                    lambda q, k, v: (
                        torch.softmax(q @ k.transpose(-2, -1) / root(q), dim=0)
                        @ v
                    )
                ),
                "Your softmax runs over the batch (axis 0). The keys stand on "
                "the last axis of the scores.",
            ),
            Mistake(
                by(lambda q, k, v: q @ k.transpose(-2, -1) / root(q) @ v),
                "The softmax is missing: you multiply the values by the scores "
                "themselves.",
            ),
            Mistake(
                by(
                    lambda q, k, v: (
                        torch.softmax(q @ k.transpose(-2, -1), dim=-1)
                        / root(q)
                        @ v
                    )
                ),
                "You divide the weights by the root of D. Divide the scores, "
                "before the softmax; the weights must sum to 1.",
            ),
            Mistake(
                by(
                    lambda q, k, v: (
                        (q @ k.transpose(-2, -1) / root(q)).exp() @ v
                    )
                ),
                "You take powers of e, but do not divide them by their sum. "
                "The weights of each row must sum to 1.",
            ),
            Mistake(
                by(lambda q, k, v: _attend(k, q, v, root(q))),
                "Queries and keys are exchanged: row t of the scores must be "
                "the query of token t with all keys.",
            ),
            Mistake(
                lambda x, Q, K, V: _attend(x @ Q, x @ K, x, root(x @ Q)),
                "You take the weighted mean of x. Take it of the values x W_V.",
            ),
            Mistake(
                by(lambda q, k, v: _attend(q, k, k, root(q))),
                "You take the weighted mean of the keys. Take it of the values.",
            ),
            Mistake(
                by(
                    lambda q, k, v: torch.softmax(
                        q @ k.transpose(-2, -1) / root(q), dim=-1
                    )
                ),
                "These are the weights. They must still be multiplied by the "
                "values.",
            ),
        ],
    )


def _position(ids):
    return torch.arange(ids.shape[1])


def _until(ids, shift=0):
    """True at (t, j) if j is at most t + shift."""
    at = _position(ids)
    return at[None, :] <= at[:, None] + shift


@exercise("5.2", "Who may look where")
def who_may_look(answer, rng):
    """Causal and padding mask in one, bool (B, T, T)."""

    def padded(T, lengths, pad, left=False):
        rows = []
        for length in lengths:
            real = [rng.randrange(1, 50) for _ in range(length)]
            fill = [pad] * (T - length)
            rows.append(fill + real if left else real + fill)
        return torch.tensor(rows)

    cases = [
        (torch.tensor([[7, 0]]), 0),
        (padded(4, [4, 2], 0), 0),
        (padded(5, [3, 5, 1], 99), 99),
        (padded(4, [2, 3], 99, left=True), 99),
    ]

    def real(ids, pad):
        return (ids != pad)[:, None, :]

    def right(ids, pad):
        return _until(ids) & real(ids, pad)

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda ids, pad: _until(ids, 1) & real(ids, pad),
                "Your mask is off by one: token t may look at token t + 1, "
                "which is the very token it has to predict.",
            ),
            Mistake(
                lambda ids, pad: _until(ids, -1) & real(ids, pad),
                "Your mask is off by one: a token may not look at itself. It "
                "may, since it has to predict the token after it.",
            ),
            Mistake(
                lambda ids, pad: _until(ids).T & real(ids, pad),
                "Your tokens look at what comes after them. Rows are the "
                "tokens that look: the lower triangle is true, not the upper.",
            ),
            Mistake(
                lambda ids, pad: right(ids, pad).double(),
                "The pattern is right, but these are floats. A mask is `bool`: "
                "a mask of zeros and ones could be added to the scores, and "
                "would hide nothing.",
            ),
            Mistake(
                lambda ids, pad: right(ids, pad).float(),
                "The pattern is right, but these are floats. A mask is `bool`: "
                "a mask of zeros and ones could be added to the scores, and "
                "would hide nothing.",
            ),
            Mistake(
                lambda ids, pad: ~right(ids, pad),
                "Your mask is true where a token may NOT look. In this book, "
                "true means: may look here.",
            ),
            Mistake(
                lambda ids, pad: _until(ids) & ~real(ids, pad),
                "Your tokens may look at the padding and at nothing else. The "
                "comparison with pad_id is the wrong way round.",
            ),
            Mistake(
                lambda ids, pad: _until(ids) & (ids != pad)[:, :, None],
                "Padding is attended to: your padding rule stands on the axis "
                "of the tokens that look. Put it on the last axis, the tokens "
                "that are looked at.",
            ),
            Mistake(
                lambda ids, pad: right(ids, pad) & (ids != pad)[:, :, None],
                "You also forbid that padding tokens look. Nobody reads their "
                "output, and whole empty rows are what a softmax cannot bear. "
                "The rule is only about who is looked at.",
            ),
            Mistake(
                lambda ids, pad: _until(ids).expand(len(ids), -1, -1),
                "Padding is attended to: only the causal rule is there. Use "
                "pad_id.",
            ),
            Mistake(
                lambda ids, pad: real(ids, pad).expand(-1, ids.shape[1], -1),
                "Tokens may look into the future: only the padding rule is "
                "there. Combine it with the causal one by `&`.",
            ),
            Mistake(
                lambda ids, pad: _until(ids) | real(ids, pad),
                "You combine the two rules by 'or'. Both must hold: use `&`.",
            ),
            Mistake(
                lambda ids, pad: _until(ids) & real(ids, 0),
                "Your function takes 0 as the padding token. Use pad_id.",
            ),
        ],
    )


_EMPTY_ROW = (
    "Right, except for rows where nothing is true: they become NaN, which is "
    "0 / 0. They should be all 0. Look at the recipe before `check_attention`."
)


@exercise("5.3", "A softmax with a mask")
def masked_softmax(answer, rng):
    """Softmax over what the mask shows; empty rows are 0."""
    some = torch.tensor([[1.0, 1.0, 5.0]], dtype=torch.float64)
    shown = torch.tensor([[True, True, False]])

    def case(T, S, shift=0.0):
        scores = _tensor(rng, T, S, scale=2.0) + shift
        mask = torch.tensor([[rng.random() < 0.6 for _ in range(S)]] * T)
        for t in range(T):  # every row hides one key and shows two
            order = rng.sample(range(S), S)
            mask[t, order[0]] = False
            mask[t, order[1]] = mask[t, order[2]] = True
        return scores, mask

    empty = case(3, 4)
    empty[1][1] = False
    cases = [(some, shown), case(2, 4), case(3, 3), empty, case(2, 5, 1000.0)]

    def fill(number):
        return lambda scores, mask: scores.masked_fill(~mask, number).softmax(
            -1
        )

    def right(scores, mask):
        return fill(torch.finfo(scores.dtype).min)(scores, mask).masked_fill(
            ~mask, 0.0
        )

    def naive(scores, mask):
        powers = scores.exp() * mask
        return powers / powers.sum(-1, keepdim=True)

    def chosen(scores, mask):
        powers = scores.exp().masked_fill(~mask, 0.0)
        return powers / powers.sum(-1, keepdim=True)

    compare(
        answer,
        right,
        cases,
        [
            Mistake(fill(-torch.inf), _EMPTY_ROW),
            Mistake(
                lambda scores, mask: scores.softmax(-1) * mask,
                "You mask after the softmax. The rows no longer sum to 1, and "
                "the hidden scores still act through the denominator. Mask the "
                "scores first.",
            ),
            Mistake(
                fill(0.0),
                "You set hidden scores to 0. But 0 is a score like any other: "
                "its power is 1, so it still receives weight. Which score "
                "has a power of 0?",
            ),
            Mistake(
                lambda scores, mask: fill(0.0)(scores, mask) * mask,
                "You set hidden scores to 0, and their weights afterwards. In "
                "between, each of them has added 1 to the sum, so the rows sum "
                "to less than 1. Which score has a power of 0?",
            ),
            Mistake(
                fill(torch.finfo(torch.float64).min),
                "Right, except for rows where nothing is true: there, all "
                "weights are equal, and the row looks at exactly what is "
                "hidden. Such a row should be all 0.",
            ),
            Mistake(
                lambda scores, mask: (scores + (~mask).double() * -1e9).softmax(
                    -1
                ),
                "Right, except for rows where nothing is true: adding the same "
                "large number to all scores changes nothing, and the row looks "
                "at exactly what is hidden. Such a row should be all 0.",
            ),
            Mistake(
                lambda scores, mask: (
                    scores.masked_fill(mask, torch.finfo(scores.dtype).min)
                    .softmax(-1)
                    .masked_fill(mask, 0.0)
                ),
                "Your mask is inverted: you hide the entries where it is true. "
                "True means: may look here.",
            ),
            Mistake(
                lambda scores, mask: scores.masked_fill(
                    mask, -torch.inf
                ).softmax(-1),
                "Your mask is inverted: you hide the entries where it is true. "
                "True means: may look here.",
            ),
            Mistake(
                lambda scores, mask: (
                    scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
                    .softmax(0)
                    .masked_fill(~mask, 0.0)
                ),
                "Your softmax runs over the rows (axis 0). The keys stand on "
                "the last axis.",
            ),
            Mistake(
                lambda scores, mask: scores.masked_fill(
                    ~mask, -torch.inf
                ).softmax(0),
                "Your softmax runs over the rows (axis 0). The keys stand on "
                "the last axis.",
            ),
            Mistake(
                naive,
                "The formula is right, but exp(1000) is infinite for a "
                "computer, and an empty row gives 0 / 0. Use `torch.softmax`, "
                "which shifts the scores first, on masked scores.",
            ),
            Mistake(
                chosen,
                "The formula is right, but exp(1000) is infinite for a "
                "computer, and an empty row gives 0 / 0. Use `torch.softmax`, "
                "which shifts the scores first, on masked scores.",
            ),
            Mistake(
                lambda scores, mask: naive(scores, mask).nan_to_num(0.0),
                "The formula is right, but exp(1000) is infinite for a "
                "computer. Use `torch.softmax`, which shifts the scores first.",
            ),
        ],
    )


@exercise("5.4", "Back through the softmax")
def scores_gradient(answer, rng):
    """A * (dA - rowsum(dA * A))."""
    half = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    cases = [(half, torch.tensor([[1.0, 0.0]], dtype=torch.float64))]
    for T, S in ((2, 3), (4, 4), (3, 5)):
        cases.append((_tensor(rng, T, S).softmax(-1), _tensor(rng, T, S)))

    def right(A, dA):
        return A * (dA - (dA * A).sum(-1, keepdim=True))

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda A, dA: A * (1 - A) * dA,
                "a (1 - a) is only the diagonal of the Jacobian. Raising one "
                "score also lowers all other weights: use all of (5.7).",
            ),
            Mistake(
                lambda A, dA: A * dA,
                "The second term of (5.7) is missing: subtract the weighted "
                "mean of dA in each row first.",
            ),
            Mistake(
                lambda A, dA: A * (dA - (dA * A).sum(0, keepdim=True)),
                "Your sum runs over the queries (axis 0). Each row of A is one "
                "softmax, so the sum runs over the last axis.",
            ),
            Mistake(
                lambda A, dA: A * (dA - (dA * A).sum()),
                "Your sum runs over the whole matrix. Each row has its own "
                "weighted mean: give the sum an axis.",
            ),
            Mistake(
                lambda A, dA: A * (dA - (dA * A).sum(-1)),
                "The sum has lost its axis, so it is subtracted from the "
                "columns, or does not fit. `keepdim=True` keeps it a column.",
            ),
            Mistake(
                lambda A, dA: A * (dA - dA.sum(-1, keepdim=True)),
                "You subtract the sum of dA. Subtract its weighted mean, with "
                "the weights A.",
            ),
            Mistake(
                lambda A, dA: A * (dA - dA.mean(-1, keepdim=True)),
                "You subtract the plain mean of dA. Subtract its weighted "
                "mean, with the weights A.",
            ),
            Mistake(
                lambda A, dA: dA - (dA * A).sum(-1, keepdim=True),
                "The factor A in front is missing: a key without weight "
                "receives no gradient.",
            ),
            Mistake(
                lambda A, dA: dA * A - (dA * A).sum(-1, keepdim=True),
                "The weighted mean must also be multiplied by A. Mind the "
                "parentheses in (5.10).",
            ),
            Mistake(
                lambda A, dA: -right(A, dA),
                "The sign is wrong. Where dA is above the weighted mean, the "
                "gradient is positive.",
            ),
        ],
    )


def _judge_question(maps, N, V, numbers, letters, place):
    """Raise Wrong unless the question for ``numbers[place]`` is answered."""
    one_hot = torch.nn.functional.one_hot
    number = torch.tensor([*numbers, numbers[place]])
    letter = torch.tensor([*letters, V])
    x = torch.cat([one_hot(number, N), one_hot(letter, V + 1)], 1).double()
    W_Q, W_K, W_V = maps
    scores = x[-1] @ W_Q @ (x @ W_K).T / math.sqrt(W_Q.shape[1])
    weights = torch.softmax(scores, dim=-1)
    out = weights @ x @ W_V
    if out.isnan().any():
        raise Wrong(
            "The output is NaN. An infinite weight times 0 is NaN: use large "
            "finite numbers."
        )
    target = one_hot(letter[place], V)
    if (out - target).abs().max() < 0.01:
        return
    others = [j for j in range(len(numbers)) if j != place]
    found = scores[place] > scores[others].max()
    said = f"For N = {N}, V = {V} and {len(numbers)} statements, the question "
    if found and weights[-1] > 0.5 * weights[place]:
        raise Wrong(
            f"{said}looks at itself with the weight {weights[-1]:.2f}: it has "
            "the number it asks for. What can its key, the last row of W_K, "
            "do about it?"
        )
    if weights[place] > 0.99:
        raise Wrong(
            f"{said}looks at the right statement, but what it receives is not "
            "the letter: it should be one-hot. Look at W_V: it has to pick the "
            "letter out of x, and nothing else."
        )
    if found:
        raise Wrong(
            f"{said}looks at the right statement, but with the weight "
            f"{weights[place]:.2f} only. Make the queries longer. Mind that "
            "the scores are divided by the root of D."
        )
    raise Wrong(
        f"{said}gives the weight {weights[place]:.2f} to the right statement "
        f"and {weights.max():.2f} to another token. The score must be largest "
        "where the numbers are equal."
    )


@exercise("5.5", "Set the weights yourself")
def set_weights(answer, rng):
    """Maps with which a question finds its statement; judged by running them."""
    if answer is None or answer is ...:
        raise Unsolved
    if not callable(answer):
        raise Wrong("check needs the function itself, without parentheses.")
    for N, V in ((3, 2), (6, 8), (rng.randrange(40, 60), 5)):
        try:
            maps = answer(N, V)
        except Exception as error:
            raise Wrong(
                f"set_weights({N}, {V}) raised {type(error).__name__}: {error}."
            ) from None
        if maps is None or maps is ...:
            raise Unsolved
        if (
            not isinstance(maps, tuple | list)
            or len(maps) != 3
            or not all(isinstance(m, torch.Tensor) for m in maps)
        ):
            raise Wrong(
                "Return three tensors, W_Q, W_K and W_V. "
                f"set_weights({N}, {V}) gave {show(maps)}."
            )
        C, shapes = N + V + 1, [tuple(m.shape) for m in maps]
        D = shapes[0][-1] if shapes[0] else 0
        if D < 1 or shapes != [(C, D), (C, D), (C, V)]:
            raise Wrong(
                f"For N = {N} and V = {V}, the shapes should be ({C}, D), "
                f"({C}, D) and ({C}, {V}), but they are {shapes}."
            )
        maps = [m.detach().double() for m in maps]
        for n in (2, N):
            numbers = rng.sample(range(N), n)
            letters = [rng.randrange(V) for _ in range(n)]
            letters[:2] = rng.sample(range(V), 2)  # not all alike
            for place in range(n):
                _judge_question(maps, N, V, numbers, letters, place)
