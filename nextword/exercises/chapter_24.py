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
        secret = order[rng.randint(2, size // 4)]
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
    # One of four may be wrong; of all seven texts, it would be two.
    cases += [([3.0, 2.0, 1.0], [2.5, 1.5, 0.0, -1.0], 0.3)]
    # A member has the lowest score of all, and another one the highest.
    cases += [([3.0, 1.0, -2.0], [2.0, 0.0, -1.0, -1.5], 0.25)]
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
                "A text of `others` whose score equals the threshold counts too: "
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

    def by_all(g, bound):
        return (g * min(1, bound / max(np.linalg.norm(g), 1e-300))).sum(0)

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
                made(by_all),
                "Your length is that of all gradients together. Each text has "
                "a length of its own: take it along axis 1.",
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


@exercise("24.4", "A share at a temperature")
def share_at_temperature(answer, rng):
    """Probabilities at a temperature, from those of the model."""
    cases = [([0.8, 0.2], 0.5), ([0.5, 0.3, 0.2], 1.0)]
    for size in (2, 3, 5):
        numbers = [rng.uniform(0.1, 1) for _ in range(size)]
        shares = [x / sum(numbers) for x in numbers]
        cases += [(shares, rng.choice([0.3, 0.7, 1.6])), (shares, 0)]
    cases += [([0.6, 0.4, 0.0], 0.5), ([0.4, 0.2, 0.4], 0)]

    def made(change, greedy=None):
        def decoded(shares, temperature):
            if temperature == 0:
                if greedy:
                    return greedy(shares)
                powers = [float(p == max(shares)) for p in shares]
            else:
                powers = change(shares, temperature)
            return [power / sum(powers) for power in powers]

        return decoded

    def powers(shares, temperature):
        return [p ** (1 / temperature) for p in shares]

    def unnormalised(shares, temperature):
        if temperature == 0:
            return [float(p == max(shares)) for p in shares]
        return powers(shares, temperature)

    def raising(shares, temperature):
        return made(powers)(shares, 1 / (1 / temperature))

    def first(shares):
        place = shares.index(max(shares))
        return [float(n == place) for n in range(len(shares))]

    pairs = (
        (
            made(lambda s, t: [p**t for p in s]),
            "You raise to the power of the temperature. A low temperature "
            "would then make the shares more even. Raise to 1 / temperature.",
        ),
        (
            made(lambda s, t: [math.exp(p / t) for p in s]),
            "You treat the probabilities as logits. A logit is a logarithm: "
            "divide ln p by the temperature, or raise p to 1 / temperature.",
        ),
        (
            made(lambda s, t: s),
            "At a temperature above 0 your shares stay as they are.",
        ),
        (
            unnormalised,
            "Your numbers do not sum to 1. Divide each by their sum.",
        ),
        (
            raising,
            "Temperature 0 has no power 1 / 0. Treat it first: all the "
            "probability goes to the likeliest answer.",
        ),
        (
            made(powers, lambda s: list(s)),
            "At temperature 0 your shares stay as they are. Greedy decoding "
            "gives everything to the likeliest answer.",
        ),
        (
            made(powers, first),
            "Where several answers are the likeliest, they share the "
            "probability at temperature 0. You give all of it to the first.",
        ),
    )
    compare(
        answer,
        made(powers),
        cases,
        [Mistake(wrong, message) for wrong, message in pairs],
    )


@exercise("24.5", "Balanced for each person")
def balanced(answer, rng):
    """With what probability the texts of a name and a job are kept."""

    def drawn(names, jobs, least):
        return {
            (name, job): rng.randint(least, 40)
            for name in names
            for job in jobs
        }

    jobs = ["baker", "sailor", "painter"]
    cases = [({("Anna", "baker"): 8, ("Anna", "sailor"): 2},)]
    cases += [(drawn(["Anna", "Ben"], jobs[:2], 1),)]
    cases += [(drawn(["Anna", "Ben", "Clara"], jobs, 1),)]
    missing = drawn(["Anna", "Ben"], jobs, 3)
    missing["Ben", "sailor"] = 0
    cases += [(missing,)]

    def made(share):
        def keep(counts):
            return {
                pair: float(share(counts, pair, n)) if n else 0.0
                for pair, n in counts.items()
            }

        return keep

    def own(counts, name):
        return [n for (other, _), n in counts.items() if other == name]

    def total(counts, job):
        return sum(n for (_, other), n in counts.items() if other == job)

    def by_job(counts, pair, n):
        totals = [total(counts, job) for _, job in counts]
        return min(totals) / total(counts, pair[1])

    def present(counts, pair, n):
        return min(x for x in own(counts, pair[0]) if x) / n

    pairs = (
        (
            by_job,
            "You balance the jobs over all names together. Then a single "
            "name may stay as uneven as before: look at each name by itself.",
        ),
        (
            lambda counts, pair, n: min(counts.values()) / n,
            "You bring every pair down to the smallest count of all. Each "
            "name may keep as many texts as its own rarest job allows.",
        ),
        (
            lambda counts, pair, n: max(own(counts, pair[0])) / n,
            "Some of your probabilities are above 1. Texts can be left out, "
            "not made: bring the frequent jobs down to the rarest.",
        ),
        (
            lambda counts, pair, n: n / sum(own(counts, pair[0])),
            "This is the share that a job has in the texts. What is frequent "
            "would be kept more often, and the skew would grow.",
        ),
        (
            lambda counts, pair, n: 1 - n / sum(own(counts, pair[0])),
            "One minus the share is not enough: with 8 and 2 texts it keeps "
            "0.2 · 8 and 0.8 · 2. That is even, but half of it is lost, and "
            "with three jobs it is not even.",
        ),
        (
            lambda counts, pair, n: 1 / n,
            "One text of each pair is left. That is even, but as many as "
            "possible should be kept.",
        ),
        (
            lambda counts, pair, n: min(own(counts, pair[0])),
            "This is the number of texts that are kept. Divide it by the "
            "count, to get a probability.",
        ),
        (
            present,
            "You leave out the jobs that a name never has. But then its jobs "
            "are not equally frequent: none of its texts can be kept.",
        ),
    )
    compare(
        answer,
        made(lambda counts, pair, n: min(own(counts, pair[0])) / n),
        cases,
        [Mistake(made(wrong), message) for wrong, message in pairs],
    )
