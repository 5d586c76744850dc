"""Run the recipes on public data, and record what each of them measured.

    python -m benchmarks.recipes
    python -m benchmarks.recipes sst2 tatoeba
    python -m benchmarks.recipes multi30k --language de
    python -m benchmarks.recipes sst2 --steps 54 --seed 1

Without names it runs all of them, in the size that two processor cores can do,
multi30k once for each language, and sst2 also with fewer steps and five seeds. With
``--file`` squad runs on a file of yours. It writes
``benchmarks/results/recipes.json``, and the copy in ``nextword/data`` that chapters
show. The rows of the runs that ran are new, those of the others stay, unless they
come from another processor. What cannot be fetched is left out.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import torch

from benchmarks import record
from nextword import recipes, storage
from nextword.machines import machine
from nextword.recipes.shelf import RECIPES

COMMAND = "python -m benchmarks.recipes"
WHOLE = (None, 0)  # the steps of the recipe, and its first seed
SHORTER = {"sst2": [(54, seed) for seed in range(5)]}  # steps and seed
NOTES = [
    "One run each, with one seed, so a difference of a few points says little. "
    "But sst2 with 54 steps, a quarter of a pass, has five seeds; its opponents "
    "read all of the training data there too.",
    "The sizes are small; nothing was tuned on these data but the C of the "
    "logistic regression.",
    "Each row has the command that made it, its day and the seconds of the "
    "whole run, on a machine that did other work too.",
    "BLEU and chrF carry sacreBLEU's signature, exact match and F1 are "
    "percentages.",
]


def run_of(row: dict) -> tuple[str, str]:
    """The recipe of a recorded row, and the language if it has several."""
    first = (*RECIPES[row["recipe"]].languages, "")[0]
    rest = row["command"].partition("--language ")[2].split()
    return row["recipe"], (*rest, first)[0]


def kept(
    name: str, language: str = "", steps: int | None = None, seed: int = 0
) -> list[dict]:
    """The recorded rows of other runs, measured on this processor."""
    path = record.RESULTS / "recipes.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["machine"]["processor"] != machine()["processor"]:
        return []
    return [
        row
        for row in content["rows"]
        if (run_of(row), row["seed"], "--steps" in row["command"])
        != ((name, language), seed, steps is not None)
    ]


def measure(
    name: str,
    file: str | None = None,
    language: str = "",
    steps: int | None = None,
    seed: int = 0,
) -> None:
    """Run one recipe, and put its rows into the record."""
    command, languages = f"nextword recipes run {name}", RECIPES[name].languages
    if language not in ("", *languages[:1]):
        command += f" --language {language}"
    own = file if name == "squad" else None
    if own:
        command += f" --file {Path(own).name}"
    if steps is not None:
        command += f" --steps {steps} --seed {seed}"
    content = recipes.run(
        name,
        command,
        own=own,
        language=language or None,
        steps=steps,
        seed=seed,
    )
    order = list(RECIPES)
    rows = sorted(
        [*kept(name, language, steps, seed), *content["rows"]],
        key=lambda row: (order.index(row["recipe"]), row["command"]),
    )
    print("\n".join(recipes.report(content)), flush=True)
    path = record.write(
        "recipes", rows, COMMAND, packages=recipes.PACKAGES, notes=NOTES
    )
    text = path.read_text(encoding="utf-8")
    storage.write_text(record.COPIES / "recipes.json", text)


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--file")
    parser.add_argument("--language")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in options.names or RECIPES:
        languages = RECIPES[name].languages or ("",)
        if options.language in languages:
            languages = (options.language,)
        runs = [WHOLE, *SHORTER.get(name, ())]
        if options.steps is not None:
            runs = [(options.steps, options.seed)]
        for language, (steps, seed) in product(languages, runs):
            try:
                measure(name, options.file, language, steps, seed)
            except ValueError as error:
                print(f"Without {name}: {error}", flush=True)


if __name__ == "__main__":
    main()
