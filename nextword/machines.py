"""On what machine something was measured: no name of it and no path."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.split(":", 1)[1].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, cores this process may use, system, Python and packages."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "processor": processor(),
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {p: importlib.metadata.version(p) for p in packages},
    }
