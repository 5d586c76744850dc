"""Wishes and the stories that fulfil them, as batches with a masked loss.

Home: chapter 20, notebooks/20_prompting.ipynb. A wish is a word that the story
must hold, or the mood that it must end with. Left out: the model, and preferences.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nextword.batches import TokenBatch, pad
from nextword.losses import IGNORE
from nextword.stories import FIRST, SHORT
from nextword.town import make_story
from nextword.town_words import MOODS, PEOPLE, PLACES, THINGS
from nextword.words import CLS, END, town_tokenizer

# What can be wished, and the word that announces it.
WISHES = {"person": "Who", "thing": "What", "place": "Where", "mood": "last"}

# Signs of an instruction that stories never hold: a GPT of stories knows none.
NEW_WORDS = (CLS, "Who", "What", "Where", "?")


def facts(tokens: Sequence[str]) -> dict[str, list[str]]:
    """What a story fulfils: people, things, places, and its last mood."""
    kinds = {"person": PEOPLE, "thing": THINGS, "place": PLACES}
    words = set(tokens)
    found = {kind: sorted(words & n.keys()) for kind, n in kinds.items()}
    ending = " ".join(tokens[-3:])
    found["mood"] = [
        mood
        for mood, ways in MOODS.items()
        if any(ending.endswith(f"{english} .") for english, _ in ways)
    ]
    return found


def obeys(tokens: Sequence[str], wish: dict[str, str]) -> bool:
    """Whether a story fulfils all that is wished. It need not be legal."""
    found = facts(tokens)
    return all(word in found[kind] for kind, word in wish.items())


def draw_wish(tokens: Sequence[str], rng: random.Random) -> dict[str, str]:
    """From one to three wishes that a story happens to fulfil."""
    found = facts(tokens)
    kinds = rng.sample(sorted(WISHES), rng.randint(1, 3))
    return {kind: rng.choice(found[kind]) for kind in WISHES if kind in kinds}


def instruction(wish: dict[str, str]) -> list[str]:
    """The words of a prompt: Who ? Anna last ? happy, between CLS and END."""
    asked = [
        w for kind, word in wish.items() for w in (WISHES[kind], "?", word)
    ]
    return [CLS, *asked, END]


def answer_batch(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    everything: bool = False,
) -> TokenBatch:
    """Pairs of prompt and answer ids as ids and targets (B, T).

    The targets are the answer alone; with ``everything``, the prompt after its
    first id too. Raises ValueError for an empty prompt or answer.
    """
    if not all(len(prompt) and len(answer) for prompt, answer in rows):
        raise ValueError(
            "A prompt or an answer is empty. Begin a prompt with a sign, and "
            "end an answer with one."
        )
    asked = [0 if everything else len(prompt) - 1 for prompt, _ in rows]
    texts = [[*prompt, *answer] for prompt, answer in rows]
    targets = [
        [*[IGNORE] * n, *text[n + 1 :]]
        for n, text in zip(asked, texts, strict=True)
    ]
    return TokenBatch(pad([t[:-1] for t in texts], 0), pad(targets, IGNORE))


@dataclass(frozen=True)
class InstructionBatches:
    """Batch number ``step``: wishes with a story each that fulfils them.

    No other batch has these stories. Seeds from 100 on are right: a
    pretraining has read those of small seeds.
    """

    batch_size: int
    seed: int
    everything: bool = False  # the loss counts the instruction too

    def row(self, n: int) -> tuple[list[int], list[int]]:
        """The ids of instruction and story number n."""
        tokens = make_story(FIRST + self.seed * 10**9 + n, SHORT).tokens
        wish = draw_wish(tokens, random.Random(f"wish {self.seed} {n}"))
        ids = town_tokenizer().ids
        prompt = [ids[word] for word in instruction(wish)]
        return prompt, [ids[word] for word in (*tokens, END)]

    def __call__(self, step: int) -> TokenBatch:
        first = step * self.batch_size
        rows = [self.row(n) for n in range(first, first + self.batch_size)]
        return answer_batch(rows, self.everything)
