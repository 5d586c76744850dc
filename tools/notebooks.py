"""Read, execute and normalise the course's notebooks: ``make notebooks``.

A notebook is executed again when the digest of its code, and of the library
modules that this code imports, is not the one stored with it. Its metadata then
holds the new digest and the measured run time, and nothing that differs from one
run to the next: no time stamps, no versions, no widget state.
"""

import ast
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from nextword import storage

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"TQDM_DISABLE": "1"}  # progress bars do not belong in a page
FOLDER = ROOT / "notebooks"
SECONDS_ALLOWED = 150  # for one notebook, on two cores, also on a slow day
KERNEL = {
    "display_name": "Python 3",
    "language": "python",
    "name": "python3",
}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}


def paths() -> list[Path]:
    """The chapters, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook of one chapter."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells that hold something, in order."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def python_source(cell: nbformat.NotebookNode) -> str:
    """The source of a code cell, with IPython's % and ! lines made inert."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)


def module_path(module: str) -> Path | None:
    """The file of a library module, ``nextword.ngram``; None if it is no file."""
    stem = ROOT / Path(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def imported_modules(source: str) -> set[str]:
    """The library modules that a text imports directly, by full name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif (
            isinstance(node, ast.ImportFrom) and node.module and not node.level
        ):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if module_path(n) else node.module for n in names]
        else:
            continue
        found.update(n for n in names if n.split(".")[0] == "nextword")
    return {name for name in found if module_path(name)}


def imported_closure(modules: set[str]) -> set[str]:
    """The modules, and all library modules that they import in turn."""
    closed: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        closed.add(module)
        source = module_path(module).read_text(encoding="utf-8")
        waiting |= imported_modules(source) - closed
    return closed


def chapter_imports(notebook: nbformat.NotebookNode) -> set[str]:
    """The library modules that the cells of a chapter import directly."""
    modules: set[str] = set()
    for cell in code_cells(notebook):
        modules |= imported_modules(python_source(cell))
    return modules


def digest(notebook: nbformat.NotebookNode, number: int) -> str:
    """SHA-256 of the chapter's code and of the library code that it runs."""
    content = hashlib.sha256()
    for cell in code_cells(notebook):
        content.update(cell.source.encode("utf-8") + b"\0")
    modules = imported_closure(chapter_imports(notebook))
    if "nextword.exercises" in modules:
        modules |= imported_closure(
            {f"nextword.exercises.chapter_{number:02d}"}
        )
    for module in sorted(modules):
        content.update(module_path(module).read_bytes() + b"\0")
    return content.hexdigest()


def chapter_number(path: Path) -> int:
    """5 for ``05_attention.ipynb``."""
    return int(path.name[:2])


def chapter_title(notebook: nbformat.NotebookNode) -> str:
    """The first heading of the chapter."""
    for cell in notebook.cells:
        match = re.match(r"# (.+)", cell.source)
        if cell.cell_type == "markdown" and match:
            return match.group(1).strip()
    raise ValueError("The notebook has no '# ' heading. Give it a title.")


def execute(path: Path) -> float:
    """Run a chapter from top to bottom and store its outputs; return seconds.

    Nothing is written if a cell raises.
    """
    notebook = read(path)
    with tempfile.TemporaryDirectory() as home:
        client = NotebookClient(
            notebook,
            timeout=5 * SECONDS_ALLOWED,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        start = time.perf_counter()
        client.execute(env={**os.environ, **QUIET, "NEXTWORD_HOME": home})
        seconds = time.perf_counter() - start
    normalise(notebook)
    notebook.metadata["nextword"] = {
        "digest": digest(notebook, chapter_number(path)),
        "seconds": round(seconds, 1),
    }
    write(path, notebook)
    return seconds


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Remove what differs between two runs of the same notebook."""
    kept = notebook.metadata.get("nextword")
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    if kept:
        notebook.metadata["nextword"] = kept
    notebook.nbformat_minor = 5
    for cell in notebook.cells:
        for name in ("execution", "ExecuteTime", "collapsed", "scrolled"):
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = _joined_streams(cell.outputs)


def _joined_streams(outputs: list) -> list:
    """The same outputs, with printed text in one piece, however it arrived."""
    joined: list = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if (
            output.output_type == "stream"
            and before.get("output_type") == "stream"
            and before.name == output.name
        ):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a chapter, whole or not at all."""
    nbformat.validate(notebook)
    storage.write_text(path, nbformat.writes(notebook) + "\n")


def is_current(path: Path) -> bool:
    """Whether the stored outputs were made by the code that stands there now."""
    notebook = read(path)
    stored = notebook.metadata.get("nextword", {}).get("digest")
    return stored == digest(notebook, chapter_number(path))


def main(arguments: list[str]) -> int:
    """Execute the notebooks named, or else those that are not current."""
    if not arguments:
        chosen = [path for path in paths() if not is_current(path)]
    else:
        chosen = [Path(name).resolve() for name in arguments]
    if not chosen:
        print("Every notebook is current.")
    for path in chosen:
        print(f"{path.name} …", end=" ", flush=True)
        print(f"{execute(path):.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
