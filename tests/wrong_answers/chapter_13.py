"""What learners write for the exercises of chapter 13, and what they are told."""

import math


def hide_special_too(ids, draws, ways, words, mask_id, first_word):
    read, targets = list(ids), [-100] * len(ids)
    for n in range(len(ids)):
        if draws[n] < 0.15:
            targets[n] = ids[n]
            if ways[n] < 0.8:
                read[n] = mask_id
            elif ways[n] >= 0.9:
                read[n] = words[n]
    return read, targets


def _hide(ids, draws, ways, words, mask_id, first_word):
    """The right answer, for those who only spoil its end."""
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first_word:
            targets[n] = id
            if ways[n] < 0.8:
                read[n] = mask_id
            elif ways[n] >= 0.9:
                read[n] = words[n]
    return read, targets


def hide_target_everywhere(ids, *rest):
    return _hide(ids, *rest)[0], list(ids)


def hide_unchanged_without_target(ids, draws, ways, words, mask_id, first):
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first:
            if ways[n] < 0.8:
                read[n] = mask_id
            elif ways[n] >= 0.9:
                read[n] = words[n]
            if read[n] != id:
                targets[n] = id
    return read, targets


def hide_targets_at_masks(ids, draws, ways, words, mask_id, first_word):
    read, targets = _hide(ids, draws, ways, words, mask_id, first_word)
    for n, id in enumerate(read):
        if id != mask_id:
            targets[n] = -100
    return read, targets


def hide_target_after(ids, draws, ways, words, mask_id, first_word):
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first_word:
            if ways[n] < 0.8:
                read[n] = mask_id
            elif ways[n] >= 0.9:
                read[n] = words[n]
            targets[n] = read[n]
    return read, targets


def hide_none_stays(ids, draws, ways, words, mask_id, first_word):
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first_word:
            targets[n] = id
            read[n] = mask_id if ways[n] < 0.8 else words[n]
    return read, targets


def hide_all_masks(ids, draws, ways, words, mask_id, first_word):
    chosen = [
        d < 0.15 and i >= first_word for d, i in zip(draws, ids, strict=False)
    ]
    read = [mask_id if c else i for c, i in zip(chosen, ids, strict=False)]
    return read, [i if c else -100 for c, i in zip(chosen, ids, strict=False)]


def hide_mask_to_nine_tenths(ids, draws, ways, words, mask_id, first_word):
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first_word:
            targets[n] = id
            read[n] = mask_id if ways[n] < 0.9 else words[n]
    return read, targets


def hide_exchanged_ways(ids, draws, ways, words, mask_id, first_word):
    read, targets = list(ids), [-100] * len(ids)
    for n, id in enumerate(ids):
        if draws[n] < 0.15 and id >= first_word:
            targets[n] = id
            if ways[n] < 0.8:
                read[n] = words[n]
            elif ways[n] >= 0.9:
                read[n] = mask_id
    return read, targets


def hide_exchanged_lists(*case):
    read, targets = _hide(*case)
    return targets, read


def hide_one_list(*case):
    return _hide(*case)[0]


def hide_in_place(ids, draws, ways, words, mask_id, first_word):
    targets = [-100] * len(ids)
    for n, id in enumerate(list(ids)):
        if draws[n] < 0.15 and id >= first_word:
            targets[n] = id
            if ways[n] < 0.8:
                ids[n] = mask_id
            elif ways[n] >= 0.9:
                ids[n] = words[n]
    return ids, targets


def hide_as_a_list(*case):
    return list(_hide(*case))


def _log_sum(z):
    largest = max(z)
    return largest + math.log(sum(math.exp(x - largest) for x in z))


def nats_mean(logits, targets):
    losses = [
        _log_sum(z) - z[y]
        for z, y in zip(logits, targets, strict=False)
        if y != -100
    ]
    return (sum(losses) / len(losses) if losses else 0.0), len(losses)


def nats_all_counted(logits, targets):
    losses = [
        _log_sum(z) - z[y]
        for z, y in zip(logits, targets, strict=False)
        if y != -100
    ]
    return float(sum(losses)), len(logits)


def nats_overflow(logits, targets):
    total, number = 0.0, 0
    for z, y in zip(logits, targets, strict=False):
        if y != -100:
            p = math.exp(z[y]) / sum(math.exp(x) for x in z)
            total -= math.log(p)
            number += 1
    return total, number


def nats_no_softmax(logits, targets):
    total, number = 0.0, 0
    for z, y in zip(logits, targets, strict=False):
        if y != -100:
            total -= z[y]
            number += 1
    return total, number


def nats_ignored_is_zero(logits, targets):
    total = 0.0
    for z, y in zip(logits, targets, strict=False):
        total += _log_sum(z) - z[max(y, 0)]
    return total, len(targets)


def nats_negative_index(logits, targets):
    losses = [_log_sum(z) - z[y] for z, y in zip(logits, targets, strict=False)]
    return sum(losses), len(losses)


def nats_sign(logits, targets):
    losses = [
        z[y] - _log_sum(z)
        for z, y in zip(logits, targets, strict=False)
        if y != -100
    ]
    return float(sum(losses)), len(losses)


def nats_bits(logits, targets):
    losses = [
        (_log_sum(z) - z[y]) / math.log(2)
        for z, y in zip(logits, targets, strict=False)
        if y != -100
    ]
    return float(sum(losses)), len(losses)


def nats_sum_alone(logits, targets):
    return float(
        sum(
            _log_sum(z) - z[y]
            for z, y in zip(logits, targets, strict=False)
            if y != -100
        )
    )


def nats_of_the_best(logits, targets):
    losses = [_log_sum(z) - max(z) for z in logits]
    return sum(losses), len(losses)


def _cut(first, second, longest):
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > longest:
        if len(first) > len(second):
            first.pop()
        else:
            second.pop()
    return first, second


def pair_separator_in_second(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest)
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 1) + [1] * (len(second) + 2)


def pair_no_middle(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest)
    ids = [cls, *first, *second, sep]
    return ids, [0] * (1 + len(first)) + [1] * (len(second) + 1)


def pair_no_end(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest)
    ids = [cls, *first, sep, *second]
    return ids, [0] * (2 + len(first)) + [1] * len(second)


def pair_exchanged_segments(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest)
    ids = [cls, *first, sep, *second, sep]
    return ids, [1] * (len(first) + 2) + [0] * (len(second) + 1)


def pair_cut_at_the_end(first, second, cls, sep, longest):
    ids = [cls, *first, sep, *second, sep]
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return ids[:longest], segments[:longest]


def pair_cut_second(first, second, cls, sep, longest):
    second = list(second)
    while second and len(first) + len(second) + 3 > longest:
        second.pop()
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_cut_front(first, second, cls, sep, longest):
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > longest:
        if len(first) > len(second):
            del first[0]
        else:
            del second[0]
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_tie(first, second, cls, sep, longest):
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > longest:
        if len(first) >= len(second):
            first.pop()
        else:
            second.pop()
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_signs_forgotten(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest + 3)
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_two_signs(first, second, cls, sep, longest):
    first, second = _cut(first, second, longest + 1)
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_not_cut(first, second, cls, sep, longest):
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_spoils_its_input(first, second, cls, sep, longest):
    while len(first) + len(second) + 3 > longest:
        (first if len(first) > len(second) else second).pop()
    ids = [cls, *first, sep, *second, sep]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def _agree(text, other):
    return len(text) == len(other) and all(
        t is None or t == o for t, o in zip(text, other, strict=False)
    )


def fill_joint(language, text, place):
    total = {}
    for other, p in language.items():
        if _agree(text, other) and p > 0:
            total[other[place]] = total.get(other[place], 0) + p
    return total


def fill_left_only(language, text, place):
    total = {}
    for other, p in language.items():
        if len(other) != len(text) or p == 0:
            continue
        if _agree(text[:place], other[:place]):
            total[other[place]] = total.get(other[place], 0) + p
    return {w: p / sum(total.values()) for w, p in total.items()}


def fill_best(language, text, place):
    best = {}
    for other, p in language.items():
        if _agree(text, other) and p > best.get(other[place], 0):
            best[other[place]] = p
    return {w: p / sum(best.values()) for w, p in best.items()}


def fill_overwritten(language, text, place):
    found = {}
    for other, p in language.items():
        if _agree(text, other) and p:
            found[other[place]] = p
    return {w: p / sum(found.values()) for w, p in found.items()}


def fill_counted(language, text, place):
    found = [o[place] for o, p in language.items() if _agree(text, o) and p]
    return {w: found.count(w) / len(found) for w in set(found)}


def fill_with_zeros(language, text, place):
    total = {}
    for other, p in language.items():
        if _agree(text, other):
            total[other[place]] = total.get(other[place], 0) + p
    return {w: p / sum(total.values()) for w, p in total.items()}


def fill_any_length(language, text, place):
    total = {}
    for other, p in language.items():
        if all(t in (None, o) for t, o in zip(text, other, strict=False)) and p:
            total[other[place]] = total.get(other[place], 0) + p
    return {w: p / sum(total.values()) for w, p in total.items()}


def fill_blindly(language, text, place):
    total = {}
    for other, p in language.items():
        if len(other) == len(text):
            total[other[place]] = total.get(other[place], 0) + p
    return {w: p / sum(total.values()) for w, p in total.items()}


def fill_one_gap_alone(language, text, place):
    total = {}
    for word in {w for other in language for w in other}:
        p = language.get((*text[:place], word, *text[place + 1 :]), 0)
        if p:
            total[word] = p
    return {w: p / sum(total.values()) for w, p in total.items()}


def _spans(spans):
    joined = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def span_not_closed(ids, spans, sentinels):
    read, written, before = [], [], 0
    for sign, (start, end) in zip(sentinels, _spans(spans), strict=False):
        read += [*ids[before:start], sign]
        written += [sign, *ids[start:end]]
        before = end
    return read + ids[before:], written


def span_not_joined(ids, spans, sentinels):
    read, written, before = [], [], 0
    for sign, (start, end) in zip(sentinels, spans, strict=False):
        read += [*ids[before:start], sign]
        written += [sign, *ids[start:end]]
        before = end
    return read + ids[before:], [*written, sentinels[len(spans)]]


def span_neither(ids, spans, sentinels):
    read, written = span_not_joined(ids, spans, sentinels)
    return read, written[:-1]


def span_unmarked(ids, spans, sentinels):
    read, _written = span_not_closed(ids, spans, sentinels)
    hidden = [x for start, end in spans for x in ids[start:end]]
    return read, [*hidden, sentinels[len(_spans(spans))]]


def span_dropped(ids, spans, sentinels):
    _, written = span_not_closed(ids, spans, sentinels)
    hidden = {n for start, end in spans for n in range(start, end)}
    read = [id for n, id in enumerate(ids) if n not in hidden]
    return read, [*written, sentinels[len(_spans(spans))]]


def span_one_sentinel(ids, spans, sentinels):
    read, written, before = [], [], 0
    joined = _spans(spans)
    for start, end in joined:
        read += ids[before:start] + sentinels[:1]
        written += sentinels[:1] + ids[start:end]
        before = end
    return read + ids[before:], [*written, sentinels[len(joined)]]


def span_no_rest(ids, spans, sentinels):
    read, written, before = [], [], 0
    joined = _spans(spans)
    for sign, (start, end) in zip(sentinels, joined, strict=False):
        read += [*ids[before:start], sign]
        written += [sign, *ids[start:end]]
        before = end
    return read, [*written, sentinels[len(joined)]]


def span_sentinel_a_token(ids, spans, sentinels):
    joined = _spans(spans)
    read, written = list(ids), []
    for sign, (start, end) in zip(sentinels, joined, strict=False):
        for n in range(start, end):
            read[n] = sign
        written += [sign, *ids[start:end]]
    return read, [*written, sentinels[len(joined)]]


def span_inclusive(ids, spans, sentinels):
    read, written, before = [], [], 0
    joined = _spans((a, b + 1) for a, b in spans)
    for sign, (start, end) in zip(sentinels, joined, strict=False):
        read += [*ids[before:start], sign]
        written += [sign, *ids[start:end]]
        before = end
    return read + ids[before:], [*written, sentinels[len(joined)]]


def span_exchanged(ids, spans, sentinels):
    read, written = span_not_closed(ids, spans, sentinels)
    return [*written, sentinels[len(_spans(spans))]], read


WRONG = {
    "13.1": [
        (hide_special_too, "Special signs are hidden too"),
        (hide_target_everywhere, "There is a target at every place"),
        (hide_unchanged_without_target, "that is why it was chosen"),
        (hide_targets_at_masks, "Only places with the mask have a target"),
        (hide_target_after, "It should be the word that stood there before"),
        (hide_none_stays, "No chosen word stays as it is"),
        (hide_all_masks, "Every chosen word becomes the mask"),
        (hide_mask_to_nine_tenths, "The mask ends at 0.8"),
        (hide_exchanged_ways, "Mask and random word are exchanged"),
        (hide_exchanged_lists, "The two lists are exchanged"),
        (hide_one_list, "Return the targets too"),
        (hide_in_place, "changes its argument"),
        (hide_as_a_list, "should be a tuple, but it is a list"),
    ],
    "13.2": [
        (nats_mean, "You return the mean"),
        (nats_all_counted, "you count all places"),
        (nats_overflow, "The exponential of a large logit overflows"),
        (nats_no_softmax, "They are no log-probabilities"),
        (nats_ignored_is_zero, "your answer takes the id 0"),
        (nats_negative_index, "You use -100 as an index"),
        (nats_sign, "The sign is wrong"),
        (nats_bits, "Use the natural logarithm"),
        (nats_sum_alone, "Return the number of places too"),
        (nats_of_the_best, "expected (0.69314"),
    ],
    "13.3": [
        (pair_separator_in_second, "It ends the first text"),
        (pair_no_middle, "between the two texts is missing"),
        (pair_no_end, "after the second text is missing"),
        (pair_exchanged_segments, "The segments are exchanged"),
        (pair_cut_at_the_end, "You cut the finished input at its end"),
        (pair_cut_second, "Only the second text is cut"),
        (pair_cut_front, "You cut at the beginning"),
        (pair_tie, "Where both texts are equally long"),
        (pair_signs_forgotten, "the three signs need places too"),
        (pair_two_signs, "The input is too long by one"),
        (pair_not_cut, "Nothing is cut"),
        (pair_spoils_its_input, "changes its argument"),
    ],
    "13.4": [
        (fill_joint, "The probabilities do not sum to 1"),
        (fill_left_only, "only the words to the left of the gap"),
        (fill_best, "the best filling of the other gaps"),
        (fill_overwritten, "you keep only the last of them"),
        (fill_counted, "You count texts"),
        (fill_with_zeros, "A word with probability 0"),
        (fill_any_length, "Compare the lengths"),
        (fill_blindly, "You do not use the visible words at all"),
        (fill_one_gap_alone, "(None, None), 1): expected {"),
    ],
    "13.5": [
        (span_not_closed, "The closing sentinel is missing"),
        (span_not_joined, "Two spans that touch have a sentinel each"),
        (span_neither, "Two things: spans that touch must be joined"),
        (span_unmarked, "nobody knows where each of them belongs"),
        (span_dropped, "put the sentinel in the place of the span"),
        (span_one_sentinel, "All spans have the same sentinel"),
        (span_no_rest, "What stands after the last span is missing"),
        (span_sentinel_a_token, "There is a sentinel for each hidden token"),
        (span_inclusive, "Your spans are one token too long"),
        (span_exchanged, "The two lists are exchanged"),
    ],
}
