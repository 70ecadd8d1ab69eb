"""What a chapter reads from disk: other data are another run, and the status page names them."""

from __future__ import annotations

from pathlib import Path

from book_project import write_project

from page4d.book.chapters import Execution, data_hashes, execution_key, find_chapters
from page4d.book.site import status_page


def test_an_execution_is_not_reused_for_other_data(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    (chapter,) = find_chapters(project)
    mine = project / "mine"
    mine.mkdir()
    (mine / "a.jpg").write_bytes(b"first")
    named = {"images": str(mine), "out": str(project), "weights": "tiny", "frames": 4}
    before, key = data_hashes(named), execution_key(chapter, named, project)
    assert list(before) == ["images"]
    (mine / "a.jpg").write_bytes(b"other")
    assert data_hashes(named) != before
    assert execution_key(chapter, named, project) != key


def test_the_status_page_names_the_data() -> None:
    data = {"images": "0123456789abcdef"}
    ran = Execution("01_small", "Small", 3.1, "2026-01-02T03:04:05+00:00", {"images": "mine"}, "key", "ci", data)
    executions = [vars(ran)]
    page = status_page({"executions": executions, "versions": {}, "machine": {}})
    assert "| `images` 0123456789 |" in page
