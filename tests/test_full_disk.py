"""Every writer on a full disk and at Ctrl-C: one line, its exit code, and nothing half-written left behind."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from little_model import little_model
from little_scene import little_prediction
from PIL import Image

from page4d.cli import main
from page4d.model.weights import save_weights
from page4d.result.formats import WRITERS

SMALL_FORMATS = {"tum", "cameras", "masks", "rerun"}  # shorter than any limit, or written by another's library


@pytest.fixture(scope="module")
def prediction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prediction") / "prediction.npz"
    little_prediction(frames=6).save(path)
    return path


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What the system does on a full disk, for files of this process."""
    before, compiled = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    # Python does not notice that a module which it compiles meanwhile was written in part, and trips over it later.
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = compiled


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("page4d: ") and "note:" not in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind not in SMALL_FORMATS])
def test_export(kind: str, prediction: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "depth-exr":
        pytest.importorskip("OpenEXR")
    with files_of_at_most(500):
        code = main(["export", str(prediction), "--format", kind, "--size", "input", "--out", str(tmp_path / "out")])
    assert code == 2
    assert told(capsys).startswith("page4d: error: ")
    assert left(tmp_path) == []


def test_view(prediction: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_of_at_most(500):
        assert main(["view", str(prediction), "--html", str(tmp_path / "page.html")]) == 2
    assert told(capsys).startswith("page4d: error: ")
    assert left(tmp_path) == []


def predict(folder: Path) -> list[str]:
    save_weights(little_model(), folder / "little.safetensors")
    Image.effect_noise((64, 48), 90).convert("RGB").save(folder / "a.png")
    weights = str(folder / "little.safetensors")
    return ["predict", str(folder / "a.png"), "--weights", weights, "--device", "cpu", "--out", str(folder / "out")]


def test_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = predict(tmp_path)
    with files_of_at_most(4000):
        assert main(words) == 2
    assert told(capsys).startswith("page4d: error: ")
    assert left(tmp_path) == ["a.png", "little.safetensors"]


def test_too_little_space_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = predict(tmp_path)
    monkeypatch.setattr("page4d.cli.outfolder.free_bytes", lambda folder: 1000)
    monkeypatch.setattr("page4d.model.PAGE4D.from_pretrained", lambda *a, **k: pytest.fail("weights were loaded"))
    assert main(words) == 2
    assert "0.001 MB are free" in told(capsys)


@pytest.mark.parametrize("kind", ["ply", "colmap", "tum", "cameras", "depth-png"])
def test_ctrl_c(
    kind: str, prediction: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    monkeypatch.setattr(os, "rename", interrupted)
    code = main(["export", str(prediction), "--format", kind, "--size", "input", "--out", str(tmp_path / "out")])
    assert code == 130
    assert told(capsys) == "page4d: interrupted"
    assert left(tmp_path) == []


def pictures(folder: Path) -> list[str]:
    """Two frames and a small network that tracks, in a folder of their own."""
    own = folder / "in"
    own.mkdir()
    save_weights(little_model(enable_track=True, img_size=160), own / "little.safetensors")
    for name in ("a", "b"):
        Image.effect_noise((160, 160), 90).convert("RGB").save(own / f"{name}.png")
    return [str(own / "a.png"), str(own / "b.png")]


def writing(kind: str, folder: Path) -> list[str]:
    """A command that writes beside folder/in, where all that it reads stands."""
    files, weights = pictures(folder), str(folder / "in" / "little.safetensors")
    little = ["--weights", weights, "--device", "cpu"]
    size = ["--frames", "2", "--height", "48", "--width", "64"]
    words = {
        "track": ["track", *files, *little, "--grid", "2"],
        "features": ["features", "--images", *files, *little],
        "film": ["predict", *files, *little, "--window", "2", "--overlap", "1"],
        "synthetic": ["prepare", "synthetic", "static-test", "--scenes", "1", *size],
        "export-model": ["export-model", weights, "--height", "64", "--width", "64"],
        "check-data": ["check-data", "data=synthetic", "--clips", "1", "--frames", "2", "--width", "64", "--show", "1"],
    }[kind]
    return [*words, "--out", str(folder / ("out.pt2" if kind == "export-model" else "out"))]


# A film goes on from the parts that are whole, and a scene from the frames that are staged, so their folders stay.
GOES_ON = {"film": {"out"}, "synthetic": {"out"}}
WRITERS = (
    "track",
    "features",
    "film",
    "synthetic",
    pytest.param("export-model", marks=pytest.mark.slow),
    pytest.param("check-data", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("kind", WRITERS)
def test_other_writers(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = writing(kind, tmp_path)
    with files_of_at_most(300):
        assert main(words) == 2
    assert told(capsys).startswith("page4d: error: ")
    assert {path.name for path in tmp_path.iterdir()} - {"in"} == GOES_ON.get(kind, set())


@pytest.mark.parametrize("kind", WRITERS)
def test_ctrl_c_in_other_writers(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = writing(kind, tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("fsync", "rename", "replace"):
        monkeypatch.setattr(os, name, interrupted)
    assert main(words) == 130
    assert told(capsys) == "page4d: interrupted"
    assert {path.name for path in tmp_path.iterdir()} - {"in"} == GOES_ON.get(kind, set())
