"""How good a classifier is: what it confuses, and whether its probabilities hold.

Home: chapter 16, notebooks/16_classification.ipynb. Words are weighted here too,
as TF-IDF does. Left out: the classifiers, which `nextword.classifiers` has.
"""

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Words as numbers


def words_of(text: str) -> list[str]:
    """The words of a text in small letters; single letters are left out."""
    return re.findall(r"\b\w\w+\b", text.lower())


def inverse_frequencies(texts: Sequence[str]) -> dict[str, float]:
    """ln((1 + N) / (1 + n)) + 1 for each word that n of the N texts hold.

    Spärck Jones, 1972; the ones are those of scikit-learn. Raises ValueError
    for texts without a word.
    """
    holds = Counter(
        word for text in texts for word in dict.fromkeys(words_of(text))
    )
    if not holds:
        raise ValueError("There is no word in the texts. Pass other ones.")
    N = len(texts)
    return {w: math.log((1 + N) / (1 + n)) + 1 for w, n in holds.items()}


def tf_idf(text: str, idf: Mapping[str, float]) -> dict[str, float]:
    """The words of a text with their weights, as a vector of length 1.

    A weight is the count of the word, times its idf. A word that ``idf`` lacks
    is left out; a text without any other gives an empty vector.
    """
    counts = Counter(word for word in words_of(text) if word in idf)
    weights = {word: n * idf[word] for word, n in counts.items()}
    length = math.hypot(*weights.values())
    return {word: x / length for word, x in weights.items()}


# Errors


def confusion_matrix(
    labels: Sequence[int], said: Sequence[int], classes: int
) -> np.ndarray:
    """How many texts of each class (row) got each answer (column): (K, K).

    Raises ValueError unless there is one answer for each label.
    """
    check_pairs(labels, said)
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (np.asarray(labels), np.asarray(said)), 1)
    return matrix


def check_pairs(first: Sequence, second: Sequence) -> None:
    """Raise ValueError unless there are as many of both, and at least one."""
    if len(first) != len(second) or len(first) == 0:
        raise ValueError(
            f"There are {len(first)} of one and {len(second)} of the other. "
            "Pass one of each for every text, and at least one text."
        )


def precision_and_recall(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each class (K,): the share of its answers, and of its texts, right.

    NaN where a class was never answered, or has no text.
    """
    right = np.diag(matrix).astype(float)
    answered, there = matrix.sum(0), matrix.sum(1)
    nothing = np.full(len(matrix), np.nan)
    precision = np.divide(right, answered, nothing.copy(), where=answered > 0)
    return precision, np.divide(right, there, nothing, where=there > 0)


# Probabilities


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithms of the probabilities, (N, K)."""
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def mean_nats(logits: np.ndarray, labels: Sequence[int]) -> float:
    """The mean of -ln P(label), from logits (N, K)."""
    check_pairs(logits, labels)
    rows = np.arange(len(labels))
    return float(-log_softmax(logits)[rows, np.asarray(labels)].mean())


class Bin(NamedTuple):
    """The answers whose confidence lies in one interval."""

    confidence: float  # their mean
    accuracy: float  # the share of them that is right
    number: int


def reliability(
    logits: np.ndarray, labels: Sequence[int], bins: int = 10
) -> list[Bin]:
    """Answers sorted by confidence, the largest probability, into equal widths.

    logits (N, K). Bins without an answer are left out.
    """
    check_pairs(logits, labels)
    confidence = np.exp(log_softmax(logits).max(1))  # (N,)
    right = logits.argmax(1) == np.asarray(labels)  # (N,)
    place = np.minimum((confidence * bins).astype(int), bins - 1)  # (N,)
    found = []
    for number in np.unique(place):
        own = place == number
        means = confidence[own].mean(), right[own].mean()
        found.append(Bin(*map(float, means), int(own.sum())))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """The mean of |accuracy - confidence| over answers: ECE.

    Naeini et al., 2015; Guo et al., 2017.
    """
    total = sum(x.number for x in bins)
    gaps = (x.number * abs(x.accuracy - x.confidence) for x in bins)
    return sum(gaps) / total


def fit_temperature(logits: np.ndarray, labels: Sequence[int]) -> float:
    """The T that makes the labels likeliest, if logits are divided by it.

    Guo et al., 2017. With b = 1 / T the loss is convex, and its slope is the
    mean logit under the model's own probabilities minus that of the labels.
    Halving finds where it is 0. T stays between 1/100 and 100.
    """
    check_pairs(logits, labels)
    given = logits[np.arange(len(labels)), np.asarray(labels)].mean()
    low, high = 0.01, 100.0
    for _ in range(60):
        b = math.sqrt(low * high)
        expected = (np.exp(log_softmax(b * logits)) * logits).sum(1).mean()
        low, high = (low, b) if expected > given else (b, high)
    return 1 / b


# Uncertainty


def bootstrap_means(
    values: Sequence[float],
    units: Sequence[Hashable] | None = None,
    number: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Means (number,) of as many values, drawn with repetition.

    Efron, 1979. With ``units``, one for each value, whole units are drawn: all
    values of a file, say, or none.
    """
    units = range(len(values)) if units is None else units
    check_pairs(values, units)
    names = {unit: n for n, unit in enumerate(dict.fromkeys(units))}
    place = np.array([names[unit] for unit in units])
    sums = np.bincount(place, weights=np.asarray(values, dtype=float))
    sizes = np.bincount(place)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(sizes), size=(number, len(sizes)))
    return sums[draws].sum(1) / sizes[draws].sum(1)


def middle(numbers: Iterable[float]) -> tuple[float, float]:
    """The ends of the middle 95 per cent."""
    low, high = np.percentile(list(numbers), [2.5, 97.5])
    return float(low), float(high)
