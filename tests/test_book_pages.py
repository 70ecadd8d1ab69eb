"""The book's pages of reference: complete entries, no citation without one, every symbol and every term once."""

from __future__ import annotations

import re
from pathlib import Path

from pybtex.database import parse_file

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "book"
REFERENCES = parse_file(BOOK / "references.bib").entries
PAGES = [*sorted(BOOK.glob("*.md")), *sorted((ROOT / "notebooks").glob("*.py"))]


def test_every_citation_has_an_entry() -> None:
    cited = {
        (path.name, key.strip())
        for path in PAGES
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text())
        for key in keys.split(",")
    }
    assert ("intro.md", "zhou2025page4d") in cited
    assert sorted(entry for entry in cited if entry[1] not in REFERENCES) == []


def test_titles_hold_no_formula_and_chapters_print_no_table() -> None:
    """The list of references sets no formula; a table of letters breaks on a phone, where one of cells scrolls."""
    assert [key for key, entry in REFERENCES.items() if "$" in entry.fields["title"]] == []
    assert [path.name for path in PAGES if re.search(r"print\(.*\.to_string\(\)\)", path.read_text())] == []


def test_every_entry_is_complete() -> None:
    lacking = []
    for key, entry in REFERENCES.items():
        where = {"booktitle", "journal", "publisher", "doi", "url"} & set(entry.fields)
        if not (entry.persons.get("author") and {"title", "year"} <= set(entry.fields) and where):
            lacking.append(key)
        if not re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields.get("eprint", "0000.0000")):
            lacking.append(key)
        if not 1980 <= int(entry.fields["year"]) <= 2030:
            lacking.append(key)
    assert len(REFERENCES) >= 60
    assert lacking == []


def test_no_work_stands_twice() -> None:
    titles = [re.sub(r"\W", "", entry.fields["title"]).lower() for entry in REFERENCES.values()]
    numbers = [entry.fields["eprint"] for entry in REFERENCES.values() if "eprint" in entry.fields]
    assert len(titles) == len(set(titles))
    assert len(numbers) == len(set(numbers))


def test_every_symbol_is_defined_once() -> None:
    symbols: list[str] = []
    for line in (BOOK / "notation.md").read_text().splitlines():
        if line.startswith("| $"):
            written = ",".join(re.findall(r"\$([^$]+)\$", line.split("|")[1]))
            symbols += [symbol.strip() for symbol in written.split(",")]
    assert len(symbols) > 40
    assert sorted({symbol for symbol in symbols if symbols.count(symbol) > 1}) == []


def test_terms_stand_in_order_and_once() -> None:
    lines = (BOOK / "glossary.md").read_text().split("```{glossary}")[1].splitlines()
    terms = [line.lower() for line in lines if re.match(r"\w", line)]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


def test_a_page_with_formulas_links_the_notation() -> None:
    for chapter in sorted((BOOK.parent / "notebooks").glob("*.py")):
        text = chapter.read_text()
        assert "$$" not in text or "](../notation.md" in text, f"{chapter.name}: formulas, and no link to the notation"


def test_every_figure_is_referred_to_by_its_number_and_stands_before_formulas() -> None:
    texts = {path.name: path.read_text() for path in sorted((ROOT / "notebooks").glob("*.py"))}
    named = {name for text in texts.values() for name in re.findall(r'"name": "((?:fig|tab)-[\w-]+)"', text)}
    called = {name for text in texts.values() for name in re.findall(r"\{numref\}`([\w-]+)`", text)}
    assert len(named) > 80
    assert sorted(named - called) == ["fig-quickstart-truth"], "one is there only where the truth is known"
    early = [name for name, text in texts.items() if "$$" in text and not 0 <= text.find('"figure"') < text.find("$$")]
    assert early == []
