"""Units for the quality of a language model, and exact match.

Home: chapter 2, notebooks/02_counting.ipynb, for perplexity, bits and bits per
byte, which convert a cross-entropy in nats; chapter 10,
notebooks/10_training.ipynb, for exact match.
"""

import math
from collections.abc import Sequence


def perplexity(nats: float) -> float:
    """exp(H): how many equally likely choices a model of H nats has per token.

    Raises ValueError if ``nats`` is negative.
    """
    if nats < 0:
        raise ValueError(
            f"A cross-entropy is never negative, but it is {nats}."
        )
    return math.exp(nats)


def bits(nats: float) -> float:
    """H / ln 2: the same cross-entropy in bits, that is, to the base 2."""
    return nats / math.log(2)


def bits_per_byte(nats_per_token: float, tokens: int, byte_count: int) -> float:
    """The bits that the whole text costs, shared among its bytes in UTF-8.

    ``tokens`` is the number of predictions, every END included, ``byte_count``
    the length of the same text. Models that cut the text into different tokens
    can be compared by it, as long as no token stands for unknown text.

    Raises ValueError if one of the two counts is not positive.
    """
    if tokens <= 0 or byte_count <= 0:
        raise ValueError(
            "Give the number of tokens and of bytes of the same text, both "
            f"above 0. They are {tokens} and {byte_count}."
        )
    return bits(nats_per_token) * tokens / byte_count


def exact_match(predictions: Sequence, references: Sequence) -> float:
    """The share of predictions that are equal to their reference, 0 to 1.

    Raises ValueError if there are none, or not as many of one as of the other.
    """
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f"There are {len(predictions)} predictions and {len(references)} "
            "references. Pass one reference for each prediction, and at least "
            "one."
        )
    pairs = zip(predictions, references, strict=True)
    return sum(p == r for p, r in pairs) / len(references)
