"""What learners write for the exercises of chapter 6, and what they are told."""

import math

import torch


def split_by_view(x, H):
    B, T, C = x.shape
    return x.view(B, H, T, C // H)


def split_not_exchanged(x, H):
    return x.reshape(x.shape[0], x.shape[1], H, -1)


def split_every_nth(x, H):
    return torch.stack([x[:, :, h::H] for h in range(H)], dim=1)


def split_last_axes(x, H):
    return x.unflatten(-1, (H, -1)).permute(0, 2, 3, 1)


def split_into_d(x, H):
    B, T, C = x.shape
    return x.view(B, T, C // H, H).transpose(1, 2)


def split_one_head(x, H):
    return x[:, None]


def cut(x, H):
    return torch.stack(x.chunk(H, dim=-1), dim=1)


def join(x):
    return torch.cat(list(x.unbind(1)), dim=-1)


def attend(q, k, v, real, divisor):
    z = torch.einsum("bhtd,bhsd->bhts", q, k) / divisor
    z = z.masked_fill(real.logical_not()[:, None, None, :], -1e30)
    return torch.einsum("bhts,bhsd->bhtd", z.softmax(-1), v)


def cross_root_of_width(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    return join(attend(q, k, v, real, math.sqrt(x.shape[-1]))) @ W_O


def cross_no_root(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    return join(attend(q, k, v, real, 1)) @ W_O


def cross_by_size(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    return join(attend(q, k, v, real, q.shape[-1])) @ W_O


def cross_split_by_view(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = (
        split_by_view(a, H) for a in (x @ W_Q, memory @ W_K, memory @ W_V)
    )
    return join(attend(q, k, v, real, q.shape[-1] ** 0.5)) @ W_O


def cross_merge_by_reshape(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    return attend(q, k, v, real, q.shape[-1] ** 0.5).reshape(x.shape) @ W_O


def cross_both_by_view(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = (
        split_by_view(a, H) for a in (x @ W_Q, memory @ W_K, memory @ W_V)
    )
    return attend(q, k, v, real, q.shape[-1] ** 0.5).reshape(x.shape) @ W_O


def cross_pytorch_mask(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(
        real[:, None, None], float("-inf")
    )
    return join(z.softmax(-1) @ v) @ W_O


def cross_no_mask(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    everything = torch.ones_like(real)
    return join(attend(q, k, v, everything, q.shape[-1] ** 0.5)) @ W_O


def cross_mask_late(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    A = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) * real[:, None, None]
    return join(A @ v) @ W_O


def cross_mask_zero(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = (q @ k.mT / q.shape[-1] ** 0.5) * real[:, None, None]
    return join(z.softmax(-1) @ v) @ W_O


def cross_mask_rows(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = q @ k.mT / q.shape[-1] ** 0.5
    z = z.masked_fill(~real[:, None, :, None], -1e30)
    return join(z.softmax(-1) @ v) @ W_O


def cross_wrong_axis(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = q @ k.mT / q.shape[-1] ** 0.5
    z = z.masked_fill(~real[:, None, None], -1e9)
    return join(torch.softmax(z, dim=2) @ v) @ W_O


def cross_over_heads(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = q @ k.mT / q.shape[-1] ** 0.5
    z = z.masked_fill(~real[:, None, None], -1e30)
    return join(torch.softmax(z, dim=1) @ v) @ W_O


def cross_all_nan(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    z = q @ k.mT / q.shape[-1] ** 0.5
    z = z.masked_fill(~real[:, None, None], -math.inf)
    return join(torch.softmax(z, dim=1) @ v) @ W_O


def cross_is_self(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(x @ W_K, H), cut(x @ W_V, H)
    z = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(
        ~real[:, None, None], -torch.inf
    )
    return join(z.softmax(-1) @ v) @ W_O


def cross_values_of_x(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(x @ W_V, H)
    z = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(
        ~real[:, None, None], -torch.inf
    )
    return join(z.softmax(-1) @ v) @ W_O


def cross_exchanged(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(memory @ W_Q, H), cut(x @ W_K, H), cut(x @ W_V, H)
    z = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(
        ~real[:, None, None], -torch.inf
    )
    return join(z.softmax(-1) @ v) @ W_O


def cross_without_out(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q, H), cut(memory @ W_K, H), cut(memory @ W_V, H)
    return join(attend(q, k, v, real, q.shape[-1] ** 0.5))


def cross_transposed(x, memory, real, W_Q, W_K, W_V, W_O, H):
    q, k, v = cut(x @ W_Q.T, H), cut(memory @ W_K.T, H), cut(memory @ W_V.T, H)
    return join(attend(q, k, v, real, q.shape[-1] ** 0.5)) @ W_O.T


def count_flops(T, S, C, H):
    return 4 * (T * C**2 + S * C**2 + T * S * C)


def count_self(T, S, C, H):
    return 4 * T * C * C + 2 * T * T * C


def count_t_only(T, S, C, H):
    return 4 * T * C * C + 2 * T * S * C


def count_s_only(T, S, C, H):
    return 4 * S * C * C + 2 * T * S * C


def count_out_of_s(T, S, C, H):
    return (T + 3 * S) * C * C + 2 * T * S * C


def count_three_maps(T, S, C, H):
    return (T + 2 * S) * C * C + 2 * T * S * C


def count_scores_only(T, S, C, H):
    return 2 * (T + S) * C * C + T * S * C


def count_heads_twice(T, S, C, H):
    return 2 * (T + S) * C * C + H * 2 * T * S * C


def count_one_head(T, S, C, H):
    return 2 * (T + S) * C * C + 2 * T * S * (C // H)


def count_all_of_one_head(T, S, C, H):
    D = C // H
    return 2 * (T + S) * C * D + 2 * T * S * D


def count_maps(T, S, C, H):
    return 2 * (T + S) * C * C


def count_products(T, S, C, H):
    return 2 * T * S * C


def count_text(T, S, C, H):
    return "2TC² + 2SC² + 2TSC"


def band(T, low, high):
    return torch.ones(T, T).tril(-low).triu(-high).bool()


def with_anchor(mask):
    mask[:, 0] = True
    return mask


def window_too_long(T, w):
    return with_anchor(band(T, 0, w))


def window_too_short(T, w):
    return with_anchor(band(T, 0, w - 2))


def window_without_itself(T, w):
    return with_anchor(band(T, 1, w))


def window_two_sides(T, w):
    return with_anchor(band(T, -(w - 1), w - 1))


def window_ahead(T, w):
    return with_anchor(torch.ones(T, T).triu(-(w - 1)).bool())


def window_transposed(T, w):
    return with_anchor(band(T, 0, w - 1)).mT


def window_no_anchor(T, w):
    return band(T, 0, w - 1)


def window_row(T, w):
    mask = band(T, 0, w - 1)
    mask[0, :] = True
    return mask


def window_causal(T, w):
    return torch.tril(torch.ones(T, T)).bool()


def window_inverted(T, w):
    return with_anchor(band(T, 0, w - 1)).logical_not()


def window_numbers(T, w):
    return with_anchor(band(T, 0, w - 1)).float()


def window_list(T, w):
    return with_anchor(band(T, 0, w - 1)).tolist()


def step_no_repair(m, s, o, z, v):
    new = max(m, z.max())
    p = torch.exp(z - new)
    return new, s + p.sum(), o + p @ v


def step_sum_forgotten(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p = torch.exp(z - new)
    return new, s + p.sum(), torch.exp(m - new) * o + p @ v


def step_output_forgotten(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p = torch.exp(z - new)
    return new, s * torch.exp(m - new) + p.sum(), o + p @ v


def step_block_maximum(m, s, o, z, v):
    new = z.max()
    p, r = torch.exp(z - new), torch.exp(m - new)
    return new, s * r + p.sum(), o * r + p @ v


def step_upside_down(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p, r = torch.exp(z - new), torch.exp(new - m)
    return new, s * r + p.sum(), o * r + p @ v


def step_new_terms(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p = torch.exp(z - new) * torch.exp(m - new)
    return new, s + p.sum(), o + p @ v


def step_old_maximum(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p, r = torch.exp(z - m), torch.exp(m - new)
    return new, s * r + p.sum(), o * r + p @ v


def step_no_maximum(m, s, o, z, v):
    p = torch.exp(z)
    return torch.maximum(m, z.max()), s + p.sum(), o + p @ v


def step_divided(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p, r = torch.exp(z - new), torch.exp(m - new)
    total = s * r + p.sum()
    return new, total, (o * r + p @ v) / total


def step_returns_old(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p, r = torch.exp(z - new), torch.exp(m - new)
    return m, s * r + p.sum(), o * r + p @ v


def step_in_place(m, s, o, z, v):
    new = torch.maximum(m, z.max())
    p, r = torch.exp(z - new), torch.exp(m - new)
    s *= r
    o *= r
    return new, s + p.sum(), o + p @ v


WRONG = {
    "6.1": [
        (split_by_view, "keeps the order in memory"),
        (split_not_exchanged, "has the shape (B, T, H, D)"),
        (split_every_nth, "every H-th number"),
        (split_last_axes, "The last two axes are exchanged"),
        (split_into_d, "into D pieces of H numbers"),
        (split_one_head, "should have shape (1, 2, 2, 2)"),
    ],
    "6.2": [
        (cross_root_of_width, "You divide by the root of C"),
        (cross_no_root, "not divided by the root of the head size"),
        (cross_by_size, "You divide the scores by D"),
        (cross_split_by_view, "heads are cut by `view`"),
        (cross_merge_by_reshape, "merged without a transpose"),
        (cross_both_by_view, "Both the split and the merge"),
        (cross_pytorch_mask, "mask has the opposite meaning"),
        (cross_no_mask, "`real` has no effect"),
        (cross_mask_late, "You mask after the softmax"),
        (cross_mask_zero, "set the scores of padding to 0"),
        (cross_mask_rows, "on the axis of the tokens that look"),
        (cross_wrong_axis, "softmax runs over the tokens that look"),
        (cross_over_heads, "softmax runs over the heads"),
        (cross_all_nan, "Your result is NaN"),
        (cross_is_self, "this is self-attention"),
        (cross_values_of_x, "The values come from x"),
        (cross_exchanged, "The roles are exchanged"),
        (cross_without_out, "The last step of (6.1) is missing"),
        (cross_transposed, "by the transposed matrices"),
    ],
    "6.3": [
        (count_flops, "This is twice the number"),
        (count_self, "This is self-attention over T tokens"),
        (count_t_only, "you project only T tokens"),
        (count_s_only, "you project only S tokens"),
        (count_out_of_s, "The output projection works on"),
        (count_three_maps, "One projection is missing"),
        (count_scores_only, "One of the two large products"),
        (count_heads_twice, "H times too many operations"),
        (count_one_head, "the scores and the mixing of one head"),
        (count_all_of_one_head, "the count of one head only"),
        (count_maps, "You count the projections only"),
        (count_products, "You count the scores and the mixing only"),
        (count_text, "expected 32"),
    ],
    "6.4": [
        (window_too_long, "it shows w positions before"),
        (window_too_short, "one position too short"),
        (window_without_itself, "cannot see themselves"),
        (window_two_sides, "Your window has two sides"),
        (window_ahead, "everything that comes later"),
        (window_transposed, "Rows and columns are exchanged"),
        (window_no_anchor, "the first token is hidden"),
        (window_row, "You set row 0"),
        (window_causal, "there is no window"),
        (window_inverted, "may NOT look"),
        (window_numbers, "these are numbers"),
        (window_list, "window_list(4, 2)"),
    ],
    "6.5": [
        (step_no_repair, "The old sums are not repaired"),
        (step_sum_forgotten, "The old sum s is not repaired"),
        (step_output_forgotten, "The old output o is not repaired"),
        (step_block_maximum, "that of the block alone"),
        (step_upside_down, "Your factor is upside down"),
        (step_new_terms, "You multiply the new terms"),
        (step_old_maximum, "Your new terms use the old maximum"),
        (step_no_maximum, "never subtract the maximum"),
        (step_divided, "You divide o by s in each step"),
        (step_returns_old, "you return the old maximum"),
        (step_in_place, "your function changes its argument"),
    ],
}
