"""Profiles of the book and its runs: what is missing is said before any work, chapters run side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from book_project import CHAPTER, ROOT, shipped_chapters, write_project

from page4d.book.chapters import ChapterError, Execution, RunPlan, execute, find_chapters
from page4d.book.profiles import Needs, Profile, missing, plan_text, read_paths, read_profile
from page4d.book.runs import LONG, execute_all, longest_first, stages
from page4d.cli import main
from page4d.schema import UserError

CHAPTERS = shipped_chapters()


def test_the_gpu_profile_fits_the_chapters() -> None:
    profile = read_profile(ROOT, "gpu", CHAPTERS)
    assert profile.parameters["01_quickstart"]["weights"] == "nomask"
    assert profile.places("12_camera_pose") == ["evaluation", "tum"]
    assert set(LONG) <= {chapter.name for chapter in CHAPTERS}


def test_the_gpu_profile_says_of_every_chapter_what_it_gets_or_why_nothing() -> None:
    profile = read_profile(ROOT, "gpu", CHAPTERS)
    names = {chapter.name for chapter in CHAPTERS}
    given = {name for name, values in profile.parameters.items() if values}
    assert given | profile.reasons.keys() == names, "book/profiles/gpu.yaml has an entry for every chapter"
    assert given & profile.reasons.keys() == set()
    assert profile.made_by("01_quickstart") == "gpu"
    assert profile.made_by("21_the_world") == "ci", "its figures are those of the small run"
    assert Profile("ci").made_by("01_quickstart") == "ci"
    text, _ = plan_text(profile, CHAPTERS, {}, [], ROOT)
    assert "ready   21_the_world: as it is: it is about the synthetic world; about 1 min" in text


def test_a_chapter_that_reads_what_others_write_comes_last() -> None:
    profile = read_profile(ROOT, "gpu", CHAPTERS)
    paths = {place: f"/data/{place}" for chapter in CHAPTERS for place in profile.places(chapter.name)}
    parameters = {chapter.name: profile.filled(chapter.name, paths) for chapter in CHAPTERS}
    first, last = stages(CHAPTERS, parameters)
    assert [chapter.name for chapter in last] == ["22_reproducing_page4d"]
    assert len(first) == len(CHAPTERS) - 1
    assert stages(CHAPTERS, {}) == [CHAPTERS], "nobody writes, nobody waits"
    assert stages(last, parameters) == [last]
    assert stages([], {}) == []


def test_a_chapter_gets_the_users_paths(tmp_path: Path) -> None:
    profile = Profile("mine", {"01": {"images": "{photos}/a", "frames": 4}})
    assert profile.filled("01", {"photos": str(tmp_path)}) == {"images": f"{tmp_path}/a", "frames": 4}
    assert profile.filled("02", {}) == {}


def test_what_is_missing_is_said_one_by_one(tmp_path: Path) -> None:
    needs = {"01": Needs(weights=("tiny", "nowhere.pt"), gpu_gb=24)}
    profile = Profile("mine", {"01": {"images": "{photos}", "root": "{data}"}}, needs)
    assert list(missing(profile, "01", {"data": str(tmp_path / "gone")}, [16.0])) == [
        f"data: {tmp_path / 'gone'} does not exist",
        "the path 'photos' is not in the file of paths",
        "weights 'nowhere.pt' are not downloaded: page4d download nowhere.pt",
        "a GPU with 24 GB; the largest here has 16 GB",
    ]
    paths = {"data": str(tmp_path), "photos": str(tmp_path)}
    there = replace(profile, needs={"01": Needs(weights=("tiny",), gpu_gb=24)})
    assert list(missing(there, "01", paths, [16.0, 80.0])) == []
    assert list(missing(there, "01", paths, [])) == ["a GPU with 24 GB; there is none here"]


def test_a_plan_says_what_would_run_and_whether_it_can(tmp_path: Path) -> None:
    few = CHAPTERS[:2]
    text, ready = plan_text(Profile("ci"), few, {}, [], tmp_path / "new" / "book")
    assert ready
    assert f"ready   {few[0].name}: as it is" in text
    profile = Profile("gpu", {few[0].name: {"images": "{photos}"}}, {few[0].name: Needs(minutes=7)})
    text, ready = plan_text(profile, few, {}, [80.0], tmp_path)
    assert not ready
    assert f"MISSING {few[0].name}: images={{photos}}; about 7 min" in text
    assert "GPUs: 80 GB; estimated 8 min on one" in text


def test_what_the_build_makes_need_not_be_there_and_given_values_are_planned(tmp_path: Path) -> None:
    writes, reads = CHAPTERS[0].name, CHAPTERS[1].name
    parameters = {writes: {"weights": "nowhere.pt", "out": "{kept}", "device": "cuda"}, reads: {"root": "{kept}"}}
    profile = Profile("gpu", parameters, {writes: Needs(("nowhere.pt",), gpu_gb=24)})
    paths = {"kept": str(tmp_path / "new")}
    text, ready = plan_text(profile, CHAPTERS[:2], paths, [], tmp_path)
    assert not ready
    assert "does not exist" not in text
    assert "does not exist" in plan_text(profile, CHAPTERS[1:2], paths, [], tmp_path)[0]
    given = {writes: {"weights": "tiny,vggt-tiny", "device": "cpu"}, reads: {}}
    text, ready = plan_text(profile.changed_by(given), CHAPTERS[:2], paths, [], tmp_path)
    assert ready
    assert f"ready   {writes}: weights=tiny,vggt-tiny, out={{kept}}, device=cpu" in text
    small = Profile("ci").changed_by({writes: {"frames": 3}})
    assert f"{writes}: frames=3" in plan_text(small, CHAPTERS, {}, [], tmp_path)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("01_small: {needs: {minutes: 3}}", "gives either parameters or as_it_is, a reason"),
        ("01_small: {as_it_is: why, parameters: {count: 3}}", "gives either parameters or as_it_is, a reason"),
        ("01_smal: {}", "the chapter '01_smal', which is not there; did you mean '01_small'?"),
        ("01_small: {parameters: {cuont: 3}}", "the parameter 'cuont', which it does not have; did you mean 'count'?"),
    ],
)
def test_a_profile_with_a_wrong_name_is_refused(tmp_path: Path, content: str, message: str) -> None:
    project = write_project(tmp_path)
    (project / "book" / "profiles" / "mine.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        read_profile(project, "mine", find_chapters(project))
    assert message in str(caught.value)
    with pytest.raises(UserError, match="choose one of ci, gpu, mine"):
        read_profile(project, "other", find_chapters(project))


def test_the_file_of_paths_is_checked(tmp_path: Path) -> None:
    assert read_paths(None) == {}
    file = tmp_path / "paths.yaml"
    file.write_text("sintel: /data/sintel\n")
    assert read_paths(file) == {"sintel": "/data/sintel"}
    file.write_text("- /data/sintel\n")
    with pytest.raises(UserError, match="expected lines like `sintel: /data/sintel`"):
        read_paths(file)
    with pytest.raises(UserError, match="cannot read the paths"):
        read_paths(tmp_path / "gone.yaml")
    file.write_text("sintel: /data/sintel\n", encoding="utf-16")  # as PowerShell writes it
    assert read_paths(file) == {"sintel": "/data/sintel"}
    for broken in (b"\xff\x00", b"a: [\n", b"a: !!python/object/apply:os.getcwd []\n"):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=r"cannot read the paths in [^\n]*$"):
            read_paths(file)


def test_a_dry_run_does_no_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["book", "--root", str(ROOT), "--out", str(tmp_path / "out"), "--chapters", "01"]
    assert main([*words, "--dry-run"]) == 0
    assert "ready   01_quickstart: as it is" in capsys.readouterr().out
    assert main([*words, "--profile", "gpu", "--dry-run"]) == 1
    assert "the path 'photos' is not in the file of paths" in capsys.readouterr().out
    assert main([*words, "--profile", "gpu"]) == 1
    assert "MISSING 01_quickstart" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_takes_long_starts_first() -> None:
    plans = [RunPlan(chapter, {}, {}, "key") for chapter in CHAPTERS]
    names = [plan.chapter.name for plan in longest_first(plans)]
    assert tuple(names[: len(LONG)]) == LONG
    assert names[len(LONG) :] == [c.name for c in CHAPTERS if c.name not in LONG]


def small_plans(project: Path, second: str = CHAPTER) -> list[RunPlan]:
    (first,) = find_chapters(project)
    path = first.path.with_name("02_other.py")
    path.write_text(second)
    return [
        RunPlan(first, {"count": 3}, {}, "a", "mine"),
        RunPlan(replace(first, name="02_other", path=path), {}, {}, "b", "mine"),
    ]


@pytest.mark.slow
def test_chapters_run_side_by_side(tmp_path: Path) -> None:
    told: list[str] = []
    folder = tmp_path / "executed"
    folder.mkdir()
    found = execute_all(small_plans(write_project(tmp_path / "project")), folder, 2, told=told.append)
    assert sorted(found) == ["01_small", "02_other"]
    assert found["01_small"].parameters["count"] == 3
    assert [line[:5] for line in told] == ["[1/2]", "[2/2]"]
    stored = Execution(**json.loads((folder / "02_other.json").read_text()))
    assert stored == found["02_other"]
    assert stored.profile == "mine"


@pytest.mark.parametrize(("deaths", "runs"), [(2, True), (3, False)])
def test_a_kernel_that_does_not_start_is_started_again(
    deaths: int, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels of two processes may be given one port; the one that comes second dies before it has run a cell."""
    started: list[str] = []

    def start(notebook: Any, out: str, *_: Any, **__: Any) -> Any:
        started.append(out)
        if len(started) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")
        Path(out).write_text("{}")
        return notebook

    monkeypatch.setattr("papermill.execute_notebook", start)
    plan, _ = small_plans(write_project(tmp_path / "project"))
    if runs:
        assert execute(plan, tmp_path).chapter == plan.chapter.name
    else:
        with pytest.raises(ChapterError, match="no kernel starts here"):
            execute(plan, tmp_path)
    assert len(started) == 3


@pytest.mark.slow
def test_a_chapter_that_fails_ends_the_build(tmp_path: Path) -> None:
    plans = small_plans(
        write_project(tmp_path / "project"), CHAPTER.replace("import plotly.graph_objects as go", "1 / 0")
    )
    folder = tmp_path / "executed"
    folder.mkdir()
    with pytest.raises(ChapterError, match="ZeroDivisionError"):
        execute_all(plans, folder, 2)
