"""Run the recipes on public data, and record what each of them measured.

    python -m benchmarks.recipes
    python -m benchmarks.recipes sst2 tatoeba

Without names it runs all of them, in the size that two processor cores can do.
With ``--file`` squad runs on a file of yours. It writes
``benchmarks/results/recipes.json``, and the copy in ``nextword/data`` that chapters
show. The rows of the recipes that ran are new, those of the others stay, unless
they come from another processor. A recipe whose files cannot be had is left out.
"""

import argparse
import json
from pathlib import Path

import torch

from benchmarks import record
from nextword import recipes, storage
from nextword.machines import machine
from nextword.recipes.shelf import RECIPES

COMMAND = "python -m benchmarks.recipes"
NOTES = [
    "One run each, with one seed, so a difference of a few points says little.",
    "The sizes are small; nothing was tuned on these data but the C of the "
    "logistic regression.",
    "Each row has the command that made it, its day and the seconds of the "
    "whole run, on a machine that did other work too.",
    "BLEU and chrF carry sacreBLEU's signature, exact match and F1 are "
    "percentages.",
]


def kept(names: list[str]) -> list[dict]:
    """The recorded rows of other recipes, measured on this processor."""
    path = record.RESULTS / "recipes.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["machine"]["processor"] != machine()["processor"]:
        return []
    return [row for row in content["rows"] if row["recipe"] not in names]


def measure(name: str, file: str | None = None) -> None:
    """Run one recipe, and put its rows into the record."""
    command = f"nextword recipes run {name}"
    own = file if name == "squad" else None
    if own:
        command += f" --file {Path(own).name}"
    content = recipes.run(name, command, own=own)
    order = list(RECIPES)
    rows = sorted(
        [*kept([name]), *content["rows"]],
        key=lambda row: order.index(row["recipe"]),
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
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in options.names or RECIPES:
        try:
            measure(name, options.file)
        except ValueError as error:
            print(f"Without {name}: {error}", flush=True)


if __name__ == "__main__":
    main()
