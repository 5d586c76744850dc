"""What learners write for the exercises of chapter 9, and what they are told."""

import math

import torch
from torch import nn


def stream_plain(ids, E, P):
    return E[ids] + P[: ids.shape[1]]


def stream_scaled_late(ids, E, P):
    x = E[ids] + P[: ids.size(1)]
    return x * E.shape[1] ** 0.5


def stream_divided(ids, E, P):
    return (
        nn.functional.embedding(ids, E) / E.shape[1] ** 0.5 + P[: len(ids[0])]
    )


def stream_by_width(ids, E, P):
    return E.shape[1] * E[ids] + P[: len(ids[0])]


def stream_by_vocabulary(ids, E, P):
    return len(E) ** 0.5 * E[ids] + P[: len(ids[0])]


def stream_by_time(ids, E, P):
    return ids.shape[-1] ** 0.5 * E[ids] + P[: len(ids[0])]


def stream_twice(ids, E, P):
    x = math.sqrt(E.shape[1]) * E[ids] + P[: len(ids[0])]
    return x + P[: len(ids[0])]


def stream_positions_scaled(ids, E, P):
    return E[ids] + P[: len(ids[0])] * E.shape[1] ** 0.5


def stream_no_positions(ids, E, P):
    return E[ids] * E.shape[1] ** 0.5


def stream_position_of_id(ids, E, P):
    return E[ids] * E.shape[1] ** 0.5 + P[ids]


def stream_one_position(ids, E, P):
    return E[ids] * E.shape[1] ** 0.5 + P[0]


def stream_last_positions(ids, E, P):
    return E[ids] * E.shape[1] ** 0.5 + P[-len(ids[0]) :]


def stream_whole_table(ids, E, P):
    return E[ids] * E.shape[1] ** 0.5 + P


def column(labels, start_id):
    return torch.full((len(labels), 1), start_id)


def shift_not(labels, start_id):
    return labels.clone()


def shift_left(labels, start_id):
    return torch.hstack([labels[:, 1:], column(labels, start_id)])


def shift_rolled(labels, start_id):
    return torch.roll(labels, 1, 1)


def shift_too_long(labels, start_id):
    return torch.hstack([column(labels, start_id), labels])


def shift_over(labels, start_id):
    labels = labels.clone()
    labels[:, 0] = start_id
    return labels


def shift_without_start(labels, start_id):
    return labels[:, :-1]


def shift_by_two(labels, start_id):
    start = column(labels, start_id)
    return torch.hstack([start, start, labels[:, :-2]])


def shift_zero(labels, start_id):
    return nn.functional.pad(labels[:, :-1], (1, 0))


def shift_repeated(labels, start_id):
    return torch.hstack([labels[:, :1], labels[:, :-1]])


def shift_in_place(labels, start_id):
    labels[:, 1:] = labels[:, :-1].clone()
    labels[:, 0] = start_id
    return labels


def shift_raises(labels, start_id):
    return torch.cat([start_id, labels[:, :-1]], dim=1)


def count_head_twice(V, T, C, L, d_ff, tied):
    layer = 4 * C * C + 2 * C * d_ff + d_ff + 9 * C
    return 2 * V * C + T * C + L * layer + 2 * C


def count_no_head(V, T, C, L, d_ff, tied):
    layer = 4 * C * C + 2 * C * d_ff + d_ff + 9 * C
    return V * C + T * C + L * layer + 2 * C


def count_inverted(V, T, C, L, d_ff, tied):
    return count_no_head(V, T, C, L, d_ff, tied) + tied * V * C


def count_no_bias(V, T, C, L, d_ff, tied):
    layer = 4 * C * C + 2 * C * d_ff + 4 * C
    return (2 - tied) * V * C + T * C + L * layer + 2 * C


def count_no_norms(V, T, C, L, d_ff, tied):
    layer = 4 * (C * C + C) + 2 * C * d_ff + d_ff + C
    return (2 - tied) * V * C + T * C + L * layer


def count_no_final_norm(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - 2 * C


def count_one_norm(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - 2 * C * L


def count_right(V, T, C, L, d_ff, tied):
    return count_no_head(V, T, C, L, d_ff, tied) + (not tied) * V * C


def count_four(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, 4 * C, tied)


def count_three_maps(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - L * (C * C + C)


def count_one_matrix(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - L * C * d_ff


def count_equal_biases(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - L * d_ff + L * C


def count_no_positions(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) - T * C


def count_large_head(V, T, C, L, d_ff, tied):
    return count_right(V, T, C, L, d_ff, tied) + (0 if tied else V)


def count_short(V, T, C, L, d_ff, tied):
    return V * C + 12 * L * C * C


def tie_nothing(tokens, head):
    return head


def tie_copy(tokens, head):
    head.weight = nn.Parameter(tokens.weight.clone())
    return head


def tie_copy_in_place(tokens, head):
    with torch.no_grad():
        head.weight.copy_(tokens.weight)
    return head


def tie_data(tokens, head):
    head.weight.data = tokens.weight.data
    return head


def tie_state(tokens, head):
    head.load_state_dict(tokens.state_dict())
    return head


def tie_wrapped(tokens, head):
    head.weight = nn.Parameter(tokens.weight)
    return head


def tie_transposed(tokens, head):
    head.weight = nn.Parameter(tokens.weight.T)
    return head


def tie_the_other_way(tokens, head):
    tokens.weight = head.weight
    return head


def tie_local_name(tokens, head):
    weight = head.weight
    weight = tokens.weight  # noqa: F841
    return head


def tie_returns_nothing(tokens, head):
    head.weight = tokens.weight


def tie_new_layer(tokens, head):
    V, C = tokens.weight.shape
    new = nn.Linear(C, V, bias=False)
    new.weight = tokens.weight
    return new


def tie_tensor(tokens, head):
    head.weight = tokens.weight.data
    return head


def tie_mean(tokens, head):
    head.weight.data = (head.weight.data + tokens.weight.data) / 2
    return head


def mask_of(x):
    return torch.tril(torch.ones(x.shape[1], x.shape[1])).bool()


def decoder(x, memory, real, parts, mask="causal", keys=None, source="real"):
    first, second, third = parts["norms"]
    masks = {"causal": mask_of(x), "none": None, "future": ~mask_of(x)}
    h = first(x)
    x = x + parts["attention"](h, h, masks[mask])
    h = second(x)
    sources = {
        "real": real.unsqueeze(1),
        "none": None,
        "padding": ~real.unsqueeze(1),
        "last": real.unsqueeze(2),
        "flat": real,
        "causal": mask_of(x),
    }
    seen = memory if keys is None else keys(h)
    x = x + parts["cross_attention"](h, seen, sources[source])
    return x + parts["feed_forward"](third(x))


def decode_no_causal(x, memory, real, parts):
    return decoder(x, memory, real, parts, mask="none")


def decode_future(x, memory, real, parts):
    return decoder(x, memory, real, parts, mask="future")


def decode_keys_of_target(x, memory, real, parts):
    return decoder(x, memory, real, parts, keys=lambda h: h, source="none")


def decode_keys_of_target_with_real(x, memory, real, parts):
    return decoder(x, memory, real, parts, keys=lambda h: h)


def decode_no_real(x, memory, real, parts):
    return decoder(x, memory, real, parts, source="none")


def decode_padding_only(x, memory, real, parts):
    return decoder(x, memory, real, parts, source="padding")


def decode_wrong_axis(x, memory, real, parts):
    return decoder(x, memory, real, parts, source="last")


def decode_no_axis(x, memory, real, parts):
    return decoder(x, memory, real, parts, source="flat")


def decode_causal_cross(x, memory, real, parts):
    return decoder(x, memory, real, parts, source="causal")


def decode_memory_normed(x, memory, real, parts):
    return decoder(x, parts["norms"][1](memory), real, parts)


def decode_overwritten(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = parts["attention"](first(x), first(x), mask_of(x))
    x = parts["cross_attention"](second(x), memory, real[:, None])
    return parts["feed_forward"](third(x))


def decode_first_overwritten(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = parts["attention"](first(x), first(x), mask_of(x))
    x = x + parts["cross_attention"](second(x), memory, real[:, None])
    return x + parts["feed_forward"](third(x))


def decode_last_overwritten(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = x + parts["attention"](first(x), first(x), mask_of(x))
    x = x + parts["cross_attention"](second(x), memory, real[:, None])
    return parts["feed_forward"](third(x))


def decode_on_the_norm(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = first(x)
    x = x + parts["attention"](x, x, mask_of(x))
    x = second(x)
    x = x + parts["cross_attention"](x, memory, real[:, None])
    x = third(x)
    return x + parts["feed_forward"](x)


def decode_post_norm(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = first(x + parts["attention"](x, x, mask_of(x)))
    x = second(x + parts["cross_attention"](x, memory, real[:, None]))
    return third(x + parts["feed_forward"](x))


def decode_no_norms(x, memory, real, parts):
    x = x + parts["attention"](x, x, mask_of(x))
    x = x + parts["cross_attention"](x, memory, real[:, None])
    return x + parts["feed_forward"](x)


def decode_one_norm(x, memory, real, parts):
    return decoder(x, memory, real, parts | {"norms": [parts["norms"][0]] * 3})


def decode_shared_attention(x, memory, real, parts):
    return decoder(
        x, memory, real, parts | {"cross_attention": parts["attention"]}
    )


def decode_cross_first(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = x + parts["cross_attention"](second(x), memory, real[:, None])
    x = x + parts["attention"](first(x), first(x), mask_of(x))
    return x + parts["feed_forward"](third(x))


def decode_parallel(x, memory, real, parts):
    first, second, third = parts["norms"]
    return (
        x
        + parts["attention"](first(x), first(x), mask_of(x))
        + parts["cross_attention"](second(x), memory, real[:, None])
        + parts["feed_forward"](third(x))
    )


def decode_raw_cross(x, memory, real, parts):
    first, _, third = parts["norms"]
    x = x + parts["attention"](first(x), first(x), mask_of(x))
    x = x + parts["cross_attention"](x, memory, real[:, None])
    return x + parts["feed_forward"](third(x))


def decode_raw_keys(x, memory, real, parts):
    first, second, third = parts["norms"]
    x = x + parts["attention"](first(x), x, mask_of(x))
    x = x + parts["cross_attention"](second(x), memory, real[:, None])
    return x + parts["feed_forward"](third(x))


def decode_norms_reversed(x, memory, real, parts):
    return decoder(x, memory, real, parts | {"norms": parts["norms"][::-1]})


def decode_normed_at_the_end(x, memory, real, parts):
    return parts["norms"][2](decoder(x, memory, real, parts))


def decode_no_cross(x, memory, real, parts):
    first, _, third = parts["norms"]
    x = x + parts["attention"](first(x), first(x), mask_of(x))
    return x + parts["feed_forward"](third(x))


def stream_from_one(ids, E, P):
    places = torch.arange(ids.shape[1]) + 1
    return math.sqrt(E.shape[1]) * E[ids] + P[1 : len(places) + 1]


def stream_rows_of_batch(ids, E, P):
    return math.sqrt(E.shape[1]) * E[ids] + P[: len(ids)]


def shift_batch(labels, start_id):
    start = torch.full((1, labels.shape[1]), start_id)
    return torch.cat([start, labels[:-1]], dim=0)


def shift_start_last(labels, start_id):
    start = torch.full((len(labels), 1), start_id)
    return torch.cat([labels[:, :-1], start], dim=1)


def count_decoder(V, T, C, L, d_ff, tied):
    layer = 8 * (C * C + C) + 2 * C * d_ff + d_ff + C + 6 * C
    return V * C + T * C + L * layer + 2 * C + (0 if tied else V * C)


def count_three_norms(V, T, C, L, d_ff, tied):
    layer = 4 * (C * C + C) + 2 * C * d_ff + d_ff + C + 6 * C
    return V * C + T * C + L * layer + 2 * C + (0 if tied else V * C)


def count_positions_often(V, T, C, L, d_ff, tied):
    layer = T * C + 4 * (C * C + C) + 2 * C * d_ff + d_ff + C + 4 * C
    return V * C + L * layer + 2 * C + (0 if tied else V * C)


def count_one_layer(V, T, C, L, d_ff, tied):
    layer = 4 * (C * C + C) + 2 * C * d_ff + d_ff + C + 4 * C
    return V * C + T * C + layer + 2 * C + (0 if tied else V * C)


def tie_none(tokens, head):
    head.weight = None
    return head


def tie_deleted(tokens, head):
    head.weight = tokens.weight
    del tokens.weight
    return head


WRONG = {
    "9.1": [
        (stream_plain, "The factor is missing"),
        (stream_scaled_late, "You scale the sum"),
        (stream_divided, "You divide by the root of C"),
        (stream_by_width, "You multiply by C."),
        (stream_by_vocabulary, "the root of V"),
        (stream_by_time, "the root of T"),
        (stream_twice, "added twice"),
        (stream_positions_scaled, "You scale the positions"),
        (stream_no_positions, "The positions are missing"),
        (stream_position_of_id, "by the ids of the tokens"),
        (stream_one_position, "have the same position"),
        (stream_last_positions, "the last rows of P"),
        (stream_from_one, "begin at 1"),
        (stream_rows_of_batch, "as there are sequences"),
        (stream_whole_table, " raised RuntimeError"),
    ],
    "9.2": [
        (shift_not, "not shifted"),
        (shift_left, "shift to the left"),
        (shift_rolled, "You roll the labels"),
        (shift_too_long, "one token too long"),
        (shift_over, "over the first label"),
        (shift_without_start, "The start token is missing"),
        (shift_by_two, "by two places"),
        (shift_zero, "always 0"),
        (shift_repeated, "repeat the first label"),
        (shift_in_place, "changes its argument"),
        (shift_batch, "along the batch"),
        (shift_start_last, "stands at the end"),
        (shift_raises, " raised TypeError"),
    ],
    "9.3": [
        (count_head_twice, "count the tied head twice"),
        (count_no_head, "never count the head"),
        (count_inverted, "the wrong way round"),
        (count_large_head, "has no bias here"),
        (count_no_bias, "All biases of the linear layers"),
        (count_no_norms, "All norms are missing"),
        (count_no_final_norm, "The final norm is missing"),
        (count_one_norm, "one norm in each layer"),
        (count_four, "You take 4 C"),
        (count_three_maps, "four maps"),
        (count_one_matrix, "two matrices"),
        (count_equal_biases, "have different lengths"),
        (count_no_positions, "table of positions is missing"),
        (count_decoder, "This is a decoder layer"),
        (count_three_norms, "three norms"),
        (count_positions_often, "the positions in each layer"),
        (count_one_layer, "You count one layer"),
        (count_short, "expected 106, got"),
    ],
    "9.4": [
        (tie_nothing, "still has its own numbers"),
        (tie_local_name, "still has its own numbers"),
        (tie_copy, "holds a copy"),
        (tie_copy_in_place, "holds a copy"),
        (tie_state, "holds a copy"),
        (tie_data, "share one memory"),
        (tie_wrapped, "share one memory"),
        (tie_transposed, "no transpose is needed"),
        (tie_the_other_way, "changed the table of tokens"),
        (tie_returns_nothing, "returned None"),
        (tie_new_layer, "not the head it was given"),
        (tie_tensor, "raised TypeError"),
        (tie_mean, "does not hold the table"),
        (tie_none, "head has no weight"),
        (tie_deleted, "tokens has no weight"),
    ],
    "9.5": [
        (decode_no_causal, "The causal mask is forgotten"),
        (decode_future, "look at what comes after them"),
        (decode_keys_of_target, "come from the target"),
        (decode_keys_of_target_with_real, "come from the target"),
        (decode_no_real, "does not reach cross-attention"),
        (decode_padding_only, "padding is inverted"),
        (decode_wrong_axis, "The axis of `real`"),
        (decode_no_axis, "The axis of `real`"),
        (decode_causal_cross, "causal mask in cross-attention"),
        (decode_memory_normed, "You normalise the memory"),
        (decode_overwritten, "Every residual is overwritten"),
        (decode_first_overwritten, "overwritten: attention replaces x"),
        (decode_last_overwritten, "the feed-forward network replaces x"),
        (decode_on_the_norm, "You add to the normalised vectors"),
        (decode_post_norm, "This is post-norm"),
        (decode_no_norms, "The norms are missing"),
        (decode_one_norm, "the first norm three times"),
        (decode_shared_attention, "the same attention twice"),
        (decode_cross_first, "Cross-attention comes before attention"),
        (decode_no_cross, "Cross-attention is missing"),
        (decode_parallel, "read the same x"),
        (decode_raw_cross, "Cross-attention reads the stream without"),
        (decode_raw_keys, "without the norm. Normalise once"),
        (decode_norms_reversed, "in the wrong order"),
        (decode_normed_at_the_end, "You normalise the result"),
    ],
}
