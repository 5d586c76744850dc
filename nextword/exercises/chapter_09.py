"""Exercises of chapter 9, "The Transformer"."""

import math
import random

import torch
from torch import nn

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


def _ids(rng: random.Random, B: int, T: int, V: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return torch.randint(V, (B, T), generator=generator)


@exercise("9.1", "From ids to the stream")
def to_stream(answer, rng):
    """sqrt(C) E[ids] + P[:T]."""
    table = torch.tensor([[0.0, 0, 0, 0], [1, 2, 3, 4]], dtype=torch.float64)
    first = torch.tensor([[0.0, 1, 0, 1]], dtype=torch.float64)
    cases = [(torch.tensor([[1]]), table, first)]
    for B, T, V, C, N in ((2, 3, 5, 9, 6), (1, 4, 7, 2, 7), (3, 5, 6, 16, 8)):
        ids = _ids(rng, B, T, V)
        cases.append((ids, _tensor(rng, V, C), _tensor(rng, N, C)))

    def root(E):
        return math.sqrt(E.shape[1])

    def at(ids, P):
        return P[: ids.shape[1]]

    mistakes = {
        "The factor is missing: the embeddings are multiplied by the root of "
        "C.": lambda ids, E, P: E[ids] + at(ids, P),
        "You scale the sum. In (9.1) the root of C belongs to the embedding "
        "alone; the positions keep their size.": lambda ids, E, P: (
            root(E) * (E[ids] + at(ids, P))
        ),
        "You divide by the root of C, as attention does with its scores. Here "
        "the small embeddings are made larger: multiply.": lambda ids, E, P: (
            E[ids] / root(E) + at(ids, P)
        ),
        "You multiply by C. The factor is its square root.": lambda ids, E, P: (
            E.shape[1] * E[ids] + at(ids, P)
        ),
        "You multiply by the root of V, the number of rows. The factor is the "
        "root of C, the size of one row.": lambda ids, E, P: (
            math.sqrt(len(E)) * E[ids] + at(ids, P)
        ),
        "You multiply by the root of T. The factor is the root of C, the last "
        "size of the table.": lambda ids, E, P: (
            math.sqrt(ids.shape[1]) * E[ids] + at(ids, P)
        ),
        "Your positions are added twice. Look for a second sum.": (
            lambda ids, E, P: root(E) * E[ids] + 2 * at(ids, P)
        ),
        "You scale the positions and not the embeddings. It is the other way "
        "round.": lambda ids, E, P: E[ids] + root(E) * at(ids, P),
        "The positions are missing. Without them, the model sees a set of "
        "tokens.": lambda ids, E, P: root(E) * E[ids],
        "You look up the positions by the ids of the tokens. Row t of P "
        "belongs to the place t, whatever stands there.": lambda ids, E, P: (
            root(E) * E[ids] + P[ids]
        ),
        "All your tokens have the same position. Take one row of P for each "
        "place.": lambda ids, E, P: root(E) * E[ids] + P[0],
        "You take the last rows of P. The first token of a sequence has the "
        "position 0.": lambda ids, E, P: root(E) * E[ids] + P[-ids.shape[1] :],
        "Your positions begin at 1. The first token of a sequence takes row 0 "
        "of P.": lambda ids, E, P: root(E) * E[ids] + P[1 : ids.shape[1] + 1],
        "You take as many rows of P as there are sequences. Take one for each "
        "place: the second size of ids.": lambda ids, E, P: (
            root(E) * E[ids] + P[: len(ids)]
        ),
    }
    compare(
        answer,
        lambda ids, E, P: root(E) * E[ids] + at(ids, P),
        cases,
        [Mistake(wrong, message) for message, wrong in mistakes.items()],
    )


@exercise("9.2", "What the decoder reads")
def shift_right(answer, rng):
    """A start token, and the labels without the last one."""
    cases = [(torch.tensor([[5, 6, 7]]), 0)]
    for B, T in ((2, 4), (3, 3), (2, 6)):
        labels = torch.tensor(
            [rng.sample(range(10, 90), T) for _ in range(B)]
        )  # all different, so that no shift goes unseen
        cases.append((labels, rng.randrange(1, 10)))

    def start(labels, id, rows=1):
        return torch.full_like(labels[:, :rows], id)

    def right(labels, id):
        return torch.cat([start(labels, id), labels[:, :-1]], dim=1)

    mistakes = {
        "Your targets are not shifted: position t reads the very label that "
        "it has to write. The loss would fall to 0, and the model could not "
        "write a word.": lambda labels, id: labels,
        "You shift to the left: position t reads label t + 1, which is the "
        "future. Put the start token in front.": lambda labels, id: torch.cat(
            [labels[:, 1:], start(labels, id)], dim=1
        ),
        "You roll the labels, so the last one comes back at the front. The "
        "first place holds the start token.": lambda labels, id: labels.roll(
            1, dims=1
        ),
        "The result is one token too long. The last label is written, but "
        "never read: leave it out.": lambda labels, id: torch.cat(
            [start(labels, id), labels], dim=1
        ),
        "You put the start token over the first label, and all others stay "
        "in their place: they must move to the right.": lambda labels, id: (
            torch.cat([start(labels, id), labels[:, 1:]], dim=1)
        ),
        "The start token is missing: nothing stands in front, so the result "
        "is one token too short.": lambda labels, id: labels[:, :-1],
        "You shift by two places. Position t reads label t - 1.": (
            lambda labels, id: torch.cat(
                [start(labels, id, 2), labels[:, :-2]], dim=1
            )
        ),
        "Your start token is always 0. Use start_id.": lambda labels, id: right(
            labels, 0
        ),
        "You repeat the first label instead of a start token, so position 0 "
        "reads what it has to write.": lambda labels, id: torch.cat(
            [labels[:, :1], labels[:, :-1]], dim=1
        ),
        "You shift along the batch: each sequence reads another one. Shift "
        "along the last axis, time.": lambda labels, id: torch.cat(
            [torch.full_like(labels[:1], id), labels[:-1]]
        ),
        "Your start token stands at the end. It stands in front, and the "
        "labels follow it.": lambda labels, id: torch.cat(
            [labels[:, :-1], start(labels, id)], dim=1
        ),
        "You roll the labels to the left. They move to the right, and a start "
        "token stands in front.": lambda labels, id: torch.cat(
            [labels[:, 1:], labels[:, :1]], dim=1
        ),
    }
    compare(
        answer,
        right,
        cases,
        [Mistake(wrong, message) for message, wrong in mistakes.items()],
    )


def _count(V, T, C, L, d_ff, tied, **other):
    """Parameters of GPT; ``other`` replaces one part of the sum."""
    parts = {
        "attention": 4 * (C * C + C),
        "feed_forward": 2 * C * d_ff + d_ff + C,
        "norms": 4 * C,
        "final": 2 * C,
        "positions": T * C,
        "head": 0 if tied else V * C,
        "layers": L,
    } | other
    layer = parts["attention"] + parts["feed_forward"] + parts["norms"]
    ends = parts["final"] + parts["positions"] + parts["head"]
    return V * C + parts["layers"] * layer + ends


@exercise("9.3", "Count before you build")
def count_parameters(answer, rng):
    """Equation (9.8) with any d_ff, and with a head of its own."""
    cases = [(10, 4, 2, 1, 8, True)]
    for tied in (True, False, True, False):
        C, L = rng.randrange(8, 60), rng.randrange(2, 12)
        V, T = rng.randrange(200, 900), rng.randrange(10, 90)
        cases.append((V, T, C, L, 5 * C + rng.randrange(1, 9), tied))

    def but(change):
        return lambda V, T, C, L, d_ff, tied: _count(
            V, T, C, L, d_ff, tied, **change(V, T, C, L, d_ff, tied)
        )

    changes = {
        "You count the tied head twice. With `tied`, the output uses the table "
        "that is already counted.": lambda V, T, C, L, f, tied: {"head": V * C},
        "You never count the head. Without `tied`, the output has a table of "
        "its own.": lambda V, T, C, L, f, tied: {"head": 0},
        "You use `tied` the wrong way round: a tied head costs nothing.": (
            lambda V, T, C, L, f, tied: {"head": V * C if tied else 0}
        ),
        "The head has no bias here: its table is all.": (
            lambda V, T, C, L, f, tied: {"head": 0 if tied else V * C + V}
        ),
        "All biases of the linear layers are missing: 4 C in attention, and "
        "d_ff + C in the feed-forward network.": lambda V, T, C, L, f, tied: {
            "attention": 4 * C * C,
            "feed_forward": 2 * C * f,
        },
        "The biases of attention are missing: each of its four maps has C.": (
            lambda V, T, C, L, f, tied: {"attention": 4 * C * C}
        ),
        "The biases of the feed-forward network are missing: d_ff in the "
        "first layer, C in the second.": lambda V, T, C, L, f, tied: {
            "feed_forward": 2 * C * f
        },
        "The two biases of the feed-forward network have different lengths: "
        "d_ff and C.": lambda V, T, C, L, f, tied: {
            "feed_forward": 2 * C * f + 2 * C
        },
        "Both biases of your feed-forward network have d_ff numbers. The "
        "second one has as many as its output, C.": (
            lambda V, T, C, L, f, tied: {"feed_forward": 2 * C * f + 2 * f}
        ),
        "Attention has four maps. Is the one after the heads missing?": (
            lambda V, T, C, L, f, tied: {"attention": 3 * (C * C + C)}
        ),
        "The feed-forward network has two matrices, up and down. You count "
        "one.": lambda V, T, C, L, f, tied: {"feed_forward": C * f + f + C},
        "You take 4 C for the inner size. Here it is free: use d_ff.": (
            lambda V, T, C, L, f, tied: {"feed_forward": 8 * C * C + 5 * C}
        ),
        "All norms are missing: two in each layer and one at the end, with a "
        "gain and a bias each.": lambda V, T, C, L, f, tied: {
            "norms": 0,
            "final": 0,
        },
        "The norms inside the layers are missing: two in each layer.": (
            lambda V, T, C, L, f, tied: {"norms": 0}
        ),
        "The final norm is missing: a pre-norm model has one after the last "
        "layer.": lambda V, T, C, L, f, tied: {"final": 0},
        "You count one norm in each layer. There are two, one for each "
        "sublayer.": lambda V, T, C, L, f, tied: {"norms": 2 * C},
        "Your norms have a gain and no bias. They have both: 2 C.": (
            lambda V, T, C, L, f, tied: {"norms": 2 * C, "final": C}
        ),
        "You count a final norm for each layer. There is one, at the end.": (
            lambda V, T, C, L, f, tied: {"final": 2 * C * L}
        ),
        "You count three norms in each layer. The third one belongs to "
        "cross-attention, which GPT does not have.": (
            lambda V, T, C, L, f, tied: {"norms": 6 * C}
        ),
        "This is a decoder layer with cross-attention, 16 C C + 19 C. A layer "
        "of GPT has one attention.": lambda V, T, C, L, f, tied: {
            "attention": 8 * (C * C + C),
            "norms": 6 * C,
        },
        "You count the positions in each layer. There is one table, before the "
        "first layer.": lambda V, T, C, L, f, tied: {"positions": L * T * C},
        "You count one layer. There are L of them.": (
            lambda V, T, C, L, f, tied: {"layers": 1}
        ),
        "The table of positions is missing: T rows of C.": (
            lambda V, T, C, L, f, tied: {"positions": 0}
        ),
    }
    compare(
        answer,
        _count,
        cases,
        [Mistake(but(change), message) for message, change in changes.items()],
    )


@exercise("9.4", "Tie the weights")
def tie(answer, rng):
    """One parameter in both modules; judged by what they hold afterwards."""
    if answer is None or answer is ...:
        raise Unsolved
    if not callable(answer):
        raise Wrong("check needs the function itself, without parentheses.")
    for V, C in ((5, 2), (rng.randrange(8, 20), rng.randrange(3, 7))):
        tokens = nn.Embedding(V, C).double()
        head = nn.Linear(C, V, bias=False).double()
        tokens.weight.data = _tensor(rng, V, C)
        head.weight.data = _tensor(rng, V, C)
        table, own = tokens.weight.detach().clone(), head.weight.detach()
        own = own.clone()
        try:
            result = answer(tokens, head)
        except Exception as error:
            raise Wrong(
                f"tie raised {type(error).__name__}: {error}."
            ) from None
        if result is ...:
            raise Unsolved
        _judge_tie(tokens, head, result, table, own)


def _judge_tie(tokens, head, result, table, own):
    if result is None:
        raise Wrong("tie returned None. Return head.")
    if result is not head:
        raise Wrong(
            f"tie returned {show(result)}, which is not the head it was "
            "given. Change the weights of head, and return it."
        )
    for name, module in {"tokens": tokens, "head": head}.items():
        if not isinstance(getattr(module, "weight", None), nn.Parameter):
            raise Wrong(
                f"{name} has no weight any more. Both modules need one, and "
                "it is the same for both."
            )
    if not torch.equal(tokens.weight, table):
        raise Wrong(
            "You changed the table of tokens. It should stay, and the head "
            "should use it: assign in the other direction."
        )
    if head.weight.shape != table.shape:
        raise Wrong(
            f"The weights of head now have the shape {tuple(head.weight.shape)}"
            ". nn.Linear keeps (V, C) and multiplies by the transpose itself, "
            "so no transpose is needed."
        )
    if torch.equal(head.weight, own):
        raise Wrong(
            "The head still has its own numbers. Which attribute of the module "
            "holds its parameter?"
        )
    if not torch.equal(head.weight, table):
        raise Wrong(
            "The head does not hold the table of tokens. No sum, no mean and "
            "no scaling: the same tensor."
        )
    if head.weight is tokens.weight:
        return
    if head.weight.data_ptr() == tokens.weight.data_ptr():
        raise Wrong(
            "Two parameters share one memory. The numbers agree, but each "
            "parameter has a gradient of its own, and an optimizer would step "
            "twice. Assign the parameter itself, not its data."
        )
    raise Wrong(
        "The head holds a copy: equal numbers, but another tensor. After one "
        "step of training the two would differ. Assign the parameter itself."
    )


class _Part:
    """A function of a decoder layer, which a message shows by its name."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, *args):
        return self.function(*args)

    def __repr__(self):
        return self.name

    def __deepcopy__(self, memo):
        return self


def _parts(rng, C):
    """Random functions with the interface of exercise 9.5."""

    def attention(name):
        W = [_tensor(rng, C, C) for _ in range(3)]

        def look(queries, keys, mask=None):
            q, k, v = queries @ W[0], keys @ W[1], keys @ W[2]
            z = q @ k.transpose(-2, -1) / math.sqrt(C)
            if mask is None:
                return z.softmax(-1) @ v
            z = z.masked_fill(~mask, torch.finfo(z.dtype).min)
            return z.softmax(-1).masked_fill(~mask, 0.0) @ v

        return _Part(name, look)

    def norm(name):
        gain, bias = 1 + _tensor(rng, C, scale=0.3), _tensor(rng, C, scale=0.3)

        def apply(x):
            centred = x - x.mean(-1, keepdim=True)
            scale = centred.square().mean(-1, keepdim=True).add(1e-5).sqrt()
            return centred / scale * gain + bias

        return _Part(name, apply)

    up, down = _tensor(rng, C, 2 * C), _tensor(rng, 2 * C, C)
    return {
        "attention": attention("attention"),
        "cross_attention": attention("cross_attention"),
        "feed_forward": _Part("feed_forward", lambda x: (x @ up).relu() @ down),
        "norms": [norm(f"norm{i}") for i in (1, 2, 3)],
    }


def _causal(x):
    T = x.shape[1]
    return torch.ones(T, T, dtype=torch.bool, device=x.device).tril()


def _decode(x, memory, real, parts, **other):
    """Equation (9.3); ``other`` replaces one of its steps."""
    step = {
        "norms": parts["norms"],
        "self": lambda x: parts["attention"](x, x, _causal(x)),
        "cross": lambda h: parts["cross_attention"](
            h, memory, real[:, None, :]
        ),
        "feed": parts["feed_forward"],
        "add": (True, True, True),
        "wrap": lambda x, f, norm, add: f(norm(x)) + (x if add else 0),
        "order": (0, 1, 2),
        "after": lambda x: x,
    } | other
    sublayers = (step["self"], step["cross"], step["feed"])
    for i in step["order"]:
        x = step["wrap"](x, sublayers[i], step["norms"][i], step["add"][i])
    return step["after"](x)


def _decode_in_parallel(x, memory, real, parts):
    alone = [_decode(x, memory, real, parts, order=(i,)) for i in range(3)]
    return sum(alone) - 2 * x


def _decode_mistakes():
    """(message, what to replace in `_decode`) for every classic mistake."""

    def self_with(mask):
        return lambda m, r, p: {
            "self": lambda x: p["attention"](x, x, mask(_causal(x)))
        }

    def cross_with(mask):
        return lambda m, r, p: {
            "cross": lambda h: p["cross_attention"](h, m, mask(r, h))
        }

    yield (
        "The causal mask is forgotten: each target token sees the tokens that "
        "it has to predict.",
        self_with(lambda mask: None),
    )
    future = (
        "Your target tokens look at what comes after them. True means: may "
        "look here; `causal_mask` already says it."
    )
    yield future, self_with(lambda mask: ~mask)
    yield future, self_with(lambda mask: mask.T)
    target_keys = (
        "In cross-attention, your keys and values come from the target. They "
        "come from the memory, or the decoder never sees the source."
    )
    for mask in (lambda r, h: None, lambda r, h: _causal(h)):
        yield (
            target_keys,
            lambda m, r, p, mask=mask: {
                "cross": lambda h: p["cross_attention"](h, h, mask(r, h))
            },
        )
    yield (
        target_keys,
        lambda m, r, p: {
            "cross": lambda h: p["cross_attention"](h, h, r[:, None, :])
        },
    )
    yield (
        "In cross-attention, your queries come from the memory. The target "
        "asks, and the source answers.",
        lambda m, r, p: {"cross": lambda h: p["cross_attention"](m, h, None)},
    )
    yield (
        "`real` does not reach cross-attention, so the target looks at "
        "padding. The encoder's mask is needed here a second time.",
        cross_with(lambda r, h: None),
    )
    yield (
        "The mask of padding is inverted: your target looks at padding and at "
        "nothing else. True means: may look here.",
        cross_with(lambda r, h: ~r[:, None, :]),
    )
    axis = (
        "The axis of `real` is at the wrong place. The mask fits (B, T, S): "
        "the source tokens stand last, and the new axis is in the middle."
    )
    yield axis, cross_with(lambda r, h: r[:, :, None])
    yield axis, cross_with(lambda r, h: r)
    yield (
        "You use the causal mask in cross-attention. The whole source is known "
        "before the first word is written: only padding is hidden.",
        cross_with(lambda r, h: _causal(h)),
    )
    yield (
        "You normalise the memory. It comes from the encoder, which has "
        "already done it; norm 2 is for the target.",
        lambda m, r, p: {
            "cross": lambda h: p["cross_attention"](
                h, p["norms"][1](m), r[:, None, :]
            )
        },
    )
    overwritten = "The residual is overwritten: {} replaces x. Add it to x."
    names = ("attention", "cross-attention", "the feed-forward network")
    for i, name in enumerate(names):
        add = tuple(j != i for j in range(3))
        yield overwritten.format(name), lambda m, r, p, a=add: {"add": a}
    yield (
        "Every residual is overwritten: each sublayer replaces x. Add its "
        "result to x.",
        lambda m, r, p: {"add": (False,) * 3},
    )
    yield (
        "You add to the normalised vectors. The stream itself stays as it is: "
        "x + f(norm(x)).",
        lambda m, r, p: {"wrap": lambda x, f, norm, add: norm(x) + f(norm(x))},
    )
    yield (
        "This is post-norm: norm(x + f(x)). Exercise and equation (9.3) are "
        "pre-norm: x + f(norm(x)).",
        lambda m, r, p: {"wrap": lambda x, f, norm, add: norm(x + f(x))},
    )
    yield (
        "The norms are missing. Each sublayer reads the stream through its "
        "own norm.",
        lambda m, r, p: {"norms": [lambda x: x] * 3},
    )
    names = ("Attention", "Cross-attention", "The feed-forward network")
    for i, name in enumerate(names):
        yield (
            f"{name} reads the stream without its norm. Each sublayer has one, "
            "in the order of (9.3).",
            lambda m, r, p, i=i: {
                "norms": [
                    norm if i != j else lambda x: x
                    for j, norm in enumerate(p["norms"])
                ]
            },
        )
    yield (
        "Your norms are in the wrong order. The first one belongs to "
        "attention, the last one to the feed-forward network.",
        lambda m, r, p: {"norms": p["norms"][::-1]},
    )
    yield (
        "You normalise the result. The layer ends with a sum; the norm after "
        "the last layer is not a part of it.",
        lambda m, r, p: {"after": p["norms"][2]},
    )
    yield (
        "Your keys and values of the first attention come from the stream "
        "without the norm. Normalise once, and pass the result twice.",
        lambda m, r, p: {
            "wrap": lambda x, f, norm, add: (
                x + p["attention"](norm(x), x, _causal(x))
                if norm is p["norms"][0]
                else x + f(norm(x))
            )
        },
    )
    yield (
        "You use the first norm three times. Each sublayer has its own.",
        lambda m, r, p: {"norms": [p["norms"][0]] * 3},
    )
    yield (
        "Cross-attention comes before attention. In (9.3), a target token "
        "first looks at the target.",
        lambda m, r, p: {"order": (1, 0, 2)},
    )
    yield (
        "You use the same attention twice. Cross-attention has its own "
        "weights.",
        lambda m, r, p: {
            "cross": lambda h: p["attention"](h, m, r[:, None, :])
        },
    )
    missing = "{} is missing."
    for order, name in (
        ((1, 2), "Attention to the target itself"),
        ((0, 2), "Cross-attention"),
        ((0, 1), "The feed-forward network"),
    ):
        yield missing.format(name), lambda m, r, p, o=order: {"order": o}


@exercise("9.5", "A decoder layer")
def decode_step(answer, rng):
    """Three sublayers, two masks, one memory."""
    cases = []
    for B, T, S, C in ((1, 2, 2, 3), (2, 4, 4, 4), (2, 3, 5, 4)):
        real = torch.ones(B, S, dtype=torch.bool)
        for row in real:
            # One real place alone would be looked at whatever the query is.
            row[rng.randrange(min(2, S - 1), S) :] = False
        x, memory = _tensor(rng, B, T, C), _tensor(rng, B, S, C)
        cases.append((x, memory, real, _parts(rng, C)))

    def behave(change):
        return lambda x, memory, real, parts: _decode(
            x, memory, real, parts, **change(memory, real, parts)
        )

    compare(
        answer,
        _decode,
        cases,
        [
            Mistake(behave(change), message)
            for message, change in _decode_mistakes()
        ]
        + [
            Mistake(
                _decode_in_parallel,
                "All your sublayers read the same x. Each one reads the sum "
                "that the one before it has left.",
            )
        ],
    )
