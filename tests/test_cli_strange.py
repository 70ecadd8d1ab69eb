"""Commands that look at results, with files that somebody edited, numbers beyond all scenes and names in the way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little_scene import little_prediction
from PIL import Image

from page4d import inference
from page4d.book.chapters import read_chapter
from page4d.book.profiles import read_paths
from page4d.cli import main
from page4d.schema import Prediction, UserError
from page4d.stored import part_path, write_film_file


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "prediction.npz"
    little_prediction().save(path)
    return path


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1
    return error


# --- names in the way -----------------------------------------------------------------------------------------------


def test_the_page_takes_the_place_of_no_other_file(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "paper.html"
    mine.write_text("mine")
    for target in (mine, stored):
        before = target.read_bytes()
        assert "so it stays" in fails(["view", str(stored), "--html", str(target)], capsys)
        assert target.read_bytes() == before
    assert "make it first" in fails(["view", str(stored), "--html", str(tmp_path / "no" / "a.html")], capsys)
    page = tmp_path / "page.html"
    assert main(["view", str(stored), "--html", str(page)]) == 0
    assert main(["view", str(stored), "--html", str(page)]) == 0


def test_a_folder_whose_name_is_no_text_has_its_page(stored: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    shutil.copy(stored, folder)
    assert main(["view", str(folder)]) == 0
    assert "<title>caf?</title>" in (folder / "viewer.html").read_text()


def test_links_in_a_circle_and_pipes_are_told(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    export = ["export", str(stored), "--format", "ply", "--out"]
    for out in ("loop", "loop/x"):
        assert "leads around to itself" in fails([*export, out], capsys)
        assert "leads around to itself" in fails(["predict", str(stored), "--each", "--out", out], capsys)
        assert "leads around to itself" in fails(["predict", str(stored), "--window", "4", "--out", out], capsys)
    assert main(["predict", "loop", "--each", "--out", "each"]) == 2
    assert "loop does not exist" in capsys.readouterr().err
    for option in ("--poses", "--intrinsics"):
        assert "pipe is a pipe or device" in fails([*export, "x", option, "pipe"], capsys)
        assert f"{tmp_path} is a folder" in fails([*export, "x", option, str(tmp_path)], capsys)
    assert "pipe is a pipe or device" in fails(["view", "pipe"], capsys)
    assert "pipe is no folder" in fails(["predict", str(stored), "--mask-folder", "pipe", "--out", "x"], capsys)
    assert not Path("x").exists()


@pytest.mark.parametrize("command", ["predict x --out y", "track x --out y", "features --images x --out y", "demo"])
def test_weights_have_a_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--weights", ""]) == 2
    assert "an empty word names no weights" in capsys.readouterr().err


# --- numbers beyond all scenes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--frames", "0:4:0"], "with N of 1 or more"),
        (["--scale-from", "distance:0,3,3,nan,30,2"], "expected finite pixels"),
        (["--scale-from", "distance:0,3,3,40,30,-2"], "more than 0 metres"),
        (["--scale-from", "distance:0,3,3,40,30,1e300"], "expected 1e-09 to 1e+09"),
        (["--scale-from", "distance:0,3,3,40,30,1e-30"], "expected 1e-09 to 1e+09"),
        (["--scale-from", "distance:0,3,3,4000,30,1"], "outside the picture"),
        (["--intrinsics", "1e-30,1e-30,20,10"], "expected focal lengths of 0.001 or more"),
        (["--intrinsics", "50,60,1e300,10"], "nothing beyond 1e+09"),
    ],
)
def test_numbers_of_no_scene(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    error = fails(["export", str(stored), "--format", "ply", "--out", str(tmp_path / "x"), *extra], capsys)
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_network_sees_no_picture_of_any_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path), "--out", str(tmp_path / "x"), "--input-size", "80000"]) == 2
    assert "from 1 to 16384" in capsys.readouterr().err


# --- files that somebody edited -------------------------------------------------------------------------------------


def edited(stored: Path, path: Path, meta: dict[str, Any] | None = None, **arrays: np.ndarray) -> Path:
    with np.load(stored) as content:
        values = {name: content[name] for name in content.files} | arrays
    header = json.loads(str(values["header"]))
    header["meta"] |= meta or {}
    np.savez(path, **values | {"header": np.array(json.dumps(header))})
    return path


NONE = np.zeros((4, 0, 48), np.float32)
SMALL_FOCAL = np.tile(np.array([[1e-20, 0, 1], [0, 1e-20, 1], [0, 0, 1]], np.float32), (4, 1, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"depth": NONE, "depth_conf": NONE, "points": NONE[..., None].repeat(3, -1), "points_conf": NONE,
          "images": np.zeros((4, 0, 48, 3), np.uint8)}, "not one pixel"),
        ({"mask": np.zeros((4, 0, 0), np.float32)}, "not one pixel"),
        ({"mask": np.full((4, 3, 4), np.nan, np.float32)}, "mask of 4 of 4 frames is not finite"),
        ({"original_hw": np.full((4, 2), 10_000_000)}, "whole pixels of a picture"),
        ({"original_hw": np.full((4, 2), 36.5)}, "whole pixels of a picture"),
        ({"original_hw": np.zeros((4, 2), np.int64)}, "whole pixels of a picture"),
        ({"box_in_original": np.zeros((4, 4))}, "expected x0 < x1"),
        ({"box_in_original": np.full((4, 4), np.nan)}, "expected x0 < x1"),
        ({"timestamps_s": np.full(4, np.inf)}, "a time is infinite"),
        ({"K": SMALL_FOCAL}, "points or cameras reach"),
    ],
)  # fmt: skip
def test_what_no_prediction_says_is_refused(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], message: str
) -> None:
    path = edited(stored, tmp_path / "edited.npz", **arrays)
    assert message in fails(["view", str(path)], capsys)
    assert message in fails(["export", str(path), "--format", "depth-npy", "--out", str(tmp_path / "x")], capsys)


@pytest.mark.parametrize("scale", [None, "x", [1], {"factor": "1"}, {"factor": -1.0}, {"factor": float("nan")}])
def test_a_scale_of_another_kind_is_refused(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: object
) -> None:
    path = edited(stored, tmp_path / "edited.npz", {"scale": scale})
    assert "the scale in its meta" in fails(["view", str(path)], capsys)


def test_points_of_the_head_that_no_scene_has(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = edited(stored, tmp_path / "edited.npz", points=np.full((4, 36, 48, 3), 1e37, np.float32))
    words = ["export", str(path), "--format", "glb", "--points-from", "points", "--out", str(tmp_path / "x")]
    assert "point head's points reach 1e+37" in fails(words, capsys)


def film(folder: Path) -> None:
    whole = little_prediction()
    folder.mkdir()
    for first in (0, 2):
        whole[first : first + 2].save(part_path(folder, first, 2))
    write_film_file(folder, {}, finished=True, frames=4)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: part_path(folder, 2, 2).unlink(), "has 2 of 4 frames, the last ones are gone"),
        (lambda folder: little_prediction().save(part_path(folder, 2, 2)), "holds 4 frames, not 2"),
        (lambda folder: little_prediction(height=20)[:2].save(part_path(folder, 2, 2)), "different sizes or contents"),
        (lambda folder: shutil.copy(part_path(folder, 2, 2), part_path(folder, 1, 3)), "frame 2 was to come next"),
        (lambda folder: write_film_file(folder, {"scale": 5}, finished=True), "the scale in its meta"),
    ],
)
def test_films_whose_parts_do_not_belong_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "film"
    film(folder)
    assert len(Prediction.open(folder)[:]) == 4
    harm(folder)
    assert message in fails(["view", str(folder)], capsys)


# --- before the work ------------------------------------------------------------------------------------------------


def test_export_says_where_pictures_go_and_asks_for_them_first(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export", str(stored), "--size", "original", "--out"]
    assert main([*export, str(tmp_path / "a"), "--format", "nerfstudio"]) == 0
    assert f"put the original images into {tmp_path / 'a' / 'nerfstudio' / 'images'} (" in capsys.readouterr().out
    missing = ["--images", str(tmp_path / "none")]
    assert "none does not exist" in fails([*export, str(tmp_path / "b"), "--format", "ply", *missing], capsys)
    assert main([*export, str(tmp_path / "c"), "--format", "tum", "--images", str(tmp_path)]) == 0
    assert "is not used" in capsys.readouterr().err


def test_exr_of_pictures_of_several_sizes(tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")
    sizes = [(36, 48), (72, 96)]
    boxes = np.array([(0.0, 0.0, w, h) for h, w in sizes])
    two = replace(little_prediction(2), original_hw=np.array(sizes), box_in_original=boxes)
    two.save(tmp_path / "prediction.npz")
    words = ["export", str(tmp_path), "--format", "depth-exr", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    for path, size in zip(sorted((tmp_path / "out" / "depth_exr").iterdir()), sizes, strict=True):
        assert OpenEXR.File(str(path)).channels()["Z"].pixels.shape == size


def pictures(folder: Path) -> Path:
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (48, 36), (50 * i, 80, 90)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale-from", "distance:0,3,3,400,3,1"], "outside the picture"),
        (["--scale-from", "distance:0,3,3,3,3,1"], "show the same point"),
        (["--scale-from", "depth:sensor"], "of frame 1 is 5 x 5"),
        (["--poses", "still"], "stands still"),
        (["--poses", "map"], "take one position off all of them"),
        (["--times", "twice"], "gives '0.png' two times"),
        (["--mode", "square", "long.png"], "less than one line is seen"),
    ],
)
def test_what_does_not_go_with_the_frames_is_told_before_they_are_predicted(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = pictures(tmp_path / "frames")
    Path("sensor").mkdir()
    for i, shape in enumerate([(36, 48), (5, 5)]):
        np.save(f"sensor/{i}.npy", np.ones(shape, np.float32))
    Path("still").write_text("0 1 2 3 0 0 0 1\n1 1 2 3 0 0 0 1\n")
    Path("map").write_text("0 448000 5411000 3 0 0 0 1\n1 448001 5411000 3 0 0 0 1\n")
    Path("twice").write_text("0 0.png\n1 1.png\n2 0.png\n")
    Image.new("RGB", (4000, 20)).save("long.png")
    monkeypatch.setattr(inference, "predict", None)
    given = words if words[-1].endswith(".png") else [str(frames), *words]
    assert message in fails(["predict", "--out", "x", *given], capsys)
    assert not Path("x").exists()


def test_a_model_that_can_be_written_nowhere_is_not_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("a.bin", "expected .onnx or .pt2"), ("no/a.pt2", "its folder does not exist")):
        assert message in fails(["export-model", "nothing.pt", "--out", str(tmp_path / name)], capsys)


# --- the book -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "toc", ["", "- a", "parts: 5", "a: [", "parts: [{chapters: [{x: 1}]}]", "parts: [{chapters: [a]}]"]
)
def test_contents_that_are_none(toc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("book", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(toc)
    words = ["book", "--dry-run", "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    assert "is no table of contents" in fails(words, capsys)


def test_a_chapter_that_is_no_python_and_places_of_the_book(tmp_path: Path) -> None:
    chapter = tmp_path / "01_a.py"
    chapter.write_text('# %% tags=["parameters"]\nx = (\n')
    with pytest.raises(UserError, match="is not Python"):
        read_chapter(chapter)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe or device"):
        read_paths(tmp_path / "pipe")
    (tmp_path / "paths").write_text("a: ~nobody-of-that-name/x\n")
    assert read_paths(tmp_path / "paths") == {"a": "~nobody-of-that-name/x"}
