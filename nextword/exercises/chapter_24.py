"""Exercises of chapter 24, "Privacy, bias and limits"."""

import math

import numpy as np

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("24.1", "Exposure")
def exposure_of(answer, rng):
    """log2 of the candidates minus log2 of the rank of the secret."""
    cases = [([-1.0, -2.0, -3.0, -4.0], 1)]
    for size in (8, 20, 50):
        log_p = [-rng.uniform(1, 9) for _ in range(size)]
        order = sorted(range(size), key=lambda n: -log_p[n])
        secret = order[rng.randint(2, size // 2)]
        log_p[order[-1]] = log_p[secret]  # a tie: both have the better rank
        cases.append((log_p, secret))

    def made(
        better=lambda log_p, p: sum(x > p for x in log_p),
        first=1,
        bits=lambda n, rank: math.log2(n) - math.log2(rank),
    ):
        def measured(log_p, secret):
            place = first + better(log_p, log_p[secret])
            return bits(len(log_p), place)

        return measured

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(bits=lambda n, rank: math.log(n) - math.log(rank)),
                "This is in nats: you take natural logarithms. Exposure is in "
                "bits, so use log2.",
            ),
            (
                made(bits=lambda n, rank: math.log10(n) - math.log10(rank)),
                "You take logarithms to base 10. Exposure is in bits, so use "
                "log2.",
            ),
            (
                made(first=0, bits=lambda n, r: math.log2(n) - math.log2(r)),
                "The ranks begin at 0. The likeliest candidate has rank 1; "
                "log2 of 0 does not exist.",
            ),
            (
                made(lambda log_p, p: sum(x < p for x in log_p)),
                "Your order is reversed: you count the candidates that are "
                "less likely. Rank 1 is the likeliest one.",
            ),
            (
                made(lambda log_p, p: sum(x >= p for x in log_p), first=0),
                "You count equal candidates as better, the others that tie "
                "with the secret. Count only those with a larger probability, "
                "and add 1.",
            ),
            (
                made(lambda log_p, p: sum(x >= p for x in log_p)),
                "The secret itself is among the candidates that you count as "
                "better. Count only those with a larger probability.",
            ),
            (
                made(bits=lambda n, rank: math.log2(rank)),
                "This is log2 of the rank alone. Subtract it from log2 of the "
                "number of candidates.",
            ),
            (
                made(bits=lambda n, rank: math.log2(rank) - math.log2(n)),
                "The sign is wrong: the better the rank, the larger the "
                "exposure.",
            ),
            (
                made(bits=lambda n, rank: -math.log2(rank)),
                "You left out log2 of the number of candidates, so no value is "
                "above 0.",
            ),
            (
                lambda log_p, secret: -log_p[secret] / math.log(2),
                "This is the information content of the secret. Exposure "
                "depends on its rank alone.",
            ),
            (
                made(bits=lambda n, rank: rank),
                "This is the rank. Exposure is log2 of the number of "
                "candidates minus log2 of the rank.",
            ),
        ),
    )


@exercise("24.2", "Few false alarms")
def true_positives(answer, rng):
    """The best true positive rate with few false positives."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal

    def case(size, most):
        # In halves, so that members and others have equal scores.
        members = np.round(draw(1.5, 2.0, size) * 2) / 2
        others = np.round(draw(0.0, 2.0, 2 * size) * 2) / 2
        return members.tolist(), others.tolist(), most

    cases = [([3.0, 2.0, 1.0], [2.5, 0.5, 0.0, -1.0], 0.25)]
    cases += [([3.0, 2.0, 1.0], [2.5, 2.0, 0.0, -1.0], 0.25)]
    cases += [case(20, 0.1), case(50, 0.05), case(50, 0.2), case(30, 0.0)]

    def made(
        allowed=lambda false, others, members, most: (
            false / len(others) <= most
        ),
        share=lambda true, members, others: true / len(members),
        called=lambda scores, t: sum(x >= t for x in scores),
        falsely=None,
        best=max,
    ):
        def rate(members, others, most):
            found = [0.0]
            for t in {*members, *others, math.inf}:
                false = (falsely or called)(others, t)
                if allowed(false, others, members, most):
                    true = called(members, t)
                    found.append(share(true, members, others))
            return best(found)

        return rate

    right = made()
    by_all = made(lambda f, o, m, most: f / (len(o) + len(m)) <= most)

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                made(lambda f, o, m, most: f / len(o) < most),
                "You ask for less than `most` false positives. Exactly as many "
                "are allowed.",
            ),
            (
                lambda members, others, most: right(others, members, most),
                "The two groups are exchanged: `most` limits the share of the "
                "others that are called members.",
            ),
            (
                by_all,
                "You divide the false positives by the number of all texts. "
                "Their rate is a share of the others.",
            ),
            (
                made(share=lambda true, m, o: true / (len(m) + len(o))),
                "You divide the true positives by the number of all texts. "
                "Their rate is a share of the members.",
            ),
            (
                made(share=lambda true, m, o: true),
                "This is a number of members. The rate is their share.",
            ),
            (
                made(called=lambda scores, t: sum(x <= t for x in scores)),
                "You call texts with low scores members. A large score says "
                "member.",
            ),
            (
                made(falsely=lambda scores, t: sum(x > t for x in scores)),
                "An other text whose score equals the threshold counts too: "
                "members and others must cross the same threshold.",
            ),
            (
                made(
                    called=lambda scores, t: sum(x > t for x in scores),
                    falsely=lambda scores, t: sum(x >= t for x in scores),
                ),
                "A member whose score equals the threshold is called a member "
                "too. Use one comparison for both groups.",
            ),
            (
                made(lambda *_: True),
                "`most` is not used. Without it, everything may be called a "
                "member, and the rate is always 1.",
            ),
            (
                lambda members, others, most: (
                    sum((m > o) + (m == o) / 2 for m in members for o in others)
                    / len(members)
                    / len(others)
                ),
                "This is the area under the whole curve. One point of the "
                "curve is asked for, where false alarms are few.",
            ),
        ),
    )


@exercise("24.3", "The gradient of DP-SGD")
def private_gradient(answer, rng):
    """Clip each text's gradient, sum, add noise, divide by what is expected."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal
    cases = [
        (np.array([[3.0, 4.0], [0.0, 0.5]]), 1.0, np.array([0.1, 0.0]), 4.0)
    ]
    for size, wide in ((4, 3), (9, 2), (7, 5)):
        gradients = (
            draw(size=(size, wide)) * np.linspace(0.05, 4, size)[:, None]
        )
        bound = rng.uniform(0.7, 1.5)
        noise = bound * draw(size=wide)
        cases.append((gradients, bound, noise, size + rng.uniform(1, 3)))
    cases.append((np.zeros((1, 2)), 1.0, np.array([1.0, -1.0]), 2.0))

    def shares(g, bound):
        lengths = np.sqrt((g**2).sum(1, keepdims=True))
        return np.minimum(1, bound / np.maximum(lengths, 1e-300))

    def made(
        summed=lambda g, bound: (g * shares(g, bound)).sum(0),
        noisy=lambda total, noise, g: total + noise,
        count=lambda g, expected: expected,
    ):
        def gradient(gradients, bound, noise, expected):
            total = noisy(summed(gradients, bound), noise, gradients)
            return total / count(gradients, expected)

        return gradient

    def clip_sum(g, bound):
        total = g.sum(0)
        return total * min(1, bound / max(np.linalg.norm(total), 1e-300))

    def clip_mean(g, bound):
        total = g.mean(0)
        part = min(1, bound / max(np.linalg.norm(total), 1e-300))
        return total * part * len(g)

    def scaled(g, bound):
        lengths = np.linalg.norm(g, axis=1, keepdims=True)
        return (g * bound / np.maximum(lengths, 1e-300)).sum(0)

    def dropped(g, bound):
        return g[np.linalg.norm(g, axis=1) <= bound].sum(0)

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(clip_sum),
                "You clip the sum. Then one text can still decide its whole "
                "direction: clip the gradient of each text, and then sum.",
            ),
            (
                made(clip_mean),
                "You clip the mean of the batch. Clip the gradient of each "
                "text first.",
            ),
            (
                made(scaled),
                "You give every gradient the length of the bound. Short ones "
                "stay as they are: the factor is min(1, c / length).",
            ),
            (
                made(lambda g, bound: np.clip(g, -bound, bound).sum(0)),
                "You clip each number. The bound is for the length of the "
                "whole vector of a text.",
            ),
            (
                made(dropped),
                "You throw long gradients away. They are made shorter, to the "
                "length of the bound.",
            ),
            (
                made(lambda g, bound: g.sum(0)),
                "Nothing is clipped. Then one text may move the sum by any "
                "amount, and no noise is large enough.",
            ),
            (
                made(noisy=lambda total, noise, g: total),
                "The noise is missing.",
            ),
            (
                made(noisy=lambda total, noise, g: total + len(g) * noise),
                "The noise is added once for each text. Add it once, to the "
                "sum.",
            ),
            (
                made(count=lambda g, e: len(g)),
                "You divide by the size of this batch. It tells how many texts "
                "were drawn, which is private too: divide by `expected`.",
            ),
            (
                made(count=lambda g, e: 1),
                "This is the noisy sum. Divide it by `expected`.",
            ),
            (
                lambda g, bound, noise, e: (
                    made()(g, bound, 0 * noise, e) + noise
                ),
                "You divide the sum, and add the noise after that. The noise "
                "belongs to the sum: divide both.",
            ),
        ),
    )
