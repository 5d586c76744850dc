"""The checked exercises: ``from nextword.exercises import check``.

Each chapter has its module here, ``chapter_01`` and so on, which is imported
only when one of its exercises is checked. So a chapter can show how a part of
the library is built without that part being loaded behind its back.
"""

import html
import importlib
import pkgutil
import random
from dataclasses import dataclass
from typing import Any

from nextword.exercises import progress
from nextword.exercises.engine import Exercise, Unsolved, Wrong

__all__ = ["Verdict", "all_exercises", "check", "of_chapter"]


@dataclass(frozen=True)
class Verdict:
    """What `check` says: a coloured note in Jupyter, plain text elsewhere."""

    status: str  # "solved", "wrong" or "unsolved"
    headline: str
    message: str = ""

    def __repr__(self) -> str:
        mark = {"solved": "✓", "wrong": "✗", "unsolved": "○"}[self.status]
        lines = [f"{mark} {self.headline}", self.message]
        return "\n".join(line for line in lines if line)

    def _repr_html_(self) -> str:
        colour = {
            "solved": "#009e73",
            "wrong": "#d55e00",
            "unsolved": "#0072b2",
        }[self.status]
        mark = {"solved": "✓", "wrong": "✗", "unsolved": "○"}[self.status]
        message = html.escape(self.message).replace("\n", "<br>")
        return (
            f'<div style="border-left:.3rem solid {colour};padding:.4em .8em">'
            f"<strong>{mark} {html.escape(self.headline)}</strong>"
            + (f"<br>{message}" if message else "")
            + "</div>"
        )


def check(id: str, answer: Any) -> Verdict:
    """Judge an answer to the exercise ``id``, such as ``"2.3"``.

    Unsolved says so. Solved says so and is remembered for
    ``nextword progress``. Wrong says what is wrong; a wrong answer never raises.
    The inputs are drawn afresh in every call.

    Raises ValueError for an ``id`` that no chapter has.
    """
    exercise = _find(id)
    name = f"Exercise {exercise.id}, {exercise.title}"
    try:
        exercise.examine(answer, random.Random())
    except Unsolved:
        return Verdict(
            "unsolved",
            f"{name}: not solved yet.",
            "Replace the dots with your answer and run the cell again.",
        )
    except Wrong as wrong:
        return Verdict("wrong", f"{name}: not right yet.", str(wrong))
    except Exception as error:
        return Verdict(
            "wrong",
            f"{name}: the check could not use this answer.",
            f"{type(error).__name__}: {error}",
        )
    return Verdict("solved", f"{name}: solved.", progress.remember(exercise.id))


def of_chapter(number: int) -> list[Exercise]:
    """The checked exercises of one chapter, in order."""
    try:
        module = importlib.import_module(f"{__name__}.chapter_{number:02d}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.chapter_{number:02d}":
            raise
        return []
    found = [v for v in vars(module).values() if isinstance(v, Exercise)]
    return sorted(found, key=lambda e: [int(part) for part in e.id.split(".")])


def all_exercises() -> list[Exercise]:
    """The checked exercises of all chapters, in order."""
    numbers = sorted(
        int(module.name.removeprefix("chapter_"))
        for module in pkgutil.iter_modules(__path__)
        if module.name.startswith("chapter_")
    )
    return [exercise for number in numbers for exercise in of_chapter(number)]


def _find(id: str) -> Exercise:
    chapter = str(id).split(".")[0]
    if chapter.isdecimal():
        known = of_chapter(int(chapter))
        for exercise in known:
            if exercise.id == id:
                return exercise
        if known:
            ids = ", ".join(exercise.id for exercise in known)
            raise ValueError(
                f"Chapter {chapter} has no checked exercise {id!r}. It has {ids}."
            )
    raise ValueError(
        f'There is no exercise {id!r}. An example is check("2.1", f).'
    )
