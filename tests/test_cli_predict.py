"""What `page4d predict` lets one choose: precision, moving masks, windows that fit into memory."""
# ruff: noqa: F811, fixtures are imported

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model
from PIL import Image
from test_cli import images, predict, weights  # noqa: F401

from page4d.cli import main
from page4d.cli import predict as predict_module
from page4d.cli.predict_each import clip_folders, of_this_process
from page4d.io.depth_png import write_depth_png
from page4d.model import PAGE4D, memory
from page4d.model.memory import ForwardPass, estimate_memory
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction


def test_moving_masks_are_chosen(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "none", images, "--moving", "none") == 0
    assert not (tmp_path / "none" / "masks").exists()
    assert predict(weights, tmp_path / "one", images / "9.png") == 0
    assert not (tmp_path / "one" / "masks").exists()
    assert predict(weights, tmp_path / "out", images, "--no-mask", "--moving", "model") == 2
    assert "runs without a mask, so --moving model has none to write" in capsys.readouterr().err


def test_a_library_is_imported_where_something_needs_it(weights: Path, images: Path, tmp_path: Path) -> None:
    """trimesh and scipy took a third of the time before the first result, and predicting uses neither."""
    code = "import sys\nfrom page4d.cli import main\ncode = main(sys.argv[1:])\n"
    code += "print(code, sorted({'trimesh', 'scipy', 'matplotlib', 'torch'} & sys.modules.keys()))"
    words = ["predict", str(images), "--weights", str(weights), "--device", "cpu"]
    for name, windows in (("one", []), ("film", ["--window", "2", "--overlap", "1"])):
        command = [sys.executable, "-c", code, *words, "--out", str(tmp_path / name), *windows]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.splitlines()[-1] == "0 ['torch']"


def test_precision_is_chosen(weights: Path, images: Path, tmp_path: Path) -> None:
    assert predict(weights, tmp_path / "half", images, "--precision", "bf16") == 0
    assert predict(weights, tmp_path / "full", images) == 0
    half, full = (Prediction.load(tmp_path / name / "prediction.npz") for name in ("half", "full"))
    assert (half.meta["aggregator_dtype"], full.meta["aggregator_dtype"]) == ("bfloat16", "float32")
    assert half.meta["weights_sha256"] == full.meta["weights_sha256"]
    assert 0 < np.abs(half.depth / full.depth - 1).max() < 0.1


def test_a_cpu_is_not_compiled_for(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "out", images, "--compile") == 2
    assert "compiling gains nothing on a CPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--intrinsics", "k.json"), "k.json holds 2 matrices K for 3 frames; expected one each"),
        (("--poses", "poses.txt"), "the trajectory has 2 poses for 3 frames without times"),
        (("--scale-from", "trajectory:poses.txt"), "the trajectory has 2 poses for 3 frames without times"),
        (("--scale-from", "distance:3,1,1,5,5,2"), "there is no frame 3, only 0 to 2"),
        (("--scale-from", "depth:depth,1000"), "register it to the image first"),
        (("--scale-from", "depth:other"), "is named like a frame, and 1 such files are not 3, one a frame"),
    ],
)
def test_what_does_not_go_with_the_frames_is_told_before_they_are_predicted(
    words: tuple[str, str], message: str, weights: Path, images: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PAGE4D, "forward", None)
    K = [[50, 0, 20], [0, 50, 20], [0, 0, 1]]
    Path("k.json").write_text(json.dumps([K, K]))
    Path("poses.txt").write_text("0 0 0 0 0 0 0 1\n1 1 0 0 0 0 0 1\n")
    for place in ("depth", "other"):
        Path(place).mkdir()
    write_depth_png(Path("other/x.png"), np.ones((4, 5), np.float32), 1000)
    for path in images.iterdir():
        write_depth_png(Path("depth") / path.name, np.ones((4, 5), np.float32), 1000)
    assert predict(weights, tmp_path / "out", images, *words) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_fit_is_refused_before_it_starts(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = estimate_memory(ForwardPass(little_model().config, 2, 48, 64)).on(torch.device("cpu"))
    monkeypatch.setattr(memory, "memory_limit", lambda _: needed)
    assert predict(weights, tmp_path / "out", images) == 2
    assert "take windows of 2 frames (--window 2)" in capsys.readouterr().err
    assert predict(weights, tmp_path / "out", images, "--window", "2", "--overlap", "1") == 0


def test_many_clips_in_one_start(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "images"
    other.mkdir(parents=True)
    for name in ("8.png", "9.png"):
        (other / name).write_bytes((images / name).read_bytes())
    empty = tmp_path / "empty"
    empty.mkdir()
    loaded: list[object] = []
    load = PAGE4D.from_pretrained

    def counted(*words: object, **options: object) -> PAGE4D:
        loaded.append(words)
        return load(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(PAGE4D, "from_pretrained", counted)
    out = tmp_path / "out"
    assert predict(weights, out, images, empty, other, "--each") == 2
    said = capsys.readouterr()
    assert "2 of 3 clips predicted" in said.out
    assert f"{images} goes to {out / 'images'}\n" in said.out
    assert f"{other} goes to {out / 'images_2'}\n" in said.out
    assert str(empty / "") not in said.out
    assert f"1 of 3 clips failed: {empty}; the others are written" in said.err
    assert len(loaded) == 1
    assert sorted(path.name for path in out.iterdir()) == ["images", "images_2"]
    assert len(Prediction.load(out / "images" / "prediction.npz")) == 3
    together = Prediction.load(out / "images_2" / "prediction.npz")
    assert predict(weights, tmp_path / "alone", other) == 0
    alone = Prediction.load(tmp_path / "alone" / "prediction.npz")
    np.testing.assert_array_equal(together.depth, alone.depth)
    capsys.readouterr()
    assert predict(weights, out, images, other, "--each") == 0
    assert "2 of 2 clips are there already" in capsys.readouterr().out


@pytest.mark.parametrize("planted", [KeyError("planted"), RuntimeError("CUDA error"), OSError("disk")])
def test_a_clip_that_fails_in_any_way_stops_no_other(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    planted: Exception,
) -> None:  # fmt: skip
    clips = [tmp_path / name for name in ("a", "b", "c")]
    for clip in clips:
        clip.mkdir()
        (clip / "1.png").write_bytes((images / "9.png").read_bytes())
    one = predict_module._predict

    def fails_on_b(args: argparse.Namespace, network: PAGE4D | None) -> object:
        if args.inputs == [clips[1]]:
            raise planted
        return one(args, network)

    monkeypatch.setattr(predict_module, "_predict", fails_on_b)
    out = tmp_path / "out"
    assert predict(weights, out, *clips, "--each") == 2
    said = capsys.readouterr()
    foreseen = isinstance(planted, OSError)
    words = str(planted) if foreseen else f"{type(planted).__name__}: {planted}"
    assert f"page4d: error: {clips[1]}: {words}" in said.err
    assert ("Traceback" in said.err) != foreseen
    assert f"1 of 3 clips failed: {clips[1]}; the others are written" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]


def test_an_interruption_stops_all_clips(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_module, "_predict", interrupted)
    assert predict(weights, tmp_path / "out", images, images, "--each") == 130
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_shards_share_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [Path(f"{letter}/clip") for letter in "abcdefg"]
    clips = list(zip(inputs, clip_folders(inputs, Path("out")), strict=True))
    assert [folder.name for _, folder in clips[:3]] == ["clip", "clip_2", "clip_3"]
    parts = [of_this_process(clips, (number, 3)) for number in (1, 2, 3)]
    assert sorted(clip for part in parts for clip in part) == sorted(clips)
    assert [len(part) for part in parts] == [3, 2, 2]
    monkeypatch.setenv("WORLD_SIZE", "2")
    halves = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        halves += of_this_process(clips, (1, 3))
    assert sorted(halves) == sorted(parts[0])


def test_a_shard_is_of_many_clips(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "out", images, "--shard", "1/2") == 2
    assert "--shard divides the clips of --each" in capsys.readouterr().err
    for wrong in ("0/2", "3/2", "1", "a/b"):
        assert predict(weights, tmp_path / "out", images, "--each", "--shard", wrong) == 2
        assert "is not a part: expected I/N" in capsys.readouterr().err


def test_the_size_of_pictures_is_chosen(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "out", images, "--input-size", "32") == 0
    assert predict(weights, tmp_path / "usual", images) == 0
    chosen, usual = (Prediction.load(tmp_path / name / "prediction.npz") for name in ("out", "usual"))
    assert (chosen.size_hw[1], usual.size_hw[1]) == (32, PAGE4D.from_pretrained(weights).config.img_size)
    assert chosen.meta["frames"] == {"input_size": 32}
    capsys.readouterr()
    assert predict(weights, tmp_path / "odd", images, "--input-size", "35") == 2
    patch = PAGE4D.from_pretrained(weights).config.patch_size
    assert f"35 is not a multiple of the network's patch of {patch} px; try 32" in capsys.readouterr().err


def test_tiny_says_its_size_and_keeps_the_ratio_of_wide_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = tmp_path / "wide"
    photographs.mkdir()
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (540, 960, 3), np.uint8)).save(
            photographs / f"{i}.jpg"
        )
    out = tmp_path / "out"
    assert main(["predict", str(photographs), "--weights", "tiny", "--out", str(out), "--device", "cpu"]) == 0
    assert f"{out}: 2 frames of 64 x 112 px" in capsys.readouterr().out
    prediction = Prediction.load(out / "prediction.npz")
    assert prediction.depth.shape == (2, 64, 112)
    patch = PAGE4D.from_pretrained("tiny").config.patch_size
    assert abs(112 * 540 / 960 - 64) <= patch / 2, "as near to 16:9 as whole patches allow"
    corners = PixelMap.of(prediction)[0].grid_in_original((64, 112))
    assert [round(float(axis.max() - axis.min())) for axis in corners] == [951, 532], "and nothing is cut off"
