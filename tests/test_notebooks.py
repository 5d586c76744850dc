"""The rules that every chapter keeps, so that its pages can be believed."""

import itertools
import re

import pytest

import nextword
from tools import notebooks, sync

PATHS = notebooks.paths()
SETUP = f"""\
try:
    import nextword  # noqa: F401
except ModuleNotFoundError:
    %pip install -q "nextword @ git+https://github.com/nextword-course/nextword@v{nextword.__version__}\""""
IGNORED = "nbval-ignore-output"
HTML_TAG = re.compile(r"</?([A-Za-z][\w-]*)[^<>]*>")
WORKPLACE = re.compile(
    r"/(?:home|root|Users|tmp)/|site-packages|0x[0-9a-f]{8,}"
)

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def prose(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def without_code(markdown):
    """The text of a Markdown cell, its code blocks and code spans left out."""
    text = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def text_of(output):
    """The text that an output shows; empty for a picture."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        return ""
    return "".join(data.get(kind, "") for kind in ("text/html", "text/plain"))


def test_outputs_come_from_one_run_from_top_to_bottom(path):
    cells = notebooks.code_cells(notebooks.read(path))
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))


def test_outputs_were_made_by_the_code_that_stands_there(path):
    assert notebooks.is_current(path), "stale outputs: run `make notebooks`"


def test_metadata_is_the_same_after_every_run(path):
    notebook = notebooks.read(path)
    stored = dict(notebook.metadata)
    assert stored.pop("kernelspec") == notebooks.KERNEL
    assert stored.pop("language_info") == notebooks.LANGUAGE
    assert stored.pop("nextword").keys() == {"digest", "seconds"}
    assert not stored, f"metadata that does not belong: {sorted(stored)}"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert cell.metadata.keys() <= {"tags", "mystnb"}
        assert not getattr(cell, "attachments", None)


def test_run_time_is_within_the_budget(path):
    seconds = notebooks.read(path).metadata.nextword.seconds
    assert 0 < seconds <= notebooks.SECONDS_ALLOWED


def test_first_cell_installs_this_version_of_the_library(path):
    first = notebooks.read(path).cells[0]
    assert first.cell_type == "code"
    assert notebooks.tags(first) == ["setup", "remove-cell"]
    assert first.source == SETUP


def test_headings_make_an_outline(path):
    levels = [
        len(marks)
        for cell in prose(notebooks.read(path))
        for marks in re.findall(r"^(#+) ", without_code(cell.source), re.M)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1, "one title a chapter"
    jumps = itertools.pairwise(levels)
    assert all(below <= above + 1 for above, below in jumps), (
        "a level is skipped"
    )


def test_chapter_opens_and_closes_as_all_chapters_do(path):
    cells = prose(notebooks.read(path))
    text = "\n\n".join(cell.source for cell in cells)
    opening = "\n\n".join(cell.source for cell in cells[:3])
    assert re.search(r"^\*\*[^*]+\*\*", opening, re.M), (
        "a bold summary is missing"
    )
    assert "You will build" in opening
    assert re.search(r"^## What you built$", text, re.M)
    assert re.search(r"^## Exercises$", text, re.M)


def test_markdown_is_plain(path):
    for cell in prose(notebooks.read(path)):
        text = without_code(cell.source)
        tags = {tag.lower() for tag in HTML_TAG.findall(text)}
        assert tags <= {"details", "summary"}, f"raw HTML: {sorted(tags)}"
        assert not re.search(r"\{[a-z:-]+\}`", cell.source), "a MyST role"
        assert not re.search(r"^(```|:::)\{", cell.source, re.M), "a directive"
        assert not re.search(r"!\[\s*\]\(", text), "an image without alt text"
        assert text.count("<details>") == text.count("</details>")
        for fold in re.findall(r"</summary>\n(.*?)</details>", text, re.S):
            assert fold.startswith("\n"), "a blank line after </summary>"
            assert fold.endswith("\n\n"), "a blank line before </details>"


def test_equations_are_closed(path):
    for cell in prose(notebooks.read(path)):
        text = without_code(cell.source)
        assert text.count("$$") % 2 == 0
        inline = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
        assert len(re.findall(r"(?<!\\)\$", inline)) % 2 == 0, text


def test_cells_are_short(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        rows = cell.source.splitlines()
        assert len(rows) <= 30, cell.source
        if "setup" not in notebooks.tags(cell):
            assert max(map(len, rows)) <= 80, cell.source


def test_every_code_cell_has_prose_before_it(path):
    cells = notebooks.read(path).cells[1:]
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.source


def test_every_figure_has_alt_text(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        kinds = {kind for out in cell.outputs for kind in out.get("data", {})}
        assert not kinds & {"image/svg+xml", "image/jpeg"}, "figures are PNG"
        if "image/png" in kinds:
            alt = (
                cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            )
            assert len(alt.split()) >= 5, f"no alt text:\n{cell.source}"


def test_no_error_warning_or_machine_shows_in_an_output(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source
            assert not WORKPLACE.search(text_of(output)), text_of(output)
            assert "application/vnd.jupyter.widget-view+json" not in output.get(
                "data", {}
            )


def test_outputs_are_compared_or_asserted(path):
    cells = [
        cell
        for cell in notebooks.code_cells(notebooks.read(path))
        if any(text_of(output).strip() for output in cell.outputs)
    ]
    ignored = [cell for cell in cells if IGNORED in notebooks.tags(cell)]
    assert 5 * len(ignored) <= len(cells), (
        f"{len(ignored)} of {len(cells)} text outputs are not compared"
    )
    for cell in ignored:
        assert re.search(r"^\s*assert ", cell.source, re.M), cell.source


def test_no_tag_is_unknown(path):
    known = {"setup", "remove-cell", "exercise", "hide-input", IGNORED}
    for cell in notebooks.code_cells(notebooks.read(path)):
        assert set(notebooks.tags(cell)) <= known
        assert "NBVAL_" not in cell.source


def test_marked_cells_hold_the_text_of_the_library(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        assert cell.source == sync.synced(cell.source), "run `make sync`"
