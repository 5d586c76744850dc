"""Encoders that score reviews: a small one of our own, and MiniLM.

Home: chapter 17, notebooks/17_sentiment.ipynb. Left out: the loops of training
(`nextword.finetuning`) and the vectors of a probe (`nextword.sentences`).
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nextword.blocks import TransformerConfig
from nextword.finetuning import (
    Classifier,
    LabelledBatches,
    fine_tune,
    fit_probe,
    in_parts,
    labelled_batch,
    layer_groups,
)
from nextword.masking import MaskedBatches, Masking, masked_loss
from nextword.training import TrainConfig, fit
from nextword.transformer import BERT
from nextword.wordpiece import (
    SPECIAL,
    WordPieceTokenizer,
    frame,
    plain_text,
    split_words,
)
from nextword.words import MASK, PAD


def small_vocabulary(
    texts: Sequence[str], least: int = 2
) -> WordPieceTokenizer:
    """Words that come ``least`` times or more; others are cut in letters."""
    counts = Counter(w for text in texts for w in split_words(plain_text(text)))
    letters = sorted({letter for word in counts for letter in word})
    long = sorted(w for w, n in counts.items() if n >= least and len(w) > 1)
    rest = [f"##{letter}" for letter in letters]
    return WordPieceTokenizer([*SPECIAL, *letters, *rest, *long])


def small_bert(tokenizer: WordPieceTokenizer, seed: int) -> BERT:
    """A BERT of two layers with random numbers, for texts of 64 tokens."""
    torch.manual_seed(seed)
    return BERT(
        TransformerConfig(
            tokenizer.vocab_size,
            context_length=64,
            d_model=64,
            n_heads=4,
            n_layers=2,
            dropout=0.1,
            positions="rotary",
        )
    )


def fill_gaps(
    body: BERT,
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    steps: int,
    seed: int,
) -> list[float]:
    """Train a BERT to find hidden words; no label is read. Gives the losses."""
    ids = [frame(tokenizer, text, None, 64) for text in texts]
    pad_id = tokenizer.ids[PAD]
    plain = LabelledBatches([(*row, 0) for row in ids], 32, pad_id, seed)
    masking = Masking(
        tokenizer.ids[MASK], pad_id, len(SPECIAL), tokenizer.vocab_size
    )
    batches = MaskedBatches(lambda step: plain(step).ids, masking, seed)
    config = TrainConfig(steps, 3e-3, steps // 10, seed=seed)
    return fit(body, masked_loss, batches, config).losses


def fine_tuned(
    body: BERT,
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    labels: Sequence[int],
    config: TrainConfig,
    decay: float = 1.0,
) -> Classifier:
    """A copy of a BERT, with a head of two logits, trained on these texts.

    The head reads the mean over all tokens. ``decay``: how much slower each
    layer learns than the one above it.
    """
    torch.manual_seed(config.seed)
    model = Classifier(copy.deepcopy(body), 2, mean=True)
    rows = [
        (*frame(tokenizer, text, None, 64), label)
        for text, label in zip(texts, labels, strict=True)
    ]
    batches = LabelledBatches(rows, 16, tokenizer.ids[PAD], config.seed)
    fine_tune(model, batches, config, layer_groups(model, config.lr, decay))
    return model


def scorer(
    model: Classifier, tokenizer: WordPieceTokenizer
) -> Callable[[Sequence[str]], Tensor]:
    """The logit of positive minus that of negative, for each text.

    Texts of nearly the same length go through the model together.
    """

    def score(texts: Sequence[str]) -> Tensor:
        rows = [(*frame(tokenizer, text, None, 64), 0) for text in texts]
        order = sorted(range(len(rows)), key=lambda n: len(rows[n][0]))
        parts = []
        for first in range(0, len(rows), 32):
            some = [rows[n] for n in order[first : first + 32]]
            batch = labelled_batch(some, tokenizer.ids[PAD])
            parts.append(in_parts(model, model, batch).double())  # (B, 2)
        logits = torch.cat(parts)[torch.tensor(order).argsort()]  # (N, 2)
        return logits[:, 1] - logits[:, 0]

    return score


def small_schedule(texts: int, seed: int) -> TrainConfig:
    """How a small BERT is trained on so many texts, in batches of 16."""
    steps = max(60, texts // 4)  # four times each text, or more
    return TrainConfig(steps, 1e-3, steps // 10, final=0.0, seed=seed)


def minilm_schedule(texts: int, seed: int) -> TrainConfig:
    """How MiniLM is fine-tuned on so many texts, in batches of 16."""
    steps = max(20, 3 * texts // 16)  # three times each, or more
    return TrainConfig(steps, 2e-4, steps // 10, final=0.0, seed=seed)


def probe(
    vectors: Tensor, labels: Sequence[int], penalty: float = 300.0
) -> Callable[[Tensor], Tensor]:
    """Logistic regression on vectors (N, C), as a function to scores (N,)."""
    fitted = fit_probe(vectors, torch.tensor(labels), 2, penalty)

    def score(vectors: Tensor) -> Tensor:
        logits = fitted.logits(vectors)  # (N, 2)
        return logits[:, 1] - logits[:, 0]

    return score
