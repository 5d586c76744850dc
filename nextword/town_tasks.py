"""Questions about stories of the town, each with a label that is exact.

Home: chapter 15, notebooks/15_finetuning.ipynb.
Three tasks ask for different knowledge. ``where`` needs the state of the town
at the end, and its question has words that stories never use. ``she`` asks for
the group that a name belongs to, ``walk`` for one of three words that mean the
same. Left out: batches, which `nextword.finetuning` makes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nextword.stories import FIRST, SHORT
from nextword.town import Story, make_story
from nextword.town_words import PEOPLE, PLACES
from nextword.words import CLS, SEP, town_tokenizer

PER_SEED = 10_000  # stories that the training set of one seed may use


class Example(NamedTuple):
    """A text, perhaps with a second one that asks about it, and its label."""

    first: list[str]  # words
    second: list[str]  # words; none where the task is the same for every text
    label: int  # a place in the task's labels

    def row(self) -> tuple[list[int], list[int], int]:
        """Ids, segments and label, as BERT reads them: CLS, text, SEP, ..."""
        words = [CLS, *self.first, SEP]
        segments = [0] * len(words)
        if self.second:
            words += [*self.second, SEP]
            segments += [1] * (len(words) - len(segments))
        ids = town_tokenizer().ids
        return [ids[word] for word in words], segments, self.label


@dataclass(frozen=True)
class Task:
    """A question that is asked of many stories."""

    name: str
    labels: tuple[str, ...]
    ask: Callable[[Story, random.Random], tuple[str, str]]  # question, answer

    def example(self, number: int) -> Example:
        """What is asked about story ``number``; always the same."""
        story = make_story(number, SHORT)
        # Not the story's own seed: what is asked must not depend on its draws.
        rng = random.Random(f"{self.name} {number}")
        question, answer = self.ask(story, rng)
        label = self.labels.index(answer)
        return Example(story.tokens, question.split(), label)


def first_is_she(story: Story, rng: random.Random) -> tuple[str, str]:
    """Is the first person of the story a she or a he?"""
    return "", PEOPLE[story.scene.people[0]].pronoun


def someone_walks(story: Story, rng: random.Random) -> tuple[str, str]:
    """Is the word "walked" in the story? "Went" and "ran" mean the same."""
    return "", "yes" if "walked" in story.tokens else "no"


def where_is_it(story: Story, rng: random.Random) -> tuple[str, str]:
    """Where is one of the things at the end?"""
    thing = rng.choice(story.scene.things)
    return f"Where is the {thing} ?", story.scene.at[thing]


TASKS = {
    task.name: task
    for task in (
        Task("she", ("she", "he"), first_is_she),
        Task("walk", ("no", "yes"), someone_walks),
        Task("where", tuple(PLACES), where_is_it),
    )
}


def find_task(name: str) -> Task:
    """The task of this name; ValueError for a name that no task has."""
    if name not in TASKS:
        raise ValueError(
            f"There is no task {name!r}. Choose one of {', '.join(TASKS)}."
        )
    return TASKS[name]


def training_examples(name: str, number: int, seed: int = 0) -> list[Example]:
    """The first ``number`` labelled stories of one seed.

    No model was pretrained on them, no other seed has them, and a smaller
    number gives the beginning of a larger one. Raises ValueError for more than
    PER_SEED, and for a seed whose stories a pretraining may have read.
    """
    first = FIRST // 2 + seed * PER_SEED
    if not 0 <= number <= PER_SEED or not 0 <= seed < FIRST // 2 // PER_SEED:
        raise ValueError(
            f"{number} examples of seed {seed} cannot be made. A seed has up "
            f"to {PER_SEED:,}, and seeds go from 0 to "
            f"{FIRST // 2 // PER_SEED - 1}."
        )
    task = find_task(name)
    return [task.example(n) for n in range(first, first + number)]


def held_out_examples(name: str, number: int) -> list[Example]:
    """Stories 0 to number - 1 with their labels: nothing is trained on them."""
    return [find_task(name).example(n) for n in range(number)]
