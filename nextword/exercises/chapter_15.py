"""Exercises of chapter 15, "Pretrain, then fine-tune"."""

import math

import numpy as np

from nextword.exercises.engine import (
    Mistake,
    Unsolved,
    Wrong,
    compare,
    exercise,
    show,
)


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("15.1", "The parameters of LoRA")
def lora_size(answer, rng):
    """The numbers in A and B of several matrices, and their share."""
    cases = [([(4, 6)], 2)]
    for number in (1, 3, 5):
        shapes = [
            (rng.randint(20, 90), rng.randint(100, 300)) for _ in range(number)
        ]
        cases.append((shapes, rng.randint(2, 9)))

    def made(count):
        def size(shapes, r):
            new = sum(count(m, n, r) for m, n in shapes)
            return new, new / sum(m * n for m, n in shapes)

        return size

    right = made(lambda m, n, r: r * (m + n))

    def of_both(shapes, r):
        new = right(shapes, r)[0]
        return new, new / (new + sum(m * n for m, n in shapes))

    def mean_of_shares(shapes, r):
        shares = [r * (m + n) / (m * n) for m, n in shapes]
        return right(shapes, r)[0], sum(shares) / len(shares)

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                made(lambda m, n, r: r * m * n),
                "You multiply m and n. A has r rows of n numbers, B has m rows "
                "of r numbers: two thin matrices, side by side.",
            ),
            (
                made(lambda m, n, r: m + n),
                "The rank is missing: A has r rows, and B has r columns.",
            ),
            (
                made(lambda m, n, r: r * n),
                "You count A alone. B (m, r) is trained too.",
            ),
            (
                made(lambda m, n, r: r * m),
                "You count B alone. A (r, n) is trained too.",
            ),
            (
                made(lambda m, n, r: r * (m + n) + m * n),
                "You count the frozen matrix W as trained. Only A and B are.",
            ),
            (
                made(lambda m, n, r: r * (m + n) + r * r),
                "There is no third matrix between A and B. They meet directly.",
            ),
            (
                of_both,
                "The share is that of the frozen matrices: divide by their "
                "numbers alone.",
            ),
            (
                mean_of_shares,
                "You take the mean of the shares of single matrices. Divide "
                "the sum of all new numbers by the sum of all frozen ones.",
            ),
            (
                lambda *case: right(*case)[::-1],
                "The two numbers are exchanged: first the count, then the "
                "share.",
            ),
            (
                lambda *case: right(*case)[0],
                "This is the count alone. Return the share too, as a tuple.",
            ),
        ),
    )


@exercise("15.2", "A start that changes nothing")
def lora_start(answer, rng):
    """A and B whose product is 0, and which can still learn."""
    if answer is None or answer is ...:
        raise Unsolved
    if not callable(answer):
        raise Wrong(
            "check needs the function itself, without parentheses, but it got "
            f"{show(answer)}."
        )
    m, n, r = rng.randint(6, 9), rng.randint(10, 14), rng.randint(2, 4)
    generator = np.random.default_rng(rng.randrange(10**6))
    call = f"lora_start({m}, {n}, {r}, generator)"
    try:
        pair = answer(m, n, r, generator)
    except Exception as error:
        raise Wrong(f"{call} raised {type(error).__name__}: {error}.") from None
    if pair is ...:
        raise Unsolved
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise Wrong(f"{call} should be a tuple (A, B). It is {show(pair)}.")
    A, B = (np.asarray(x, dtype=float) for x in pair)
    if (A.shape, B.shape) == ((m, r), (r, n)):
        raise Wrong(
            f"A has the shape {A.shape} and B {B.shape}: they are exchanged. "
            "A comes first on the way of x and makes n numbers into r."
        )
    if (A.shape, B.shape) != ((r, n), (m, r)):
        raise Wrong(
            f"A should have the shape {(r, n)} and B {(m, r)}, but theirs are "
            f"{A.shape} and {B.shape}."
        )
    zero = (not A.any(), not B.any())
    if all(zero):
        raise Wrong(
            "A and B are both 0. Then both gradients are 0 too, because each "
            "is a product with the other matrix: nothing is ever learned."
        )
    if not any(zero):
        raise Wrong(
            "Neither A nor B is 0, so the model is changed before it has "
            f"learned anything: the largest number of B A is "
            f"{np.abs(B @ A).max():.2g}."
        )
    drawn = A if zero[1] else B
    if np.linalg.matrix_rank(drawn) < r:
        raise Wrong(
            "The rows of the matrix that is not 0 are not independent, so its "
            f"rank is below {r}, and so is that of all it can learn at first. "
            "Draw its numbers at random."
        )
    again = answer(m, n, r, generator)
    if np.array_equal(again[0], A) and np.array_equal(again[1], B):
        raise Wrong(
            "A second call gives the same numbers. Draw them from the "
            "generator that is passed, without a seed of your own."
        )


@exercise("15.3", "Merge")
def merged_weights(answer, rng):
    """W + (alpha / r) B A, of plain arrays."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal
    cases = [
        (np.eye(2), np.array([[1.0, 2.0]]), np.array([[3.0], [0.0]]), 0.5),
    ]
    for m, n, r in ((4, 4, 2), (3, 3, 1), (5, 5, 3)):
        alpha = float(rng.randint(4, 30))
        cases.append(
            (draw(size=(m, n)), draw(size=(r, n)), draw(size=(m, r)), alpha)
        )

    def made(scale=lambda a, r, n: a / r, change=lambda A, B: B @ A, keep=1):
        def merge(W, A, B, alpha):
            r, n = A.shape
            return keep * W + scale(alpha, r, n) * change(A, B)

        return merge

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(scale=lambda a, r, n: 1.0),
                "The scale is forgotten: the change is (alpha / r) B A.",
            ),
            (
                made(scale=lambda a, r, n: a),
                "You multiply by alpha, but do not divide by the rank.",
            ),
            (
                made(scale=lambda a, r, n: 1 / r),
                "You divide by the rank, but do not multiply by alpha.",
            ),
            (
                made(scale=lambda a, r, n: a / n),
                "You divide by the width of A. The rank is the number of its "
                "rows.",
            ),
            (
                made(scale=lambda a, r, n: a / math.sqrt(r)),
                "You divide by the root of the rank. Equation (15.5) divides "
                "by the rank.",
            ),
            (
                made(change=lambda A, B: (B @ A).T),
                "The change is transposed: A.T @ B.T is (B A).T. For a square "
                "matrix the shapes fit, and the numbers are wrong.",
            ),
            (
                made(keep=0),
                "This is the change alone. Merged means: added to W.",
            ),
            (
                made(change=lambda A, B: -(B @ A)),
                "You subtract the change. That is the way back, from the "
                "merged matrix to W.",
            ),
        ),
    )


@exercise("15.4", "Learning rates by layer")
def rates_by_layer(answer, rng):
    """A rate for each parameter that is trained; frozen ones have none."""

    def names(layers):
        found = ["embedding.weight"]
        for layer in range(layers):
            found += [f"layers.{layer}.weight", f"layers.{layer}.bias"]
        return [*found, "head.weight"]

    def named(layers, frozen=()):
        return {name: name not in frozen for name in names(layers)}

    first = {"embedding.weight": True, "layers.0.weight": True}
    cases = [({**first, "head.weight": True}, 1, 0.1, 0.5)]
    for layers in (2, 3, 12):
        frozen = rng.sample(names(layers)[:-1], 2)
        lr, decay = rng.uniform(0.01, 0.1), rng.uniform(0.4, 0.9)
        cases.append((named(layers, frozen), layers, lr, decay))

    def depth_of(name, layers, sort=False):
        kind = name.split(".")[0]
        if kind == "layers":
            number = name.split(".")[1]
            return layers - int(number[0] if sort else number)
        return {"head": 0, "embedding": layers + 1}[kind]

    def made(depth=depth_of, rate=lambda lr, d, k: lr * d**k, frozen=False):
        def rates(parameters, layers, lr, decay):
            return {
                name: rate(lr, decay, depth(name, layers))
                for name, trained in parameters.items()
                if trained or frozen
            }

        return rates

    def as_zero(parameters, layers, lr, decay):
        rates = made(frozen=True)(parameters, layers, lr, decay)
        return {n: x if parameters[n] else 0.0 for n, x in rates.items()}

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(frozen=True),
                "Frozen parameters have a rate too, so they end up in the "
                "optimizer. Leave out every name whose value is False.",
            ),
            (
                as_zero,
                "Frozen parameters have the rate 0.0. They should not be in "
                "the answer at all.",
            ),
            (
                made(lambda name, layers: layers + 1 - depth_of(name, layers)),
                "The order is reversed: the head should learn fastest, the "
                "embeddings slowest.",
            ),
            (
                made(
                    lambda name, layers: (
                        layers + 1 - depth_of(name, layers)
                        if name.startswith("layers")
                        else depth_of(name, layers)
                    )
                ),
                "The layers are in reverse order: layer 0 is the lowest, next "
                "to the embeddings, so it has the smallest rate of them.",
            ),
            (
                made(lambda name, layers: depth_of(name, layers) + 1),
                "All rates are one factor too low. The head has the rate lr "
                "itself.",
            ),
            (
                made(lambda name, layers: max(depth_of(name, layers) - 1, 0)),
                "The top layer has the rate of the head. It should be lower by "
                "one factor.",
            ),
            (
                made(lambda name, layers: min(depth_of(name, layers), layers)),
                "The embeddings have the rate of layer 0. They are one step "
                "lower.",
            ),
            (
                made(rate=lambda lr, d, k: lr * (1 - (1 - d) * k)),
                "The rate falls by equal differences. Each step down "
                "multiplies it by the decay.",
            ),
            (
                made(rate=lambda lr, d, k: lr / d**k),
                "The rate grows from the head downwards: you divide by the "
                "decay.",
            ),
            (
                made(lambda name, layers: depth_of(name, layers, True)),
                "You read only one digit of the layer's number. Layer 10 is "
                "not layer 1.",
            ),
        ),
    )


@exercise("15.5", "Scale without a leak")
def standardised(answer, rng):
    """Train and test features, both by the numbers of the training set."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal
    cases = [
        (np.array([[1.0], [3.0]]), np.array([[5.0], [5.0]])),
        (draw(3, 2, (9, 4)), draw(5, 4, (6, 4))),
        (draw(-2, 3, (7, 3)), draw(0, 1, (1, 3))),
        (np.c_[draw(1, 2, (8, 2)), np.full(8, 4.0)], draw(4, 2, (5, 3))),
    ]

    def scale(x, mean, std):
        return (x - mean) / np.where(std > 0, std, 1.0)

    def made(by=lambda train, test: (train, train), axis=0, ddof=0, guard=True):
        def both(train, test):
            found = []
            for x, other in zip((train, test), by(train, test), strict=True):
                mean = other.mean(axis, keepdims=True)
                std = other.std(axis, ddof=ddof, keepdims=True)
                std = np.where(std > 0, std, 1.0) if guard else std
                with np.errstate(all="ignore"):
                    found.append((x - mean) / std)
            return tuple(found)

        return both

    def centred(train, test):
        return train - train.mean(0), test - train.mean(0)

    def test_centre(train, test):
        std = train.std(0)
        return (
            scale(train, train.mean(0), std),
            scale(test, test.mean(0), std),
        )

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(by=lambda train, test: (train, test)),
                "The test set is scaled by its own numbers. A single text "
                "could not be scaled like that, and the classifier would meet "
                "vectors that mean something else.",
            ),
            (
                made(by=lambda a, b: (np.concatenate([a, b]),) * 2),
                "Both sets are scaled by the numbers of both together. So the "
                "test set leaks into the training.",
            ),
            (
                made(by=lambda train, test: (test, test)),
                "Both sets are scaled by the numbers of the test set. Nothing "
                "of it may be known.",
            ),
            (
                test_centre,
                "The test set has its own mean. Take that of the training set "
                "too, not only its standard deviation.",
            ),
            (
                centred,
                "The means are gone, but nothing is divided by the standard "
                "deviation.",
            ),
            (
                made(guard=False),
                "A column that never changes has the standard deviation 0, and "
                "you divide by it. Divide by 1 there.",
            ),
            (
                made(by=lambda train, test: (train, test), axis=1),
                "You scale each text by itself. Scale each column, axis 0, "
                "over all texts of the training set.",
            ),
            (
                made(axis=None),
                "You take one mean and one deviation for all columns. Each "
                "column has its own.",
            ),
            (
                made(ddof=1),
                "You divide by N - 1 in the variance. Here it is the plain "
                "mean of squares, as `std` of NumPy gives it.",
            ),
            (
                lambda train, test: made()(train, test)[1],
                "This is the test set alone. Return both, as a tuple.",
            ),
        ),
        tolerance=1e-8,
    )


@exercise("15.6", "How many labels is it worth?")
def labels_needed(answer, rng):
    """Where a curve first reaches an accuracy, between its points too."""
    cases = [
        ([10, 1000], [0.5, 0.9], 0.7),
        ([20, 200], [0.6, 0.8], 0.9),
        ([20, 200], [0.6, 0.8], 0.55),
        ([20, 50, 200, 1000], [0.3, 0.6, 0.5, 0.8], 0.55),
    ]
    for _ in range(3):
        labels = [20, 50, 200, 1000]
        curve = sorted(rng.uniform(0.3, 0.9) for _ in labels)
        step = rng.randrange(3)
        low, high = curve[step], curve[step + 1]
        cases.append(
            (labels, curve, low + rng.uniform(0.3, 0.7) * (high - low))
        )
    cases.append(([20, 50, 200], [0.5, 0.7, 0.9], 0.9))

    def between(low, high, share):
        return round(low * (high / low) ** share, 9)

    def made(along=between, never=math.inf, before=None, last=False):
        def needed(labels, accuracies, target):
            if accuracies[0] >= target:
                return labels[0] if before is None else before
            found = [
                n
                for n in range(1, len(labels))
                if accuracies[n] >= target > accuracies[n - 1]
            ]
            if not found:
                return never
            n = found[-1] if last else found[0]
            start, end = accuracies[n - 1], accuracies[n]
            share = (target - start) / (end - start)
            return along(labels[n - 1], labels[n], share)

        return needed

    def next_point(labels, accuracies, target):
        pairs = zip(labels, accuracies, strict=True)
        return next((n for n, a in pairs if a >= target), math.inf)

    def sorted_search(labels, accuracies, target):
        """np.interp of a curve that may fall: wrong where it does."""
        return float(
            np.exp(np.interp(target, accuracies, np.log(np.array(labels))))
        )

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(lambda low, high, share: low + share * (high - low)),
                "You go along a straight line in the number of labels. The "
                "axis is logarithmic: go along it in ln(labels).",
            ),
            (
                made(lambda *ends: math.log(between(*ends))),
                "The result is still a logarithm. Take its exponential.",
            ),
            (
                made(never=None),
                "If the curve never reaches the target, you return None. "
                "Return math.inf.",
            ),
            (
                made(never=1000),
                "A curve that never reaches the target gives a number. No "
                "number of labels was enough: return math.inf.",
            ),
            (
                made(before=0),
                "If the first point is good enough, you return 0. Fewer labels "
                "were not measured: return the first number of labels.",
            ),
            (
                made(last=True),
                "The curve may cross the target more than once. You return the "
                "last crossing, and the question is about the first.",
            ),
            (
                next_point,
                "You return the next measured point. Interpolate between the "
                "point below the target and the one above it.",
            ),
            (
                sorted_search,
                "np.interp needs values that rise, and it stops at the ends of "
                "the curve. Accuracies may fall, and a target may be out of "
                "reach: go through the points one by one.",
            ),
        ),
    )
