"""`page4d predict --window` and `--each`: parts that grow, runs that go on, clips that fail alone."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from page4d.cli import main, prediction_input
from page4d.cli import predict as predict_command
from page4d.cli.film import film_settings
from page4d.cli.frame_input import frame_options
from page4d.io.depth_png import read_depth_png
from page4d.io.frame_stream import FrameStream
from page4d.io.video import write_video
from page4d.result.motion import moving_mask
from page4d.schema import Prediction
from page4d.stored import FILM_FILE, StoredPrediction
from page4d.windows import Windows

WINDOW = ("--window", "4", "--overlap", "1")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "walk.mp4"
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (6, 20, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    write_video(path, np.stack([wide[:, 4 * i : 4 * i + 128] for i in range(10)]))
    return path


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--weights", "tiny"])


def test_a_film_is_written_in_parts_and_read_by_all(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(video, "--out", out, *WINDOW, "--max-points", 5000) == 0
    assert "10 frames of 80 x 112 px in 3 parts, " in capsys.readouterr().out
    film = Prediction.open(out / "prediction")
    assert (len(film), film.finished) == (10, True)
    assert film.meta["weights"] == "tiny"
    whole = film.load()
    depth = sorted((out / "depth").glob("*.png"))
    assert [path.stem for path in depth] == list(film.frame_names)
    for path, values in zip(depth, whole.depth, strict=True):
        np.testing.assert_allclose(read_depth_png(path), values, rtol=3e-3)
    masks = np.stack([np.asarray(Image.open(path)) for path in sorted((out / "masks").glob("*.png"))])
    np.testing.assert_array_equal(masks == 255, moving_mask(whole))
    assert 4000 < len(trimesh.load(out / "points.ply").vertices) <= 5003
    words = ["--format", "tum", "depth-npy", "--frames", "5:8", "--out", str(tmp_path / "part")]
    assert main(["export", str(out), *words]) == 0
    assert [path.stem for path in sorted((tmp_path / "part" / "depth_npy").iterdir())] == list(film.frame_names[5:8])
    assert main(["view", str(out), "--frames", "::3", "--html", str(tmp_path / "page.html")]) == 0
    assert "4 frames" in capsys.readouterr().out
    assert main(["view", str(out), "--frames", "a", "--html", str(tmp_path / "page.html")]) == 2
    assert "expected A:B or A:B:N" in capsys.readouterr().err


def test_a_long_film_says_what_reading_all_of_it_takes(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(video, "--out", tmp_path / "out", *WINDOW) == 0
    film = Prediction.open(tmp_path / "out" / "prediction")
    whole = film.load()
    arrays = [getattr(whole, f.name) for f in fields(whole)]
    held = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    assert film.bytes == pytest.approx(held, rel=0.05)
    page = ["view", str(tmp_path / "out"), "--html", str(tmp_path / "page.html")]
    capsys.readouterr()
    assert main(page) == 0
    assert "take about" not in capsys.readouterr().out
    monkeypatch.setattr(prediction_input, "LONG_FILM_BYTES", 1000)
    assert main(page) == 0
    said = f"all 10 frames of {film.path} take about {2 * film.bytes / 1e9:.1f} GB; --frames A:B reads fewer"
    assert said in capsys.readouterr().out
    assert main([*page, "--frames", "2:4"]) == 0
    assert "take about" not in capsys.readouterr().out


def test_loops_are_looked_for_and_said(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(video, "--out", tmp_path / "one", "--loops") == 2
    assert "--loops is for windows, one pass needs none; give --window too" in capsys.readouterr().err
    assert predict(video, "--out", tmp_path / "film", "--window", 2, "--overlap", 1, "--loops") == 0
    said = capsys.readouterr().out
    film = Prediction.open(tmp_path / "film" / "prediction")
    looked_at = film.meta["loops"]
    closed = sum(loop["closed"] for loop in looked_at)
    words = f"{closed} loops were closed" if closed else "no loop was closed"
    assert f"{words}, of {len(looked_at)} looked at" in said
    assert film.meta["windows"]["loops"] is True


def test_a_film_that_was_cut_off_is_gone_on_with(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    for out in (whole, torn):
        assert predict(video, "--out", out, *WINDOW) == 0
    for part in StoredPrediction.open(torn / "prediction").files[1:]:
        part.path.unlink()
    film_file = torn / "prediction" / FILM_FILE
    film_file.write_text(film_file.read_text().replace('"finished": true', '"finished": false'))
    (torn / ".page4d-files").unlink()
    assert main(["export", str(torn), "--format", "tum", "--out", str(tmp_path / "early")]) == 0
    assert "is not finished: it has 4 frames" in capsys.readouterr().err
    assert predict(video, "--out", torn, "--window", "5", "--overlap", "1") == 2
    assert "film begun with windows {'frames': 4, 'overlap': 1}" in capsys.readouterr().err
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (128, 96), 255).save(masks / f"{video.stem}_000000.png")
    assert predict(video, "--out", torn, *WINDOW, "--mask-folder", masks) == 2
    assert "film begun with frames {}, now it is {'mask_folder': " in capsys.readouterr().err
    assert predict(video, "--out", torn, *WINDOW) == 0
    ours, theirs = (Prediction.open(out / "prediction").load() for out in (torn, whole))
    for field in fields(Prediction):
        if field.name != "meta":
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
    names = sorted(str(path.relative_to(whole)) for path in whole.rglob("*"))
    assert sorted(str(path.relative_to(torn)) for path in torn.rglob("*")) == names


# Every option of `predict`: what decides the parts of a film and is compared, with another value, ...
COMPARED: dict[str, Any] = {
    "weights": "nomask", "mode": "pad", "input_size": 56, "fps": 5.0, "every": 2, "max_frames": 3, "spread": 3,
    "start": 0.1, "end": 0.5, "keyframes": 0.1, "pages": "all", "bits": 16, "alpha": False, "times_from": "none",
    "compile": True, "window": 5, "overlap": 2, "loops": True,
}  # fmt: skip
# ... what is a file or a folder of files, whose contents count, ...
FILES = {"inputs", "mask_folder", "times"}
# ... what every Prediction says of itself, which is compared, too, ...
SAID_BY_PREDICT = {"device", "precision", "fewer_keys", "mask"}
# ... and what only decides what is made of the parts, or cannot be asked of a film.
NOT_OF_PARTS = {
    "out", "overwrite", "moving", "max_points", "drop", "each", "shard", "intrinsics", "poses", "scale_from", "help",
}  # fmt: skip


def predict_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    predict_command.add_arguments(parser)
    return parser


def test_every_option_has_its_place_in_what_a_film_is_known_by() -> None:
    options = {action.dest for action in predict_parser()._actions}
    assert options == {*COMPARED, *FILES, *SAID_BY_PREDICT, *NOT_OF_PARTS}


def settings_of_film(video: Path, **changed: Any) -> dict[str, Any]:
    args = predict_parser().parse_args([str(video), "--out", "out", *WINDOW])
    args = argparse.Namespace(**vars(args) | changed)
    stream = FrameStream(args.inputs, frame_options(args))
    return film_settings(args, stream.inputs)


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_a_film_is_not_gone_on_with_under_another_option(name: str, video: Path) -> None:
    assert settings_of_film(video, **{name: COMPARED[name]}) != settings_of_film(video)


def test_a_film_is_not_gone_on_with_from_other_files(video: Path, tmp_path: Path) -> None:
    film, masks, times = tmp_path / "walk.mp4", tmp_path / "masks", tmp_path / "times.txt"
    film.write_bytes(video.read_bytes())
    masks.mkdir()
    mask = masks / "walk_000000.png"
    Image.new("L", (128, 96), 255).save(mask)
    times.write_text("".join(f"{i}\n" for i in range(10)))
    given = {"mask_folder": masks, "times": times}
    before = settings_of_film(film, **given)
    assert settings_of_film(film, **given) == before
    assert settings_of_film(film) != before
    seen = [before]
    for path, other in ((mask, b"x"), (times, b"10\n"), (film, b"\0")):
        path.write_bytes(path.read_bytes() + other)
        seen.append(settings_of_film(film, **given))
        assert seen[-1] not in seen[:-1]
    Image.new("L", (128, 96), 255).save(masks / "walk_000003.png")
    assert settings_of_film(film, **given) not in seen


def test_pictures_of_a_film_count_with_their_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (64, 48), (i, 0, 0)).save(folder / f"{i}.png")
    before = settings_of_film(folder)
    assert str(before["inputs_content"]).startswith("3 files, ")
    Image.new("RGB", (64, 48), (9, 0, 0)).save(folder / "1.png")
    changed = settings_of_film(folder)
    (folder / "2.png").rename(folder / "3.png")
    renamed = settings_of_film(folder)
    assert len({str(one["inputs_content"]) for one in (before, changed, renamed)}) == 3


def test_clips_of_another_making_are_not_taken_for_those_of_this_run(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--each", video, "--out", tmp_path / "out", "--max-frames", "2", "--moving", "none")
    assert predict(*words) == 0
    assert predict(*words) == 0
    assert "1 of 1 clips are there already" in capsys.readouterr().out
    for other in (("--mode", "pad"), ("--no-alpha",), ("--every", "2"), ("--window", "2", "--overlap", "1")):
        assert predict(*words, *other) == 2
        assert f"{tmp_path / 'out' / 'walk'} was made with " in capsys.readouterr().err


def test_a_finished_film_is_not_lost(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert predict(video, "--out", out, *WINDOW, "--max-frames", 5) == 0
    assert predict(video, "--out", out, *WINDOW) == 2
    assert "already holds prediction/film.json" in capsys.readouterr().err
    (out / "mine.txt").write_text("mine")
    assert predict(video, "--out", out, *WINDOW, "--overwrite") == 2
    (out / "mine.txt").unlink()
    assert predict(video, "--out", out, *WINDOW, "--overwrite", "--max-frames", 6) == 0
    assert len(Prediction.open(out / "prediction")) == 6
    assert len(list((out / "depth").glob("*.png"))) == 6


def test_windows_that_mean_nothing_come_before_the_weights(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (("--window", "4", "--overlap", "4"), "expected 0 < overlap < frames"),
        (("--window", "4", "--overlap", "9"), "expected 0 < overlap < frames"),
        (("--window", "1"), "'1' is not a whole number of 2 or more"),
    ):
        assert main(["predict", str(video), "--out", str(tmp_path / "x"), "--weights", "none.pt", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_each_film_grows_in_a_folder_of_its_own(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    words = ("--each", video, broken, "--out", tmp_path / "out", *WINDOW, "--max-frames", 5)
    assert predict(*words) == 2
    assert "1 of 2 clips failed" in capsys.readouterr().err
    assert len(Prediction.open(tmp_path / "out" / "walk" / "prediction")) == 5
    broken.write_bytes(video.read_bytes())
    assert predict(*words) == 0
    assert "1 of 2 clips are there already" in capsys.readouterr().out
    assert len(Prediction.open(tmp_path / "out" / "broken" / "prediction")) == 5


def test_keyframes_are_the_same_in_one_pass_and_in_windows(video: Path, tmp_path: Path) -> None:
    assert predict(video, "--out", tmp_path / "whole", "--keyframes", "0.07", "--moving", "none") == 0
    whole = Prediction.load(tmp_path / "whole" / "prediction.npz")
    # 4 px of 128 a frame and a picture of 80 x 112: 0.07 of the diagonal are three steps.
    assert whole.frame_names == tuple(f"walk_{i:06d}" for i in (0, 3, 6, 9))
    assert whole.meta["frames"] == {"keyframes": 0.07}
    words = ("--keyframes", "0.07", "--window", "3", "--overlap", "1", "--moving", "none")
    assert predict(video, "--out", tmp_path / "film", *words) == 0
    film = Prediction.open(tmp_path / "film" / "prediction")
    assert film.frame_names == whole.frame_names
    assert film.meta["keyframes"] == 0.07


def test_the_help_names_the_overlap_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """The help may not import windows, and torch with them, so the number stands in it."""
    assert main(["predict", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"frames that two windows share (default: {Windows.overlap}, or half a window)" in told


@pytest.mark.parametrize(("window", "shared"), [(2, 1), (3, 1), (4, 2), (7, 3), (8, 4), (60, 4)])
def test_windows_of_any_length_need_no_overlap_beside_them(window: int, shared: int) -> None:
    args = argparse.Namespace(window=window, overlap=None)
    assert predict_command.overlap(args) == shared
