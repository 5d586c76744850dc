"""The built book in a real browser, opened from disk with the network off.

The pages are those of ``_toc.yml`` and the two that Sphinx adds. Each is opened
once; the tests of a page then run on it one after the other.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PLACES = (
    "/usr/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = {"width": 1280, "height": 800}
# All rules in the light; in the dark, only colours differ. The rule that is named
# is experimental, so off by default, and the theme breaks it.
AXE = {
    "light": {"rules": {"label-content-name-mismatch": {"enabled": True}}},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
}

# axe looks at each of a chapter's 6,000 coloured words of code by itself, for 20
# seconds. One of each colour on each background is enough. Equations take their
# colour from the text around them; MathJax has tests of its own.
THIN_OUT = """() => {
    const seen = new Set();
    const again = [...document.querySelectorAll(".highlight span[class]")].filter(
        word => {
            const back = getComputedStyle(word.closest("pre")).backgroundColor;
            const kind = word.className + back;
            return seen.has(kind) || !seen.add(kind);
        });
    const equations = document.querySelectorAll("mjx-container");
    for (const e of [...again, ...equations]) e.remove();
}"""


def _chromium() -> str | None:
    found = [path for name in NAMES if (path := shutil.which(name))]
    return next(iter(found + [p for p in PLACES if Path(p).exists()]), None)


def _toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [chapter["file"] for p in toc["parts"] for chapter in p["chapters"]]
    return [toc["root"], *parts]


CHROMIUM = _chromium()
CHAPTERS = [name for name in _toc_files() if name.startswith("notebooks/")]
PAGES = [*_toc_files(), "search", "genindex"]

if CHROMIUM is None:
    pytest.skip(
        "no Chromium or Chrome on this machine", allow_module_level=True
    )
if not (HTML / "index.html").exists():
    if os.environ.get("CI") == "true":
        pytest.fail(f"{HTML} is missing. Build the book first: make book")
    pytest.skip("the book is not built: make book", allow_module_level=True)


@dataclass
class Visit:
    """An open page, and what the browser said while it was open."""

    page: Page
    name: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        browser = chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport=WIDE, color_scheme="light", reduced_motion="reduce"
    )
    context.set_offline(True)
    yield context
    context.close()


@pytest.fixture(scope="module", params=PAGES)
def visit(request, context: BrowserContext) -> Iterator[Visit]:
    visit = opened(context, request.param)
    yield visit
    visit.page.close()


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request, context: BrowserContext) -> Iterator[Visit]:
    visit = opened(context, request.param)
    yield visit
    visit.page.close()


@pytest.fixture
def fresh(browser: Browser) -> Iterator[Visit]:
    """The cover in a context of its own, with nothing remembered."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    context.set_offline(True)
    yield opened(context, "index")
    context.close()


def opened(context: BrowserContext, name: str) -> Visit:
    visit = Visit(context.new_page(), name)
    page = visit.page
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda m: _hear(visit, m.type, m.text))
    page.on("requestfailed", lambda r: _hear(visit, "error", f"no {r.url}"))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.goto((HTML / f"{name}.html").as_uri())
    page.add_style_tag(content="* { transition: none !important }")
    settle(page)
    return visit


def settle(page: Page) -> None:
    """Wait until the equations of the page are set."""
    page.wait_for_load_state("load")
    page.evaluate("window.MathJax?.startup?.promise.then(() => true)")


def _hear(visit: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        visit.complaints.append(f"{kind}: {text}")


def test_page_loads_without_error(visit):
    assert visit.complaints == []


def test_page_asks_no_other_host_for_anything(visit):
    assert visit.requests
    foreign = [
        url
        for url in visit.requests
        if urlsplit(url).scheme not in ("file", "data", "blob")
    ]
    assert foreign == []


def test_every_equation_is_set(visit):
    wrong = visit.page.evaluate(
        """() => {
            for (const d of document.querySelectorAll("details")) d.open = true;
            const wrong = [];
            for (const math of document.querySelectorAll(".math.notranslate")) {
                const box = math.querySelector("mjx-container mjx-math");
                const size = box && box.getBoundingClientRect();
                if (!size || size.width < 2 || size.height < 2)
                    wrong.push("not set: " + math.textContent);
            }
            for (const e of document.querySelectorAll("mjx-merror"))
                wrong.push("error: " + e.parentElement.textContent);
            const article = document.querySelector("article");
            const walker = document.createTreeWalker(article ?? document.body, 4);
            while (walker.nextNode()) {
                const inside = walker.currentNode.parentElement;
                if (inside.closest("code, pre, script, mjx-container")) continue;
                if (/\\$|\\\\[([a-z]/.test(walker.currentNode.data))
                    wrong.push("raw TeX: " + walker.currentNode.data);
            }
            for (const d of document.querySelectorAll("details")) d.open = false;
            return wrong;
        }"""
    )
    assert wrong == []


def test_every_image_is_loaded_and_described(visit):
    wrong = visit.page.evaluate(
        """() => [...document.images].filter(image =>
            !image.naturalWidth || !image.hasAttribute("alt")
            || (image.closest("article") && image.alt.trim().length < 5)
        ).map(image => image.outerHTML)"""
    )
    assert wrong == []


@pytest.mark.parametrize("width", [390, 320])
def test_nothing_sticks_out_on_a_phone(visit, width):
    """Neither the page scrolls sideways, nor is anything cut off without a bar."""
    visit.page.set_viewport_size({"width": width, "height": 844})
    found = visit.page.evaluate(
        """() => {
            const cut = [];
            const scrolls = e =>
                ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
            for (const e of document.querySelectorAll("article *")) {
                const box = e.getBoundingClientRect();
                if (!box.width || box.right <= innerWidth + 1) continue;
                if (e.closest("mjx-assistive-mml, .headerlink")) continue;
                let a = e.parentElement;
                while (a.tagName !== "ARTICLE" && !scrolls(a)) a = a.parentElement;
                if (a.tagName === "ARTICLE") cut.push(e.outerHTML.slice(0, 120));
            }
            return [document.documentElement.scrollWidth, cut.slice(0, 5)];
        }"""
    )
    visit.page.set_viewport_size(WIDE)
    assert found[0] <= width
    assert found[1] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_accessible(visit, theme):
    set_theme = "theme => document.documentElement.dataset.theme = theme"
    visit.page.evaluate(set_theme, theme)
    visit.page.evaluate(THIN_OUT)
    report = Axe().run(visit.page, options=AXE[theme])
    visit.page.evaluate(set_theme, "light")
    assert report.violations_count == 0, report.generate_report()


def test_solutions_open_by_click_and_by_keyboard(chapter):
    page = chapter.page
    folds = page.locator("article details:has(> summary:text-is('Solution'))")
    assert folds.count() >= 4
    fold, summary = folds.first, folds.first.locator("summary")
    hidden = fold.locator("pre").first
    assert not hidden.is_visible()
    summary.click()
    assert hidden.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert not hidden.is_visible()
    page.keyboard.press("Space")
    assert hidden.is_visible()


def test_a_verdict_is_dark_on_a_dark_page(chapter):
    set_theme = "theme => document.documentElement.dataset.theme = theme"
    brightness = """() => {
        const box = document.querySelector(".cell_output .text_html")
        const colour = getComputedStyle(box).backgroundColor
        return Math.max(...colour.match(/\\d+/g).slice(0, 3).map(Number))
    }"""
    assert chapter.page.evaluate(brightness) > 200
    chapter.page.evaluate(set_theme, "dark")
    dark = chapter.page.evaluate(brightness)
    chapter.page.evaluate(set_theme, "light")
    assert dark < 100


def test_chapter_can_be_run_elsewhere_and_edited(chapter):
    source = f"{chapter.name}.ipynb"
    assert (ROOT / source).exists()
    repository = "github.com/nextword-course/nextword"
    links = chapter.page.eval_on_selector_all(
        ".article-header-buttons a", "links => links.map(a => a.href)"
    )
    colab = "https://colab.research.google.com/github/nextword-course/nextword"
    binder = "https://mybinder.org/v2/gh/nextword-course/nextword/main"
    copy = HTML / "_sources" / source
    assert f"{colab}/blob/main/{source}" in links
    assert f"{binder}?urlpath=lab/tree/{source}" in links
    assert f"https://{repository}/edit/main/{source}" in links
    assert copy.as_uri() in links
    assert copy.read_bytes() == (ROOT / source).read_bytes()


def test_theme_switch_changes_colours_and_is_remembered(fresh):
    page = fresh.page
    colours = "() => getComputedStyle(document.body).backgroundColor"
    theme = "() => document.documentElement.dataset.theme"
    light = page.evaluate(colours)
    assert page.evaluate(theme) == "light"
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        if page.evaluate(theme) == "dark":
            break
    page.mouse.move(0, 0)
    assert page.evaluate(theme) == "dark"
    dark = page.evaluate(colours)
    assert dark != light
    page.reload()
    assert page.evaluate(theme) == "dark"
    assert page.evaluate(colours) == dark
    assert fresh.complaints == []


def test_search_finds_a_word_from_disk(fresh):
    page = fresh.page
    page.locator(".search-button-field").click()
    page.keyboard.type("perplexity")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    targets = results.evaluate_all("links => links.map(a => a.href)")
    assert any("book/glossary.html" in target for target in targets)
    assert any("notebooks/" in target for target in targets)
    page.goto(targets[0])
    assert "perplexity" in page.inner_text("article").lower()
    assert fresh.complaints == []


def test_cover_leads_to_the_first_chapter(fresh):
    page = fresh.page
    start = page.get_by_role("link", name="Start with chapter 1")
    box = start.bounding_box()
    assert box["y"] + box["height"] < WIDE["height"]  # on the first screen
    start.click()
    assert page.url == (HTML / f"{CHAPTERS[0]}.html").as_uri()
