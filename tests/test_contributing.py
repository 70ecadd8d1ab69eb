"""What README and CONTRIBUTING name is there: files, and in the map of ideas the names in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(page4d|conf|book|tests|notebooks|benchmarks|\.github)/[\w./-]+")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
MAP = "## Where ideas stand"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = [words for words in CODE.findall(text) if FILE.fullmatch(words) and "NN_" not in words]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_map_of_ideas_names_what_its_files_define() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.split(MAP)[1].split("##")[0].splitlines() if "`page4d/" in line]
    assert len(rows) > 5
    for row in rows:
        words = CODE.findall(row)
        source = "".join((ROOT / path).read_text(encoding="utf-8") for path in words if FILE.fullmatch(path))
        names = [word for word in words if NAME.fullmatch(word) and not word.startswith("page4d.")]
        for part in (part for name in names for part in name.split(".")):
            assert re.search(rf"\b{part}\b", source), f"{part} is not in the files of: {row}"
