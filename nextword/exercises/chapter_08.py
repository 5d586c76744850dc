"""Exercises of chapter 8, "Position".

Answers may hold 32-bit numbers, also wrong ones: positions and sizes are so
small that no angle, not even one with a wrong frequency, loses three digits.
"""

import random
from collections.abc import Callable

import torch

from nextword.exercises.engine import Mistake, compare, exercise

TOLERANCE = 1e-3


def _frequencies(size, exponent=lambda i, size: -2 * i / size):
    """10000 to the exponent, for each pair; equation (8.2) unless told."""
    i = torch.arange(size // 2, dtype=torch.float64)
    return 10_000.0 ** exponent(i, size)


def _wrong_frequencies(answer: Callable) -> list[Mistake]:
    """Mistakes of an ``answer(frequencies, *arguments)`` in the frequencies."""
    exponents = [
        (
            lambda i, size: -i / size,
            "Your exponent is -i / size, half of what it should be, so the "
            "slow pairs are too fast. It has a 2 in it: i numbers the pairs.",
        ),
        (
            lambda i, size: -4 * i / size,
            "Your exponent is doubled: -4i / size. If your i already takes the "
            "values 0, 2, 4, …, it needs no further 2.",
        ),
        (
            lambda i, size: 2 * i / size,
            "The sign of your exponent is wrong: pair 0 should be the fastest, "
            "and yours is the slowest.",
        ),
        (
            lambda i, size: -2 * i / (size - 1),
            "Your wavelengths are stretched: the exponent is divided by the "
            "size minus 1. Divide by the size itself.",
        ),
        (
            lambda i, size: -i / max(size / 2 - 1, 1),
            "Your last pair has the wavelength 2 pi times 10000. The series "
            "of this chapter ends one step before: the exponent is -2i / size.",
        ),
        (
            lambda i, size: 0 * i,
            "All of your pairs turn by the same angle. Each pair has its own "
            "frequency: see (8.2).",
        ),
    ]

    def with_exponent(exponent):
        return lambda *case: answer(
            lambda size: _frequencies(size, exponent), *case
        )

    return [
        Mistake(with_exponent(exponent), message)
        for exponent, message in exponents
    ]


def _turned(x, angles):
    """(8.11) for the pairs i and i + D / 2."""
    (a, b), cos, sin = x.chunk(2, -1), angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _interleave(a, b):
    return torch.stack([a, b], dim=-1).flatten(-2)


@exercise("8.1", "The table of sinusoids")
def position_table(answer, rng):
    """Sines and cosines of p w_i, taking turns."""

    def some(T):
        return torch.tensor(rng.sample(range(2, 8), T))

    cases = [
        (torch.tensor([0, 1]), 2),
        (some(2), 4),
        (some(3), 6),
        (some(4), 6),
    ]

    def table(frequencies, positions, C, join=_interleave):
        angles = positions[:, None] * frequencies(C)
        return join(angles.sin(), angles.cos())

    def joined(join):
        return lambda p, C: table(_frequencies, p, C, join)

    def placed(place):
        return lambda p, C: table(_frequencies, place(p), C)

    def frequency_per_number(positions, C):
        c = torch.arange(C)
        angles = positions[:, None] * 10_000.0 ** (-c.double() / C)
        return torch.where(c % 2 == 0, angles.sin(), angles.cos())

    def not_halved(positions, C):
        c = torch.arange(C)
        angles = positions[:, None] * 10_000.0 ** (-2 * c.double() / C)
        return torch.where(c % 2 == 0, angles.sin(), angles.cos())

    compare(
        answer,
        placed(lambda p: p),
        cases,
        [
            Mistake(
                placed(lambda p: p + 1),
                "Your positions start at 1. Position 0 is the row 0, 1, 0, 1, "
                "…: take the numbers in `positions` as they are.",
            ),
            Mistake(
                placed(lambda p: torch.arange(len(p))),
                "You count the rows and never use the numbers in `positions`.",
            ),
            Mistake(
                placed(lambda p: torch.arange(1, len(p) + 1)),
                "You count the rows, from 1. Use the numbers in `positions`.",
            ),
            Mistake(
                joined(lambda sin, cos: torch.cat([sin, cos], -1)),
                "All sines come first, then all cosines. In (8.2) they take "
                "turns: sine in column 2i, cosine in column 2i + 1.",
            ),
            Mistake(
                joined(lambda sin, cos: _interleave(cos, sin)),
                "Your cosines stand in the even columns. The sine comes first: "
                "see (8.2).",
            ),
            Mistake(
                joined(lambda sin, cos: torch.cat([cos, sin], -1)),
                "All cosines come first, then all sines. In (8.2) they take "
                "turns, and the sine is first.",
            ),
            Mistake(
                joined(lambda sin, cos: _interleave(sin, sin)),
                "There is no cosine in your table: the columns 2i + 1 hold "
                "sines too.",
            ),
            Mistake(
                frequency_per_number,
                "Every column of yours has its own frequency. The two columns "
                "of a pair share one: the exponent is the same for 2i and "
                "2i + 1.",
            ),
            Mistake(
                not_halved,
                "You take the number of the column for i. But i numbers the "
                "pairs, from 0 to C / 2 - 1, and a pair has one frequency.",
            ),
            *_wrong_frequencies(table),
        ],
        TOLERANCE,
    )


def _blocks(a, b, c, d):
    """The matrix of four diagonal blocks, each given by its diagonal."""
    a, b, c, d = map(torch.diag, (a, b, c, d))
    return torch.cat([torch.cat([a, b], 1), torch.cat([c, d], 1)])


@exercise("8.2", "A shift, in another order")
def shift_matrix(answer, rng):
    """R(k) for sines first: cosines on the diagonal, -sin right, sin left."""
    cases = [(1, 2), (rng.randrange(2, 8), 4), (0, 4)]
    cases += [(-rng.randrange(2, 8), 6), (rng.randrange(2, 8), 6)]

    def shift(frequencies, k, C, arrange=lambda c, s: _blocks(c, -s, s, c)):
        angles = k * frequencies(C)
        return arrange(angles.cos(), angles.sin())

    def arranged(arrange):
        return lambda k, C: shift(_frequencies, k, C, arrange)

    def neighbours(k, C, sign=1):
        blocks = [
            torch.stack([c, -sign * s, sign * s, c]).view(2, 2)
            for c, s in arranged(lambda cos, sin: zip(cos, sin, strict=True))(
                k, C
            )
        ]
        return torch.block_diag(*blocks)

    compare(
        answer,
        lambda k, C: shift(_frequencies, k, C),
        cases,
        [
            Mistake(
                arranged(lambda c, s: _blocks(c, s, -s, c)),
                "Your matrix is transposed, so it goes k places back. Vectors "
                "are rows: the first column makes the new sine of pair 0.",
            ),
            Mistake(
                neighbours,
                "This is R(k) of (8.5), for sines and cosines that take turns. "
                "Here all sines come first, so the pair i stands in rows i and "
                "i + C / 2.",
            ),
            Mistake(
                lambda k, C: neighbours(k, C, sign=-1),
                "Your matrix is transposed, and its pairs are neighbours. Here "
                "all sines come first. Begin with C = 2, then with C = 4.",
            ),
            Mistake(
                arranged(lambda c, s: _blocks(c, s, s, c)),
                "No sine in your matrix has a minus. Look at the second line "
                "of (8.3).",
            ),
            Mistake(
                arranged(lambda c, s: _blocks(c, s, s, -c)),
                "Your matrix is a reflection: applied twice, it gives back the "
                "row. Both cosines have a plus, and one sine has a minus.",
            ),
            Mistake(
                arranged(lambda c, s: _blocks(s, c, c, -s)),
                "Sine and cosine are exchanged. A shift by 0 changes nothing, "
                "so R(0) is the identity.",
            ),
            Mistake(
                arranged(lambda c, s: _blocks(c, 0 * s, 0 * s, c)),
                "Only the cosines are there. The new sine also needs the old "
                "cosine: see (8.3).",
            ),
            Mistake(
                lambda k, C: shift(_frequencies, 1, C),
                "Your matrix always shifts by 1: use k in the angles.",
            ),
            *_wrong_frequencies(shift),
        ],
        TOLERANCE,
    )


@exercise("8.3", "Rotary positions")
def turn(answer, rng):
    """Pair (i, i + D / 2) of row t turned by t w_i."""

    def numbers(T, D):
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        return torch.randn(T, D, generator=generator, dtype=torch.float64)

    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    cases = [(unit,), (numbers(3, 4),), (numbers(4, 6),), (numbers(5, 4),)]

    def full(a, b, cos, sin):
        return a * cos - b * sin, a * sin + b * cos

    def rotated(
        frequencies,
        x,
        rule=full,
        split=lambda x: x.chunk(2, -1),
        join=lambda a, b: torch.cat([a, b], -1),
        start=0,
    ):
        t = torch.arange(start, start + len(x), dtype=torch.float64)
        angles = t[:, None] * frequencies(x.shape[1])
        return join(*rule(*split(x), angles.cos(), angles.sin()))

    def by(*rule, **how):
        return lambda x: rotated(_frequencies, x, *rule, **how)

    def neighbours(x):
        return x[:, 0::2], x[:, 1::2]

    def in_place(a, b, cos, sin):
        a = a * cos - b * sin
        return a, a * sin + b * cos

    compare(
        answer,
        by(),
        cases,
        [
            Mistake(
                by(start=1),
                "Your positions start at 1. Row 0 has the position 0 and must "
                "not change.",
            ),
            Mistake(
                by(lambda a, b, c, s: (a * c + b * s, b * c - a * s)),
                "You turn in the other direction: the signs of the sines are "
                "exchanged. Look at (8.11).",
            ),
            Mistake(
                by(lambda a, b, c, s: (a * c - b * s, b)),
                "Only the first number of each pair has changed. A rotation "
                "moves both: there are two lines in (8.11).",
            ),
            Mistake(
                by(lambda a, b, c, s: (a, a * s + b * c)),
                "Only the second number of each pair has changed. A rotation "
                "moves both: there are two lines in (8.11).",
            ),
            Mistake(
                by(in_place),
                "Your second line uses the new a, which the first line has "
                "just changed. Both lines need the old a and the old b.",
            ),
            Mistake(
                by(split=neighbours, join=_interleave),
                "Your pairs are neighbours, 2i and 2i + 1. This is the layout "
                "of the paper. In our library, i and i + D / 2 form a pair.",
            ),
            Mistake(
                by(split=neighbours),
                "You take neighbours as pairs, but put the results into two "
                "halves. Take the two halves of x apart, too.",
            ),
            Mistake(
                by(join=_interleave),
                "Your pairs are right, but you put the results side by side. "
                "The numbers must go back to their places i and i + D / 2.",
            ),
            Mistake(
                by(lambda a, b, c, s: (a * c + b * s, a * s + b * c)),
                "All of your signs are plus, so the length of the rows "
                "changes. Look for the minus in (8.11).",
            ),
            Mistake(
                by(lambda a, b, c, s: (a * c - b * s, a * s - b * c)),
                "There is one minus too many: your second line subtracts. In "
                "(8.11), only the first line does.",
            ),
            Mistake(
                by(lambda a, b, c, s: (a * c, b * c)),
                "The sines are missing: you only shrink the numbers. Rows must "
                "keep their length.",
            ),
            Mistake(
                by(lambda a, b, c, s: (a + s, b + c)),
                "You add the sinusoids. Rotary positions multiply: they turn "
                "what is there and add nothing.",
            ),
            *_wrong_frequencies(rotated),
        ],
        TOLERANCE,
    )


@exercise("8.4", "A bias for the distance")
def distance_bias(answer, rng):
    """-slope * distance at keys before the query, -inf at later ones."""
    sizes = [(1, 2), (2, 3), (rng.choice([3, 5, 6, 7]), 4), (8, 5)]

    def linear(H, T, slopes=lambda h, H: 2.0 ** (-8 * h / H), sign=-1):
        """Slope times distance, also where the distance is negative."""
        t = torch.arange(T)
        h = torch.arange(1, H + 1, dtype=torch.float64)
        return sign * slopes(h, H)[:, None, None] * (t[:, None] - t)

    def later(T):
        return torch.ones(T, T).triu(1).bool()

    def hidden(number=-torch.inf, **how):
        def bias(H, T):
            return linear(H, T, **how).masked_fill(later(T), number)

        return bias

    def slope(rule):
        return hidden(slopes=rule)

    def product_with_infinity(H, T):
        return torch.where(later(T), -torch.inf, torch.nan).expand(H, T, T)

    finite = (
        "Keys after the query get a large finite number. Write -torch.inf "
        "there: then their weight is exactly 0."
    )
    no_power = (
        "Your slopes form a straight line. They are powers of 2: 8h / H is "
        "only the exponent, with a minus."
    )
    compare(
        answer,
        hidden(),
        sizes,
        [
            Mistake(
                hidden(sign=1),
                "The sign is wrong: your bias grows with the distance, so far "
                "tokens are preferred. Subtract slope times distance.",
            ),
            Mistake(
                lambda H, T: linear(H, T),
                "Your bias is positive on the future, the largest of all: "
                "keys after the query must get -torch.inf.",
            ),
            Mistake(
                lambda H, T: linear(H, T, sign=1),
                "You measure the distance the wrong way round, key minus "
                "query, and the future is not hidden. It is query minus key, "
                "and -torch.inf where this is negative.",
            ),
            Mistake(
                lambda H, T: -linear(H, T).abs(),
                "Your bias treats past and future alike. Keys after the query "
                "must get -torch.inf.",
            ),
            Mistake(
                hidden(0.0),
                "Keys after the query get 0, the best bias of all. They must "
                "get -torch.inf.",
            ),
            Mistake(
                lambda H, T: hidden()(H, T).transpose(1, 2),
                "Your matrices are transposed: they hide the past. Rows are "
                "queries, columns are keys.",
            ),
            Mistake(
                lambda H, T: hidden()(H, T).masked_fill(
                    torch.eye(T).bool(), -torch.inf
                ),
                "A token may look at itself: the distance is 0, and so is the "
                "bias. Your mask hides the diagonal.",
            ),
            Mistake(
                slope(lambda h, H: 2.0 ** (-8 * (h - 1) / H)),
                "Your slopes start at 1, which is h = 0. The heads are counted "
                "from 1.",
            ),
            Mistake(
                slope(lambda h, H: 2.0**-h),
                "Your slopes are 2^(-h). This is right for 8 heads only: the "
                "exponent is -8h / H.",
            ),
            Mistake(
                slope(lambda h, H: 2.0 ** (-h / H)),
                "The 8 is missing in the exponent of your slopes.",
            ),
            Mistake(
                slope(lambda h, H: 2.0 ** (8 * h / H)),
                "The sign of the exponent is wrong: your slopes are above 1.",
            ),
            Mistake(
                slope(lambda h, H: 2.0 ** (-8 * (H + 1 - h) / H)),
                "Your heads are in reverse order: the first head has the "
                "largest slope.",
            ),
            Mistake(
                slope(lambda h, H: 0 * h + 2.0 ** (-8 / H)),
                "All of your heads have the same slope. Head h has 2^(-8h / H).",
            ),
            Mistake(slope(lambda h, H: 8 * h / H), no_power),
            Mistake(slope(lambda h, H: h / H), no_power),
            Mistake(
                slope(lambda h, H: 1 + 0 * h),
                "The slopes are missing: this is minus the distance itself.",
            ),
            Mistake(hidden(-1e9), finite),
            Mistake(hidden(torch.finfo(torch.float32).min), finite),
            Mistake(
                product_with_infinity,
                "Your bias is NaN where it should be finite: 0 times infinity "
                "is NaN. Use `masked_fill` or `torch.where`.",
            ),
        ],
        1e-5,
    )


@exercise("8.5", "The scores of new tokens")
def new_scores(answer, rng: random.Random):
    """Turned queries, the last T of S places, with all turned keys."""

    def numbers(*shape):
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    cases = [(unit[:1], unit)]
    for T, S, D in ((1, 4, 4), (3, 5, 6), (2, 6, 4)):
        cases.append((numbers(T, D), numbers(S, D)))

    def turned(x, places):
        return _turned(x, places[:, None] * _frequencies(x.shape[1]))

    def scores(
        q,
        k,
        q_at=lambda t: t,
        k_at=lambda t: t,
        mark=turned,
        root=lambda q, k: q.shape[1] ** 0.5,
    ):
        S = len(k)
        t = torch.arange(S, dtype=torch.float64)
        marked_q = mark(q, q_at(t[S - len(q) :]))
        return marked_q @ mark(k, k_at(t)).T / root(q, k)

    def by(**how):
        return lambda q, k: scores(q, k, **how)

    def added(x, places):
        angles = places[:, None] * _frequencies(x.shape[1])
        return x + _interleave(angles.sin(), angles.cos())

    def neighbours(x, places):
        angles = places[:, None] * _frequencies(x.shape[1])
        a, b, c, s = x[:, 0::2], x[:, 1::2], angles.cos(), angles.sin()
        return _interleave(a * c - b * s, a * s + b * c)

    compare(
        answer,
        scores,
        cases,
        [
            Mistake(
                by(q_at=lambda t: t - t[0]),
                "Your queries restart at position 0. They belong to the last "
                "T tokens: the first of them stands at S - T.",
            ),
            Mistake(
                by(q_at=lambda t: t + 1),
                "Your queries stand one place too far to the right: the last "
                "one belongs to the last token, at position S - 1.",
            ),
            Mistake(
                by(k_at=lambda t: 0 * t),
                "Only the queries are turned. Then no key says where it "
                "stands: turn the keys as well.",
            ),
            Mistake(
                by(q_at=lambda t: 0 * t),
                "Only the keys are turned, or all queries stand at position "
                "0. Turn each query by its own position.",
            ),
            Mistake(
                by(q_at=lambda t: 0 * t, k_at=lambda t: 0 * t),
                "Nothing is turned: these scores know no positions.",
            ),
            Mistake(
                by(q_at=lambda t: 2 * t, k_at=lambda t: 2 * t),
                "Positions enter twice: every distance is doubled. Turn each "
                "vector once.",
            ),
            Mistake(
                by(q_at=lambda t: -t, k_at=lambda t: -t),
                "You turn in the other direction: a key before the query gets "
                "the score of one after it.",
            ),
            Mistake(
                by(k_at=lambda t: -t),
                "Queries and keys turn in opposite directions, so the scores "
                "depend on the sum of the positions. Turn both the same way.",
            ),
            Mistake(
                by(mark=added),
                "You add sinusoids to queries and keys. Rotary positions "
                "turn what is there and add nothing.",
            ),
            Mistake(
                by(mark=neighbours),
                "Your pairs are neighbours, 2i and 2i + 1. In our library, "
                "i and i + D / 2 form a pair.",
            ),
            Mistake(
                by(root=lambda q, k: 1.0),
                "The division by the root of D is missing.",
            ),
            Mistake(
                by(root=lambda q, k: q.shape[1]),
                "You divide by D. Divide by its root.",
            ),
            Mistake(
                by(root=lambda q, k: len(k) ** 0.5),
                "You divide by the root of S, the number of keys. D is the "
                "size of a query.",
            ),
            Mistake(
                lambda q, k: scores(q, k).softmax(-1),
                "These are the weights. Return the scores, before the softmax.",
            ),
        ],
        TOLERANCE,
    )
