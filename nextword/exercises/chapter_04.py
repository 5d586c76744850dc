"""Exercises of chapter 4, "Learning: a neural language model"."""

import random

import torch

from nextword.exercises.engine import Mistake, compare, exercise


def _tensor(
    rng: random.Random, *shape: int, scale: float = 2.0
) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


# A result in 32 bits is right too: its type is not what is examined.
_SINGLE = 1e-5


def _targets(rng: random.Random, size: int, V: int) -> torch.Tensor:
    return torch.tensor([rng.randrange(V) for _ in range(size)])


@exercise("4.1", "A softmax that does not overflow")
def stable_softmax(answer, rng):
    """Softmax over the last axis, for scores of any size."""
    large = _tensor(rng, 3, 4)
    large[0] += 1000.0
    large[2] -= 1000.0
    cases = [
        (torch.tensor([0.0, 0.0], dtype=torch.float64),),
        (_tensor(rng, 4),),
        (_tensor(rng, 2, 3),),
        (_tensor(rng, 2, 3, 4),),
        (torch.tensor([1000.0, 1001.0], dtype=torch.float64),),
        (large,),
    ]
    compare(
        answer,
        lambda z: torch.softmax(z, -1),
        cases,
        [
            Mistake(
                lambda z: z.exp() / z.exp().sum(-1, keepdim=True),
                "The formula is right, but exp(1000) is infinite for a computer. "
                "Only differences of scores matter, so shift each row before "
                "you take powers: which shift makes its largest power 1?",
            ),
            Mistake(
                lambda z: (
                    (z - z.max()).exp()
                    / (z - z.max()).exp().sum(-1, keepdim=True)
                ),
                "You subtract the largest score of the whole tensor. A row far "
                "below it becomes 0 / 0. Subtract each row's own maximum.",
            ),
            Mistake(
                lambda z: torch.softmax(z, 0),
                "Your function normalises over the first axis. The words stand "
                "on the last axis.",
            ),
            Mistake(
                lambda z: torch.softmax(z.flatten(), 0).view(z.shape),
                "All entries of your result together sum to 1. Each row along "
                "the last axis must sum to 1. Is a `dim` missing in the sum?",
            ),
            Mistake(
                lambda z: z / z.sum(-1, keepdim=True),
                "You divide the scores by their sum. A score may be negative, "
                "so this gives no probabilities. Take powers of e first.",
            ),
            Mistake(
                lambda z: (z - z.max(-1, keepdim=True).values).exp(),
                "Your values are positive, but they do not sum to 1. The "
                "division by their sum is missing.",
            ),
            Mistake(
                lambda z: torch.log_softmax(z, -1),
                "This is the logarithm of the softmax. Return the "
                "probabilities themselves.",
            ),
        ],
        tolerance=10 * _SINGLE,
    )


@exercise("4.2", "The loss from the logits")
def loss_from_logits(answer, rng):
    """Average cross-entropy in nats, also for large logits."""
    large = _tensor(rng, 4, 5)
    large[:, 0] += 2000.0
    cases = [
        (torch.zeros(1, 2, dtype=torch.float64), torch.tensor([1])),
        (_tensor(rng, 3, 4), _targets(rng, 3, 4)),
        (_tensor(rng, 6, 6), _targets(rng, 6, 6)),
        (large, torch.zeros(4, dtype=torch.long)),
        (large, torch.tensor([0, 1, 2, 4])),
    ]
    loss = torch.nn.functional.cross_entropy

    def every_pair(z, y):
        return -torch.log_softmax(z, 1)[:, y].mean()

    compare(
        answer,
        loss,
        cases,
        [
            Mistake(
                lambda z, y: loss(z, y, reduction="sum"),
                "This is the sum of the losses. Divide it by the number of "
                "predictions, so that batches of any size can be compared.",
            ),
            Mistake(
                lambda z, y: loss(z, y, reduction="none"),
                "You return one loss for each prediction. Return their average.",
            ),
            Mistake(
                lambda z, y: -loss(z, y),
                "The sign is wrong: a loss is never negative, because the "
                "logarithm of a probability is never positive.",
            ),
            Mistake(
                lambda z, y: loss(z, y) / torch.log(torch.tensor(2.0).double()),
                "This is the loss in bits. In nats, the logarithm has base e.",
            ),
            Mistake(
                lambda z, y: (
                    -torch.log(torch.softmax(z, 1)[range(len(y)), y]).mean()
                ),
                "Right for small logits. For large ones a probability rounds to "
                "0, and its logarithm is infinite. Use the second form of "
                "equation (4.2), or `torch.log_softmax`.",
            ),
            Mistake(
                lambda z, y: (
                    torch.log(z.exp().sum(1)) - z[range(len(y)), y]
                ).mean(),
                "Right for small logits, but exp overflows for large ones. "
                "`torch.logsumexp` shifts by the maximum before it takes powers.",
            ),
            Mistake(
                lambda z, y: -z[range(len(y)), y].mean(),
                "You average the negative logits of the right words. The second "
                "term of equation (4.2) is missing: the logarithm of the sum.",
            ),
            Mistake(
                lambda z, y: -torch.log_softmax(z, 0)[range(len(y)), y].mean(),
                "Your softmax runs over the predictions (axis 0). It must run "
                "over the words (axis 1).",
            ),
            Mistake(
                every_pair,
                "`z[:, y]` takes every target in every row, a matrix of shape "
                "(B, B). Row i needs only its own target y[i].",
            ),
            Mistake(
                lambda z, y: -torch.softmax(z, 1)[range(len(y)), y].mean(),
                "This is the average probability of the right words, with a "
                "minus. The logarithm is missing.",
            ),
            Mistake(
                lambda z, y: -torch.log_softmax(z, 1).mean(),
                "You average over all words. Only the logarithm of the right "
                "word's probability counts: pick the entry y[i] of row i.",
            ),
        ],
        tolerance=_SINGLE,
    )


@exercise("4.3", "The gradient of the loss")
def logits_gradient(answer, rng):
    """(p - Y) / B."""
    cases = [
        (torch.zeros(1, 2, dtype=torch.float64), torch.tensor([1])),
        (_tensor(rng, 3, 4), _targets(rng, 3, 4)),
        (_tensor(rng, 5, 3), _targets(rng, 5, 3)),
    ]

    def one_hot(z, y):
        return torch.nn.functional.one_hot(y, z.shape[1]).double()

    def right(z, y):
        return (torch.softmax(z, 1) - one_hot(z, y)) / len(y)

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda z, y: -right(z, y),
                "The sign is wrong: this is y - p. The gradient is positive "
                "where the model gave too much probability.",
            ),
            Mistake(
                lambda z, y: right(z, y) * len(y),
                "This is the gradient of the sum of the losses. The loss is "
                "the average over the batch: what follows for each gradient?",
            ),
            Mistake(
                lambda z, y: torch.softmax(z, 1),
                "These are the probabilities. The one-hot target of each row "
                "must still be subtracted.",
            ),
            Mistake(
                lambda z, y: torch.softmax(z, 1) / len(y),
                "These are the probabilities, divided by B. The one-hot target "
                "of each row must still be subtracted.",
            ),
            Mistake(
                lambda z, y: (z - one_hot(z, y)) / len(y),
                "You subtract the targets from the logits. Take the softmax of "
                "the logits first.",
            ),
            Mistake(
                lambda z, y: (torch.softmax(z, 0) - one_hot(z, y)) / len(y),
                "Your softmax runs over the batch (axis 0). It must run over "
                "the words (axis 1).",
            ),
            Mistake(
                lambda z, y: right(z, y) * len(y) / z.numel(),
                "You divide by the number of all logits, B times V. The loss is "
                "an average over B predictions only.",
            ),
            Mistake(
                lambda z, y: right(z, y) * len(y) / z.shape[1],
                "You divide by the number of words V. Divide by the number of "
                "predictions B.",
            ),
        ],
        tolerance=_SINGLE,
    )


def _windows(ids, n, start, end):
    padded = [start] * n + ids + [end]
    return [(padded[i : i + n], padded[i + n]) for i in range(len(ids) + 1)]


@exercise("4.4", "Cut the windows")
def cut_windows(answer, rng):
    """Every context of n ids, padded, with the id after it."""
    start, end = 98, 99
    some = [rng.randrange(10, 90) for _ in range(7)]
    cases = [
        ([5], 1, start, end),
        ([5, 6, 7], 2, start, end),
        (some, 3, start, end),
        (rng.sample(range(10, 90), 6), 4, start, end),
        ([], 2, start, end),
    ]

    def cut(padded, n, shift):
        last = len(padded) - n - shift
        return [
            (padded[i : i + n], padded[i + n + shift])
            for i in range(max(last, 0))
        ]

    def reversed_context(ids, n, start, end):
        return [(c[::-1], t) for c, t in _windows(ids, n, start, end)]

    compare(
        answer,
        _windows,
        cases,
        [
            Mistake(
                lambda ids, n, s, e: [
                    (c, c[-1]) for c, _ in _windows(ids, n, s, e)
                ],
                "The target is the last word of its own context. The model can "
                "copy it and learns nothing: take the id after the context.",
            ),
            Mistake(
                lambda ids, n, s, e: cut([s] * n + ids + [e], n, 1),
                "Your target is one position too far to the right: one id "
                "between context and target is left out.",
            ),
            Mistake(
                lambda ids, n, s, e: cut([*ids, e], n, 0),
                "The first words are never predicted, because they have no "
                "full context. Put n start marks before the ids.",
            ),
            Mistake(
                lambda ids, n, s, e: cut(ids, n, 0),
                "Neither the first words nor the end are predicted. Put n start "
                "marks before the ids and one end mark after them.",
            ),
            Mistake(
                lambda ids, n, s, e: _windows(ids, n, s, e)[:-1],
                "The last prediction is missing: after the last word, the "
                "target is the end mark.",
            ),
            Mistake(
                lambda ids, n, s, e: cut([s] * (n - 1) + ids + [e], n, 0),
                "The first word is never a target. How many start marks does a "
                "context need before any word was seen?",
            ),
            Mistake(
                lambda ids, n, s, e: cut([s, *ids, e], n, 0),
                "One start mark is not enough for a window of n: the first "
                "contexts are missing.",
            ),
            Mistake(
                lambda ids, n, s, e: cut([s] * n + ids + [e] * n, n, 0),
                "One end mark is enough. With more of them, the model is paid "
                "for predicting the end again after the end.",
            ),
            Mistake(
                reversed_context,
                "The context runs backwards. Keep the order of the text: the "
                "oldest id first.",
            ),
            Mistake(
                lambda ids, n, s, e: [
                    (tuple(c), t) for c, t in _windows(ids, n, s, e)
                ],
                "The numbers are right, but the contexts are tuples. Make each "
                "context a list.",
            ),
            Mistake(
                lambda ids, n, s, e: [
                    [c, t] for c, t in _windows(ids, n, s, e)
                ],
                "The numbers are right, but the pairs are lists. Make each pair "
                "a tuple (context, target).",
            ),
            Mistake(
                lambda ids, n, s, e: [
                    (ids[max(0, i - n) : i], t) for i, t in enumerate([*ids, e])
                ],
                "The first contexts are shorter than n. Fill them up with start "
                "marks on the left.",
            ),
            Mistake(
                lambda ids, n, s, e: [
                    ((ids[max(0, i - n) : i] + [s] * n)[:n], t)
                    for i, t in enumerate([*ids, e])
                ],
                "The start marks stand on the right of the first contexts. The "
                "text begins after them, so they belong on the left.",
            ),
        ],
    )


@exercise("4.5", "Gradients of repeated words")
def embedding_gradient(answer, rng):
    """dE: every gradient is added to the row its word came from."""
    a, b = rng.sample(range(4), 2)
    repeated = torch.tensor([[a, b], [b, b], [a, b]])
    cases = [
        (torch.tensor([[1, 1]]), _tensor(rng, 1, 2, 2), 2),
        (repeated, _tensor(rng, 3, 2, 3), 4),
        (_targets(rng, 12, 5).view(4, 3), _tensor(rng, 4, 3, 2), 5),
    ]

    def right(ids, dx, V):
        dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
        return dE.index_add_(0, ids.flatten(), dx.reshape(-1, dx.shape[-1]))

    def keeps(ids, dx, V, order):
        dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
        rows = list(zip(ids.flatten().tolist(), dx.flatten(0, 1), strict=True))
        for v, gradient in rows[::order]:
            dE[v] = gradient
        return dE

    def averages(ids, dx, V):
        times = torch.bincount(ids.flatten(), minlength=V).clamp(min=1)
        return right(ids, dx, V) / times[:, None]

    def per_position(ids, dx, V):
        dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
        for k in range(ids.shape[1]):
            dE[ids[:, k]] += dx[:, k]
        return dE

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda ids, dx, V: keeps(ids, dx, V, 1),
                "A word that occurs several times keeps only its last gradient. "
                "Its gradients must be added: see equation (4.17). Note that "
                "`dE[ids] += dx` adds only once for a repeated index.",
            ),
            Mistake(
                lambda ids, dx, V: keeps(ids, dx, V, -1),
                "A word that occurs several times keeps only its first "
                "gradient. Its gradients must be added: see equation (4.17).",
            ),
            Mistake(
                per_position,
                "`dE[ids] += dx` adds only once when an index occurs twice in "
                "`ids`. Use a loop over single words, or `index_add_`.",
            ),
            Mistake(
                averages,
                "You average the gradients of a repeated word. The sum is "
                "right: every occurrence changes the loss by its own amount.",
            ),
            Mistake(
                lambda ids, dx, V: right(ids, dx, V) / len(ids),
                "Your gradients are divided by the batch size. This division "
                "was already done in dz, equation (4.13).",
            ),
            Mistake(
                lambda ids, dx, V: right(ids, dx[:, :1].expand_as(dx), V),
                "Every position uses the gradient of the first one. Position k "
                "of window i has its own gradient dx[i, k].",
            ),
        ],
        tolerance=_SINGLE,
    )
