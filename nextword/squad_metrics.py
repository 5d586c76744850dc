"""How SQuAD compares an answer with the right ones: exact match and F1.

Home: chapter 19, notebooks/19_questions.ipynb. Rajpurkar et al., 2016, section
6.1, and 2018 for questions without an answer. Left out: the files of the data
set.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple


def normalise_answer(text: str) -> str:
    """Lower case, no punctuation, no a, an, the, and one space between words.

    "The  Garden." gives "garden".
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def exact_match(prediction: str, answer: str) -> float:
    """1 if both are the same after `normalise_answer`, else 0."""
    return float(normalise_answer(prediction) == normalise_answer(answer))


def f1(prediction: str, answer: str) -> float:
    """The harmonic mean of precision and recall of words, from 0 to 1.

    A word counts as often as it stands in both. If either text is empty, the
    result is 1 if both are, else 0.
    """
    said = normalise_answer(prediction).split()
    right = normalise_answer(answer).split()
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))


def best_of(
    metric: Callable[[str, str], float], prediction: str, answers: Sequence[str]
) -> float:
    """The metric with the answer that fits best; no answers mean "".

    SQuAD has answers of several people to one question.
    """
    return max(metric(prediction, answer) for answer in answers or [""])


class Trade(NamedTuple):
    """What one threshold reaches on questions with and without an answer."""

    threshold: float
    answered: float  # mean score where the text has an answer
    refused: float  # share refused where it has none
    overall: float  # mean over all questions


def trade_off(
    margins: Sequence[float],
    scores: Sequence[float],
    answerable: Sequence[bool],
) -> list[Trade]:
    """Every threshold that changes something, from the lowest to the highest.

    A question is answered if its margin is above the threshold; ``scores`` are
    what its answer then gets. A refusal gets 1 if the text has no answer, else
    0. Raises ValueError unless there are questions of both kinds.
    """
    with_answer = sum(answerable)
    without = len(answerable) - with_answer
    if not with_answer or not without:
        raise ValueError(
            f"{with_answer} questions have an answer, {without} have none. "
            "Pass some of both kinds."
        )
    rows = list(zip(margins, scores, answerable, strict=True))
    trades = []
    for threshold in [-float("inf"), *sorted(set(margins))]:
        got = sum(s for m, s, has in rows if has and m > threshold)
        refused = sum(not has and m <= threshold for m, _, has in rows)
        overall = (got + refused) / len(rows)
        trades.append(
            Trade(threshold, got / with_answer, refused / without, overall)
        )
    return trades
