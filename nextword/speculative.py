"""Speculative decoding: a small model guesses, a large one judges.

Home: chapter 11, notebooks/11_generation.ipynb. What it returns has the large
model's own distribution. Left out: batches, and guesses that form a tree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextword.cache import KVCache, caches
from nextword.generation import (
    GREEDY,
    Sampling,
    check_room,
    evaluating,
    probabilities,
)


class Speculated(NamedTuple):
    """The new ids, and how many guesses were made and accepted."""

    ids: list[int]
    guessed: int
    accepted: int


def accept(
    p: Tensor,
    q: Tensor | Sequence[Tensor],
    guesses: Sequence[int],
    generator: torch.Generator | None = None,
) -> list[int]:
    """Tokens with the distribution p, from guesses drawn from q.

    p (G + 1, V) is the large model's distribution at the place of each of the G
    guesses and after them, q (G, V) the small one's. A guess x is accepted with
    probability min(1, p(x) / q(x)). The first that is not is replaced by a draw
    from max(p - q, 0), normalised (Leviathan et al., 2023, algorithm 1).
    """
    tokens = []
    for g, x in enumerate(guesses):
        u = torch.rand((), generator=generator, device=p.device)
        if u * q[g][x] >= p[g][x]:
            rest = (p[g] - q[g]).clamp(min=0)  # all 0 only by rounding
            return [*tokens, draw(rest if rest.any() else p[g], generator)]
        tokens.append(x)
    return [*tokens, draw(p[-1], generator)]


def draw(weights: Tensor, generator: torch.Generator | None) -> int:
    """An id, with a probability in proportion to its weight (V,)."""
    return int(torch.multinomial(weights, 1, generator=generator))


def distributions(
    model: nn.Module,
    ids: Sequence[int],
    cache: Sequence[KVCache],
    sampling: Sampling,
) -> Tensor:
    """The distributions (T, V) after each of the T ids that the cache lacks."""
    device = next(model.parameters()).device
    new = torch.tensor([ids[len(cache[0]) :]], device=device)  # (1, T)
    return probabilities(model(new, None, cache)[0], new, sampling).cpu()


def guess(
    draft: nn.Module,
    ids: Sequence[int],
    number: int,
    cache: Sequence[KVCache],
    sampling: Sampling,
    generator: torch.Generator | None,
) -> tuple[list[int], list[Tensor]]:
    """``number`` ids that the small model puts after ids, and their q (V,)."""
    guesses, q = [], []
    for _ in range(number):
        known = [*ids, *guesses]
        q.append(distributions(draft, known, cache, sampling)[-1])
        guesses.append(draw(q[-1], generator))
    return guesses, q


def speculate(
    model: nn.Module,
    draft: nn.Module,
    prompt: Sequence[int],
    max_new_tokens: int,
    guesses: int = 4,
    sampling: Sampling = GREEDY,
    generator: torch.Generator | None = None,
) -> Speculated:
    """What `model` says after a prompt, with ``guesses`` of `draft` a round."""
    check_speculation(prompt, guesses, sampling)
    ids, end = list(prompt), len(prompt) + max_new_tokens
    check_room(end, min(m.config.context_length for m in (model, draft)))
    guessed = accepted = 0
    with evaluating(model), evaluating(draft):
        large = caches(model.config.n_layers, end)
        small = caches(draft.config.n_layers, end)
        while len(ids) < end:
            G = min(guesses, end - len(ids) - 1)
            x, q = guess(draft, ids, G, small, sampling, generator)
            p = distributions(model, [*ids, *x], large, sampling)[-G - 1 :]
            new = accept(p, q, x, generator)
            ids += new
            guessed, accepted = guessed + G, accepted + len(new) - 1
            for cache in (*large, *small):
                cache.cut(len(ids) - 1)  # forget the guesses that were wrong
    return Speculated(ids[len(prompt) :], guessed, accepted)


def check_speculation(
    prompt: Sequence[int], guesses: int, sampling: Sampling
) -> None:
    """Raise ValueError, with a remedy, for what cannot be speculated on."""
    if not len(prompt):
        raise ValueError("The prompt is empty. Begin it with a token.")
    if guesses < 1:
        raise ValueError(f"guesses is {guesses}. Choose 1 or more.")
    if sampling.repetition != 1:
        raise ValueError(
            "A penalty for repetition changes within a round of guesses. Set "
            "repetition to 1, or use generate."
        )
