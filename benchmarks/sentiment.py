"""Six ways to learn from labelled reviews, and what each makes of few labels.

    python -m benchmarks.sentiment

Each way meets five draws of 8 to 512 training reviews. It is then asked about the
plain test reviews and the contrast pairs. Last, the reasons of five fine-tuned
models are tested, by taking words away. It writes
``benchmarks/results/sentiment.json`` after each run, and the copy in
``nextword/data`` that chapter 17 draws. Stop it at any time: the same command
goes on with the runs that are missing. All of them took about twenty minutes of
one thread on a busy machine.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import record
from nextword import review_models, sentiment
from nextword.attribution import integrated_gradients, reading
from nextword.corpora import python_manual
from nextword.finetuning import Classifier
from nextword.reviews import contrast_pairs, plain_reviews
from nextword.sentences import sentence_vectors
from nextword.sentiment import Scorer
from nextword.transformer import BERT
from nextword.weights import minilm
from nextword.wordpiece import WordPieceTokenizer, frame
from nextword.words import MASK, PAD

COMMAND = "python -m benchmarks.sentiment"
SOME = (8, 32, 128, 512)
LABELS = (8, 16, 32, 64, 128, 256, 512)  # where an answer is quick
QUICK = ("naive Bayes", "word pairs", "MiniLM probe")
REASONS = "MiniLM reasons"  # a method whose words are taken away
SEEDS = range(5)
GAP_STEPS = 600
NOTES = [
    "labels: how many training reviews were read with their label, half of "
    "each; seed: of the draw, and of the training. All methods of one seed "
    "read the same reviews.",
    "plain: accuracy on the 240 plain test reviews. contrast: on the 660 texts "
    "of the contrast pairs. pairs: share of the 330 pairs with both texts "
    "right. ordered: share of the pairs whose positive text has the higher "
    "score; equal scores count one half. kinds: accuracy for each kind of "
    "pairs.",
    "The settings of the encoders and of the probe were chosen with the seeds "
    "100 to 102, on training reviews that were not drawn there; k = 1 and C = "
    "30 are usual values. No test review and no pair was read for that.",
    "gap filler: the small BERT first found hidden words in Python's manual and "
    "in the texts of all training reviews, without labels, for "
    f"{GAP_STEPS:,} steps of 32 texts, once for all seeds. MiniLM: "
    "all-MiniLM-L6-v2.",
    "MiniLM reasons: MiniLM tuned on the same draw. top and random: how far its "
    "score falls without the word with the largest share, and without a random "
    "one, mean over 40 test reviews. same_top: in how many of 12 reviews the "
    "baselines [MASK] and [PAD] agree on the top word. twice: the share of the "
    "pairs whose texts get the same label. not_bad and not_good: the share of "
    "'not' in the texts 'Not bad at all!' and 'Not good at all!'.",
]

TRAIN, TEST, PAIRS = (
    plain_reviews("train"),
    plain_reviews("test"),
    contrast_pairs(),
)


class Run(NamedTuple):
    """One method, one draw, so many labels of it."""

    method: str
    seed: int
    labels: int


class Drawn(NamedTuple):
    """What a method learns from."""

    texts: list[str]
    labels: list[int]
    seed: int


def drawn(number: int, seed: int) -> Drawn:
    """So many training reviews, half of each label."""
    places = sentiment.draw([r.label for r in TRAIN], number, seed)
    chosen = [TRAIN[n] for n in places]
    return Drawn([r.text for r in chosen], [r.label for r in chosen], seed)


@cache
def own_words() -> tuple[WordPieceTokenizer, list[str]]:
    """The vocabulary of the small BERT, and the texts that it is made of."""
    texts = [r.text for r in TRAIN] + python_manual()
    return review_models.small_vocabulary(texts), texts


@cache
def gap_filler() -> BERT:
    """A small BERT that has read texts without labels."""
    tokenizer, texts = own_words()
    body = review_models.small_bert(tokenizer, seed=0)
    review_models.fill_gaps(body, tokenizer, texts, GAP_STEPS, seed=0)
    return body


def small(body: BERT, data: Drawn) -> Scorer:
    """A small BERT, new or not, trained on labelled reviews."""
    config = review_models.small_schedule(len(data.texts), data.seed)
    tokenizer = own_words()[0]
    model = review_models.fine_tuned(body, tokenizer, *data[:2], config)
    return review_models.scorer(model, tokenizer)


@cache
def pretrained() -> tuple[BERT, WordPieceTokenizer]:
    """MiniLM, read once. Raises ValueError where it cannot be had."""
    return minilm()


@cache
def minilm_vectors() -> dict[str, Tensor]:
    """MiniLM's vector of each text; its weights stay as they are."""
    texts = [r.text for r in (*TRAIN, *TEST)]
    texts += [r.text for p in PAIRS for r in (p.positive, p.negative)]
    vectors = sentence_vectors(*pretrained(), texts, 32)
    return dict(zip(texts, vectors, strict=True))


def minilm_probe(data: Drawn) -> Scorer:
    """Logistic regression on the vectors of MiniLM."""
    known = minilm_vectors()

    def stack(texts):
        return torch.stack([known[text] for text in texts])  # (N, C)

    score = review_models.probe(stack(data.texts), data.labels)
    return lambda texts: score(stack(texts))


def minilm_model(data: Drawn) -> Classifier:
    """MiniLM with all its layers trained."""
    body, tokenizer = pretrained()
    config = review_models.minilm_schedule(len(data.texts), data.seed)
    return review_models.fine_tuned(
        body, tokenizer, *data[:2], config, decay=0.9
    )


def minilm_tuned(data: Drawn) -> Scorer:
    """Its scores."""
    return review_models.scorer(minilm_model(data), pretrained()[1])


def word_shares(
    model: Classifier, text: str, steps: int, empty: str = MASK
) -> Tensor:
    """Each token's share of the score (T,), by integrated gradients."""
    tokenizer = pretrained()[1]
    ids, segments = (torch.tensor([x]) for x in frame(tokenizer, text))
    table = model.body.embedding.tokens
    other = ids.clone()
    other[:, 1:-1] = tokenizer.ids[empty]
    x, baseline = table.weight[ids[0]], table.weight[other[0]]  # (T, C)

    def f(vectors: Tensor) -> Tensor:
        batch = ids.expand(len(vectors), -1)
        real = torch.ones_like(batch, dtype=torch.bool)
        with reading(table, vectors):
            logits = model(batch, real, segments.expand_as(batch))
        return logits[:, 1] - logits[:, 0]

    model.eval()
    return integrated_gradients(f, x, baseline, steps).sum(-1)[1:-1]


def moves(
    model: Classifier, score: Scorer, text: str, generator: torch.Generator
) -> list[float]:
    """How far the score falls without the top word, and a random one."""
    tokenizer = pretrained()[1]
    ids, whole = tokenizer.encode(text), score([text])[0]
    pieces = [tokenizer.pieces[id] for id in ids]
    signed = word_shares(model, text, 8) * whole.sign()
    drawn_at = torch.randint(len(ids), (1,), generator=generator)
    fall = []
    for place in (int(signed.argmax()), int(drawn_at)):
        kept = [*pieces[:place], MASK, *pieces[place + 1 :]]
        without = " ".join(kept).replace(" ##", "")
        fall.append(float((whole - score([without])[0]) * whole.sign()))
    return fall


def reasons(data: Drawn) -> dict[str, float]:
    """Whether the shares of words are the reasons of a fine-tuned MiniLM."""
    model = minilm_model(data)
    score = review_models.scorer(model, pretrained()[1])
    generator = torch.Generator().manual_seed(data.seed)
    falls = [moves(model, score, r.text, generator) for r in TEST[::6]]
    top, other = torch.tensor(falls).mean(0).tolist()
    tops = [
        [
            int(word_shares(model, r.text, 16, e).abs().argmax())
            for r in TEST[::20]
        ]
        for e in (MASK, PAD)
    ]
    good = score([p.positive.text for p in PAIRS])  # (P,)
    bad = score([p.negative.text for p in PAIRS])  # (P,)
    nots = [
        float(word_shares(model, f"Not {word} at all!", 32)[0])
        for word in ("bad", "good")
    ]
    return {
        "top": round(top, 4),
        "random": round(other, 4),
        "same_top": sum(a == b for a, b in zip(*tops, strict=True)),
        "twice": round(float((good * bad > 0).double().mean()), 4),
        "not_bad": round(nots[0], 4),
        "not_good": round(nots[1], 4),
    }


METHODS: dict[str, Callable[[Drawn], Scorer]] = {
    "naive Bayes": lambda data: sentiment.naive_bayes(*data[:2]),
    "word pairs": lambda data: sentiment.word_pairs(*data[:2]),
    "MiniLM probe": minilm_probe,
    "MiniLM tuned": minilm_tuned,
    "small BERT": lambda data: small(
        review_models.small_bert(own_words()[0], data.seed), data
    ),
    "gap filler": lambda data: small(gap_filler(), data),
}


def judge(score: Scorer) -> dict[str, Any]:
    """What a method says about all test texts."""
    plain = score([r.text for r in TEST])
    good = score([p.positive.text for p in PAIRS])  # (P,)
    bad = score([p.negative.text for p in PAIRS])  # (P,)
    ones = [1] * len(PAIRS)
    both = (
        sentiment.sign_accuracy(good, ones),
        sentiment.sign_accuracy(-bad, ones),
    )
    kinds = {}
    for kind in dict.fromkeys(p.kind for p in PAIRS):
        at = torch.tensor([p.kind == kind for p in PAIRS])
        scores = torch.cat([good[at], -bad[at]])
        right = sentiment.sign_accuracy(scores, [1] * len(scores))
        kinds[kind] = round(right, 4)
    return {
        "plain": round(
            sentiment.sign_accuracy(plain, [r.label for r in TEST]), 4
        ),
        "contrast": round(sum(both) / 2, 4),
        "pairs": round(sentiment.pair_accuracy(good, bad), 4),
        "ordered": round(sentiment.sign_accuracy(good - bad, ones), 4),
        "kinds": kinds,
    }


def grid() -> list[Run]:
    """Every run; the number of labels grows last."""
    return [
        Run(method, seed, number)
        for method in METHODS
        for seed in SEEDS
        for number in (LABELS if method in QUICK else SOME)
    ] + [Run(REASONS, seed, 128) for seed in SEEDS]


def measure(run: Run) -> list[dict[str, Any]]:
    """The row of one run."""
    if run.method == REASONS:
        return [reasons(drawn(run.labels, run.seed))]
    return [judge(METHODS[run.method](drawn(run.labels, run.seed)))]


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "sentiment",
        grid(),
        measure,
        COMMAND,
        packages=["torch", "scikit-learn"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
