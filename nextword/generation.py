"""From logits to text: choose the next token, again and again.

Home: chapter 11, notebooks/11_generation.ipynb. Left out: what the ids mean, and
beam search and speculative decoding, which are in `nextword.search` and
`nextword.speculative`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nextword.cache import caches
from nextword.flat import flat_gpt
from nextword.transformer import GPT


def top_k(logits: Tensor, k: int) -> Tensor:
    """-inf for all but the k largest logits of each row (..., V)."""
    k = min(k, logits.shape[-1])
    smallest = logits.topk(k, dim=-1).values[..., -1:]  # (..., 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """-inf outside the nucleus (..., V).

    The nucleus is the smallest set of most likely tokens whose probabilities
    sum to p or more (Holtzman et al., 2020).
    """
    ordered, order = logits.sort(dim=-1, descending=True)  # (..., V)
    probabilities = ordered.softmax(dim=-1)
    sums = probabilities.cumsum(dim=-1)  # of a token and all likelier ones
    before = sums - probabilities
    outside = torch.zeros_like(before, dtype=torch.bool)
    outside = outside.scatter(-1, order, before >= p)  # back to the ids' order
    return logits.masked_fill(outside, -torch.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """-inf where the probability is below p times that of the likeliest token.

    logits (..., V) (Nguyen et al., 2024).
    """
    probabilities = logits.softmax(dim=-1)
    least = p * probabilities.amax(dim=-1, keepdim=True)  # (..., 1)
    return logits.masked_fill(probabilities < least, -torch.inf)


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make the tokens in ids (B, T) less likely in logits (B, V).

    Their positive logits are divided by the penalty, their negative ones
    multiplied by it (Keskar et al., 2019).
    """
    seen = logits.gather(-1, ids)  # (B, T)
    lower = torch.where(seen > 0, seen / penalty, seen * penalty)
    return logits.scatter(-1, ids, lower)


@dataclass(frozen=True)
class Sampling:
    """How to choose a token. Raises ValueError for a wrong value."""

    temperature: float = 1.0  # 0: always the likeliest token
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition: float = 1.0  # a penalty; 1: none

    def __post_init__(self):
        right = {
            "temperature": self.temperature >= 0,
            "top_k": self.top_k is None
            or (isinstance(self.top_k, int) and self.top_k >= 1),
            "top_p": self.top_p is None or 0 < self.top_p <= 1,
            "min_p": self.min_p is None or 0 <= self.min_p <= 1,
            "repetition": self.repetition > 0,
        }
        for name, is_right in right.items():
            if not is_right:
                raise ValueError(
                    f"{name} is {getattr(self, name)}. Temperature is 0 or "
                    "more, top_k a whole number from 1, top_p and min_p are "
                    "probabilities, and repetition is above 0."
                )


GREEDY = Sampling(temperature=0.0)


def probabilities(logits: Tensor, ids: Tensor, sampling: Sampling) -> Tensor:
    """The distribution (B, V) that the next token is drawn from.

    logits (B, V) follow the ids (B, T). The order is: repetition, temperature,
    top-k, top-p, min-p.
    """
    if sampling.repetition != 1:
        logits = penalise_repetition(logits, ids, sampling.repetition)
    if sampling.temperature == 0:
        likeliest = logits.argmax(dim=-1, keepdim=True)  # (B, 1)
        return torch.zeros_like(logits).scatter(-1, likeliest, 1.0)
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits = top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = min_p(logits, sampling.min_p)
    return logits.softmax(dim=-1)


def choose(
    logits: Tensor,
    ids: Tensor,
    sampling: Sampling,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One token (B, 1) for each row of logits (B, V) that follow ids (B, T)."""
    if sampling == GREEDY:
        return logits.argmax(dim=-1, keepdim=True)
    p = probabilities(logits, ids, sampling).cpu()  # where generators are
    return torch.multinomial(p, 1, generator=generator).to(logits.device)


def left_pad(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Prompts as ids (B, T), padded on the left, and where they are real.

    So the last column is the last token of each prompt. The padding repeats the
    prompt's first token. ``real`` (B, T) is None if nothing needs padding.
    Raises ValueError for an empty prompt.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError(
            "A prompt is empty. Begin it with a token, such as the one that "
            "starts every text."
        )
    longest = max(map(len, prompts))
    ids = [[*[p[0]] * (longest - len(p)), *p] for p in prompts]
    real = [[t >= longest - len(p) for t in range(longest)] for p in prompts]
    equal = all(len(p) == longest for p in prompts)
    return torch.tensor(ids), None if equal else torch.tensor(real)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """No dropout and no gradients inside; gives the model's device."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield next(model.parameters()).device
    finally:
        model.train(training)


def find_stop(ids: Sequence[int], stop: Sequence[Sequence[int]]) -> int | None:
    """Where the first stop sequence begins that the ids end with, or None."""
    for ending in stop:
        if len(ending) and list(ids[-len(ending) :]) == list(ending):
            return len(ids) - len(ending)
    return None


def check_room(length: int, context_length: int) -> None:
    """Raise ValueError if a prompt and what follows it are too long."""
    if length > context_length:
        raise ValueError(
            f"Prompt and new tokens are {length} together, but the context "
            f"holds {context_length}. Shorten the prompt, or ask for fewer."
        )


def take(
    texts: list[list[int]],
    running: set[int],
    tokens: Sequence[int],
    stop: Sequence[Sequence[int]],
) -> None:
    """Append each token to its text; a text that ends is cut and left alone."""
    for row in sorted(running):
        texts[row].append(tokens[row])
        end = find_stop(texts[row], stop)
        if end is not None:
            del texts[row][end:]
            running.remove(row)


def decoding_step(
    model: nn.Module, n_texts: int, capacity: int
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """A function of the new ids (B, T) and ``real``: the next logits (B, V).

    It keeps a cache. A single text of a `GPT` goes on without modules.
    """
    cache = caches(model.config.n_layers, capacity)
    flat = flat_gpt(model) if n_texts == 1 and type(model) is GPT else None

    def step(new, real):
        if flat is not None and len(cache[0]):  # after the prompt
            return flat(new, cache)
        return model(new, real, cache)[:, -1]

    return step


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop: Sequence[Sequence[int]] = (),
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """What a `GPT` says after each prompt: the new ids, without the prompt.

    A text ends before one of the ``stop`` sequences, or at its full length.
    """
    ids, real = left_pad(prompts)  # (B, T)
    check_room(ids.shape[1] + max_new_tokens, model.config.context_length)
    texts, running = [[] for _ in prompts], set(range(len(prompts)))
    with evaluating(model) as device:
        new = ids = ids.to(device)
        real = None if real is None else real.to(device)
        step = decoding_step(model, len(prompts), ids.shape[1] + max_new_tokens)
        for _ in range(max_new_tokens):
            logits = step(new, real)  # (B, V)
            new = choose(logits, ids, sampling, generator)  # (B, 1)
            take(texts, running, new[:, 0].tolist(), stop)
            if not running:
                break
            ids = torch.cat([ids, new], dim=1)  # (B, T + 1)
            if real is not None:
                real = torch.cat([real, torch.ones_like(new).bool()], dim=1)
    return texts


def translate(
    model: nn.Module,
    sources: Sequence[Sequence[int]],
    start_id: int,
    end_id: int,
    max_new_tokens: int,
) -> list[list[int]]:
    """The likeliest next token, again and again, of a `Transformer`.

    Each source gives the ids of its target, without start and end. The keys and
    values of the sources are computed once.
    """
    source, real = left_pad(sources)  # (B, S)
    check_room(max_new_tokens + 1, model.config.context_length)
    texts, running = [[] for _ in sources], set(range(len(sources)))
    with evaluating(model) as device:
        source = source.to(device)
        real = None if real is None else real.to(device)
        memory = model.encode(source, real)  # (B, S, C)
        own = caches(model.config.n_layers, max_new_tokens)
        cache = list(zip(own, caches(len(own), source.shape[1]), strict=True))
        new = torch.full_like(source[:, :1], start_id)  # (B, 1)
        for _ in range(max_new_tokens):
            logits = model.decode(new, memory, real, cache)[:, -1]  # (B, V)
            new = choose(logits, new, GREEDY)  # (B, 1)
            take(texts, running, new[:, 0].tolist(), [[end_id]])
            if not running:
                break
    return texts
