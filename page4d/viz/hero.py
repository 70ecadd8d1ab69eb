"""The wide picture at the top of the book and the readme: frames, depth and what moves, and the scene in one cloud."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from page4d.geometry import camera_centres, world_points
from page4d.result.cloud import check_moving, usable_pixels
from page4d.schema import Prediction
from page4d.viz.depth_colours import depth_colours, depth_span
from page4d.viz.panels import pick_frames
from page4d.viz.splat import Eye, Floats, splat

PLATE = 0.12  # distance of a camera's picture plate from its centre, as a share of the scene's median depth
MOVING_RGB = np.array([0.96, 0.45, 0.1])
TINT = 0.45  # how much of that colour a moving point takes
PATH_RGB = np.array([0.1, 0.5, 0.57])


def hero(
    prediction: Prediction,
    moving: NDArray[np.bool_] | None = None,
    size: tuple[int, int] = (1800, 520),
    at_most: int = 4,
    eye: Eye | None = None,
) -> NDArray[np.uint8]:
    """Rows of frames, depth and moving mask on the left, the cloud with its cameras on the right.

    Shapes:  moving bool (S, H, W) or None; size (width, height) in pixels -> RGBA uint8 (height, width, 4).
    Note:    the background is transparent, so that the picture fits a light page and a dark one.
    """
    width, height = size
    left = round(0.46 * width)
    canvas = np.zeros((height, width, 4), np.uint8)
    canvas[:, :left] = _sheet(prediction, moving, (left, height), at_most)
    canvas[:, left:] = cloud_picture(prediction, moving, (width - left, height), eye or Eye())
    return canvas


def _sheet(
    prediction: Prediction, moving: NDArray[np.bool_] | None, size: tuple[int, int], at_most: int
) -> NDArray[np.uint8]:
    """The pictures, depths and masks as tiles with room between them."""
    index = pick_frames(len(prediction), at_most)
    pictures = prediction.images[index] / 255
    depth = prediction.depth[index]
    known = depth > 0
    rows = [pictures, depth_colours(depth, known, depth_span(depth, known)) / 255]
    if moving is not None:
        grey = 0.35 + 0.3 * pictures.mean(-1, keepdims=True)
        rows.append(np.where(moving[index][..., None], MOVING_RGB, grey.repeat(3, -1)))
    gap = max(4, size[0] // 90)
    high, wide = prediction.depth.shape[1:]
    across = (size[0] - gap * (len(index) + 1)) / (wide * len(index))
    down = (size[1] - gap * (len(rows) + 1)) / (high * len(rows))
    tile = (round(wide * min(across, down)), round(high * min(across, down)))
    top = (size[1] - len(rows) * (tile[1] + gap) + gap) // 2
    sheet = Image.new("RGBA", size)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            place = (gap + c * (tile[0] + gap), top + r * (tile[1] + gap))
            sheet.paste(_image(picture).resize(tile, Image.Resampling.LANCZOS), place)
    return np.asarray(sheet)


def _image(picture: Floats) -> Image.Image:
    return Image.fromarray((255 * picture).round().astype(np.uint8))


def cloud_picture(
    prediction: Prediction, moving: NDArray[np.bool_] | None, size: tuple[int, int], eye: Eye
) -> NDArray[np.uint8]:
    """The cloud of all frames as the looker sees it, with a small picture in front of every camera.

    Note:  what stands still comes from all frames, what moves as well, so that it leaves a trail.
    """
    valid = usable_pixels(prediction)
    unit = float(np.median(prediction.depth[valid]))
    seen: Floats = prediction.images[valid] / 255
    tint = TINT * check_moving(prediction, moving)[valid][:, None]
    points: list[Floats] = [_lifted(prediction, prediction.depth)[valid]]
    colours: list[Floats] = [(1 - tint) * seen + tint * MOVING_RGB]
    points.append(_plates(prediction, unit).reshape(-1, 3))
    colours.append(prediction.images.reshape(-1, 3) / 255)
    for start, end in _camera_lines(prediction, unit):
        steps = np.linspace(0, 1, 400)[:, None]
        points.append(start + steps * (end - start))
        colours.append(np.broadcast_to(PATH_RGB, (400, 3)))
    picture = splat(np.concatenate(points), np.concatenate(colours), size, eye, unit)
    return (255 * picture).round().astype(np.uint8)


def _plates(prediction: Prediction, unit: float) -> Floats:
    """Every frame's pixels on a plane close to its camera (S, H, W, 3): the frustum shows what the camera saw."""
    return _lifted(prediction, np.full_like(prediction.depth, PLATE * unit))


def _lifted(prediction: Prediction, depth: NDArray[np.float32]) -> Floats:
    """World points (S, H, W, 3) of all pixels at the given depths."""
    K, cameras = (torch.from_numpy(a).double() for a in (prediction.K, prediction.cam_from_world))
    return world_points(torch.from_numpy(depth).double(), K, cameras).numpy()


def _camera_lines(prediction: Prediction, unit: float) -> list[tuple[Floats, Floats]]:
    plates = _plates(prediction, unit)
    centres = camera_centres(torch.from_numpy(prediction.cam_from_world).double()).numpy()
    lines = []
    for centre, plate in zip(centres, plates, strict=True):
        corners = [plate[0, 0], plate[0, -1], plate[-1, -1], plate[-1, 0]]
        lines += [(centre, corner) for corner in corners]
        lines += [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    return lines
