"""The built pages in headless Chromium: no console error, nothing fetched from elsewhere, the 3-D figure drawn."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from book_project import ROOT, write_project
from little_scene import little_prediction
from PIL import Image

from page4d.book.pdf import FLAGS, print_book
from page4d.book.site import pages_of
from page4d.book.sphinx import MATHJAX
from page4d.book.weight import SCRIPT
from page4d.cli import main
from page4d.viz.viewer import write_viewer

# A build and a browser: minutes together.
pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
OPENING_BYTES = 1_500_000
BOOK_BYTES = 40_000_000
PATIENCE_MS = 150_000  # software rendering on a busy machine
THEMES = ("light", "dark")
DRAWN = "() => [...document.querySelectorAll('.page4d-plotly')].every(f => f.querySelector('.main-svg'))"
WORDLESS = """() => [...document.querySelectorAll("main img")]
  .filter(each => !/\\s/.test(each.alt.trim()) && each.getAttribute("role") !== "presentation")
  .map(each => each.outerHTML)"""
"""Pictures in the text whose description is missing or one word, as the name of a file is."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Visit:
    """What a page did while it was open."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    figures: list[Image.Image] = field(default_factory=list)
    formulas: int = 0
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    project = write_project(folder / "project")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["book", "--root", str(project), "--out", "out", "-p", "count", "50"]) == 0
    finally:
        os.chdir(before)
    return folder / "out" / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


def failures(request: Any) -> list[str]:
    """What a failed request says; one that the browser itself gave up is none.

    Note: index.html only forwards the reader, and a browser that leaves a page gives up what it was still fetching.
    """
    return [] if request.failure == "net::ERR_ABORTED" else [f"failed: {request.url}: {request.failure}"]


def visit(browser: Any, address: str, judged: bool = False) -> Visit:
    """Open a page, wait until its figures are drawn, and write down what it did; `judged`: by axe-core, too."""
    seen = Visit()
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", lambda request: seen.errors.extend(failures(request)))
    page.goto(address)
    page.wait_for_function(DRAWN)
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => true)")
    for holder in page.query_selector_all(".page4d-plotly:has(canvas)"):
        holder.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        seen.figures.append(Image.open(io.BytesIO(holder.screenshot())))
    seen.formulas = page.locator("mjx-container svg").count()
    if judged:
        seen.wrong += [f"{theme}: {text}" for theme in THEMES for text in violations(page, theme)]
        seen.wrong += [f"picture without words: {text[:200]}" for text in page.evaluate(WORDLESS)]
    page.close()
    return seen


def printed_beside(html: Path, target: Path) -> int:
    """Print a book; Playwright runs once in a thread, and the tests' own browser is open in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(print_book, html, pages_of(html.parent), target).result()


def coloured_share(picture: Image.Image) -> float:
    """Share of pixels that are neither grey nor nearly so."""
    rgb = np.asarray(picture.convert("RGB")).astype(int)
    return float((np.ptp(rgb, axis=-1) > 40).mean())


def test_the_colour_measure_tells_a_drawn_figure_from_an_empty_one() -> None:
    grey = Image.new("RGB", (10, 10), (200, 205, 210))
    assert coloured_share(grey) == 0
    grey.putpixel((3, 3), (255, 0, 0))
    assert coloured_share(grey) == 0.01


def test_the_chapter_is_on_its_page(small_book: Path) -> None:
    page = (small_book / "notebooks" / "01_small.html").read_text()
    assert "Points on a spiral." in page
    assert f'The sum is <span class="pasted-text">{sum(range(50))}</span>' in page
    assert page.count('class="page4d-plotly"') == 1
    assert "and 50\u00a0% of it" in page
    assert re.search(r'<span class="page4d-held"><span class="math[^>]*>\\\(s\\\)</span>,</span> no more', page)
    assert "THEBE_JS_URL" not in page
    assert "sphinx-thebe.js" not in page


def test_the_status_page_and_its_data_agree(small_book: Path) -> None:
    record = json.loads((small_book.parent / "executed" / "executions.json").read_text())
    (execution,) = record["executions"]
    assert execution["parameters"] == {"count": 50, "name": "0005", "scale": 1.0, "device": None}
    page = (small_book / "status.html").read_text()
    assert f"{execution['seconds']:.1f}" in page
    assert record["versions"]["torch"] in page


def test_pages_are_light(small_book: Path) -> None:
    assert MATHJAX in (small_book / "notebooks" / "01_small.html").read_text()
    opening = (small_book / "intro.html").read_text()
    assert MATHJAX not in opening
    assert "beside answers that know nothing" in opening
    assert (small_book / SCRIPT).stat().st_size < 200_000


def test_pictures_have_the_words_of_their_captions(small_book: Path) -> None:
    page = (small_book / "notebooks" / "01_small.html").read_text()
    assert 'aria-label="Points on a spiral."' in page


def test_pages_work_by_double_click(small_book: Path, browser: Any) -> None:
    for page in ("notebooks/01_small.html", "intro.html", "status.html", "search.html"):
        seen = visit(browser, (small_book / page).as_uri())
        assert seen.errors == [], page
        assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == [], page
        if page.startswith("notebooks"):
            (figure,) = seen.figures
            assert coloured_share(figure) > 0.005
            assert seen.formulas == 2


def test_pages_work_from_a_server(small_book: Path, browser: Any) -> None:
    handler = functools.partial(QuietHandler, directory=str(small_book))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        home = f"http://127.0.0.1:{server.server_port}"
        seen = visit(browser, f"{home}/notebooks/01_small.html")
        server.shutdown()
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith((home, "data:", "blob:"))] == []
    assert coloured_share(seen.figures[0]) > 0.005


def violations(page: Any, theme: str) -> list[str]:
    """What axe-core finds wrong with an open page in a theme: impact, rule, and the first place.

    Note:    the page follows the theme without being loaded anew. Only contrast depends on the theme, so the second is
             asked for that alone: half of the time.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")  # no colour on its way
    page.emulate_media(color_scheme=theme)
    page.wait_for_function(f"() => [undefined, '{theme}'].includes(document.documentElement.dataset.theme)")
    page.wait_for_function(DRAWN)
    # Preloading reads the style sheets again, which a page on a disk may not.
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if theme != THEMES[0]:
        options["runOnly"] = ["color-contrast"]
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def violations_at(browser: Any, address: str) -> list[str]:
    """What axe-core finds wrong with the page at an address, in both themes."""
    return visit(browser, address, judged=True).wrong


def test_the_accessibility_check_finds_a_picture_without_words(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "bare.html"
    page.write_text("<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src=x.png></main></html>")
    found = violations_at(browser, page.as_uri())
    assert found[0].startswith("light: critical image-alt")
    assert found[-1].startswith("picture without words: <img src")


def test_a_file_name_is_no_description(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "named.html"
    pictures = "<img src=x.png alt=build/x.png><img src=y.png alt='A spiral.'>"
    page.write_text(f"<!doctype html><html lang=en><title>x</title><main><h1>x</h1>{pictures}</main></html>")
    (found,) = violations_at(browser, page.as_uri())
    assert "build/x.png" in found


def test_a_word_that_only_the_dark_theme_hides_is_found(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "dark.html"
    style = "<style>@media (prefers-color-scheme: dark) { p { color: #ccc } }</style>"
    page.write_text(
        f"<!doctype html><html lang=en><title>x</title>{style}<main><h1>x</h1><p>Unseen words.</p></main></html>"
    )
    (found,) = violations_at(browser, page.as_uri())
    assert found.startswith("dark: serious color-contrast")


def test_axe_finds_nothing_wrong_with_any_page(small_book: Path, browser: Any) -> None:
    pages = [*small_book.glob("*.html"), *small_book.glob("notebooks/*.html")]
    assert len(pages) > 5
    found = {path.name: violations_at(browser, path.as_uri()) for path in pages if path.name != "index.html"}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_axe_finds_nothing_wrong_with_the_viewer(browser: Any, tmp_path: Path) -> None:
    write_viewer(tmp_path / "viewer.html", little_prediction())
    assert violations_at(browser, (tmp_path / "viewer.html").as_uri()) == []


GROUND = """(kind) => {
  const output = document.createElement("div"), picture = document.createElement("img");
  output.className = "cell_output";
  picture.className = kind;
  output.append(picture);
  document.querySelector(".bd-content").append(output);
  return getComputedStyle(picture).backgroundColor;
}"""


PLATE = """(inside) => {
  const cell = document.createElement("div");
  cell.className = "cell_output";
  cell.innerHTML = `<div class="output text_html">${inside}</div>`;
  document.querySelector(".bd-content").append(cell);
  return getComputedStyle(cell.firstChild).backgroundColor;
}"""


def test_a_slider_finds_its_frames(small_book: Path, browser: Any) -> None:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto((small_book / "notebooks" / "01_small.html").as_uri())
    page.wait_for_selector(".page4d-plotly .main-svg")
    page.wait_for_function("document.querySelector('.page4d-plotly')._transitionData._frames.length === 1")
    page.close()


def test_what_brings_its_own_dark_colours_lies_on_no_plate(small_book: Path, browser: Any) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto((small_book / "notebooks" / "01_small.html").as_uri())
    for own in ('<svg class="page4d-diagram"></svg>', "<div><iframe></iframe></div>"):
        assert page.evaluate(PLATE, own) == "rgba(0, 0, 0, 0)", own
    assert page.evaluate(PLATE, "<b>words</b>") != "rgba(0, 0, 0, 0)"
    page.close()


def test_only_a_drawing_in_dark_ink_lies_on_a_light_plate(small_book: Path, browser: Any) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto((small_book / "notebooks" / "01_small.html").as_uri())
    assert page.evaluate(GROUND, "only-dark") == "rgba(0, 0, 0, 0)"
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate(GROUND, ""))[:3])
    assert min(red, green, blue) > 180
    page.close()


CAPTION = """() => {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const pictures = ["only-light", "only-dark"].map(kind => Object.assign(new Image(), { className: kind }));
  caption.textContent = "What is seen.";
  figure.append(...pictures, caption);
  document.querySelector(".bd-content").append(figure);
  return [...pictures, caption].map(each => getComputedStyle(each).display !== "none");
}"""


@pytest.mark.parametrize(("theme", "seen"), [("light", [True, False, True]), ("dark", [False, True, True])])
def test_a_figure_with_two_drawings_shows_one_and_its_caption(
    small_book: Path, browser: Any, theme: str, seen: list[bool]
) -> None:
    page = browser.new_page(color_scheme=theme)
    page.goto((small_book / "notebooks" / "01_small.html").as_uri())
    assert page.evaluate(CAPTION) == seen
    page.close()


def test_a_chapter_is_offered_as_script_and_as_notebook_without_outputs(small_book: Path) -> None:
    page = (small_book / "notebooks" / "01_small.html").read_text()
    for suffix in ("py", "ipynb"):
        assert f'href="../_sources/notebooks/01_small.{suffix}"' in page
    script = (small_book / "_sources" / "notebooks" / "01_small.py").read_text()
    assert "go.Scatter3d" in script
    notebook = json.loads((small_book / "_sources" / "notebooks" / "01_small.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert "the source [(Wang et al., 2025)](https://arxiv.org/abs/2503.11651#" in text
    assert "**Fig. 1.1** Points on a spiral." in text


@pytest.mark.slow
def test_the_book_goes_on_paper_with_stills(small_book: Path, browser: Any, tmp_path: Path) -> None:
    from pypdf import PdfReader

    sheets = printed_beside(small_book, tmp_path / "book.pdf")
    printed = PdfReader(tmp_path / "book.pdf")
    assert len(printed.pages) == sheets >= 4
    # A sheet's text begins with its number, and its title follows without a space.
    texts = [sheet.extract_text() for sheet in printed.pages]
    assert [number for number, text in enumerate(texts, 1) if not text.startswith(str(number))] == []
    assert [item.title for item in printed.outline][:2] == ["A small book", "1. A small chapter"]
    pages = [page for page in printed.pages if "Points on a spiral." in page.extract_text()]
    assert any(coloured_share(Image.open(io.BytesIO(i.data))) > 0.003 for page in pages for i in page.images)
    assert b"file://" not in (tmp_path / "book.pdf").read_bytes()


def test_a_file_that_is_missing_is_told_and_one_given_up_is_not(browser: Any, tmp_path: Path) -> None:
    missing, forward = tmp_path / "missing.html", tmp_path / "forward.html"
    missing.write_text('<link rel="icon" href="icon.png"><img src="picture.png">')
    shutil.copy(ROOT / "book" / "images" / "favicon.png", tmp_path)
    (tmp_path / "end.html").write_text("<p>The end.</p>")
    forward.write_text('<link rel="icon" href="favicon.png"><meta http-equiv="Refresh" content="0; url=end.html">')

    assert any("picture.png" in error for error in visit(browser, missing.as_uri()).errors)
    for _ in range(20):
        assert visit(browser, forward.as_uri()).errors == []


def test_nothing_is_carried_that_no_page_loads(small_book: Path) -> None:
    assert list((small_book / "_static").rglob("*.map")) == []
    assert 'rel="icon"' in (small_book / "index.html").read_text()


def test_every_page_of_the_built_book(browser: Any) -> None:
    html = ROOT / "build" / "book" / "html"
    if not html.is_dir():
        pytest.skip("build/book is not there; `make book` builds it")
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < BOOK_BYTES
    drawn, wrong = 0, {}
    for path in sorted(html.rglob("*.html")):
        if "_static" in path.parts:
            continue
        # index.html only forwards the reader.
        seen = visit(browser, path.as_uri(), judged=path.name != "index.html")
        assert seen.errors == [], path.name
        assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == [], path.name
        assert all(coloured_share(figure) > 0.001 for figure in seen.figures), path.name
        drawn += len(seen.figures)
        wrong |= {path.name: seen.wrong} if seen.wrong else {}
        if path.name == "intro.html":
            loaded = {Path(unquote(urlparse(url).path)) for url in seen.requests if url.startswith("file:")}
            assert sum(file.stat().st_size for file in loaded) < OPENING_BYTES
    assert drawn > 0
    assert wrong == {}
