"""What learners write for the exercises of chapter 11, and what they are told."""

import math

import torch


def stable_k(logits, k):
    order = torch.sort(logits, dim=1, descending=True, stable=True).indices
    kept = torch.zeros_like(logits).scatter(1, order[:, :k], 1.0).bool()
    return torch.where(kept, logits, float("-inf"))


def sharpen_multiplies(logits, temperature, k):
    return torch.softmax(stable_k(logits * temperature, k), dim=-1)


def sharpen_probabilities(logits, temperature, k):
    p = torch.softmax(logits, dim=-1) / temperature
    return torch.softmax(stable_k(p, k), dim=-1)


def sharpen_divides_late(logits, temperature, k):
    return torch.softmax(stable_k(logits, k), dim=-1) / temperature


def sharpen_no_temperature(logits, temperature, k):
    return torch.softmax(stable_k(logits, k), dim=-1)


def sharpen_one_more(logits, temperature, k):
    return torch.softmax(stable_k(logits / temperature, k + 1), dim=-1)


def sharpen_strictly_above(logits, temperature, k):
    return torch.softmax(stable_k(logits / temperature, k - 1), dim=-1)


def sharpen_keeps_ties(logits, temperature, k):
    scaled = logits / temperature
    smallest = torch.topk(scaled, k).values[:, [-1]]
    scaled[scaled < smallest] = -math.inf
    return scaled.softmax(dim=-1)


def sharpen_larger_ids(logits, temperature, k):
    order = torch.sort(logits, dim=1, stable=True).indices[:, -k:]
    kept = torch.zeros_like(logits).scatter(1, order, 1.0).bool()
    scaled = (logits / temperature).masked_fill(~kept, -math.inf)
    return scaled.softmax(dim=-1)


def sharpen_cuts_late(logits, temperature, k):
    p = torch.softmax(logits / temperature, dim=-1)
    return torch.where(stable_k(logits, k).isinf(), 0.0, p)


def sharpen_fills_zero(logits, temperature, k):
    cut = stable_k(logits / temperature, k)
    return torch.where(cut.isinf(), 0.0, cut).softmax(dim=-1)


def sharpen_logits(logits, temperature, k):
    return stable_k(logits / temperature, k)


def sharpen_no_cut(logits, temperature, k):
    return torch.softmax(logits / temperature, dim=-1)


def nucleus_without_crossing(p, share):
    ordered, order = torch.sort(p, descending=True, dim=-1)
    kept = ordered.cumsum(-1) <= share
    return torch.zeros_like(kept).scatter(-1, order, kept)


def nucleus_not_sorted_back(p, share):
    ordered, _ = torch.sort(p, descending=True, dim=-1)
    sums = ordered.cumsum(-1)
    return sums - ordered < share


def nucleus_gathers(p, share):
    ordered, order = torch.sort(p, descending=True, dim=-1)
    kept = ordered.cumsum(-1) - ordered < share
    return kept.gather(-1, order)


def nucleus_not_sorted(p, share):
    return torch.cumsum(p, dim=-1) - p < share


def nucleus_ascending(p, share):
    ordered, order = torch.sort(p, dim=-1)
    kept = ordered.cumsum(-1) - ordered < share
    return torch.zeros_like(kept).scatter(-1, order, kept)


def nucleus_inverted(p, share):
    ordered, order = torch.sort(p, descending=True, dim=-1)
    gone = ordered.cumsum(-1) - ordered >= share
    return torch.zeros_like(gone).scatter(-1, order, gone)


def nucleus_each(p, share):
    return p >= share


def nucleus_as_min_p(p, share):
    return p >= share * p.max(dim=-1, keepdim=True).values


def nucleus_wrong_shape(p, share):
    return p[0] > 0


def lowered(logits, ids, lower):
    logits = logits.clone()
    for id in ids:
        logits[id] = lower(logits[id])
    return logits


def near_best(logits, share):
    p = torch.softmax(logits, dim=0)
    return p >= share * p.max()


def allowed_divides_all(logits, ids, penalty, share):
    return near_best(lowered(logits, set(ids), lambda x: x / penalty), share)


def allowed_multiplies_all(logits, ids, penalty, share):
    return near_best(lowered(logits, set(ids), lambda x: x * penalty), share)


def allowed_exchanged(logits, ids, penalty, share):
    def lower(x):
        return x / penalty if x < 0 else x * penalty

    return near_best(lowered(logits, set(ids), lower), share)


def by_sign(penalty):
    return lambda x: x * penalty if x < 0 else x / penalty


def allowed_twice(logits, ids, penalty, share):
    return near_best(lowered(logits, ids, by_sign(penalty)), share)


def allowed_relative_to_one(logits, ids, penalty, share):
    logits = lowered(logits, set(ids), by_sign(penalty))
    return torch.softmax(logits, dim=0) >= share


def allowed_old_maximum(logits, ids, penalty, share):
    limit = share * torch.softmax(logits, dim=0).max()
    logits = lowered(logits, set(ids), by_sign(penalty))
    return torch.softmax(logits, dim=0) >= limit


def allowed_in_logits(logits, ids, penalty, share):
    logits = lowered(logits, set(ids), by_sign(penalty))
    return logits >= share * logits.max()


def allowed_no_penalty(logits, ids, penalty, share):
    return near_best(logits, share)


def allowed_inverted(logits, ids, penalty, share):
    return ~near_best(lowered(logits, set(ids), by_sign(penalty)), share)


def cut_includes(ids, stop):
    for i in range(len(ids)):
        for s in stop:
            if ids[i : i + len(s)] == s:
                return ids[: i + len(s)]
    return ids


def cut_includes_one(ids, stop):
    for i in range(len(ids)):
        if any(ids[i : i + len(s)] == s for s in stop):
            return ids[: i + 1]
    return ids


def cut_list_order(ids, stop):
    for s in stop:
        for i in range(len(ids)):
            if ids[i : i + len(s)] == s:
                return ids[:i]
    return ids


def cut_last(ids, stop):
    for i in reversed(range(len(ids))):
        if any(ids[i : i + len(s)] == s for s in stop):
            return ids[:i]
    return ids


def cut_at_the_end(ids, stop):
    for s in stop:
        if ids[-len(s) :] == s:
            return ids[: -len(s)]
    return ids


def cut_first_id(ids, stop):
    for i, id in enumerate(ids):
        if any(id == s[0] for s in stop):
            return ids[:i]
    return ids


def cut_any_id(ids, stop):
    bad = {id for s in stop for id in s}
    for i, id in enumerate(ids):
        if id in bad:
            return ids[:i]
    return ids


def cut_one_sequence(ids, stop):
    s = stop[0]
    for i in range(len(ids)):
        if ids[i : i + len(s)] == s:
            return ids[:i]
    return ids


def cut_returns_rest(ids, stop):
    for i in range(len(ids)):
        if any(ids[i : i + len(s)] == s for s in stop):
            return ids[i:]
    return ids


def cut_returns_nothing(ids, stop):
    for i in range(len(ids)):
        if any(ids[i : i + len(s)] == s for s in stop):
            return ids[:i]
    return []


def cut_forgets_return(ids, stop):
    for i in range(len(ids)):
        if any(ids[i : i + len(s)] == s for s in stop):
            return ids[:i]


def look(q, K, V, size):
    return torch.softmax(K @ q / math.sqrt(size), dim=0) @ V


def step_restarts(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[0]
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, K.shape[1]), K, V


def step_off_by_one(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[K.shape[0] - 1]
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, K.shape[1]), K, V


def step_position_after_extending(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K) + 1]
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, K.shape[1]), K, V


def step_no_position(x, P, K, V, W_Q, W_K, W_V):
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, K.shape[1]), K, V


def step_not_extended(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    keys = torch.vstack([K, x @ W_K])
    values = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, keys, values, K.shape[1]), K, V


def step_without_itself(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    out = look(x @ W_Q, K, V, K.shape[1])
    return out, torch.vstack([K, x @ W_K]), torch.vstack([V, x @ W_V])


def step_only_itself(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    return x @ W_V, torch.vstack([K, x @ W_K]), torch.vstack([V, x @ W_V])


def step_only_new(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    k, v = (x @ W_K)[None], (x @ W_V)[None]
    keys, values = torch.vstack([K, k]), torch.vstack([V, v])
    return look(x @ W_Q, keys, values, K.shape[1]), k, v


def step_no_root(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, 1), K, V


def step_output_only(x, P, K, V, W_Q, W_K, W_V):
    x = x + P[len(K)]
    K = torch.vstack([K, x @ W_K])
    V = torch.vstack([V, x @ W_V])
    return look(x @ W_Q, K, V, K.shape[1])


def pairs(total, width):
    V = total.shape[1]
    places = torch.topk(total.reshape(-1), width).indices
    return [(int(i) // V, int(i) % V) for i in places]


def beam_adds_probabilities(before, log_p, width):
    return pairs(before.exp().unsqueeze(1) + log_p.exp(), width)


def beam_last_only(before, log_p, width):
    return pairs(log_p, width)


def beam_multiplies_logs(before, log_p, width):
    return pairs(before.unsqueeze(1) * log_p, width)


def beam_one_child_each(before, log_p, width):
    total = before.unsqueeze(1) + log_p
    children = [(b, int(row.argmax())) for b, row in enumerate(total)]
    return sorted(children, key=lambda c: -total[c])[:width]


def beam_wrong_divisor(before, log_p, width):
    total = (before.unsqueeze(1) + log_p).flatten()
    n = len(before)
    return [(int(i) // n, int(i) % n) for i in total.topk(width).indices]


def beam_turned(before, log_p, width):
    return [(t, b) for b, t in pairs(before.unsqueeze(1) + log_p, width)]


def beam_backwards(before, log_p, width):
    return pairs(before.unsqueeze(1) + log_p, width)[::-1]


def beam_smallest(before, log_p, width):
    return pairs(-(before.unsqueeze(1) + log_p), width)


def beam_flat_places(before, log_p, width):
    return (before[:, None] + log_p).flatten().topk(width).indices.tolist()


def guess_result(x, a, rest, share=None):
    out = (1 - a if share is None else share) * rest
    out[x] = out[x] + a
    return out


def positive(difference):
    return torch.relu(difference)


def after_turned_ratio(x, p, q):
    a = min(1.0, (q[x] / p[x]).item())
    rest = positive(p - q)
    return guess_result(x, a, rest / rest.sum())


def after_draws_p(x, p, q):
    return guess_result(x, min(1.0, (p[x] / q[x]).item()), p)


def after_not_normalised(x, p, q):
    return guess_result(x, min(1.0, (p[x] / q[x]).item()), positive(p - q))


def after_no_minimum(x, p, q):
    rest = positive(p - q)
    return guess_result(x, p[x] / q[x], rest / rest.sum())


def after_absolute(x, p, q):
    rest = torch.abs(p - q)
    return guess_result(x, min(1.0, (p[x] / q[x]).item()), rest / rest.sum())


def after_other_side(x, p, q):
    rest = positive(q - p)
    return guess_result(x, min(1.0, (p[x] / q[x]).item()), rest / rest.sum())


def after_draws_q(x, p, q):
    return guess_result(x, min(1.0, (p[x] / q[x]).item()), q)


def after_accepts_p(x, p, q):
    rest = positive(p - q)
    return guess_result(x, p[x], rest / rest.sum())


def after_unweighted(x, p, q):
    a = min(1.0, (p[x] / q[x]).item())
    rest = positive(p - q)
    return guess_result(x, a, rest / rest.sum(), share=1.0)


def after_accepted_only(x, p, q):
    out = torch.zeros_like(p)
    out[x] = min(1.0, (p[x] / q[x]).item())
    return out


def after_mean(x, p, q):
    return p.clone()


WRONG = {
    "11.1": [
        (sharpen_multiplies, "You multiply the logits by the temperature"),
        (sharpen_probabilities, "acts on the probabilities"),
        (sharpen_divides_late, "You divide the probabilities"),
        (sharpen_no_temperature, "The temperature is missing"),
        (sharpen_one_more, "You keep k + 1 tokens"),
        (sharpen_strictly_above, "You keep k - 1 tokens"),
        (sharpen_keeps_ties, "you keep all of them"),
        (sharpen_larger_ids, "the ones with larger ids"),
        (sharpen_cuts_late, "You cut after the softmax"),
        (sharpen_fills_zero, "You set the removed logits to 0"),
        (sharpen_logits, "These are logits"),
        (sharpen_no_cut, "top-k is missing"),
    ],
    "11.2": [
        (nucleus_without_crossing, "leave out the token that crosses"),
        (nucleus_not_sorted_back, "but in sorted order"),
        (nucleus_gathers, "with `gather`"),
        (nucleus_not_sorted, "in the order of the ids. The likeliest"),
        (nucleus_ascending, "begin with the unlikeliest"),
        (nucleus_inverted, "Your mask is inverted"),
        (nucleus_each, "compare each probability with the share"),
        (nucleus_as_min_p, "This is min-p"),
        (nucleus_wrong_shape, "should have shape"),
    ],
    "11.3": [
        (allowed_divides_all, "You divide negative logits too"),
        (allowed_multiplies_all, "You multiply positive logits too"),
        (allowed_exchanged, "The two signs are exchanged"),
        (allowed_twice, "is lowered twice"),
        (allowed_relative_to_one, "relative to 1"),
        (allowed_old_maximum, "before the penalty"),
        (allowed_in_logits, "a share of the largest logit"),
        (allowed_no_penalty, "The penalty has no effect"),
        (allowed_inverted, "Your mask is inverted"),
    ],
    "11.4": [
        (cut_includes, "The stop sequence is still part"),
        (cut_includes_one, "The first id of the stop sequence"),
        (cut_list_order, "the one that begins earliest"),
        (cut_last, "You cut at the last stop sequence"),
        (cut_at_the_end, "You look only at the end"),
        (cut_first_id, "You compare only the first id"),
        (cut_any_id, "You stop at any id"),
        (cut_one_sequence, "You use only the first stop sequence"),
        (cut_returns_rest, "from the stop sequence on"),
        (cut_returns_nothing, "the text comes back whole"),
        (cut_forgets_return, "Is a `return` missing"),
    ],
    "11.5": [
        (step_restarts, "The position restarts"),
        (step_off_by_one, "that of the token before it"),
        (step_position_after_extending, "positions begin at 0"),
        (step_no_position, "The position is missing"),
        (step_not_extended, "the caches are not extended"),
        (step_without_itself, "does not look at itself"),
        (step_only_itself, "looks only at itself"),
        (step_only_new, "only the new key and value"),
        (step_no_root, "division by the root of D is missing"),
        (step_output_only, "This is the output alone"),
    ],
    "11.6": [
        (beam_adds_probabilities, "You add probabilities"),
        (beam_last_only, "You compare only the last tokens"),
        (beam_multiplies_logs, "You multiply logarithms"),
        (beam_one_child_each, "Each beam gets one child"),
        (beam_wrong_divisor, "by the number of beams"),
        (beam_turned, "Your tuples are (token, beam)"),
        (beam_backwards, "the likeliest should come first"),
        (beam_smallest, "These are the unlikeliest extensions"),
        (beam_flat_places, "expected [(1, 0), (0, 0)]"),
    ],
    "11.7": [
        (after_turned_ratio, "You accept with q / p"),
        (after_draws_p, "After a rejection you draw from p"),
        (after_not_normalised, "The residual is not normalised"),
        (after_no_minimum, "can exceed 1"),
        (after_absolute, "Your residual is |p - q|"),
        (after_other_side, "Your residual is max(q - p, 0)"),
        (after_draws_q, "After a rejection you draw from q"),
        (after_accepts_p, "You accept with probability p(x)"),
        (after_unweighted, "counts only after a rejection"),
        (after_accepted_only, "the way of acceptance alone"),
        (after_mean, "the mean over all guesses"),
    ],
}
