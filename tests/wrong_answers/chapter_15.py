"""What learners write for the exercises of chapter 15, and what they are told."""

import math

import numpy as np


def _frozen(shapes):
    return sum(m * n for m, n in shapes)


def size_product(shapes, r):
    new = sum(m * n * r for m, n in shapes)
    return new, new / _frozen(shapes)


def size_no_rank(shapes, r):
    new = sum(m + n for m, n in shapes)
    return new, new / _frozen(shapes)


def size_a_only(shapes, r):
    new = sum(r * n for _, n in shapes)
    return new, new / _frozen(shapes)


def size_b_only(shapes, r):
    new = sum(m * r for m, _ in shapes)
    return new, new / _frozen(shapes)


def size_with_w(shapes, r):
    new = sum(m * n + r * m + r * n for m, n in shapes)
    return new, new / _frozen(shapes)


def size_with_middle(shapes, r):
    new = sum(r * (m + r + n) for m, n in shapes)
    return new, new / _frozen(shapes)


def size_of_all(shapes, r):
    new = sum(r * (m + n) for m, n in shapes)
    return new, new / (_frozen(shapes) + new)


def size_mean(shapes, r):
    new = [r * (m + n) for m, n in shapes]
    shares = [x / (m * n) for x, (m, n) in zip(new, shapes, strict=True)]
    return sum(new), np.mean(shares)


def size_exchanged(shapes, r):
    new = sum(r * (m + n) for m, n in shapes)
    return new / _frozen(shapes), new


def size_count_only(shapes, r):
    return sum(r * (m + n) for m, n in shapes)


def size_something_else(shapes, r):
    return len(shapes), r


def start_both_zero(m, n, r, generator):
    return np.zeros((r, n)), np.zeros((m, r))


def start_both_random(m, n, r, generator):
    return generator.normal(size=(r, n)), generator.normal(size=(m, r))


def start_exchanged(m, n, r, generator):
    return generator.normal(size=(m, r)), np.zeros((r, n))


def start_transposed(m, n, r, generator):
    return generator.normal(size=(n, r)), np.zeros((m, r))


def start_ones(m, n, r, generator):
    return np.ones((r, n)), np.zeros((m, r))


def start_own_seed(m, n, r, generator):
    return np.random.default_rng(0).normal(size=(r, n)), np.zeros((m, r))


def start_list(m, n, r, generator):
    return [generator.normal(size=(r, n)), np.zeros((m, r))]


def start_one(m, n, r, generator):
    return generator.normal(size=(r, n))


def start_crash(m, n, r, generator):
    return generator.normal(r, n), np.zeros(m, r)


def merge_no_scale(W, A, B, alpha):
    return W + B @ A


def merge_alpha_only(W, A, B, alpha):
    return W + alpha * (B @ A)


def merge_rank_only(W, A, B, alpha):
    return W + (B @ A) / len(A)


def merge_width(W, A, B, alpha):
    return W + alpha / A.shape[1] * (B @ A)


def merge_root(W, A, B, alpha):
    return W + alpha / np.sqrt(len(A)) * (B @ A)


def merge_transposed(W, A, B, alpha):
    return W + alpha / len(A) * (A.T @ B.T)


def merge_change_only(W, A, B, alpha):
    return alpha / len(A) * (B @ A)


def merge_minus(W, A, B, alpha):
    return W - alpha / len(A) * (B @ A)


def merge_in_place(W, A, B, alpha):
    W += alpha / len(A) * (B @ A)
    return W


def merge_order(W, A, B, alpha):
    return W + alpha / len(A) * (A @ B)


def _depth(name, layers):
    if name.startswith("head"):
        return 0
    if name.startswith("embedding"):
        return layers + 1
    return layers - int(name.split(".")[1])


def rates_frozen(parameters, layers, lr, decay):
    return {name: lr * decay ** _depth(name, layers) for name in parameters}


def rates_zero(parameters, layers, lr, decay):
    return {
        name: lr * decay ** _depth(name, layers) if trained else 0.0
        for name, trained in parameters.items()
    }


def _rates(rate):
    def answer(parameters, layers, lr, decay):
        return {
            name: rate(name, layers, lr, decay)
            for name, trained in parameters.items()
            if trained
        }

    return answer


rates_reversed = _rates(
    lambda name, layers, lr, decay: (
        lr * decay ** (layers + 1 - _depth(name, layers))
    )
)


@_rates
def rates_layers_reversed(name, layers, lr, decay):
    if name.startswith("layers"):
        return lr * decay ** (int(name.split(".")[1]) + 1)
    return lr * decay ** _depth(name, layers)


@_rates
def rates_one_too_low(name, layers, lr, decay):
    return lr * decay ** (1 + _depth(name, layers))


@_rates
def rates_top_like_head(name, layers, lr, decay):
    return lr * decay ** max(0, _depth(name, layers) - 1)


@_rates
def rates_embeddings_like_layer_0(name, layers, lr, decay):
    if name.startswith("embedding"):
        return lr * decay**layers
    return lr * decay ** _depth(name, layers)


@_rates
def rates_line(name, layers, lr, decay):
    return lr - lr * (1 - decay) * _depth(name, layers)


@_rates
def rates_divide(name, layers, lr, decay):
    return lr / decay ** _depth(name, layers)


@_rates
def rates_one_digit(name, layers, lr, decay):
    if name.startswith("layers"):
        return lr * decay ** (layers - int(name[7]))
    return lr * decay ** _depth(name, layers)


@_rates
def rates_all_equal(name, layers, lr, decay):
    return lr


def _scaled(x, other):
    std = other.std(axis=0)
    return (x - other.mean(axis=0)) / np.where(std == 0, 1, std)


def scale_own(train, test):
    return _scaled(train, train), _scaled(test, test)


def scale_together(train, test):
    both = np.vstack([train, test])
    return _scaled(train, both), _scaled(test, both)


def scale_by_test(train, test):
    return _scaled(train, test), _scaled(test, test)


def scale_own_mean(train, test):
    std = train.std(axis=0)
    std[std == 0] = 1
    return (train - train.mean(0)) / std, (test - test.mean(0)) / std


def scale_mean_only(train, test):
    mean = train.mean(axis=0)
    return train - mean, test - mean


def scale_no_guard(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0)
    with np.errstate(all="ignore"):
        return (train - mean) / std, (test - mean) / std


def scale_rows(train, test):
    def each(x):
        std = x.std(axis=1, keepdims=True)
        mean = x.mean(axis=1, keepdims=True)
        return (x - mean) / np.where(std == 0, 1, std)

    return each(train), each(test)


def scale_shapes(train, test):
    return train - train.mean(axis=1), test - train.mean(axis=1)


def scale_all(train, test):
    return (
        (train - train.mean()) / train.std(),
        (test - train.mean()) / train.std(),
    )


def scale_n_minus_1(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0, ddof=1)
    std = np.where(std == 0, 1, std)
    return (train - mean) / std, (test - mean) / std


def scale_test_only(train, test):
    return _scaled(test, train)


def scale_list(train, test):
    return [_scaled(train, train), _scaled(test, train)]


def _crossing(labels, accuracies, target):
    for n in range(1, len(labels)):
        if accuracies[n - 1] < target <= accuracies[n]:
            share = target - accuracies[n - 1]
            return n, share / (accuracies[n] - accuracies[n - 1])
    return None


def worth_line(labels, accuracies, target):
    if accuracies[0] >= target:
        return labels[0]
    if not (found := _crossing(labels, accuracies, target)):
        return math.inf
    n, share = found
    return labels[n - 1] + share * (labels[n] - labels[n - 1])


def _worth(labels, accuracies, target, never=math.inf, first=None):
    if accuracies[0] >= target:
        return labels[0] if first is None else first
    if not (found := _crossing(labels, accuracies, target)):
        return never
    n, share = found
    return labels[n - 1] * (labels[n] / labels[n - 1]) ** share


def worth_log(labels, accuracies, target):
    if accuracies[0] >= target:
        return labels[0]
    value = _worth(labels, accuracies, target)
    return math.log(value) if value < math.inf else value


def worth_none(labels, accuracies, target):
    return _worth(labels, accuracies, target, never=None)


def worth_thousand(labels, accuracies, target):
    return _worth(labels, accuracies, target, never=1000)


def worth_zero(labels, accuracies, target):
    return _worth(labels, accuracies, target, first=0)


def worth_last(labels, accuracies, target):
    if accuracies[0] >= target:
        return labels[0]
    for n in range(len(labels) - 1, 0, -1):
        low, high = accuracies[n - 1], accuracies[n]
        if low < target <= high:
            share = (target - low) / (high - low)
            return labels[n - 1] * (labels[n] / labels[n - 1]) ** share
    return math.inf


def worth_next(labels, accuracies, target):
    for n, accuracy in zip(labels, accuracies, strict=True):
        if accuracy >= target:
            return n
    return math.inf


def worth_interp(labels, accuracies, target):
    return float(np.exp(np.interp(target, accuracies, np.log(labels))))


def worth_best(labels, accuracies, target):
    return labels[accuracies.index(max(accuracies))]


WRONG = {
    "15.1": [
        (size_product, "You multiply m and n"),
        (size_no_rank, "The rank is missing"),
        (size_a_only, "You count A alone"),
        (size_b_only, "You count B alone"),
        (size_with_w, "You count the frozen matrix W as trained"),
        (size_with_middle, "no third matrix between A and B"),
        (size_of_all, "divide by their numbers alone"),
        (size_mean, "the mean of the shares of single matrices"),
        (size_exchanged, "The two numbers are exchanged"),
        (size_count_only, "This is the count alone"),
        (size_something_else, "expected (20, 0.8333333333333334), got (1, 2)"),
    ],
    "15.2": [
        (start_both_zero, "A and B are both 0. Then both gradients"),
        (start_both_random, "changed before it has learned anything"),
        (start_exchanged, "they are exchanged. A comes first"),
        (start_transposed, "A should have the shape"),
        (start_ones, "are not independent"),
        (start_own_seed, "A second call gives the same numbers"),
        (start_list, "should be a tuple (A, B)"),
        (start_one, "should be a tuple (A, B)"),
        (start_crash, "raised TypeError"),
        ((2, 3), "check needs the function itself"),
    ],
    "15.3": [
        (merge_no_scale, "The scale is forgotten"),
        (merge_alpha_only, "do not divide by the rank"),
        (merge_rank_only, "do not multiply by alpha"),
        (merge_width, "You divide by the width of A"),
        (merge_root, "You divide by the root of the rank"),
        (merge_transposed, "The change is transposed"),
        (merge_change_only, "This is the change alone"),
        (merge_minus, "You subtract the change"),
        (merge_in_place, "your function changes its argument"),
        (merge_order, "merge_order(array"),
    ],
    "15.4": [
        (rates_frozen, "they end up in the optimizer"),
        (rates_zero, "Frozen parameters have the rate 0.0"),
        (rates_reversed, "The order is reversed"),
        (rates_layers_reversed, "The layers are in reverse order"),
        (rates_one_too_low, "All rates are one factor too low"),
        (rates_top_like_head, "The top layer has the rate of the head"),
        (rates_embeddings_like_layer_0, "The embeddings have the rate of"),
        (rates_line, "The rate falls by equal differences"),
        (rates_divide, "The rate grows from the head downwards"),
        (rates_one_digit, "only one digit of the layer's number"),
        (rates_all_equal, "expected {'embedding.weight': 0.025"),
    ],
    "15.5": [
        (scale_own, "The test set is scaled by its own numbers"),
        (scale_together, "So the test set leaks into the training"),
        (scale_by_test, "scaled by the numbers of the test set"),
        (scale_own_mean, "The test set has its own mean"),
        (scale_mean_only, "nothing is divided by the standard"),
        (scale_no_guard, "A column that never changes"),
        (scale_rows, "You scale each text by itself"),
        (scale_shapes, "scale_shapes(array"),
        (scale_all, "one mean and one deviation for all columns"),
        (scale_n_minus_1, "You divide by N - 1"),
        (scale_test_only, "This is the test set alone"),
        (scale_list, "should be a tuple, but it is a list"),
    ],
    "15.6": [
        (worth_line, "a straight line in the number of labels"),
        (worth_log, "The result is still a logarithm"),
        (worth_none, "you return None. Return math.inf"),
        (worth_thousand, "No number of labels was enough"),
        (worth_zero, "If the first point is good enough, you return 0"),
        (worth_last, "You return the last crossing"),
        (worth_next, "You return the next measured point"),
        (worth_interp, "np.interp needs values that rise"),
        (worth_best, "expected 100.0, got 1000"),
    ],
}
