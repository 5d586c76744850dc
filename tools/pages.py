"""Write the generated parts of the book: ``make pages``.

They are the page "Where each function is built", the pages of run times and of
benchmarks, and the table of chapters in the README. All follow from the library,
the notebooks, the records and the tests; a test holds the committed files against
them.
"""

import ast
import json
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from tools import notebooks, sync

# The modules whose public definitions the chapters show.
TAUGHT = (
    "nextword.metrics",
    "nextword.ngram",
    "nextword.tokenizer",
    "nextword.attention",
    "nextword.layers",
    "nextword.positions",
    "nextword.blocks",
    "nextword.transformer",
    "nextword.losses",
    "nextword.optim",
    "nextword.batches",
    "nextword.checkpoints",
    "nextword.training",
    "nextword.cache",
    "nextword.flat",
    "nextword.generation",
    "nextword.search",
    "nextword.speculative",
    "nextword.stories",
    "nextword.evaluation",
    "nextword.masking",
    "nextword.gaps",
    "nextword.filling",
    "nextword.scaling",
    "nextword.finetuning",
    "nextword.lora",
    "nextword.records",
    "nextword.town_tasks",
    "nextword.transfer",
    "nextword.docstrings",
    "nextword.classification",
    "nextword.classifiers",
    "nextword.reviews",
    "nextword.sentences",
    "nextword.sentiment",
    "nextword.review_models",
    "nextword.attribution",
    "nextword.bleu",
    "nextword.translation",
    "nextword.alignment",
    "nextword.squad_metrics",
    "nextword.spans",
    "nextword.town_spans",
    "nextword.prompting",
    "nextword.instructions",
    "nextword.preferences",
    "nextword.layouts",
    "nextword.weights",
    "nextword.wordpiece",
    "nextword.hub_tokenizers",
    "nextword.hub_forms",
    "nextword.hub",
    "nextword.hub_reading",
    "nextword.hub_training",
    "nextword.patching",
    "nextword.induction",
    "nextword.probing",
    "nextword.sparse",
    "nextword.speed_gpt",
    "nextword.speedrun",
    "nextword.costs",
    "nextword.recompute",
    "nextword.quantisation",
    "nextword.distillation",
    "nextword.privacy",
    "nextword.dpsgd",
    "nextword.association",
    "nextword.hallucination",
)
REPOSITORY = "https://github.com/nextword-course/nextword"
COLAB = "https://colab.research.google.com/github/nextword-course/nextword/blob/main"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def public_definitions(module: str) -> dict[str, str]:
    """The names that a module offers, each with the text of its definition."""
    texts = sync.definitions(notebooks.module_path(module))
    return {n: text for n, text in texts.items() if not n.startswith("_")}


@cache
def homes() -> dict[tuple[str, str], list[Path]]:
    """For each (module, name), the chapters with a marked cell that shows it."""
    found = defaultdict(list)
    for path in notebooks.paths():
        for cell in notebooks.code_cells(notebooks.read(path)):
            if shown := sync.shown(cell.source):
                file, name = shown
                module = file.removesuffix(".py").replace("/", ".")
                found[module, name].append(path)
    return dict(found)


def tests_of(module: str, name: str) -> dict[str, int]:
    """Test file to the number of its tests that use a library definition.

    A test uses a definition when its body names it, or names a helper of the
    same file that does.
    """
    short = module.split(".")[-1]
    counts = {}
    for path in sorted((notebooks.ROOT / "tests").glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(rf"\b{short}\b", text):
            continue
        uses = _names_by_definition(text)
        helpers = {n for n, used in uses.items() if name in used}
        number = sum(
            n.startswith("test_") and (name in used or bool(used & helpers))
            for n, used in uses.items()
        )
        if number:
            counts[path.name] = number
    return counts


def used_by(module: str, name: str) -> list[str]:
    """The other definitions of a module that use one of its definitions."""
    return [
        other
        for other, text in public_definitions(module).items()
        if other != name and name in _names(ast.parse(text))
    ]


def library_page() -> str:
    """``book/library.md``: every definition, its chapter and its tests."""
    lines = [
        "# Where each function is built",
        "",
        "The chapters build a small library, `nextword`. Each of its definitions",
        "is shown and explained in one chapter, and the cell there holds the very",
        "text of the library. Later chapters import it. This page is made from",
        "the library, the notebooks and the tests.",
    ]
    for module in TAUGHT:
        path = notebooks.module_path(module)
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        file = path.relative_to(notebooks.ROOT).as_posix()
        lines += [
            "",
            f"## `{module}`",
            "",
            docstring.split("\n\n")[0].replace("\n", " "),
            f"[The whole module]({REPOSITORY}/blob/main/{file}).",
            "",
            "| definition | what it does | chapter | tests |",
            "| --- | --- | --- | --- |",
        ]
        for name, text in public_definitions(module).items():
            chapters = ", ".join(
                f"[{notebooks.chapter_number(home)}](../notebooks/{home.name})"
                for home in homes().get((module, name), [])
            )
            tests = ", ".join(
                f"[{number} in `{file}`]({REPOSITORY}/blob/main/tests/{file})"
                for file, number in tests_of(module, name).items()
            )
            users = ", ".join(f"`{user}`" for user in used_by(module, name))
            tests = tests or f"through {users}"
            lines.append(
                f"| `{name}` | {_summary(text)} | {chapters} | {tests} |"
            )
    return "\n".join(lines) + "\n"


def run_time_page() -> str:
    """``book/running.md``: how long each chapter takes."""
    lines = [
        "# Run times",
        "",
        "What a full run of each chapter took when its outputs were stored, on",
        "two processor cores, without a GPU, the start of Python included. No",
        f"chapter may take more than {notebooks.SECONDS_ALLOWED} seconds there.",
        "",
        "| chapter | cells of code | seconds |",
        "| --- | ---: | ---: |",
    ]
    total = 0.0
    for path in notebooks.paths():
        notebook = notebooks.read(path)
        seconds = notebook.metadata.nextword.seconds
        total += seconds
        lines.append(
            f"| [{_name(path)}](../notebooks/{path.name}) "
            f"| {len(notebooks.code_cells(notebook))} | {seconds:.0f} |"
        )
    lines.append(f"| all | | {total:.0f} |")
    return "\n".join(lines) + "\n"


def benchmark_page() -> str:
    """``book/benchmarks.md``: what was measured beside other programs."""
    lines = [
        "# Benchmarks",
        "",
        "**What was measured outside the chapters, and on which machine.** The",
        "command in each section measures again; `make benchmarks` runs them",
        "all. Times of different machines cannot be compared, so each table is",
        "one run on one machine.",
    ]
    folder = notebooks.ROOT / "benchmarks"
    for path in sorted((folder / "results").glob("*.json")):
        lines += ["", *_record(path, folder / f"{path.stem}.py")]
    return "\n".join(lines) + "\n"


def _record(path: Path, program: Path) -> list[str]:
    """One section: what was done, where, and the rows if they are few."""
    record = json.loads(path.read_text(encoding="utf-8"))
    doc = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8")))
    machine, rows = record["machine"], record["rows"]
    versions = [f"{name} {v}" for name, v in machine["packages"].items()]
    where = [
        f"{machine['processor']}, {machine['cores']} cores",
        f"Python {machine['python']}",
        *versions,
    ]
    lines = [f"## {path.stem.capitalize()}", "", doc.split("\n")[0], ""]
    lines += ["```bash", record["command"], "```", ""]
    lines += [f"Measured on {record['date']}: {', '.join(where)}."]
    lines += record["notes"] + [""]
    if len(rows) > 20:
        file = f"{REPOSITORY}/blob/main/{path.relative_to(notebooks.ROOT)}"
        return [*lines, f"The {len(rows)} rows are in [the record]({file})."]
    columns = list(
        dict.fromkeys(
            key
            for row in rows
            for key, value in row.items()
            if not isinstance(value, list)
        )
    )
    lines += [f"| {' | '.join(name.replace('_', ' ') for name in columns)} |"]
    lines += [f"| {' | '.join('---' for _ in columns)} |"]
    for row in rows:
        cells = (_cell(row.get(name, "")) for name in columns)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(value: object) -> str:
    """A value as a table shows it; a bar would end its column."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|")


def readme(text: str) -> str:
    """The README with its table of chapters made anew."""
    rows = ["| chapter | run time | run it online |", "| --- | ---: | --- |"]
    for path in notebooks.paths():
        seconds = notebooks.read(path).metadata.nextword.seconds
        rows.append(
            f"| [{_name(path)}](notebooks/{path.name}) | {seconds:.0f} s "
            f"| [![Open chapter {notebooks.chapter_number(path)} in Colab]"
            f"({BADGE})]({COLAB}/notebooks/{path.name}) |"
        )
    begin, end = "<!-- chapters -->\n", "<!-- /chapters -->"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    return head + begin + "\n".join(rows) + "\n" + end + tail


def generated() -> dict[Path, str]:
    """Every generated file with the text it should hold."""
    homes.cache_clear()
    book, front = notebooks.ROOT / "book", notebooks.ROOT / "README.md"
    return {
        book / "library.md": library_page(),
        book / "running.md": run_time_page(),
        book / "benchmarks.md": benchmark_page(),
        front: readme(front.read_text(encoding="utf-8")),
    }


def main() -> int:
    """Write what is out of date; say what was written."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path.relative_to(notebooks.ROOT)}")
    return 0


def _name(path: Path) -> str:
    title = notebooks.chapter_title(notebooks.read(path))
    return f"{notebooks.chapter_number(path)}. {title}"


@cache
def _names_by_definition(text: str) -> dict[str, set[str]]:
    """The names in each function and class of a file; each file is read once."""
    return {
        node.name: _names(node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _names(tree: ast.AST) -> set[str]:
    """All plain and attribute names in a piece of code."""
    plain = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return plain | {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)
    }


def _summary(definition: str) -> str:
    """The first sentence of a docstring; for a constant, its comment or value."""
    node = ast.parse(definition).body[0]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        first = (ast.get_docstring(node) or "").split("\n\n")[0]
        text = " ".join(first.split())
        text = re.split(r"(?<=[.])\s", text)[0].replace("``", "`")
        text = re.sub(r"(?<!`)\$(?!`)", "`$`", text)  # a sign, no formula
    else:
        comments = re.match(r"(?:# .*\n)*", definition).group()
        text = comments.replace("# ", "").replace("\n", " ").strip()
        value = ast.unparse(node.value)
        if len(value) > 60:  # too long for a cell of a table
            value = value[:40].replace("`", "") + "…"
        text = text or f"`{value}`"
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
