"""Stories of the town with words hidden, as BERT is trained on them.

Home: chapter 13, notebooks/13_bert.ipynb. Left out: how words are hidden, which
`nextword.masking` shows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nextword.batches import pad
from nextword.masking import MaskedBatch, MaskedBatches, Masking, hide
from nextword.stories import StoryBatches
from nextword.town import TownConfig, make_story
from nextword.words import CLS, MASK, PAD, SEP, SPECIAL, town_tokenizer

WITH_RECAPS = TownConfig(recaps=2)


def gap_ids(stories: Sequence[Sequence[str]]) -> Tensor:
    """Stories as BERT reads them: ids (B, T) of CLS, story, SEP and PAD."""
    ids = town_tokenizer().ids
    rows = [[CLS, *tokens, SEP] for tokens in stories]
    return pad([[ids[token] for token in row] for row in rows], ids[PAD])


def town_masking() -> Masking:
    """BERT's masking, for the words of the town."""
    ids = town_tokenizer().ids
    return Masking(ids[MASK], ids[PAD], len(SPECIAL), len(ids))


def story_gaps(stories: StoryBatches) -> MaskedBatches:
    """The same stories for BERT, with words hidden."""
    return MaskedBatches(
        lambda step: gap_ids(stories.stories(step)),
        town_masking(),
        stories.seed,
    )


def held_out_gaps(number: int, config: TownConfig = WITH_RECAPS) -> MaskedBatch:
    """Stories 0 to number - 1 with words hidden, always the same ones."""
    stories = [make_story(seed, config).tokens for seed in range(number)]
    generator = torch.Generator().manual_seed(0)
    return hide(gap_ids(stories), town_masking(), generator)
