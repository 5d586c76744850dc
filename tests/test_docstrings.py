"""Docstrings: read without an import, masked, without copies, split by file."""

import hashlib
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword import docstrings
from nextword.docstrings import (
    LIBRARIES,
    Docstring,
    first_paragraphs,
    hash_share,
    is_prose,
    mask_names,
    read_docstrings,
    source_files,
    split_docstrings,
    without_copies,
)


@pytest.fixture(scope="module")
def rows():
    return read_docstrings()


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that cannot be imported, but can be read."""
    root = tmp_path / "quarry"
    files = {
        "__init__.py": '"""All about stones and how to find them."""\n1 / 0\n',
        "sub/deep.py": (
            'def f():\n    """Throw one stone far across a lake.\n\n    More."""\n'
        ),
        "tests/test_a.py": '"""This must never be read by anybody at all."""\n',
        "testing/b.py": '"""This must never be read by anybody at all."""\n',
        "externals/c.py": '"""This must never be read by anybody at all."""\n',
        "conftest.py": '"""This must never be read by anybody at all."""\n',
        "sub/test_it.py": '"""This must never be read by anybody at all."""\n',
        "latest.py": '"""The word test may be part of a name."""\n',
        "broken.py": '"""This file is no Python, as it were."""\ndef :\n',
        "notes.txt": "This is no Python file",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "latin.py").write_bytes(b'"""\xe9t\xe9."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    return "quarry"


def test_a_library_is_read_and_not_imported(library):
    found = read_docstrings([library])
    assert library not in sys.modules
    assert {(row.file, row.text) for row in found} == {
        ("__init__.py", "All about stones and how to find them."),
        ("sub/deep.py", "Throw one stone far across a lake."),
        ("latest.py", "The word test may be part of a name."),
    }
    assert {row.label for row in found} == {0}


def test_tests_and_borrowed_code_are_no_sources(library):
    files = dict(source_files(library))
    assert files.keys() == {
        "__init__.py",
        "sub/deep.py",
        "latest.py",
        "broken.py",
        "latin.py",
    }
    for inside, path in files.items():
        assert path.as_posix().endswith(f"quarry/{inside}")


def test_the_order_of_the_files_is_that_of_a_hash(library):
    inside = [name for name, _ in source_files(library)]
    assert inside == sorted(
        inside, key=lambda x: hash_share("order", library, x)
    )


def test_no_file_is_begun_after_enough_texts(library):
    whole = read_docstrings([library])
    for most in (1, 2, 3, 9):
        assert read_docstrings([library], most) == whole[: min(most, 3)]
    assert read_docstrings([library], 0) == []


def test_a_text_is_cut_after_so_many_words(library):
    for row in read_docstrings([library], words=4):
        assert len(row.text.split()) == len(row.raw.split()) == 4


def test_a_library_that_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match="no_such_library is not installed"):
        read_docstrings(["no_such_library"])
    with pytest.raises(ValueError, match="Run `python -m pip install"):
        source_files("this")  # one file, not a folder


SOURCE = '''
"""Module text
goes on.

Second paragraph."""

class A:
    """Class text."""

    def method(self):
        """Method text.
        \t
        After a line with blanks only."""

        def inner():
            """Inner text."""

    async def wait(self):
        """Async text."""

    def silent(self):
        return "no docstring"

    x = """No docstring either."""

def g():
    "\\d is no escape"
'''


def test_first_paragraphs_of_every_definition():
    found = list(first_paragraphs(SOURCE))
    assert set(found) == {
        "Module text goes on.",
        "Class text.",
        "Method text.",
        "Inner text.",
        "Async text.",
        r"\d is no escape",
    }
    assert len(found) == 6


@pytest.mark.parametrize(
    ("raw", "masked"),
    [
        ("Return the :class:`~torch.Tensor` of it.", "Return the NAME of it."),
        ("The ``x_data`` and `.Artist` here", "The NAME and NAME here"),
        ("See https://example.org/a_b(c) now", "See NAME now"),
        ("Call plot(x, y) twice", "Call NAME twice"),
        ("Wrap scipy.stats.norm for NumPy", "Wrap NAME for NAME"),
        ("A LogisticRegression or set_params", "A NAME or NAME"),
        ("Use PyTorch, scikit-learn or plt.", "Use NAME, NAME or NAME."),
        (
            "The SciPy and networkx and pytorch way",
            "The NAME and NAME and NAME way",
        ),
        ("the sum $x_1 + y$ of *args*", "the sum NAME of NAME"),
        ("Title ======== and then", "Title and then"),
        ("A graph is a set of nodes, i.e. a set.", None),
        ("Numbers such as 1.5 or -3 stay; so do words-with-dashes.", None),
        ("The GPU and the FFT are no names.", None),
    ],
)
def test_names_are_masked_and_words_stay(raw, masked):
    assert mask_names(raw) == (raw if masked is None else masked)


@given(st.text())
def test_masking_a_masked_text_of_any_kind_ends(text):
    once = mask_names(text)
    assert once == " ".join(once.split())
    assert not re.search(r"(?i)torch|scipy|sklearn|networkx|matplotlib", once)
    assert "_" not in once and len(re.findall("`+", once)) <= 1


def test_prose_needs_words_beside_names():
    assert is_prose("Return the sum of two numbers.")
    assert not is_prose("Return the sum of numbers.")
    assert not is_prose("Return the NAME of NAME and NAME.")
    assert is_prose("NAME two words", least=2)
    assert not is_prose("a b c d e f 1 2 3 4 5 6", least=1)


def test_the_real_texts_are_enough_to_learn_from(rows):
    kept = without_copies(rows)
    for label, library in enumerate(LIBRARIES):
        own = [row for row in kept if row.label == label]
        assert 1_000 < len(own) < 2_000, library
        assert len({row.file for row in own}) > 40, library
    assert 0.02 < 1 - len(kept) / len(rows) < 0.2


def test_the_real_texts_hide_their_library(rows):
    for row in rows:
        text = row.text.lower()
        assert not any(name in text for name in LIBRARIES), row
        assert is_prose(" ".join([row.text, "one two three four five six"]))
        assert len(row.text.split()) <= 24 and len(row.raw.split()) <= 24
    assert any("torch" in row.raw.lower() for row in rows), "it was there"


def test_the_real_texts_are_the_same_at_every_call(rows):
    assert read_docstrings() == rows


def row(text, label=0, file="a.py"):
    return Docstring(text, text, label, file)


def test_copies_go_and_texts_of_two_libraries_too():
    given = [
        row("one", 0, "a.py"),
        row("two", 0, "a.py"),
        row("One", 0, "b.py"),
        row("three", 1),
        row("two", 1),
        row("four", 1),
        row("four", 1),
    ]
    assert without_copies(given) == [given[0], given[3], given[5]]
    assert without_copies([]) == []


@given(st.lists(st.tuples(st.sampled_from("abcABC"), st.integers(0, 2))))
def test_no_text_is_left_twice(pairs):
    given = [row(text, label) for text, label in pairs]
    kept = without_copies(given)
    texts = [r.text.lower() for r in kept]
    assert len(set(texts)) == len(texts)
    for text in {r.text.lower() for r in given}:
        labels = {r.label for r in given if r.text.lower() == text}
        assert (text in texts) == (len(labels) == 1)


def files_of(part):
    return {(row.label, row.file) for row in part}


@pytest.mark.parametrize("seed", range(5))
def test_no_file_is_in_two_parts(rows, seed):
    parts = split_docstrings(rows, seed)
    assert sum(map(len, parts)) == len(rows)
    train, validation, test = map(files_of, parts)
    assert not train & validation and not train & test
    assert not validation & test
    shares = [len(part) / len(rows) for part in parts]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.08)


def test_a_careless_split_tears_files_apart(rows):
    train, _, test = split_docstrings(rows, by_file=False)
    large = {f for f in files_of(test) if sum(f == x[2:] for x in rows) > 5}
    assert len(large & files_of(train)) > 0.9 * len(large)
    sizes = [len(train) / len(rows), len(test) / len(rows)]
    assert sizes == pytest.approx([0.6, 0.2], abs=0.02)


def test_the_split_is_that_of_the_digest():
    """Computed here in another way: the first twelve digits, in hex."""
    given = [row(f"text {n}", n % 3, f"{n // 3}.py") for n in range(600)]
    parts = split_docstrings(given, seed=3)
    for r in given:
        key = f"split\x003\x00{r.label} {r.file}"
        digest = hashlib.sha256(key.encode()).hexdigest()
        where = int(digest[:12], 16) / 16**12
        number = 0 if where < 0.6 else 1 if where < 0.8 else 2
        assert r in parts[number]


def test_seeds_split_in_different_ways(rows):
    tests = [files_of(split_docstrings(rows, seed).test) for seed in range(3)]
    assert len({frozenset(files) for files in tests}) == 3


def test_files_of_two_libraries_with_one_name_are_two_files():
    given = [row("x", label, "setup.py") for label in range(200)]
    parts = split_docstrings(given)
    assert all(len(part) > 10 for part in parts)


def test_shares_are_spread_evenly():
    numbers = sorted(hash_share(str(n)) for n in range(4_000))
    assert numbers[0] >= 0 and numbers[-1] < 1
    for n, x in enumerate(numbers):
        assert abs(x - n / 4_000) < 0.04
    assert hash_share("a", "b") != hash_share("ab") != hash_share("b", "a")


def test_the_module_reads_no_library_that_it_imports():
    assert "torch" not in vars(docstrings)
