"""What the benchmarks recorded, and what several seeds tell.

Homes: notebooks/14_scaling.ipynb and notebooks/15_finetuning.ipynb. The files in
``nextword/data`` are copies of those in ``benchmarks/results``. Left out: how they
are written.
"""

import importlib.resources
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


def read_record(name: str) -> dict[str, Any]:
    """What ``python -m benchmarks.NAME`` wrote: rows, machine, date, notes.

    Raises ValueError for a name without a record.
    """
    file = importlib.resources.files("nextword") / "data" / f"{name}.json"
    if not (name.isidentifier() and file.is_file()):
        raise ValueError(f"There is no record {name!r}. Check its name.")
    return json.loads(file.read_text(encoding="utf-8"))


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a result over seeds, and half of its 95 % interval.

    Student, 1908: t s / √n. Raises ValueError for fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise ValueError(
            f"{n} result says nothing about its spread. Pass those of two "
            "seeds or more."
        )
    t = stats.t.ppf(0.975, n - 1)
    half = t * np.std(values, ddof=1) / math.sqrt(n)
    return float(np.mean(values)), float(half)
