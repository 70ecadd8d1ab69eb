"""What `view` and `export` make of known intrinsics, sensor depth and videos, and what they say to mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little_scene import little_prediction
from PIL import Image
from test_looking_cli import fails

from page4d.cli import main
from page4d.cli.prediction_input import check_scale_words, parse_intrinsics
from page4d.schema import UserError


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "prediction.npz"
    little_prediction().save(path)
    return path


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3,), (5, 3, 3)])
def test_intrinsics_of_another_shape(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]
) -> None:
    (tmp_path / "k.json").write_text(json.dumps({"K": np.resize(np.eye(3), shape).tolist()}))
    words = ["view", str(stored), "--html", str(tmp_path / "a.html"), "--intrinsics", str(tmp_path / "k.json")]
    assert f"intrinsics have shape {shape}, expected (3, 3)" in fails(words, capsys)


@pytest.mark.parametrize("words", ["nan,1,1,1", "50,0,1,1", "50,-50,1,1", "1e400,1,1,1"])
def test_intrinsics_are_looked_at_when_they_are_read(words: str) -> None:
    with pytest.raises(UserError, match="expected finite values and positive focal lengths"):
        parse_intrinsics(words)


@pytest.mark.parametrize(
    "rows",
    [
        [[100, 0, 0], [0, 100, 0], [64, 48, 1]],  # transposed, as MATLAB and OpenGL write it
        [[100, 0, 64], [0, 100, 48], [0, 0, 2]],
        [[100, 0, 64], [3, 100, 48], [0, 0, 1]],
        [[[100, 0, 64], [0, 100, 48], [0, 0, 1]], [[100, 0, 64], [0, 100, 48], [0, 0, -1]]],
    ],
)
def test_a_matrix_that_is_no_camera_is_refused(rows: list[object], tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps({"K": rows}))
    with pytest.raises(UserError, match=r"is no K, expected \[\[fx, skew, cx\], .* is it transposed\?"):
        parse_intrinsics(str(tmp_path / "k.json"))


def test_every_kind_of_pose_file_passes_the_look_before_the_work(tmp_path: Path) -> None:
    for name, row in (("tum", "0 0 0 0 0 0 0 1\n"), ("kitti", "1 0 0 0 0 1 0 0 0 0 1 0\n")):
        (tmp_path / name).write_text(row)
        check_scale_words(f"trajectory:{tmp_path / name}")


def test_colmap_model_of_a_video_has_its_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"clip_{i:06d}" for i in range(4))
    replace(little_prediction(), frame_names=names).save(tmp_path / "p.npz")
    words = ["export", str(tmp_path / "p.npz"), "--format", "colmap", "--moving", "none", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert "all at the network's size: frames of a video have no image files" in capsys.readouterr().out
    assert sorted(p.stem for p in (tmp_path / "a" / "images").iterdir()) == list(names)
    assert json.loads((tmp_path / "a" / "export.json").read_text())["size"] == "input"
    assert main([*words, str(tmp_path / "b"), "--size", "original"]) == 0
    assert "put the original images into" in capsys.readouterr().out
    assert not (tmp_path / "b" / "images").exists()


@pytest.mark.parametrize("suffix", [".PNG", ".pgm", ".NPY"])
def test_scale_from_every_kind_of_sensor_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: Path, suffix: str
) -> None:
    sensor = tmp_path / "sensor"
    sensor.mkdir()
    metres = little_prediction().depth[2] * 3
    stored_mm = (metres * 1000).round().astype(np.uint16)
    path = sensor / f"frame_0002{suffix}"
    if suffix == ".pgm":
        path.write_bytes(b"P5\n48 36\n65535\n" + stored_mm.astype(">u2").tobytes())
    elif suffix == ".PNG":
        Image.fromarray(stored_mm).save(path)
    else:
        with path.open("wb") as stream:
            np.save(stream, metres)
    words = ["export", str(stored), "--format", "cameras", "--moving", "none", "--out", str(tmp_path / "a")]
    if suffix == ".pgm":
        assert "does not say its depth scale" in fails([*words, "--scale-from", f"depth:{sensor}"], capsys)
    units = "" if suffix == ".NPY" else ",1000"
    assert main([*words, "--scale-from", f"depth:{sensor}{units}"]) == 0
    scale = json.loads((tmp_path / "a" / "cameras.json").read_text())["scale"]
    assert scale["factor"] == pytest.approx(3, rel=1e-3)


def test_messages_say_what_arrived(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ["--html", str(tmp_path / "a.html")]
    said = fails(["view", str(stored), *page, "--max-points", "0"], capsys)
    assert "argument --max-points: '0' is not a whole number from 1 to" in said
    flat = little_prediction()
    flat.K[1, 0, 0] = np.inf
    flat.save(tmp_path / "flat.npz")
    assert "a field of view of 0, which hardly trained" in fails(["view", str(tmp_path / "flat.npz"), *page], capsys)
