"""A Prediction packed for the browser: depth and colour stay images, so 24 frames of 200,000 points take a few MB.

A list of points would need 9 bytes a point before base64; a depth map and a JPEG need about 3, decode in the browser's
own code, and change frame by binding two textures. Depth has 16 bits on a logarithmic scale.
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
    CloudOptions,
    check_moving,
    cloud_of,
    confidence_rank,
    frustum_corners,
    frustum_size,
    unit_of,
    valid_pixels,
    world_from_cam,
)
from page4d.schema import Prediction, UserError

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
                f"the viewer got {self.max_points} points a frame, {self.background_points} background points, "
                f"{self.thumb_width} px thumbnails and {self.fps:g} frames a second; all must be positive"
            )


def viewer_data(prediction: Prediction, moving: NDArray[np.bool_] | None, options: ViewerOptions) -> dict[str, Any]:
    """Everything the page needs, ready for JSON.

    Raises:  UserError if there is no valid point or a depth, pose or intrinsic is not finite.
    """
    valid = valid_pixels(prediction)
    mask = check_moving(prediction, moving)
    rank = confidence_rank(prediction, valid)
    rows, columns = _grid(prediction.depth.shape[1], prediction.depth.shape[2], options.max_points)
    near, far = _depth_range(prediction.depth[valid])
    cut = np.ix_(rows, columns)
    geometry = [
        _image(_geometry_picture(d[cut], v[cut], r[cut], m[cut], (near, far)), "PNG")
        for d, v, r, m in zip(prediction.depth, valid, rank, mask, strict=True)
    ]
    colour = [_image(image[cut], "JPEG", options.jpeg_quality) for image in prediction.images]
    K, pose, times = prediction.K.astype(np.float64), world_from_cam(prediction), prediction.timestamps_s
    thumb_height = max(1, round(options.thumb_width * prediction.depth.shape[1] / prediction.depth.shape[2]))
    return {
        "names": list(prediction.frame_names),
        "times": [None if math.isnan(t) else round(float(t), 4) for t in times],
        "fps": options.fps,
        "unit": unit_of(prediction),
        "grid": [len(columns), len(rows)],
        "size": [prediction.depth.shape[2], prediction.depth.shape[1]],
        "depth": [near, far],
        "drop": options.drop,
        "mode": options.mode or ("split" if mask.any() else "frame"),
        "K": np.stack((K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2], K[:, 0, 1]), -1).tolist(),
        "worldFromCam": pose.reshape(-1, 12).tolist(),
        "colour": colour,
        "geometry": geometry,
        "movingRows": [_rows_with(m[cut]) for m in mask],
        "background": _background(prediction, mask, options),
        "thumb": [options.thumb_width, thumb_height],
        "strips": _strips(prediction, valid, moving, (options.thumb_width, thumb_height)),
        **_view(prediction, moving),
    }


def _grid(height: int, width: int, max_points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns that are kept, evenly spread, so that at most `max_points` pixels of a frame remain.

    Convention: index i of n stands for pixel ((2 i + 1) size) // (2 n); the vertex shader computes the same integers.
    """
    share = min(1.0, math.sqrt(max_points / (height * width)))
    n_rows, n_columns = max(1, int(height * share)), max(1, int(width * share))
    rows, columns = ((2 * np.arange(n) + 1) * size // (2 * n) for n, size in ((n_rows, height), (n_columns, width)))
    return rows, columns


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
    share = (np.log(np.where(valid, depth, limits[0]).astype(np.float64)) - near) / (far - near)
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
    """Still points of all frames, one a voxel (the most confident), within the budget; None if nothing stands still."""
    if moving.all() or len(prediction) < 2:
        return None
    cloud = cloud_of(prediction, CloudOptions(drop=0, max_points=8 * options.background_points), moving)
    cloud = cloud[~cloud.moving]
    if len(cloud) == 0:
        return None
    # A few stray far points must not coarsen the 16-bit grid of all others.
    low, high = np.percentile(cloud.xyz, (0.2, 99.8), axis=0)
    margin = 0.5 * (high - low) + 1e-9
    cloud = cloud[((cloud.xyz >= low - margin) & (cloud.xyz <= high + margin)).all(1)]
    order = np.argsort(-cloud.confidence, kind="stable")
    kept, voxel = _one_per_voxel(cloud.xyz[order], options.background_points)
    # In random order, so that a slow machine can draw a fair part of it.
    chosen = np.random.default_rng(0).permutation(order[kept])
    origin = cloud.xyz.min(0).astype(np.float64)
    span = np.maximum(cloud.xyz.max(0) - origin, 1e-9)
    ordered = np.sort(cloud.confidence)
    rank = np.searchsorted(ordered, cloud.confidence[chosen], side="right") / len(ordered)
    code = np.rint(np.concatenate(((cloud.xyz[chosen] - origin) / span, rank[:, None]), 1) * 65535).astype("<u2")
    paint = np.concatenate((cloud.rgb[chosen], np.full((len(chosen), 1), 255, np.uint8)), 1)
    # A coarse prediction fills fewer voxels than there are: its points are as wide as its pixels are apart.
    footprint = 1.25 * max(voxel, _pixel_spacing(prediction))
    stored = {"code": _base64(code.tobytes()), "paint": _base64(paint.tobytes())}
    return {"count": len(chosen), "origin": origin.tolist(), "span": span.tolist(), "footprint": footprint, **stored}


def _pixel_spacing(prediction: Prediction) -> float:
    """Distance of neighbouring points at the median depth, in the Prediction's unit."""
    depth = prediction.depth[prediction.depth > 0]
    return float(np.median(depth) / np.median(prediction.K[:, 0, 0]))


def _one_per_voxel(xyz: NDArray[np.float32], budget: int) -> tuple[NDArray[np.int64], float]:
    """Index of the first point in every voxel, and the voxel's size, grown until at most `budget` voxels are filled."""
    extent = float(np.ptp(xyz, axis=0).astype(np.float64).max())
    size = max(extent, 1e-9) / max(2 * math.sqrt(budget), 1)
    while True:
        cell = np.floor((xyz - xyz.min(0)) / size).astype(np.int64)
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
    length = _round_length(radius / 3)
    size = frustum_size(prediction, sample.astype(np.float32))
    eye = centres[0] + (centres[0] - middle) * 0.45 + np.array([0.12, -0.35, -0.2]) * radius
    far = float(np.linalg.norm(sample - eye, axis=1).max()) * 20
    unit = "m" if unit_of(prediction) == "m" else "units"
    return {
        "frusta": frustum_corners(prediction, size).tolist(),
        "axes": {"length": length, "text": f"({length:g} {unit})"},
        "view": {
            "eye": eye.tolist(), "target": middle.tolist(), "distance": float(np.linalg.norm(middle - centres[0])),
            "near": radius * 1e-3, "far": far,
        },
    }  # fmt: skip


def _round_length(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten not above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(f * power for f in (5, 2, 1) if f * power <= value * (1 + 1e-9)))


def _strips(
    prediction: Prediction, valid: NDArray[np.bool_], moving: NDArray[np.bool_] | None, thumb: tuple[int, int]
) -> list[dict[str, str]]:
    near, far = (float(v) for v in np.percentile(prediction.depth[valid], (2, 98)))
    depth = plt.get_cmap("turbo")((prediction.depth - near) / max(far - near, 1e-9))[..., :3]
    depth = np.where(valid[..., None], depth, 0.85)
    strips = [
        ("image", prediction.images),
        (f"depth z, blue {near:.3g} to red {far:.3g} {unit_of(prediction)}", (255 * depth).astype(np.uint8)),
    ]
    if prediction.mask is not None:
        reach = float(max(np.abs(prediction.mask).max(), 1e-6))
        colours = plt.get_cmap("RdBu_r")(prediction.mask / (2 * reach) + 0.5)[..., :3]
        strips.append((f"model's mask m, blue {-reach:.2g} to red {reach:.2g}", (255 * colours).astype(np.uint8)))
    if moving is not None:
        shade = np.where(moving[..., None], np.uint8(255), (prediction.images * 0.35).astype(np.uint8))
        strips.append(("moving, white", shade))
    return [{"label": label, **_image(_strip(pictures, thumb), "JPEG", 85)} for label, pictures in strips]


def _strip(pictures: NDArray[np.uint8], thumb: tuple[int, int]) -> NDArray[np.uint8]:
    small = [np.asarray(Image.fromarray(p).resize(thumb, Image.Resampling.BOX)) for p in pictures]
    return np.concatenate(small, 1)


def recorded_fps(prediction: Prediction) -> float:
    """Frames a second of the recording, within what a viewer can play; 10 where frames have no times."""
    gaps = np.diff(prediction.timestamps_s)
    gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
    return float(np.clip(1 / np.median(gaps), 1, 60)) if len(gaps) else 10.0
