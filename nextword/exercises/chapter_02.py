"""Exercises of chapter 2: counting pairs, perplexity, smoothing, bits per byte."""

import itertools
import math
import random
from collections import Counter

from nextword.exercises.engine import Mistake, compare, exercise

START, END = "<s>", "</s>"


def _count_neighbours(tokens):
    padded = [START, *tokens, END]
    return dict(Counter(itertools.pairwise(padded)))


def _pairs_without_start(tokens):
    return dict(Counter(zip(tokens, [*tokens, END][1:], strict=False)))


def _pairs_without_end(tokens):
    return dict(Counter(zip([START, *tokens], tokens, strict=False)))


def _pairs_inside(tokens):
    return dict(Counter(itertools.pairwise(tokens)))


def _pairs_seen_or_not(tokens):
    return dict.fromkeys(_count_neighbours(tokens), 1)


def _pairs_reversed(tokens):
    return {(b, a): c for (a, b), c in _count_neighbours(tokens).items()}


@exercise("2.1", "Count the pairs")
def count_neighbours(answer, rng: random.Random) -> None:
    """Neighbours counted, with a start and an end."""
    cases = [([],), (["a", "b"],), (["a", "a", "a"],)]
    for size in (4, 9):
        cases.append(([rng.choice("abc") for _ in range(size)],))
    compare(
        answer,
        _count_neighbours,
        cases,
        [
            Mistake(
                _pairs_inside,
                "Both ends are missing. The first word is predicted from "
                "START, and END is predicted from the last word.",
            ),
            Mistake(
                _pairs_without_start,
                "The first word has no pair. Its previous token is START.",
            ),
            Mistake(
                _pairs_without_end,
                "The end is missing. END is predicted too, from the last word.",
            ),
            Mistake(
                _pairs_seen_or_not,
                "Every pair is counted once. Count how often each one comes.",
            ),
            Mistake(
                _pairs_reversed,
                "The pairs are the wrong way round: the previous token stands "
                "first, the token itself second.",
            ),
        ],
    )


def _perplexity(probabilities):
    if min(probabilities) == 0:
        return math.inf
    logs = [math.log(p) for p in probabilities]
    return math.exp(-sum(logs) / len(logs))


def _with_zeros(formula):
    """The formula, with the right answer where a probability is 0."""

    def answer(probabilities):
        if min(probabilities) == 0:
            return math.inf
        return formula(probabilities)

    return answer


def _logs(probabilities):
    return sum(math.log(p) for p in probabilities)


_PERPLEXITY_MISTAKES = [
    (
        lambda ps: len(ps) / sum(ps),
        "This is one over the arithmetic mean of the probabilities. Average "
        "the logarithms instead: one bad prediction must cost much.",
    ),
    (
        lambda ps: sum(1 / p for p in ps) / len(ps),
        "This is the mean of 1/p. Average the logarithms first, and take the "
        "exponential at the end.",
    ),
    (
        lambda ps: math.exp(-_logs(ps)),
        "You did not divide by the number of tokens. So a longer text would "
        "always have a larger perplexity.",
    ),
    (
        lambda ps: math.exp(-_logs(ps) / (len(ps) + 1)),
        "You divide by one token too many. Every prediction stands in the "
        "list already, the end included.",
    ),
    (
        lambda ps: math.exp(_logs(ps) / len(ps)),
        "The sign is missing: this is the geometric mean of the "
        "probabilities. The perplexity is one over it, never below 1.",
    ),
    (
        lambda ps: math.exp(-sum(p * math.log(p) for p in ps)),
        "You weight each logarithm by its probability, as in the entropy of a "
        "distribution. Here each number belongs to one token of a text, and "
        "every token counts the same: equation (2.5).",
    ),
    (
        lambda ps: -_logs(ps) / len(ps),
        "This is the cross-entropy in nats. The perplexity is its exponential.",
    ),
    (
        lambda ps: math.exp(-_logs(ps) / len(ps) / math.log(2)),
        "The bases do not match: a logarithm to the base 2 needs 2 to the "
        "power of it, not the exponential function.",
    ),
    (
        lambda ps: 2 ** (-_logs(ps) / len(ps)),
        "The bases do not match: a natural logarithm needs the exponential "
        "function, not a power of 2.",
    ),
]


@exercise("2.2", "Perplexity from probabilities")
def perplexity_of(answer, rng: random.Random) -> None:
    """The inverse of the geometric mean."""
    cases = [([0.5, 0.125],), ([0.2],), ([0.5, 0.0, 0.3],)]
    for size in (3, 8):
        cases.append(([rng.uniform(0.01, 0.9) for _ in range(size)],))
    mistakes = []
    for formula, message in _PERPLEXITY_MISTAKES:
        mistakes.append(Mistake(_with_zeros(formula), message))
        mistakes.append(Mistake(formula, message))
    zeros = (
        "The formula is right where no probability is 0. If one of them is 0, "
        "the answer is math.inf, and math.log(0) raises an error."
    )
    mistakes += [
        Mistake(lambda ps: math.exp(-_logs(ps) / len(ps)), zeros),
        Mistake(
            lambda ps: _perplexity([p for p in ps if p > 0]),
            "Tokens with probability 0 are left out. A model that calls what "
            "happened impossible has an infinite perplexity.",
        ),
    ]
    compare(answer, _perplexity, cases, mistakes)


def _add_k(row, token, k, vocabulary):
    V = len(vocabulary) + 1
    return (row.get(token, 0) + k) / (sum(row.values()) + k * V)


def _add_k_over(denominator):
    """Add-k with another denominator; c(h), k and the words are given to it."""
    return lambda row, token, k, vocabulary: (
        (row.get(token, 0) + k) / denominator(row, k, len(vocabulary))
    )


@exercise("2.3", "Add k")
def add_k(answer, rng: random.Random) -> None:
    """The row must sum to 1 with the end among the outcomes."""
    words = ["ran", "sat", "slept", "ate", "hid", "fell"]
    cases = [
        ({"sat": 1}, "ran", 1, ["ran", "sat"]),
        ({"sat": 3, END: 2}, END, 0.5, ["ran", "sat"]),
        ({}, "sat", 0.1, ["ran", "sat", "slept"]),
    ]
    for _ in range(3):
        vocabulary = words[: rng.randint(3, 6)]
        # two kinds of followers or more, and never all of the outcomes
        seen = rng.sample(vocabulary, rng.randint(2, len(vocabulary) - 1))
        row = {w: rng.randint(2, 9) for w in seen}
        token = rng.choice([*vocabulary, END])
        cases.append((row, token, rng.choice([0.01, 0.2, 2]), vocabulary))

    def no_k_above(row, token, k, vocabulary):
        V = len(vocabulary) + 1
        return row.get(token, 0) / (sum(row.values()) + k * V)

    compare(
        answer,
        _add_k,
        cases,
        [
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values()) + k * n),
                "Your V is the number of words. END may come next too, so "
                "there is one outcome more. Does your row sum to 1?",
            ),
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values())),
                "The denominator does not grow. Every outcome gets k more, so "
                "the row sums to more than 1.",
            ),
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values()) + k),
                "The denominator grows by k only once. How many outcomes get "
                "k more?",
            ),
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values()) + n + 1),
                "The denominator grows by V. It must grow by what the "
                "numerators of all V outcomes grow by together.",
            ),
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values()) + k * n + 1),
                "You add 1 for the end. END gets k more, as every other "
                "outcome does.",
            ),
            Mistake(
                lambda row, token, k, vocabulary: (
                    (row.get(token, 0) + k) / sum(row.values())
                    + k * (len(vocabulary) + 1)
                ),
                "Python divides before it adds. Put the whole denominator in "
                "parentheses.",
            ),
            Mistake(
                lambda row, token, k, vocabulary: (
                    _add_k(row, token, k, vocabulary) if row else 0.0
                ),
                "After a context that was never seen you return 0. Equation "
                "(2.9) works there too: all its counts are 0.",
            ),
            Mistake(
                _add_k_over(lambda row, k, n: sum(row.values()) + k * len(row)),
                "You add k for the tokens of the row only. The tokens that "
                "were never seen after this context get k too.",
            ),
            Mistake(
                no_k_above,
                "The numerator has no k. What was never seen still has "
                "probability 0.",
            ),
        ],
    )


def _bits_for_each_byte(text, probabilities):
    total = -sum(math.log2(p) for p in probabilities)
    return total / len(text.encode("utf-8"))


def _price(text, probabilities, log, size):
    return -sum(log(p) for p in probabilities) / size


@exercise("2.4", "The price of a byte")
def bits_for_each_byte(answer, rng: random.Random) -> None:
    """The bits of all tokens over the bytes of the text."""
    cases = [("abba", [0.25, 0.25]), ("naïve", [0.5, 0.125])]
    for letters in ("abc de", "éàü ñ", "猫坐在垫子上"):
        text = "".join(rng.choice(letters) for _ in range(rng.randint(6, 12)))
        tokens = rng.randint(2, 5)
        cases.append((text, [rng.uniform(0.05, 0.6) for _ in range(tokens)]))
    compare(
        answer,
        _bits_for_each_byte,
        cases,
        [
            Mistake(
                lambda t, ps: _price(t, ps, math.log, len(t.encode())),
                "These are nats per byte. A bit uses the logarithm to the "
                "base 2.",
            ),
            Mistake(
                lambda t, ps: _price(t, ps, math.log2, len(t)),
                "These are bits per character. In UTF-8 a character such as "
                "é or 猫 takes more than one byte.",
            ),
            Mistake(
                lambda t, ps: _price(t, ps, math.log, len(t)),
                "These are nats per character. Use the logarithm to the base "
                "2, and divide by the bytes of the text in UTF-8.",
            ),
            Mistake(
                lambda t, ps: _price(t, ps, math.log2, len(ps)),
                "These are bits per token. How the text is cut into tokens "
                "must not matter: divide by the bytes of the text.",
            ),
            Mistake(
                lambda t, ps: _price(t, ps, math.log2, 1),
                "These are the bits of the whole text. Share them among its "
                "bytes.",
            ),
            Mistake(
                lambda t, ps: (
                    -sum(p * math.log2(p) for p in ps) / len(t.encode())
                ),
                "You weight each logarithm by its probability, as in the "
                "entropy of a distribution. Here every token of the text is "
                "paid in full.",
            ),
            Mistake(
                lambda t, ps: -_bits_for_each_byte(t, ps),
                "The sign is wrong. The logarithm of a probability is "
                "negative, but a price is positive.",
            ),
            Mistake(
                lambda t, ps: (
                    _price(t, ps, math.log2, len(ps)) / len(t.encode())
                ),
                "You divide twice, by the tokens and by the bytes. Add up the "
                "bits of all tokens and divide by the bytes only.",
            ),
        ],
    )


def _continuation(pairs):
    kinds = set(pairs)
    before = Counter(token for _, token in kinds)
    return {token: n / len(kinds) for token, n in before.items()}


def _raw_shares(pairs):
    cases = Counter(token for _, token in pairs)
    return {token: n / len(pairs) for token, n in cases.items()}


def _followers(pairs):
    kinds = set(pairs)
    after = Counter(previous for previous, _ in kinds)
    return {previous: n / len(kinds) for previous, n in after.items()}


def _kinds_over(size):
    """The kinds of each token over another number, which is made from pairs."""

    def answer(pairs):
        before = Counter(token for _, token in set(pairs))
        return {token: n / size(pairs) for token, n in before.items()}

    return answer


@exercise("2.5", "Kinds, not cases")
def continuation(answer, rng: random.Random) -> None:
    """Each kind of pair counts once."""
    first = [("san", "francisco")] * 2 + [("my", "glass"), ("a", "glass")]
    forked = [("a", "x"), ("a", "y"), ("b", "x")]
    cases = [(first,), ([("a", "b")],), (forked,)]
    for size in (8, 14):
        pairs = [(rng.choice("abcd"), rng.choice("xyz")) for _ in range(size)]
        cases.append(([*pairs, *pairs[:2]],))
    compare(
        answer,
        _continuation,
        cases,
        [
            Mistake(
                _raw_shares,
                "You count cases: a pair that comes twice counts twice. Count "
                "every kind of pair once.",
            ),
            Mistake(
                _kinds_over(len),
                "You divide the kinds by the number of cases, so the result "
                "sums to less than 1. Divide by the number of kinds of pairs.",
            ),
            Mistake(
                _kinds_over(lambda pairs: len({v for v, _ in pairs})),
                "You divide by the number of different previous tokens. A "
                "previous token may come with several tokens: divide by the "
                "number of kinds of pairs.",
            ),
            Mistake(
                _kinds_over(lambda pairs: len({w for _, w in pairs})),
                "You divide by the number of different tokens. The result "
                "must sum to 1: divide by the number of kinds of pairs.",
            ),
            Mistake(
                _kinds_over(lambda pairs: 1),
                "These are the counts N(• w). Divide them by their sum, so "
                "that they become probabilities.",
            ),
            Mistake(
                _followers,
                "You count what comes after each token. Count the different "
                "tokens that come before it.",
            ),
        ],
    )


def _recursion(new_events):
    """Witten-Bell, with the weight of the shorter context given as a function."""

    def answer(tables, token, context, V):
        p = 1 / V
        for i, table in enumerate(tables):
            row = table.get(context[len(context) - i :])
            if row:
                p = new_events(row, row.get(token, 0), sum(row.values()), p)
        return p

    return answer


_witten_bell = _recursion(
    lambda row, c, total, p: (c + len(row) * p) / (total + len(row))
)


def _only_the_shorter(tables, token, context, V):
    p = 1 / V
    for i, table in enumerate(tables):
        row = table.get(context[len(context) - i :])
        if row:
            c, N, total = row.get(token, 0), len(row), sum(row.values())
            p = c / (total + N) if c else N * p / (total + N)
    return p


def _wrong_tail(tables, token, context, V):
    p = 1 / V
    for i, table in enumerate(tables):
        row = table.get(context[:i])
        if row:
            p = (row.get(token, 0) + len(row) * p) / (
                sum(row.values()) + len(row)
            )
    return p


def _only_the_highest(tables, token, context, V):
    row = tables[-1].get(context)
    if not row:
        return 1 / V
    N = len(row)
    return (row.get(token, 0) + N / V) / (sum(row.values()) + N)


def _from_high_to_low(tables, token, context, V):
    p = 1 / V
    for i, table in reversed(list(enumerate(tables))):
        row = table.get(context[len(context) - i :])
        if row:
            p = (row.get(token, 0) + len(row) * p) / (
                sum(row.values()) + len(row)
            )
    return p


def _whole_context_for_unigrams(tables, token, context, V):
    p = 1 / V
    for i, table in enumerate(tables):
        row = table.get(context[-i:])
        if row:
            p = (row.get(token, 0) + len(row) * p) / (
                sum(row.values()) + len(row)
            )
    return p


def _zero_after_unseen(tables, token, context, V):
    p = 1 / V
    for i, table in enumerate(tables):
        row = table.get(context[len(context) - i :], {})
        if not row:
            return 0.0
        p = (row.get(token, 0) + len(row) * p) / (sum(row.values()) + len(row))
    return p


def _uniform_after_unseen(tables, token, context, V):
    if not tables[-1].get(context):
        return 1 / V
    return _witten_bell(tables, token, context, V)


def _tables(sequences, order):
    """tables[i][context][token], as the chapter's ``count`` makes them."""
    tables = [{} for _ in range(order)]
    for sequence in sequences:
        for i, table in enumerate(tables):
            padded = [START] * i + sequence + [END]
            for j in range(i, len(padded)):
                row = table.setdefault(tuple(padded[j - i : j]), {})
                row[padded[j]] = row.get(padded[j], 0) + 1
    return tables


@exercise("2.6", "Witten–Bell")
def witten_bell(answer, rng: random.Random) -> None:
    """Interpolation weighted by how often something new came."""
    toy = _tables([list("abac"), list("abb"), list("cab")], 3)
    cases = [
        ([{(): {"a": 2, "b": 1}}], "a", (), 4),
        (toy[:2], "b", ("a",), 5),
        (toy[:2], "c", ("?",), 5),
        (toy, "c", ("b", "a"), 5),
        (toy, "a", ("c", "a"), 5),
        (toy, "a", ("c", "b"), 5),
    ]
    text = [[rng.choice("abc") for _ in range(6)] for _ in range(3)]
    tables = _tables(text, 3)
    for token in ("a", END):
        cases.append((tables, token, (rng.choice("abc"), rng.choice("abc")), 6))
    compare(
        answer,
        _witten_bell,
        cases,
        [
            Mistake(
                _recursion(lambda row, c, t, p: (c + t * p) / (t + t)),
                "You use c(h) where N(h) belongs: the number of different "
                "tokens that followed h, not of all of them.",
            ),
            Mistake(
                _recursion(lambda row, c, t, p: (c + p) / (t + 1)),
                "The weight of the shorter context is 1 everywhere. It is "
                "N(h), the number of different tokens that followed h.",
            ),
            Mistake(
                _recursion(lambda row, c, t, p: (c + len(row) * p) / t),
                "The denominator must grow by N(h) as well. Without it the "
                "probabilities sum to more than 1.",
            ),
            Mistake(
                _recursion(lambda row, c, t, p: c / (t + len(row)) + p),
                "The shorter context is added whole. Multiply it by N(h) and "
                "divide by c(h) + N(h).",
            ),
            Mistake(
                _only_the_shorter,
                "You ask the shorter context only for tokens that were not "
                "seen. Interpolation asks it always.",
            ),
            Mistake(
                _wrong_tail,
                "You cut the context at the wrong end. The shorter context "
                "keeps the nearest tokens, the last ones.",
            ),
            Mistake(
                _only_the_highest,
                "You ask the highest order, and then 1/V at once. The orders "
                "between them are missing.",
            ),
            Mistake(
                _from_high_to_low,
                "You go from the highest order down, so the unigrams are asked "
                "last and decide most. Go up, from P_0.",
            ),
            Mistake(
                _whole_context_for_unigrams,
                "Look at i = 0: context[-0:] is the whole context, not the "
                "empty one. So the unigrams are never used.",
            ),
            Mistake(
                _zero_after_unseen,
                "After a context that was never seen you return 0. Then P_n "
                "is P_(n-1), the answer of the shorter context.",
            ),
            Mistake(
                _uniform_after_unseen,
                "After a context that was never seen you return 1/V. Go down "
                "by one token only, to the answer of the shorter context.",
            ),
        ],
    )
