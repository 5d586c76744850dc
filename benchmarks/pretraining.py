"""How fast a pretraining step is, beside what the processor can do.

    python -m benchmarks.pretraining

A row is a model and its batch: the tokens a second of whole steps (data,
forward, backward, clipping, optimizer), the operations of matrix products that
this takes, and their share of the fastest matrix product measured beside it. The
second row is nanoGPT's published setting for a CPU (its README: 4 layers, 4
heads, 128 wide, context 64, batch 12, 2,000 steps on the characters of Tiny
Shakespeare), written with our library; where the text is at hand it is trained
to the end. It writes ``benchmarks/results/pretraining.json`` and takes about
four minutes.
"""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import record
from nextword import downloads, pretraining, tasks
from nextword.batches import TokenBatches
from nextword.blocks import TransformerConfig
from nextword.evaluation import mean_loss, text_windows
from nextword.losses import IGNORE
from nextword.muon import Muon
from nextword.optim import parameter_groups
from nextword.scaling import forward_flops
from nextword.tokenizer import CharacterTokenizer
from nextword.training import (
    TrainConfig,
    fit,
    language_loss,
    training_step,
)
from nextword.transformer import GPT

COMMAND = "python -m benchmarks.pretraining"
SECONDS = 20.0  # for each row
SIDES = (256, 512, 1024, 2048)  # of the square matrices of the peak


def peak() -> float:
    """The most floating-point operations a second of a product, in float32."""
    best = 0.0
    for side in SIDES:
        a, b = torch.randn(2, side, side)
        a @ b
        for _ in range(10):
            start = time.perf_counter()
            a @ b
            best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def measure(
    name: str,
    model: GPT,
    batches: Callable[[int], tuple],
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
) -> dict[str, object]:
    """One row: medians of whole steps, the peak measured before and after."""
    before, times, tokens, places, number = peak(), [], 0, 0, 0
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 10:
        start = time.perf_counter()
        batch = batches(number)
        training_step(model, language_loss, [batch], optimizer, config)
        times.append(time.perf_counter() - start)
        tokens += int((batch.targets != IGNORE).sum())
        places += batch.ids.numel()
        number += 1
    T = places // (number * len(batch.ids))  # the mean length of a row
    step = statistics.median(times)
    # The backward pass makes two products for each one of the forward pass.
    flops = 3 * sum(forward_flops(model.config, T).values()) * places / number
    best = max(before, peak())
    row = {
        "task": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "B": len(batch.ids),
        "T": T,
        "step_ms": round(1000 * step, 2),
        "tokens_per_second": round(tokens / number / step),
        "gflops": round(flops / step / 1e9, 1),
        "peak_gflops": round(best / 1e9, 1),
        "share_of_peak": round(flops / step / best, 3),
        "threads": torch.get_num_threads(),
        "steps": number,
    }
    print(row, flush=True)
    return row


def town() -> dict[str, object]:
    """The step of ``nextword pretrain town-gpt``."""
    task = tasks.town_gpt()
    model = pretraining.build(task).train()
    optimizer = Muon(model, task.training.lr)
    return measure("town-gpt", model, task.batches, task.training, optimizer)


def nanogpt(ids: torch.Tensor, vocab_size: int) -> tuple:
    """NanoGPT's setting: the model, its batches, config and optimizer."""
    torch.manual_seed(1337)
    model = GPT(TransformerConfig(vocab_size, 64, 128, 4, 4)).train()
    config = TrainConfig(2000, 1e-3, warmup=100, final=0.1)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay),
        config.lr,
        (0.9, 0.99),
        fused=True,
    )
    return model, TokenBatches(ids, 12, 64, seed=1), config, optimizer


def shakespeare(text: str) -> list[dict[str, object]]:
    """NanoGPT's setting, timed, and then trained to the end."""
    tokenizer = CharacterTokenizer(text)
    train = torch.tensor(tokenizer.encode(tasks.training_part(text)))
    row = measure("nanoGPT on a CPU", *nanogpt(train, tokenizer.vocab_size))
    model, batches, config, optimizer = nanogpt(train, tokenizer.vocab_size)
    start = time.perf_counter()
    fit(model, language_loss, batches, config, optimizer=optimizer)
    row["seconds_of_2000_steps"] = round(time.perf_counter() - start, 1)
    ids = tokenizer.encode(tasks.validation(text))
    row["validation_loss"] = round(mean_loss(model, text_windows(ids, 64)), 3)
    print(row, flush=True)
    return [row]


def main() -> None:
    """Measure and record."""
    rows = [town()]
    try:
        path = downloads.find(downloads.SHAKESPEARE)
        rows += shakespeare(path.read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"Without Tiny Shakespeare: {error}")
    record.write(
        "pretraining",
        rows,
        COMMAND,
        packages=["torch"],
        notes=[
            "Operations are those of matrix products in the forward pass, "
            "attention's included, times three; padding is computed too.",
            "peak_gflops: the fastest of several square float32 products, "
            "measured right before and after the steps.",
            "validation_loss: nats a character on the whole last tenth, in "
            "windows of 64 side by side.",
        ],
    )


if __name__ == "__main__":
    main()
