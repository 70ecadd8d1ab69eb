"""The book on paper: every page of the built book printed by a headless Chromium and bound into one PDF.

What moves on the screen stands still on paper: interactive figures and the 4-D viewer are replaced by pictures of
themselves, and what waits for a click (solutions, hidden code) is open.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.extras import extras_named
from page4d.schema import UserError, atomic_write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ElementHandle, Page

# WebGL without a graphics card; a container has no sandbox of its own.
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 150_000
DRAWN = "() => [...document.querySelectorAll('.page4d-plotly')].every(f => f.querySelector('.main-svg'))"
SETTLE_MS = 1500
SHEET_PX = 672  # of A4 between its margins, at 96 px an inch
# Each page of the book is printed for itself; its sheets are numbered on from those before.
FOOT = """@page {{ margin: 18mm 16mm;
  @bottom-left {{ content: {title}; font: 8pt sans-serif; white-space: nowrap; }}
  @bottom-right {{ content: counter(page); font: 8pt sans-serif; }} }}
@page :first {{ counter-set: page {first}; }}"""
# Links from page to page name files of the machine that prints; on paper only their words are left.
OPEN_AND_UNLINK = """() => {
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  document.querySelectorAll('a[href]').forEach(a => { if (a.protocol === 'file:') a.removeAttribute('href'); });
}"""
SWAP = """(element, source) => {
  const picture = document.createElement('img');
  picture.src = source;
  picture.style.width = '100%';
  element.replaceWith(picture);
  return picture.decode();
}"""


def print_book(html: Path, names: Sequence[str], target: Path) -> int:
    """Print the named pages of a built book in their order; return how many sheets the PDF has.

    Note:    names are those of the table of contents, without `.html`.
    Raises:  UserError if there is no Chromium, or a package of the extra `pdf` is not installed.
    """
    with extras_named("a book on paper"):
        from pypdf import PdfReader, PdfWriter
    bound = PdfWriter()
    with _chromium() as browser:
        for name in names:
            title, printed = _print_page(browser, html / f"{name}.html", first=len(bound.pages) + 1)
            bound.append(PdfReader(io.BytesIO(printed)), outline_item=title)
    bound.compress_identical_objects()
    with atomic_write(target, "wb") as stream:
        bound.write(stream)
    return len(bound.pages)


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise UserError("no chromium on PATH; a book on paper is printed by one: apt-get install chromium")
    with extras_named("a book on paper"):
        from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def _print_page(browser: Browser, path: Path, first: int) -> tuple[str, bytes]:
    page = browser.new_page(viewport={"width": 1100, "height": 1000}, color_scheme="light")
    page.set_default_timeout(PATIENCE_MS)
    page.goto(path.resolve().as_uri())
    page.wait_for_function(DRAWN)
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => true)")
    page.evaluate(OPEN_AND_UNLINK)
    for element in page.query_selector_all(".page4d-plotly, article iframe"):
        _stand_still(page, element)
    title = page.inner_text("article h1").rstrip("#")
    # As wide as the sheet before it is printed, so that wide formulas are fitted to it (page4d.js).
    page.emulate_media(media="print")
    page.set_viewport_size({"width": SHEET_PX, "height": 1000})
    page.wait_for_timeout(SETTLE_MS // 5)
    # A string of JSON is one of CSS, too, as long as its letters stay themselves.
    page.add_style_tag(content=FOOT.format(title=json.dumps(page.title(), ensure_ascii=False), first=first))
    printed = page.pdf(format="A4", print_background=True)
    page.close()
    return title, printed


def _stand_still(page: Page, element: ElementHandle) -> None:
    """Replace what moves by a picture of it."""
    element.scroll_into_view_if_needed()
    page.wait_for_timeout(SETTLE_MS)
    picture = element.screenshot(type="jpeg", quality=85)
    element.evaluate(SWAP, f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}")
