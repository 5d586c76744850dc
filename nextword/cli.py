"""The command line: ``nextword progress``."""

import argparse
import sys
from collections import defaultdict

from nextword import __version__
from nextword.exercises import all_exercises, progress


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status, 0 for success."""
    parser = argparse.ArgumentParser(
        prog="nextword", description="Companion of the course Next Word."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("progress", help="show which exercises you have solved")
    parser.parse_args(arguments)
    # A console that has no ✓ shows a question mark instead of failing.
    sys.stdout.reconfigure(errors="replace")
    try:
        print(progress_report())
    except ValueError as error:
        print(f"nextword: {error}", file=sys.stderr)
        return 1
    return 0


def progress_report() -> str:
    """One line a chapter, one mark an exercise: ✓ solved, ○ open."""
    solved = progress.solved()
    chapters = defaultdict(list)
    for exercise in all_exercises():
        chapters[exercise.chapter].append(exercise)
    lines = []
    for chapter, exercises in chapters.items():
        lines.append(f"Chapter {chapter}")
        for exercise in exercises:
            day = solved.get(exercise.id)
            mark, note = ("✓", f"  ({day})") if day else ("○", "")
            lines.append(f"  {mark} {exercise.id}  {exercise.title}{note}")
    known = [e.id for exercises in chapters.values() for e in exercises]
    done = sum(id in solved for id in known)
    lines.append(
        f"{done} of {len(known)} exercises solved. Kept in {progress.path()}"
    )
    return "\n".join(lines)
