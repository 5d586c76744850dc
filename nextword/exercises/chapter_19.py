"""Exercises of chapter 19, "Question answering"."""

import math
from collections import Counter

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("19.1", "F1 of two answers")
def word_f1(answer, rng):
    """The harmonic mean of precision and recall, words as often as they come."""
    cases = [
        (["pond"], ["pond"]),
        (["old", "pond"], ["pond"]),
        (["pond"], ["old", "green", "pond"]),
        (["cup", "cup"], ["cup"]),
        (["cup"], ["cup", "cup"]),
        (["cup", "cup", "old"], ["cup", "old", "old", "cup", "cup"]),
        (["hall"], ["pond"]),
        ([], []),
        ([], ["pond"]),
        (["pond"], []),
    ]
    words = ["cup", "pond", "old", "green", "hall"]
    for _ in range(12):
        said = [rng.choice(words) for _ in range(rng.randint(1, 6))]
        right = [rng.choice(words) for _ in range(rng.randint(1, 6))]
        cases.append((said, right))

    def by(shared, combine, empty=None):
        def score(said, right):
            if not said or not right:
                return float(said == right) if empty is None else empty
            n = shared(said, right)
            return combine(n / len(said), n / len(right))

        return score

    def bags(said, right):
        return sum((Counter(said) & Counter(right)).values())

    def harmonic(p, r):
        return 2 * p * r / (p + r) if p + r else 0.0

    def of_sets(said, right):
        if not said or not right:
            return float(said == right)
        n = len(set(said) & set(right))
        return harmonic(n / len(set(said)), n / len(set(right)))

    def unguarded(said, right):
        n = bags(said, right)
        p, r = n / len(said), n / len(right)
        return 2 * p * r / (p + r)

    compare(
        answer,
        by(bags, harmonic),
        cases,
        _mistakes(
            (
                of_sets,
                "Each word counts once in your answer. A word that stands "
                "twice counts twice, in both texts: use Counter, not set.",
            ),
            (
                by(lambda s, r: len(set(s) & set(r)), harmonic),
                "Shared words are counted as a set, but the lengths with "
                "repetitions. Shared words too count as often as they stand "
                "in both.",
            ),
            (
                by(lambda s, r: sum(w in r for w in s), harmonic),
                "Every word of `said` that stands somewhere in `right` counts, "
                "however often. 'cup cup' shares only one word with 'cup'.",
            ),
            (
                by(bags, lambda p, r: (p + r) / 2),
                "This is the arithmetic mean of precision and recall. F1 is the "
                "harmonic one, 2pr / (p + r).",
            ),
            (by(bags, lambda p, r: p), "This is precision alone."),
            (by(bags, lambda p, r: r), "This is recall alone."),
            (
                by(bags, harmonic, 0.0),
                "Two empty answers agree: their F1 is 1. This is how a "
                "right refusal is scored.",
            ),
            (
                by(bags, harmonic, 1.0),
                "If only one of the two is empty, nothing is shared: F1 is 0.",
            ),
            (
                unguarded,
                "You divide by 0 where nothing is shared or a text is empty. "
                "Treat these cases first.",
            ),
        ),
    )


@exercise("19.2", "The best span")
def pick_span(answer, rng):
    """The largest start + end with start <= end, at most ``longest`` words."""
    cases = [
        ([1.0, 4.0, 0.0], [5.0, 1.0, 0.0], 3),
        ([0.0, 3.0, 1.0], [0.0, 0.5, 2.0], 2),
        ([9.0, 0.0, 0.5], [0.0, 1.0, 4.0], 2),
        ([3.0, 1.0], [0.5, 9.0], 1),
        ([-5.0], [-2.0], 4),
        ([5.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.5, 4.0], 1),
        ([-3.0, 1.0], [-4.0, 0.5], 1),  # the product of both is large
    ]
    for length in (4, 7, 7, 12, 12, 12):
        start = [rng.uniform(-5, 5) for _ in range(length)]
        end = [rng.uniform(-5, 5) for _ in range(length)]
        cases.append((start, end, rng.randint(1, 4)))

    def search(allowed, value=lambda s, e: s + e):
        def pick(start, end, longest):
            n = len(start)
            spans = [(i, j) for i in range(n) for j in range(n)]
            spans = [s for s in spans if allowed(*s, longest)] or [(0, 0)]
            return max(spans, key=lambda s: value(start[s[0]], end[s[1]]))

        return pick

    def greedy(start, end, longest):
        i = max(range(len(start)), key=start.__getitem__)
        ends = range(i, min(i + longest, len(start)))
        return i, max(ends, key=end.__getitem__)

    def from_end(start, end, longest):
        j = max(range(len(end)), key=end.__getitem__)
        starts = range(max(0, j - longest + 1), j + 1)
        return max(starts, key=start.__getitem__), j

    right = search(lambda i, j, most: i <= j < i + most)
    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                search(lambda i, j, most: True),
                "Start and end are chosen apart, each with its largest logit. "
                "So the end can stand before the start, and the span can be "
                "too long.",
            ),
            (
                search(lambda i, j, most: i <= j),
                "The spans have any length. At most `longest` words are "
                "allowed.",
            ),
            (
                search(lambda i, j, most: i <= j <= i + most),
                "Your spans may have one word too many: from `first` to `last` "
                "there are last - first + 1 words.",
            ),
            (
                search(lambda i, j, most: i < j < i + most),
                "A span of a single word is allowed: start and end are then the "
                "same.",
            ),
            (
                search(lambda i, j, most: abs(j - i) < most),
                "Some of your ends stand before their start.",
            ),
            (
                greedy,
                "You fix the best start first. A start that is a little worse "
                "may have a much better end: compare the sums of all spans.",
            ),
            (
                from_end,
                "You fix the best end first. An end that is a little worse may "
                "have a much better start: compare the sums of all spans.",
            ),
            (
                search(
                    lambda i, j, most: i <= j < i + most, lambda s, e: s * e
                ),
                "Logits are added, not multiplied: they are logarithms.",
            ),
            (
                lambda *case: right(*case)[::-1],
                "First and last are exchanged.",
            ),
            (
                lambda s, e, most: (
                    s[right(s, e, most)[0]] + e[right(s, e, most)[1]]
                ),
                "This is the score of the best span. Return its places, "
                "(first, last).",
            ),
        ),
    )


@exercise("19.3", "The loss of a span")
def span_nats(answer, rng):
    """The mean of two cross-entropies over the real places."""
    cases = [
        ([2.0, 0.0], [0.0, 0.0], [True, True], (0, 1)),
        ([1.0, 2.0, 9.0], [0.0, 3.0, 9.0], [True, True, False], (0, 1)),
    ]
    for length, scale in ((4, 2.0), (9, 4.0), (6, 900.0)):
        start = [rng.uniform(-scale, scale) for _ in range(length)]
        end = [rng.uniform(-scale, scale) for _ in range(length)]
        n = length - 2
        first = rng.randrange(n)
        real = [True] * n + [False] * 2
        if scale > 100:
            start[n] = 990.0  # behind padding
            start[first] = 800.0
        cases.append((start, end, real, (first, rng.randrange(first, n))))

    def nats(z, y, real, masked=True):
        z = [x for x, r in zip(z, real, strict=True) if r or not masked]
        largest = max(z)
        return largest + math.log(sum(math.exp(x - largest) for x in z)) - z[y]

    def loss(start, end, real, span, masked=True, share=2, both=True):
        total = nats(start, span[0], real, masked)
        total += nats(end, span[1], real, masked) if both else 0.0
        return total / share

    def overflowing(start, end, real, span):
        total = 0.0
        for z, y in ((start, span[0]), (end, span[1])):
            kept = [x for x, r in zip(z, real, strict=True) if r]
            total += math.log(sum(math.exp(x) for x in kept)) - z[y]
        return total / 2

    def zeroed(start, end, real, span):
        def silent(z):
            return [x if r else 0.0 for x, r in zip(z, real, strict=True)]

        return loss(silent(start), silent(end), real, span, masked=False)

    compare(
        answer,
        loss,
        cases,
        _mistakes(
            (
                lambda *case: loss(*case, masked=False),
                "Padding takes part in the sum under the logarithm. Leave its "
                "places out.",
            ),
            (
                zeroed,
                "A logit of 0 still has a share, e^0 = 1. Padding must have "
                "none: leave its places out, or give them -inf.",
            ),
            (
                lambda *case: loss(*case, share=1),
                "This is the sum of the two losses. Return their mean.",
            ),
            (
                lambda *case: loss(*case, share=1, both=False),
                "Only the start is asked. The end has a loss too.",
            ),
            (
                lambda start, end, real, span: loss(start, start, real, span),
                "The end is looked up in the logits of the start.",
            ),
            (
                lambda s, e, real, span: loss(s, e, real, (span[0],) * 2),
                "The end's target is the start of the span.",
            ),
            (
                lambda *case: -loss(*case),
                "The sign is wrong: a loss is minus the logarithm.",
            ),
            (
                overflowing,
                "exp of a large logit overflows. Subtract the largest logit "
                "first.",
            ),
        ),
    )


@exercise("19.4", "When to refuse")
def best_refusal(answer, rng):
    """The smallest threshold with the largest share of right decisions."""
    infinity = float("inf")
    cases = [
        ([3.0, 1.0], [True, False], [True, False]),
        ([2.0, 1.0], [True, True], [True, True]),
        ([1.0, 1.0, 0.0], [True, False, False], [True, False, False]),
        ([2.0, 1.0, 0.5], [False, True, False], [True, True, False]),
    ]
    for n in (4, 6, 9, 15, 15):
        has = [rng.random() < 0.5 for _ in range(n)]
        margins = [float(rng.randint(-3, 4)) + 2 * h for h in has]
        right = [h and rng.random() < 0.8 for h in has]
        cases.append((margins, right, has))

    def made(
        refuse=lambda m, t: m <= t,
        gain=lambda refused, right, has: (not has) if refused else right,
        start=True,
        last=False,
        what=lambda t, share: (t, share),
    ):
        def choose(margins, right, has):
            thresholds = [-infinity] * start + sorted(set(margins))
            rows = list(zip(margins, right, has, strict=True))
            shares = [
                sum(gain(refuse(m, t), r, h) for m, r, h in rows) / len(rows)
                for t in thresholds
            ]
            best = max(shares)
            found = [
                t for t, s in zip(thresholds, shares, strict=True) if s == best
            ]
            return what(found[-1 if last else 0], best)

        return choose

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(refuse=lambda m, t: m < t),
                "A margin that equals the threshold is refused: only a larger "
                "one is answered.",
            ),
            (
                made(gain=lambda refused, right, has: right and not refused),
                "A refusal gets nothing in your answer. Where the text has no "
                "answer, it is right.",
            ),
            (
                made(gain=lambda refused, right, has: refused or right),
                "Every refusal counts as right in your answer. Where the text "
                "has the answer, it is wrong.",
            ),
            (
                made(
                    gain=lambda refused, right, has: (
                        (not has) if refused else has
                    )
                ),
                "An answer to a question that has one is not right by that "
                "alone: `right` says whether it is the right one.",
            ),
            (
                made(start=False),
                "One possibility is missing: to answer everything, with the "
                "threshold minus infinity.",
            ),
            (
                made(last=True),
                "Where several thresholds are equally good, return the "
                "smallest.",
            ),
            (
                made(what=lambda t, share: t),
                "This is the threshold alone. Return the share too.",
            ),
            (
                made(what=lambda t, share: (share, t)),
                "The two results are exchanged: first the threshold.",
            ),
        ),
    )
