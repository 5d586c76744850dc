"""The sources of the book: contents, links, citations, glossary and assets."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
ASSETS = ROOT / "book" / "assets"
PAGES = [ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOURCES = PAGES + NOTEBOOKS
BIBLIOGRAPHY = parse_file(ROOT / "book" / "references.bib").entries
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Where papers are: a link there from a chapter must stand in the bibliography.
PAPERS = re.compile(
    r"https?://(?:www\.)?(?:arxiv\.org|doi\.org|aclanthology\.org|jmlr\.org)/\S+"
)


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """The Markdown of a page or notebook, without its code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"^```\w*$.*?^```$", "", text, flags=re.M | re.S)
    return re.sub(r"(?<!})`[^`\n]+`", "", text)


def links(text: str) -> list[str]:
    return re.findall(r"\]\(((?:[^()\s]|\([^()\s]*\))+)\)", text)


def anchors(text: str) -> set[str]:
    """The ids that Sphinx gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^a-z0-9]+", "-", t.lower()).strip("-") for t in titles}


def toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [chapter["file"] for p in toc["parts"] for chapter in p["chapters"]]
    return [toc["root"], *parts]


def work(address: str) -> str:
    """One name for the many addresses of one paper."""
    name = re.sub(r"^https?://(www\.)?", "", unquote(address)).lower()
    name = re.sub(r"^(arxiv\.org)/(pdf|abs|html)/", r"\1/", name)
    name = re.sub(r"^doi\.org/10\.18653/v1/", "aclanthology.org/", name)
    name = re.sub(r"^doi\.org/10\.48550/arxiv\.", "arxiv.org/", name)
    name = re.sub(r"(\.pdf|\.html|/)$", "", name)
    return re.sub(r"(arxiv\.org/\d+\.\d+)v\d+$", r"\1", name)


def addresses(entry: Entry) -> list[str]:
    """Where a work of the bibliography can be found."""
    hosts = {
        "url": "",
        "doi": "https://doi.org/",
        "eprint": "https://arxiv.org/abs/",
    }
    given = entry.fields
    return [hosts[name] + given[name] for name in hosts if name in given]


def test_contents_list_every_chapter_and_every_page():
    listed = toc_files()
    assert len(set(listed)) == len(listed)
    there = {by_name(path.with_suffix("")) for path in SOURCES}
    assert set(listed) == there


def test_contents_keep_the_order_of_the_chapters():
    chapters = [name for name in toc_files() if name.startswith("notebooks/")]
    assert chapters == sorted(chapters)
    assert chapters


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_every_internal_link_leads_somewhere(path):
    for link in links(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target in SOURCES, f"{link} leads to no page of the book"
        if anchor:
            assert anchor in anchors(prose(target)), f"{link}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_cards_and_buttons_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"^:link: (\S+)$", text, flags=re.M)
    targets += re.findall(r"^```\{button-ref\} (\S+)$", text, flags=re.M)
    for target in targets:
        assert target in toc_files()


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_every_citation_stands_in_the_bibliography(path):
    text = path.read_text(encoding="utf-8")
    for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
        for key in keys.split(","):
            assert key.strip() in BIBLIOGRAPHY


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_every_paper_that_is_linked_stands_in_the_bibliography(path):
    known = {work(a) for e in BIBLIOGRAPHY.values() for a in addresses(e)}
    linked = [link for link in links(prose(path)) if PAPERS.fullmatch(link)]
    assert [link for link in linked if work(link) not in known] == []


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_every_work_has_author_title_year_and_address(key):
    entry = BIBLIOGRAPHY[key]
    assert entry.persons["author"]
    assert entry.fields["title"]
    assert re.fullmatch(r"\d{4}", entry.fields["year"])
    assert addresses(entry)
    assert all(address.startswith("https://") for address in addresses(entry))
    assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields.get("doi", "10.1000/-"))


def glossary() -> list[list[str]]:
    """The entries: an English term, the Chinese one, and the definition."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    block = re.search(r"```\{glossary\}\n(.+?)\n```", text, flags=re.S).group(1)
    return [entry.splitlines() for entry in block.split("\n\n")]


def test_glossary_gives_each_term_in_english_and_chinese():
    entries = glossary()
    assert len(entries) >= 50
    for english, chinese, *definition in entries:
        assert not CHINESE.search(english), english
        assert CHINESE.search(chinese), english
        assert all(line.startswith("  ") for line in definition), english
        words = " ".join(definition).split()
        assert len(words) >= 5 and words[-1].endswith((".", "}`.")), english


def test_glossary_is_in_order_and_has_no_term_twice():
    english = [entry[0].lower() for entry in glossary()]
    assert english == sorted(english)
    assert len(set(english)) == len(english)
    chinese = [entry[1] for entry in glossary()]
    assert len(set(chinese)) == len(chinese)


def test_assets_are_few_small_and_our_own():
    files = [path for path in ASSETS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        assert path.suffix in {".css", ".svg", ".png"}, (
            f"{path.name}: whose is it?"
        )
        if path.suffix != ".png":
            text = path.read_text(encoding="utf-8")
            assert not re.search("copyright|licen[sc]e", text, flags=re.I)
            assert max(map(len, text.splitlines())) < 400, "a minified file?"
            assert not re.search(r"url\(|@import", text)


@pytest.mark.parametrize(
    "path", sorted(ASSETS.rglob("*.svg")), ids=lambda p: p.name
)
def test_drawings_are_well_formed_and_stand_alone(path):
    svg = "{http://www.w3.org/2000/svg}"
    drawing = ET.parse(path).getroot()
    assert drawing.tag == f"{svg}svg"
    assert drawing.get("viewBox")
    for element in drawing.iter():
        assert element.tag not in {f"{svg}script", f"{svg}image", f"{svg}use"}
        assert not any(name.endswith("href") for name in element.attrib)


def test_style_sheet_is_short():
    text = (ASSETS / "course.css").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert text.count("{") == text.count("}")


class _Resources(HTMLParser):
    """What a page loads by itself: scripts, styles, images, frames."""

    ATTRIBUTES = ("src", "srcset", "data", "poster")
    LOADED = ("stylesheet", "preload", "modulepreload", "icon", "prefetch")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [given[name] for name in self.ATTRIBUTES if name in given]
        relations = given.get("rel", "").split()
        if tag == "link" and set(relations) & set(self.LOADED):
            self.found.append(given.get("href", ""))


def built_pages() -> Iterator[Path]:
    if not (HTML / "index.html").exists():
        message = "the book is not built: make book"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    for name in [*toc_files(), "search", "genindex"]:
        yield HTML / f"{name}.html"


def test_built_pages_load_nothing_from_another_host():
    for page in built_pages():
        parser = _Resources()
        parser.feed(page.read_text(encoding="utf-8"))
        assert len(parser.found) > 5
        for address in parser.found:
            assert not re.match(r"(https?:)?//", address), (
                f"{page.name}: {address}"
            )
            path = address.split("?")[0].split("#")[0]
            if path and not address.startswith("data:"):
                assert (page.parent / path).exists(), f"{page.name}: {address}"


def test_built_style_sheets_load_nothing_from_another_host():
    for _ in built_pages():
        pass
    for sheet in HTML.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        loaded = re.findall(r"(?:@import|url\()\s*[\"']?(https?:|//)", text)
        assert loaded == [], sheet.name


def test_built_links_between_pages_lead_to_a_heading_that_exists():
    ids: dict[Path, set[str]] = {}
    for page in built_pages():
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r'<a [^>]*?href="([^"]*)"', text):
            if re.match(r"[a-z]+:|//", address) or address in ("", "#"):
                continue
            name, _, anchor = address.partition("#")
            target = (
                (page.parent / name.split("?")[0]).resolve() if name else page
            )
            assert target.exists(), f"{page.name}: {address}"
            if anchor and target.suffix == ".html":
                if target not in ids:
                    html = target.read_text(encoding="utf-8")
                    ids[target] = set(re.findall(r'\bid="([^"]*)"', html))
                assert anchor in ids[target], f"{page.name}: {address}"
