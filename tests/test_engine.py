"""The exercise engine itself: verdicts, diagnoses, progress."""

import collections
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nextword.exercises as exercises
from nextword import cli
from nextword.exercises import progress
from nextword.exercises.engine import (
    Exercise,
    Mistake,
    Unsolved,
    Wrong,
    compare,
    examine_value,
    same,
    show,
)


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTWORD_HOME", str(tmp_path / "home"))


def double(x):
    return 2 * x


DOUBLE_CASES = [(1,), (3,), (10,)]


def judge(answer, mistakes=()):
    compare(answer, double, DOUBLE_CASES, mistakes)


@pytest.fixture
def with_exercise(monkeypatch):
    """Chapter 0 has one exercise while the test runs."""
    examine = Exercise("0.1", "Double", lambda answer, rng: judge(answer))
    monkeypatch.setattr(
        exercises, "of_chapter", lambda number: [examine] if number == 0 else []
    )
    monkeypatch.setattr(exercises, "all_exercises", lambda: [examine])
    monkeypatch.setattr(cli, "all_exercises", lambda: [examine])


@pytest.mark.parametrize("answer", [None, ..., lambda x: ...])
def test_nothing_yet_is_unsolved(answer):
    with pytest.raises(Unsolved):
        judge(answer)


def test_the_right_answer_passes():
    judge(lambda x: x + x)


def test_the_result_instead_of_the_function_is_named():
    with pytest.raises(Wrong, match="without parentheses"):
        judge(6)


def test_a_known_mistake_is_recognised_by_what_it_does():
    square = Mistake(lambda x: x**2, "You square the number.")
    with pytest.raises(Wrong, match="You square"):
        judge(lambda x: x * x, [square])


def test_an_unknown_mistake_shows_the_first_case_that_fails():
    def triple(x):
        return 3 * x

    with pytest.raises(Wrong, match=r"triple\(1\): expected 2, got 3"):
        judge(triple)


def test_an_exception_is_shown_with_its_line():
    def broken(x):
        return x["a"]

    with pytest.raises(Wrong, match=r"broken\(1\) raised .*, at `return x\["):
        judge(broken)


def test_an_exception_where_an_array_belongs_is_shown():
    def broken(x):
        return np.split(np.ones(x), 2)

    with pytest.raises(Wrong, match=r"broken\(3\) raised ValueError: array sp"):
        compare(broken, np.ones, [(3,)], [Mistake(np.zeros, "zeros")])


def test_a_wrong_number_of_arguments_shows_no_line_of_the_engine():
    with pytest.raises(Wrong, match="takes 0 positional arguments") as caught:
        judge(lambda: 1)
    assert "`" not in str(caught.value)


def test_a_missing_return_is_named():
    with pytest.raises(Wrong, match="Is a `return` missing"):
        judge(lambda x: 2 if x == 1 else None)
    with pytest.raises(Wrong, match="Is a `return` missing"):
        judge(lambda x: None)


def test_a_wrong_container_is_named():
    with pytest.raises(Wrong, match="should be a list, but it is a tuple"):
        compare(lambda x: (x,), lambda x: [x], [(1,)])


def test_a_wrong_shape_is_named():
    with pytest.raises(Wrong, match=r"should have shape \(2, 3\)"):
        compare(lambda x: x.T, lambda x: x, [(np.ones((2, 3)),)])


def test_a_changed_argument_is_named():
    def clears(xs):
        total = sum(xs)
        xs.clear()
        return total

    with pytest.raises(Wrong, match="changes its argument"):
        compare(clears, sum, [([1, 2],)])


def test_an_answer_cannot_spoil_the_inputs_of_the_next_case():
    shared = [3, 1, 2]

    def sorts_in_place(xs):
        xs.sort()
        return xs

    with pytest.raises(Wrong, match="changes its argument"):
        compare(sorts_in_place, sorted, [(shared,)])
    assert shared == [3, 1, 2]


def test_an_expected_exception_must_be_raised():
    def reference(x):
        raise ValueError("no")

    with pytest.raises(Wrong, match="should raise ValueError"):
        compare(lambda x: x, reference, [(1,)])
    with pytest.raises(Wrong, match="raised KeyError"):
        compare({}.__getitem__, reference, [(1,)])


def test_values():
    examine_value(0.5, 0.5)
    examine_value(2, 2.0)
    with pytest.raises(Unsolved):
        examine_value(..., 1)
    with pytest.raises(Wrong, match="inverse"):
        examine_value(2.0, 0.5, {2.0: "This is the inverse."})
    with pytest.raises(Wrong, match="should be a list, but it is an int"):
        examine_value(3, [3])
    with pytest.raises(Wrong, match="not the answer"):
        examine_value(7, 8)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        (1, 1.0, True),
        (True, 1, False),
        (float("nan"), math.nan, True),
        ([1, 2], (1, 2), False),
        ([1, 2], [1, 2, 3], False),
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, True),
        ({"a": 1}, {"b": 1}, False),
        (collections.Counter("aab"), {"a": 2, "b": 1}, True),
        ("a", b"a", False),
        (np.eye(2), np.eye(2), True),
        (np.eye(2), np.eye(3), False),
        (np.eye(2), np.eye(2).tolist(), False),
        (torch.eye(2), np.eye(2), True),
        (torch.tensor(0.5), 0.5, True),
        (torch.tensor([True]), torch.tensor([1]), False),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), True),
    ],
)
def test_same(a, b, equal):
    assert same(a, b) is equal
    assert same(b, a) is equal


@given(st.recursive(st.integers() | st.text(), st.lists, max_leaves=8))
def test_everything_is_the_same_as_itself(value):
    assert same(value, value)
    assert len(show(value)) <= 160


def test_check_never_raises_for_an_answer(with_exercise):
    class Strange:
        def __call__(self, x):
            raise KeyboardInterrupt if False else SystemError("odd")

        def __repr__(self):
            raise RuntimeError("no repr")

    for answer in (Strange(), 5, "text", [], object(), lambda: 1, Strange):
        assert exercises.check("0.1", answer).status == "wrong"


def test_check_names_an_unknown_exercise(with_exercise):
    with pytest.raises(
        ValueError, match=r"no checked exercise '0\.9'. It has 0\.1"
    ):
        exercises.check("0.9", double)
    for id in ("x", "77.1", "", 3):
        with pytest.raises(ValueError, match="There is no exercise"):
            exercises.check(id, double)


def test_verdicts_read_well_in_text_and_html(with_exercise):
    wrong = exercises.check("0.1", lambda x: "<b>")
    assert repr(wrong).startswith("✗ Exercise 0.1, Double: not right yet.\n")
    assert "&lt;b&gt;" in wrong._repr_html_()
    assert "<b>" not in wrong._repr_html_()
    assert repr(exercises.check("0.1", ...)).startswith("○ ")
    assert (
        repr(exercises.check("0.1", double))
        == "✓ Exercise 0.1, Double: solved."
    )


def test_solved_is_remembered_and_wrong_is_not(with_exercise, capsys):
    exercises.check("0.1", lambda x: 0)
    assert progress.solved() == {}
    assert cli.main(["progress"]) == 0
    assert "○ 0.1  Double" in capsys.readouterr().out
    exercises.check("0.1", double)
    assert list(progress.solved()) == ["0.1"]
    assert cli.main(["progress"]) == 0
    report = capsys.readouterr().out
    assert "✓ 0.1  Double" in report
    assert "1 of 1 exercises solved" in report


def test_a_damaged_progress_file_is_refused_and_kept(with_exercise, capsys):
    progress.path().parent.mkdir(parents=True)
    progress.path().write_text('{"0.1": "2026-')
    assert cli.main(["progress"]) == 1
    assert "is damaged" in capsys.readouterr().err
    verdict = exercises.check("0.1", double)
    assert verdict.status == "solved"
    assert "could not be saved" in verdict.message
    assert progress.path().read_text() == '{"0.1": "2026-'


def test_progress_that_cannot_be_written_is_said(
    with_exercise, tmp_path, monkeypatch
):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NEXTWORD_HOME", str(blocked / "below"))
    verdict = exercises.check("0.1", double)
    assert verdict.status == "solved"
    assert "could not be saved" in verdict.message


def test_a_failed_write_leaves_the_old_file(with_exercise, monkeypatch):
    progress.remember("0.1")
    before = progress.path().read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", _no_space)
    assert "No space left" in progress.remember("0.2")
    assert progress.path().read_bytes() == before
    assert [path.name for path in progress.path().parent.iterdir()] == [
        "progress.json"
    ]


def _no_space(self, target):
    raise OSError(28, "No space left on device")
