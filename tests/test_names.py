"""The one order of file names, the numbers and times in them, and the gate for names that come from files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from page4d.io.names import (
    by_number,
    by_time,
    checked_name,
    checked_relative,
    frame_number,
    list_files,
    natural_key,
    time_stamp_s,
    time_stamps_s,
)
from page4d.io.safe_names import safe_stems
from page4d.schema import UserError


@pytest.mark.parametrize(
    "ordered",
    [
        ["2.png", "10.png", "a2.png", "a10.png"],
        ["1.JPG", "2.png", "3.PNG"],
        ["1305031102.175304.png", "1305031102.2.png", "1305031102.21.png", "1305031102.3.png"],
        ["1305031101.9.png", "1305031102.png", "1305031102.05.png"],  # a stamp of a whole second has no fraction
        ["0001.png", "1.png", "02.png"],  # equal numbers by their plain names
        ["2023.09.10.png", "2023.10.2.png"],  # two points make a date, not a number
        ["camera_9_1.png", "camera_10_0.png"],
    ],
)
def test_order(ordered: list[str]) -> None:
    backwards = ordered[::-1]
    assert sorted(backwards, key=natural_key) == ordered


@given(st.lists(st.text("ab019_.²", min_size=1), max_size=6))
def test_natural_order_is_total(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    backwards = ordered[::-1]
    assert sorted(backwards, key=natural_key) == ordered


def test_files_are_listed_by_suffix_in_any_case(tmp_path: Path) -> None:
    for name in ("10.PNG", "9.png", "b.jpg", ".3.png", "0_2.Png"):
        (tmp_path / name).touch()
    (tmp_path / "11.png").mkdir()
    assert [path.name for path in list_files(tmp_path, {".png"})] == ["0_2.Png", "9.png", "10.PNG"]
    assert [path.name for path in list_files(tmp_path, {".png"}, "0_")] == ["0_2.Png"]
    assert list_files(tmp_path / "missing", {".png"}) == []


def test_frame_numbers() -> None:
    assert frame_number("frame_0007.cam") == 7
    assert frame_number(Path("folder9") / "0_00012.json") == 12
    assert by_number([Path("a_10.png"), Path("b.png"), Path("a_9.png")]) == {9: Path("a_9.png"), 10: Path("a_10.png")}
    with pytest.raises(UserError, match="no frame number"):
        frame_number("frame.png")
    with pytest.raises(UserError, match="20 digits"):
        frame_number("1" * 20 + ".png")
    with pytest.raises(UserError, match=r"1\.png and 01\.png have the same number"):
        by_number([Path("01.png"), Path("1.png")])


def test_time_stamps() -> None:
    assert time_stamp_s("1305031102.175304.png") == 1305031102.175304
    assert time_stamps_s(["12.5.png", "13.png"]) == [12.5, 13.0]
    assert time_stamps_s(["12.png", "13.png"]) is None  # frame numbers
    assert time_stamps_s(["12.5.png", "a.png"]) is None
    assert list(by_time([Path("2.5.png"), Path("2.25.png")])) == [2.25, 2.5]
    for name in ("nan.png", "1e5.png", "-1.5.png", "a1.5.png", "inf.png"):
        with pytest.raises(UserError, match="not named by a time stamp"):
            time_stamp_s(name)
    with pytest.raises(UserError, match="same time stamp"):
        by_time([Path("2.5.png"), Path("2.50.png")])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\0b", "a\nb", "/etc/passwd"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^record 3: .* cannot name a file"):
        checked_name(name, "record 3")


@pytest.mark.parametrize("name", ["", "/a", "a/../b", "../a", "a//b", "a/./b", "a\\..\\b", "a/b\0", "a/"])
def test_paths_that_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^line 3: .* does not stay in its folder"):
        checked_relative(name, "line 3")


def test_names_and_paths_that_are_fine() -> None:
    assert checked_name("scene 1, ünïcode..png", "here") == "scene 1, ünïcode..png"
    assert checked_relative("rgb/1305031102.175304.png", "here") == "rgb/1305031102.175304.png"


@given(st.text(max_size=12))
def test_a_checked_path_stays_below_its_folder(name: str) -> None:
    try:
        path = checked_relative(name, "here")
    except UserError:
        return
    root = Path("/srv/folder")
    assert "\0" not in path
    assert (root / path).resolve().is_relative_to(root)


def test_names_of_files_are_safe_and_differ() -> None:
    assert safe_stems(["8.png", "a/9.b.png"]) == ["8", "9.b"]
    assert safe_stems(["cam0/8.png", "cam1/8.png"]) == ["cam0_8", "cam1_8"]
    assert safe_stems(["A.png", "a.jpg"]) == ["00000_A", "00001_a"]
    assert safe_stems(['what is: "it"?.png', "caf\udce9.png", "NUL.png", "...png"]) == [
        "what_is_it_",
        "caf_",
        "_NUL",
        "png",
    ]
    (long,) = safe_stems([f"{'ü' * 120}17.png"])
    assert len(long.encode()) <= 180
    assert long.endswith("17")


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=8))
def test_every_name_becomes_one_that_can_be_written(names: list[str]) -> None:
    stems = safe_stems(names)
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert 0 < len(stem.encode()) < 200
        assert not set(stem) & set('<>:"/\\|?*\x00')
