"""What a chapter reads from disk: other data are another run, and the status page names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from book_project import shipped_chapters, write_project

from page4d.book.chapters import Execution, find_chapters, plan_run
from page4d.book.provenance import shipped_hashes
from page4d.book.site import status_page


def test_an_execution_is_not_reused_for_other_data(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    (chapter,) = find_chapters(project)
    mine = project / "mine"
    mine.mkdir()
    (mine / "a.jpg").write_bytes(b"first")
    named = {"images": str(mine), "out": str(project), "weights": "tiny", "frames": 4}
    before = plan_run(chapter, named, project)
    assert list(before.data) == ["images"]
    (mine / "a.jpg").write_bytes(b"other")
    after = plan_run(chapter, named, project)
    assert after.data != before.data
    assert after.key != before.key


def test_an_execution_of_one_profile_is_not_reused_for_another(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    (chapter,) = find_chapters(project)
    assert plan_run(chapter, {}, project, "gpu").key != plan_run(chapter, {}, project).key
    assert plan_run(chapter, {}, project, "ci").key == plan_run(chapter, {}, project).key


def test_what_comes_with_the_package_has_its_hash() -> None:
    code = 'files = stored_results("study", results)\nother = stored_results("speed") / "a.json"\npair = stereo_pair()'
    named = {"weights": "vggt-tiny, tiny,nomask", "results": "", "frames": 4}
    found = shipped_hashes(code, named)
    assert list(found) == ["results of speed", "results of study", "stereo pair", "tiny", "vggt-tiny"]
    assert len(set(found.values())) == 5
    assert "results of study" not in shipped_hashes(code, {**named, "results": "mine"}), "the user's own, then"
    assert shipped_hashes("1 + 1", {"seed": 3}) == {}


@pytest.mark.parametrize(
    ("number", "used"),
    [
        ("05", ["results of builtin", "results of runs", "results of speed", "vggt-tiny"]),
        ("06", ["results of builtin", "results of speed", "results of study", "tiny"]),
        ("22", ["results of builtin", "results of study"]),
        ("25", ["page4d-tiny-mask", "results of speed", "stereo pair", "tiny", "vggt-tiny"]),
        ("26", ["results of speed"]),
    ],
)
def test_chapters_that_show_stored_results_say_so(number: str, used: list[str]) -> None:
    (chapter,) = [chapter for chapter in shipped_chapters() if chapter.name.startswith(number)]
    assert list(shipped_hashes(chapter.path.read_text(), chapter.parameters)) == used


def test_the_status_page_names_the_data() -> None:
    data = {"images": "0123456789abcdef"}
    ran = Execution(
        "01_small",
        "Small",
        3.1,
        "2026-01-02T03:04:05+00:00",
        {"images": "mine"},
        "key",
        "ci",
        data,
        {"tiny": "fedcba9876543210"},
    )
    executions = [vars(ran)]
    page = status_page({"executions": executions, "versions": {}, "machine": {}})
    assert "| `images` 0123456789, tiny fedcba9876 |" in page
