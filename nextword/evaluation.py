"""How good a pretrained GPT is, on texts that it was not trained on.

Home: chapter 12, notebooks/12_gpt.ipynb. Left out: BERT, which
`nextword.filling` measures, and tasks that a model is fine-tuned for.
"""

import math

import torch
from torch import Tensor, nn

from nextword.batches import TokenBatch, pad
from nextword.generation import Sampling, evaluating, generate
from nextword.losses import IGNORE, token_losses
from nextword.town import TownConfig
from nextword.town_score import DEFAULT, first_wrong
from nextword.words import END, town_tokenizer


def story_losses(model: nn.Module, batch: TokenBatch, rows: int = 64) -> Tensor:
    """The loss of a GPT at each target (B, T), in nats; 0 on padding."""
    parts = []
    with evaluating(model) as device:
        for first in range(0, len(batch.ids), rows):
            ids = batch.ids[first : first + rows].to(device)
            targets = batch.targets[first : first + rows].to(device)
            parts.append(token_losses(model(ids), targets).cpu())
    return torch.cat(parts)  # (B, T)


def mean_loss(model: nn.Module, batch: TokenBatch) -> float:
    """The mean loss of a GPT on a batch of any size, in nats a target."""
    number = (batch.targets != IGNORE).sum()
    return float(story_losses(model, batch).double().sum() / number)


def sample_stories(
    model: nn.Module, number: int, seed: int = 0, temperature: float = 1.0
) -> list[list[str]]:
    """Stories that a town GPT tells: their tokens, without END."""
    tokenizer = town_tokenizer()
    end, room = tokenizer.ids[END], model.config.context_length - 1
    generator = torch.Generator().manual_seed(seed)
    stories = generate(
        model,
        [[end]] * number,
        room,
        Sampling(temperature),
        [[end]],
        generator,
    )
    return [[tokenizer.words[id] for id in story] for story in stories]


def legal_share(
    stories: list[list[str]], config: TownConfig = DEFAULT
) -> float:
    """The share of the stories that the town could have told."""
    return sum(first_wrong(s, config) is None for s in stories) / len(stories)


def text_windows(ids: list[int], context_length: int) -> TokenBatch:
    """A text as windows side by side: each id but the first is a target once.

    The last window is padded on the right, where no earlier token looks. Raises
    ValueError for a text that is too short for one window.
    """
    T = context_length
    if len(ids) <= T:
        raise ValueError(
            f"The text gives {len(ids)} tokens, but one window needs {T + 1}. "
            "Give a longer text."
        )
    before, after = ids[:-1], ids[1:]
    starts = range(0, len(before), T)
    return TokenBatch(
        pad([before[start : start + T] for start in starts], 0),
        pad([after[start : start + T] for start in starts], IGNORE),
    )


def text_score(model: nn.Module, tokenizer, text: str) -> dict[str, float]:
    """Loss in nats a token, perplexity, and bits a byte, on a whole text.

    The first token is never a target; bits count it as one of mean loss.
    """
    ids = tokenizer.encode(text)
    batch = text_windows(ids, model.config.context_length)
    loss = mean_loss(model, batch)
    per_byte = len(ids) / len(text.encode("utf-8"))
    return {
        "tokens": int((batch.targets != IGNORE).sum()),
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits per byte": loss * per_byte / math.log(2),
    }
