"""Films in parts: the same as windows at once, in the memory of one window, and what a killed run leaves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model
from PIL import Image

from page4d.films import cut_images, frames_at_hand, predict_film, windows_of
from page4d.inference import as_frames, predict
from page4d.io.frame_stream import FrameStream
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import LoadedImages
from page4d.io.video import write_video
from page4d.schema import Notice, Prediction, UserError
from page4d.stored import FILM_FILE, StoredPrediction
from page4d.windows import Windows

SIZE = 32
MODEL = little_model()


def film_of(total: int) -> LoadedImages:
    images = torch.rand(total, 3, SIZE, 2 * SIZE, generator=torch.Generator().manual_seed(total))
    return as_frames(images, MODEL)


def in_batches(frames: LoadedImages, size: int) -> Iterator[LoadedImages]:
    for begin in range(0, len(frames), size):
        yield cut_images(frames, slice(begin, begin + size))


def same(a: Prediction, b: Prediction, tolerance: float = 0.0) -> None:
    for field in fields(Prediction):
        if field.name == "meta":
            continue
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        if isinstance(ours, np.ndarray) and tolerance:
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=field.name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


# --- windows without a known end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", range(1, 15))
@pytest.mark.parametrize(("frames", "overlap"), [(4, 1), (5, 3), (6, 5), (2, 1)])
@pytest.mark.parametrize("batch", [3, 100])
def test_windows_of_a_film_are_those_of_its_length(total: int, frames: int, overlap: int, batch: int) -> None:
    windows, film = Windows(frames, overlap), film_of(total)
    found = list(windows_of(in_batches(film, batch), windows))
    assert [begin for begin, _ in found] == windows.starts(total)
    for begin, part in found:
        assert part.names == film.names[begin : begin + frames]
        assert torch.equal(part.images, film.images[begin : begin + frames])


@pytest.mark.parametrize("total", [5, 7, 8, 10, 11, 14])
@pytest.mark.parametrize("done", [1, 2])
def test_windows_go_on_where_a_run_ended(total: int, done: int) -> None:
    windows, film = Windows(4, 1), film_of(total)
    starts = windows.starts(total)
    last = starts[min(done, len(starts)) - 1]
    end = min(last + windows.frames, total)
    rest = windows_of(in_batches(cut_images(film, slice(last, None)), 3), windows, last, last + windows.step, end)
    assert [begin for begin, _ in rest] == starts[done:]


def test_frames_of_one_film_have_one_size() -> None:
    small, large = film_of(2), as_frames(torch.rand(2, 3, 2 * SIZE, 2 * SIZE), MODEL)
    with pytest.raises(UserError, match="becomes 64 x 64 px for the network, the frames before it 64 x 32"):
        list(windows_of(iter([small, large]), Windows(4, 1)))


# --- parts on disk --------------------------------------------------------------------------------------------------


def test_a_film_is_what_windows_at_once_are(tmp_path: Path) -> None:
    model, frames, windows = little_model(mask_hold_start=1, mask_hold_end=1), film_of(11), Windows(4, 1)
    at_once = predict(model, frames, windows=windows)
    film = predict_film(model, frames, tmp_path / "film", windows, settings={"said": 1})
    assert [(part.first, part.end) for part in film.files] == [(0, 4), (4, 7), (7, 10), (10, 11)]
    assert film.finished
    assert len(film) == 11
    same(film.load(), at_once)
    assert film.meta["joins"] == at_once.meta["joins"]
    assert film.meta["said"] == 1
    assert film.meta["windows"] == {"frames": 4, "overlap": 1}
    assert film.frame_names == at_once.frame_names


def test_frames_are_read_from_the_parts_that_hold_them(tmp_path: Path) -> None:
    frames = film_of(11)
    film = predict_film(MODEL, frames, tmp_path, Windows(4, 2))
    whole = film.load()
    for chosen in (slice(3, 8), slice(None, 1), slice(-1, None), slice(1, 11, 4), slice(6, 7)):
        same(film[chosen], whole[chosen])
    assert sum(len(part) for part in film.parts()) == 11
    (tmp_path / film.files[-1].path.name).write_bytes(b"")  # read only when it is asked for
    same(Prediction.open(tmp_path)[0:6], whole[0:6])
    with pytest.raises(UserError, match="frames 0 to 10; there are none in 20:30"):
        film[20:30]


def test_one_file_is_read_like_a_film(tmp_path: Path) -> None:
    prediction = predict(MODEL, film_of(3))
    prediction.save(tmp_path / "p.npz")
    stored = Prediction.open(tmp_path / "p.npz")
    assert len(stored) == 3
    assert stored.meta == Prediction.load(tmp_path / "p.npz").meta
    same(stored[1:], prediction[1:])
    with pytest.raises(UserError, match="is not a film's folder"):
        Prediction.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is damaged"), ('{"format": 3, "meta": {}, "finished": true}', "has film format 3"), ("[]", "is damaged")],
)
def test_damaged_films_are_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / FILM_FILE).write_text(text)
    with pytest.raises(UserError, match=words):
        StoredPrediction.open(tmp_path)


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    film = predict_film(MODEL, film_of(11), tmp_path, Windows(4, 1))
    film.files[1].path.unlink()
    with pytest.raises(UserError, match="lacks frames 4 to 6"):
        StoredPrediction.open(tmp_path)


# --- a run that ends early ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4))])
def test_going_on_gives_the_same_bits(tmp_path: Path, parts: int) -> None:
    model, frames, windows = MODEL, film_of(12), Windows(5, 2)
    whole = predict_film(model, frames, tmp_path / "whole", windows)
    torn = predict_film(model, frames, tmp_path / "torn", windows)
    for part in torn.files[parts:]:
        part.path.unlink()
    text = (tmp_path / "torn" / FILM_FILE).read_text()
    (tmp_path / "torn" / FILM_FILE).write_text(text.replace('"finished": true', '"finished": false'))
    assert not StoredPrediction.open(tmp_path / "torn").finished
    heard: list[int] = []
    again = predict_film(model, frames, tmp_path / "torn", windows, on_window=heard.append)
    assert heard == [part.end for part in whole.files[parts:]]
    same(again.load(), whole.load())
    assert again.meta == whole.meta


def test_a_film_of_another_making_is_not_gone_on_with(tmp_path: Path) -> None:
    frames, windows = film_of(6), Windows(4, 1)
    predict_film(MODEL, frames, tmp_path, windows, settings={"weights": "a"})
    with pytest.raises(UserError, match="film begun with weights 'a', now it is 'b'"):
        predict_film(MODEL, frames, tmp_path, windows, settings={"weights": "b"})
    with pytest.raises(UserError, match="film begun with windows"):
        predict_film(MODEL, frames, tmp_path, Windows(5, 1), settings={"weights": "a"})


def test_a_full_disk_leaves_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames, windows = MODEL, film_of(9), Windows(4, 1)
    sync, count = os.fsync, [0]

    def full(descriptor: int) -> None:
        count[0] += 1
        if count[0] == 4:  # the film's own file, two parts, and then
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*; 7 frames are written and can be read. Make room"):
        predict_film(model, frames, tmp_path / "film", windows)
    kept = StoredPrediction.open(tmp_path / "film")
    assert (len(kept), kept.finished) == (7, False)
    film = predict_film(model, frames, tmp_path / "film", windows)
    same(kept.load(), film[:7])
    assert len(film) == 9


SLOW_FILM = """
import sys, time, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_films import film_of
from little_model import little_model
from page4d.films import predict_film
from page4d.windows import Windows
torch.manual_seed(0)
slow = lambda done: time.sleep(float(sys.argv[3]))
predict_film(little_model(), film_of(14), Path(sys.argv[1]), Windows(4, 1), on_window=slow)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SLOW_FILM]
    here = str(Path(__file__).parent)
    victim = subprocess.Popen([*words, str(tmp_path / "killed"), here, "0.3"])
    while victim.poll() is None and len(list((tmp_path / "killed").glob("frames_*.npz"))) < 2:
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    left = StoredPrediction.open(tmp_path / "killed")
    assert not left.finished
    assert 4 <= len(left) < 14
    for name in ("killed", "whole"):
        subprocess.run([*words, str(tmp_path / name), here, "0"], check=True)
    killed, whole = (StoredPrediction.open(tmp_path / name) for name in ("killed", "whole"))
    same(killed.load(), whole.load())
    assert killed.meta == whole.meta


def test_nothing_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the film has no frame"):
        predict_film(MODEL, lambda first: iter(()), tmp_path, Windows(4, 1))


# --- frames that are read when they are wanted ----------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_video(tmp_path / "v.mp4", rng.integers(0, 255, (21, 48, 64, 3), np.uint8))
    return tmp_path / "v.mp4"


@pytest.mark.parametrize("first", [0, 1, 8, 13, 20])
def test_a_stream_gives_the_frames_of_load_frames(video: Path, first: int) -> None:
    options = FrameOptions("crop", 64, 16)
    whole = load_frames(video, options)
    batches = list(FrameStream(video, options)(first))
    assert sum(map(len, batches)) == 21 - first
    assert tuple(name for batch in batches for name in batch.names) == whole.names[first:]
    assert torch.equal(torch.cat([batch.images for batch in batches]), whole.images[first:])
    np.testing.assert_array_equal(np.concatenate([b.timestamps_s for b in batches]), whole.timestamps_s[first:])


def test_a_stream_of_pictures(tmp_path: Path, video: Path) -> None:
    from PIL import Image

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(10):
        Image.new("RGB", (64, 48), (20 * i, 0, 0)).save(pictures / f"{i}.png")
    options = FrameOptions("crop", 64, 16)
    whole = load_frames(pictures, options)
    batches = list(FrameStream(pictures, options)(3))
    assert torch.equal(torch.cat([batch.images for batch in batches]), whole.images[3:])
    assert len(next(frames_at_hand(whole)(4))) == 6


def test_a_stream_takes_the_masks_that_are_there(video: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    half = np.full((48, 64), 255, np.uint8)
    half[:, :32] = 0
    Image.fromarray(half).save(masks / "v_000010.png")
    options = FrameOptions("crop", 64, 16, mask_folder=masks)
    with pytest.warns(Notice, match="20 of 21 frames have no mask"):
        whole = load_frames(video, options)
    with pytest.warns(Notice, match="20 of 21 frames have no mask"):
        batches = list(FrameStream(video, options)())
    assert [batch.kept is None for batch in batches] == [True, False, True]
    assert whole.kept is not None
    np.testing.assert_array_equal(batches[1].kept, whole.kept[8:16])
    assert not whole.kept[10, :, :32].any()
    (masks / "v_000010.png").rename(masks / "other.png")
    for read in (lambda: load_frames(video, options), lambda: next(FrameStream(video, options)())):
        with pytest.raises(UserError, match=r"no mask is named like a frame; expected v_000000\.png"):
            read()
