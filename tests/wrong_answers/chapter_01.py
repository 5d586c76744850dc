"""What learners write in chapter 1, and a piece of the message meant for it."""

import itertools
import math
from collections import Counter, defaultdict


def counts_instead_of_shares(tokens, word):
    result = {}
    for i in range(len(tokens) - 1):
        if tokens[i] == word:
            result[tokens[i + 1]] = result.get(tokens[i + 1], 0) + 1
    return result


def divided_by_occurrences(tokens, word):
    counts = Counter()
    seen = 0
    for i, token in enumerate(tokens):
        if token == word:
            seen += 1
            if i + 1 < len(tokens):
                counts[tokens[i + 1]] += 1
    return {t: c / seen for t, c in counts.items()}


def joint_probability(tokens, word):
    pairs = list(itertools.pairwise(tokens))
    return {b: pairs.count((a, b)) / len(pairs) for a, b in pairs if a == word}


def divided_by_length(tokens, word):
    result = defaultdict(float)
    for i in range(1, len(tokens)):
        if tokens[i - 1] == word:
            result[tokens[i]] += 1 / len(tokens)
    return dict(result)


def what_comes_before(tokens, word):
    before = [tokens[i - 1] for i in range(1, len(tokens)) if tokens[i] == word]
    return {t: before.count(t) / len(before) for t in before}


def beyond_the_end(tokens, word):
    after = [tokens[i + 1] for i in range(len(tokens)) if tokens[i] == word]
    return {t: after.count(t) / len(after) for t in after}


def list_of_pairs(tokens, word):
    return [(b, 1.0) for a, b in itertools.pairwise(tokens) if a == word]


def added(model, tokens):
    total = 0
    for i in range(len(tokens) - 1):
        total += model.get(tokens[i], {}).get(tokens[i + 1], 0)
    return total


def started_at_zero(model, tokens):
    p = 0.0
    for i in range(len(tokens) - 1):
        p = p * model.get(tokens[i], {}).get(tokens[i + 1], 0)
    return p


def unseen_skipped(model, tokens):
    p = 1.0
    for i in range(len(tokens) - 1):
        row = model.get(tokens[i], {})
        if tokens[i + 1] in row:
            p *= row[tokens[i + 1]]
    return p


def wrong_order(model, tokens):
    p = 1.0
    for i in range(len(tokens) - 1):
        p *= model.get(tokens[i + 1], {}).get(tokens[i], 0)
    return p


def no_default(model, tokens):
    p = 1.0
    for i in range(len(tokens) - 1):
        p *= model[tokens[i]][tokens[i + 1]]
    return p


def half_a_default(model, tokens):
    return math.prod(
        model[tokens[i]].get(tokens[i + 1], 0) for i in range(len(tokens) - 1)
    )


def logarithms(model, tokens):
    return sum(
        math.log(model.get(a, {}).get(b, 0) or 1e-300)
        for a, b in itertools.pairwise(tokens)
    )


def always_the_largest(distribution, u):
    return sorted(distribution, key=distribution.get, reverse=True)[0]


def or_equal(distribution, u):
    total = 0
    for token in distribution:
        total += distribution[token]
        if total >= u:
            return token


def single_probabilities(distribution, u):
    for token, p in distribution.items():
        if p > u:
            return token


def single_with_fallback(distribution, u):
    tokens = list(distribution)
    i = 0
    while i < len(tokens) - 1 and distribution[tokens[i]] <= u:
        i += 1
    return tokens[i]


def open_at_both_ends(distribution, u):
    left = 0
    for token, p in distribution.items():
        if left < u < left + p:
            return token
        left += p


def compares_before_adding(distribution, u):
    total = 0
    for token, p in distribution.items():
        if total > u:
            return token
        total += p
    return token


def sorted_by_probability(distribution, u):
    total = 0
    for p, token in sorted(
        ((p, t) for t, p in distribution.items()), key=lambda pair: -pair[0]
    ):
        total += p
        if u < total:
            return token


def sorted_by_name(distribution, u):
    total = 0
    for token in sorted(distribution):
        total += distribution[token]
        if u < total:
            return token


def returns_the_probability(distribution, u):
    total = 0
    for p in distribution.values():
        total += p
        if u < total:
            return p


def last_in_the_alphabet(counts, token, length):
    line = []
    for _ in range(length):
        if token not in counts:
            break
        token = max(counts[token])
        line.append(token)
    return line


def least_frequent(counts, token, length):
    line = []
    for _ in range(length):
        if token not in counts:
            break
        token = sorted(counts[token], key=counts[token].get)[0]
        line.append(token)
    return line


def first_follower(counts, token, length):
    line = []
    while token in counts and len(line) < length:
        token = list(counts[token])[0]  # noqa: RUF015
        line.append(token)
    return line


def later_of_equals(counts, token, length):
    line = []
    while token in counts and len(line) < length:
        token = sorted(counts[token].items(), key=lambda item: item[1])[-1][0]
        line.append(token)
    return line


def with_the_start(counts, token, length):
    line = [token]
    while line[-1] in counts and len(line) <= length:
        row = counts[line[-1]]
        line.append(max(row, key=row.get))
    return line


def start_counts_too(counts, token, length):
    line = [token]
    while line[-1] in counts and len(line) < length:
        row = counts[line[-1]]
        line.append(max(row, key=row.get))
    return line[:length]


def never_moves(counts, token, length):
    line = []
    for _ in range(length):
        if token in counts:
            line.append(max(counts[token], key=counts[token].get))
    return line


def no_stop(counts, token, length):
    line = []
    for _ in range(length):
        row = counts[token]
        token = max(row, key=lambda t: row[t])
        line.append(token)
    return line


def goes_on_when_stuck(counts, token, length):
    line = []
    while len(line) < length:
        row = counts.get(token, {token: 1})
        token = max(row, key=row.get)
        line.append(token)
    return line


def one_string(counts, token, length):
    return " ".join(first_follower(counts, token, length))


def without_six(parameters, tokens, machines, peak, utilisation):
    return parameters * tokens / (machines * peak * utilisation * 86400)


def forward_only(parameters, tokens, machines, peak, utilisation):
    return 2 * parameters * tokens / (machines * peak * utilisation * 86400)


def in_seconds(parameters, tokens, machines, peak, utilisation):
    return 6 * parameters * tokens / (machines * peak * utilisation)


def in_hours(parameters, tokens, machines, peak, utilisation):
    return 6 * parameters * tokens / (machines * peak * utilisation) / 3600


def at_full_speed(parameters, tokens, machines, peak, utilisation):
    return 6 * parameters * tokens / (machines * peak) / (24 * 60 * 60)


def utilisation_shortens(parameters, tokens, machines, peak, utilisation):
    return 6 * parameters * tokens * utilisation / (machines * peak) / 86400


def one_machine(parameters, tokens, machines, peak, utilisation):
    return 6 * parameters * tokens / (peak * utilisation) / 86400


def no_parentheses(parameters, tokens, machines, peak, utilisation):
    days = 24 * 60 * 60
    return 6 * parameters * tokens / machines * peak * utilisation / days


def too_few_arguments(parameters, tokens):
    return 6 * parameters * tokens


WRONG = {
    "1.1": [
        (counts_instead_of_shares, "These are counts"),
        (divided_by_occurrences, "how often the word occurs"),
        (joint_probability, "the number of all pairs"),
        (divided_by_length, "the number of all tokens"),
        (what_comes_before, "come before the word"),
        (beyond_the_end, "raised IndexError"),
        (list_of_pairs, "should be a dict, but it is a list"),
    ],
    "1.2": [
        (added, "is a product"),
        (started_at_zero, "start from 1.0"),
        (unseen_skipped, "You skip the pairs"),
        (wrong_order, "wrong order"),
        (no_default, "KeyError for a pair"),
        (half_a_default, "KeyError for a token that has no row"),
        (logarithms, "expected 1.0, got 0"),
    ],
    "1.3": [
        (always_the_largest, "never use u"),
        (or_equal, "exactly between two tokens"),
        (single_probabilities, "sometimes no token is large enough"),
        (single_with_fallback, "with each single probability"),
        (open_at_both_ends, "you find no token"),
        (compares_before_adding, "one token too far"),
        (sorted_by_probability, "sort the tokens by their probability"),
        (sorted_by_name, "by their names"),
        (returns_the_probability, "expected 'a', got 1.0"),
    ],
    "1.4": [
        (last_in_the_alphabet, "last in the alphabet"),
        (least_frequent, "least frequent follower"),
        (first_follower, "the first follower of each token"),
        (later_of_equals, "you take the later one"),
        (with_the_start, "should hold the new tokens only"),
        (start_counts_too, "lacks one new token"),
        (never_moves, "the same token again and again"),
        (no_stop, "There the list should end early"),
        (goes_on_when_stuck, "goes on with the same token"),
        (one_string, "should be a list, but it is a str"),
    ],
    "1.5": [
        (without_six, "six times too small"),
        (forward_only, "2 FLOPs per parameter"),
        (in_seconds, "the number of seconds"),
        (in_hours, "the number of hours"),
        (at_full_speed, "do not use the utilisation"),
        (utilisation_shortens, "should become longer"),
        (one_machine, "the time of one machine"),
        (no_parentheses, "from left to right"),
        (too_few_arguments, "raised TypeError"),
    ],
}
