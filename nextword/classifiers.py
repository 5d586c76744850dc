"""Six ways to sort docstrings into classes, from a guess to a fine-tuned MiniLM.

Home: chapter 16, notebooks/16_classification.ipynb. Each one takes texts with
labels and a seed, and gives a function from texts to logits. Left out: the loops
of training, which `nextword.finetuning` has.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from nextword.blocks import TransformerConfig
from nextword.docstrings import LIBRARIES, Docstring
from nextword.finetuning import (
    Classifier,
    LabelledBatches,
    Row,
    fine_tune,
    fit_probe,
    in_parts,
    labelled_batch,
    layer_groups,
)
from nextword.masking import MaskedBatches, Masking, masked_loss
from nextword.sentences import sentence_vectors
from nextword.tokenizer import train_tokenizer
from nextword.training import TrainConfig, fit
from nextword.transformer import BERT
from nextword.weights import minilm
from nextword.wordpiece import frame
from nextword.words import PAD

Predict = Callable[[Sequence[str]], np.ndarray]  # N texts to logits (N, K)
Encode = Callable[[str], list[int]]

K = len(LIBRARIES)
BATCH = 32  # texts
LONGEST = 40  # tokens of a text
PAD_ID = 188  # that of the byte 0, which stands in no text
MASK_ID = 189  # that of the byte 1, which stands in no text either


def some_of_each(
    rows: Sequence[Docstring], number: int, seed: int = 0
) -> list[Docstring]:
    """So many texts of each class, drawn at random; all if there are fewer."""
    order = torch.randperm(
        len(rows), generator=torch.Generator().manual_seed(seed)
    )
    left, chosen = [number] * K, []
    for n in order.tolist():
        if left[rows[n].label] > 0:
            left[rows[n].label] -= 1
            chosen.append(rows[n])
    return chosen


def majority(rows: Sequence[Docstring], seed: int = 0) -> Predict:
    """Every text gets the shares of the classes; it is not even read."""
    counts = Counter(row.label for row in rows)
    logits = np.log([max(counts[k], 1e-9) / len(rows) for k in range(K)])
    return lambda texts: np.tile(logits, (len(texts), 1))


def word_regression(rows: Sequence[Docstring], seed: int = 0) -> Predict:
    """Logistic regression on the TF-IDF of single words, by scikit-learn."""
    words = TfidfVectorizer()
    X = words.fit_transform([row.text for row in rows])  # (N, V), sparse
    model = LogisticRegression(C=3.0, max_iter=1000)
    model.fit(X, [row.label for row in rows])
    return lambda texts: model.decision_function(words.transform(texts))


def schedule(texts: int, epochs: int, lr: float, seed: int) -> TrainConfig:
    """Warm-up and one cosine over the epochs; at least 60 steps."""
    steps = max(60, epochs * texts // BATCH)
    return TrainConfig(steps, lr, warmup=steps // 10, final=0.0, seed=seed)


def logits_of(model: nn.Module, encode: Encode, pad_id: int) -> Predict:
    """What a trained classifier says about texts, as (N, K)."""

    def predict(texts: Sequence[str]) -> np.ndarray:
        rows = [plain_row(encode(text)) for text in texts]
        batch = labelled_batch(rows, pad_id)
        return in_parts(model, model, batch).double().numpy()

    return predict


def plain_row(ids: list[int], label: int = 0) -> Row:
    """A row of one text; one without a token is a single id 0."""
    ids = ids or [0]
    return ids, [0] * len(ids), label


def small_body(
    texts: Sequence[str],
    seed: int,
    device: torch.device | str = "cpu",
    dropout: float = 0.3,
) -> tuple[BERT, Encode]:
    """A BERT with random numbers, and the tokens of these texts."""
    tokenizer = train_tokenizer(" ".join(texts).lower(), 2000)
    V = tokenizer.vocab_size
    sizes = TransformerConfig(
        V, LONGEST, 64, 4, 2, dropout=dropout, positions="rotary"
    )
    torch.manual_seed(seed)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text.lower())[:LONGEST]

    return BERT(sizes).to(device), encode


def small_bert(
    rows: Sequence[Docstring],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Predict:
    """An encoder of our own that begins with random numbers."""
    body, encode = small_body([row.text for row in rows], seed, device)
    return with_labels(body, encode, rows, seed)


def with_labels(
    body: BERT, encode: Encode, rows: Sequence[Docstring], seed: int
) -> Predict:
    """What a small BERT says after five epochs of labelled texts."""
    model = Classifier(body, K, mean=True).to(next(body.parameters()).device)
    labelled = [plain_row(encode(row.text), row.label) for row in rows]
    config = schedule(len(rows), 5, 2e-3, seed)
    fine_tune(model, LabelledBatches(labelled, BATCH, PAD_ID, seed), config)
    return logits_of(model, encode, PAD_ID)


@cache
def gap_filler(
    texts: tuple[str, ...],
    seed: int,
    device: torch.device | str = "cpu",
    epochs: int = 8,
) -> BERT:
    """A small BERT that learned to find hidden words; no label is read."""
    body, encode = small_body(texts, seed, device, dropout=0.0)
    rows = [plain_row(encode(text)) for text in texts]
    plain = LabelledBatches(rows, 2 * BATCH, PAD_ID, seed)
    masking = Masking(MASK_ID, PAD_ID, 256, body.config.vocab_size)
    batches = MaskedBatches(lambda step: plain(step).ids, masking, seed)
    config = schedule(len(rows) // 2, epochs, 4e-3, seed)
    fit(body, masked_loss, batches, config)
    return body


def pretrained_bert(
    rows: Sequence[Docstring],
    seed: int = 0,
    device: torch.device | str = "cpu",
    unlabelled: Sequence[str] | None = None,
) -> Predict:
    """The same encoder, after it filled gaps in the unlabelled texts."""
    texts = [row.text for row in rows] if unlabelled is None else unlabelled
    read = gap_filler(tuple(texts), seed, device)
    body, encode = small_body(texts, seed, device)
    body.load_state_dict(read.state_dict())
    return with_labels(body, encode, rows, seed)


@cache
def minilm_reader(
    device: torch.device | str = "cpu",
) -> Callable[[Sequence[str]], Tensor]:
    """A function from texts to MiniLM's vectors (N, C); it reads a text once.

    Raises ValueError, with a remedy, where MiniLM cannot be had.
    """
    model, tokenizer = minilm()
    model.to(device)
    known: dict[str, Tensor] = {}

    def read(texts: Sequence[str]) -> Tensor:
        if new := [t for t in dict.fromkeys(texts) if t not in known]:
            vectors = sentence_vectors(model, tokenizer, new, 32, LONGEST)
            known.update(zip(new, vectors.cpu(), strict=True))
        return torch.stack([known[text] for text in texts])

    return read


def minilm_probe(
    rows: Sequence[Docstring],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Predict:
    """Logistic regression on the vectors of a MiniLM that stays as it is."""
    read = minilm_reader(device)
    labels = torch.tensor([row.label for row in rows])
    probe = fit_probe(read([row.text for row in rows]), labels, K, penalty=300)
    return lambda texts: probe.logits(read(texts)).numpy()


def fine_tuned_minilm(
    rows: Sequence[Docstring],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Predict:
    """MiniLM with a new head, all its layers trained, the lower ones slower."""
    body, tokenizer = minilm()
    torch.manual_seed(seed)
    model = Classifier(body, K, mean=True).to(device)

    def encode(text: str) -> list[int]:
        return frame(tokenizer, text, None, LONGEST)[0]

    labelled = [plain_row(encode(row.text), row.label) for row in rows]
    config = schedule(len(rows), 2, 3e-4, seed)
    batches = LabelledBatches(labelled, BATCH, tokenizer.ids[PAD], seed)
    fine_tune(model, batches, config, layer_groups(model, config.lr, 0.8))
    return logits_of(model, encode, tokenizer.ids[PAD])
