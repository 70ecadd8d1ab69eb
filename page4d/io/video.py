"""Frames of a video with their times, decoded one by one through PyAV."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.io.images import (
    ImageSource,
    LoadedImages,
    Mode,
    check_fit,
    collate,
    fit_image,
    list_images,
    load_images,
)
from page4d.schema import UserError, atomic_write

EXTENSIONS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"})


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame, upright: its number in the file and its time from the first frame."""

    number: int
    time_s: float
    image: Image.Image


def is_video(path: os.PathLike[str] | str) -> bool:
    """Whether the name says that a file is a video."""
    return Path(path).suffix.lower() in EXTENSIONS


def read_video(
    path: os.PathLike[str] | str, fps: float | None = None, max_frames: int | None = None
) -> Iterator[VideoFrame]:
    """Decode a video, keeping at most `fps` frames a second and at most the first `max_frames` of these.

    Units:   time in seconds from the first frame.
    Note:    a frame is kept when its time reaches the next multiple of 1 / fps, so a video slower than `fps` is kept
             whole and one of varying rate is sampled evenly in time. The rotation that phones store is applied.
    Raises:  UserError if the file is missing, empty, no video, holds no frame or is damaged, or if `fps` or
             `max_frames` is not positive.
    """
    if fps is not None and not fps > 0:
        raise UserError(f"fps is {fps}, expected a positive number")
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames is {max_frames}, expected at least 1")
    with _first_stream(Path(path)) as (container, stream):
        kept = 0
        start: float | None = None
        for number, frame in enumerate(container.decode(stream)):
            time = float(frame.time) if frame.time is not None else number / float(stream.average_rate or 25)
            start = time if start is None else start
            # Times are multiples of the stream's clock: half a microsecond absorbs their rounding.
            if fps is not None and (time - start) * fps < kept - 5e-7 * fps:
                continue
            yield VideoFrame(number, time - start, _upright(frame))
            kept += 1
            if max_frames is not None and kept >= max_frames:
                return
        if kept == 0:
            raise UserError(f"{path} is a video without a single frame")


@contextmanager
def _first_stream(path: Path) -> Iterator[tuple[Any, Any]]:
    import av

    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; give one video file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); copy or record it again")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path} has no picture track, only {[s.type for s in container.streams]}")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        raise UserError(f"{path} cannot be read as a video, it may be damaged or cut short: {error}") from error


def _upright(frame: Any) -> Image.Image:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90)  # degrees counter-clockwise that show the frame upright
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, turns)))


def encode_video(frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float = 10.0) -> bytes:
    """Frames (S, H, W, 3) as H.264 in MP4, which browsers play; an odd last row or column is repeated.

    Raises:  UserError if there is no frame.
    """
    buffer = io.BytesIO()
    _encode_into(buffer, frames, fps)
    return buffer.getvalue()


def write_video(
    path: os.PathLike[str] | str, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float = 10.0
) -> None:
    """Write frames as `encode_video` does, whole or not at all.

    Raises:  UserError if there is no frame, or the folder is not writable.
    """
    with atomic_write(path) as stream:
        _encode_into(stream, frames, fps)


def _encode_into(stream: IO[bytes], frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float) -> None:
    import av

    if len(frames) == 0:
        raise UserError("a video needs at least one frame")
    height, width = frames[0].shape[:2]
    # 4:2:0 colour comes in blocks of two by two pixels.
    extra = ((0, height % 2), (0, width % 2), (0, 0))
    with av.open(stream, "w", format="mp4") as container:
        track: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        track.width, track.height, track.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for pixels in frames:
            even = np.pad(pixels, extra, mode="edge")
            container.mux(track.encode(av.VideoFrame.from_ndarray(even, "rgb24")))
        container.mux(track.encode())


@dataclass(frozen=True)
class FrameOptions:
    """How frames are fitted to the network (see `io.images`) and, for a video, how many of them are taken."""

    mode: Mode = "crop"
    size: int = 518
    patch: int = 14
    fps: float | None = None
    max_frames: int | None = None


def load_frames(paths: ImageSource | Sequence[ImageSource], options: FrameOptions | None = None) -> LoadedImages:
    """Load images, a folder of images or one video as a batch of frames.

    Shapes:  S frames -> images (S, 3, H, W); a video's frames carry their times and numbers.
    Note:    of a folder or list the first `max_frames` images are taken; frames of a video are resized as they are
             decoded, so its length in memory is counted at the network's size.
    Raises:  UserError as `load_images` and `read_video`; also if `fps` is given for images.
    """
    options = options or FrameOptions()
    listed = list_frames(paths, options.fps, options.max_frames)
    if not isinstance(listed[0], Image.Image) and is_video(listed[0]):
        return _load_video(Path(listed[0]), options)
    return load_images(listed, options.mode, options.size, options.patch)


def list_frames(
    paths: ImageSource | Sequence[ImageSource], fps: float | None = None, max_frames: int | None = None
) -> list[ImageSource]:
    """The one video, or the first `max_frames` images, that `paths` name; nothing is opened.

    Raises:  UserError for nothing, a file that does not exist, a folder without images, a video beside other files, or
             options that cannot be met.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike, Image.Image)) else list(paths)
    files = [Path(p) for p in listed if not isinstance(p, Image.Image)]
    missing = [path for path in files if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]} does not exist; give images, one folder of images, or one video")
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames is {max_frames}, expected at least 1")
    if fps is not None and not fps > 0:
        raise UserError(f"fps is {fps}, expected a positive number")
    videos = [path for path in files if is_video(path)]
    if videos and len(listed) > 1:
        raise UserError(f"{videos[0]} is a video; give one video alone, or only images")
    if videos:
        return listed
    if fps is not None:
        raise UserError("fps chooses frames of a video, but images were given; leave it out")
    if len(listed) == 1 and files and files[0].is_dir():
        listed = list(list_images(files[0]))
    if not listed:
        raise UserError("no images given; at least one is needed")
    return listed[:max_frames]


def _load_video(path: Path, options: FrameOptions) -> LoadedImages:
    check_fit(options.mode, options.size, options.patch)
    fitted, names, times = [], [], []
    for frame in read_video(path, options.fps, options.max_frames):
        fitted.append(fit_image(frame.image, options.mode, options.size, options.patch))
        names.append(f"{path.stem}_{frame.number:06d}")
        times.append(frame.time_s)
    return collate(fitted, names, times)
