"""Exercises of chapter 23, "What training and inference cost"."""

import math

import numpy as np
import torch

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("23.1", "The memory of a training run")
def training_memory(answer, rng):
    """Bytes of parameters, gradients and AdamW, some parameters frozen."""
    cases = [(10, 10, 4)]
    for number in (2, 4):
        total = rng.randint(1_000, 9_000)
        cases += [(total, rng.randint(10, 900), number), (total, total, number)]

    def made(count):
        return lambda total, trained, number: count(total, trained, number)

    compare(
        answer,
        made(lambda n, t, b: b * n + b * t + 8 * t),
        cases,
        _mistakes(
            (
                made(lambda n, t, b: b * n + b * n + 8 * n),
                "Frozen parameters have no gradient and no state of the "
                "optimizer: only the trained ones do.",
            ),
            (
                made(lambda n, t, b: b * n + b * n + 8 * t),
                "Frozen parameters have no gradient.",
            ),
            (
                made(lambda n, t, b: b * n + b * t + 8 * n),
                "AdamW keeps nothing for frozen parameters.",
            ),
            (
                made(lambda n, t, b: b * n + b * t + 4 * t),
                "AdamW keeps two numbers for each trained parameter, m and v.",
            ),
            (
                made(lambda n, t, b: b * n + b * t + 2 * b * t),
                "AdamW's two numbers have 4 bytes each, whatever the bytes of "
                "a weight are.",
            ),
            (
                made(lambda n, t, b: b * n + 8 * t),
                "The gradients are missing: one number for each trained "
                "parameter.",
            ),
            (
                made(lambda n, t, b: b * t + b * t + 8 * t),
                "Frozen parameters need no gradient, but they must be stored.",
            ),
        ),
    )


@exercise("23.2", "Round to bfloat16")
def to_bfloat16(answer, rng):
    """Keep the upper 16 bits of a float32, rounded to even."""
    special = [1.0, 1.00390625, 1.01171875, -1.00390625, 0.0, 3.0e38]
    drawn = [
        rng.uniform(-1, 1) * 10.0 ** rng.randint(-20, 20) for _ in range(300)
    ]
    cases = [
        (np.array([1.005], dtype=np.float32),),
        (np.array([1.00390625, 1.01171875], dtype=np.float32),),
        (np.array(special, dtype=np.float32),),
        (np.array(drawn, dtype=np.float32),),
    ]

    def half(x):
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)

    def made(change):
        def rounded(x):
            bits = x.view(np.uint32).astype(np.uint64)
            kept = (change(bits) >> 16 << 16).astype(np.uint32)
            return kept.view(np.float32)

        return rounded

    compare(
        answer,
        made(lambda bits: bits + 0x7FFF + (bits >> 16 & 1)),
        cases,
        _mistakes(
            (
                made(lambda bits: bits),
                "You cut the lower 16 bits off, so numbers only move towards "
                "0. Round to the nearest.",
            ),
            (
                made(lambda bits: bits + 0x8000),
                "Numbers in the middle between two are all rounded away from "
                "0. The rule is: to the one whose last bit is 0.",
            ),
            (
                made(lambda bits: bits + 0x7FFF),
                "Numbers in the middle between two are all rounded towards 0. "
                "The rule is: to the one whose last bit is 0.",
            ),
            (
                half,
                "This is float16: 5 bits for the exponent and 10 for the "
                "digits. bfloat16 has 8 and 7.",
            ),
        ),
        tolerance=0.0,
    )


@exercise("23.3", "Eight bits a weight")
def eight_bits(answer, rng):
    """Rows of whole numbers with their scales, symmetric."""
    generator = np.random.default_rng(rng.randrange(10**6))
    cases = [(np.array([[1.0, -2.0], [0.5, 0.1]]),)]
    for _ in range(3):
        m, n = rng.randint(2, 5), rng.randint(6, 9)
        W = generator.normal(size=(m, n)) * generator.uniform(0.1, 9, (m, 1))
        cases.append((W,))
    zeros = cases[-1][0].copy()
    zeros[0] = 0.0
    cases.append((zeros,))

    def made(scale, most=127, whole=np.rint):
        def quantised(W):
            s = scale(W) / most
            s = np.where(s > 0, s, 1.0)
            q = np.clip(whole(W / s), -128, 127)
            return q.astype(np.int8), s

        return quantised

    def rows(W):
        return np.abs(W).max(1, keepdims=True)

    right = made(rows)

    def no_care(W):
        with np.errstate(all="ignore"):
            s = rows(W) / 127
            return np.rint(W / s).astype(np.int8), s

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                made(lambda W: np.full((len(W), 1), np.abs(W).max())),
                "All rows share one scale. Each row has its own.",
            ),
            (
                made(lambda W: np.abs(W).max(0, keepdims=True)),
                "There is a scale for each column. Rows are outputs, and each "
                "row has its own: max along axis 1.",
            ),
            (
                made(lambda W: W.max(1, keepdims=True)),
                "The largest number is not the largest absolute value: "
                "negative weights may be larger.",
            ),
            (
                made(rows, 128),
                "The largest number of 8 bits is 127. With 128, the largest "
                "weight does not fit.",
            ),
            (
                made(rows, 255),
                "You divide by 255, the number of whole numbers from -127 to "
                "127. Divide by the largest one, 127.",
            ),
            (
                made(rows, whole=np.trunc),
                "You cut the fraction off. Round to the nearest whole number.",
            ),
            (
                no_care,
                "A row of zeros has the scale 0, and you divide by it. Give "
                "it the scale 1.",
            ),
            (
                lambda W: right(W)[::-1],
                "The two results are exchanged: first the whole numbers, then "
                "the scales.",
            ),
        ),
    )


@exercise("23.4", "The pull of a teacher")
def pull_of_teacher(answer, rng):
    """The gradient of T^2 KL(p || q) by the student's logits."""
    generator = np.random.default_rng(rng.randrange(10**6))
    cases = []
    for V, T in ((3, 1.0), (5, 2.0), (7, 4.0), (6, 0.5)):
        z, v = generator.normal(size=(2, V)) * 2
        cases.append((z, v, T))

    def softmax(z):
        e = np.exp(z - z.max())
        return e / e.sum()

    def made(factor, at=lambda T: T, sign=1.0):
        def gradient(z, v, T):
            pull = softmax(z / at(T)) - softmax(v / at(T))
            return sign * factor(T) * pull

        return gradient

    compare(
        answer,
        made(lambda T: T),
        cases,
        _mistakes(
            (
                made(lambda T: T, sign=-1.0),
                "The sign is wrong. Where the student gives a token "
                "too much, the gradient is above 0.",
            ),
            (
                made(lambda T: 1 / T),
                "This is the gradient of KL alone. The loss has the factor "
                "T^2.",
            ),
            (
                made(lambda T: T**2),
                "The chain rule gives one factor 1 / T, because z is divided "
                "by T.",
            ),
            (
                made(lambda T: 1.0),
                "A factor is missing: T^2 from the loss, times 1 / T from the "
                "chain rule.",
            ),
            (
                made(lambda T: T, at=lambda T: 1.0),
                "Both softmaxes are those of logits divided by T.",
            ),
            (
                lambda z, v, T: T * (softmax(z / T) - softmax(v)),
                "The teacher's logits are divided by T too.",
            ),
        ),
    )


@exercise("23.5", "What fits beside the weights")
def texts_that_fit(answer, rng):
    """How many texts of a length have room for their keys and values."""
    cases = [(1_000, 200, 2, 1, 8, 5, 2)]
    for number in (1, 2, 4, 4):
        layers, groups = rng.randint(8, 40), rng.choice((2, 4, 8))
        tokens = rng.randint(500, 3_000)
        one = 2 * layers * groups * 128 * tokens * number
        weights = rng.randint(10**9, 10**10)
        # Not near a whole number of texts, and enough of them to tell.
        memory = weights + int(one * (rng.randint(5, 60) + 0.5))
        cases.append((memory, weights, layers, groups, 128, tokens, number))
    layers, groups = 40, 8
    cases.append((10**9, 2 * 10**9, layers, groups, 128, 1_000, 2))

    def made(size, free=lambda m, w: m - w, whole=math.floor, low=0):
        def fit(memory, weights, layers, groups, D, tokens, number):
            one = size(layers, groups, D, tokens, number)
            return max(low, whole(free(memory, weights) / one))

        return fit

    def right(L, G, D, S, b):
        return 2 * L * G * D * S * b

    compare(
        answer,
        made(right),
        cases,
        _mistakes(
            (
                made(lambda L, G, D, S, b: L * G * D * S * b),
                "There are keys and there are values: the factor 2 is missing.",
            ),
            (
                made(lambda L, G, D, S, b: 2 * G * D * S * b),
                "Each layer has a cache of its own.",
            ),
            (
                made(lambda L, G, D, S, b: 2 * L * G * D * S),
                "This counts numbers. Multiply by the bytes of a number.",
            ),
            (
                made(lambda L, G, D, S, b: 2 * L * D * S * b),
                "Each group of heads has keys and values of its own.",
            ),
            (
                made(lambda L, G, D, S, b: 2 * L * G * D * b),
                "This is the cache of one token. A text has many.",
            ),
            (
                made(right, free=lambda m, w: m),
                "The weights are in the same memory: subtract them first.",
            ),
            (
                made(right, whole=math.ceil),
                "You round up, but a part of a text does not fit.",
            ),
            (
                made(right, low=-math.inf),
                "If the weights alone do not fit, the number of texts is 0, "
                "not below it.",
            ),
        ),
    )


@exercise("23.6", "From a chip to a ton")
def footprint(answer, rng):
    """Energy in kWh and CO2 in kg of a training run."""
    cases = [(1, 1_000, 2, 1.5, 0.4)]
    for _ in range(4):
        cases.append(
            (
                rng.randint(2, 900),
                rng.randint(150, 700),
                rng.randint(3, 90),
                round(rng.uniform(1.05, 1.7), 2),
                round(rng.uniform(0.02, 0.8), 3),
            )
        )

    def made(energy, mass=lambda kwh, i: kwh * i):
        def both(chips, watts, days, pue, intensity):
            kwh = energy(chips, watts, days, pue)
            return kwh, mass(kwh, intensity)

        return both

    def right(c, w, d, p):
        return c * w * d * 24 * p / 1000

    compare(
        answer,
        made(right),
        cases,
        _mistakes(
            (
                made(lambda c, w, d, p: c * w * d * p / 1000),
                "Days are not hours: a day has 24.",
            ),
            (
                made(lambda c, w, d, p: c * w * d * 24 * p),
                "These are watt-hours. A kWh has 1,000 of them.",
            ),
            (
                made(lambda c, w, d, p: c * w * d * 24 / 1000),
                "The PUE is missing: the building needs more than its chips.",
            ),
            (
                made(lambda c, w, d, p: c * w * d * 24 / p / 1000),
                "You divide by the PUE. It makes the energy larger.",
            ),
            (
                made(lambda c, w, d, p: w * d * 24 * p / 1000),
                "This is the energy of one chip.",
            ),
            (
                made(right, lambda kwh, i: kwh * i / 1000),
                "The mass is in tons. Return kg.",
            ),
            (
                made(right, lambda kwh, i: kwh / i),
                "You divide by the emissions. They are kg for each kWh.",
            ),
        ),
        tolerance=1e-9,
    )


def _unit(x):
    return x / x.square().mean(-1, keepdim=True).sqrt()


def _weights(scores):
    T = scores.shape[-1]
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1)


def _qk_weights(q, k):
    return _weights(_unit(q) @ _unit(k).mT / math.sqrt(q.shape[-1]))


def _qk_mistakes():
    """Pairs of a wrong function and its message."""

    def length_one(q, k):
        q, k = (x / x.norm(dim=-1, keepdim=True) for x in (q, k))
        return _weights(q @ k.mT / math.sqrt(q.shape[-1]))

    def cosine(q, k):
        q, k = (x / x.norm(dim=-1, keepdim=True) for x in (q, k))
        return _weights(q @ k.mT)

    return [
        (
            lambda q, k: _weights(q @ k.mT / math.sqrt(q.shape[-1])),
            "Queries and keys are as they came: nothing is normalised. Divide "
            "each vector by its root mean square.",
        ),
        (
            lambda q, k: _weights(_unit(q) @ k.mT / math.sqrt(q.shape[-1])),
            "The queries are normalised, the keys are not. A long key still "
            "makes large scores.",
        ),
        (
            lambda q, k: _weights(q @ _unit(k).mT / math.sqrt(q.shape[-1])),
            "The keys are normalised, the queries are not. A long query still "
            "makes large scores.",
        ),
        (
            length_one,
            "Your vectors have length 1, so the scores lie between -1/√D and "
            "1/√D and the weights are almost equal. The root mean square is "
            "to be 1: then the length is √D.",
        ),
        (
            cosine,
            "These are cosines: the scores lie between -1 and 1, too small a "
            "range for one token to stand out. The root mean square is to be "
            "1, and then the scores are divided by √D.",
        ),
        (
            lambda q, k: _weights(_unit(q) @ _unit(k).mT),
            "The division of the scores by √D is missing.",
        ),
        (
            lambda q, k: (
                _unit(q) @ _unit(k).mT / math.sqrt(q.shape[-1])
            ).softmax(-1),
            "A position sees the future. Mask what is after it, before the "
            "softmax.",
        ),
        (
            lambda q, k: _weights(
                _unit(q.mT).mT @ _unit(k.mT).mT.mT / math.sqrt(q.shape[-1])
            ),
            "You normalise over the positions. Each vector is normalised by "
            "itself, over its last axis.",
        ),
    ]


@exercise("23.8", "Your own speed-run")
def qk_norm(answer, rng):
    """Causal attention weights from normalised queries and keys."""

    def tensor(T, D, scale):
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        x = torch.randn(T, D, generator=generator, dtype=torch.float64)
        return scale * x

    cases = [(tensor(2, 2, 1.0), tensor(2, 2, 3.0))]
    for T, D, scale in ((3, 4, 1.0), (5, 8, 20.0), (4, 6, 0.2)):
        cases.append((tensor(T, D, scale), tensor(T, D, scale / 2)))
    mistakes = [Mistake(*pair) for pair in _qk_mistakes()]
    compare(answer, _qk_weights, cases, mistakes, tolerance=1e-6)
