"""Train translators of the town with five seeds, and record what they reach.

    python -m benchmarks.translation

It writes ``benchmarks/results/translation.json`` after each part, and the copy
in ``nextword/data`` that chapter 18 draws. Stop it at any time: the same command
goes on with the parts that are missing. All of them take about fifteen minutes
of one thread.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from benchmarks import record
from nextword.alignment import (
    Memory,
    best_links,
    model1,
    right_links,
    source_attention,
    town_links,
    word_by_word,
)
from nextword.bleu import bleu, chrf
from nextword.metrics import exact_match
from nextword.translation import (
    SPLITS,
    Pair,
    Translator,
    beam_translations,
    by_sentence,
    nested_pairs,
    new_translator,
    right_sentences,
    sentence_pairs,
    town_pairs,
    train_translator,
    translations,
    without_spaces,
    word_tokenizer,
)

COMMAND = "python -m benchmarks.translation"
SEEDS = range(5)
STORIES, TEXTS = 3_000, 200  # for training, and in each test split
WHOLE = {"steps": 400, "batch_size": 32}  # stories
CUT = {"steps": 200, "batch_size": 128}  # sentences
NESTED = {"steps": 300, "batch_size": 64}
SHORT_RUN = {"steps": 150, "batch_size": 32}  # for beam search
BEAMS = ((1, 0.0), (4, 0.0), (4, 0.6), (4, 1.0), (8, 0.6))  # width, alpha
FEW = 60  # stories with a translation, for back-translation
NOTES = [
    "A seed draws the training pairs, the start values and the order of the "
    "batches. The test texts are the same for every seed.",
    "exact: the share of texts without a wrong word; sentences: of sentences "
    "that are right at their place. BLEU (tokenizer zh) and chrF from 0 to 100.",
    "seconds: of training, or of learning the table; 0 for what another row "
    "has trained. They were measured on a machine that did other work too.",
    "alignment: the share of names, pronouns, places and things that are "
    "linked to their source word, on the texts of the split `new`.",
]
Answers = Callable[[Sequence[str]], list[str]]


def scores(said: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Every measure of one test set."""
    plain, wanted = without_spaces(said), without_spaces(references)
    return {
        "exact": round(exact_match(list(said), list(references)), 4),
        "sentences": round(right_sentences(said, references), 4),
        "bleu": round(bleu(plain, wanted, "zh").value, 2),
        "chrf": round(chrf(plain, wanted).value, 2),
    }


def on_splits(method: str, answers: Answers, seconds: float) -> list[dict]:
    """One row for each split of the town's stories."""
    rows = []
    for split in SPLITS[1:]:
        sources, references = zip(*town_pairs(split, TEXTS), strict=True)
        row = {"task": "town", "method": method, "split": split}
        row |= {"texts": TEXTS, **scores(answers(sources), references)}
        rows.append({**row, "seconds": round(seconds, 1)})
    return rows


def trained(
    pairs: Sequence[Pair], seed: int, every: Sequence[Pair], **plan: int
) -> tuple[Translator, float]:
    """A model of these pairs, with the words of ``every``; its seconds."""
    translator = new_translator(word_tokenizer(every), seed)
    start = time.perf_counter()
    train_translator(translator, pairs, seed=seed, **plan)
    return translator, time.perf_counter() - start


def memory(pairs: Sequence[Pair]) -> tuple[Memory, float]:
    """The classical opponent, and the seconds that it needs."""
    start = time.perf_counter()
    known = Memory(pairs, model1(pairs, rounds=5))
    return known, time.perf_counter() - start


def by_memory(known: Memory) -> Answers:
    return lambda texts: [known.translate(text) for text in texts]


def classical(seed: int) -> list[dict]:
    """The dictionary and the memory, sentence by sentence."""
    pairs = sentence_pairs(town_pairs("training", STORIES, seed))
    known, seconds = memory(pairs)

    def words(texts):
        return [word_by_word(known.words, text) for text in texts]

    def repaired(texts):
        return by_sentence(by_memory(known), texts)

    rows = on_splits("dictionary", words, 0.0)
    rows += on_splits("memory", repaired, seconds)
    tests = sentence_pairs(town_pairs("new", TEXTS))
    for name, diagonal in (("Model 1", 0.0), ("Model 1, diagonal", 4.0)):

        def links(source, target, diagonal=diagonal):
            words = source.split(), target.split()
            return best_links(known.table, *words, diagonal)

        rows.append(aligned(name, "sentences", links, tests))
    return rows


def in_stories(seed: int) -> list[dict]:
    """The links of Model 1 in whole stories; its table is that of sentences."""
    known, _ = memory(sentence_pairs(town_pairs("training", STORIES, seed)))
    tests = town_pairs("new", TEXTS)
    rows = []
    for name, diagonal in (("Model 1", 0.0), ("Model 1, diagonal", 4.0)):

        def links(source, target, diagonal=diagonal):
            words = source.split(), target.split()
            return best_links(known.table, *words, diagonal)

        rows.append(aligned(name, "stories", links, tests))
    return rows


def aligned(method: str, unit: str, links: Callable, pairs: list) -> dict:
    """The row of one way to link words."""
    right = number = 0
    for source, target in pairs:
        known = town_links(source, target)
        number += len(known)
        right += right_links(links(source, target), known) * len(known)
    row = {"task": "alignment", "method": method, "split": "new"}
    return {
        **row,
        "unit": unit,
        "links": number,
        "right": round(right / number, 4),
    }


def attention_rows(translator: Translator, unit: str, pairs: list) -> list:
    """One row for each layer, the mean of its heads."""

    def links(layer):
        def of(source, target):
            A = source_attention(translator, source, target)[layer].mean(0)
            return A.argmax(-1).tolist()

        return of

    layers = range(translator.model.config.n_layers)
    return [aligned(f"layer {n + 1}", unit, links(n), pairs) for n in layers]


def whole(seed: int) -> list[dict]:
    """A Transformer that reads whole stories."""
    pairs = town_pairs("training", STORIES, seed)
    translator, seconds = trained(pairs, seed, pairs, **WHOLE)

    def answers(texts):
        return translations(translator, texts)

    rows = on_splits("whole stories", answers, seconds)
    tests = town_pairs("new", TEXTS)
    return rows + attention_rows(translator, "stories", tests)


def cut(seed: int) -> list[dict]:
    """A Transformer that reads one sentence at a time."""
    pairs = sentence_pairs(town_pairs("training", STORIES, seed))
    translator, seconds = trained(pairs, seed, pairs, **CUT)

    def answers(texts):
        return by_sentence(lambda parts: translations(translator, parts), texts)

    rows = on_splits("sentences", answers, seconds)
    tests = sentence_pairs(town_pairs("new", TEXTS))
    return rows + attention_rows(translator, "sentences", tests)


def nested(seed: int) -> list[dict]:
    """Depths 1 to 3 in training, and up to 6 in the test."""
    pairs = nested_pairs((1, 2, 3), 4_000, seed)
    translator, seconds = trained(pairs, seed, pairs, **NESTED)
    known, memory_seconds = memory(pairs)
    rows = []
    for depth in range(1, 7):
        seen = set(pairs)
        tests = nested_pairs((depth,), 2 * TEXTS, seed=1_000 + depth)
        tests = [pair for pair in tests if pair not in seen][:TEXTS]
        sources, references = zip(*tests, strict=True)
        for method, said, spent in (
            ("memory", by_memory(known)(sources), memory_seconds),
            ("sentences", translations(translator, sources), seconds),
        ):
            row = {"task": "nested", "method": method, "split": str(depth)}
            row |= {"texts": len(tests), **scores(said, references)}
            rows.append({**row, "seconds": round(spent, 1)})
    return rows


def beam(seed: int, texts: int = 60) -> list[dict]:
    """Greedy against beams, for a model that is not yet sure of its words."""
    pairs = town_pairs("training", STORIES, seed)
    translator, seconds = trained(pairs, seed, pairs, **SHORT_RUN)
    sources, references = zip(*town_pairs("new", texts), strict=True)
    wanted = sum(len(text.split()) for text in references)
    rows = []
    for width, alpha in BEAMS:
        best = [
            beam_translations(translator, text, width, alpha)[0]
            for text in sources
        ]
        said = [text for text, _ in best]
        row = {"task": "beam", "method": f"width {width}, alpha {alpha}"}
        row |= {"width": width, "alpha": alpha, "split": "new", "texts": texts}
        row |= scores(said, references)
        row["log_p"] = round(sum(h.log_p for _, h in best) / texts, 3)
        length = sum(len(text.split()) for text in said)
        row["length"] = round(length / wanted, 4)
        rows.append({**row, "seconds": round(seconds, 1)})
    return rows


def back_translation(seed: int) -> list[dict]:
    """Few pairs; the same with Chinese texts translated back; all pairs."""
    stories = town_pairs("training", STORIES, seed)
    every = sentence_pairs(stories)
    real = sentence_pairs(stories[:FEW])
    others = sorted({target for _, target in every[len(real) :]})
    turned = [(target, source) for source, target in real]
    back, _ = trained(turned, seed, every, **CUT)
    made = list(zip(translations(back, others), others, strict=True))
    often = len(made) // len(real)  # so that half of what is read is real
    rows = []
    sources, references = zip(*town_pairs("new", TEXTS), strict=True)
    known, spent = memory(real)
    said = by_sentence(by_memory(known), sources)
    results = [("memory, few pairs", said, spent)]
    for method, pairs in (
        ("few pairs", real),
        ("few pairs and translated back", real * often + made),
        ("all pairs", every),
    ):
        model, seconds = trained(pairs, seed, every, **CUT)
        said = by_sentence(lambda x, m=model: translations(m, x), sources)
        results.append((method, said, seconds))
    for method, said, seconds in results:
        row = {"task": "back-translation", "method": method, "split": "new"}
        row |= {"texts": TEXTS, **scores(said, references)}
        rows.append({**row, "seconds": round(seconds, 1)})
    return rows


PARTS = {
    "classical": classical,
    "whole": whole,
    "cut": cut,
    "nested": nested,
    "beam": beam,
    "back": back_translation,
    "links": in_stories,
}


class Run(NamedTuple):
    """One part of the experiment, with one seed."""

    part: str
    seed: int


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "translation",
        [Run(part, seed) for seed in SEEDS for part in PARTS],
        lambda run: PARTS[run.part](run.seed),
        COMMAND,
        packages=["torch", "sacrebleu"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
