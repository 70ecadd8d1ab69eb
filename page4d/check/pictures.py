"""What to look at: coloured clouds, depth maps, tracks side by side and as video."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from page4d.geometry import unproject, world_points
from page4d.io.point_files import write_ply
from page4d.schema import Clip, UserError, atomic_write
from page4d.viz.depth_colours import depth_colours

Picture = NDArray[np.uint8]
MAX_TRACKS, ENLARGE, RADIUS = 32, 2, 3


def picture(clip: Clip, frame: int) -> Picture:
    """A frame as uint8 (H, W, 3)."""
    pixels: Picture = (clip.images[frame] * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def depth_picture(clip: Clip, frame: int, span: tuple[float, float]) -> Picture:
    """A frame's depth, coloured between the two ends of `span`."""
    return depth_colours(clip.depth[frame].numpy(), clip.valid[frame].numpy(), span)


def moving_picture(clip: Clip, frame: int) -> Picture:
    """The frame in grey, what moves tinted red; black without a mask."""
    grey = picture(clip, frame).mean(-1, keepdims=True).repeat(3, -1) * 0.75
    if clip.moving is None:
        return np.zeros_like(grey, np.uint8)
    red = 0.4 * grey + 0.6 * np.array([230.0, 40.0, 30.0])
    return np.asarray(np.where(clip.moving[frame].numpy()[..., None], red, grey).round(), np.uint8)


def track_colours(count: int) -> list[tuple[int, int, int]]:
    """One colour a track, far apart on the colour circle."""
    hues = (np.arange(count) * 0.618034) % 1
    shades = matplotlib.colormaps["hsv"](hues)[:, :3] * 255
    return [(int(red), int(green), int(blue)) for red, green, blue in shades]


def chosen_tracks(clip: Clip) -> NDArray[np.int64]:
    """Up to MAX_TRACKS tracks that are visible in the first frame, those seen longest first."""
    assert clip.tracks_visible is not None
    seen = clip.tracks_visible.numpy()
    order = np.argsort(-seen.sum(0), kind="stable")
    return np.asarray(order[seen[0, order]][:MAX_TRACKS])


def _enlarged(pixels: Picture) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.fromarray(pixels).resize((width * ENLARGE, height * ENLARGE), Image.Resampling.LANCZOS)


def _place(xy: NDArray[np.float32]) -> tuple[float, float]:
    """A pixel coordinate in the enlarged picture."""
    return float((xy[0] + 0.5) * ENLARGE - 0.5), float((xy[1] + 0.5) * ENLARGE - 0.5)


def _dot(draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, int, int]) -> None:
    x, y = at
    around = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    draw.ellipse(around, fill=colour, outline=(255, 255, 255))


def tracks_picture(clip: Clip) -> Image.Image:
    """First and last frame side by side, lines between the places of tracks that are visible in both."""
    assert clip.tracks is not None
    assert clip.tracks_visible is not None
    first, last = _enlarged(picture(clip, 0)), _enlarged(picture(clip, len(clip) - 1))
    sheet = Image.new("RGB", (2 * first.width, first.height))
    sheet.paste(first, (0, 0))
    sheet.paste(last, (first.width, 0))
    draw = ImageDraw.Draw(sheet)
    chosen = [n for n in chosen_tracks(clip) if clip.tracks_visible[-1, n]]
    for n, colour in zip(chosen, track_colours(len(chosen)), strict=True):
        start = _place(clip.tracks[0, n].numpy())
        x, y = _place(clip.tracks[-1, n].numpy())
        end = (x + first.width, y)
        draw.line((*start, *end), fill=colour, width=1)
        _dot(draw, start, colour)
        _dot(draw, end, colour)
    return sheet


def video_frames(clip: Clip, span: tuple[float, float]) -> list[Picture]:
    """Every frame beside its depth, with the visible tracks on it."""
    chosen = chosen_tracks(clip) if clip.tracks is not None else np.zeros(0, np.int64)
    colours = track_colours(len(chosen))
    frames = []
    for i in range(len(clip)):
        image, depth = _enlarged(picture(clip, i)), _enlarged(depth_picture(clip, i, span))
        draw = ImageDraw.Draw(image)
        for n, colour in zip(chosen, colours, strict=True):
            if clip.tracks is not None and clip.tracks_visible is not None and clip.tracks_visible[i, n]:
                _dot(draw, _place(clip.tracks[i, n].numpy()), colour)
        frames.append(np.hstack((np.asarray(image), np.asarray(depth))))
    return frames


def encode_png(image: Picture | Image.Image) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, "png")
    return stream.getvalue()


def write_clouds(clip: Clip, folder: Path, stem: str) -> list[Path]:
    """Coloured points: `<stem>_world.ply` of all frames together, `<stem>_camera.ply` of the last frame alone.

    Frame:   OpenCV; the first is in the dataset's world, the second in the last frame's camera.
    Note:    each frame is masked by its own depth (the public script masks the second by the last).
    """
    colours = (clip.images * 255).round().byte().permute(0, 2, 3, 1)
    in_world = world_points(clip.depth.double(), clip.K.double(), clip.cam_from_world.double())
    in_camera = unproject(clip.depth[-1], clip.K[-1])
    clouds = {"world": (in_world, clip.valid, colours), "camera": (in_camera, clip.valid[-1], colours[-1])}
    written = []
    for name, (points, valid, rgb) in clouds.items():
        if valid.any():
            path = folder / f"{stem}_{name}.ply"
            write_ply(path, points[valid].float().numpy(), rgb[valid].numpy())
            written.append(path)
    return written


def save(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    if not data:
        raise UserError(f"{path}: nothing to write")
    with atomic_write(path) as stream:
        stream.write(data)
