"""Exercises of chapter 17, "Sentiment analysis"."""

import math
from collections import Counter

from nextword.exercises.engine import Mistake, compare, exercise

LETTERS = "abcdefgh"
ENDS = (".", ",", ":", ";", "!", "?")


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("17.1", "The log-odds of a word")
def word_odds(answer, rng):
    """The natural logarithm of P(word | positive) / P(word | negative)."""
    cases = [
        ({"a": 3}, {"b": 1}, "a", 1),
        ({"a": 1, "b": 2}, {"a": 2, "c": 4, "d": 1}, "a", 1),
    ]
    for k in (0.5, 1, 2):
        counts = [
            {w: rng.randint(1, 9) for w in rng.sample(LETTERS, n)}
            for n in (4, 6)
        ]
        word = rng.choice(sorted(counts[0].keys() ^ counts[1].keys()) or ["a"])
        cases.append((*counts, word, k))

    def made(log=math.log, size=None, above=True, below=True):
        def odds(positive, negative, word, k):
            both = positive.keys() | negative.keys()
            shares = []
            for counts in (positive, negative):
                V = size(counts, positive, negative) if size else len(both)
                total = sum(counts.values()) + (k * V if below else 0)
                shares.append((counts.get(word, 0) + k * above) / total)
            return log(shares[0] / shares[1])

        return odds

    right = made()
    k_once = made(size=lambda *counts: 1)
    own = made(size=lambda counts, *rest: len(counts))
    doubled = made(size=lambda counts, one, two: len(one) + len(two))
    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda *case: -right(*case),
                "The sign is wrong: a word of the positive reviews has "
                "log-odds above 0. Divide P(word | positive) by the other one.",
            ),
            (made(math.log2), "This is log2. Take the natural logarithm."),
            (
                made(lambda x: x),
                "This is the ratio itself. Take its logarithm.",
            ),
            (
                made(below=False),
                "You add k to the count of the word, but not to the sum. Every "
                "word of the vocabulary gets k, so the sum grows by k * V.",
            ),
            (
                k_once,
                "The sum grows by k in your answer. Every word of the "
                "vocabulary gets k, so it grows by k * V.",
            ),
            (
                made(above=False),
                "The count of the word itself is without k.",
            ),
            (
                own,
                "Each label has a vocabulary of its own in your answer. V is "
                "the number of different words of both labels together.",
            ),
            (
                doubled,
                "You count words of both labels twice. V is the number of "
                "different words, so take the union.",
            ),
        ),
    )


@exercise("17.2", "Both of a pair")
def both_right(answer, rng):
    """The share of pairs with a score above 0 and one below 0."""
    cases = [
        ([(1.0, -1.0)],),
        ([(2.0, 1.0), (1.0, -3.0)],),
        ([(-1.0, -2.0), (0.5, -0.5), (0.0, -1.0), (-1.0, 2.0)],),
    ]
    for number in (5, 8, 40):
        pairs = [(rng.gauss(0, 2), rng.gauss(0, 2)) for _ in range(number)]
        pairs[:3] = [(0.0, -1.0), (1.5, 1.0), (2.0, -1.0)]
        cases.append((pairs,))

    def share(right):
        def of(pairs):
            return sum(right(*pair) for pair in pairs) / len(pairs)

        return of

    compare(
        answer,
        share(lambda p, n: p > 0 and n < 0),
        cases,
        _mistakes(
            (
                share(lambda p, n: ((p > 0) + (n < 0)) / 2),
                "This is the share of right texts. A pair counts only if both "
                "of its texts are right.",
            ),
            (
                share(lambda p, n: p > n),
                "You compare the two scores of a pair. Each text must be on "
                "its own side of 0.",
            ),
            (
                share(lambda p, n: p > 0 or n < 0),
                "One right text is enough in your answer. Both must be right.",
            ),
            (
                share(lambda p, n: p > 0 and n > 0),
                "The second score belongs to the negative text: it is right "
                "when it is below 0.",
            ),
            (
                share(lambda p, n: p >= 0 and n <= 0),
                "A score of 0 decides nothing, so it is not right.",
            ),
            (
                lambda pairs: sum(p > 0 and n < 0 for p, n in pairs),
                "This is the number of pairs. Divide by how many there are.",
            ),
        ),
    )


@exercise("17.3", "Mark what is denied")
def mark_negation(answer, rng):
    """NOT_ before each word from a denial to the next punctuation mark."""
    cases = [
        (["not", "good"],),
        (["it", "wasn't", "very", "good", ",", "but", "cheap"],),
        (["no", "fun", "."],),
        (["i", "never", "could", "not", "sleep", "!", "nice"],),
        (["don't", "never", "go", "?"],),
    ]
    pool = ["good", "bad", "soup", "nothing", "knot", "notice", *ENDS]
    for length in (6, 9, 20):
        words = rng.choices(pool, k=length)
        denials = ["not", "no", "never", "didn't", "isn't"]
        for place in rng.sample(range(length), 3):
            words[place] = rng.choice(denials)
        cases.append((["good", *words],))

    def denies(word):
        return word in ("not", "no", "never") or word.endswith("n't")

    def made(denies=denies, stops=True, itself=False, signs=False, reach=99):
        def mark(words):
            marked, left = [], 0
            for word in words:
                end = stops and word in ENDS
                left = 0 if end and not signs else left
                if denies(word):
                    marked.append("NOT_" + word if itself else word)
                    left = reach
                elif left and (signs or word not in ENDS):
                    marked.append("NOT_" + word)
                    left -= 1
                else:
                    marked.append(word)
                left = 0 if end else left
            return marked

        return mark

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(itself=True),
                "The denial itself is marked. It stays as it is; marking "
                "begins with the word after it.",
            ),
            (
                made(stops=False),
                "A punctuation mark ends the marking, but your answer goes on "
                "to the end of the text.",
            ),
            (
                made(signs=True),
                "The punctuation mark that ends the marking is marked too. It "
                "stays as it is.",
            ),
            (
                made(reach=1),
                "Only the next word is marked. Go on to the next punctuation "
                "mark.",
            ),
            (
                made(lambda w: w in ("not", "no", "never")),
                "Words that end in n't are denials too, such as wasn't.",
            ),
            (
                made(lambda w: w == "not"),
                "Only 'not' is a denial in your answer. There are no, never, "
                "and words that end in n't.",
            ),
            (
                made(lambda w: denies(w) or w.startswith("no")),
                "A word that only begins like a denial, such as 'notice', is "
                "none. Compare whole words.",
            ),
            (
                made(lambda w: denies(w) or "no" in w),
                "A word that only contains 'no', such as 'knot', is no "
                "denial. Compare whole words.",
            ),
        ),
    )


def _cubes(point):
    return [3 * v**2 for v in point]


def _product(point):
    return [
        math.prod(point[:n] + point[n + 1 :]) + 2 * v
        for n, v in enumerate(point)
    ]


@exercise("17.4", "Integrated gradients by hand")
def attribute(answer, rng):
    """(x - baseline) times the mean gradient at the middles of equal parts."""
    cases = [
        (_cubes, [1.0], [0.0], 2),
        (_product, [2.0, 1.0], [0.0, 0.5], 1),
    ]
    for steps in (2, 5, 16):
        x, baseline = ([rng.uniform(-2, 2) for _ in range(3)] for _ in range(2))
        cases.append((rng.choice([_cubes, _product]), x, baseline, steps))
        cases.append((_product, x, baseline, steps))

    def at(gradient, x, baseline, shares):
        points = [
            [b + s * (v - b) for v, b in zip(x, baseline, strict=True)]
            for s in shares
        ]
        rows = [gradient(point) for point in points]
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def made(shares, factor=lambda v, b: v - b):
        def attributions(gradient, x, baseline, steps):
            means = at(gradient, x, baseline, shares(steps))
            three = zip(x, baseline, means, strict=True)
            return [factor(v, b) * mean for v, b, mean in three]

        return attributions

    def middles(n):
        return [(i + 0.5) / n for i in range(n)]

    def right(*case):
        return made(middles)(*case)

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                made(middles, lambda v, b: 1.0),
                "This is the mean gradient. Multiply it by x - baseline.",
            ),
            (
                made(middles, lambda v, b: v),
                "You multiply by x. Multiply by the way from the baseline to "
                "x, which is x - baseline.",
            ),
            (
                made(middles, lambda v, b: b - v),
                "The sign is wrong: the way leads from the baseline to x.",
            ),
            (
                made(lambda n: [1.0]),
                "You take the gradient at x alone. Take the mean over points "
                "on the way from the baseline to x.",
            ),
            (
                made(lambda n: [i / n for i in range(n)]),
                "Your points are the beginnings of the parts. Take their "
                "middles.",
            ),
            (
                made(lambda n: [(i + 1) / n for i in range(n)]),
                "Your points are the ends of the parts. Take their middles.",
            ),
            (
                lambda g, x, b, n: [n * v for v in right(g, x, b, n)],
                "You add the gradients up. Divide by the number of steps.",
            ),
            (
                lambda g, x, b, n: sum(right(g, x, b, n)),
                "This is the sum over all numbers of x. Return a list with one "
                "number for each.",
            ),
        ),
        tolerance=1e-7,
    )


@exercise("17.5", "Out of reach for a bag")
def same_bags(answer, rng):
    """The share of pairs of texts with the same words equally often."""
    cases = [
        ([(["a", "b"], ["b", "a"])],),
        ([(["a", "b"], ["a", "c"]), (["a"], ["a"])],),
        ([(["a", "a", "b"], ["a", "b", "b"]), (["a", "b"], ["b", "a"])],),
        ([(["a", "a", "b"], ["b", "a"]), (["a", "b"], ["c", "d"])],),
        ([(["ab", "c"], ["a", "bc"]), (["a", "b"], ["b", "a"])],),
    ]
    for number in (6, 12):
        pairs = []
        for n in range(number):
            one = [rng.choice(LETTERS[:3]) for _ in range(4)]
            two = rng.sample(one, 4)
            if n % 2:
                two[0] = rng.choice("xyz")
            pairs.append((one, two))
        cases.append((pairs,))

    def share(same):
        def of(pairs):
            return sum(bool(same(*pair)) for pair in pairs) / len(pairs)

        return of

    right = share(lambda one, two: Counter(one) == Counter(two))
    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                share(lambda one, two: set(one) == set(two)),
                "You compare sets. A bag also knows how often a word comes.",
            ),
            (
                share(lambda one, two: one == two),
                "You compare the texts in their order. A bag has no order.",
            ),
            (
                share(
                    lambda one, two: (
                        sorted("".join(one)) == sorted("".join(two))
                    )
                ),
                "You compare letters. A bag of words holds whole words.",
            ),
            (
                share(lambda one, two: len(one) == len(two)),
                "You compare the lengths alone.",
            ),
            (
                share(lambda one, two: set(one) <= set(two)),
                "One text may have words in your answer that the other lacks. "
                "Both bags must be equal.",
            ),
            (
                lambda pairs: 1 - right(pairs),
                "This is the share of pairs that a bag can tell apart. Return "
                "the others.",
            ),
            (
                lambda pairs: round(right(pairs) * len(pairs)),
                "This is the number of pairs. Divide by how many there are.",
            ),
        ),
    )
