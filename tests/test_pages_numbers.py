"""Every number on the pages of questions, outlook and plans stands where it
was measured.

A block of a page, such as a paragraph, a list item or a row of a table, that
holds a number holds a link to a chapter as well. Each number of the block
stands in the section that it links to, in the text, where a cell asserts it, or
in a stored output.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.test_book import by_name, links
from tests.test_notebooks import text_of
from tools import notebooks

BOOK = notebooks.ROOT / "book"
PAGES = [BOOK / f"{name}.md" for name in ("faq", "outlook", "resources")]
PLANS = BOOK / "instructors.md"
NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?!\w|[.,]\d)")
# Digits that count or measure nothing: names, and numbers of chapters.
NAMES = re.compile(
    r"\bGPT-\d(?:\.\d)?|\b[Cc]hapters? \d+(?:(?:, | to | and )\d+)*|"
    r"\bExercises? \d+\.\d+|\bWeeks? \d+(?: to \d+)?|CS\d+\w?|\b4\.0\b"
)
LINK = re.compile(r"\[[^\[\]]*\]\((?:[^()\s]|\([^()\s]*\))+\)")
EXERCISE = re.compile(
    r"^### (Exercise (\d+)\.\d+ · .+?) \((★+), (\d+) min\)$", re.M
)


def plain(block: str) -> str:
    """A block without links, roles, code, names and the mark of its item."""
    block = re.sub(r"^\d+\. ", "", block.strip())
    block = LINK.sub("", block)
    block = re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`", "", block)
    return NAMES.sub("", block)


def blocks(page: str) -> list[str]:
    """Paragraphs, list items and rows of tables; headings are left out."""
    page = re.sub(r"^#.*$", "", page, flags=re.M)
    return re.split(r"\n\s*\n|\n(?=- |\d+\. |\||:)", page)


def numbers(text: str) -> list[str]:
    """The numbers in a text, as they are written."""
    return NUMBER.findall(text.replace("{,}", ","))


@cache
def chapter(path: Path) -> str:
    """All that a reader sees of a chapter: its text and its outputs."""
    seen = []
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "markdown":
            seen.append(cell.source)
        else:
            seen += [text_of(output) for output in cell.outputs]
    return "\n\n".join(seen)


def section(text: str, anchor: str) -> str:
    """A heading and all that stands below it; all of the text if no anchor."""
    if not anchor:
        return text
    heads = list(re.finditer(r"^(#+) (.+)$", text, flags=re.M))
    for place, head in enumerate(heads):
        name = re.sub(r"[^a-z0-9]+", "-", head[2].lower()).strip("-")
        if name == anchor:
            level = len(head[1])
            ends = (h.start() for h in heads[place + 1 :] if len(h[1]) <= level)
            return text[head.start() : next(ends, len(text))]
    raise ValueError(f"There is no heading #{anchor}.")


def unfounded(block: str) -> list[str]:
    """The numbers of a block that no section that it links to holds."""
    found: set[str] = set()
    for link in links(block):
        name, _, anchor = link.partition("#")
        path = (BOOK / name).resolve()
        if path.suffix == ".ipynb":
            found |= set(numbers(section(chapter(path), anchor)))
    return [n for n in numbers(plain(block)) if n not in found]


def raised(block: str) -> list[str]:
    """The block once for each of its numbers, with a larger last digit."""
    text, targets = plain(block), " ".join(f"[]({x})" for x in links(block))
    return [
        f"{text[: end - 1]}{(int(text[end - 1]) + 1) % 10}{text[end:]} {targets}"
        for end in (match.end() for match in NUMBER.finditer(text))
    ]


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_every_number_stands_in_the_section_that_is_linked(path):
    wrong = {
        block: missing
        for block in blocks(path.read_text(encoding="utf-8"))
        if (missing := unfounded(block))
    }
    assert wrong == {}


def test_a_wrong_number_is_found():
    link = "[6](../notebooks/06_heads.ipynb#where-the-square-takes-over)"
    assert unfounded(f"The lines cross at 4,608 tokens, {link}.") == []
    assert unfounded(f"The lines cross at 4,609 tokens, {link}.") == ["4,609"]
    assert unfounded("The lines cross at 4,608 tokens.") == ["4,608"]
    assert unfounded(f"See GPT-3, Chapter 12 and `x = 5`, {link}.") == []


def test_most_numbers_would_be_missed_if_one_digit_changed():
    changed = [
        wrong
        for path in PAGES
        for block in blocks(path.read_text(encoding="utf-8"))
        for wrong in raised(block)
    ]
    found = sum(bool(unfounded(wrong)) for wrong in changed)
    assert len(changed) > 50
    assert found > 0.8 * len(changed)


def test_questions_have_answers_with_a_link_to_a_section():
    text = (BOOK / "faq.md").read_text(encoding="utf-8")
    answers = re.split(r"^### ", text, flags=re.M)[1:]
    assert len(answers) >= 18
    for answer in answers:
        question, _, body = answer.partition("\n")
        assert question.endswith("?"), question
        assert any("#" in link for link in links(body)), question
        assert len(body.split()) < 260, question


@cache
def exercises() -> dict[str, tuple[int, str, int]]:
    """Each exercise: its chapter, its stars and its minutes."""
    found = {}
    for path in notebooks.paths():
        for title, number, stars, minutes in EXERCISE.findall(chapter(path)):
            found[title] = int(number), stars, int(minutes)
    return found


def test_plans_name_only_exercises_that_exist():
    known = {title.split(" · ")[0] for title in exercises()}
    text = PLANS.read_text(encoding="utf-8")
    named = re.findall(r"\b\d+\.\d+\b", text)
    assert len(set(named)) > 40
    assert [n for n in named if f"Exercise {n}" not in known] == []


def test_the_table_of_chapters_counts_exercises_and_their_minutes():
    text = section(PLANS.read_text(encoding="utf-8"), "chapter-by-chapter")
    rows = re.findall(r"^\| \[.*$", text, flags=re.M)
    wanted = []
    for path, row in zip(notebooks.paths(), rows, strict=True):
        number = notebooks.chapter_number(path)
        needs = row.split("|")[2].strip()
        own = [e[2] for e in exercises().values() if e[0] == number]
        wanted.append(
            f"| [{number}](../notebooks/{path.name}) | {needs} "
            f"| {len(own)} | {sum(own)} |"
        )
    assert rows == wanted


@pytest.mark.parametrize("weeks", [6, 12])
def test_a_plan_goes_through_the_chapters_and_adds_up_its_minutes(weeks):
    name = {6: "six-weeks", 12: "twelve-weeks"}[weeks]
    plan = section(PLANS.read_text(encoding="utf-8"), name)
    rows = re.findall(
        r"^\| (\d+) \| (.+?) \| .+? \| ([\d., ]+) \| (\d+) \|$",
        plan,
        flags=re.M,
    )
    assert [int(row[0]) for row in rows] == list(range(1, weeks + 1))
    minutes = {title.split(" · ")[0]: e[2] for title, e in exercises().items()}
    seen = []
    for _, files, tasks, total in rows:
        chapters = [int(n) for n in re.findall(r"notebooks/(\d\d)_", files)]
        seen += chapters
        named = re.findall(r"\d+\.\d+", tasks)
        assert {int(task.split(".")[0]) for task in named} <= set(chapters)
        assert int(total) == sum(minutes[f"Exercise {task}"] for task in named)
    assert seen == sorted(set(seen))
    known = [notebooks.chapter_number(path) for path in notebooks.paths()]
    assert set(seen) <= set(known)
    if weeks == 12:
        assert seen == known
