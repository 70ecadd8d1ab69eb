"""The codes of differences: every one that is named has a row in the book, and every row is named somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "book" / "differences.md"
CODE = re.compile(r"(?<![\w.'-])([ET][1-9]\d?)(?![\w.'-])")
ROW = re.compile(r'^\| <span id="([et]\d+)">([ET]\d+)</span> \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$', re.MULTILINE)
# Where codes stand: not in data, scripts of others, or this page and its test.
PLACES = ("page4d/*.py", "tests/*.py", "benchmarks/*.py", "notebooks/*.py", "conf/*.yaml", "book/*.md", "*.md")
APART = ("book/differences.md", "tests/test_differences.py", "benchmarks/differences.py")


def named() -> dict[str, list[str]]:
    """Every code, and the files that name it."""
    listing = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, text=True, capture_output=True, check=True)
    found: dict[str, list[str]] = {}
    for name in listing.stdout.splitlines():
        if name not in APART and (ROOT / name).is_file():
            for code in set(CODE.findall((ROOT / name).read_text(encoding="utf-8"))):
                found.setdefault(code, []).append(name)
    return found


def test_rows_and_codes_belong_together():
    text = PAGE.read_text(encoding="utf-8")
    rows = {code: anchor for anchor, code, *_ in ROW.findall(text)}
    assert len(rows) == text.count("<span id=")
    assert all(anchor == code.lower() for code, anchor in rows.items())
    places = named()
    assert sorted(places.keys() - rows.keys()) == [], "a code without a row"
    assert sorted(rows.keys() - places.keys()) == [], "a row that nothing names"


def test_every_row_is_named_where_the_package_does_otherwise():
    """So that a search for a code ends at the lines that correct it, not at a test or a page."""
    nowhere = [code for code, files in named().items() if not any(f.startswith(("page4d/", "conf/")) for f in files)]
    assert sorted(nowhere) == [], "name the code in a comment where page4d/ or conf/ differs from the public code"


def test_every_row_says_what_both_do():
    for _, code, public, ours, _ in ROW.findall(PAGE.read_text(encoding="utf-8")):
        assert len(public.split()) > 3, code
        assert ours.strip(), code


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("moves by 0.1 (E15)", ["E15"]),
        ("T1, T2: twice", ["T1", "T2"]),
        ("E731, pT1.x, 1E5", []),
        ("E1/T4", ["E1", "T4"]),
    ],
)
def test_codes_are_found(text, codes):
    assert CODE.findall(text) == codes
