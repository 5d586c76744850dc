"""What learners write for the exercises of chapter 24, and what they are told."""

import math

import numpy as np


def _rank(log_p, secret):
    return sorted(log_p, reverse=True).index(log_p[secret]) + 1


def exposure_in_nats(log_p, secret):
    return math.log(len(log_p)) - math.log(_rank(log_p, secret))


def exposure_base_10(log_p, secret):
    return math.log10(len(log_p) / _rank(log_p, secret))


def exposure_from_0(log_p, secret):
    rank = _rank(log_p, secret) - 1
    return math.log2(len(log_p)) - math.log2(rank)


def exposure_reversed(log_p, secret):
    rank = 1
    for other in log_p:
        if other < log_p[secret]:
            rank += 1
    return math.log2(len(log_p) / rank)


def exposure_ties_are_better(log_p, secret):
    rank = 0
    for other in log_p:
        if other >= log_p[secret]:
            rank += 1
    return math.log2(len(log_p) / rank)


def exposure_counts_itself(log_p, secret):
    rank = 1 + len([p for p in log_p if p >= log_p[secret]])
    return math.log2(len(log_p)) - math.log2(rank)


def exposure_log_rank(log_p, secret):
    return math.log2(_rank(log_p, secret))


def exposure_sign(log_p, secret):
    return math.log2(_rank(log_p, secret)) - math.log2(len(log_p))


def exposure_no_candidates(log_p, secret):
    return -math.log2(_rank(log_p, secret))


def exposure_information(log_p, secret):
    return -log_p[secret] / math.log(2)


def exposure_rank(log_p, secret):
    return _rank(log_p, secret)


def exposure_constant(log_p, secret):
    return 1.0


def _best(members, others, most, strict=False, of=None, over=None):
    best = 0.0
    for t in [*members, *others, math.inf]:
        false = sum(x >= t for x in others) / (over or len(others))
        if false < most or (not strict and false == most):
            best = max(
                best, sum(x >= t for x in members) / (of or len(members))
            )
    return best


def rate_strict(members, others, most):
    return _best(members, others, most, strict=True)


def rate_exchanged(members, others, most):
    return _best(others, members, most)


def rate_false_of_all(members, others, most):
    return _best(members, others, most, over=len(members) + len(others))


def rate_true_of_all(members, others, most):
    return _best(members, others, most, of=len(members) + len(others))


def rate_count(members, others, most):
    return _best(members, others, most, of=1)


def rate_low_scores(members, others, most):
    best = 0.0
    for t in [*members, *others, -math.inf]:
        if sum(x <= t for x in others) / len(others) <= most:
            best = max(best, sum(x <= t for x in members) / len(members))
    return best


def rate_others_above(members, others, most):
    best = 0.0
    for t in [*members, *others, math.inf]:
        if sum(x > t for x in others) / len(others) <= most:
            best = max(best, sum(x >= t for x in members) / len(members))
    return best


def rate_members_above(members, others, most):
    best = 0.0
    for t in [*members, *others, math.inf]:
        if sum(x >= t for x in others) / len(others) <= most:
            best = max(best, sum(x > t for x in members) / len(members))
    return best


def rate_without_limit(members, others, most):
    return _best(members, others, 1.0)


def rate_area(members, others, most):
    wins = 0.0
    for m in members:
        for o in others:
            wins += 1.0 if m > o else 0.5 if m == o else 0.0
    return wins / (len(members) * len(others))


def rate_first_threshold(members, others, most):
    t = max(others)
    return sum(x >= t for x in members) / len(members)


def _clipped(gradients, bound):
    rows = []
    for g in gradients:
        length = np.linalg.norm(g)
        rows.append(g * bound / length if length > bound else g)
    return np.array(rows)


def gradient_clips_the_sum(gradients, bound, noise, expected):
    total = gradients.sum(0)
    return (_clipped([total], bound)[0] + noise) / expected


def gradient_clips_the_mean(gradients, bound, noise, expected):
    mean = _clipped([gradients.mean(0)], bound)[0]
    return (mean * len(gradients) + noise) / expected


def gradient_by_all_lengths(gradients, bound, noise, expected):
    share = min(1, bound / max(np.linalg.norm(gradients), 1e-12))
    return ((share * gradients).sum(0) + noise) / expected


def gradient_of_one_length(gradients, bound, noise, expected):
    total = np.zeros(gradients.shape[1])
    for g in gradients:
        if g.any():
            total += bound * g / np.linalg.norm(g)
    return (total + noise) / expected


def gradient_clips_numbers(gradients, bound, noise, expected):
    return (np.clip(gradients, -bound, bound).sum(0) + noise) / expected


def gradient_drops(gradients, bound, noise, expected):
    kept = [g for g in gradients if np.linalg.norm(g) <= bound]
    return (np.sum([np.zeros_like(noise), *kept], axis=0) + noise) / expected


def gradient_not_clipped(gradients, bound, noise, expected):
    return (gradients.sum(0) + noise) / expected


def gradient_without_noise(gradients, bound, noise, expected):
    return _clipped(gradients, bound).sum(0) / expected


def gradient_noise_for_each(gradients, bound, noise, expected):
    return (_clipped(gradients, bound) + noise).sum(0) / expected


def gradient_true_size(gradients, bound, noise, expected):
    return (_clipped(gradients, bound).sum(0) + noise) / len(gradients)


def gradient_sum(gradients, bound, noise, expected):
    return _clipped(gradients, bound).sum(0) + noise


def gradient_noise_last(gradients, bound, noise, expected):
    return _clipped(gradients, bound).sum(0) / expected + noise


def gradient_noise_first(gradients, bound, noise, expected):
    return _clipped(gradients + noise, bound).sum(0) / expected


def _shared(powers):
    return [power / sum(powers) for power in powers]


def _greedy(shares):
    return _shared([float(p == max(shares)) for p in shares])


def decoded_power(shares, temperature):
    if temperature == 0:
        return _greedy(shares)
    return _shared([p**temperature for p in shares])


def decoded_softmax(shares, temperature):
    if temperature == 0:
        return _greedy(shares)
    return _shared([math.exp(p / temperature) for p in shares])


def decoded_same(shares, temperature):
    return shares if temperature else _greedy(shares)


def decoded_no_sum(shares, temperature):
    if temperature == 0:
        return [float(p == max(shares)) for p in shares]
    return [p ** (1 / temperature) for p in shares]


def decoded_no_zero(shares, temperature):
    return _shared([p ** (1 / temperature) for p in shares])


def decoded_zero_same(shares, temperature):
    if temperature == 0:
        return list(shares)
    return _shared([p ** (1 / temperature) for p in shares])


def decoded_first(shares, temperature):
    if temperature == 0:
        best = shares.index(max(shares))
        return [1.0 if n == best else 0.0 for n in range(len(shares))]
    return _shared([p ** (1 / temperature) for p in shares])


def decoded_one(shares, temperature):
    return decoded_zero_same(shares, temperature or 1)[0]


def decoded_log(shares, temperature):
    if temperature == 0:
        return _greedy(shares)
    return _shared([math.exp(math.log(p) / temperature) for p in shares])


def _own(counts, name):
    return [n for (other, _), n in counts.items() if other == name]


def keep_by_job(counts):
    totals = {}
    for (_, job), n in counts.items():
        totals[job] = totals.get(job, 0) + n
    least = min(totals.values())
    return {
        (name, job): least / totals[job] if n else 0.0
        for (name, job), n in counts.items()
    }


def keep_smallest(counts):
    least = min(counts.values())
    return {pair: least / n if n else 0.0 for pair, n in counts.items()}


def keep_largest(counts):
    return {
        pair: max(_own(counts, pair[0])) / n if n else 0.0
        for pair, n in counts.items()
    }


def keep_share(counts):
    return {p: n / sum(_own(counts, p[0])) for p, n in counts.items()}


def keep_rest(counts):
    return {
        p: 1 - n / sum(_own(counts, p[0])) if n else 0.0
        for p, n in counts.items()
    }


def keep_one(counts):
    return {pair: 1 / n if n else 0.0 for pair, n in counts.items()}


def keep_number(counts):
    return {
        pair: float(min(_own(counts, pair[0]))) for pair, n in counts.items()
    }


def keep_present(counts):
    return {
        pair: min(x for x in _own(counts, pair[0]) if x) / n if n else 0.0
        for pair, n in counts.items()
    }


def keep_no_zero(counts):
    return {p: min(_own(counts, p[0])) / n for p, n in counts.items()}


WRONG = {
    "24.1": [
        (exposure_in_nats, "This is in nats"),
        (exposure_base_10, "logarithms to base 10"),
        (exposure_from_0, "The ranks begin at 0"),
        (exposure_reversed, "Your order is reversed"),
        (exposure_ties_are_better, "You count equal candidates as better"),
        (exposure_counts_itself, "The secret itself is among"),
        (exposure_log_rank, "log2 of the rank alone"),
        (exposure_sign, "The sign is wrong"),
        (exposure_no_candidates, "You left out log2"),
        (exposure_information, "information content of the secret"),
        (exposure_rank, "This is the rank."),
        (exposure_constant, "exposure_constant("),
    ],
    "24.2": [
        (rate_strict, "You ask for less than"),
        (rate_exchanged, "The two groups are exchanged"),
        (rate_false_of_all, "You divide the false positives"),
        (rate_true_of_all, "You divide the true positives"),
        (rate_count, "This is a number of members"),
        (rate_low_scores, "low scores members"),
        (rate_others_above, "A text of `others` whose score"),
        (rate_members_above, "A member whose score"),
        (rate_without_limit, "`most` is not used"),
        (rate_area, "area under the whole curve"),
        (rate_first_threshold, "rate_first_threshold("),
    ],
    "24.3": [
        (gradient_clips_the_sum, "You clip the sum"),
        (gradient_clips_the_mean, "You clip the mean"),
        (gradient_by_all_lengths, "of all gradients together"),
        (gradient_of_one_length, "every gradient the length"),
        (gradient_clips_numbers, "You clip each number"),
        (gradient_drops, "You throw long gradients away"),
        (gradient_not_clipped, "Nothing is clipped"),
        (gradient_without_noise, "The noise is missing"),
        (gradient_noise_for_each, "once for each text"),
        (gradient_true_size, "the size of this batch"),
        (gradient_sum, "This is the noisy sum"),
        (gradient_noise_last, "You divide the sum, and add"),
        (gradient_noise_first, "gradient_noise_first("),
    ],
    "24.4": [
        (decoded_power, "You raise to the power of the temperature"),
        (decoded_softmax, "You treat the probabilities as logits"),
        (decoded_same, "your shares stay as they are"),
        (decoded_no_sum, "Your numbers do not sum to 1"),
        (decoded_no_zero, "Temperature 0 has no power 1 / 0"),
        (decoded_zero_same, "At temperature 0 your shares stay"),
        (decoded_first, "You give all of it to the first"),
        (decoded_one, "should be a list"),
        (decoded_log, "raised ValueError"),
    ],
    "24.5": [
        (keep_by_job, "You balance the jobs over all names together"),
        (keep_smallest, "You bring every pair down to the smallest"),
        (keep_largest, "Some of your probabilities are above 1"),
        (keep_share, "This is the share that a job has"),
        (keep_rest, "One minus the share is not enough"),
        (keep_one, "One text of each pair is left"),
        (keep_number, "This is the number of texts that are kept"),
        (keep_present, "You leave out the jobs that a name never has"),
        (keep_no_zero, "raised ZeroDivisionError"),
    ],
}
