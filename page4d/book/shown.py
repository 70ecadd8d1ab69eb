"""Chapters in words that need no extension: what a reader of JupyterLab sees where the book's source has MyST.

`shown` puts links with words for roles, `stored` turns them back; `show` and `store` do so for a notebook and add the
captions, which the source keeps in the metadata of its cells. A link carries its role and key in its target:

    {cite}`dao2022flashattention`   [(Dao et al., 2022)](https://arxiv.org/abs/2205.14135#cite=dao2022flashattention)
    {numref}`fig-memory`            [Fig. 4.1](26_speed_and_memory.ipynb#cell-id=fig-memory)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import yaml

ROLE = re.compile(
    r"^ *(?P<fence>`{3,}|~{3,}).*?(?:^ *(?P=fence)|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|\{(?P<role>cite|cite:t|numref)\}`(?P<keys>[\w,-]+)`",
    re.MULTILINE | re.DOTALL,
)
"""A role, or code, in which nothing is one."""
KEY = re.compile(r"[#&](?:cell-id|cite:t|cite)=([\w-]+)\)")
LINK = re.compile(
    r"\[[^\[\]]*\]\([^()\s]*[#&](cell-id|cite:t|cite)=[\w-]+\)"
    r"(?:\[;[^\[\]]*\]\([^()\s]*[#&](?:cite:t|cite)=[\w-]+\))*"
)
"""What a role becomes: a link, and one more for each further key, with no space between."""
BOX = re.compile(r"^```\{(note|tip|warning|important)\}\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"^> \*\*(Note|Tip|Warning|Important)\*\*\n>\n((?:>.*\n)*>.*)$", re.MULTILINE)
PAGE = re.compile(r"\]\(\.\./(?=[\w-]+\.md[)#])")
SHOWN_PAGE = re.compile(r"\]\((?=[\w-]+\.md[)#])")
BOOK_FILE = re.compile(r"\[([^\[\]]*)\]\([\w-]+\.(?:md|bib)\b[^()\s]*\)")
PLACE = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)
AS_IT_IS = "<!-- as it is -->\n"
FIGURE = re.compile(r'^# %%.*"figure": \{.*"name": "([^"]+)"', re.MULTILINE)
KINDS = {"fig-": "Fig.", "tab-": "Table"}
"""What the book calls a figure of such a name; each kind counts apart."""
NUMBER = re.compile(r"\*\*(?:Fig\.|Table) [\d.]+\*\* ")
MARK, CAPTION, ID = "page4d_shown", "page4d_caption", "page4d_id"


class Work(NamedTuple):
    """A cited work: its authors in words, its year, and a link that ends where a fragment may follow."""

    people: str
    year: str
    link: str


class Figure(NamedTuple):
    """Where a figure stands, and how the book calls it."""

    chapter: str
    number: str


@dataclass(frozen=True)
class Names:
    """What roles stand for."""

    works: Mapping[str, Work]
    figures: Mapping[str, Figure]


def shown(text: str, names: Names) -> str:
    """Markdown with words where MyST has roles.

    Note:  a text that would not come back as it was is left alone, behind a mark.
    """
    said = BOX.sub(_quoted, text)
    said = ROLE.sub(lambda role: _in_words(role, names), said)
    said = PAGE.sub("](", said)
    return said if stored(said) == text else AS_IT_IS + text


def stored(text: str) -> str:
    """The source of what `shown` made, whatever was edited in between."""
    if text.startswith(AS_IT_IS):
        return text.removeprefix(AS_IT_IS)
    source = SHOWN_PAGE.sub("](../", text)
    source = LINK.sub(_as_role, source)
    return QUOTE.sub(_boxed, source)


def _in_words(found: re.Match[str], names: Names) -> str:
    role, keys = found["role"], found["keys"]
    if role == "numref" and keys in names.figures:
        figure = names.figures[keys]
        return f"[{figure.number}]({figure.chapter}.ipynb#cell-id={keys})"
    if role not in ("cite", "cite:t") or not names.works.keys() >= set(keys.split(",")):
        return found[0]
    return _cited(role, [(key, names.works[key]) for key in keys.split(",")])


def _cited(role: str, works: Sequence[tuple[str, Work]]) -> str:
    if role == "cite":
        words = [f"{work.people}, {work.year}" for _, work in works]
        words[0] = f"({words[0]}"
        words[-1] = f"{words[-1]})"
    else:
        words = [f"{work.people} ({work.year})" for _, work in works]
    targets = [f"({work.link}{role}={key})" for key, work in works]
    return "[" + "[; ".join(f"{said}]{target}" for said, target in zip(words, targets, strict=True))


def _as_role(link: re.Match[str]) -> str:
    role = "numref" if link[1] == "cell-id" else link[1]
    return f"{{{role}}}`{','.join(KEY.findall(link[0]))}`"


def _quoted(box: re.Match[str]) -> str:
    return "\n> ".join([f"> **{box[1].capitalize()}**\n>", *box[2].split("\n")])


def _boxed(quote: re.Match[str]) -> str:
    lines = re.sub(r"^> ?", "", quote[2], flags=re.MULTILINE)
    return f"```{{{quote[1].lower()}}}\n{lines}\n```"


def page_in_words(text: str) -> str:
    """A page of the book for a reader of JupyterLab: without MyST's marks of places, and with links to notebooks."""
    return re.sub(r"\]\(notebooks/([\w-]+)", r"](\1.ipynb", PLACE.sub("", text))


def show(notebook: Any, names: Names) -> None:
    """Put words for roles into a notebook, and a cell with its caption below each figure, in place.

    Note:  the cell of a figure takes its name for its id, so that links lead to it.
    """
    from nbformat.v4 import new_markdown_cell

    store(notebook)
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        figure = figure_of(cell)
        if cell["cell_type"] == "markdown":
            cell["source"] = shown(cell["source"], names)
        elif figure is not None and figure["name"] in names.figures:
            name, words = figure["name"], figure["caption"]
            if "id" in cell:
                cell["metadata"][ID], cell["id"] = cell["id"], name
            below = new_markdown_cell(f"**{names.figures[name].number}** {shown(words, names)}", id=f"caption-{name}")
            below["metadata"][CAPTION] = {"name": name, "words": words}
            cells.append(below)
    notebook["cells"] = cells
    notebook["metadata"][MARK] = True


def show_for_good(notebook: Any, names: Names) -> None:
    """`show` for a reader who has the notebook alone: nothing leads back, and links to files of the book are words."""
    show(notebook, names)
    del notebook["metadata"][MARK]
    for cell in notebook["cells"]:
        for name in (ID, CAPTION):
            cell["metadata"].pop(name, None)
        if cell["cell_type"] == "markdown":
            cell["source"] = BOOK_FILE.sub(r"\1", cell["source"])


def store(notebook: Any) -> None:
    """Take out what `show` put into a notebook, in place; any other notebook stays as it is.

    Note:  an edited caption goes to its figure, in one line. What stands in its cell after an empty line, and a caption
           whose figure is gone or whose number was edited, stays as a cell of the text.
    """
    if not notebook["metadata"].pop(MARK, False):
        return
    # Of a figure that was copied the first one takes the caption.
    figures = {figure["name"]: figure for figure in map(figure_of, reversed(notebook["cells"])) if figure}
    kept = []
    for cell in notebook["cells"]:
        before, caption = (cell["metadata"].pop(name, None) for name in (ID, CAPTION))
        if before is not None and cell["id"] in figures:
            cell["id"] = before
        if cell["cell_type"] == "markdown":
            source = cell["source"]
            cell["source"] = stored(source) if caption is None else _left_of(source, caption, figures)
        if caption is None or cell["source"]:
            kept.append(cell)
    notebook["cells"] = kept


def _left_of(source: str, caption: dict[str, str], figures: dict[str, Any]) -> str:
    """What is left of a caption's cell when its figure has taken its words."""
    number = NUMBER.match(source)
    words = stored(source[number.end() :] if number else source)
    if words == caption["words"]:
        return ""
    if number is None or caption["name"] not in figures:
        return f"{number[0] if number else ''}{words}"
    first, _, rest = words.partition("\n\n")
    figures[caption["name"]]["caption"] = " ".join(first.split())
    return rest


def figure_of(cell: Any) -> Any:
    """The figure of a cell, as its metadata say, or None if it has none with a name and a caption."""
    figure = cell["metadata"].get("mystnb", {}).get("figure", {}) if cell["cell_type"] == "code" else {}
    return figure if {"name", "caption"} <= set(figure) else None


def names_of(chapter: str, cells: Sequence[Any], book: Path, scripts: Path) -> Names:
    """What roles stand for in a chapter: the works of the book, and figures numbered as its pages are.

    Note:  the chapter's own figures are those of `cells`, which may be newer than its script.
    """
    figures: dict[str, Figure] = {}
    for page, number in numbered_pages(book / "_toc.yml"):
        script = scripts / f"{page}.py"
        found = FIGURE.findall(script.read_text(encoding="utf-8")) if script.is_file() else []
        if page == chapter:
            found = [figure["name"] for figure in map(figure_of, cells) if figure]
        for kind in KINDS:
            named = [name for name in found if name.startswith(kind)]
            called = f"{KINDS[kind]} {number}"
            figures |= {name: Figure(page, f"{called}.{place}") for place, name in enumerate(named, 1)}
    return Names(works_of((book / "references.bib").read_text(encoding="utf-8")), figures)


def numbered_pages(toc: Path) -> Iterator[tuple[str, int]]:
    """The pages that have a number in the book, with it; the parts of the book are numbered through."""
    parts = yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]
    pages = [entry["file"] for part in parts if part.get("numbered") for entry in part["chapters"]]
    return ((Path(page).name, number) for number, page in enumerate(pages, 1))


@cache
def works_of(text: str) -> Mapping[str, Work]:
    """The works of a bibliography in BibTeX; one that has no address links to its lines there."""
    from pybtex.database import parse_string

    entries = parse_string(text, "bibtex").entries
    lines = {key: text.count("\n", 0, text.index(f"{{{key},")) for key in entries}
    return {key: Work(_people(entry), entry.fields["year"], _link(entry, lines[key])) for key, entry in entries.items()}


def _people(entry: Any) -> str:
    names = [[*person.rich_prelast_names, *person.rich_last_names] for person in entry.persons["author"]]
    people = [" ".join(map(str, name)) for name in names]
    return " and ".join(people) if len(people) < 3 else f"{people[0]} et al."


def _link(entry: Any, line: int) -> str:
    if "eprint" in entry.fields:
        return f"https://arxiv.org/abs/{entry.fields['eprint']}#"
    if "doi" in entry.fields:
        return f"https://doi.org/{quote(entry.fields['doi'])}#"
    return f"{entry.fields['url']}#" if "url" in entry.fields else f"references.bib#line={line}&"
