"""Every exercise: the skeleton is open, the solution passes, mistakes are named."""

import ast
import importlib
import re
from functools import cache

import pytest

import nextword.exercises as exercises
from tools import notebooks, sync

HEADING = re.compile(
    r"### Exercise (\d+\.\d+) · (.+) \((★|★★|★★★), (\d+) min\)$", re.M
)
PATHS = notebooks.paths()
DRAWS = 20  # inputs are random: a check that fails once in ten must not pass


@cache
def of_notebook(path):
    """Exercise id to (title, markdown cell, code cell or None) of a chapter."""
    found = {}
    cells = notebooks.read(path).cells
    for index, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        if match := HEADING.match(cell.source):
            after = cells[index + 1] if index + 1 < len(cells) else None
            checked = after is not None and "exercise" in notebooks.tags(after)
            found[match[1]] = (match[2], cell, after if checked else None)
    return found


def chapter_namespace(path):
    """What an exercise may use: the imports and definitions of its chapter."""
    namespace = {"__name__": "chapter"}
    for cell in notebooks.code_cells(notebooks.read(path)):
        if set(notebooks.tags(cell)) & {"setup", "exercise"}:
            continue
        tree = ast.parse(notebooks.python_source(cell))
        allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        if sync.shown(cell.source) or all(
            isinstance(node, allowed) for node in tree.body
        ):
            exec(cell.source, namespace)
    return namespace


def split_check(cell):
    """The code of an exercise cell without its last line, and that line's answer."""
    tree = ast.parse(cell.source)
    call = tree.body[-1].value
    assert call.func.id == "check"
    id, answer = call.args
    lines = cell.source.splitlines()[: tree.body[-1].lineno - 1]
    return "\n".join(lines), id.value, ast.unparse(answer)


def solution(cell):
    """The code of the folded solution."""
    fold = re.search(
        r"<summary>Solution</summary>(.*?)</details>", cell.source, re.S
    )
    return re.search(r"^```python\n(.*?)^```", fold[1], re.M | re.S)[1]


CHECKED = [
    pytest.param(path, id, id=id)
    for path in PATHS
    for id, (_, _, code) in of_notebook(path).items()
    if code is not None
]
WRONG = [
    pytest.param(path, id, answer, message, id=f"{id}-{number}")
    for path in PATHS
    for id, wrong in importlib.import_module(
        f"tests.wrong_answers.chapter_{notebooks.chapter_number(path):02d}"
    ).WRONG.items()
    for number, (answer, message) in enumerate(wrong, 1)
]


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTWORD_HOME", str(tmp_path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_chapter_has_its_exercises(path):
    number = notebooks.chapter_number(path)
    found = of_notebook(path)
    checked = {id for id, (_, _, code) in found.items() if code is not None}
    assert len(found) >= 4
    assert len(checked) >= 3
    assert list(found) == [f"{number}.{i}" for i in range(1, len(found) + 1)]
    assert checked == {exercise.id for exercise in exercises.of_chapter(number)}
    for exercise in exercises.of_chapter(number):
        assert exercise.title == found[exercise.id][0]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_exercise_heading_is_read(path):
    text = "\n".join(cell.source for cell in notebooks.read(path).cells)
    assert text.count("### Exercise ") == len(of_notebook(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_exercise_has_a_hint_and_a_solution(path):
    for id, (_, cell, code) in of_notebook(path).items():
        assert "<summary>Hint</summary>" in cell.source, id
        if code is not None:
            assert solution(cell).strip(), id


@pytest.mark.parametrize(("path", "id"), CHECKED)
def test_the_skeleton_is_unsolved(path, id):
    _, _, cell = of_notebook(path)[id]
    code, checked_id, answer = split_check(cell)
    assert checked_id == id
    namespace = chapter_namespace(path)
    exec(code, namespace)
    for _ in range(DRAWS):
        verdict = exercises.check(id, eval(answer, namespace))
        assert verdict.status == "unsolved", verdict


@pytest.mark.parametrize(("path", "id"), CHECKED)
def test_the_folded_solution_passes(path, id):
    _, markdown, cell = of_notebook(path)[id]
    _, _, answer = split_check(cell)
    namespace = chapter_namespace(path)
    exec(solution(markdown), namespace)
    for _ in range(DRAWS):
        verdict = exercises.check(id, eval(answer, namespace))
        assert verdict.status == "solved", verdict


@pytest.mark.parametrize(("path", "id"), CHECKED)
def test_three_or_more_wrong_answers_are_kept(path, id):
    number = notebooks.chapter_number(path)
    module = importlib.import_module(
        f"tests.wrong_answers.chapter_{number:02d}"
    )
    messages = {message for _, message in module.WRONG[id]}
    assert len(module.WRONG[id]) >= 3
    assert len(messages) >= 3, "three different mistakes"


@pytest.mark.parametrize(("path", "id", "answer", "message"), WRONG)
def test_a_wrong_answer_gets_the_message_meant_for_it(
    path, id, answer, message
):
    assert len(message) >= 8, "a message this short matches by chance"
    for _ in range(DRAWS):
        verdict = exercises.check(id, answer)
        assert verdict.status == "wrong", verdict
        assert message in verdict.message
