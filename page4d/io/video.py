"""Frames of a video with their times, decoded one by one through PyAV, and videos written."""

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

from page4d.io.limits import check_pixels
from page4d.io.pictures import check_file
from page4d.io.selection import Due, FrameSelection
from page4d.schema import UserError, atomic_write, notice

# PyAV's names of what may be read. Playlists are not among them: they would open other files, or the network.
_READ = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,asf,flv,live_flv,mpeg,mpegvideo,mpegts,dv,mxf,ogg,wtv,gxf,rm,h264,hevc,"
    "ivf,obu,av1,yuv4mpegpipe,nut,m4v,swf,mjpeg,gif,apng,mp3,wav,flac,aac"
)
_USUAL_FPS = 25
WIDE_PIXELS = 0.02  # what rounding to whole pixels makes is less


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame, upright: its number in the file and its time from the first frame."""

    number: int
    time_s: float
    image: Image.Image


def read_video(
    path: os.PathLike[str] | str,
    fps: float | None = None,
    max_frames: int | None = None,
    selection: FrameSelection | None = None,
) -> Iterator[VideoFrame]:
    """Decode a video, keeping what `selection` says, or at most `fps` frames a second and the first `max_frames`.

    Units:   time in seconds from the first frame.
    Note:    a frame is due 1 / fps after the one before it was due, or after a pause from the frame that ended it (see
             `selection.Due`). The rotation that phones store is applied. Damaged parts are left out and told, and so
             is a film that ends before its time.
    Raises:  UserError if the file is missing, empty, no video, holds no frame or is damaged from the start, or if what
             was selected is not in it.
    """
    selection = selection or FrameSelection(fps=fps, max_frames=max_frames)
    path = Path(path)
    wanted = None if selection.spread is None else _spread(path, selection)
    kept = 0
    for number, time, frame in _timed_frames(path, selection):
        if wanted is not None and number not in wanted:
            continue
        yield VideoFrame(number, time, _pixels(path, number, frame))
        kept += 1
        if kept == selection.max_frames or (wanted is not None and kept == len(wanted)):
            return
    if kept == 0:
        raise UserError(f"{path} has no frame of those asked for: {selection.words()}")


def _timed_frames(path: Path, selection: FrameSelection) -> Iterator[tuple[int, float, Any]]:
    """Number, time and pixels of the frames between start and end that are due, before they are counted."""
    with _first_stream(path) as (container, stream):
        _tell_of_wide_pixels(path, stream)
        # A damaged head may leave the kind of pixels unsaid; then decoding says what is wrong.
        if stream.format is not None and any(channel.is_alpha for channel in stream.format.components):
            notice(
                f"{path} has transparent pixels, which are taken as they are; give its frames as PNG to leave them out"
            )
        due = Due(selection.fps, float(stream.time_base or 0))
        start: float | None = None
        inside = number = 0
        for number, frame in enumerate(_decoded(path, container, stream)):
            time = float(frame.time) if frame.time is not None else number / _rate(stream)
            start = time if start is None else start
            time -= start
            if selection.end_s is not None and time > selection.end_s:
                return
            if time < (selection.start_s or 0):
                continue
            inside += 1
            if (inside - 1) % selection.every == 0 and due.reached(time):
                yield number, time, frame
        if start is None:
            raise UserError(f"{path} is a video without a single frame")
        _tell_of_early_end(path, container, stream, time)


def _pixels(path: Path, number: int, frame: Any) -> Image.Image:
    import av

    try:
        return _upright(frame)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise UserError(f"{path}: frame {number} cannot be shown, the film is damaged: {error}") from error


def _rate(stream: Any) -> float:
    return float(stream.average_rate or _USUAL_FPS)


def _spread(path: Path, selection: FrameSelection) -> set[int]:
    """Numbers of the frames that are spread evenly over the film, from its packets, which are read without decoding."""
    with _first_stream(path) as (container, stream):
        stamps = [packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size]
        seconds = float(stream.time_base or 0)
    if not stamps:
        raise UserError(f"{path} is a video without a single frame")
    times = (np.sort(np.array(stamps, np.float64)) - min(stamps)) * seconds
    return set(selection.indices(len(times), times.tolist()))


def _decoded(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Every frame that can be decoded; packets that cannot are counted and told at the end."""
    import av

    damaged = good = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damaged, last = damaged + 1, error
            continue
        for frame in frames:
            check_pixels(frame.width, frame.height, f"{path}, frame {good}")
            good += 1
            yield frame
    if damaged and not good:
        raise UserError(f"{path} cannot be read as a video, it may be damaged or cut short: {last.strerror}") from last
    if damaged:
        notice(f"{path}: {damaged} damaged parts are left out, {good} frames are read; copy or record it again")


def _tell_of_early_end(path: Path, container: Any, stream: Any, last_s: float) -> None:
    """A film cut short reads well up to its end; only the length that its header gives says that more was there."""
    if stream.duration is not None:
        said = float(stream.duration * (stream.time_base or 0))
    elif len(container.streams) == 1 and container.duration:
        said = container.duration / 1e6
        if "matroska" in container.format.name:
            said -= max(container.start_time or 0, 0) / 1e6  # it counts from 0, not from the first frame
    else:
        return
    if "mov" not in container.format.name:
        # MP4 counts frames that an edit leaves out; elsewhere the header's count is what was recorded.
        said = max(said, stream.frames / _rate(stream))
    frame_s = 1 / _rate(stream)
    missing = said - last_s - frame_s
    if missing > max(3 * frame_s, 0.02 * said):
        notice(f"{path} ends after {last_s + frame_s:.1f} of {said:.1f} s, it is cut short; what is there is used")


@contextmanager
def _first_stream(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first film; a cover picture is none."""
    import av

    check_file(path)
    try:
        options = {"protocol_whitelist": "file", "format_whitelist": _READ}
        with av.open(str(path.absolute()), options=options, metadata_errors="replace") as container:
            stream = _film_of(path, container)
            if stream.codec_context is None:
                raise UserError(f"{path} cannot be read as a video: its codec is unknown, or it is cut short")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width and height:
                check_pixels(width, height, str(path))
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        why = error.strerror
        raise UserError(f"{path} cannot be read as a video, it may be damaged or cut short: {why}") from error


def _tell_of_wide_pixels(path: Path, stream: Any) -> None:
    """AVCHD and broadcast squeeze 1920 columns into 1440: what comes of such pictures is as squeezed."""
    shape = float(stream.sample_aspect_ratio or 1)
    if abs(shape - 1) > WIDE_PIXELS:
        notice(
            f"{path}: its pixels are {shape:.3g} times as wide as high and are taken as square; "
            "`ffmpeg -i FILM -vf scale=iw*sar:ih,setsar=1 NEW` makes them square"
        )


def _film_of(path: Path, container: Any) -> Any:
    from av.stream import Disposition

    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if films:
        if len(films) > 1:
            notice(f"{path} has {len(films)} picture tracks; the first is used")
        return films[0]
    if container.streams.video:
        raise UserError(f"{path} has a cover picture but no film, only {[s.type for s in container.streams]}")
    raise UserError(f"{path} has no picture track, only {[s.type for s in container.streams]}")


def holds_film(path: Path) -> bool:
    """Whether a file whose name says nothing is a film by its content."""
    try:
        with _first_stream(path):
            return True
    except UserError:
        return False


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
