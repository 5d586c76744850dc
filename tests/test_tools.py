"""The tools behind ``make sync``, ``make notebooks`` and ``make pages``."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks, pages, sync

MODULE = '''"""A module."""

import functools

LIMIT = 3


# Why it is cached.
@functools.cache
def f(x):
    """One."""
    return x + LIMIT  # three


class C:
    """Two."""

    y: int = 1
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project: one module and one chapter that shows it."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path / "notebooks")
    (tmp_path / "nextword").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "nextword" / "ngram.py").write_text(MODULE)
    return tmp_path


def save(project, *sources, number=1):
    """A chapter of one title and the code cells given."""
    cells = [new_markdown_cell("# Trial"), *map(new_code_cell, sources)]
    notebook = new_notebook(cells=cells)
    path = project / "notebooks" / f"{number:02d}_trial.ipynb"
    nbformat.write(notebook, path)
    return path


def test_definitions_carry_their_comments_and_decorators(project):
    texts = sync.definitions(project / "nextword" / "ngram.py")
    assert list(texts) == ["LIMIT", "f", "C"]
    assert texts["LIMIT"] == "LIMIT = 3"
    assert texts["f"].startswith(
        "# Why it is cached.\n@functools.cache\ndef f(x):"
    )
    assert texts["f"].endswith("return x + LIMIT  # three")


def test_sync_fills_marked_cells_and_touches_nothing_else(project, capsys):
    path = save(
        project, "# nextword/ngram.py\ndef f(x): old", "y = 1  #  as it is"
    )
    before = notebooks.read(path)
    before.cells[1].outputs = [nbformat.v4.new_output("stream", text="kept")]
    nbformat.write(before, path)
    assert sync.main() == 0
    after = notebooks.read(path)
    library = sync.definitions(project / "nextword" / "ngram.py")
    assert after.cells[1].source == "# nextword/ngram.py\n" + library["f"]
    after.cells[1].source = before.cells[1].source
    assert after == before
    once = path.read_bytes()
    sync.main()
    assert "Every cell is in step." in capsys.readouterr().out
    sync.synced(notebooks.read(path).cells[1].source)
    assert path.read_bytes() == once


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# nextword/ngram.py\nprint(1)", "defines nothing"),
        ("# nextword/nothing.py\ndef f(): ...", "no such file"),
        ("# nextword/ngram.py\ndef g(): ...", "does not define g"),
    ],
)
def test_sync_names_what_is_missing(project, source, message):
    with pytest.raises(ValueError, match=message):
        sync.synced(source)


def test_one_changed_character_in_a_marked_cell_is_seen(project):
    right = sync.synced("# nextword/ngram.py\ndef f(x): ...")
    assert sync.synced(right) == right
    wrong = right.replace("three", "threa")
    assert sync.synced(wrong) != wrong


def test_a_definition_shown_twice_is_seen(project):
    mark = "# nextword/ngram.py\nclass C: ..."
    save(project, mark, mark)
    pages.homes.cache_clear()
    assert len(pages.homes()["nextword.ngram", "C"]) == 2
    pages.homes.cache_clear()


def test_imports_are_followed(project):
    (project / "nextword" / "corpora.py").write_text(
        "from nextword import ngram\n"
    )
    direct = notebooks.imported_modules("from nextword.corpora import x\n")
    assert direct == {"nextword.corpora"}
    assert "nextword.ngram" in notebooks.imported_closure(direct)


def test_execution_is_deterministic_and_noticed_when_stale(project):
    path = save(
        project,
        "import random\nimport warnings\nrandom.Random(1).random()",
        "%timeit -n1 -r1 pass\nprint(2)",
    )
    (project / "nextword" / "__init__.py").write_text("")
    notebooks.execute(path)
    first = notebooks.read(path)
    assert notebooks.is_current(path)
    assert [c.execution_count for c in notebooks.code_cells(first)] == [1, 2]
    notebooks.execute(path)
    second = notebooks.read(path)
    for notebook in (first, second):
        notebook.metadata.nextword.seconds = 0
        notebook.cells[2].outputs = []
    assert first == second
    second.cells[1].source += " "
    notebooks.write(path, second)
    assert not notebooks.is_current(path)


def test_changed_library_code_makes_a_chapter_stale(project):
    (project / "nextword" / "__init__.py").write_text("")
    path = save(project, "from nextword import ngram")
    before = notebooks.digest(notebooks.read(path), 1)
    (project / "nextword" / "ngram.py").write_text(MODULE + "Z = 1\n")
    assert notebooks.digest(notebooks.read(path), 1) != before


def test_a_chapter_that_raises_is_not_written(project):
    path = save(project, "print(1)", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.execute(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_generated_pages_are_up_to_date():
    for path, text in pages.generated().items():
        assert path.read_text("utf-8") == text, "run `make pages`"


def test_a_summary_is_one_sentence():
    assert pages._summary('def f():\n    """One. Two."""') == "One."
    assert pages._summary("X = 3") == "`3`"
    assert pages._summary("# What X is.\nX = 3") == "What X is."


def test_a_definition_without_a_test_of_its_own_names_what_uses_it():
    assert "count" in pages.used_by("nextword.ngram", "ngrams")
    for module in pages.TAUGHT:
        for name in pages.public_definitions(module):
            assert pages.tests_of(module, name) or pages.used_by(module, name)


def test_tests_are_found_by_the_names_they_use():
    assert pages.tests_of("tools.sync", "synced")["test_tools.py"] >= 2
    assert pages.tests_of("tools.sync", "no_such_name") == {}
