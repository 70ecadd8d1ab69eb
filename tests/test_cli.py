"""The command line from outside: exit codes, quick help, and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import trimesh
from little_model import little_model
from PIL import Image
from test_video import write_audio, write_video

import page4d
from page4d import cli
from page4d.cli import COMMANDS, main
from page4d.cli.outfolder import replace_folder, whole_folder
from page4d.io.depth_png import read_depth_png
from page4d.model.weights import save_weights
from page4d.result.motion import moving_mask
from page4d.schema import Prediction, UserError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "little.safetensors"
    save_weights(little_model(mask_hold_start=1, mask_hold_end=1), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in (10, 9, 8):
        pixels = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def predict(weights: Path, out: Path, *words: object) -> int:
    return main(["predict", *map(str, words), "--weights", str(weights), "--out", str(out), "--device", "cpu"])


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom page4d.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'torch', 'PIL', 'av', 'hydra', 'huggingface_hub', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    for words in (["--help"], ["--version"], ["predict", "--help"], ["download", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        if words == ["--version"]:
            assert done.stdout.strip() == f"page4d {page4d.__version__}"
        else:
            assert "usage: page4d" in done.stdout
        if words == ["--help"]:
            assert all(name in done.stdout for name in COMMANDS)


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: page4d" in capsys.readouterr().out


def test_unknown_command_and_option_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["fly"], ["predict", "--no-such"], ["--no-such"]):
        assert main(words) == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_mistakes_show_the_commands_own_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["predict", "a.png", "--out", "o", "--no-such"], "unrecognized arguments: --no-such"),
        (["prepare", "tum", "x", "--frames", "abc"], "'abc' is not a whole number of 1 or more"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"usage: page4d {words[0]}")
        assert said in error


def test_predict_a_folder(weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(weights, tmp_path / "deep" / "out", images, "--drop", 0) == 0
    out = tmp_path / "deep" / "out"
    said = capsys.readouterr().out
    assert "memory for 3 frames of 48 x 64 px: about " in said
    prediction = Prediction.load(out / "prediction.npz")
    moving = moving_mask(prediction)
    assert f"3 frames of 48 x 64 px, {moving.mean():.0%} of the pixels moving, 9216 points" in said
    for name, mask in zip(prediction.frame_names, moving, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(out / "masks" / name)) == 255, mask)
    assert prediction.frame_names == ("8.png", "9.png", "10.png")
    assert prediction.mask is not None
    assert prediction.meta["weights"] == str(weights)
    depth_files = sorted((out / "depth").glob("*.png"))
    assert [p.name for p in depth_files] == ["10.png", "8.png", "9.png"]
    for name, depth in zip(prediction.frame_names, prediction.depth, strict=True):
        np.testing.assert_allclose(read_depth_png(out / "depth" / name), depth, rtol=2e-3)
    cloud = trimesh.load(out / "points.ply")
    assert cloud.vertices.shape == (9216, 3)
    assert len(np.unique(np.asarray(cloud.colors)[:, :3], axis=0)) > 1000
    assert leftovers(out.parent) == []


def test_fewer_keys_are_noted(weights: Path, images: Path, tmp_path: Path) -> None:
    whole, fewer = tmp_path / "whole", tmp_path / "fewer"
    assert predict(weights, whole, images) == 0
    assert predict(weights, fewer, images, "--fewer-keys") == 0
    found = [Prediction.load(out / "prediction.npz") for out in (whole, fewer)]
    assert [one.meta["global_keys"] for one in found] == ["all", "one of every 2 x 2 patches"]
    assert not np.array_equal(found[0].depth, found[1].depth)


def test_predict_a_video(weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", frames=12, rate=4)
    assert predict(weights, tmp_path / "out", video, "--fps", 2, "--max-frames", 3, "--no-mask", "--window", 2,
                   "--overlap", 1) == 0  # fmt: skip
    prediction = Prediction.open(tmp_path / "out" / "prediction").load()
    assert prediction.meta["windows"] == {"frames": 2, "overlap": 1}
    np.testing.assert_allclose(prediction.timestamps_s, [0, 0.5, 1.0], atol=1e-6)
    assert prediction.mask is None
    masks = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out" / "masks").iterdir())]
    np.testing.assert_array_equal(np.stack(masks) == 255, moving_mask(prediction, "geometric"))


def test_predict_a_few_files_with_few_points(weights: Path, images: Path, tmp_path: Path) -> None:
    words = (images / "9.png", "--mode", "pad", "--max-points", 10)
    assert predict(weights, tmp_path / "out", *words) == 0
    assert len(trimesh.load(tmp_path / "out" / "points.ply").vertices) == 10
    prediction = Prediction.load(tmp_path / "out" / "prediction.npz")
    np.testing.assert_allclose(prediction.box_in_original, [[0, -8, 64, 56]])


def bad_inputs(folder: Path) -> dict[str, list[object]]:
    (folder / "empty").mkdir()
    (folder / "text.png").write_text("no picture")
    (folder / "zero.png").touch()
    write_audio(folder / "sound.mp4")
    Image.new("RGB", (8, 8)).save(folder / "fine.png")
    return {
        "holds no image": [folder / "empty"],
        "not an image that Pillow can read": [folder / "text.png"],
        "is empty (0 bytes)": [folder / "zero.png"],
        "does not exist": [folder / "missing.png"],
        "has no picture track": [folder / "sound.mp4"],
        "give one video alone": [folder / "sound.mp4", folder / "fine.png"],
        "fps chooses frames of a video": [folder / "fine.png", "--fps", 3],
        "--max-frames: '0' is not a whole number of 1 or more": [folder / "fine.png", "--max-frames", 0],
        "is not a device": [folder / "fine.png", "--device", "gpu"],
        "not a known name": [folder / "fine.png", "--weights", "nonsense"],
        "expected 0 < overlap < frames": [folder / "fine.png", "--window", 4, "--overlap", 4],
        "give a number in [0, 1)": [folder / "fine.png", "--drop", 1],
    }


def test_user_errors_exit_2_and_write_nothing(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for message, words in bad_inputs(inputs).items():
        extra = [str(word) for word in words]
        code = main(["predict", "--weights", str(weights), "--out", str(tmp_path / "out"), "--device", "cpu", *extra])
        error = capsys.readouterr().err.splitlines()[-1]
        assert code == 2, message
        assert error.startswith(("page4d: error: ", "page4d predict: error: "))
        assert message in error
    assert [p.name for p in tmp_path.iterdir()] == ["inputs"]


def test_existing_results_are_not_lost(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert predict(weights, out, images / "8.png") == 0  # an empty folder is as good as none
    first = (out / "prediction.npz").read_bytes()
    assert predict(weights, out, images) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert (out / "prediction.npz").read_bytes() == first
    assert predict(weights, out, images, "--overwrite") == 0
    assert len(Prediction.load(out / "prediction.npz")) == 3
    assert leftovers(tmp_path) == []


def test_a_folder_of_something_else_is_never_replaced(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert predict(weights, tmp_path / "file", images) == 2
    assert "is a file" in capsys.readouterr().err
    before = sorted(p.name for p in images.iterdir())
    assert predict(weights, images, images, "--overwrite") == 2
    assert "holds no prediction.npz; choose another --out" in capsys.readouterr().err
    assert sorted(p.name for p in images.iterdir()) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
@pytest.mark.parametrize("stage", ["write_ply", "write_depth_png"])
def test_interrupt_and_full_disk_leave_the_old_result(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, stage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert predict(weights, out, images / "8.png") == 0
    before = {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def fail(*_: object) -> None:
        raise error

    place = "points.write_ply" if stage == "write_ply" else "frames.write_png"
    monkeypatch.setattr(f"page4d.result.exports.{place}", fail)
    code = predict(weights, out, images, "--overwrite")
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    said = capsys.readouterr().err
    assert "interrupted" in said or "No space left on device" in said
    assert {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert leftovers(tmp_path) == []


# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests may run in one.
WRITES_FOREVER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from page4d.cli import main, predict
def half(prediction, folder, *options):
    (folder / "prediction.npz").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
predict._predict = lambda *args: (None, None)
predict.write_outputs = half
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_signals_in_the_middle_of_writing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", WRITES_FOREVER, "predict", "any.png", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "writing\n"
        assert len(leftovers(tmp_path)) == 1
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_a_closed_pipe_is_quiet(words: list[str]) -> None:
    script = "import sys; from page4d.cli import main; sys.exit(main(sys.argv[1:]))"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", script, *words]
    # Unbuffered, argparse itself swallows the error; buffered, it comes with the last flush.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, env=env)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == cli.EXIT_PIPE_CLOSED


def test_the_callers_signal_handler_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main([]) == 2
    assert signal.getsignal(signal.SIGTERM) is before
    with ThreadPoolExecutor(1) as other:
        assert other.submit(main, []).result() == 2


def test_every_command_has_its_module() -> None:
    import importlib

    for path, summary in COMMANDS.values():
        module = importlib.import_module(path)
        assert callable(module.add_arguments)
        assert callable(module.run)
        assert summary[0].islower()
        assert not summary.endswith(".")


def test_whole_folder_replaces_only_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_folder(out, False, "marker") as folder:
        (folder / "marker").write_text("1")
        assert not out.exists()
    assert (out / "marker").read_text() == "1"
    assert out.stat().st_mode & 0o700 == 0o700
    with whole_folder(out, True, "marker") as folder:
        (folder / "marker").write_text("2")
        assert (out / "marker").read_text() == "1"
    assert (out / "marker").read_text() == "2"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot make"), whole_folder(tmp_path / "file" / "x", False, "marker"):
        pass
    assert leftovers(tmp_path) == []


def test_what_others_put_into_a_result_is_not_deleted(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(weights, out, images / "8.png") == 0
    (out / "depth" / "notes.txt").write_text("mine")
    assert predict(weights, out, images / "9.png", "--overwrite") == 2
    assert "not of the earlier result: depth/notes.txt; move" in capsys.readouterr().err
    assert (out / "depth" / "notes.txt").read_text() == "mine"
    (out / "depth" / "notes.txt").unlink()
    assert predict(weights, out, images / "9.png", "--overwrite") == 0
    assert [p.name for p in (out / "depth").glob("*.png")] == ["9.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png", "--out", "out"], "missing.png does not exist; give images"),
        (["image.png", "--out", "out", "--max-points", "0"], "'0' is not a whole number of 1 or more"),
        (["image.png", "--out", "out", "--drop", "1.5"], "give a number in [0, 1)"),
        (["image.png", "--out", "image.png/x"], "image.png is a file"),
        (["image.png", "--out", "/proc/out"], "cannot make /proc/out"),
        (["image.png", "--out", "."], "is the folder you are in"),
        (["image.png", "--out", "out", "--overlap", "1"], "give --window too"),
    ],
)
def test_the_users_mistakes_come_before_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", *words, "--weights", "no_weights.pt"]) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["image.png"]


def test_a_result_folder_that_cannot_be_moved_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "out"):
        (tmp_path / name).mkdir()

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(OSError, match="busy"):
        replace_folder(tmp_path / "new", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "out"]


def test_masks_that_leave_nothing_are_told_before_the_network_runs(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (8, 9, 10):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.new("L", (64, 48), 0).save(tmp_path / "masks" / f"{i}.png")
    monkeypatch.setattr("page4d.inference.predict", lambda *_, **__: pytest.fail("the network ran"))
    assert predict(weights, tmp_path / "out", images, "--mask-folder", tmp_path / "masks") == 2
    assert "leave out every pixel of every frame" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_built_in_weights_are_called_a_demonstration(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(images / "8.png"), "--out", str(tmp_path / "a"), "--device", "cpu"]) == 0
    assert "tiny is a small network for demonstration; --weights nomask" in capsys.readouterr().out
    assert predict(weights, tmp_path / "b", images / "8.png") == 0
    assert "demonstration" not in capsys.readouterr().out


def test_equal_names_of_two_folders_keep_their_depth_maps(weights: Path, images: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (images / "9.png").rename(other / "8.png")
    assert predict(weights, tmp_path / "out", images / "8.png", other / "8.png") == 0
    assert sorted(p.name for p in (tmp_path / "out" / "depth").glob("*.png")) == ["images_8.png", "other_8.png"]
