"""Time cached generation at batch 1 beside Hugging Face's cached ``generate``.

    python -m benchmarks.generation

Both sides hold the same weights and choose the likeliest token; the ids are
checked to be the same. Runs alternate. It writes
``benchmarks/results/generation.json`` and takes about two minutes.
"""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import peers, record
from nextword.blocks import TransformerConfig
from nextword.generation import evaluating, generate
from nextword.transformer import GPT

COMMAND = "python -m benchmarks.generation"
SIZES = [(128, 4, 4), (256, 4, 6)]  # C, H, layers
NEW = 500
ROUNDS = 5


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


def rows_of(C: int, H: int, n_layers: int) -> list[dict]:
    """Three rows: ours, Hugging Face's, and ours without a cache."""
    torch.manual_seed(0)
    config = TransformerConfig(65, 1024, C, H, n_layers, activation="gelu_tanh")
    model = GPT(config)
    with torch.no_grad():  # so that the likeliest token changes along the text
        model.embedding.positions.weight.mul_(50)
    peer = peers.hugging_face_gpt2(model).eval()
    prompt = [1, 2, 3, 4]
    settings = {"do_sample": False, "use_cache": True, "pad_token_id": 0}

    def ours(number):
        return generate(model, [prompt], number)[0]

    @torch.inference_mode()
    def theirs(number):
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        out = peer.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=number,
            min_new_tokens=number,
            **settings,
        )
        return out[0, len(prompt) :].tolist()

    tasks = {
        "ours, cached": ours,
        "hugging face, cached": theirs,
        "ours, not cached": lambda number: uncached(model, prompt, number),
    }
    for task in tasks.values():
        task(20)
    rates = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        made = []
        for name, task in tasks.items():
            speed, ids = rate(task, NEW)
            rates[name].append(round(speed, 1))
            made.append(ids)
        assert made[0] == made[1] == made[2]
    assert len(set(made[0])) > 5, "a constant text would prove little"
    rows = [
        {
            "method": name,
            "C": C,
            "H": H,
            "layers": n_layers,
            "new_tokens": NEW,
            "tokens_per_second": statistics.median(speeds),
            "runs": speeds,
        }
        for name, speeds in rates.items()
    ]
    for row in rows:
        print(row, flush=True)
    return rows


def main() -> None:
    rows = [row for sizes in SIZES for row in rows_of(*sizes)]
    notes = [
        f"Batch 1, greedy, {NEW} new tokens after a prompt of 4; median of "
        f"{ROUNDS} runs in turns. The ids were the same.",
        f"Threads: {torch.get_num_threads()}. float32.",
    ]
    packages = ["torch", "transformers"]
    record.write("generation", rows, COMMAND, packages=packages, notes=notes)


if __name__ == "__main__":
    main()
