"""Videos written with PyAV and read back: order, times, sampling, rotation, and files that are none."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from page4d.io import video as module
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.video import read_video
from page4d.schema import Notice, UserError


def write_video(path: Path, frames: int, rate: int = 10, size: tuple[int, int] = (48, 64)) -> Path:
    """Frame i is grey of level 10 * i, lossless enough to be told apart after compression."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        for i in range(frames):
            pixels = np.full((height, width, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        frame.time_base = Fraction(1, 16000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", frames=20)


def levels(frames: list[module.VideoFrame]) -> list[int]:
    return [round(float(np.asarray(f.image).mean()) / 10) for f in frames]


def test_all_frames_in_order_with_times(clip: Path) -> None:
    frames = list(read_video(clip))
    assert levels(frames) == list(range(20))
    assert [f.number for f in frames] == list(range(20))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(20) / 10, atol=1e-6)
    assert frames[0].image.size == (64, 48)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (10, list(range(20))),
        (30, list(range(20))),
        (5, list(range(0, 20, 2))),
        (1, [0, 10]),
        (4, [0, 3, 5, 8, 10, 13, 15, 18]),
        (0.1, [0]),
    ],
)
def test_sampling_by_time(clip: Path, fps: float, expected: list[int]) -> None:
    assert levels(list(read_video(clip, fps=fps))) == expected


def test_max_frames_takes_the_first(clip: Path) -> None:
    assert levels(list(read_video(clip, fps=5, max_frames=3))) == [0, 2, 4]
    assert len(list(read_video(clip, max_frames=100))) == 20


def test_load_frames_of_a_video(clip: Path) -> None:
    loaded = load_frames(clip, FrameOptions(size=32, patch=8, fps=5, max_frames=4))
    assert loaded.images.shape == (4, 3, 24, 32)
    assert loaded.names == ("clip_000000", "clip_000002", "clip_000004", "clip_000006")
    np.testing.assert_allclose(loaded.timestamps_s, [0, 0.2, 0.4, 0.6], atol=1e-6)
    np.testing.assert_array_equal(loaded.original_hw, [[48, 64]] * 4)
    np.testing.assert_allclose(loaded.images[3].mean(), 60 / 255, atol=0.01)


def test_load_frames_of_images(tmp_path: Path) -> None:
    for i in (10, 9, 8):
        Image.new("RGB", (64, 48), (i, i, i)).save(tmp_path / f"{i}.png")
    options = FrameOptions(size=32, patch=8, max_frames=2)
    assert load_frames(tmp_path, options).names == ("8.png", "9.png")
    assert load_frames([tmp_path / "10.png", tmp_path / "8.png"], options).names == ("10.png", "8.png")


def test_rotation_of_phones_is_applied() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    frame = SimpleNamespace(rotation=90, to_ndarray=lambda format: pixels)
    np.testing.assert_array_equal(np.asarray(module._upright(frame)), np.rot90(pixels))
    frame.rotation = -90
    np.testing.assert_array_equal(np.asarray(module._upright(frame)), np.rot90(pixels, -1))
    frame.rotation = -180
    np.testing.assert_array_equal(np.asarray(module._upright(frame)), pixels[::-1, ::-1])


def test_files_that_are_no_video(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[:300])
    write_audio(tmp_path / "sound.mp4")
    for name, message in (
        ("text.mp4", "cannot be read as a video"),
        ("empty.mp4", r"is empty \(0 bytes\)"),
        ("half.mp4", "cannot be read as a video"),
        ("sound.mp4", "has no picture track, only"),
        ("missing.mp4", "does not exist"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            list(read_video(tmp_path / name))
        assert name in str(caught.value)


def test_a_video_without_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(UserError, match=r"none\.mkv"):
        list(read_video(tmp_path / "none.mkv"))


def test_bad_options(clip: Path) -> None:
    for call, message in (
        (lambda: list(read_video(clip, fps=0)), "fps is 0"),
        (lambda: list(read_video(clip, fps=float("nan"))), "fps is nan"),
        (lambda: list(read_video(clip, max_frames=0)), "max_frames is 0"),
        (lambda: load_frames([clip, clip]), "give one video alone"),
        (lambda: load_frames([Image.new("RGB", (8, 8))], FrameOptions(fps=2)), "fps chooses frames of a video"),
        (lambda: load_frames([Image.new("RGB", (8, 8))], FrameOptions(max_frames=0)), "max_frames is 0"),
    ):
        with pytest.raises(UserError, match=message):
            call()


@pytest.mark.parametrize(("width", "told"), [(Fraction(4, 3), 1), (Fraction(1), 0)])
def test_pixels_that_are_not_square_are_told_once(width: Fraction, told: int, tmp_path: Path) -> None:
    path = tmp_path / "camera.mts"
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = width
        for level in (10, 60, 110):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 48, 3), level, np.uint8), "rgb24")))
        container.mux(stream.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = load_frames(path, FrameOptions(size=32, patch=8, spread=2))
    assert len(frames) == 2
    said = [str(w.message) for w in caught if "as wide as high" in str(w.message)]
    assert len(said) == told
    assert all("its pixels are 1.33 times as wide as high and are taken as square" in text for text in said)


@pytest.mark.parametrize(("pixels", "told"), [("bgra", 1), ("bgr0", 0)])
def test_transparency_of_a_film_is_told(pixels: str, told: int, tmp_path: Path) -> None:
    path = tmp_path / "title.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 64, pixels
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 48, 4), 90, np.uint8), "bgra")))
        container.mux(stream.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_frames(path, FrameOptions(size=32, patch=8))
    assert sum("has transparent pixels, which are taken as they are" in str(w.message) for w in caught) == told


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_film_that_begins_late_is_not_cut_short(
    suffix: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / f"late{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * i, np.uint8), format="rgb24")
            frame.pts = 1000 + i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(list(read_video(path))) == 6
    assert [str(one.message) for one in recwarn if issubclass(one.category, Notice)] == []
