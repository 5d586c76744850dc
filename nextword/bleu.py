"""BLEU and chrF, as sacreBLEU computes them, each with its signature.

Home: chapter 18, notebooks/18_translation.ipynb. A score without its signature
cannot be compared with another one (Post, 2018). Left out: several references
for one text, and scores of single sentences.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sacrebleu.metrics import BLEU, CHRF


class Score(NamedTuple):
    """A score of a whole test set, and how exactly it was computed."""

    value: float  # 0 to 100
    signature: str  # of sacreBLEU: every choice, and its version


def bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    tokenizer: str = "13a",
) -> Score:
    """BLEU with n-grams up to 4 (Papineni et al., 2002).

    ``tokenizer`` cuts both sides into words: 13a for languages with spaces, zh
    for Chinese, where each character is a word. Raises ValueError for texts
    that do not pair up, and for a tokenizer that sacreBLEU does not have.
    """
    check_texts(predictions, references)
    if tokenizer not in BLEU.TOKENIZERS:
        raise ValueError(
            f"sacreBLEU has no tokenizer {tokenizer!r}. Choose one of "
            f"{', '.join(BLEU.TOKENIZERS)}: 13a for most languages, zh for "
            "Chinese."
        )
    metric = BLEU(tokenize=tokenizer)
    found = metric.corpus_score(predictions, [references])
    return Score(found.score, str(metric.get_signature()))


def chrf(predictions: Sequence[str], references: Sequence[str]) -> Score:
    """The F-score chrF: up to 6 characters, beta 2 (Popović, 2015).

    Spaces do not count. Raises ValueError for texts that do not pair up.
    """
    check_texts(predictions, references)
    metric = CHRF()
    found = metric.corpus_score(predictions, [references])
    return Score(found.score, str(metric.get_signature()))


def check_texts(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Raise ValueError unless each prediction, a text, has its reference."""
    if isinstance(predictions, str) or isinstance(references, str):
        raise ValueError(
            "One text was given where a list of texts is needed. Put it into "
            "brackets: [text]."
        )
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f"There are {len(predictions)} predictions and {len(references)} "
            "references. Pass one reference for each prediction, and at least "
            "one."
        )
