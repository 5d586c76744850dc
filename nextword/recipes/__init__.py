"""Recipes: from public data to a trained model and a record, in one command.

A recipe fetches its files, trains, measures simple baselines beside the model,
and writes what came out with seed, machine and date. `nextword.recipes.shelf`
holds them, `listing` says what is known of them, and `language`, `sentiment`,
`pairs` and `answers` do the work.
"""

import datetime
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from nextword import downloads, storage
from nextword.machines import machine
from nextword.recipes.base import Request
from nextword.recipes.listing import check, find_recipe, megabytes
from nextword.recipes.shelf import Recipe

PACKAGES = ("torch", "scikit-learn", "sacrebleu")


def prepare(
    recipe: Recipe, language: str, full: bool, own: str | None, say: Callable
) -> dict[str, Path]:
    """Find or fetch what a recipe needs, and say which licence holds for it.

    Raises ValueError, with a remedy, for what cannot be had.
    """
    files = {} if own else recipe.files(language, full)
    wanted = [*files.values(), *recipe.needs]
    for licence in dict.fromkeys(file.licence for file in wanted):
        say(f"licence: {licence}")
    for file in wanted:
        if not downloads.at_hand(file):
            host = urlsplit(file.url).hostname
            say(f"fetching {file.name}, {megabytes([file])}, from {host}")
            downloads.find(file)
    return {name: downloads.find(file) for name, file in files.items()}


def run(
    name: str,
    command: str,
    *,
    seed: int = 0,
    device: Any = "cpu",
    steps: int | None = None,
    full: bool = False,
    language: str | None = None,
    own: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run a recipe; the content of its record: command, date, machine, rows.

    Raises ValueError, with a remedy, for data that cannot be had, and for
    options that make no sense. KeyboardInterrupt stops it without a record.
    """
    recipe = find_recipe(name)
    check(recipe, language, own)
    language = language or "fr"
    size = recipe.full if full else recipe.small
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps is {steps}. Choose 1 or more.")
        size = replace(size, steps=steps)
    paths = prepare(recipe, language, full, own, say)
    say(f"training: {size}, seed {seed}")
    path = Path(own) if own else None
    request = Request(size, paths, seed, device, language, path)
    start = time.perf_counter()
    outcome = recipe.run(request)
    seconds = round(time.perf_counter() - start)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = [
        {
            "recipe": name,
            "data": outcome.data,
            **found,
            "train": outcome.train,
            "test": outcome.test,
            "steps": size.steps,
            "seed": seed,
            "seconds": seconds,
            "threads": torch.get_num_threads(),
            "date": today,
            "command": command,
        }
        for found in outcome.scores
    ]
    return {
        "command": command,
        "date": today,
        "machine": {**machine(PACKAGES), "device": str(device)},
        "size": vars(size),
        "rows": rows,
        "examples": outcome.examples,
    }


def report(content: dict[str, Any]) -> Iterator[str]:
    """A record as lines: each result, then the examples."""
    for row in content["rows"]:
        yield (
            f"{row['recipe']}: {row['model']}: {row['measure']} "
            f"{row['value']:.4f}"
        )
    yield from content["examples"]


def write(content: dict[str, Any], path: str | Path) -> None:
    """Keep a record as one JSON file, written whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    storage.write_text(path, text + "\n")
