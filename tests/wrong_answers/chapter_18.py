"""What learners write for the exercises of chapter 18, and what they are told."""

import math
from collections import Counter


def _grams(items, n):
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]


def clipped_not(prediction, reference, n):
    known = set(_grams(reference, n))
    said = _grams(prediction, n)
    return sum(gram in known for gram in said), len(said)


def clipped_kinds(prediction, reference, n):
    said = _grams(prediction, n)
    return len(set(said) & set(_grams(reference, n))), len(said)


def clipped_recall(prediction, reference, n):
    said, wanted = Counter(_grams(prediction, n)), Counter(_grams(reference, n))
    right = sum(min(count, wanted[gram]) for gram, count in said.items())
    return right, sum(wanted.values())


def clipped_different(prediction, reference, n):
    said, wanted = Counter(_grams(prediction, n)), Counter(_grams(reference, n))
    return (said & wanted).total(), len(said)


def clipped_last_missing(prediction, reference, n):
    def grams(items):
        return Counter(tuple(items[i : i + n]) for i in range(len(items) - n))

    said = grams(prediction)
    return (said & grams(reference)).total(), said.total()


def clipped_longer(prediction, reference, n):
    said = Counter(_grams(prediction, n + 1))
    return (said & Counter(_grams(reference, n + 1))).total(), said.total()


def clipped_bag(prediction, reference, n):
    said = Counter(tuple(sorted(gram)) for gram in _grams(prediction, n))
    wanted = Counter(tuple(sorted(gram)) for gram in _grams(reference, n))
    return (said & wanted).total(), said.total()


def clipped_exchanged(prediction, reference, n):
    said = Counter(_grams(prediction, n))
    return said.total(), (said & Counter(_grams(reference, n))).total()


def clipped_fraction(prediction, reference, n):
    said = Counter(_grams(prediction, n))
    right = (said & Counter(_grams(reference, n))).total()
    return right / said.total() if said else 0.0


def clipped_list(prediction, reference, n):
    said = Counter(_grams(prediction, n))
    return [(said & Counter(_grams(reference, n))).total(), said.total()]


def _mean_log(right, said):
    if 0 in right:
        return 0.0
    pairs = zip(right, said, strict=True)
    return math.exp(sum(math.log(a / b) for a, b in pairs) / 4)


def bleu_inverted(right, said, length, wanted):
    penalty = min(1.0, math.exp(1 - length / wanted))
    return 100 * penalty * _mean_log(right, said)


def bleu_reward(right, said, length, wanted):
    return 100 * math.exp(1 - wanted / length) * _mean_log(right, said)


def bleu_no_penalty(right, said, length, wanted):
    return 100 * _mean_log(right, said)


def bleu_ratio(right, said, length, wanted):
    penalty = length / wanted if length < wanted else 1
    return 100 * penalty * _mean_log(right, said)


def _brevity(length, wanted):
    return 1.0 if length > wanted else math.exp(1 - wanted / length)


def bleu_arithmetic(right, said, length, wanted):
    mean = sum(a / b for a, b in zip(right, said, strict=True)) / 4
    return 100 * _brevity(length, wanted) * mean


def bleu_no_root(right, said, length, wanted):
    product = 1.0
    for a, b in zip(right, said, strict=True):
        product *= a / b
    return 100 * _brevity(length, wanted) * product


def bleu_log_of_zero(right, said, length, wanted):
    pairs = zip(right, said, strict=True)
    total = sum(math.log(a / b) for a, b in pairs)
    return 100 * _brevity(length, wanted) * math.exp(total / 4)


def bleu_one(right, said, length, wanted):
    return _brevity(length, wanted) * _mean_log(right, said)


def bleu_four_only(right, said, length, wanted):
    return 100 * _brevity(length, wanted) * right[3] / said[3]


def bleu_smoothed(right, said, length, wanted):
    pairs = zip(right, said, strict=True)
    total = sum(math.log((a + 1) / (b + 1)) for a, b in pairs)
    return 100 * _brevity(length, wanted) * math.exp(total / 4)


def _means(prediction, reference, orders):
    p, r = [], []
    for n in orders:
        said = Counter(_grams(prediction, n))
        wanted = Counter(_grams(reference, n))
        right = (said & wanted).total()
        p.append(right / said.total())
        r.append(right / wanted.total())
    return sum(p) / len(p), sum(r) / len(r)


def _f(p, r, weight):
    return 100 * (1 + weight) * p * r / (weight * p + r) if p + r else 0.0


def chrf_turned(prediction, reference, beta):
    p, r = _means(prediction, reference, range(1, 7))
    return _f(r, p, beta**2)


def chrf_not_squared(prediction, reference, beta):
    return _f(*_means(prediction, reference, range(1, 7)), beta)


def chrf_one(prediction, reference, beta):
    return _f(*_means(prediction, reference, range(1, 7)), 1)


def chrf_mean_of_f(prediction, reference, beta):
    each = [
        _f(*_means(prediction, reference, [n]), beta**2) for n in range(1, 7)
    ]
    return sum(each) / 6


def chrf_not_clipped(prediction, reference, beta):
    p = r = 0.0
    for n in range(1, 7):
        said, wanted = _grams(prediction, n), _grams(reference, n)
        right = sum(gram in wanted for gram in said)
        p += right / len(said) / 6
        r += right / len(wanted) / 6
    return _f(p, r, beta**2)


def chrf_four(prediction, reference, beta):
    return _f(*_means(prediction, reference, range(1, 5)), beta**2)


def chrf_five(prediction, reference, beta):
    return _f(*_means(prediction, reference, range(1, 6)), beta**2)


def chrf_six_only(prediction, reference, beta):
    return _f(*_means(prediction, reference, [6]), beta**2)


def chrf_pooled(prediction, reference, beta):
    right = said = wanted = 0
    for n in range(1, 7):
        a, b = Counter(_grams(prediction, n)), Counter(_grams(reference, n))
        right += (a & b).total()
        said += a.total()
        wanted += b.total()
    return _f(right / said, right / wanted, beta**2)


def chrf_from_0_to_1(prediction, reference, beta):
    return _f(*_means(prediction, reference, range(1, 7)), beta**2) / 100


def chrf_plain_mean(prediction, reference, beta):
    return 50 * sum(_means(prediction, reference, range(1, 7)))


def chrf_divides_by_zero(prediction, reference, beta):
    p, r = _means(prediction, reference, range(1, 7))
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r)


def chrf_minimum(prediction, reference, beta):
    return 100 * min(_means(prediction, reference, range(1, 7)))


def _normalised(counts):
    return {
        e: {f: n / sum(row.values()) for f, n in row.items()}
        for e, row in counts.items()
    }


def _zeros(t):
    return {e: dict.fromkeys(row, 0.0) for e, row in t.items()}


def round_counts_one(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for e in source:
            for f in target:
                counts[e][f] += 1
    return _normalised(counts)


def round_even(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for e in source:
            for f in target:
                counts[e][f] += 1 / len(source)
    return _normalised(counts)


def round_not_shared(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for e in source:
            for f in target:
                counts[e][f] += t[e][f]
    return _normalised(counts)


def round_over_targets(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for e in source:
            total = sum(t[e][f] for f in target)
            for f in target:
                counts[e][f] += t[e][f] / total
    return _normalised(counts)


def round_winner(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for f in target:
            best = max(source, key=lambda e, f=f: t[e][f])
            counts[best][f] += 1
    return _normalised(counts)


def _expected(pairs, t):
    counts = _zeros(t)
    for source, target in pairs:
        for f in target:
            total = sum(t[e][f] for e in source)
            for e in source:
                counts[e][f] += t[e][f] / total
    return counts


def round_by_target(pairs, t):
    counts = _expected(pairs, t)
    totals = Counter()
    for row in counts.values():
        totals.update(row)
    return {
        e: {f: n / totals[f] for f, n in row.items()}
        for e, row in counts.items()
    }


def round_counts(pairs, t):
    return _expected(pairs, t)


def round_nothing(pairs, t):
    return t


def round_list(pairs, t):
    return list(_normalised(_expected(pairs, t)).items())


def best_plain(hypotheses, alpha):
    return max(hypotheses, key=lambda h: h[1])[0][:-1]


def best_chapter_11(hypotheses, alpha):
    return max(hypotheses, key=lambda h: h[1] / len(h[0]) ** alpha)[0][:-1]


def best_times(hypotheses, alpha):
    def score(h):
        return h[1] * ((5 + len(h[0])) / 6) ** alpha

    return max(hypotheses, key=score)[0][:-1]


def best_factor(hypotheses, alpha):
    def score(h):
        return h[1] / (alpha * (5 + len(h[0])) / 6)

    return max(hypotheses, key=score)[0][:-1]


def _google(h, alpha):
    return h[1] / ((5 + len(h[0])) / 6) ** alpha


def best_smallest(hypotheses, alpha):
    return sorted(hypotheses, key=lambda h: _google(h, alpha))[0][0][:-1]


def best_with_end(hypotheses, alpha):
    return max(hypotheses, key=lambda h: _google(h, alpha))[0]


def best_end_not_counted(hypotheses, alpha):
    def score(h):
        return h[1] / ((4 + len(h[0])) / 6) ** alpha

    return max(hypotheses, key=score)[0][:-1]


def best_pair(hypotheses, alpha):
    return max(hypotheses, key=lambda h: _google(h, alpha))


def back_swapped(known, texts, back, often):
    seen = {target for _, target in known}
    new = [t for t in texts if t not in seen and back[t]]
    return known * often + [(t, back[t]) for t in new]


def back_real_missing(known, texts, back, often):
    seen = {target for _, target in known}
    return [(back[t], t) for t in texts if t not in seen and back[t]]


def back_once(known, texts, back, often):
    return known + back_real_missing(known, texts, back, often)


def back_all_often(known, texts, back, often):
    return back_once(known, texts, back, often) * often


def back_known_too(known, texts, back, often):
    return known * often + [(back[t], t) for t in texts if back[t]]


def back_empty_too(known, texts, back, often):
    seen = [target for _, target in known]
    return known * often + [(back[t], t) for t in texts if t not in seen]


def back_made_twice(known, texts, back, often):
    made = back_real_missing(known, texts, back, often)
    return known * often + [(source, source) for source, _ in made]


def back_turned(known, texts, back, often):
    turned = [(target, source) for source, target in known]
    return turned * often + back_real_missing(known, texts, back, often)


def back_changes(known, texts, back, often):
    made = back_real_missing(known, texts, back, often)
    known *= often
    known += made
    return known


WRONG = {
    "18.1": [
        (clipped_not, "You do not clip"),
        (clipped_kinds, "Each kind of n-gram counts at most once"),
        (clipped_recall, "that is recall"),
        (clipped_different, "counts different n-grams"),
        (clipped_last_missing, "The last n-gram of each text is missing"),
        (clipped_longer, "have n + 1 words"),
        (clipped_bag, "have lost their order"),
        (clipped_exchanged, "The two numbers are exchanged"),
        (clipped_fraction, "This is the fraction"),
        (clipped_list, "should be a tuple, but it is a list"),
    ],
    "18.2": [
        (bleu_inverted, "The brevity penalty is upside down"),
        (bleu_reward, "never above 1"),
        (bleu_no_penalty, "The brevity penalty is missing"),
        (bleu_ratio, "the ratio of the lengths"),
        (bleu_arithmetic, "the arithmetic mean of the precisions"),
        (bleu_no_root, "the root is missing"),
        (bleu_log_of_zero, "A precision of 0 has no logarithm"),
        (bleu_one, "Your score runs from 0 to 1"),
        (bleu_four_only, "You use the longest n-grams only"),
        (bleu_smoothed, "bleu_smoothed([8, 4, 2, 1], [8, 8, 8, 8], 10, 10)"),
    ],
    "18.3": [
        (chrf_turned, "Beta is on the wrong side"),
        (chrf_not_squared, "Beta is not squared"),
        (chrf_one, "You use beta = 1, whatever it is"),
        (chrf_mean_of_f, "the mean of six F-scores"),
        (chrf_not_clipped, "The counts are not clipped"),
        (chrf_four, "You stop at n = 4"),
        (chrf_five, "You stop at n = 5"),
        (chrf_six_only, "You use n = 6 only"),
        (chrf_pooled, "before you divide"),
        (chrf_from_0_to_1, "Your score runs from 0 to 1"),
        (chrf_plain_mean, "arithmetic mean of P and R"),
        (chrf_divides_by_zero, "make you divide by 0"),
        (chrf_minimum, "chrf_minimum("),
    ],
    "18.4": [
        (round_counts_one, "Each pair of words counts 1"),
        (round_even, "You share evenly"),
        (round_not_shared, "You add t itself"),
        (round_over_targets, "a sum over the target words"),
        (round_winner, "takes all"),
        (round_by_target, "You normalise over the source words"),
        (round_counts, "These are the expected counts"),
        (round_nothing, "The table is as it was"),
        (round_list, "should be a dict, but it is a list"),
    ],
    "18.5": [
        (best_plain, "You do not normalise the length"),
        (best_chapter_11, "This is the penalty of Chapter 11"),
        (best_times, "You multiply"),
        (best_factor, "Alpha is a power, not a factor"),
        (best_smallest, "You return the worst text"),
        (best_with_end, "its end sign belongs to no translation"),
        (best_end_not_counted, "You leave the end sign out of the length"),
        (best_pair, "should be a list, but it is a tuple"),
    ],
    "18.6": [
        (back_swapped, "The made pairs are swapped"),
        (back_real_missing, "The real pairs are missing"),
        (back_once, "The real pairs come once"),
        (back_all_often, "You repeat the made pairs too"),
        (back_known_too, "needs no made source"),
        (back_empty_too, "Some translations are empty"),
        (back_made_twice, "are the same translation"),
        (back_turned, "You turned the real pairs round"),
        (back_changes, "changes its argument"),
    ],
}
