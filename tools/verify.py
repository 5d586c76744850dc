"""Run every check of the project and close with one summary: ``make test``."""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import notebooks

PYTEST = [sys.executable, "-m", "pytest", "-q"]
TWO = ["-n", "2", "--dist", "loadfile"]  # processes, a file stays whole
BROWSER = ["tests/test_book.py", "tests/test_browser.py"]
EXERCISES = ["tests/test_exercises.py", "tests/test_engine.py"]
PAGES = ["tests/test_notebooks.py", "tests/test_home_chapters.py"]
SLOW = ["tests/test_standalone.py"]


def steps() -> dict[str, list[str]]:
    """Each check by name, with its command. The long ones use two processes."""
    apart = [f"--ignore={file}" for file in BROWSER + EXERCISES + PAGES + SLOW]
    ruff = [sys.executable, "-m", "ruff"]
    return {
        "lint": [*ruff, "check", "."],
        "format": [*ruff, "format", "--check", "."],
        "library": [*PYTEST, *TWO, "tests", *apart],
        "exercises": [*PYTEST, *EXERCISES],
        "notebook rules": [*PYTEST, *PAGES],
        "notebooks, re-executed": [
            *PYTEST,
            *TWO,
            "--nbval",
            "--nbval-current-env",
            "--nbval-cell-timeout=300",
            *(str(path) for path in notebooks.paths()),
        ],
        "a notebook alone": [*PYTEST, *SLOW],
        "book and browser": [*PYTEST, *BROWSER],
    }


def run(name: str, command: list[str]) -> tuple[bool, dict[str, int], float]:
    """Run one check; return whether it passed, its counts and its seconds."""
    print(f"\n=== {name} ===", flush=True)
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        is_pytest = "pytest" in command
        env = {**os.environ, **notebooks.QUIET, "NEXTWORD_HOME": folder}
        if "-n" in command:  # busy processes with two threads each block
            env["OMP_NUM_THREADS"] = "1"
        status = subprocess.run(
            command + ([f"--junitxml={report}"] if is_pytest else []),
            cwd=notebooks.ROOT,
            env=env,
        ).returncode
        counts = _counts(report) if is_pytest else {}
    if not counts:
        counts = {"passed": int(status == 0), "failed": int(status != 0)}
    return status == 0, counts, time.perf_counter() - start


def main() -> int:
    """Run all checks, also after a failure; return 0 if all passed."""
    rows = {name: run(name, command) for name, command in steps().items()}
    print("\n=== summary ===")
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for name, (passed, counts, seconds) in rows.items():
        for kind in total:
            total[kind] += counts.get(kind, 0)
        details = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        mark = "ok    " if passed else "FAILED"
        print(f"{mark} {name:24} {seconds:6.0f} s   {details}")
    print(", ".join(f"{n} {kind}" for kind, n in total.items()))
    return int(not all(passed for passed, _, _ in rows.values()))


def _counts(report: Path) -> dict[str, int]:
    """What pytest counted, from its JUnit report; empty if there is none."""
    if not report.exists():
        return {}
    suite = ET.parse(report).getroot().find("testsuite")
    number = {key: int(suite.get(key)) for key in ("tests", "skipped")}
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    return {
        "passed": number["tests"] - failed - number["skipped"],
        "failed": failed,
        "skipped": number["skipped"],
    }


if __name__ == "__main__":
    sys.exit(main())
