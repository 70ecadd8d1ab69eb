"""Two builds on one machine: the same pages, but for stamps of time and revision."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from book_project import write_project

from page4d.cli import main

pytestmark = pytest.mark.slow

STAMPS = (
    re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d"),  # when a chapter finished
    re.compile(rb"\b\d{1,2} [A-Z][a-z]+ \d{4}"),  # the same under its title
    re.compile(rb"\b\d+\.\d(?=</p></td>)|\b\d+(?= s\.)|\b\d+\.\d(?= \|)"),  # seconds, on the page and in its source
    re.compile(rb"\b[0-9a-f]{7,40}(-dirty)?\b(?=</p></td>| \|)"),  # the revision
)


def build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Every file of a small book that is built in `folder`, stamps masked."""
    project = write_project(folder)
    toc = project / "book" / "_toc.yml"
    toc.write_text(toc.read_text() + "      - file: commands\n      - file: exports\n")
    monkeypatch.chdir(project)
    assert main(["book"]) == 0
    html = project / "build" / "book" / "html"
    return contents(html)


def contents(html: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(html)): masked(path.read_bytes()) for path in html.rglob("*") if path.is_file()}
    found["searchindex.js"] = without_numbers(found["searchindex.js"])
    return found


def without_numbers(index: bytes) -> bytes:
    """The index of the search without words that are numbers or a revision: it knows those of the status page."""
    stored = json.loads(index[index.index(b"(") + 1 : index.rindex(b")")])
    stored["terms"] = {word: at for word, at in stored["terms"].items() if not re.fullmatch(r"[0-9a-f]+", word)}
    return json.dumps(stored).encode()


def masked(content: bytes) -> bytes:
    for stamp in STAMPS:
        content = stamp.sub(b"STAMP", content)
    return content


def test_two_builds_differ_in_nothing_but_stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (build(tmp_path / name / "project", monkeypatch) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert "notebooks/01_small.html" in first
    assert sorted(name for name in first if first[name] != second[name]) == []


def test_a_mask_hides_stamps_alone() -> None:
    assert masked(b"<td><p>ci</p></td><td><p>3.1</p></td><td><p>2026-01-02 03:04</p></td>") == (
        b"<td><p>ci</p></td><td><p>STAMP</p></td><td><p>STAMP</p></td>"
    )
    assert masked(b"profile ci, 27 November 2026. The sum is 780, or 3.1 m.") == (
        b"profile ci, STAMP. The sum is 780, or 3.1 m."
    )
