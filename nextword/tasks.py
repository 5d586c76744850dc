"""What ``nextword pretrain`` can train: data, a model, and how it is trained.

Left out: the training itself, which is in `nextword.pretraining`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from nextword.batches import TokenBatches
from nextword.blocks import TransformerConfig
from nextword.gaps import WITH_RECAPS, story_gaps
from nextword.masking import masked_loss
from nextword.stories import SHORT, StoryBatches
from nextword.tokenizer import CharacterTokenizer, train_tokenizer
from nextword.town import TownConfig
from nextword.training import Loss, TrainConfig, language_loss
from nextword.words import town_tokenizer


@dataclass(frozen=True)
class Settings:
    """What the command line may change of a task."""

    steps: int
    batch_size: int
    context_length: int
    d_model: int
    n_heads: int
    n_layers: int
    lr: float
    positions: str = "rotary"
    warmup: int = 100
    precision: str = "float32"
    seed: int = 0
    save_every: int = 500

    def __post_init__(self):
        for name, least in {"batch_size": 1, "context_length": 2}.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} is {getattr(self, name)}. Choose {least} or more."
                )
        check_seed(self.seed)


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that not every generator takes."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}. Choose one from 0 to {2**32 - 1}.")


TOWN_GPT = Settings(15_000, 32, 96, 128, 4, 4, lr=3e-3)
TOWN_BERT = Settings(6000, 32, 160, 128, 4, 4, lr=3e-3)
TEXT = Settings(2000, 16, 128, 128, 4, 4, lr=3e-3)


class Task(NamedTuple):
    """What is to be trained, on what, and how."""

    kind: str  # a key of KINDS
    tokenizer: Any
    sizes: TransformerConfig
    training: TrainConfig
    batch_size: int
    batches: Callable[[int], tuple]
    loss: Loss
    data: dict[str, Any]


def make_task(
    kind: str,
    tokenizer: Any,
    settings: Settings,
    batches: Callable[[int], tuple],
    data: dict[str, Any],
) -> Task:
    """A task with the sizes and the training that the settings ask for."""
    s = settings
    sizes = TransformerConfig(
        tokenizer.vocab_size,
        s.context_length,
        s.d_model,
        s.n_heads,
        s.n_layers,
        positions=s.positions,
    )
    training = TrainConfig(
        s.steps,
        s.lr,
        min(s.warmup, s.steps - 1),
        final=0.02,
        precision=s.precision,
        seed=s.seed,
        save_every=s.save_every,
    )
    loss = language_loss if kind == "gpt" else masked_loss
    return Task(
        kind, tokenizer, sizes, training, s.batch_size, batches, loss, data
    )


def town_gpt(settings: Settings = TOWN_GPT) -> Task:
    """A GPT that tells stories of the town."""
    batches = StoryBatches(settings.batch_size, SHORT, settings.seed)
    check_context(settings, longest_story(batches.config) + 1)  # and END
    data = town_data("short stories", batches.config, batches.story)
    return make_task("gpt", town_tokenizer(), settings, batches, data)


def town_bert(settings: Settings = TOWN_BERT) -> Task:
    """A BERT that fills gaps in stories of the town, recaps at their end."""
    stories = StoryBatches(settings.batch_size, WITH_RECAPS, settings.seed)
    check_context(settings, longest_story(stories.config) + 2)  # CLS and SEP
    batches = story_gaps(stories)
    data = town_data("stories with recaps", stories.config, stories.story)
    return make_task("bert", town_tokenizer(), settings, batches, data)


def longest_story(config: TownConfig) -> int:
    """No story has more tokens: each sentence is as long as it can be."""
    return (
        6 * config.people  # Anna was at the beach .
        + 8 * config.things  # There was a net at the pier .
        + 7 * config.max_events  # She gave the net to Ben .
        + 6  # At last Anna was happy .
        + 8 * config.recaps  # Now the net is at the beach .
    )


def check_context(settings: Settings, needed: int) -> None:
    """Raise ValueError unless so many tokens fit."""
    if settings.context_length < needed:
        raise ValueError(
            f"The context holds {settings.context_length} tokens, but a story "
            f"of the town can need {needed}. Choose --context-length {needed} "
            "or more."
        )


def text_gpt(
    text: str,
    name: str,
    settings: Settings = TEXT,
    vocab_size: int | None = None,
) -> Task:
    """A GPT on the first nine tenths of a text: `validation` is the last one.

    Tokens are its characters, or ``vocab_size`` pieces made by BPE. Raises
    ValueError for a text that is too short.
    """
    tokenizer = (
        CharacterTokenizer(text)
        if vocab_size is None
        else train_tokenizer(training_part(text), vocab_size)
    )
    check_text(text, tokenizer, settings.context_length)
    ids = torch.tensor(tokenizer.encode(training_part(text)))
    batches = TokenBatches(
        ids, settings.batch_size, settings.context_length, settings.seed
    )
    data = {"name": name, "sha256": sha256(text), "characters": len(text)}
    return make_task("gpt", tokenizer, settings, batches, data)


def training_part(text: str) -> str:
    """The first nine tenths of the characters."""
    return text[: len(text) * 9 // 10]


def validation(text: str) -> str:
    """The last tenth of the characters."""
    return text[len(text) * 9 // 10 :]


def check_text(text: str, tokenizer: Any, context_length: int) -> None:
    """Raise ValueError unless the validation part fills a context."""
    if not text.strip():
        raise ValueError("The text is empty. Give a file with text in it.")
    tokens = len(tokenizer.encode(validation(text)))
    if tokens <= context_length:
        raise ValueError(
            f"The last tenth of the text, on which the model is tested, has "
            f"{tokens:,} tokens. They must be more than the context of "
            f"{context_length}. Use a longer text or a shorter "
            "--context-length."
        )


def sha256(text: str) -> str:
    """The digest of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def town_data(
    name: str, config: TownConfig, story: Callable[[int], list[str]]
) -> dict[str, Any]:
    """What a model card says of the town, which has no file of stories."""
    first = "\n".join(" ".join(story(n)) for n in range(1000))
    return {
        "name": name,
        "config": asdict(config),
        "sha256 of 1000": sha256(first),
    }
