"""What learners write for the exercises of chapter 5, and what they are told."""

import math

import torch


def attention_no_root(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return (q @ k.mT).softmax(-1) @ v


def attention_divides_by_size(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return (q @ k.mT / W_Q.shape[1]).softmax(-1) @ v


def attention_root_of_width(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return (q @ k.mT / x.shape[-1] ** 0.5).softmax(-1) @ v


def attention_root_of_time(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return (q @ k.mT / x.shape[1] ** 0.5).softmax(-1) @ v


def attention_wrong_axis(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    scores = torch.einsum("btd,bsd->bts", q, k) / math.sqrt(q.size(-1))
    return torch.softmax(scores, dim=1) @ v


def attention_batch_axis(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    scores = torch.einsum("btd,bsd->bts", q, k) / math.sqrt(q.size(-1))
    return torch.softmax(scores, dim=0) @ v


def attention_no_softmax(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return (q @ k.mT) @ v / math.sqrt(W_Q.shape[-1])


def attention_no_normaliser(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return torch.exp(q @ k.mT / math.sqrt(W_Q.shape[-1])) @ v


def attention_exchanged(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return torch.softmax(k @ q.mT / math.sqrt(W_Q.shape[-1]), -1) @ v


def attention_without_values(x, W_Q, W_K, W_V):
    q, k = x @ W_Q, x @ W_K
    return torch.softmax(q @ k.mT / math.sqrt(W_Q.shape[-1]), -1) @ x


def attention_weights_only(x, W_Q, W_K, W_V):
    q, k = x @ W_Q, x @ W_K
    return torch.softmax(q @ k.mT / math.sqrt(W_Q.shape[-1]), -1)


def attention_scaled_late(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return torch.softmax(q @ k.mT, -1) @ v / math.sqrt(W_Q.shape[-1])


def attention_not_transposed(x, W_Q, W_K, W_V):
    q, k, v = x @ W_Q, x @ W_K, x @ W_V
    return torch.softmax(q @ k / math.sqrt(W_Q.shape[-1]), -1) @ v


def triangle(ids, diagonal=0):
    T = ids.shape[1]
    return torch.tril(torch.ones(T, T), diagonal=diagonal).bool()


def look_one_ahead(ids, pad_id):
    return triangle(ids, 1) & (ids != pad_id).unsqueeze(1)


def look_not_at_itself(ids, pad_id):
    return triangle(ids, -1) & (ids != pad_id).unsqueeze(1)


def look_upper(ids, pad_id):
    T = ids.shape[1]
    future = torch.triu(torch.ones(T, T)).bool()
    return future & (ids != pad_id).unsqueeze(1)


def look_float(ids, pad_id):
    T = ids.shape[1]
    return torch.tril(torch.ones(T, T)) * (ids != pad_id).unsqueeze(1)


def look_inverted(ids, pad_id):
    T = ids.shape[1]
    future = torch.triu(torch.ones(T, T), diagonal=1).bool()
    return future | (ids == pad_id).unsqueeze(1)


def look_at_padding_only(ids, pad_id):
    return triangle(ids) & (ids == pad_id).unsqueeze(1)


def look_query_axis(ids, pad_id):
    return triangle(ids) & (ids != pad_id).unsqueeze(2)


def look_both_axes(ids, pad_id):
    real = ids != pad_id
    return triangle(ids) & real.unsqueeze(1) & real.unsqueeze(2)


def look_causal_only(ids, pad_id):
    return torch.stack([triangle(ids)] * len(ids))


def look_padding_only(ids, pad_id):
    return (ids != pad_id)[:, None].repeat(1, ids.shape[1], 1)


def look_zero(ids, pad_id):
    return triangle(ids) & (ids != 0).unsqueeze(1)


def look_or(ids, pad_id):
    return triangle(ids) | (ids != pad_id).unsqueeze(1)


def look_no_batch_axis(ids, pad_id):
    return triangle(ids) & (ids != pad_id)


def masked_nan(scores, mask):
    scores[~mask] = float("-inf")
    return torch.softmax(scores, dim=-1)


def masked_divided_again(scores, mask):
    weights = torch.softmax(scores, dim=-1) * mask
    return weights / weights.sum(dim=-1, keepdim=True)


def masked_too_late(scores, mask):
    return torch.softmax(scores, dim=-1).masked_fill(~mask, 0)


def masked_by_zero(scores, mask):
    return torch.softmax(scores * mask, dim=-1)


def masked_by_zero_twice(scores, mask):
    return torch.softmax(scores * mask, dim=-1) * mask


def masked_uniform(scores, mask):
    return torch.softmax(scores.masked_fill(~mask, -1e300), dim=-1)


def masked_by_adding(scores, mask):
    return torch.softmax(scores + (1.0 - mask.double()) * -1e9, dim=-1)


def masked_inverted(scores, mask):
    return torch.softmax(scores.masked_fill(mask, -math.inf), dim=-1)


def masked_wrong_axis(scores, mask):
    return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=0)


def masked_overflow(scores, mask):
    powers = torch.where(mask, torch.exp(scores), 0.0)
    return powers / powers.sum(dim=-1, keepdim=True)


def masked_no_keepdim(scores, mask):
    powers = torch.exp(scores) * mask
    return powers / powers.sum(dim=-1)[:, :, None]


def back_diagonal(A, dA):
    return dA * (A - A**2)


def back_first_term(A, dA):
    return dA * A


def back_wrong_axis(A, dA):
    return A * (dA - torch.sum(A * dA, dim=0))


def back_whole_sum(A, dA):
    return A * dA - A * torch.sum(A * dA)


def back_no_keepdim(A, dA):
    return A * (dA - torch.sum(A * dA, dim=1))


def back_plain_sum(A, dA):
    return A * (dA - dA.sum(dim=1)[:, None])


def back_plain_mean(A, dA):
    return A * (dA - dA.mean(dim=1)[:, None])


def back_no_factor(A, dA):
    return dA - (A * dA).sum(dim=1)[:, None]


def back_parentheses(A, dA):
    return A * dA - (A * dA).sum(dim=1)[:, None]


def back_sign(A, dA):
    return A * ((A * dA).sum(dim=1)[:, None] - dA)


def maps(N, V, length=20.0, silence=-1.0):
    W_Q, W_K = torch.zeros(N + V + 1, N), torch.zeros(N + V + 1, N)
    W_V = torch.zeros(N + V + 1, V)
    for i in range(N):
        W_Q[i, i] = length * math.sqrt(N)
        W_K[i, i] = 1.0
    W_K[N + V] = silence
    for j in range(V):
        W_V[N + j, j] = 1.0
    return W_Q, W_K, W_V


def set_looks_at_itself(N, V):
    return maps(N, V, silence=0.0)


def set_too_soft(N, V):
    return maps(N, V, length=2.0)


def set_value_mixed(N, V):
    W_Q, W_K, W_V = maps(N, V)
    W_V[:N] = 1.0
    return W_Q, W_K, W_V


def set_value_shifted(N, V):
    W_Q, W_K, W_V = maps(N, V)
    return W_Q, W_K, W_V.roll(1, dims=0)


def set_turned_round(N, V):
    W_Q, W_K, W_V = maps(N, V)
    return -W_Q, W_K, W_V


def set_infinite(N, V):
    W_Q, W_K, W_V = maps(N, V)
    W_K[-1] = -math.inf
    return W_Q, W_K, W_V


def set_wrong_shape(N, V):
    W_Q, W_K, _ = maps(N, V)
    return W_Q, W_K, torch.eye(N + V + 1)


def set_two_only(N, V):
    return maps(N, V)[:2]


def set_raises(N, V):
    return torch.zeros(N, V) @ torch.zeros(N, V)


WRONG = {
    "5.1": [
        (attention_no_root, "division by the root of D is missing"),
        (attention_divides_by_size, "You divide the scores by D"),
        (attention_root_of_width, "the root of C"),
        (attention_root_of_time, "the root of T"),
        (attention_wrong_axis, "softmax runs over the queries"),
        (attention_batch_axis, "softmax runs over the batch"),
        (attention_no_softmax, "The softmax is missing"),
        (attention_no_normaliser, "do not divide them by their sum"),
        (attention_exchanged, "Queries and keys are exchanged"),
        (attention_without_values, "weighted mean of x"),
        (attention_weights_only, "These are the weights"),
        (attention_scaled_late, "You divide the weights by the root of D"),
        (attention_not_transposed, " raised RuntimeError"),
    ],
    "5.2": [
        (look_one_ahead, "token t may look at token t + 1"),
        (look_not_at_itself, "may not look at itself"),
        (look_upper, "look at what comes after them"),
        (look_float, "these are floats"),
        (look_inverted, "may NOT look"),
        (look_at_padding_only, "the padding and at nothing else"),
        (look_query_axis, "on the axis of the tokens that look"),
        (look_both_axes, "forbid that padding tokens look"),
        (look_causal_only, "only the causal rule is there"),
        (look_padding_only, "only the padding rule is there"),
        (look_zero, "takes 0 as the padding token"),
        (look_or, "combine the two rules by 'or'"),
        (look_no_batch_axis, "should have shape (1, 2, 2)"),
    ],
    "5.3": [
        (masked_nan, "they become NaN"),
        (masked_divided_again, "they become NaN"),
        (masked_too_late, "You mask after the softmax"),
        (masked_by_zero, "You set hidden scores to 0. But"),
        (masked_by_zero_twice, "and their weights afterwards"),
        (masked_uniform, "all weights are equal"),
        (masked_by_adding, "adding the same large number"),
        (masked_inverted, "Your mask is inverted"),
        (masked_wrong_axis, "over the rows (axis 0)"),
        (masked_overflow, "exp(1000) is infinite"),
        (masked_no_keepdim, " raised IndexError"),
    ],
    "5.4": [
        (back_diagonal, "only the diagonal of the Jacobian"),
        (back_first_term, "The second term of (5.7) is missing"),
        (back_wrong_axis, "over the queries (axis 0)"),
        (back_whole_sum, "over the whole matrix"),
        (back_no_keepdim, "The sum has lost its axis"),
        (back_plain_sum, "You subtract the sum of dA"),
        (back_plain_mean, "You subtract the plain mean"),
        (back_no_factor, "The factor A in front is missing"),
        (back_parentheses, "Mind the parentheses"),
        (back_sign, "The sign is wrong"),
    ],
    "5.5": [
        (set_looks_at_itself, "looks at itself"),
        (set_too_soft, "Make the queries longer"),
        (set_value_mixed, "is not the letter"),
        (set_value_shifted, "is not the letter"),
        (set_turned_round, "must be largest where the numbers are equal"),
        (set_infinite, "The output is NaN"),
        (set_wrong_shape, "the shapes should be"),
        (set_two_only, "Return three tensors"),
        (set_raises, "raised RuntimeError"),
    ],
}
