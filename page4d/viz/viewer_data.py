"""A Prediction packed for the browser: depth and colour stay images, so 24 frames of 200,000 points take a few MB.

A list of points would need 9 bytes per point before base64; a depth map and a JPEG need about 3, decode in the
browser's own code, and change frame by binding two textures. Depth has 16 bits on a logarithmic scale.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.result.cloud import (
    Cloud,
    CloudOptions,
    check_moving,
    cloud_of,
    confidence_rank,
    frustum_corners,
    frustum_size,
    share_at_most,
    unit_of,
    usable_pixels,
    world_from_cam,
)
from page4d.schema import Prediction, UserError
from page4d.viz.depth_colours import depth_colours, depth_span

DEPTH_LEVELS = 65535
RANK_LEVELS = 127


@dataclass(frozen=True)
class ViewerOptions:
    """How much goes into the page and how it starts.

    `max_points` bounds the points of one frame, `background_points` those of the accumulated static background; `drop`
    is where the confidence slider starts; `mode` is frame, split, all or static ("" chooses by whether there
    is a mask).
    """

    max_points: int = 200_000
    background_points: int = 200_000
    fps: float = 10.0
    drop: float = 0.1
    mode: str = ""
    title: str = "PAGE-4D"
    jpeg_quality: int = 92
    thumb_width: int = 112

    def __post_init__(self) -> None:
        if self.mode not in ("", "frame", "split", "all", "static"):
            raise UserError(f"the viewer's mode is {self.mode!r}; choose frame, split, all or static")
        if min(self.max_points, self.background_points, self.thumb_width) < 1 or self.fps <= 0:
            raise UserError(
                f"the viewer got {self.max_points} points per frame, {self.background_points} background points, "
                f"{self.thumb_width} px thumbnails and {self.fps:g} frames per second; all must be positive"
            )


def viewer_data(prediction: Prediction, moving: NDArray[np.bool_] | None, options: ViewerOptions) -> dict[str, Any]:
    """Everything the page needs, ready for JSON.

    Raises:  UserError if there is no valid point or a depth, pose or intrinsic is not finite.
    """
    valid, mask = usable_pixels(prediction), check_moving(prediction, moving)
    data: dict[str, Any] = {
        "fps": options.fps,
        "drop": options.drop,
        "mode": options.mode or ("split" if mask.any() else "frame"),
        "unit": unit_of(prediction),
    }
    data |= _cameras(prediction)
    data |= _pictures(prediction, valid, mask, options)
    data["background"] = _background(prediction, mask, options)
    data |= _strips(prediction, valid, moving, options)
    return data | _view(prediction, moving)


def _cameras(prediction: Prediction) -> dict[str, Any]:
    """Names, times, intrinsics as fx, fy, cx, cy, skew, and poses row by row."""
    times = prediction.timestamps_s.tolist()
    rows, columns = [0, 1, 0, 1, 0], [0, 1, 2, 2, 1]
    lens = prediction.K.astype(np.float64)[:, rows, columns]
    poses = world_from_cam(prediction).reshape(-1, 12)
    data: dict[str, Any] = {"names": list(prediction.frame_names), "K": lens.tolist(), "worldFromCam": poses.tolist()}
    data["times"] = [None if math.isnan(t) else round(t, 4) for t in times]
    return data


def _pictures(
    prediction: Prediction, valid: NDArray[np.bool_], moving: NDArray[np.bool_], options: ViewerOptions
) -> dict[str, Any]:
    """Colour and geometry of every frame at the pixels that are kept."""
    height, width = prediction.size_hw
    rows, columns = _kept(height, width, options.max_points)
    cut = np.ix_(rows, columns)
    limits = _depth_range(prediction.depth[valid])
    rank = confidence_rank(prediction, valid)
    geometry, colour, moving_rows = [], [], []
    for i, image in enumerate(prediction.images):
        depth, known, shares, moves = (maps[i][cut] for maps in (prediction.depth, valid, rank, moving))
        code = _geometry_picture(depth, known, shares, moves, limits)
        geometry.append(_image(code, "PNG"))
        colour.append(_image(image[cut], "JPEG", options.jpeg_quality))
        moving_rows.append(_rows_with(moves))
    sizes = {"grid": [len(columns), len(rows)], "size": [width, height], "depth": list(limits)}
    return sizes | {"colour": colour, "geometry": geometry, "movingRows": moving_rows}


def _kept(height: int, width: int, max_points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns that are kept, evenly spread, so that at most `max_points` pixels of a frame remain."""
    share = min(1.0, math.sqrt(max_points / (height * width)))
    return _spread(height, share), _spread(width, share)


def _spread(size: int, share: float) -> NDArray[np.int64]:
    """Index i of n stands for pixel ((2 i + 1) size) // (2 n); the vertex shader computes the same integers."""
    n = max(1, int(size * share))
    return (2 * np.arange(n) + 1) * size // (2 * n)


def _rows_with(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """First row with a moving pixel and one past the last; (0, 0) if there is none."""
    rows = np.flatnonzero(mask.any(1))
    return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)


def _depth_range(depth: NDArray[np.float32]) -> tuple[float, float]:
    near, far = float(depth.min()), float(depth.max())
    return near, max(far, near * (1 + 1e-6))


def _geometry_picture(
    depth: NDArray[np.float32],
    valid: NDArray[np.bool_],
    rank: NDArray[np.float32],
    moving: NDArray[np.bool_],
    limits: tuple[float, float],
) -> NDArray[np.uint8]:
    """Depth code in red (high byte) and green (low byte), 0 = none; confidence rank and moving bit in blue."""
    near, far = np.log(limits)
    log_depth = np.log(np.where(valid, depth, limits[0]).astype(np.float64))
    share = (log_depth - near) / (far - near)
    # A logarithmic scale gives near and far the same relative error, 1e-4 over a range of a thousand.
    code = np.where(valid, 1 + np.rint(share * (DEPTH_LEVELS - 1)), 0).astype(np.int64)
    blue = (np.ceil(rank * RANK_LEVELS).astype(np.int64) << 1) | moving
    return np.stack((code >> 8, code & 255, blue), -1).astype(np.uint8)


def _image(pixels: NDArray[np.uint8], kind: str, quality: int = 92) -> dict[str, str]:
    buffer = io.BytesIO()
    extra: dict[str, Any] = {"quality": quality, "subsampling": 0} if kind == "JPEG" else {"compress_level": 6}
    Image.fromarray(pixels).save(buffer, kind, **extra)
    return {"type": f"image/{kind.lower()}", "base64": _base64(buffer.getvalue())}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _background(prediction: Prediction, moving: NDArray[np.bool_], options: ViewerOptions) -> dict[str, Any] | None:
    """Still points of all frames, one per voxel (the most confident), within the budget; None if nothing is still."""
    if moving.all() or len(prediction) < 2:
        return None
    cloud = cloud_of(prediction, CloudOptions(drop=0, max_points=8 * options.background_points), moving)
    cloud = cloud[~cloud.moving]
    if len(cloud) == 0:
        return None
    cloud = cloud[_near_the_others(cloud.xyz)]
    order = np.argsort(-cloud.confidence, kind="stable")
    kept, voxel = _one_per_voxel(cloud.xyz[order], options.background_points)
    # In random order, so that a slow machine can draw a fair part of it.
    chosen = np.random.default_rng(0).permutation(order[kept])
    # A coarse prediction fills fewer voxels than there are: its points are as wide as its pixels are apart.
    footprint = 1.25 * max(voxel, _pixel_spacing(prediction))
    return {"count": len(chosen), "footprint": footprint, **_packed_points(cloud, chosen)}


def _near_the_others(xyz: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Leave out the few stray far points that would coarsen the 16-bit grid of all others."""
    low, high = np.percentile(xyz, (0.2, 99.8), axis=0)
    margin = 0.5 * (high - low) + 1e-9
    return np.asarray(((xyz >= low - margin) & (xyz <= high + margin)).all(1))


def _packed_points(cloud: Cloud, chosen: NDArray[np.int64]) -> dict[str, Any]:
    """Place and confidence rank in 16 bits each, colour in 8, as base64."""
    origin = cloud.xyz.min(0).astype(np.float64)
    span = np.maximum(cloud.xyz.max(0) - origin, 1e-9)
    place = (cloud.xyz[chosen] - origin) / span
    rank = share_at_most(cloud.confidence)[chosen]
    code = np.rint(np.column_stack((place, rank)) * 65535).astype("<u2")
    opaque = np.full(len(chosen), 255, np.uint8)
    paint = np.column_stack((cloud.rgb[chosen], opaque))
    stored = {"code": _base64(code.tobytes()), "paint": _base64(paint.tobytes())}
    return {"origin": origin.tolist(), "span": span.tolist(), **stored}


def _pixel_spacing(prediction: Prediction) -> float:
    """Distance of neighbouring points at the median depth, in the Prediction's unit."""
    depth = prediction.depth[prediction.depth > 0]
    return float(np.median(depth) / np.median(prediction.K[:, 0, 0]))


def _one_per_voxel(xyz: NDArray[np.float32], budget: int) -> tuple[NDArray[np.int64], float]:
    """Index of the first point in every voxel, and the voxel's size, grown until at most `budget` voxels are filled."""
    low = xyz.min(0)
    extent = float(np.ptp(xyz, axis=0).astype(np.float64).max())
    size = max(extent, 1e-9) / max(2 * math.sqrt(budget), 1)
    while True:
        cell = np.floor((xyz - low) / size).astype(np.int64)
        shape = cell.max(0) + 1
        key = (cell[:, 0] * shape[1] + cell[:, 1]) * shape[2] + cell[:, 2]
        _, first = np.unique(key, return_index=True)
        if len(first) <= budget:
            return np.sort(first), size
        size *= 1.25


def _view(prediction: Prediction, moving: NDArray[np.bool_] | None) -> dict[str, Any]:
    """Frusta, axes and the first look: from behind and above the first camera at the middle of the scene."""
    sample = cloud_of(prediction, CloudOptions(max_points=20_000), moving).xyz.astype(np.float64)
    centres = world_from_cam(prediction)[:, :, 3]
    middle = np.median(sample, 0)
    low, high = np.percentile(sample, (2, 98), 0)
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-6)
    behind, above = (centres[0] - middle) * 0.45, np.array([0.12, -0.35, -0.2]) * radius
    eye = centres[0] + behind + above
    length = _round_length(radius / 3)
    unit = "m" if unit_of(prediction) == "m" else "units"
    view = {"eye": eye.tolist(), "target": middle.tolist(), "near": radius * 1e-3}
    view["distance"] = float(np.linalg.norm(middle - centres[0]))
    view["far"] = float(np.linalg.norm(sample - eye, axis=1).max()) * 20
    frusta = frustum_corners(prediction, frustum_size(prediction, sample.astype(np.float32)))
    axes = {"length": length, "text": f"{length:g} {unit}"}
    return {"frusta": frusta.tolist(), "axes": axes, "view": view}


def _round_length(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten not above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(f * power for f in (5, 2, 1) if f * power <= value * (1 + 1e-9)))


def _strips(
    prediction: Prediction, valid: NDArray[np.bool_], moving: NDArray[np.bool_] | None, options: ViewerOptions
) -> dict[str, Any]:
    """All frames side by side, small: pictures, depth, the model's mask and the moving mask where there are any."""
    height, width = prediction.size_hw
    thumb = options.thumb_width, max(1, round(options.thumb_width * height / width))
    span = depth_span(prediction.depth, valid)
    depth_label = f"depth z, red {span[0]:.3g} to blue {span[1]:.3g} {unit_of(prediction)}"
    rows = [("image", prediction.images), (depth_label, depth_colours(prediction.depth, valid, span))]
    if prediction.mask is not None:
        reach = float(max(np.abs(prediction.mask).max(), 1e-6))
        colours = plt.get_cmap("RdBu_r")(prediction.mask / (2 * reach) + 0.5)[..., :3]
        label = f"model's mask m, blue {-reach:.2g} to red {reach:.2g}"
        rows.append((label, (255 * colours).astype(np.uint8)))
    if moving is not None:
        shade = (prediction.images * 0.35).astype(np.uint8)
        rows.append(("moving, white", np.where(moving[..., None], np.uint8(255), shade)))
    strips = [{"label": label, **_image(_strip(pictures, thumb), "JPEG", 85)} for label, pictures in rows]
    return {"thumb": list(thumb), "strips": strips}


def _strip(pictures: NDArray[np.uint8], thumb: tuple[int, int]) -> NDArray[np.uint8]:
    small = [np.asarray(Image.fromarray(p).resize(thumb, Image.Resampling.BOX)) for p in pictures]
    return np.concatenate(small, 1)


def recorded_fps(prediction: Prediction) -> float:
    """Frames per second of the recording, within what a viewer can play; 10 where frames have no times."""
    gaps = np.diff(prediction.timestamps_s)
    gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
    return float(np.clip(1 / np.median(gaps), 1, 60)) if len(gaps) else 10.0
