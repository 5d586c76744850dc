"""What learners write for the exercises of chapter 22, and what they are told."""

import numpy as np


def share_missing(patched, clean, corrupted):
    return [(clean - p) / (clean - corrupted) for p in patched]


def share_of_clean(patched, clean, corrupted):
    return [p / clean for p in patched]


def share_difference(patched, clean, corrupted):
    return [p - corrupted for p in patched]


def share_by_clean(patched, clean, corrupted):
    return [(p - corrupted) / clean for p in patched]


def share_clipped(patched, clean, corrupted):
    shares = [(p - corrupted) / (clean - corrupted) for p in patched]
    return [float(np.clip(s, 0, 1)) for s in shares]


def share_absolute(patched, clean, corrupted):
    return [abs(p - corrupted) / abs(clean - corrupted) for p in patched]


def share_one(patched, clean, corrupted):
    return (patched[0] - corrupted) / (clean - corrupted)


def score_same(weights, period):
    T = len(weights)
    return np.mean([weights[t, t - period] for t in range(period, T)])


def score_before(weights, period):
    back = period + 1
    return np.mean([weights[t, t - back] for t in range(back, len(weights))])


def score_previous(weights, period):
    return np.mean([weights[t, t - 1] for t in range(period, len(weights))])


def score_diagonal(weights, period):
    return np.diagonal(weights, -(period - 1)).mean()


def score_late(weights, period):
    return np.diagonal(weights, -(period - 1))[2:].mean()


def score_transposed(weights, period):
    return np.mean(
        [weights[t - period + 1, t] for t in range(period, len(weights))]
    )


def score_by_t(weights, period):
    return np.diagonal(weights, -(period - 1))[1:].sum() / len(weights)


def score_sum(weights, period):
    return np.diagonal(weights, -(period - 1))[1:].sum()


def control_each(types, draws):
    return list(draws)


def control_position(types, draws):
    first = {}
    for n, kind in enumerate(types):
        if kind not in first:
            first[kind] = draws[n]
    return [first[kind] for kind in types]


def control_last(types, draws):
    labels = {}
    for n, kind in enumerate(types):
        labels[kind] = draws[n]
    return [labels[kind] for kind in types]


def control_sorted(types, draws):
    labels = dict(zip(sorted(set(types)), draws, strict=False))
    return [labels[kind] for kind in types]


def control_numbers(types, draws):
    numbers = {}
    return [numbers.setdefault(kind, len(numbers)) for kind in types]


def control_types(types, draws):
    return [draws[n] for n in range(len(set(types)))]


def control_dict(types, draws):
    return dict(zip(types, draws, strict=True))


def cut_zero(found, texts, heads):
    result = found.copy()
    result[:, heads] = 0.0
    return result


def cut_own_mean(found, texts, heads):
    result = found.copy()
    result[:, heads] = found.mean((0, 2), keepdims=True)[:, heads]
    return result


def cut_all_mean(found, texts, heads):
    result = found.copy()
    result[:, heads] = texts.mean((0, 1, 2))
    return result


def cut_by_position(found, texts, heads):
    result = found.copy()
    result[:, heads] = texts.mean(0)[heads]
    return result


def cut_number(found, texts, heads):
    result = found.copy()
    for h in heads:
        result[:, h] = texts[:, h].mean()
    return result


def cut_others(found, texts, heads):
    means = texts.mean((0, 2), keepdims=True)
    result = np.broadcast_to(means, (len(found), *means.shape[1:]))
    result = np.repeat(result, found.shape[2], axis=2)
    result[:, heads] = found[:, heads]
    return result


def cut_everything(found, texts, heads):
    means = texts.mean((0, 2), keepdims=True)
    return np.zeros_like(found) + means


def cut_in_place(found, texts, heads):
    found[:, heads] = texts.mean((0, 2), keepdims=True)[:, heads]
    return found


def _sparse(f, rebuilt, x, penalty):
    error = ((x - rebuilt) ** 2).sum(1)
    return f, np.mean(error + penalty * f.sum(1))


def sparse_no_relu(x, c, W, b, D, penalty):
    f = (x - c) @ W + b
    return _sparse(f, f @ D + c, x, penalty)


def sparse_no_centre(x, c, W, b, D, penalty):
    f = np.maximum(x @ W + b, 0)
    return _sparse(f, f @ D + c, x, penalty)


def sparse_no_centre_back(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    return _sparse(f, f @ D, x, penalty)


def sparse_mean_error(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    error = ((x - f @ D - c) ** 2).mean(1)
    return f, np.mean(error + penalty * f.sum(1))


def sparse_count(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    error = ((x - f @ D - c) ** 2).sum(1)
    return f, np.mean(error + penalty * np.count_nonzero(f, axis=1))


def sparse_squares(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    error = ((x - f @ D - c) ** 2).sum(1)
    return f, np.mean(error + penalty * (f**2).sum(1))


def sparse_mean_penalty(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    error = ((x - f @ D - c) ** 2).sum(1)
    return f, np.mean(error + penalty * f.mean(1))


def sparse_free(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    return f, np.mean(((x - f @ D - c) ** 2).sum(1))


def sparse_loss_only(x, c, W, b, D, penalty):
    f = np.maximum((x - c) @ W + b, 0)
    return _sparse(f, f @ D + c, x, penalty)[1]


WRONG = {
    "22.1": [
        (share_missing, "the share that is still missing"),
        (share_of_clean, "You compare with 0"),
        (share_difference, "You do not divide by the whole effect"),
        (share_by_clean, "You divide by the clean score"),
        (share_clipped, "You cut the share to 0 and 1"),
        (share_absolute, "The sign is lost"),
        (share_one, "should be a list"),
    ],
    "22.2": [
        (score_same, "the weight on the same token"),
        (score_before, "the token before the earlier one"),
        (score_previous, "the score of a previous-token head"),
        (score_diagonal, "You begin one position too early"),
        (score_late, "You begin one position too late"),
        (score_transposed, "Rows and columns are exchanged"),
        (score_by_t, "You divide by T"),
        (score_sum, "This is a sum"),
    ],
    "22.3": [
        (control_each, "Each token has a label of its own"),
        (control_position, "the number of the token"),
        (control_last, "keeps the label of its first appearance"),
        (control_sorted, "in alphabetical order"),
        (control_numbers, "Look up their draws"),
        (control_types, "one label for each type here"),
        (control_dict, "should be a list"),
    ],
    "22.4": [
        (cut_zero, "You put 0"),
        (cut_own_mean, "The mean is over `found`"),
        (cut_all_mean, "the mean of all heads"),
        (cut_by_position, "a mean for each position"),
        (cut_number, "This is one number"),
        (cut_others, "You cut the other heads"),
        (cut_everything, "You cut every head"),
        (cut_in_place, "your function changes its argument"),
    ],
    "22.5": [
        (sparse_no_relu, "The ReLU is missing"),
        (sparse_no_centre, "is not taken away before"),
        (sparse_no_centre_back, "is not added again"),
        (sparse_mean_error, "averaged over the C numbers"),
        (sparse_count, "A count has no gradient"),
        (sparse_squares, "The penalty is on the squares"),
        (sparse_mean_penalty, "on the mean of the features"),
        (sparse_free, "The penalty is missing"),
        (sparse_loss_only, "should be a tuple"),
    ],
}
