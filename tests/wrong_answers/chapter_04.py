"""What learners write for the exercises of chapter 4, and what they are told."""

import math

import torch


def softmax_overflow(z):
    powers = torch.exp(z)
    return powers / powers.sum(dim=-1, keepdim=True)


def softmax_first_axis(z):
    z = z - z.max(dim=0, keepdim=True).values
    return torch.exp(z) / torch.exp(z).sum(dim=0, keepdim=True)


def softmax_all_together(z):
    e = torch.exp(z - torch.max(z))
    return e / torch.sum(e)


def softmax_one_maximum(z):
    e = torch.exp(z - torch.max(z))
    return e / e.sum(-1, keepdim=True)


def softmax_no_powers(z):
    return z / z.sum(-1).unsqueeze(-1)


def softmax_no_division(z):
    return torch.exp(z - z.amax(-1, keepdim=True))


def softmax_logarithm(z):
    return z - torch.logsumexp(z, -1, keepdim=True)


def softmax_of_list(z):
    return torch.softmax(z, -1).tolist()


def softmax_no_keepdim(z):
    powers = torch.exp(z - z.max(dim=-1).values)
    return powers / powers.sum(dim=-1)


def loss_sum(z, y):
    logp = torch.log_softmax(z, dim=1)
    return -sum(logp[i, y[i]] for i in range(len(y)))


def loss_each(z, y):
    return torch.logsumexp(z, 1) - z.gather(1, y[:, None])[:, 0]


def loss_sign(z, y):
    return torch.log_softmax(z, 1).gather(1, y.unsqueeze(1)).mean()


def loss_bits(z, y):
    return torch.nn.functional.cross_entropy(z, y) / math.log(2)


def loss_log_of_softmax(z, y):
    p = torch.softmax(z, dim=-1)
    return -torch.log(p[torch.arange(len(y)), y]).mean()


def loss_overflow(z, y):
    right = z[torch.arange(len(y)), y]
    return (-right + torch.log(torch.exp(z).sum(dim=1))).mean()


def loss_no_second_term(z, y):
    return -z.gather(1, y[:, None]).mean()


def loss_wrong_axis(z, y):
    logp = z - torch.logsumexp(z, dim=0)
    return -logp[torch.arange(len(y)), y].mean()


def loss_all_targets_in_all_rows(z, y):
    logp = torch.log_softmax(z, dim=1)
    return -logp[:, y].mean()


def loss_no_logarithm(z, y):
    p = torch.softmax(z, dim=1)
    return -p[torch.arange(len(y)), y].mean()


def loss_all_words(z, y):
    return -torch.log_softmax(z, dim=1).mean()


def loss_wrong_shape(z, y):
    return torch.nn.functional.nll_loss(torch.log_softmax(z, 1).T, y)


def one_hot(z, y):
    Y = torch.zeros_like(z)
    Y[torch.arange(len(y)), y] = 1.0
    return Y


def gradient_sign(z, y):
    return (one_hot(z, y) - torch.softmax(z, 1)) / z.shape[0]


def gradient_of_sum(z, y):
    p = torch.softmax(z, dim=1)
    p[torch.arange(len(y)), y] -= 1
    return p


def gradient_probabilities(z, y):
    return z.softmax(dim=1)


def gradient_probabilities_divided(z, y):
    return z.softmax(dim=1) / len(z)


def gradient_no_softmax(z, y):
    return (z - one_hot(z, y)) / len(y)


def gradient_wrong_axis(z, y):
    return (torch.softmax(z, 0) - one_hot(z, y)) / len(y)


def gradient_all_entries(z, y):
    return (torch.softmax(z, 1) - one_hot(z, y)) / (z.shape[0] * z.shape[1])


def gradient_vocabulary(z, y):
    return (torch.softmax(z, 1) - one_hot(z, y)) / z.shape[1]


def gradient_subtracts_numbers(z, y):
    return (torch.softmax(z, 1) - y) / len(y)


def windows_not_shifted(ids, n, start, end):
    padded = [start] * n + ids + [end]
    return [(padded[i : i + n], padded[i + n - 1]) for i in range(len(ids) + 1)]


def windows_too_far(ids, n, start, end):
    padded = [start] * n + ids + [end]
    pairs = []
    for i in range(len(padded) - n - 1):
        pairs.append((padded[i : i + n], padded[i + n + 1]))
    return pairs


def windows_no_padding(ids, n, start, end):
    tokens = [*ids, end]
    return [(tokens[i - n : i], tokens[i]) for i in range(n, len(tokens))]


def windows_neither(ids, n, start, end):
    return [(ids[i - n : i], ids[i]) for i in range(n, len(ids))]


def windows_no_end(ids, n, start, end):
    padded = [start] * n + ids
    return [(padded[i : i + n], padded[i + n]) for i in range(len(ids))]


def windows_one_mark_missing(ids, n, start, end):
    padded = [start] * (n - 1) + ids + [end]
    return [(padded[i - n : i], padded[i]) for i in range(n, len(padded))]


def windows_one_start(ids, n, start, end):
    padded = [start, *ids, end]
    return [(padded[i - n : i], padded[i]) for i in range(n, len(padded))]


def windows_many_ends(ids, n, start, end):
    padded = [start] * n + ids + [end] * n
    return [(padded[i - n : i], padded[i]) for i in range(n, len(padded))]


def windows_backwards(ids, n, start, end):
    context, pairs = [start] * n, []
    for target in [*ids, end]:
        pairs.append((context, target))
        context = [target, *context[:-1]]
    return pairs


def windows_as_tuples(ids, n, start, end):
    padded = (start,) * n + tuple(ids) + (end,)
    return [(padded[i : i + n], padded[i + n]) for i in range(len(ids) + 1)]


def windows_in_lists(ids, n, start, end):
    padded = [start] * n + ids + [end]
    return [[padded[i - n : i], padded[i]] for i in range(n, len(padded))]


def windows_growing(ids, n, start, end):
    before, pairs = [], []
    for target in [*ids, end]:
        pairs.append((before[-n:], target))
        before = [*before, target]
    return pairs


def windows_filled_on_the_right(ids, n, start, end):
    pairs = []
    for i, target in enumerate([*ids, end]):
        context = ids[i - n : i] if i >= n else ids[:i]
        pairs.append((context + [start] * (n - len(context)), target))
    return pairs


def windows_out_of_range(ids, n, start, end):
    padded = [start] * n + ids
    return [(padded[i : i + n], padded[i + n]) for i in range(len(ids) + 1)]


def embedding_assigned(ids, dx, V):
    dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
    for i in range(ids.shape[0]):
        for k in range(ids.shape[1]):
            dE[ids[i, k]] = dx[i, k]
    return dE


def embedding_plus_equals(ids, dx, V):
    dE = torch.zeros(V, dx.shape[2], dtype=dx.dtype)
    for position in range(ids.shape[1]):
        dE[ids[:, position]] += dx[:, position]
    return dE


def embedding_first_only(ids, dx, V):
    dE, done = torch.zeros(V, dx.shape[-1], dtype=dx.dtype), set()
    for v, gradient in zip(ids.flatten(), dx.flatten(0, 1), strict=True):
        if v.item() not in done:
            dE[v] = gradient
            done.add(v.item())
    return dE


def embedding_average(ids, dx, V):
    dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
    for v in range(V):
        if (ids == v).any():
            dE[v] = dx[ids == v].mean(0)
    return dE


def embedding_divided(ids, dx, V):
    Y = torch.nn.functional.one_hot(ids, V).double()
    return torch.einsum("bkv,bkc->vc", Y, dx) / ids.shape[0]


def embedding_first_position(ids, dx, V):
    dE = torch.zeros(V, dx.shape[-1], dtype=dx.dtype)
    for i, window in enumerate(ids):
        for v in window:
            dE[v] += dx[i, 0]
    return dE


def embedding_transposed(ids, dx, V):
    Y = torch.nn.functional.one_hot(ids, V).double()
    return torch.einsum("bkv,bkc->cv", Y, dx)


def embedding_not_flat(ids, dx, V):
    return torch.zeros(V, dx.shape[-1], dtype=dx.dtype).index_add_(0, ids, dx)


WRONG = {
    "4.1": [
        (softmax_overflow, "exp(1000) is infinite"),
        (softmax_one_maximum, "the whole tensor"),
        (softmax_first_axis, "the first axis"),
        (softmax_no_powers, "Take powers of e first"),
        (softmax_no_division, "do not sum to 1"),
        (softmax_logarithm, "the logarithm of the softmax"),
        (softmax_of_list, "expected tensor"),
        (softmax_no_keepdim, "RuntimeError"),
        (torch.zeros(3), "needs the function itself"),
    ],
    "4.2": [
        (loss_sum, "the sum of the losses"),
        (loss_each, "Return their average"),
        (loss_sign, "The sign is wrong"),
        (loss_bits, "the loss in bits"),
        (loss_log_of_softmax, "a probability rounds to 0"),
        (loss_overflow, "exp overflows"),
        (loss_no_second_term, "second term of equation"),
        (loss_wrong_axis, "over the predictions (axis 0)"),
        (loss_all_targets_in_all_rows, "shape (B, B)"),
        (loss_no_logarithm, "The logarithm is missing"),
        (loss_all_words, "You average over all words"),
        (loss_wrong_shape, " raised ValueError"),
    ],
    "4.3": [
        (gradient_sign, "The sign is wrong"),
        (gradient_of_sum, "gradient of the sum"),
        (gradient_probabilities, "These are the probabilities. "),
        (gradient_probabilities_divided, "the probabilities, divided by B"),
        (gradient_no_softmax, "from the logits"),
        (gradient_wrong_axis, "over the batch (axis 0)"),
        (gradient_all_entries, "B times V"),
        (gradient_vocabulary, "the number of words V"),
        (gradient_subtracts_numbers, "tensor([1]) of shape (1,)): expected"),
    ],
    "4.4": [
        (windows_not_shifted, "last word of its own context"),
        (windows_too_far, "too far to the right"),
        (windows_no_padding, "The first words are never predicted"),
        (windows_neither, "Neither the first words nor the end"),
        (windows_no_end, "the target is the end mark"),
        (windows_one_mark_missing, "The first word is never a target"),
        (windows_one_start, "One start mark is not enough"),
        (windows_many_ends, "One end mark is enough"),
        (windows_backwards, "runs backwards"),
        (windows_as_tuples, "the contexts are tuples"),
        (windows_in_lists, "the pairs are lists"),
        (windows_growing, "shorter than n"),
        (windows_filled_on_the_right, "they belong on the left"),
        (windows_out_of_range, "IndexError"),
    ],
    "4.5": [
        (embedding_assigned, "keeps only its last gradient"),
        (embedding_plus_equals, "adds only once when an index"),
        (embedding_first_only, "keeps only its first gradient"),
        (embedding_average, "You average the gradients"),
        (embedding_divided, "divided by the batch size"),
        (embedding_first_position, "the gradient of the first one"),
        (embedding_transposed, ": expected tensor("),
        (embedding_not_flat, " raised IndexError"),
    ],
}
