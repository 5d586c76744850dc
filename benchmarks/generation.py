"""Time cached generation at batch 1 beside Hugging Face's cached ``generate``.

    python -m benchmarks.generation

Both sides hold the same weights and choose the likeliest token; the ids are
checked to be the same (in bfloat16 the shares of equal ids are recorded, since
rounding differs). Runs alternate. The last size is GPT-2's, with random weights. It
writes ``benchmarks/results/generation.json`` and takes about three minutes.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks import peers, record
from nextword.blocks import TransformerConfig
from nextword.generation import evaluating, generate
from nextword.transformer import GPT

COMMAND = "python -m benchmarks.generation"
ROUNDS = 5
PROMPT = [1, 2, 3, 4]


class Size(NamedTuple):
    """A GPT, and how many tokens it is to say."""

    C: int
    H: int
    layers: int
    vocabulary: int
    precision: str
    new_tokens: int


GRID = [
    Size(128, 4, 4, 65, "float32", 500),
    Size(256, 4, 6, 65, "float32", 500),
    Size(768, 12, 12, 50_257, "bfloat16", 100),  # GPT-2's
]
NOTES = [
    "Batch 1, greedy, after a prompt of 4; median of "
    f"{ROUNDS} runs in turns. The weights are random.",
    "same_ids: the share of tokens before the first one that differs from "
    "Hugging Face's. In float32 it must be 1. In bfloat16 the two likeliest "
    "tokens are often equal after rounding.",
]


def uncached(model: GPT, prompt: list[int], number: int) -> list[int]:
    """The likeliest tokens, with the whole text computed anew for each."""
    ids = list(prompt)
    with evaluating(model):
        for _ in range(number):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def rate(task: Callable, number: int) -> tuple[float, list[int]]:
    """Tokens a second, and the tokens."""
    start = time.perf_counter()
    ids = task(number)
    return number / (time.perf_counter() - start), ids


def models(size: Size) -> tuple[GPT, torch.nn.Module]:
    """A random GPT, and Hugging Face's with the same weights."""
    torch.manual_seed(0)
    config = TransformerConfig(
        size.vocabulary,
        1024,
        size.C,
        size.H,
        size.layers,
        activation="gelu_tanh",
    )
    model = GPT(config)
    with torch.no_grad():  # so that the likeliest token changes along the text
        model.embedding.positions.weight.mul_(50)
    peer = peers.hugging_face_gpt2(model).eval()
    dtype = getattr(torch, size.precision)
    return model.to(dtype), peer.to(dtype)


def same_ids(ours: list[int], theirs: list[int]) -> float:
    """The share of tokens before the first that differs."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((i for i, (a, b) in pairs if a != b), len(ours)) / len(ours)


def measure(size: Size) -> list[dict]:
    """Three rows: ours, Hugging Face's, and ours without a cache."""
    model, peer = models(size)

    @torch.inference_mode()
    def theirs(number):
        ids = torch.tensor([PROMPT])
        out = peer.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=number,
            min_new_tokens=number,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )
        return out[0, len(PROMPT) :].tolist()

    tasks = {
        "ours, cached": lambda number: generate(model, [PROMPT], number)[0],
        "hugging face, cached": theirs,
        "ours, not cached": lambda number: uncached(model, PROMPT, number),
    }
    rates, made = {name: [] for name in tasks}, {}
    for task in tasks.values():
        task(20)
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            speed, made[name] = rate(task, size.new_tokens)
            rates[name].append(round(speed, 1))
    expected = made["hugging face, cached"]
    shares = {name: same_ids(ids, expected) for name, ids in made.items()}
    assert size.precision != "float32" or min(shares.values()) == 1, shares
    assert len(set(expected)) > 5, "a constant text would prove little"
    return [
        {
            "method": name,
            "tokens_per_second": statistics.median(speeds),
            "same_ids": shares[name],
            "runs": speeds,
        }
        for name, speeds in rates.items()
    ]


def main() -> None:
    record.run_grid(
        "generation",
        GRID,
        measure,
        COMMAND,
        packages=["torch", "transformers"],
        notes=[*NOTES, f"Threads: {torch.get_num_threads()}."],
    )


if __name__ == "__main__":
    main()
