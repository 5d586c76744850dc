"""Scores of reviews: which labels are drawn, counts of words, and two measures.

Home: chapter 17, notebooks/17_sentiment.ipynb. Left out: the reviews
(`nextword.reviews`), and encoders (`nextword.review_models`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

# N texts to scores (N,): above 0 is positive, below 0 negative.
Scorer = Callable[[Sequence[str]], Tensor]


def draw(labels: Sequence[int], number: int, seed: int) -> list[int]:
    """The places of ``number`` texts, drawn at random, half of each label.

    With one seed, a larger draw holds the smaller ones. Raises ValueError for
    an odd number, or for more than there are.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator).tolist()
    halves = [[n for n in order if labels[n] == label] for label in (0, 1)]
    if number % 2 or not 0 < number // 2 <= min(map(len, halves)):
        raise ValueError(
            f"{number} texts cannot be drawn, half of each label: there are "
            f"{len(halves[0])} and {len(halves[1])}. Ask for an even number."
        )
    half = number // 2
    return [n for pair in zip(*halves, strict=False) for n in pair][: 2 * half]


def words(text: str) -> list[str]:
    """The words of a text in lower case; an apostrophe belongs to its word."""
    return re.findall(r"[a-z0-9']+", text.lower())


def log_odds(
    texts: Sequence[str], labels: Sequence[int], k: float = 1.0
) -> tuple[float, dict[str, float]]:
    """The log-odds of the labels, and of each word given the labels.

    k is added to each count. Raises ValueError unless both labels occur.
    """
    counts = [Counter[str](), Counter[str]()]
    for text, label in zip(texts, labels, strict=True):
        counts[label].update(words(text))
    seen = counts[0].keys() | counts[1].keys()
    ones = sum(labels)
    if not 0 < ones < len(labels):
        raise ValueError("All labels are equal. Pass texts of both labels.")
    logs = [
        {w: math.log((c[w] + k) / (c.total() + k * len(seen))) for w in seen}
        for c in counts
    ]
    prior = math.log(ones / (len(labels) - ones))
    return prior, {w: logs[1][w] - logs[0][w] for w in sorted(seen)}


def naive_bayes(
    texts: Sequence[str], labels: Sequence[int], k: float = 1.0
) -> Scorer:
    """The log-odds of a text: a sum over its words, in any order.

    Words without a count add nothing. The sum is rounded once, so that texts
    with the same words have the same score to the last bit.
    """
    prior, weights = log_odds(texts, labels, k)

    def score(texts: Sequence[str]) -> Tensor:
        sums = [
            math.fsum([prior, *(weights.get(w, 0.0) for w in words(text))])
            for text in texts
        ]
        return torch.tensor(sums, dtype=torch.float64)

    return score


def word_pairs(
    texts: Sequence[str], labels: Sequence[int], C: float = 30.0
) -> Scorer:
    """Logistic regression on words and pairs of neighbours, by scikit-learn.

    Each text is a vector of TF-IDF at length 1 (Wang and Manning, 2012, show
    how much pairs help). C is the inverse of the penalty.
    """
    vectors = TfidfVectorizer(
        token_pattern=r"[a-z0-9']+", ngram_range=(1, 2), sublinear_tf=True
    )
    X = vectors.fit_transform(texts)  # (N, words and pairs), sparse
    model = LogisticRegression(C=C, max_iter=1000).fit(X, labels)
    return lambda texts: torch.from_numpy(
        model.decision_function(vectors.transform(texts))
    )


def sign_accuracy(scores: Tensor, labels: Sequence[int]) -> float:
    """The share of right signs, for scores (N,); a score of 0 is half right."""
    signs = 2.0 * torch.tensor(labels) - 1  # -1 or 1
    return float(((scores.sign() * signs + 1) / 2).mean())


def pair_accuracy(positive: Tensor, negative: Tensor) -> float:
    """The share of pairs with both signs right, for scores (P,) and (P,)."""
    return float(((positive > 0) & (negative < 0)).double().mean())
