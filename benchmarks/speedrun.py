"""A plain GPT, the fastest that we can make of it, and the steps between.

    NEXTWORD_DATA=... python -m benchmarks.speedrun

On Tiny Shakespeare's characters: nine tenths to train, the loss on the whole last
tenth, in nats a character. It writes ``benchmarks/results/speedrun.json`` and takes
about a quarter of an hour on two idle cores. Recipes were chosen on seeds 100 to 103.
"""

import time
from dataclasses import asdict, replace
from typing import NamedTuple

import torch

from benchmarks import record
from nextword.downloads import SHAKESPEARE, find
from nextword.ngram import KneserNey, cross_entropy
from nextword.speed_gpt import Recipe
from nextword.speedrun import speed_loss, speed_train

COMMAND = "python -m benchmarks.speedrun"
SEEDS = (0, 1, 2)
ORDERS = (5, 6)  # of the n-grams
PLAIN = Recipe()
CHANGES = [  # each rung has all changes down to its own
    ("plain, 200 steps", {"steps": 200}),
    ("rotary positions", {"rotary": 1000.0}),
    ("norms without gain", {"plain_norm": True}),
    ("QK-norm", {"qk_norm": True}),
    ("squared ReLU", {"relu2": True}),
    ("a head of its own", {"untied": True}),
    ("start at zero", {"zero": True}),
    ("linear, no warm-up", {"linear": True, "warmup": 0}),
    ("Muon", {"muon": 0.06, "lr": 0.03, "decay": 0.0}),
    ("windows side by side", {"cover": True}),
    ("one position back", {"shift": 1}),
    ("one layer", {"n_layers": 1}),
    ("16 windows of 96", {"batch_size": 16, "context_length": 96}),
    ("bfloat16", {"bf16": True}),
    ("two positions back", {"shift": 2}),
    ("a slower head", {"head_lr": 0.3}),
    ("start at random", {"zero": False}),
    ("wider start", {"spread": 0.05}),
]
WITHOUT = [  # the fast recipe, with one change taken back
    ("rotary positions", {"rotary": 0.0}),
    ("norms without gain", {"plain_norm": False}),
    ("QK-norm", {"qk_norm": False}),
    ("squared ReLU", {"relu2": False}),
    ("a head of its own", {"untied": False}),
    ("linear", {"linear": False}),
    ("Muon", {"muon": 0.0, "lr": 0.01}),
    ("windows side by side", {"cover": False}),
    ("both positions back", {"shift": 0}),
    ("two positions back", {"shift": 1}),
    ("a slower head", {"head_lr": 1.0}),
    ("start at random", {"zero": True}),
    ("wider start", {"spread": 0.02}),
]
FAST = {"steps": 95, "muon": 0.07, "lr": 0.045}
LARGER = {"context_length": 128, "batch_size": 12, "lr": 0.015, "decay": 0.1}
LONGER = [
    ("3 layers, 300 steps", {"n_layers": 3, "steps": 300, "muon": 0.04}),
    ("3 layers, 1,250 steps", {"n_layers": 3, "steps": 1250, "muon": 0.04}),
    ("4 layers, 1,000 steps", {"n_layers": 4, "steps": 1000, "muon": 0.03}),
]
NOTES = [
    "seconds: of the training loop alone, on two idle cores. loss: nats a "
    "character on the whole validation part, in windows side by side of the "
    "model's own context length. loss_with_context: the same, but each window "
    "begins with half a window that was predicted before.",
    "ladder: each row has the changes of all rows above it. without: the fast "
    "recipe with one change taken back.",
    "The rows without look back and with 1,250 steps were taken within the hour "
    "after the others.",
    "parameters of an n-gram: the counts that it keeps.",
    f"Threads: {torch.get_num_threads()}.",
]


class Run(NamedTuple):
    """A recipe's name, the part of the record where it stands, and a seed."""

    part: str  # of the record
    name: str
    seed: int


def recipes() -> dict[tuple[str, str], Recipe]:
    """The recipe of every part and name."""
    found = {("plain", "plain"): PLAIN}
    recipe = PLAIN
    for name, change in CHANGES:
        recipe = replace(recipe, **change)
        found["ladder", name] = recipe
    found["free", "plain, bfloat16"] = replace(PLAIN, steps=200, bf16=True)
    fast = replace(recipe, **FAST)
    found["fast", "fast"] = fast
    found["fast", "fast, float32"] = replace(fast, bf16=False)
    alone = replace(fast, shift=0, steps=170)
    found["fast", "fast, no look back"] = alone
    for name, change in WITHOUT:
        found["without", name] = replace(fast, **change)
    for name, change in LONGER:
        found["longer", name] = replace(fast, **LARGER | change)
    return found


def shakespeare() -> tuple[str, str]:
    """The training and the validation text."""
    text = find(SHAKESPEARE).read_text(encoding="utf-8")
    return text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]


def measure(run: Run) -> list[dict]:
    """One row: seconds of the loop, and the loss on the validation text."""
    texts = shakespeare()
    alphabet = sorted(set("".join(texts)))
    if run.part == "counting":
        return [counted(int(run.name[0]), texts, alphabet)]
    ids = {c: i for i, c in enumerate(alphabet)}
    learn, held_out = (torch.tensor([ids[c] for c in text]) for text in texts)
    recipe = replace(recipes()[run.part, run.name], seed=run.seed)
    speed_train(
        learn, len(ids), replace(recipe, steps=3)
    )  # so that all is warm
    model, seconds = speed_train(learn, len(ids), recipe)
    half = recipe.context_length // 2
    return [
        {
            "seconds": round(seconds, 3),
            "loss": round(speed_loss(model, held_out), 4),
            "loss_with_context": round(speed_loss(model, held_out, half), 4),
            "parameters": sum(p.numel() for p in model.parameters()),
            "recipe": asdict(recipe),
        }
    ]


def counted(order: int, texts: tuple[str, str], alphabet: list[str]) -> dict:
    """Kneser-Ney of characters: seconds to count, and the loss."""
    start = time.perf_counter()
    model = KneserNey([texts[0]], order, alphabet)
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "loss": round(cross_entropy(model, [texts[1]]), 4),
        "parameters": sum(len(row) for t in model.tables for row in t.values()),
        "recipe": {"order": order},
    }


def main() -> None:
    grid = [
        *(Run(*key, seed) for key in recipes() for seed in SEEDS),
        *(Run("counting", f"{order}-gram", 0) for order in ORDERS),
    ]
    record.run_grid(
        "speedrun",
        grid,
        measure,
        COMMAND,
        packages=["torch"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
