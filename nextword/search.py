"""Beam search: the likeliest text, not the likeliest next token.

Home: chapter 11, notebooks/11_generation.ipynb. Left out: a cache, and variants
that make the beams differ from each other.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# ids (B, T) to the logits (B, V) of the token after each row
NextLogits = Callable[[Tensor], Tensor]


class Hypothesis(NamedTuple):
    """A text that beam search found."""

    ids: tuple[int, ...]  # the new ids, the end included if it was reached
    log_p: float  # ln P(ids | prompt)

    def score(self, alpha: float) -> float:
        """The score ln P / length^alpha; alpha 0 prefers short texts."""
        return self.log_p / len(self.ids) ** alpha


def grow(
    next_logits: NextLogits,
    prompt: Tensor,
    beams: list[Hypothesis],
    number: int,
) -> list[Hypothesis]:
    """The ``number`` likeliest texts that are one token longer than a beam."""
    ids = torch.tensor([beam.ids for beam in beams], device=prompt.device)
    rows = torch.cat([prompt.expand(len(beams), -1), ids.long()], dim=1)
    log_p = next_logits(rows).log_softmax(dim=-1)  # (beams, V)
    before = log_p.new_tensor([beam.log_p for beam in beams])
    total = (before[:, None] + log_p).flatten()  # (beams * V,)
    best = total.topk(min(number, len(total)))
    V = log_p.shape[-1]
    return [
        Hypothesis((*beams[place // V].ids, place % V), value)
        for value, place in zip(*map(Tensor.tolist, best), strict=True)
    ]


def is_over(
    beams: list[Hypothesis],
    finished: list[Hypothesis],
    width: int,
    longest: int,
    alpha: float,
) -> bool:
    """Whether no beam can still become one of the ``width`` best texts."""
    if not beams or len(finished) < width:
        return not beams
    scores = sorted((text.score(alpha) for text in finished), reverse=True)
    hope = max(beam.log_p for beam in beams) / longest**alpha
    return scores[width - 1] >= hope


@torch.inference_mode()
def beam_search(
    next_logits: NextLogits,
    prompt: Tensor,
    width: int,
    max_new_tokens: int,
    end_id: int,
    alpha: float = 0.0,
) -> list[Hypothesis]:
    """Up to ``width`` texts after prompt (1, T), the best score first.

    A beam keeps the ``width`` likeliest beginnings; a text that reaches
    ``end_id`` leaves it. Raises ValueError for a width or length below 1.
    """
    check_search(width, max_new_tokens)
    beams, finished = [Hypothesis((), 0.0)], []
    for _ in range(max_new_tokens):
        # A beam has one way to end. So of twice as many, enough go on.
        longer = grow(next_logits, prompt, beams, 2 * width)
        ended = [beam for beam in longer[:width] if beam.ids[-1] == end_id]
        finished += ended
        beams = [beam for beam in longer if beam.ids[-1] != end_id][:width]
        if is_over(beams, finished, width, max_new_tokens, alpha):
            break
    texts = sorted(finished + beams, key=lambda text: -text.score(alpha))
    return texts[:width]


def check_search(width: int, max_new_tokens: int) -> None:
    """Raise ValueError unless there is something to search."""
    if width < 1 or max_new_tokens < 1:
        raise ValueError(
            f"width is {width} and max_new_tokens {max_new_tokens}. Both must "
            "be 1 or more; a width of 1 is greedy search."
        )
