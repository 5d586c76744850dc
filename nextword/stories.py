"""Stories of the town as batches of ids, without end.

Home: chapter 12, notebooks/12_gpt.ipynb. A row is one story, so every token has
all the words before it in view, and the town's exact probabilities apply. Left
out: the town itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nextword.batches import TokenBatch, pad
from nextword.losses import IGNORE
from nextword.town import TownConfig, make_story
from nextword.town_score import DEFAULT, score
from nextword.words import END, town_tokenizer

SHORT = TownConfig(people=2, things=2, min_events=3, max_events=6)
FIRST = 1_000_000  # seeds below this one are never trained on


def story_batch(stories: Sequence[Sequence[str]]) -> TokenBatch:
    """Stories as ids (B, T) after END, and as targets (B, T) before END.

    Short ones are padded on the right, where no earlier token looks. No target
    stands there.
    """
    ids = town_tokenizer().ids
    end, rows = ids[END], [[ids[token] for token in s] for s in stories]
    return TokenBatch(
        pad([[end, *row] for row in rows], end),  # (B, T)
        pad([[*row, end] for row in rows], IGNORE),  # (B, T)
    )


@dataclass(frozen=True)
class StoryBatches:
    """Batch number ``step``: stories that no other batch has.

    Story n of seed s is the town's story number FIRST + s 10^9 + n. With
    ``number``, only so many come, again and again. ValueError for sizes < 1.
    """

    batch_size: int
    config: TownConfig = DEFAULT
    seed: int = 0
    number: int | None = None

    def __post_init__(self):
        if self.batch_size < 1 or (self.number is not None and self.number < 1):
            raise ValueError("Choose a batch_size and a number of 1 or more.")

    def story(self, n: int) -> list[str]:
        """The tokens of story n."""
        n = n if self.number is None else n % self.number
        return make_story(FIRST + self.seed * 10**9 + n, self.config).tokens

    def stories(self, step: int) -> list[list[str]]:
        """The tokens of the stories of one batch."""
        first = step * self.batch_size
        return [self.story(n) for n in range(first, first + self.batch_size)]

    def __call__(self, step: int) -> TokenBatch:
        return story_batch(self.stories(step))


def held_out(
    number: int, config: TownConfig = DEFAULT
) -> tuple[TokenBatch, float]:
    """Stories 0 to number - 1 as one batch, and the floor of their loss.

    The floor is -ln P of these stories in the town, in nats a target, END
    counted: the loss of the model that knows the town.
    """
    stories = [make_story(seed, config).tokens for seed in range(number)]
    batch = story_batch(stories)
    nats = -sum(sum(score(tokens, config)) for tokens in stories)
    targets = int((batch.targets != IGNORE).sum())
    return batch, nats / targets
