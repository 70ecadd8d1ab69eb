"""Metres for a Prediction: from a known distance, from frames of a depth sensor, or from a known camera path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.counted import counted
from page4d.geometry import fit_similarity
from page4d.io.trajectories import Trajectory
from page4d.measured import is_measured
from page4d.result.cloud import points_in_world, world_from_cam
from page4d.result.original import depth_in_original
from page4d.result.pixel_map import Boxed, PixelMap
from page4d.schema import Prediction, UserError

Pixel = tuple[float, float]
# Of the median depth: some hundred roundings of float32, which is how a network and a file store cameras.
STANDING_STILL = 1e-5
# Either way: beyond it there is no scene, and float32, which depth is stored as, soon has no numbers.
LARGEST_FACTOR = 1e9
SAME_PLACE = 1e-9


@dataclass(frozen=True)
class MetricScale:
    """Metres per scene unit, where it came from, and how well the measurements agree with each other.

    `spread` is the relative scatter of the single measurements (NaN where there is only one); `similarity` places the
    prediction's world in the given trajectory's: world_given = scale * rotation @ x + translation, x before scaling.
    """

    factor: float
    source: str
    spread: float = float("nan")
    similarity: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 1 / LARGEST_FACTOR <= self.factor <= LARGEST_FACTOR:
            raise UserError(
                f"the scale from {self.source} came out as {self.factor:g} m per scene unit; expected "
                f"{1 / LARGEST_FACTOR:g} to {LARGEST_FACTOR:g}: are the measurements in metres?"
            )


def apply_scale(prediction: Prediction, scale: MetricScale) -> Prediction:
    """The prediction in metres: depth, points and camera positions times the factor; meta says how it was found."""
    pose = prediction.cam_from_world.copy()
    pose[:, :, 3] *= scale.factor
    before = float(prediction.meta.get("scale", {}).get("factor", 1.0))
    record: dict[str, Any] = {"factor": before * scale.factor, "unit": "m", "source": scale.source}
    if np.isfinite(scale.spread):
        record["spread"] = scale.spread
    if scale.similarity is not None:
        record["similarity"] = scale.similarity
    factor = np.float32(scale.factor)
    points = None if prediction.points is None else prediction.points * factor
    meta = prediction.meta | {"scale": record}
    return replace(prediction, cam_from_world=pose, depth=prediction.depth * factor, points=points, meta=meta)


def scale_from_distance(prediction: Prediction, frame: int, a: Pixel, b: Pixel, metres: float) -> MetricScale:
    """Scale from two points of one frame whose distance is known.

    Units:   a, b as (x, y) in pixels of the original image; metres between the two points in space.
    Raises:  UserError for a frame or pixel that does not exist, has no depth, or two equal points.
    """
    _check_frame(prediction, frame)
    if not metres > 0:
        raise UserError(f"the known distance is {metres} m; it must be positive")
    name = prediction.frame_names[frame]
    picked = np.array(seen_pixels(prediction, name, frame, (a, b)))
    for pixel, (column, row) in zip((a, b), picked, strict=True):
        if prediction.depth[frame, row, column] <= 0:
            raise UserError(f"pixel {pixel} of {name} has no depth; choose another one")
    first, second = points_in_world(prediction, frame, picked).astype(np.float64)
    length = float(np.linalg.norm(first - second))
    return MetricScale(metres / length, f"a distance of {metres:g} m in {name}")


def _check_frame(prediction: Prediction, frame: int) -> None:
    if frame not in range(len(prediction)):
        raise UserError(f"there is no frame {frame!r}; frames are 0 to {len(prediction) - 1}")


def seen_pixels(frames: Boxed, name: str, frame: int, pixels: tuple[Pixel, Pixel]) -> list[tuple[int, int]]:
    """The input pixels (x, y) that show two pixels of an original, which is called `name`.

    Raises:  UserError if the network does not see one of them, or sees both as one.
    """
    height, width = frames.size_hw
    seen = []
    for pixel in pixels:
        x, y = PixelMap.of(frames)[frame].to_input(np.array(pixel, np.float64)).tolist()
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise UserError(
                f"pixel {pixel} of {name} was not seen by the network (outside the picture or cropped away)"
            )
        seen.append((min(round(x), width - 1), min(round(y), height - 1)))
    if seen[0] == seen[1]:
        raise UserError(f"pixels {pixels[0]} and {pixels[1]} show the same point; choose two that are apart")
    return seen


def scale_from_depth(prediction: Prediction, measured_m: Mapping[int, NDArray[np.float32]]) -> MetricScale:
    """Scale from depth sensor frames: the median over all common pixels of measured / predicted depth.

    Shapes:  frame index -> (h0, w0) at the original size.
    Units:   metres, z; 0 or not finite where the sensor measured nothing.
    Raises:  UserError for a frame that does not exist, whole numbers, other sizes or fewer than 100 common pixels.
    """
    ratios = []
    for frame, sensor in measured_m.items():
        _check_frame(prediction, frame)
        if sensor.dtype.kind != "f":
            raise UserError(
                f"the sensor's depth of frame {frame} is {sensor.dtype}; divide its steps so that it is metres"
            )
        predicted = depth_in_original(prediction, frame)
        check_registered(sensor, predicted.shape, frame)
        both = (predicted > 0) & is_measured(sensor)
        ratios.append(sensor[both].astype(np.float64) / predicted[both])
    joined = np.concatenate(ratios) if ratios else np.zeros(0)
    if len(joined) < 100:
        raise UserError(f"sensor and prediction share {len(joined)} pixels with depth; at least 100 are needed")
    factor = float(np.median(joined))
    spread = float(np.median(np.abs(joined / factor - 1)))
    frames = counted(len(measured_m), "frame")
    return MetricScale(factor, f"a depth sensor ({frames})", spread)


def check_registered(sensor: NDArray[np.float32], image_hw: Sequence[int], frame: int) -> None:
    """Refuse sensor depth that does not lie on its image pixel by pixel.

    Raises:  UserError if the sizes differ.
    """
    if sensor.shape != tuple(image_hw):
        raise UserError(
            f"the sensor's depth of frame {frame} is {sensor.shape[1]} x {sensor.shape[0]}, the image "
            f"{image_hw[1]} x {image_hw[0]}; register it to the image first"
        )


def scale_from_trajectory(prediction: Prediction, trajectory: Trajectory, max_gap_s: float = 0.02) -> MetricScale:
    """Scale from a known camera path in metres: the similarity that takes the predicted centres onto it.

    Note:    frames with times are paired by time, whatever the counts; frames without, one to one by position. A
             straight path fixes the scale but not the turn around it; then only the scale is kept.
    Raises:  UserError if fewer than 3 poses pair up or the predicted camera stands still.
    """
    frames, poses = paired_frames(prediction, trajectory, max_gap_s)
    ours, theirs = world_from_cam(prediction)[frames, :, 3], trajectory.positions[poses]
    check_path(theirs)
    spread = [np.linalg.norm(c - c.mean(0), axis=1) for c in (ours, theirs)]
    if stands_still(prediction, ours):
        raise UserError("a camera that stands still gives no scale; use a known distance or depth sensor frames")
    source = f"a trajectory of {len(ours)} paired poses"
    try:
        fit = fit_similarity(torch.from_numpy(ours), torch.from_numpy(theirs))
    except ValueError:
        return MetricScale(float(np.sqrt((spread[1] ** 2).sum() / (spread[0] ** 2).sum())), f"{source} on one line")
    residual = float(np.sqrt(((fit.apply(torch.from_numpy(ours)).numpy() - theirs) ** 2).sum(1).mean()))
    placed = {"scale": float(fit.scale), "rotation": fit.rotation.tolist(), "translation": fit.translation.tolist()}
    return MetricScale(float(fit.scale), source, residual / float(np.sqrt((spread[1] ** 2).mean())), placed)


def check_path(positions: NDArray[np.float64]) -> None:
    """Refuse a given camera path (N, 3) that gives no scale.

    Raises:  UserError if the camera stands still.
    """
    if np.linalg.norm(positions - positions.mean(0), axis=1).max() < SAME_PLACE:
        raise UserError("the given camera stands still, which gives no scale; expected the poses of a moving one")


def stands_still(prediction: Prediction, centres: NDArray[np.floating[Any]]) -> bool:
    """Whether predicted camera centres (N, 3) leave their mean by no more than rounding, measured by the depth."""
    away = np.linalg.norm(centres - centres.mean(0), axis=1).max()
    seen = prediction.depth[prediction.depth > 0]
    typical = float(np.median(seen)) if seen.size else 0.0
    return bool(away <= STANDING_STILL * typical)


class Timed(Protocol):
    """Frames with times, NaN where unknown: a Prediction, or pictures before they are predicted."""

    @property
    def timestamps_s(self) -> NDArray[np.float64]: ...

    def __len__(self) -> int: ...


def paired_frames(
    timed: Timed, trajectory: Trajectory, max_gap_s: float = 0.02, least: int = 3
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which frame goes with which pose: by time where both have times, else one to one in order.

    Raises:  UserError if fewer than `least` pair up, or counts without times differ.
    """
    times, frames = timed.timestamps_s, len(timed)
    if np.isnan(times).any() or np.isnan(trajectory.stamps).any():
        if frames != len(trajectory):
            raise UserError(
                f"the trajectory has {len(trajectory)} poses for {frames} frames without times: "
                "give one pose per frame, or predict with time stamps"
            )
        if frames < least:
            raise UserError(f"{frames} poses give no scale; at least {least} are needed")
        return np.arange(frames), np.arange(frames)
    nearest = np.abs(trajectory.stamps[None] - times[:, None]).argmin(1)
    close = np.abs(trajectory.stamps[nearest] - times) <= max_gap_s
    if close.sum() < least:
        raise UserError(
            f"only {close.sum()} frames have a pose within {max_gap_s:g} s in the trajectory; at least {least} are "
            f"needed. Frames run from {times.min():g} to {times.max():g} s, poses from {trajectory.stamps.min():g} to "
            f"{trajectory.stamps.max():g} s: bring them to one clock"
        )
    return np.flatnonzero(close), nearest[close]
