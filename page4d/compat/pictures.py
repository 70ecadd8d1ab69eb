"""VGGT's pictures of tracks, under its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from page4d.extras import extras_named


def visualize_tracks_on_images(
    images: Tensor,
    tracks: Tensor,
    track_vis_mask: Tensor | None = None,
    out_dir: str | Path = "track_visuals_concat_by_frame",
    image_format: str = "CHW",
    normalization_mode: str | None = "[0,1]",
    cmap_name: str = "hsv",
    frames_per_row: int = 4,
    save_grid: bool = True,
) -> None:
    """Write the pictures with their tracks into `out_dir`: `frame_0000.png`, ... and, all in one, `tracks_grid.png`.

    Shapes:  images (S, 3, H, W), or (S, H, W, 3) with image_format="HWC"; tracks (S, N, 2); track_vis_mask (S, N);
             a leading axis of one scene may stand before each.
    Units:   images in [0, 1], in [-1, 1] with that as normalization_mode, in 0 to 255 with None; tracks in pixels.
    Note:    a track has the colour of the place where it is first seen, hidden points are left out.
    """
    pictures = _pictures(_one_scene(images, 4), image_format, normalization_mode)
    xy = _one_scene(tracks, 3)
    seen = np.ones(xy.shape[:2], bool) if track_vis_mask is None else _one_scene(track_vis_mask, 2) > 0
    colours = _colours_by_place(xy, seen, pictures.shape[1:3], cmap_name)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for number, picture in enumerate(pictures):
        drawn.append(_with_points(picture, xy[number], seen[number], colours))
        Image.fromarray(drawn[-1]).save(folder / f"frame_{number:04d}.png")
    if save_grid:
        Image.fromarray(_grid(drawn, frames_per_row)).save(folder / "tracks_grid.png")


def _one_scene(values: Tensor, axes: int) -> NDArray[Any]:
    array = values.detach().float().cpu().numpy()
    return array[0] if array.ndim == axes + 1 else array


def _pictures(images: NDArray[Any], image_format: str, normalization_mode: str | None) -> NDArray[np.uint8]:
    ranges: dict[str | None, tuple[float, float]] = {"[0,1]": (0, 255), "[-1,1]": (127.5, 127.5), None: (0, 1)}
    if image_format not in ("CHW", "HWC") or normalization_mode not in ranges:
        raise ValueError(
            f"image_format {image_format!r} and normalization_mode {normalization_mode!r}; expected CHW or HWC, and "
            "[0,1], [-1,1] or None"
        )
    offset, factor = ranges[normalization_mode]
    last = np.moveaxis(images, 1, -1) if image_format == "CHW" else images
    return np.ascontiguousarray((offset + factor * last).round().clip(0, 255).astype(np.uint8))


def _colours_by_place(
    xy: NDArray[Any], seen: NDArray[np.bool_], size: Sequence[int], cmap_name: str
) -> NDArray[np.int64]:
    """Hue from the direction in which a point first stands from the picture's centre."""
    with extras_named("visualize_tracks_on_images"):
        from matplotlib import colormaps
    first = seen.argmax(0)
    height, width = size
    centre = np.array([width - 1, height - 1]) / 2
    x, y = (xy[first, np.arange(xy.shape[1])] - centre).T
    turn = np.arctan2(y, x) / (2 * np.pi) % 1
    rgb = np.asarray(colormaps[cmap_name](turn))[:, :3]
    return (255 * rgb).round().astype(np.int64)


def _with_points(
    picture: NDArray[np.uint8], xy: NDArray[Any], seen: NDArray[np.bool_], colours: NDArray[np.int64]
) -> NDArray[np.uint8]:
    import cv2

    drawn = picture.copy()
    radius = max(2, round(max(picture.shape[:2]) / 130))
    for n in np.flatnonzero(seen):
        centre = np.rint(xy[n]).astype(int).tolist()
        cv2.circle(drawn, centre, radius, colours[n].tolist(), -1, cv2.LINE_AA)
    return drawn


def _grid(pictures: Sequence[NDArray[np.uint8]], per_row: int) -> NDArray[np.uint8]:
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // per_row)
    columns = min(per_row, len(pictures))
    sheet = np.zeros((rows, columns, height, width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        sheet[divmod(number, per_row)] = picture
    return np.ascontiguousarray(sheet.swapaxes(1, 2)).reshape(rows * height, columns * width, 3)
