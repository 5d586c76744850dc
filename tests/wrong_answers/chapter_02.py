"""Wrong answers to the exercises of chapter 2, as learners write them."""

import math
from collections import Counter, defaultdict


def forgets_both_ends(tokens):
    pairs = {}
    for i in range(len(tokens) - 1):
        pair = (tokens[i], tokens[i + 1])
        pairs[pair] = pairs.get(pair, 0) + 1
    return pairs


def forgets_the_start(tokens):
    pairs = defaultdict(int)
    for i, token in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else "</s>"
        pairs[token, after] += 1
    return dict(pairs)


def forgets_the_end(tokens):
    pairs = defaultdict(int)
    previous = "<s>"
    for token in tokens:
        pairs[previous, token] += 1
        previous = token
    return dict(pairs)


def notes_but_does_not_count(tokens):
    row = ["<s>", *tokens, "</s>"]
    return {(row[i - 1], row[i]): 1 for i in range(1, len(row))}


def token_first(tokens):
    row = ["<s>", *tokens, "</s>"]
    return dict(Counter((row[i], row[i - 1]) for i in range(1, len(row))))


def returns_a_list(tokens):
    row = ["<s>", *tokens, "</s>"]
    return [(row[i - 1], row[i]) for i in range(1, len(row))]


def indexes_too_far(tokens):
    pairs = {}
    for i in range(len(tokens)):
        pair = (tokens[i], tokens[i + 1])
        pairs[pair] = pairs.get(pair, 0) + 1
    return pairs


def adds_text_to_a_list(tokens):
    row = "<s>" + tokens + "</s>"
    return dict(Counter((row[i - 1], row[i]) for i in range(1, len(row))))


def inverse_of_the_mean(probabilities):
    if 0 in probabilities:
        return math.inf
    mean = sum(probabilities) / len(probabilities)
    return 1 / mean


def mean_of_inverses(probabilities):
    if 0 in probabilities:
        return float("inf")
    return sum(1 / p for p in probabilities) / len(probabilities)


def forgets_the_length(probabilities):
    product = 1.0
    for p in probabilities:
        product *= p
    return math.inf if product == 0 else 1 / product


def one_token_too_many(probabilities):
    if 0 in probabilities:
        return math.inf
    total = sum(math.log(p) for p in probabilities)
    return math.exp(-total / (len(probabilities) + 1))


def forgets_the_minus(probabilities):
    if min(probabilities) <= 0:
        return math.inf
    logs = [math.log(p) for p in probabilities]
    return math.exp(sum(logs) / len(logs))


def entropy_of_the_list(probabilities):
    if 0 in probabilities:
        return math.inf
    return math.exp(-sum(math.log(p) * p for p in probabilities))


def stops_at_nats(probabilities):
    if min(probabilities) <= 0:
        return math.inf
    return sum(-math.log(p) for p in probabilities) / len(probabilities)


def exp_of_bits(probabilities):
    if min(probabilities) <= 0:
        return math.inf
    h = sum(-math.log2(p) for p in probabilities) / len(probabilities)
    return math.e**h


def exp_of_bits_without_zeros(probabilities):
    h = sum(-math.log2(p) for p in probabilities) / len(probabilities)
    return math.exp(h)


def two_to_the_nats(probabilities):
    if min(probabilities) <= 0:
        return math.inf
    h = sum(-math.log(p) for p in probabilities) / len(probabilities)
    return 2**h


def trusts_the_logarithm(probabilities):
    nats = 0.0
    for p in probabilities:
        nats += -math.log(p)
    return math.exp(nats / len(probabilities))


def skips_zeros(probabilities):
    kept = [p for p in probabilities if p != 0]
    return math.exp(sum(-math.log(p) for p in kept) / len(kept))


def takes_the_log_of_the_list(probabilities):
    return math.exp(-math.log(probabilities))


def end_is_no_outcome(row, token, k, vocabulary):
    total = sum(row.values()) + k * len(vocabulary)
    return (row.get(token, 0) + k) / total


def old_denominator(row, token, k, vocabulary):
    return (row.get(token, 0) + k) / sum(row.values())


def adds_k_once(row, token, k, vocabulary):
    return (row.get(token, 0) + k) / (sum(row.values()) + k)


def adds_v_without_k(row, token, k, vocabulary):
    V = len(vocabulary) + 1
    return (row.get(token, 0) + k) / (sum(row.values()) + V)


def k_for_the_seen_ones(row, token, k, vocabulary):
    return (row.get(token, 0) + k) / sum(c + k for c in row.values())


def no_k_in_the_numerator(row, token, k, vocabulary):
    V = len(vocabulary) + 1
    return row.get(token, 0) / (sum(row.values()) + k * V)


def one_for_the_end(row, token, k, vocabulary):
    total = 1 + sum(row.values()) + k * len(vocabulary)
    return (row.get(token, 0) + k) / total


def divides_too_early(row, token, k, vocabulary):
    V = len(vocabulary) + 1
    return (row.get(token, 0) + k) / sum(row.values()) + k * V


def nothing_after_the_unseen(row, token, k, vocabulary):
    if not row:
        return 0
    V = len([*vocabulary, "</s>"])
    return (row.get(token, 0) + k) / (sum(row.values()) + k * V)


def looks_up_what_is_missing(row, token, k, vocabulary):
    V = len(vocabulary) + 1
    return (row[token] + k) / (sum(row.values()) + k * V)


def nats_for_each_byte(text, probabilities):
    total = sum(-math.log(p) for p in probabilities)
    return total / len(text.encode("utf-8"))


def bits_for_each_character(text, probabilities):
    return sum(-math.log2(p) for p in probabilities) / len(text)


def nats_for_each_character(text, probabilities):
    return -math.log(math.prod(probabilities)) / len(text)


def bits_for_each_token(text, probabilities):
    return sum(-math.log2(p) for p in probabilities) / len(probabilities)


def bits_of_everything(text, probabilities):
    return -math.log2(math.prod(probabilities))


def negative_price(text, probabilities):
    return sum(map(math.log2, probabilities)) / len(text.encode())


def entropy_for_each_byte(text, probabilities):
    total = sum(-p * math.log2(p) for p in probabilities)
    return total / len(text.encode("utf-8"))


def divides_twice(text, probabilities):
    mean = -sum(map(math.log2, probabilities)) / len(probabilities)
    return mean / len(text.encode())


def encodes_nothing(text, probabilities):
    return -sum(map(math.log2, probabilities)) / len(text.decode())


def counts_cases(pairs):
    counts = Counter(w for _, w in pairs)
    return {w: c / sum(counts.values()) for w, c in counts.items()}


def kinds_over_cases(pairs):
    before = defaultdict(set)
    for v, w in pairs:
        before[w].add(v)
    return {w: len(vs) / len(pairs) for w, vs in before.items()}


def kinds_over_previous(pairs):
    before = defaultdict(set)
    for v, w in pairs:
        before[w].add(v)
    previous = {v for v, _ in pairs}
    return {w: len(vs) / len(previous) for w, vs in before.items()}


def kinds_over_tokens(pairs):
    before = defaultdict(set)
    for v, w in pairs:
        before[w].add(v)
    return {w: len(vs) / len(before) for w, vs in before.items()}


def counts_only(pairs):
    before = defaultdict(set)
    for v, w in pairs:
        before[w].add(v)
    return {w: len(vs) for w, vs in before.items()}


def what_comes_after(pairs):
    after = defaultdict(set)
    for v, w in pairs:
        after[v].add(w)
    total = sum(map(len, after.values()))
    return {v: len(ws) / total for v, ws in after.items()}


def a_list_of_shares(pairs):
    kinds = set(pairs)
    before = Counter(w for _, w in kinds)
    return [(w, c / len(kinds)) for w, c in before.items()]


def tails(tables, context):
    """The row of each order for a context, the shortest first."""
    n = len(context)
    for i, table in enumerate(tables):
        yield table.get(tuple(context[n - i : n]), {})


def counts_instead_of_kinds(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if row:
            total = sum(row.values())
            p = (row.get(token, 0) + total * p) / (2 * total)
    return p


def weight_of_one(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if row:
            p = (row.get(token, 0) + p) / (sum(row.values()) + 1)
    return p


def old_total(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if row:
            p = (row.get(token, 0) + len(row) * p) / sum(row.values())
    return p


def adds_the_shorter_whole(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if row:
            p += row.get(token, 0) / (sum(row.values()) + len(row))
    return p


def backs_off(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if row:
            size = sum(row.values()) + len(row)
            seen = token in row
            p = row[token] / size if seen else len(row) / size * p
    return p


def keeps_the_far_tokens(tables, token, context, V):
    p = 1 / V
    for i in range(len(tables)):
        row = tables[i].get(context[:i])
        if row is not None:
            N, total = len(row), sum(row.values())
            p = (row.get(token, 0) + N * p) / (total + N)
    return p


def skips_the_middle(tables, token, context, V):
    row = tables[-1].get(context, {})
    if len(row) == 0:
        return 1 / V
    size = sum(row.values()) + len(row)
    return row.get(token, 0) / size + len(row) / size / V


def starts_at_the_top(tables, token, context, V):
    p = 1 / V
    for row in reversed(list(tails(tables, context))):
        if row:
            size = sum(row.values()) + len(row)
            p = (row.get(token, 0) + len(row) * p) / size
    return p


def minus_zero(tables, token, context, V):
    p = 1 / V
    for i in range(len(tables)):
        if context[-i:] in tables[i]:
            row = tables[i][context[-i:]]
            N, total = len(row), sum(row.values())
            p = (row.get(token, 0) + N * p) / (total + N)
    return p


def gives_up(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if not row:
            return 0
        p = (row.get(token, 0) + len(row) * p) / (sum(row.values()) + len(row))
    return p


def all_alike_after_unseen(tables, token, context, V):
    p = 1 / V
    for row in tails(tables, context):
        if not row:
            return 1 / V
        p = (row.get(token, 0) + len(row) * p) / (sum(row.values()) + len(row))
    return p


def unseen_is_an_error(tables, token, context, V):
    p = 1 / V
    for i, table in enumerate(tables):
        row = table[context[len(context) - i :]]
        p = (row.get(token, 0) + len(row) * p) / (sum(row.values()) + len(row))
    return p


WRONG = {
    "2.1": [
        (forgets_both_ends, "Both ends are missing"),
        (forgets_the_start, "The first word has no pair"),
        (forgets_the_end, "The end is missing"),
        (notes_but_does_not_count, "Every pair is counted once"),
        (token_first, "the wrong way round"),
        (returns_a_list, "should be a dict, but it is a list"),
        (indexes_too_far, "expected {('<s>', '</s>'): 1}, got {}"),
        (adds_text_to_a_list, "raised TypeError"),
        ({("<s>", "a"): 1}, "needs the function itself"),
    ],
    "2.2": [
        (inverse_of_the_mean, "one over the arithmetic mean"),
        (mean_of_inverses, "This is the mean of 1/p"),
        (forgets_the_length, "did not divide by the number of tokens"),
        (one_token_too_many, "one token too many"),
        (forgets_the_minus, "The sign is missing"),
        (entropy_of_the_list, "You weight each logarithm"),
        (stops_at_nats, "This is the cross-entropy in nats"),
        (exp_of_bits, "a logarithm to the base 2 needs 2"),
        (exp_of_bits_without_zeros, "a logarithm to the base 2 needs 2"),
        (two_to_the_nats, "needs the exponential function, not"),
        (trusts_the_logarithm, "right where no probability is 0"),
        (skips_zeros, "Tokens with probability 0 are left out"),
        (takes_the_log_of_the_list, "TypeError"),
    ],
    "2.3": [
        (end_is_no_outcome, "Your V is the number of words"),
        (old_denominator, "The denominator does not grow"),
        (adds_k_once, "grows by k only once"),
        (adds_v_without_k, "The denominator grows by V."),
        (k_for_the_seen_ones, "for the tokens of the row only"),
        (no_k_in_the_numerator, "The numerator has no k"),
        (one_for_the_end, "You add 1 for the end"),
        (divides_too_early, "Python divides before it adds"),
        (nothing_after_the_unseen, "never seen you return 0"),
        (looks_up_what_is_missing, "raised KeyError"),
    ],
    "2.4": [
        (nats_for_each_byte, "These are nats per byte"),
        (bits_for_each_character, "These are bits per character"),
        (nats_for_each_character, "These are nats per character"),
        (bits_for_each_token, "These are bits per token"),
        (bits_of_everything, "These are the bits of the whole text"),
        (negative_price, "The sign is wrong"),
        (entropy_for_each_byte, "You weight each logarithm"),
        (divides_twice, "You divide twice"),
        (encodes_nothing, "AttributeError"),
    ],
    "2.5": [
        (counts_cases, "You count cases"),
        (kinds_over_cases, "by the number of cases"),
        (kinds_over_previous, "the number of different previous tokens"),
        (kinds_over_tokens, "You divide by the number of different tokens"),
        (counts_only, "Divide them by their sum"),
        (what_comes_after, "You count what comes after each token"),
        (a_list_of_shares, "should be a dict, but it is a list"),
    ],
    "2.6": [
        (counts_instead_of_kinds, "You use c(h) where N(h) belongs"),
        (weight_of_one, "The weight of the shorter context is 1"),
        (old_total, "The denominator must grow by N(h)"),
        (adds_the_shorter_whole, "The shorter context is added whole"),
        (backs_off, "only for tokens that were not seen"),
        (keeps_the_far_tokens, "cut the context at the wrong end"),
        (skips_the_middle, "The orders between them are missing"),
        (starts_at_the_top, "from the highest order down"),
        (minus_zero, "Look at i = 0"),
        (gives_up, "you return 0."),
        (all_alike_after_unseen, "you return 1/V."),
        (unseen_is_an_error, "raised KeyError"),
    ],
}
