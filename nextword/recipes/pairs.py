"""Recipes that train an encoder-decoder: Multi30k and Tatoeba."""

import math
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer

from nextword.bleu import bleu, chrf
from nextword.public_forms import hold_out, read_captions, same_words
from nextword.recipes.base import FOR_BPE, Outcome, Request, finished, score
from nextword.tokenizer import train_tokenizer
from nextword.translation import (
    Pair,
    new_translator,
    read_pairs,
    train_translator,
    translations,
)


def nearest(train: Sequence[Pair], sources: Sequence[str]) -> list[str]:
    """The translation of the training source with the most alike words."""
    vectors = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
    known = vectors.fit_transform([source for source, _ in train])
    alike = vectors.transform(sources) @ known.T
    return [train[int(row.argmax())][1] for row in alike]


def translator(
    request: Request, train: list[Pair], test: list[Pair], cut: str
) -> tuple[list[dict], list[str]]:
    """An encoder-decoder on BPE of both languages, beside `nearest`."""
    size = request.size
    text = "\n".join(side for pair in train for side in pair)[:FOR_BPE]
    tokenizer = train_tokenizer(text, size.vocab_size)
    model = new_translator(
        tokenizer,
        request.seed,
        request.device,
        d_model=size.d_model,
        n_heads=size.n_heads,
        n_layers=size.n_layers,
    )
    short = [
        pair
        for pair in train
        if max(len(tokenizer.encode(t)) for t in pair) <= size.context_length
    ]
    history = train_translator(
        model, short, size.steps, size.lr, size.batch_size, request.seed
    )
    finished(history.losses, size.steps)
    sources, references = (list(side) for side in zip(*test, strict=True))
    said = {
        "nearest training sentence": nearest(train, sources),
        "Transformer": translations(model, sources),
    }
    scores = []
    for name, texts in said.items():
        for measure, (value, signature) in {
            "BLEU": bleu(texts, references, cut),
            "chrF": chrf(texts, references),
        }.items():
            scores.append(score(name, measure, value, signature))
    examples = [
        f"{source}  →  {answer}  (reference: {reference})"
        for (source, reference), answer in zip(
            test[:3], said["Transformer"], strict=False
        )
    ]
    return scores, examples


def multi30k(request: Request) -> Outcome:
    """Captions of photographs, from English into French or German."""
    paths, size = request.paths, request.size
    train = read_captions(paths["train.en"], paths["train"])[: size.train]
    test = read_captions(paths["test.en"], paths["test"])[: size.test]
    scores, examples = translator(request, train, test, "13a")
    data = f"English to {request.language}, tested on test_2016_flickr"
    return Outcome(data, len(train), len(test), scores, examples)


def tatoeba(request: Request) -> Outcome:
    """Everyday sentences, from English into Chinese."""
    pairs, size = read_pairs(request.paths["pairs"]), request.size
    different = len({same_words(source) for source, _ in pairs})
    train, test = hold_out(pairs, min(size.test, math.ceil(different / 10)))
    train = train[: size.train]
    scores, examples = translator(request, train, test, "zh")
    data = "English to Chinese, tested on sentences held out by their words"
    return Outcome(data, len(train), len(test), scores, examples)
