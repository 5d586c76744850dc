"""Exercises of chapter 22, "Looking inside: interpretability"."""

import numpy as np

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("22.1", "The share restored")
def share_restored(answer, rng):
    """From the scores of three runs, how much of the effect each patch restores."""
    cases = [([1.0], 4.0, -2.0), ([-3.5, 5.0, 1.0], 4.0, -2.0)]
    for number in (3, 6):
        clean, corrupted = rng.uniform(3, 6), rng.uniform(-6, -2)
        patched = [rng.uniform(-8, 8) for _ in range(number)]
        cases.append((patched, clean, corrupted))

    def made(share):
        return lambda patched, clean, corrupted: [
            share(p, clean, corrupted) for p in patched
        ]

    compare(
        answer,
        made(lambda p, a, b: (p - b) / (a - b)),
        cases,
        _mistakes(
            (
                made(lambda p, a, b: (a - p) / (a - b)),
                "This is the share that is still missing. A patch that "
                "restores all should get 1.",
            ),
            (
                made(lambda p, a, b: p / a),
                "You compare with 0. A patch that does nothing leaves the "
                "corrupted score, and should get 0.",
            ),
            (
                made(lambda p, a, b: p - b),
                "You do not divide by the whole effect, clean - corrupted.",
            ),
            (
                made(lambda p, a, b: (p - b) / a),
                "You divide by the clean score. The whole effect is clean - "
                "corrupted.",
            ),
            (
                made(lambda p, a, b: min(max((p - b) / (a - b), 0.0), 1.0)),
                "You cut the share to 0 and 1. A patch may do harm, or more "
                "than the whole: keep what you measured.",
            ),
            (
                made(lambda p, a, b: abs((p - b) / (a - b))),
                "The sign is lost. A patch that makes things worse has a "
                "share below 0.",
            ),
        ),
    )


@exercise("22.2", "A score for induction")
def induction_score(answer, rng):
    """The mean weight on the token after the last one that was the same."""
    cases = []
    for T, period in ((5, 2), (8, 3), (12, 5), (15, 4)):
        weights = np.array([[rng.random() for _ in range(T)] for _ in range(T)])
        weights = np.tril(weights)
        cases.append((weights / weights.sum(1, keepdims=True), period))

    def made(distance=lambda period: period - 1, first=lambda p: p):
        def score(weights, period):
            T, back = len(weights), distance(period)
            places = range(max(first(period), back), T)
            return np.mean([weights[t, t - back] for t in places])

        return score

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(lambda p: p),
                "You read the weight on the same token, period before. An "
                "induction head looks at the token after it.",
            ),
            (
                made(lambda p: p + 1),
                "You look at the token before the earlier one. The answer "
                "stands after it.",
            ),
            (
                made(lambda p: 1),
                "This is the score of a previous-token head.",
            ),
            (
                made(first=lambda p: p - 1),
                "You begin one position too early. The token at position "
                "period is the first that was seen before.",
            ),
            (
                made(first=lambda p: p + 1),
                "You begin one position too late. The token at position "
                "period was seen before, at position 0.",
            ),
            (
                lambda w, p: np.mean(
                    [w[t - p + 1, t] for t in range(p, len(w))]
                ),
                "Rows and columns are exchanged: a row is who looks.",
            ),
            (
                lambda w, p: (
                    sum(w[t, t - p + 1] for t in range(p, len(w))) / len(w)
                ),
                "You divide by T. The mean is over the positions from period "
                "on.",
            ),
            (
                lambda w, p: sum(w[t, t - p + 1] for t in range(p, len(w))),
                "This is a sum. A score between 0 and 1 is a mean.",
            ),
        ),
    )


@exercise("22.3", "A control task")
def control_labels(answer, rng):
    """Each type gets one random label, at its first appearance."""
    names = ["cup", "pond", "Ben", "hall", "took", "Anna", "gym"]
    cases = [(["b", "a", "b"], [2, 0, 1])]
    for number in (6, 9, 20):
        x, y, z = rng.sample(names, 3)  # so that types come again
        types = [x, y, x, z, y, *rng.choices(names, k=number - 5)]
        draws = rng.sample(range(100), number)
        cases.append((types, draws))

    def right(types, draws):
        labels = {}
        for kind in types:
            if kind not in labels:
                labels[kind] = draws[len(labels)]
        return [labels[kind] for kind in types]

    def by_position(types, draws):
        labels = {}
        for n, kind in enumerate(types):
            labels.setdefault(kind, draws[n])
        return [labels[kind] for kind in types]

    def last_position(types, draws):
        labels = dict(zip(types, draws, strict=True))
        return [labels[kind] for kind in types]

    def in_order(types, draws):
        return [draws[sorted(set(types)).index(kind)] for kind in types]

    def numbered(types, draws):
        order = list(dict.fromkeys(types))
        return [order.index(kind) for kind in types]

    def of_types(types, draws):
        return draws[: len(set(types))]

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda types, draws: list(draws),
                "Each token has a label of its own. Then nothing can be "
                "learnt for the test: the same type must get the same label.",
            ),
            (
                by_position,
                "You use the draw with the number of the token. The second "
                "new type takes the second draw.",
            ),
            (
                last_position,
                "A type keeps the label of its first appearance, and takes "
                "the next draw that is free.",
            ),
            (
                in_order,
                "You give out the draws in alphabetical order of the types. "
                "The order is that of their first appearance.",
            ),
            (
                numbered,
                "These are the numbers of the types. Look up their draws.",
            ),
            (
                of_types,
                "There is one label for each type here. Give one for each "
                "token.",
            ),
        ),
    )


@exercise("22.4", "Cut by the mean")
def mean_cut(answer, rng):
    """Heads replaced by their mean over many texts and positions."""
    cases = []
    for B, H, T, heads in ((1, 2, 3, [1]), (2, 4, 3, [0, 2]), (2, 3, 5, [1])):
        generator = np.random.default_rng(rng.randrange(10**6))
        found = generator.normal(size=(B, H, T, 2))
        texts = generator.normal(1.0, 1.0, size=(B + 1, H, T, 2))
        cases.append((found, texts, heads))

    def made(mean, chosen=lambda heads, H: heads):
        def cut(found, texts, heads):
            result = found.copy()
            for h in chosen(heads, found.shape[1]):
                result[:, h] = mean(found, texts, h)
            return result

        return cut

    def usual(found, texts, h):
        return texts[:, h].mean((0, 1))

    def rest(heads, H):
        return [h for h in range(H) if h not in heads]

    compare(
        answer,
        made(usual),
        cases,
        _mistakes(
            (
                made(lambda found, texts, h: 0.0),
                "You put 0. Put the mean of the head over the texts.",
            ),
            (
                made(lambda found, texts, h: found[:, h].mean((0, 1))),
                "The mean is over `found`, the runs that you cut. Take it "
                "over `texts`.",
            ),
            (
                made(lambda found, texts, h: texts.mean((0, 1, 2))),
                "This is the mean of all heads. Each head has its own.",
            ),
            (
                made(lambda found, texts, h: texts[:, h].mean(0)),
                "You keep a mean for each position. Take one over texts and "
                "positions.",
            ),
            (
                made(lambda found, texts, h: texts[:, h].mean()),
                "This is one number. The mean is a vector of D numbers.",
            ),
            (
                made(usual, rest),
                "You cut the other heads and keep those that are named.",
            ),
            (
                made(usual, lambda heads, H: range(H)),
                "You cut every head. Only those in `heads` should go.",
            ),
        ),
    )


@exercise("22.5", "One pass of a sparse autoencoder")
def sparse_pass(answer, rng):
    """The features and the loss, by the two equations."""
    cases = []
    for N, C, M in ((1, 2, 3), (3, 4, 6), (5, 3, 8)):
        generator = np.random.default_rng(rng.randrange(10**6))
        x = generator.normal(1.0, 1.0, size=(N, C))
        W, D = (generator.normal(size=s) for s in ((C, M), (M, C)))
        b, c = (generator.normal(size=n) for n in (M, C))
        cases.append((x, c, W, b, D, rng.uniform(0.2, 2.0)))

    def made(
        read=lambda x, c, W, b: np.maximum((x - c) @ W + b, 0),
        rebuild=lambda f, D, c: f @ D + c,
        error=lambda e: (e**2).sum(1),
        price=lambda f: f.sum(1),
    ):
        def sparse(x, c, W, b, D, penalty):
            f = read(x, c, W, b)
            e = x - rebuild(f, D, c)
            return f, np.mean(error(e) + penalty * price(f))

        return sparse

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(lambda x, c, W, b: (x - c) @ W + b),
                "The ReLU is missing: features are never below 0.",
            ),
            (
                made(lambda x, c, W, b: np.maximum(x @ W + b, 0)),
                "The centre c is not taken away before the features are read.",
            ),
            (
                made(rebuild=lambda f, D, c: f @ D),
                "The centre c is not added again to what is rebuilt.",
            ),
            (
                made(error=lambda e: (e**2).mean(1)),
                "The squared error is averaged over the C numbers. Sum it.",
            ),
            (
                made(price=lambda f: (f > 0).sum(1)),
                "You count the features that are not 0. A count has no "
                "gradient: the penalty is on their sum.",
            ),
            (
                made(price=lambda f: (f**2).sum(1)),
                "The penalty is on the squares. Squares make features small, "
                "but not 0.",
            ),
            (
                made(price=lambda f: f.mean(1)),
                "The penalty is on the mean of the features, not on their sum.",
            ),
            (
                made(price=lambda f: 0.0),
                "The penalty is missing.",
            ),
        ),
    )
