"""What the book makes while it is staged: banners, the page of commands, the page of exports, the logo's files."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from book_project import ROOT

from page4d.book.banner import banner, say_how_made
from page4d.book.chapters import Execution
from page4d.book.commands import commands_page
from page4d.book.exports import exports_page
from page4d.book.logos import INKS, logo_files
from page4d.cli import COMMANDS, full_parser
from page4d.result.formats import WRITERS

RAN = Execution(
    "01_small", "Small", 3.1, "2026-11-07T23:04:05+00:00", {}, "key", "gpu", machine="a processor and a GPU"
)


def cells() -> list[dict[str, Any]]:
    caption = {"mystnb": {"figure": {"caption": "A spiral.", "name": "fig-spiral"}}}
    words = [{"cell_type": "markdown", "metadata": {}, "source": text} for text in ("# Small\n\nWords.", "# Not this")]
    return [*words, {"cell_type": "code", "metadata": caption, "source": "1", "outputs": []}]


def staged(folder: Path, execution: Execution) -> list[dict[str, Any]]:
    notebook = folder / "01_small.ipynb"
    notebook.write_text(json.dumps({"cells": cells()}))
    say_how_made(notebook, execution)
    changed: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return changed


def test_a_page_says_below_its_title_how_its_figures_were_made(tmp_path: Path) -> None:
    assert "Figures of this page: profile `gpu`, a processor and a GPU, 7 November 2026." in banner(RAN)
    first, other, figure = staged(tmp_path, RAN)
    assert first["source"] == f"# Small\n\n{banner(RAN)}\n\nWords."
    assert other["source"] == "# Not this"
    assert figure["metadata"]["mystnb"]["figure"]["caption"] == "A spiral. Profile gpu."


def test_captions_of_the_small_run_stay_as_they_are(tmp_path: Path) -> None:
    *_, figure = staged(tmp_path, replace(RAN, profile="ci", machine=""))
    assert figure["metadata"]["mystnb"]["figure"]["caption"] == "A spiral."


def test_every_command_and_every_option_is_on_the_page() -> None:
    parser, commands = full_parser()
    page = commands_page(parser, commands)
    assert re.findall(r"^## page4d (\S+)$", page, re.MULTILINE) == list(COMMANDS)
    sections = dict(zip(COMMANDS, re.split(r"^## .*$", page, flags=re.MULTILINE)[1:], strict=True))
    for name, command in commands.items():
        options = [word for action in command._actions for word in action.option_strings]
        terms = " ".join(re.findall(r"^`([^`]*)`$", sections[name], re.MULTILINE))
        missing = [word for word in options if not re.search(rf"(^|[ ,]){word}($|[ ,])", terms)]
        assert missing == [], name
    assert "%(default)" not in page
    assert "no further words" not in page, "every option says what it does"
    assert "the folder that `page4d predict` made" in page
    assert r"\`" not in page, "code in a help text is code on the page"


def test_the_page_of_exports_has_every_format_with_its_axes_and_size() -> None:
    page = exports_page()
    for name, place in WRITERS.items():
        rows = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert len(rows) == 2
        assert place.about in rows[0]
        assert rows[0].split(" | ")[2].strip()
        assert re.search(r"\| ([\d,.]+|not measured) \|$", rows[0])
        assert place.axes in rows[1]
        assert rows[1].endswith("| yes |") == place.reads_pictures


@pytest.mark.parametrize("name", INKS)
def test_the_logos_files_are_those_that_the_code_draws(name: str) -> None:
    stored = (ROOT / "book" / "images" / name).read_text()
    assert stored == logo_files()[name], "write them with page4d.book.logos.write_logos(Path('book/images'))"
    assert ET.fromstring(stored).attrib["aria-label"] == "Page4D"
