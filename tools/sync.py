"""Copy the library's definitions into the cells that show them: ``make sync``.

A cell that begins with the comment ``# nextword/ngram.py`` shows one definition
of that module. Its text is the library's, never its own: this tool rewrites the
source of such cells and touches nothing else. Outputs and ids stay; running it
twice changes nothing the second time.
"""

import ast
import re
import sys
from pathlib import Path

from tools import notebooks

MARK = re.compile(r"# (nextword/[\w/]+\.py)\n")
NAME = re.compile(
    r"^(?:(?:async )?def|class) (\w+)|^(\w+)(?:: [^=\n]+)? = ", re.M
)


def definitions(path: Path) -> dict[str, str]:
    """Every top-level definition of a module, by name, with its exact text.

    A definition is a function, a class or a named constant. The comment lines
    that touch its first line belong to it, and so do its decorators.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        name = _name(node)
        if name is None:
            continue
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)]) - 1
        while first > 0 and lines[first - 1].startswith("#"):
            first -= 1
        found[name] = "\n".join(lines[first : node.end_lineno])
    return found


def shown(source: str) -> tuple[str, str] | None:
    """The module file and the name that a marked cell shows; None if unmarked.

    Raises ValueError for a mark with no definition below it.
    """
    mark = MARK.match(source)
    if mark is None:
        return None
    name = NAME.search(source, mark.end())
    if name is None:
        raise ValueError(
            f"A cell marked '# {mark.group(1)}' defines nothing. "
            "Write the first line of the definition below the mark."
        )
    return mark.group(1), name.group(1) or name.group(2)


def synced(source: str) -> str:
    """What the source of a cell should be. An unmarked cell stays as it is.

    Raises ValueError if the library has no such module or definition.
    """
    found = shown(source)
    if found is None:
        return source
    module, name = found
    path = notebooks.ROOT / module
    if not path.is_file():
        raise ValueError(
            f"A cell is marked '# {module}', but there is no such file."
        )
    texts = definitions(path)
    if name not in texts:
        raise ValueError(
            f"{module} does not define {name}, which a cell shows."
        )
    return f"# {module}\n{texts[name]}"


def main() -> int:
    """Bring every marked cell up to date; say which changed."""
    changed = 0
    for path in notebooks.paths():
        notebook = notebooks.read(path)
        before = [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = synced(cell.source)
        after = [cell.source for cell in notebook.cells]
        if before != after:
            notebooks.write(path, notebook)
            changed += 1
            print(f"{path.name}: {sum(map(str.__ne__, before, after))} cells")
    print(
        f"{changed} notebooks changed." if changed else "Every cell is in step."
    )
    return 0


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


if __name__ == "__main__":
    sys.exit(main())
