"""Translation: pairs of texts, a model of them, and what is held out from it.

Home: chapter 18, notebooks/18_translation.ipynb. A text is a str; a tokenizer
makes ids of it. The town gives pairs without end, and a file can give them too.
Left out: scores, which are in `nextword.bleu`, and word alignment, which is in
`nextword.alignment`.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nextword.batches import PairBatch, PairBatches, pair_batch
from nextword.blocks import TransformerConfig
from nextword.generation import evaluating, translate
from nextword.muon import Muon
from nextword.search import Hypothesis, beam_search
from nextword.stories import FIRST, SHORT
from nextword.town import Event, TownConfig, make_story
from nextword.town_chinese import chinese
from nextword.town_words import PEOPLE, THINGS
from nextword.training import History, TrainConfig, fit, pair_loss
from nextword.transformer import Transformer, initialise
from nextword.words import WordTokenizer

Pair = tuple[str, str]  # a source text and its translation


@dataclass(frozen=True)
class Translator:
    """A model, and the tokenizer of both its languages.

    The model has three ids more than the tokenizer: padding, start and end.
    """

    model: Transformer
    tokenizer: Any

    @property
    def signs(self) -> dict[str, int]:
        """The three ids, by the names that batches use."""
        V = self.tokenizer.vocab_size
        return {"pad_id": V, "start_id": V + 1, "end_id": V + 2}

    def encode(self, pairs: Iterable[Pair]) -> list[tuple]:
        ids = self.tokenizer.encode
        return [(ids(source), ids(target)) for source, target in pairs]

    def decode(self, ids: Sequence[int]) -> str:
        V = self.tokenizer.vocab_size
        return self.tokenizer.decode(id for id in ids if id < V)

    def batch(self, pairs: Sequence[Pair]) -> PairBatch:
        """Pairs as one batch on the model's device."""
        device = next(self.model.parameters()).device
        batch = pair_batch(self.encode(pairs), **self.signs)
        return PairBatch(*(part.to(device) for part in batch))


def word_tokenizer(pairs: Iterable[Pair]) -> WordTokenizer:
    """One id for each word of both sides, which have spaces between words."""
    words = {word for pair in pairs for text in pair for word in text.split()}
    return WordTokenizer(sorted(words))


def new_translator(
    tokenizer: Any,
    seed: int = 0,
    device: torch.device | str = "cpu",
    context_length: int = 256,
    **sizes: Any,
) -> Translator:
    """An untrained model for this tokenizer; small, or of these ``sizes``."""
    torch.manual_seed(seed)
    small = {"d_model": 64, "n_heads": 4, "n_layers": 2, "positions": "rotary"}
    config = TransformerConfig(
        tokenizer.vocab_size + 3, context_length, **small | sizes
    )
    model = Transformer(config)
    initialise(model, 0.5 / math.sqrt(config.d_model))
    return Translator(model.to(device), tokenizer)


def train_translator(
    translator: Translator,
    pairs: Sequence[Pair],
    steps: int,
    lr: float = 1e-2,
    batch_size: int = 32,
    seed: int = 0,
) -> History:
    """Train on pairs with Muon; the history of the run."""
    batches = PairBatches(
        translator.encode(pairs), batch_size, seed=seed, **translator.signs
    )
    config = TrainConfig(steps, lr, warmup=steps // 20, final=0.02, seed=seed)
    model = translator.model
    return fit(model, pair_loss, batches, config, None, Muon(model, lr))


def longest_answer(translator: Translator, source: Sequence[int]) -> int:
    """How many tokens the translation of a source may have."""
    room = translator.model.config.context_length - 1
    return min(room, 2 * len(source) + 10)


def translations(
    translator: Translator, texts: Sequence[str], rows: int = 64
) -> list[str]:
    """What the model says for each text: greedy search, in batches."""
    start, end = (translator.signs[name] for name in ("start_id", "end_id"))
    said = []
    for first in range(0, len(texts), rows):
        part = texts[first : first + rows]
        sources = [translator.tokenizer.encode(text) for text in part]
        longest = [longest_answer(translator, source) for source in sources]
        ids = translate(translator.model, sources, start, end, max(longest))
        said += [row[:n] for row, n in zip(ids, longest, strict=True)]
    return [translator.decode(ids) for ids in said]


def beam_translations(
    translator: Translator, text: str, width: int = 4, alpha: float = 0.6
) -> list[tuple[str, Hypothesis]]:
    """The ``width`` best translations that beam search finds, best first."""
    model, signs = translator.model, translator.signs
    source = translator.tokenizer.encode(text)
    with evaluating(model) as device:
        memory = model.encode(torch.tensor([source], device=device))
        start = torch.tensor([[signs["start_id"]]], device=device)

        def next_logits(ids):
            return model.decode(ids, memory.expand(len(ids), -1, -1))[:, -1]

        longest = longest_answer(translator, source)
        found = beam_search(
            next_logits, start, width, longest, signs["end_id"], alpha
        )
    return [(translator.decode(text.ids), text) for text in found]


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its full stop."""
    parts = text.replace(" 。", " 。\n").replace(" .", " .\n").split("\n")
    return [part.strip() for part in parts if part.strip()]


def sentence_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs of sentences; ValueError unless both sides have equally many."""
    found = []
    for source, target in pairs:
        parts = sentences(source), sentences(target)
        if len(parts[0]) != len(parts[1]):
            raise ValueError(
                f"{len(parts[0])} sentences face {len(parts[1])}: {source!r}. "
                "Align them first, or keep the whole text as one pair."
            )
        found += zip(*parts, strict=True)
    return found


def by_sentence(
    translate: Callable[[list[str]], list[str]], texts: Sequence[str]
) -> list[str]:
    """Cut texts into sentences, translate each different one, and join them."""
    every = sorted({part for text in texts for part in sentences(text)})
    known = dict(zip(every, translate(every), strict=True))
    return [" ".join(known[part] for part in sentences(text)) for text in texts]


def right_sentences(
    predictions: Sequence[str], references: Sequence[str]
) -> float:
    """The share of the references' sentences that are right, at their place."""
    right = number = 0
    for prediction, reference in zip(predictions, references, strict=True):
        said, wanted = sentences(prediction), sentences(reference)
        number += len(wanted)
        right += sum(a == b for a, b in zip(said, wanted, strict=False))
    return right / number


def without_spaces(texts: Iterable[str]) -> list[str]:
    """Chinese as it is written, for BLEU and chrF."""
    return ["".join(text.split()) for text in texts]


def read_pairs(path: str | Path) -> list[Pair]:
    """Pairs from a file of lines: a text, a tab, its translation.

    What follows a second tab is left out. Raises ValueError for a line without
    a tab, or with an empty side.
    """
    pairs = []
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        sides = tuple(side.strip() for side in line.split("\t")[:2])
        if len(sides) < 2 or not all(sides):
            raise ValueError(
                f"Line {number} of {path} is no pair: {line[:60]!r}. Write a "
                "text, a tab and its translation on each line."
            )
        pairs.append(sides)
    return pairs


LONGER = TownConfig(people=2, things=2, min_events=8, max_events=12)
USING = ("took", "picked up", "put down", "gave", "wanted")
UNUSED = ("lamp", "rope")  # in training they lie about, and nobody uses them
SPLITS = ("training", "new", "triple", "pair", "role", "longer")


def novelty(event: Event) -> str:
    """Which combination of an event is held out: the name of a split, or none.

    ``role``: someone uses a thing of UNUSED. ``pair``: a verb with a quarter of
    the things. ``triple``: of the rest, a fifth of person, verb and thing.
    """
    if event.action not in USING:
        return ""
    thing, verb = list(THINGS).index(event.thing), USING.index(event.action)
    if event.thing in UNUSED:
        return "role"
    if (thing + verb) % 4 == 0:
        return "pair"
    who = list(PEOPLE).index(event.who)
    return "triple" if event.named and (who + verb + thing) % 5 == 0 else ""


def town_pairs(split: str, number: int, seed: int = 0) -> list[Pair]:
    """Stories of one split, in English and Chinese; always the same ones.

    Those of training, of any seed, have no held-out combination; nor have
    ``new`` and ``longer``. Each story of another split has one or more of its
    own sort, and of no other. Raises ValueError for a name that is no split.
    """
    if split not in SPLITS:
        raise ValueError(
            f"There is no split {split!r}. Choose one of {', '.join(SPLITS)}."
        )
    wanted = {split} - {"training", "new", "longer"}
    config = LONGER if split == "longer" else SHORT
    first = FIRST + seed * 10**9 if split == "training" else 0
    pairs = []
    while len(pairs) < number:
        story = make_story(first, config)
        if {novelty(event) for event in story.events} - {""} == wanted:
            pairs.append((" ".join(story.tokens), " ".join(chinese(story))))
        first += 1
    return pairs


RELATIONS = {
    "friend": "朋友",
    "teacher": "老师",
    "neighbour": "邻居",
    "doctor": "医生",
}


def nested_pair(rng: random.Random, depth: int) -> Pair:
    """Anna has the cup of the friend of Ben: with so many friends in between.

    Chinese begins at the other end: 安娜 有 本 的 朋友 的 杯子.
    """
    who, owner = rng.sample(list(PEOPLE), 2)
    thing = rng.choice(list(THINGS))
    chain = [rng.choice(list(RELATIONS)) for _ in range(depth)]
    english = " of ".join(f"the {word}" for word in (thing, *chain))
    words = [RELATIONS[word] for word in reversed(chain)]
    words = [PEOPLE[owner].chinese, *words, THINGS[thing].chinese]
    return (
        f"{who} has {english} of {owner} .",
        f"{PEOPLE[who].chinese} 有 {' 的 '.join(words)} 。",
    )


def nested_pairs(
    depths: Sequence[int], number: int, seed: int = 0
) -> list[Pair]:
    """So many pairs, their depths drawn from ``depths``."""
    rng = random.Random(seed)
    return [nested_pair(rng, rng.choice(depths)) for _ in range(number)]
