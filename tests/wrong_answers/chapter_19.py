"""What learners write for the exercises of chapter 19, and what they are told."""

import math
from collections import Counter


def _shared(said, right):
    return sum((Counter(said) & Counter(right)).values())


def _harmonic(p, r):
    return 2 * p * r / (p + r) if p + r else 0.0


def f1_sets(said, right):
    if not said or not right:
        return float(said == right)
    both = set(said) & set(right)
    return _harmonic(len(both) / len(set(said)), len(both) / len(set(right)))


def f1_set_of_shared(said, right):
    if not said or not right:
        return float(said == right)
    both = len(set(said) & set(right))
    return _harmonic(both / len(said), both / len(right))


def f1_every_said(said, right):
    if not said or not right:
        return float(said == right)
    both = sum(1 for word in said if word in right)
    return _harmonic(both / len(said), both / len(right))


def f1_arithmetic(said, right):
    if not said or not right:
        return float(said == right)
    both = _shared(said, right)
    return (both / len(said) + both / len(right)) / 2


def f1_precision(said, right):
    if not said or not right:
        return float(said == right)
    return _shared(said, right) / len(said)


def f1_recall(said, right):
    if not said or not right:
        return float(said == right)
    return _shared(said, right) / len(right)


def f1_empty_is_zero(said, right):
    if not said or not right:
        return 0.0
    both = _shared(said, right)
    return 2 * both / (len(said) + len(right))


def f1_empty_is_one(said, right):
    if not said or not right:
        return 1.0
    both = _shared(said, right)
    return 2 * both / (len(said) + len(right))


def f1_divides_by_zero(said, right):
    precision = _shared(said, right) / len(said)
    recall = _shared(said, right) / len(right)
    return 2 * precision * recall / (precision + recall)


def _spans(n, longest):
    return [(i, j) for i in range(n) for j in range(i, min(i + longest, n))]


def span_apart(start, end, longest):
    return start.index(max(start)), end.index(max(end))


def span_any_length(start, end, longest):
    spans = _spans(len(start), len(start))
    return max(spans, key=lambda s: start[s[0]] + end[s[1]])


def span_one_too_long(start, end, longest):
    spans = _spans(len(start), longest + 1)
    return max(spans, key=lambda s: start[s[0]] + end[s[1]])


def span_backwards(start, end, longest):
    n = len(start)
    spans = [(i, j) for i in range(n) for j in range(n) if abs(i - j) < longest]
    return max(spans, key=lambda s: start[s[0]] + end[s[1]])


def span_start_first(start, end, longest):
    i = start.index(max(start))
    window = end[i : i + longest]
    return i, i + window.index(max(window))


def span_end_first(start, end, longest):
    j = end.index(max(end))
    first = max(0, j - longest + 1)
    window = start[first : j + 1]
    return first + window.index(max(window)), j


def span_product(start, end, longest):
    spans = _spans(len(start), longest)
    return max(spans, key=lambda s: start[s[0]] * end[s[1]])


def span_exchanged(start, end, longest):
    spans = _spans(len(start), longest)
    i, j = max(spans, key=lambda s: start[s[0]] + end[s[1]])
    return j, i


def span_score(start, end, longest):
    return max(start[i] + end[j] for i, j in _spans(len(start), longest))


def _nats(z, y):
    largest = max(z)
    return largest + math.log(sum(math.exp(x - largest) for x in z)) - z[y]


def _real(z, real):
    return [x for x, r in zip(z, real, strict=True) if r]


def loss_with_padding(start, end, real, span):
    return (_nats(start, span[0]) + _nats(end, span[1])) / 2


def loss_zero_padding(start, end, real, span):
    start = [x * r for x, r in zip(start, real, strict=True)]
    end = [x * r for x, r in zip(end, real, strict=True)]
    return (_nats(start, span[0]) + _nats(end, span[1])) / 2


def loss_sum(start, end, real, span):
    return _nats(_real(start, real), span[0]) + _nats(_real(end, real), span[1])


def loss_start_only(start, end, real, span):
    return _nats(_real(start, real), span[0])


def loss_start_twice(start, end, real, span):
    z = _real(start, real)
    return (_nats(z, span[0]) + _nats(z, span[1])) / 2


def loss_same_target(start, end, real, span):
    a, b = _nats(_real(start, real), span[0]), _nats(_real(end, real), span[0])
    return (a + b) / 2


def loss_negative(start, end, real, span):
    return -loss_sum(start, end, real, span) / 2


def loss_overflow(start, end, real, span):
    total = 0.0
    for z, y in ((start, span[0]), (end, span[1])):
        z = _real(z, real)
        total -= math.log(math.exp(z[y]) / sum(math.exp(x) for x in z))
    return total / 2


def _refusal(margins, right, has, refuse, gain, first=True):
    best = None
    thresholds = [-math.inf] * first + sorted(set(margins))
    for t in thresholds:
        rows = zip(margins, right, has, strict=True)
        share = sum(gain(refuse(m, t), r, h) for m, r, h in rows)
        share /= len(margins)
        if best is None or share > best[1]:
            best = (t, share)
    return best


def _below(m, t):
    return m <= t


def _fair(refused, right, has):
    return not has if refused else right


def refuse_only_below(margins, right, has):
    return _refusal(margins, right, has, lambda m, t: m < t, _fair)


def refuse_for_nothing(margins, right, has):
    return _refusal(margins, right, has, _below, lambda no, r, h: r and not no)


def refuse_always_right(margins, right, has):
    return _refusal(margins, right, has, _below, lambda no, r, h: no or r)


def refuse_without_right(margins, right, has):
    return _refusal(
        margins, right, has, _below, lambda no, r, h: not h if no else h
    )


def refuse_something(margins, right, has):
    return _refusal(margins, right, has, _below, _fair, first=False)


def refuse_largest(margins, right, has):
    best = None
    for t in [-math.inf, *sorted(set(margins))]:
        rows = zip(margins, right, has, strict=True)
        share = sum(_fair(m <= t, r, h) for m, r, h in rows) / len(margins)
        if best is None or share >= best[1]:
            best = (t, share)
    return best


def refuse_threshold(margins, right, has):
    return _refusal(margins, right, has, _below, _fair)[0]


def refuse_exchanged(margins, right, has):
    return _refusal(margins, right, has, _below, _fair)[::-1]


WRONG = {
    "19.1": [
        (f1_sets, "Each word counts once"),
        (f1_set_of_shared, "counted as a set, but the lengths"),
        (f1_every_said, "'cup cup' shares only one word"),
        (f1_arithmetic, "the arithmetic mean"),
        (f1_precision, "This is precision alone"),
        (f1_recall, "This is recall alone"),
        (f1_empty_is_zero, "Two empty answers agree"),
        (f1_empty_is_one, "only one of the two is empty"),
        (f1_divides_by_zero, "You divide by 0"),
    ],
    "19.2": [
        (span_apart, "Start and end are chosen apart"),
        (span_any_length, "The spans have any length"),
        (span_one_too_long, "one word too many"),
        (span_backwards, "ends stand before their start"),
        (span_start_first, "You fix the best start first"),
        (span_end_first, "You fix the best end first"),
        (span_product, "Logits are added"),
        (span_exchanged, "First and last are exchanged"),
        (span_score, "This is the score of the best span"),
    ],
    "19.3": [
        (loss_with_padding, "Padding takes part in the sum"),
        (loss_zero_padding, "A logit of 0 still has a share"),
        (loss_sum, "This is the sum of the two losses"),
        (loss_start_only, "Only the start is asked"),
        (loss_start_twice, "looked up in the logits of the start"),
        (loss_same_target, "The end's target is the start"),
        (loss_negative, "The sign is wrong"),
        (loss_overflow, "overflows"),
    ],
    "19.4": [
        (refuse_only_below, "A margin that equals the threshold"),
        (refuse_for_nothing, "A refusal gets nothing"),
        (refuse_always_right, "Every refusal counts as right"),
        (refuse_without_right, "is not right by that alone"),
        (refuse_something, "to answer everything"),
        (refuse_largest, "return the smallest"),
        (refuse_threshold, "This is the threshold alone"),
        (refuse_exchanged, "The two results are exchanged"),
    ],
}
