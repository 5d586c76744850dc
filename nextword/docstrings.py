"""Docstrings of installed libraries: which library does this text come from?

Home: chapter 16, notebooks/16_classification.ipynb. The files are read, never
imported, and nothing of them is kept. The texts differ a little between versions
of the libraries, so no exact count of them is ever asserted. Left out: models,
which `nextword.classifiers` has.
"""

import ast
import hashlib
import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LIBRARIES = ("matplotlib", "networkx", "scipy", "sklearn", "torch")

# Tests of a library, and copies of other people's code in it.
LEFT_OUT = re.compile(
    r"_?tests?|_?test_.*|.*_test|_?testing|conftest|externals|_?vendor.*"
    r"|_numpy|array_api_.*"
)

# What looks like code: roles, text between backquotes, dollar signs or stars,
# addresses, calls, names with a dot, an underscore or a capital inside. And the
# libraries' own names.
NAMES = re.compile(
    r":[\w:]+:`[^`]*`|`+[^`]+`+_*|\$[^$]+\$|\*+\w+\**|https?://\S+"
    r"|\w+\([^()]*\)|[A-Za-z]\w+(?:\.\w+)+|\w*_\w*|\w*[a-z]\w*[A-Z]\w*"
    r"|(?i:\b(?:mpl|plt|np|nx)\b"
    r"|\b\w*(?:matplotlib|pyplot|networkx|numpy|scipy|sklearn|scikit|torch)\w*"
    r"(?:-learn)?)"
)


class Docstring(NamedTuple):
    """The first paragraph of a docstring."""

    text: str  # names replaced by NAME
    raw: str  # as it was written
    label: int  # a place in LIBRARIES
    file: str  # in the library, such as "stats/qmc.py"


def source_files(library: str) -> list[tuple[str, Path]]:
    """The Python files of an installed library: path in it, and where it is.

    Its tests are left out, and what it copied from others. The order is that of
    a hash, so that any beginning is a fair sample. Raises ValueError for a
    library that is not installed.
    """
    spec = importlib.util.find_spec(library)  # this imports nothing
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"The library {library} is not installed. Run `python -m pip "
            "install -r requirements.txt`."
        )
    root = Path(spec.submodule_search_locations[0])
    found = []
    for path in root.rglob("*.py"):
        inside = path.relative_to(root)
        if not any(map(LEFT_OUT.fullmatch, inside.with_suffix("").parts)):
            found.append((inside.as_posix(), path))
    return sorted(found, key=lambda pair: hash_share("order", library, pair[0]))


def hash_share(*words: str) -> float:
    """A number from 0 up to 1 that looks random and depends on nothing else."""
    digest = hashlib.sha256("\0".join(words).encode("utf-8")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def first_paragraphs(source: str) -> Iterator[str]:
    """The first paragraph of each docstring in a file, on one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others' code, such as "\d"
        tree = ast.parse(source)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield " ".join(re.split(r"\n\s*\n", text)[0].split())


def mask_names(text: str) -> str:
    """Put the word NAME for code and for the names of the libraries."""
    text = re.sub(r"[-=~^*#]{4,}", " ", text)  # lines under headings
    return " ".join(NAMES.sub("NAME", text).split())


def is_prose(text: str, least: int = 6) -> bool:
    """Whether a masked text holds so many words beside NAME."""
    words = re.findall(r"[^\W\d_]{2,}", text)
    return len(words) - words.count("NAME") >= least


def read_docstrings(
    libraries: Sequence[str] = LIBRARIES, most: int = 1500, words: int = 24
) -> list[Docstring]:
    """Docstrings of each library, file by file, copies included.

    No file is begun once a library has ``most`` texts. A text is cut after so
    many ``words``. A file that is no Python of this version is skipped.
    """
    found = []
    for label, library in enumerate(libraries):
        start = len(found)
        for inside, path in source_files(library):
            if len(found) - start >= most:
                break
            try:
                raws = list(first_paragraphs(path.read_text(encoding="utf-8")))
            except (SyntaxError, UnicodeDecodeError):
                continue
            for raw in raws:
                text = mask_names(raw)
                if is_prose(text):
                    cut = (" ".join(x.split()[:words]) for x in (text, raw))
                    found.append(Docstring(*cut, label, inside))
    return found


def without_copies(docstrings: Sequence[Docstring]) -> list[Docstring]:
    """Each text once; a text that two libraries share has no label: it goes."""
    labels: dict[str, set[int]] = {}
    for row in docstrings:
        labels.setdefault(row.text.lower(), set()).add(row.label)
    once = {row.text.lower(): row for row in reversed(docstrings)}
    return [
        row
        for row in docstrings
        if len(labels[row.text.lower()]) == 1 and once[row.text.lower()] is row
    ]


class Parts(NamedTuple):
    """Three parts of the texts."""

    train: list[Docstring]
    validation: list[Docstring]
    test: list[Docstring]


def split_docstrings(
    docstrings: Sequence[Docstring], seed: int = 0, by_file: bool = True
) -> Parts:
    """About 60, 20 and 20 of 100 texts; a hash decides where each one goes.

    It hashes the file, so that all texts of a file are in one part. Without
    ``by_file``, it hashes the place in the list: every text goes its own way.
    """
    parts = Parts([], [], [])
    for number, row in enumerate(docstrings):
        unit = f"{row.label} {row.file}" if by_file else str(number)
        where = hash_share("split", str(seed), unit)
        parts[0 if where < 0.6 else 1 if where < 0.8 else 2].append(row)
    return parts
