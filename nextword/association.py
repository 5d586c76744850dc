"""The word-embedding association test (WEAT), and the same with sentences.

Home: chapter 24, notebooks/24_limits.ipynb. From Caliskan et al., 2017; with
sentences, SEAT, from May et al., 2019. The word lists are parts of theirs. Left
out: where the vectors come from.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

EXACT = 20_000  # up to so many divisions, all of them are tried


class AssociationTest(NamedTuple):
    """Two sets of targets, of one size, and two sets of attributes."""

    X: Sequence[str]
    Y: Sequence[str]
    A: Sequence[str]
    B: Sequence[str]


# Caliskan et al., 2017: WEAT 1 (the first eight words of each list), 6 and 7.
TESTS = {
    name: AssociationTest(*(words.split() for words in four))
    for name, four in {
        "flowers or insects": (
            "aster clover hyacinth marigold poppy azalea crocus iris",
            "ant caterpillar flea locust spider bedbug centipede fly",
            "caress freedom health love peace cheer friend heaven",
            "abuse crash filth murder sickness accident death grief",
        ),
        "career or family": (
            "John Paul Mike Kevin Steve Greg Jeff Bill",
            "Amy Joan Lisa Sarah Diana Kate Ann Donna",
            "executive management professional corporation salary office "
            "business career",
            "home parents children family cousins marriage wedding relatives",
        ),
        "mathematics or arts": (
            "math algebra geometry calculus equations computation numbers "
            "addition",
            "poetry art dance literature novel symphony drama sculpture",
            "male man boy brother he him his son",
            "female woman girl sister she her hers daughter",
        ),
    }.items()
}


def associations(W: np.ndarray, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """s(w, A, B): the mean cosine of w with A, minus that with B.

    W (N, C), A (M, C) and B (M', C) give (N,). Caliskan et al., 2017.
    """
    W, A, B = (
        np.asarray(x, float) / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (W, A, B)
    )
    return (W @ A.T).mean(1) - (W @ B.T).mean(1)


def effect_size(x: np.ndarray, y: np.ndarray) -> float:
    """(mean of x - mean of y) / the standard deviation of both together.

    x and y are the associations of the two sets of targets, of one size. The
    largest possible value is a little below 2. Raises ValueError for sets of
    different sizes, or of fewer than two.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"There are {len(x)} and {len(y)} targets. Pass two sets of one "
            "size, of two or more."
        )
    return float((x.mean() - y.mean()) / np.concatenate([x, y]).std(ddof=1))


def p_value(
    x: np.ndarray, y: np.ndarray, draws: int = 10_000, seed: int = 0
) -> float:
    """How often a random division of the targets gives as large a difference.

    One-sided. All divisions into equal halves are tried where there are at most
    EXACT, else ``draws`` random ones; the given division is one of them, so
    the result is never 0.
    """
    n, both = len(x), np.concatenate([x, y])
    effect_size(x, y)  # the sizes are right
    least = x.sum() - 1e-12  # the sum of y follows from it
    if math.comb(2 * n, n) <= EXACT:
        halves = np.array(list(combinations(range(2 * n), n)))
        return float((both[halves].sum(1) >= least).mean())
    generator = np.random.default_rng(seed)
    sums = generator.permuted(np.tile(both, (draws, 1)), axis=1)[:, :n].sum(1)
    return float(((sums >= least).sum() + 1) / (draws + 1))
