"""The last touch on built pages: light, with downloads, and with landmarks where the theme forgot them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import jupytext
from PIL import Image

from page4d.book.shown import names_of, show_for_good

ICON = re.compile(r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')
SHOWN = re.compile(r"\bfa-([a-z0-9-]+)")
# The theme's script draws these by name while a page is open.
ALWAYS = frozenset({"circle-half-stroke", "moon", "sun", "xmark", "bars", "angle-right", "angle-left"})
HOME = re.compile(r'<a class="navbar-brand logo".*?</a>', re.DOTALL)
SCRIPT = "_static/scripts/fontawesome.js"
LARGE_BYTES = 100_000


def icons_of(pages: Iterable[str]) -> set[str]:
    """The names of all icons that HTML or scripts ask for."""
    return {name for page in pages for name in SHOWN.findall(page)} | ALWAYS


def keep_icons(script: str, wanted: set[str]) -> str:
    """Font Awesome's script without the drawings of icons that nobody asks for, by name or by another name."""

    def kept(match: re.Match[str]) -> str:
        names = {match[1], *re.findall(r'"([\w-]+)"', match[2])}
        return match[0] if names & wanted else ""

    return ICON.sub(kept, script)


def offer_downloads(html: Path, notebooks: Path, book: Path) -> None:
    """Beside each chapter its script and its notebook without outputs, which is what a reader runs, in place of the
    executed copy, which weighs as much as the page. The notebook has the words and numbers of the page, without MyST;
    `book` has the contents and the works."""
    for page in sorted((html / "_sources" / "notebooks").glob("*.ipynb")):
        source = notebooks / f"{page.stem}.py"
        shutil.copy(source, page.with_suffix(".py"))
        notebook = jupytext.read(source)
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"  # jupytext draws them anew each time, and two builds would differ
        show_for_good(notebook, names_of(page.stem, notebook.cells, book, notebooks))
        jupytext.write(notebook, page)


def shrink_pictures(html: Path) -> None:
    """Write large pictures as lossless WebP, in which the book's take two thirds of their bytes, and name these."""
    renamed = {}
    for path in sorted((html / "_images").glob("*.png")):
        smaller = path.with_suffix(".webp")
        if path.stat().st_size < LARGE_BYTES or smaller.exists():
            continue
        with Image.open(path) as picture:
            picture.save(smaller, lossless=True, quality=50, method=2)
        heavier = path if smaller.stat().st_size < path.stat().st_size else smaller
        heavier.unlink()
        if heavier == path:
            renamed[path.name] = smaller.name
    if not renamed:
        return
    names = re.compile("|".join(map(re.escape, renamed)))
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(names.sub(lambda name: renamed[name[0]], text), encoding="utf-8")


def drop_unread_files(html: Path) -> None:
    """Take out what the theme carries along and no page of ours loads: maps for its developers, other languages."""
    for unread in (html / "_static").rglob("*.map"):
        unread.unlink()
    shutil.rmtree(html / "_static" / "locales", ignore_errors=True)


def give_icon(html: Path, icon: str = "_static/favicon.png") -> None:
    """Name the book's icon on the page that only leads on: a browser asks for /favicon.ico otherwise."""
    opening = html / "index.html"
    text = opening.read_text(encoding="utf-8") if opening.is_file() else ""
    if text and 'rel="icon"' not in text and (html / icon).is_file():
        opening.write_text(f'<link rel="icon" href="{icon}"/>\n{text}', encoding="utf-8")


def mend_roles(html: Path) -> None:
    """Say what the theme and docutils leave unsaid or say in words that are no longer read.

    The link to the first page becomes a landmark, as all else on a page stands in one; the works of a bibliography
    become items of its list.
    """
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text = HOME.sub(r'<nav aria-label="Home">\g<0></nav>', text, count=1)
        page.write_text(text.replace('role="doc-biblioentry"', 'role="listitem"'), encoding="utf-8")


def lighten(html: Path) -> None:
    """Take the unused icons out of a built book: 1.4 of the 1.5 MB of that script."""
    script = html / SCRIPT
    if not script.is_file():
        return
    pages = (page.read_text(encoding="utf-8") for page in html.rglob("*.html"))
    others = (path.read_text(encoding="utf-8") for path in html.glob("_static/*.js"))
    wanted = icons_of(pages) | icons_of(others)
    script.write_text(keep_icons(script.read_text(encoding="utf-8"), wanted), encoding="utf-8")
