"""Write a benchmark's rows to ``benchmarks/results``, with machine and date.

It records what a reader needs to judge a number: processor, cores, Python,
packages. It records no name of the machine and no path.
"""

import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nextword import storage
from nextword.machines import machine

RESULTS = Path(__file__).resolve().parent / "results"
COPIES = RESULTS.parents[1] / "nextword" / "data"  # those that chapters draw


def write(
    name: str,
    rows: Sequence[dict[str, Any]],
    command: str,
    *,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Replace ``results/NAME.json`` by these rows, wholly or not at all.

    Raises ValueError for no rows, or a name that is not one plain word.
    """
    if not name.isidentifier():
        raise ValueError(f"{name!r} must be a plain name, such as 'tokenizer'.")
    if not rows:
        raise ValueError("There are no rows to record. Measure something.")
    content = {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(packages),
        "notes": list(notes),
        "rows": list(rows),
    }
    target = RESULTS / f"{name}.json"
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    storage.write_text(target, text)
    return target


def run_grid(
    name: str,
    grid: Sequence[Any],
    measure: Callable[[Any], Sequence[dict[str, Any]]],
    command: str,
    *,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Measure the runs of a grid, and record the rows of each as it ends.

    A run is a NamedTuple; each of its rows begins with its fields. The record
    has a copy in ``nextword/data``. Runs that it holds already are kept: a
    command that was stopped goes on.
    """
    done: dict[Any, list[dict[str, Any]]] = {}
    target, kind = RESULTS / f"{name}.json", type(grid[0])
    if target.exists():
        for row in json.loads(target.read_text(encoding="utf-8"))["rows"]:
            run = kind(*(row[field] for field in kind._fields))
            done.setdefault(run, []).append(row)
    for run in grid:
        if run in done:
            continue
        done[run] = [run._asdict() | row for row in measure(run)]
        for row in done[run]:
            print(row, flush=True)
        rows = [row for one in grid for row in done.get(one, ())]
        write(name, rows, command, packages=packages, notes=notes)
        text = target.read_text(encoding="utf-8")
        storage.write_text(COPIES / f"{name}.json", text)
