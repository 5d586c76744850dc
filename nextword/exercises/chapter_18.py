"""Exercises of chapter 18, "Machine translation"."""

import math
import random
from collections import Counter
from collections.abc import Callable

from nextword.exercises.engine import Mistake, _outcome, compare, exercise, same


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


def _telling(make: Callable, right: Callable, mistakes: list) -> list:
    """Cases on which no mistake gives what another gives, or what is right.

    ``make`` draws a list of cases; it is asked again until they differ.
    """
    while True:
        cases = make()
        functions = [right, *(mistake.wrong for mistake in mistakes)]
        results = [[_outcome(f, case) for case in cases] for f in functions]
        if not any(
            same(a, b) for i, a in enumerate(results) for b in results[i + 1 :]
        ):
            return cases


def _ngrams(items, n):
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


WORDS = ("那", "个", "杯子", "本", "给", "了")


@exercise("18.1", "Clipped precision")
def clipped(answer, rng):
    """Right and said n-grams of one pair."""

    def made(right=None, said=None, grams=_ngrams):
        def count(prediction, reference, n):
            a, b = grams(prediction, n), grams(reference, n)
            hits = (a & b).total() if right is None else right(a, b)
            return hits, a.total() if said is None else said(a, b)

        return count

    def bag(items, n):
        return Counter(
            tuple(sorted(gram)) for gram in _ngrams(items, n).elements()
        )

    mistakes = _mistakes(
        (
            made(right=lambda a, b: sum(c for g, c in a.items() if g in b)),
            "You do not clip: an n-gram that is said three times and stands "
            "once in the reference counts once.",
        ),
        (
            made(right=lambda a, b: len(a.keys() & b.keys())),
            "Each kind of n-gram counts at most once in your answer. If it "
            "stands twice in both texts, it is right twice.",
        ),
        (
            made(said=lambda a, b: b.total()),
            "Your second number counts the reference: that is recall. "
            "Precision divides by what was said.",
        ),
        (
            made(said=lambda a, b: len(a)),
            "Your second number counts different n-grams. Count each as often "
            "as it is said.",
        ),
        (
            made(grams=lambda x, n: _ngrams(x[:-1], n)),
            "The last n-gram of each text is missing. A text of L words has "
            "L - n + 1 of them.",
        ),
        (
            made(grams=lambda x, n: _ngrams(x, n + 1)),
            "Your n-grams have n + 1 words.",
        ),
        (
            made(grams=bag),
            "Your n-grams have lost their order: 那 个 and 个 那 are not the "
            "same.",
        ),
        (
            lambda p, r, n: made()(p, r, n)[::-1],
            "The two numbers are exchanged: first the right ones, then those "
            "that were said.",
        ),
        (
            lambda p, r, n: made()(p, r, n)[0] / max(made()(p, r, n)[1], 1),
            "This is the fraction. Return both counts: those of a whole test "
            "set are summed before they are divided.",
        ),
    )

    def make():
        cases = [
            (["那", "那", "个"], ["那", "个", "杯子"], 1),
            (["本"], ["本"], 2),
        ]
        for n in (1, 1, 2, 2, 3):
            texts = [rng.choices(WORDS[:3], k=rng.randint(6, 9)) for _ in "ab"]
            cases.append((*texts, n))
        return cases

    compare(answer, made(), _telling(make, made(), mistakes), mistakes)


@exercise("18.2", "BLEU from its counts")
def bleu_score(answer, rng):
    """The geometric mean and the brevity penalty."""

    def geometric(precisions):
        if min(precisions) == 0:
            return 0.0
        return math.exp(sum(map(math.log, precisions)) / len(precisions))

    def brevity(length, wanted):
        return min(1.0, math.exp(1 - wanted / length))

    def made(mean=geometric, penalty=brevity, scale=100, turned=False):
        def score(right, said, length, wanted):
            pairs = list(zip(right, said, strict=True))
            precisions = [b / a if turned else a / b for a, b in pairs]
            return scale * penalty(length, wanted) * mean(precisions)

        return score

    def always_log(precisions):
        return math.exp(sum(map(math.log, precisions)) / len(precisions))

    mistakes = _mistakes(
        (
            made(penalty=lambda c, r: min(1.0, math.exp(1 - c / r))),
            "The brevity penalty is upside down: it must punish what is "
            "shorter than the reference. Compare (18.3) for 5 words and 10.",
        ),
        (
            made(penalty=lambda c, r: math.exp(1 - r / c)),
            "What is longer than the reference gets more than its precision. "
            "The penalty is never above 1.",
        ),
        (
            made(penalty=lambda c, r: 1.0),
            "The brevity penalty is missing.",
        ),
        (
            made(penalty=lambda c, r: min(1.0, c / r)),
            "You multiply by the ratio of the lengths. The penalty is the "
            "exponential of 1 - r/c.",
        ),
        (
            made(mean=lambda p: sum(p) / len(p)),
            "This is the arithmetic mean of the precisions. BLEU takes the "
            "geometric mean.",
        ),
        (
            made(mean=math.prod),
            "You multiply the precisions, but the root is missing: each has "
            "the weight 1/4.",
        ),
        (
            made(mean=always_log),
            "A precision of 0 has no logarithm. Without smoothing, BLEU is 0 "
            "then.",
        ),
        (
            made(scale=1),
            "Your score runs from 0 to 1. BLEU is given in 0 to 100.",
        ),
        (
            made(mean=lambda p: p[-1]),
            "You use the longest n-grams only. All four lengths count.",
        ),
    )

    def make():
        cases = [([8, 4, 2, 1], [8, 8, 8, 8], 10, 10)]
        for k in range(6):
            said = [40 - 2 * n for n in range(4)]
            right = sorted((rng.randint(4, 30) for _ in said), reverse=True)
            if k == 5:
                right[3] = 0
            wanted = rng.randint(44, 60) if k % 2 else rng.randint(25, 39)
            cases.append((right, said, 42, wanted))
        return cases

    right = made()
    compare(answer, right, _telling(make, right, mistakes), mistakes)


@exercise("18.3", "chrF by hand")
def chrf_of(answer, rng):
    """The F-score of means over six orders."""

    def shares(prediction, reference, orders, clip=True):
        p, r = [], []
        for n in orders:
            a, b = _ngrams(prediction, n), _ngrams(reference, n)
            hits = (a & b).total()
            if not clip:
                hits = sum(count for g, count in a.items() if g in b)
            p.append(hits / a.total())
            r.append(hits / b.total())
        return p, r

    def f_score(p, r, beta):
        below = beta**2 * p + r
        return (1 + beta**2) * p * r / below if below else 0.0

    def mean(values):
        return sum(values) / len(values)

    def made(f=f_score, orders=range(1, 7), clip=True, scale=100):
        def score(prediction, reference, beta):
            p, r = shares(prediction, reference, orders, clip)
            return scale * f(mean(p), mean(r), beta)

        return score

    def mean_of_f(prediction, reference, beta):
        p, r = shares(prediction, reference, range(1, 7))
        return 100 * mean([f_score(*x, beta) for x in zip(p, r, strict=True)])

    def pooled(prediction, reference, beta):
        grams = [
            [_ngrams(text, n) for n in range(1, 7)]
            for text in (prediction, reference)
        ]
        hits = sum((a & b).total() for a, b in zip(*grams, strict=True))
        said, wanted = (sum(x.total() for x in side) for side in grams)
        return 100 * f_score(hits / said, hits / wanted, beta)

    mistakes = _mistakes(
        (
            made(f=lambda p, r, b: f_score(r, p, b)),
            "Beta is on the wrong side: it makes precision count more. In "
            "(18.4), beta squared stands beside P, and recall gains.",
        ),
        (
            made(f=lambda p, r, b: f_score(p, r, math.sqrt(b))),
            "Beta is not squared. With beta = 2, recall counts four times in "
            "the denominator's weights.",
        ),
        (
            made(f=lambda p, r, b: f_score(p, r, 1)),
            "You use beta = 1, whatever it is: then P and R count alike.",
        ),
        (
            mean_of_f,
            "You take the mean of six F-scores. sacreBLEU takes the means of P "
            "and of R first, and one F-score of them.",
        ),
        (
            made(clip=False),
            "The counts are not clipped: a character that is said too often "
            "is right only as often as the reference has it.",
        ),
        (
            made(orders=range(1, 5)),
            "You stop at n = 4, as BLEU does. chrF goes up to 6.",
        ),
        (
            made(orders=range(1, 6)),
            "You stop at n = 5. Mind the end of `range`.",
        ),
        (made(orders=[6]), "You use n = 6 only. The mean is over 1 to 6."),
        (
            pooled,
            "You sum the counts of all orders before you divide. Divide for "
            "each n, then take the mean.",
        ),
        (
            made(scale=1),
            "Your score runs from 0 to 1. chrF is given in 0 to 100.",
        ),
        (
            made(f=lambda p, r, b: mean([p, r])),
            "This is the arithmetic mean of P and R, not their F-score.",
        ),
        (
            made(f=lambda p, r, b: (1 + b**2) * p * r / (b**2 * p + r)),
            "Two texts without a common character make you divide by 0. Their "
            "score is 0.",
        ),
    )

    def make():
        cases = [
            ("安娜在厨房。", "安娜在花园。", 2),
            ("一二三四五六", "甲乙丙丁戊己", 2),
        ]
        for _ in range(5):
            a = "".join(rng.choices("安娜本在那", k=rng.randint(8, 12)))
            keep = rng.randint(6, 8)
            b = a[:keep] + "".join(rng.choices("安娜去了", k=rng.randint(1, 9)))
            texts = (a, b) if rng.random() < 0.5 else (b, a)
            cases.append((*texts, rng.choice([2, 3])))
        return cases

    right = made()
    compare(answer, right, _telling(make, right, mistakes), mistakes)


@exercise("18.4", "One round of Model 1")
def one_round(answer, rng):
    """Expected counts, then shares."""

    def made(share, finish=None):
        def round_(pairs, t):
            counts = {e: dict.fromkeys(row, 0.0) for e, row in t.items()}
            for source, target in pairs:
                for f in target:
                    for e in source:
                        counts[e][f] += share(e, f, source, target, t)
            return (finish or by_source)(counts)

        return round_

    def by_source(counts):
        return {
            e: {f: n / sum(row.values()) for f, n in row.items()}
            for e, row in counts.items()
        }

    def by_target(counts):
        totals = Counter()
        for row in counts.values():
            totals.update(row)
        return {
            e: {f: n / totals[f] for f, n in row.items()}
            for e, row in counts.items()
        }

    def right_share(e, f, source, target, t):
        return t[e][f] / sum(t[other][f] for other in source)

    def hard(e, f, source, target, t):
        best = max(source, key=lambda other: t[other][f])
        return float(e == best) / source.count(e)

    mistakes = _mistakes(
        (
            made(lambda e, f, source, target, t: 1.0),
            "Each pair of words counts 1. The E-step shares one target word "
            "among the source words, by t.",
        ),
        (
            made(lambda e, f, source, target, t: 1 / len(source)),
            "You share evenly. The shares follow the old table t.",
        ),
        (
            made(lambda e, f, source, target, t: t[e][f]),
            "You add t itself. For each target word, the shares of the source "
            "words must sum to 1: divide by their sum.",
        ),
        (
            made(
                lambda e, f, source, target, t: (
                    t[e][f] / sum(t[e][other] for other in target)
                )
            ),
            "You divide by a sum over the target words. It is one target word "
            "that is shared, so sum over the source words.",
        ),
        (
            made(hard),
            "The likeliest source word takes all. Model 1 gives each its share.",
        ),
        (
            made(right_share, by_target),
            "You normalise over the source words. In t(f | e), the numbers of "
            "one source word e sum to 1.",
        ),
        (
            made(right_share, lambda counts: counts),
            "These are the expected counts. Divide those of each source word "
            "by their sum.",
        ),
        (
            lambda pairs, t: {e: dict(row) for e, row in t.items()},
            "The table is as it was.",
        ),
    )

    def make():
        small = [(["the", "house"], ["das", "Haus"]), (["the"], ["das"])]
        cases = [(small, _table(small, rng, even=True))]
        for _ in range(4):
            pairs = [
                (rng.sample("abcd", 3), rng.sample("xyzw", rng.randint(2, 3)))
                for _ in range(4)
            ]
            cases.append((pairs, _table(pairs, rng)))
        return cases

    right = made(right_share)
    compare(answer, right, _telling(make, right, mistakes), mistakes)


def _table(pairs, rng: random.Random, even: bool = False) -> dict:
    """Random t(f | e) for all words that meet in a pair."""
    met: dict = {}
    for source, target in pairs:
        for e in source:
            for f in target:
                weight = 1.0 if even else rng.uniform(0.2, 1)
                met.setdefault(e, {})[f] = weight
    return {
        e: {f: w / sum(row.values()) for f, w in row.items()}
        for e, row in met.items()
    }


@exercise("18.5", "The length penalty of a large system")
def best_text(answer, rng):
    """The words of the best hypothesis, by (18.8)."""

    def made(penalty, pick=max, words=lambda text: text[:-1]):
        def best(hypotheses, alpha):
            text, _ = pick(
                hypotheses, key=lambda h: penalty(h[1], len(h[0]), alpha)
            )
            return words(text)

        return best

    def google(log_p, n, alpha):
        return log_p / ((5 + n) / 6) ** alpha

    mistakes = _mistakes(
        (
            made(lambda log_p, n, alpha: log_p),
            "You do not normalise the length: the shorter text has an "
            "advantage.",
        ),
        (
            made(lambda log_p, n, alpha: log_p / n**alpha),
            "This is the penalty of Chapter 11, n to the power alpha. Here "
            "(5 + n) / 6 stands in its place.",
        ),
        (
            made(lambda log_p, n, alpha: log_p * ((5 + n) / 6) ** alpha),
            "You multiply. That makes a long text worse, because ln P is "
            "negative. Divide.",
        ),
        (
            made(lambda log_p, n, alpha: log_p / ((5 + n) / 6) / alpha),
            "Alpha is a power, not a factor.",
        ),
        (
            made(google, pick=min),
            "You return the worst text. All scores are negative: the best is "
            "the largest.",
        ),
        (
            made(google, words=lambda text: text),
            "The right text, but its end sign belongs to no translation.",
        ),
        (
            made(lambda log_p, n, alpha: google(log_p, n - 1, alpha)),
            "You leave the end sign out of the length. It was predicted as "
            "well, and ln P counts it.",
        ),
    )

    def make():
        cases = []
        for _ in range(14):
            hypotheses = []
            for _ in range(4):
                n = rng.choice([2, 3, 5, 8, 13])
                words = [rng.choice(WORDS) for _ in range(n - 1)]
                rate = rng.uniform(0.6, 1.1) * n ** rng.uniform(0.3, 0.9)
                hypotheses.append(([*words, "<end>"], -rate))
            cases.append((hypotheses, rng.choice([0.4, 0.6, 0.8, 1.0])))
        return cases

    right = made(google)
    compare(answer, right, _telling(make, right, mistakes), mistakes)


@exercise("18.6", "Pairs by back-translation")
def with_back(answer, rng):
    """Real pairs, repeated, and made ones with a real target."""

    def made(pair=None, real=True, repeat=True, again=False, empty=False):
        pair = pair or (lambda text, back: (back[text], text))

        def pairs(known, texts, back, often):
            seen = {target for _, target in known}
            found = [
                pair(text, back)
                for text in texts
                if (again or text not in seen) and (empty or back[text])
            ]
            first = known * (often if repeat else 1) if real else []
            return [*first, *found]

        return pairs

    def sources_too(known, texts, back, often):
        turned = [(target, source) for source, target in known]
        return [*turned * often, *made(real=False)(known, texts, back, often)]

    def all_repeated(known, texts, back, often):
        return made(repeat=False)(known, texts, back, often) * often

    mistakes = _mistakes(
        (
            made(pair=lambda text, back: (text, back[text])),
            "The made pairs are swapped: their source is real and their target "
            "comes from a model. The decoder must learn from real text.",
        ),
        (
            made(real=False),
            "The real pairs are missing.",
        ),
        (
            made(repeat=False),
            "The real pairs come once. They must come `often` times, or the "
            "made ones outnumber them.",
        ),
        (
            all_repeated,
            "You repeat the made pairs too. Only the real ones come `often` "
            "times.",
        ),
        (
            made(again=True),
            "A text that is already the target of a real pair needs no made "
            "source.",
        ),
        (
            made(empty=True),
            "Some translations are empty. A pair without a source teaches the "
            "decoder to ignore it: leave them out.",
        ),
        (
            made(pair=lambda text, back: (back[text], back[text])),
            "Source and target of a made pair are the same translation. The "
            "target is the real text.",
        ),
        (
            sources_too,
            "You turned the real pairs round as well. They are right as they "
            "are.",
        ),
    )

    def make():
        cases = [
            (
                [("a cup", "杯子")],
                ["书", "杯子"],
                {"书": "a book", "杯子": "cup"},
                2,
            )
        ]
        for _ in range(4):
            texts = [f"文{n}" for n in range(7)]
            known = [(f"text {n}", f"文{n}") for n in range(rng.randint(2, 3))]
            back = {text: f"made {text[1:]}" for text in texts}
            for text in rng.sample(texts[3:], 2):
                back[text] = ""
            rng.shuffle(texts)
            cases.append((known, texts, back, rng.randint(2, 4)))
        return cases

    right = made()
    compare(answer, right, _telling(make, right, mistakes), mistakes)
