"""What stands behind ``check``: exercises and the diagnosis of mistakes.

An *examiner* is a function ``examine(answer, rng)``. It returns when the
answer is right, raises `Wrong` with a message when it is not, and `Unsolved`
when there is nothing to judge yet. Most examiners are one call of `compare`,
which runs the answer beside a reference on fresh inputs. A classic mistake is
given as code too: an answer that behaves like it gets the message for it.

This module knows no single exercise, keeps no progress and displays nothing.
"""

import copy
import dataclasses
import math
import numbers
import random
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


class Wrong(Exception):
    """The answer is wrong; the text says what is wrong and where to look."""


class Unsolved(Exception):
    """The skeleton was not filled in yet."""


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A classic mistake: code that makes it, and what to tell who made it.

    ``wrong`` takes the arguments of the answer. The answer is diagnosed with
    this mistake when it gives what ``wrong`` gives on every input.
    """

    wrong: Callable[..., Any]
    message: str


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise that code can check."""

    id: str  # "2.3": chapter 2, third exercise
    title: str
    examine: Callable[[Any, random.Random], None]

    @property
    def chapter(self) -> int:
        """The number before the dot."""
        return int(self.id.split(".")[0])


def exercise(id: str, title: str) -> Callable[[Callable], Exercise]:
    """Decorator: make the `Exercise` ``id`` out of the examiner below it."""
    return lambda examine: Exercise(id, title, examine)


def compare(
    answer: Callable,
    reference: Callable,
    cases: Iterable[Sequence],
    mistakes: Iterable[Mistake] = (),
    tolerance: float = 1e-9,
) -> None:
    """Run the answer and the reference on every case; diagnose what differs.

    ``cases`` holds tuples of arguments, the smallest first, because the first
    case that fails is the one shown. Floats, arrays and tensors are compared
    within ``tolerance``, absolute and relative.

    Raises `Unsolved` if the answer returns the dots of the skeleton on every
    case, and `Wrong` if it returns anything else than the reference, raises an
    exception, or changes its arguments.
    """
    if answer is None or answer is ...:
        raise Unsolved
    if not callable(answer):
        raise Wrong(
            f"check needs the function itself, but it got {show(answer)}. "
            "Pass its name, without parentheses."
        )
    cases = [tuple(case) for case in cases]
    got = [_outcome(answer, case) for case in cases]
    if all(result is ... for result in got):
        raise Unsolved
    expected = [_outcome(reference, case) for case in cases]
    if all(same(e, g, tolerance) for e, g in zip(expected, got, strict=True)):
        for case in cases:
            _refuse_changed_arguments(answer, case)
        return
    for mistake in mistakes:
        made = [_outcome(mistake.wrong, case) for case in cases]
        if all(same(m, g, tolerance) for m, g in zip(made, got, strict=True)):
            raise Wrong(mistake.message)
    for case, e, g in zip(cases, expected, got, strict=True):
        if not same(e, g, tolerance):
            raise Wrong(_difference(answer, case, e, g))


def examine_value(
    answer: Any,
    expected: Any,
    mistakes: Mapping[Any, str] | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Judge one value, worked out with pen and paper or read off a cell.

    ``mistakes`` maps a known wrong value to its message. Raises `Unsolved` on
    ``None`` and ``...``, `Wrong` on any value but the expected one.
    """
    if answer is None or answer is ...:
        raise Unsolved
    if same(expected, answer, tolerance):
        return
    for value, message in (mistakes or {}).items():
        if same(value, answer, tolerance):
            raise Wrong(message)
    if type(answer) is not type(expected) and not (
        isinstance(answer, numbers.Number)
        and isinstance(expected, numbers.Number)
    ):
        raise Wrong(
            f"The answer should be {_kind(expected)}, but it is "
            f"{_kind(answer)}: {show(answer)}."
        )
    raise Wrong(f"{show(answer)} is not the answer. Read the hint, then retry.")


def same(expected: Any, got: Any, tolerance: float = 1e-9) -> bool:
    """Whether two results are equal: types of container, shapes and values.

    Numbers may differ by ``tolerance``, absolute or relative. NaN equals NaN.
    """
    if isinstance(expected, _Raised) or isinstance(got, _Raised):
        return type(expected) is type(got) and expected == got
    if _is_array(expected) or _is_array(got):
        return _same_arrays(expected, got, tolerance)
    if isinstance(expected, bool) or isinstance(got, bool):
        return type(expected) is type(got) and expected == got
    if isinstance(expected, numbers.Real) and isinstance(got, numbers.Real):
        if math.isnan(expected) or math.isnan(got):
            return math.isnan(expected) and math.isnan(got)
        return math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(
            same(expected[key], got[key], tolerance) for key in expected
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(got, type(expected))
            and len(expected) == len(got)
            and all(map(lambda e, g: same(e, g, tolerance), expected, got))
        )
    return type(expected) is type(got) and bool(expected == got)


def show(value: Any, width: int = 160) -> str:
    """A value as one short line of text, for a message."""
    if isinstance(value, _Raised):
        return value.text
    text = repr(value)
    if _is_array(value):
        text = f"{text} of shape {tuple(value.shape)}"
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


@dataclasses.dataclass(frozen=True)
class _Raised:
    """What stands for the result when a function raised; equal by type."""

    kind: type
    text: str = dataclasses.field(compare=False)


def _outcome(function: Callable, case: tuple) -> Any:
    """The result on a copy of the arguments, or the exception it raised."""
    try:
        return function(*copy.deepcopy(case))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        own = where.line and where.filename != __file__  # not this module's
        line = f", at `{where.line}`" if own else ""
        return _Raised(type(error), f"{type(error).__name__}: {error}{line}")


def _refuse_changed_arguments(answer: Callable, case: tuple) -> None:
    given = copy.deepcopy(case)
    answer(*given)
    for before, after in zip(case, given, strict=True):
        if not same(before, after, 0.0):
            raise Wrong(
                "The result is right, but your function changes its argument: "
                f"{show(before)} became {show(after)}. Work on a copy."
            )


def _difference(answer: Callable, case: tuple, expected: Any, got: Any) -> str:
    name = getattr(answer, "__name__", "your function")
    call = f"{name}({', '.join(show(argument) for argument in case)})"
    if isinstance(got, _Raised):
        return f"{call} raised {got.text}."
    if got is None:
        return f"{call} returned None. Is a `return` missing?"
    if isinstance(expected, _Raised):
        return f"{call} should raise {expected.text}. It returned {show(got)}."
    if _is_array(expected) and _is_array(got) and expected.shape != got.shape:
        return (
            f"{call} should have shape {tuple(expected.shape)}, "
            f"but it has {tuple(got.shape)}."
        )
    if isinstance(expected, list | tuple | Mapping) and not isinstance(
        got, type(expected)
    ):
        return f"{call} should be {_kind(expected)}, but it is {_kind(got)}."
    return f"{call}: expected {show(expected)}, got {show(got)}."


def _kind(value: Any) -> str:
    name = type(value).__name__
    article = "an" if name[0] in "aeiou" else "a"
    return f"{article} {name}"


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _same_arrays(expected: Any, got: Any, tolerance: float) -> bool:
    import numpy as np

    if _is_array(expected) != _is_array(got) and not (
        getattr(expected, "shape", ()) == getattr(got, "shape", ()) == ()
    ):
        return False
    pair = [
        value.detach().cpu().numpy() if hasattr(value, "detach") else value
        for value in (expected, got)
    ]
    try:
        a, b = (np.asarray(value) for value in pair)
        if a.shape != b.shape or (a.dtype == bool) != (b.dtype == bool):
            return False
        if a.dtype.kind in "fcbiu" and b.dtype.kind in "fcbiu":
            return bool(
                np.allclose(
                    a, b, rtol=tolerance, atol=tolerance, equal_nan=True
                )
            )
        return bool((a == b).all())
    except (TypeError, ValueError):
        return False
