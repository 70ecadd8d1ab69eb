"""Bonn RGB-D Dynamic sequences to the benchmark folders `rgb_110`, `depth_110` and `groundtruth_110.txt`.

`public` takes entries 30 to 139 of the sorted colour images, of the sorted depth images and of the rows of
groundtruth.txt, and pairs them by position: that is what published numbers are computed on. `time` takes the same
colour images and gives each the pose and the depth map of its own time stamp. Both report how far apart they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from page4d.data.association import (
    IndexRow,
    associate,
    nearest_within,
    read_index,
    read_rows,
    stamps,
)
from page4d.data.datasets.bonn import stamped_images
from page4d.prepare.frames import ChosenFrame, Target, plan_frames, pose_text
from page4d.prepare.images import check_colour, check_depth
from page4d.prepare.plans import PairingOptions, Plan
from page4d.schema import UserError
from page4d.settings import Count

Stamped = tuple[float, Path]


@dataclass(frozen=True)
class BonnPlanOptions(PairingOptions):
    """Which frames and how they are paired; the defaults are the public benchmark's. Times in seconds."""

    protocol: Literal["public", "time"] = "public"
    first: int = 30
    frames: Count = 110


def _slice_of(name: str, count: int, options: BonnPlanOptions) -> slice:
    last = options.first + options.frames
    if options.first < 0 or count <= options.first or (count < last and not options.allow_fewer):
        raise UserError(
            f"{name} has {count} entries, {options.first} to {last - 1} were asked for; "
            "change --first or --frames, or pass --allow-fewer"
        )
    return slice(options.first, last)


def _by_position(
    sequence: Path, images: list[Stamped], poses: list[IndexRow], options: BonnPlanOptions
) -> list[ChosenFrame]:
    depths = stamped_images(sequence / "depth")
    depths = depths[_slice_of(str(sequence / "depth"), len(depths), options)]
    rows = poses[_slice_of(str(sequence / "groundtruth.txt"), len(poses), options)]
    if not len(images) == len(depths) == len(rows):
        counts = f"{len(images)} colour images, {len(depths)} depth images and {len(rows)} poses"
        raise UserError(f"{sequence}: {counts}; they cannot be paired by position, use --protocol time")
    chosen = []
    for (image_s, image), (depth_s, depth), row in zip(images, depths, rows, strict=True):
        chosen.append(ChosenFrame(image, image_s, row.stamp_s, pose_text(row), depth, depth_s))
    return chosen


def _by_time(
    sequence: Path, images: list[Stamped], poses: list[IndexRow], options: BonnPlanOptions
) -> list[ChosenFrame]:
    depths = stamped_images(sequence / "depth")
    images_s = [stamp for stamp, _ in images]
    depths_s = [stamp for stamp, _ in depths]
    row_of = dict(associate(images_s, stamps(poses), options.max_pose_difference_s))
    missing = [image for i, (_, image) in enumerate(images) if i not in row_of]
    if missing and (len(missing) == len(images) or not options.allow_fewer):
        raise UserError(
            f"{sequence}: no pose within {options.max_pose_difference_s} s for {len(missing)} of {len(images)} images, "
            f"the first is {missing[0].name}; pass --allow-fewer to leave them out"
        )
    chosen = []
    for i, (stamp, image) in enumerate(images):
        if i in row_of:
            row, k = poses[row_of[i]], nearest_within(depths_s, stamp, options.max_depth_difference_s)
            depth_s, depth = (None, None) if k is None else depths[k]
            chosen.append(ChosenFrame(image, stamp, row.stamp_s, pose_text(row), depth, depth_s))
    return chosen


def pairing_report(images: list[Stamped], poses: list[IndexRow], options: BonnPlanOptions) -> str:
    """How far apart the two protocols are on these images: time of the rows, and distance of the poses they give."""
    rows = poses[options.first : options.first + len(images)]
    if not rows:
        return f"groundtruth.txt has no row {options.first}, so nothing can be paired by position"
    ordered = sorted(poses, key=lambda row: row.stamp_s)
    stamps_s = stamps(ordered)
    late, apart = [], []
    for row, (stamp, _) in zip(rows, images, strict=False):
        own = ordered[nearest_within(stamps_s, stamp, float("inf")) or 0]
        late.append(row.stamp_s - stamp)
        apart.append(np.linalg.norm(row.numbers(3) - own.numbers(3)))
    late_s, apart_m, last = np.array(late), np.array(apart), options.first + len(late) - 1
    middle, side = np.median(late_s), "before" if np.median(late_s) < 0 else "after"
    return (
        f"rows {options.first} to {last} of groundtruth.txt lie {abs(middle):.3f} s {side} their images in the median, "
        f"at most {np.abs(late_s).max():.3f} s away from them; pairing by row instead of time stamp moves poses by "
        f"{np.median(apart_m):.4f} m in the median, at most by {apart_m.max():.4f} m"
    )


def _format_rows(chosen: Sequence[ChosenFrame]) -> bytes:
    """Rows as numpy's text writer makes them, which the public script uses."""
    rows = []
    for frame in chosen:
        numbers = map(float, frame.pose.split()[:7])
        rows.append([frame.pose_s, *numbers])
    stream = io.BytesIO()
    np.savetxt(stream, np.array(rows))
    return stream.getvalue()


def plan_bonn(sequence: Path, out: Path, options: BonnPlanOptions | None = None) -> Plan:
    """Everything that preparing `sequence` will write into `out`; reads and checks all inputs, writes nothing.

    Raises:  UserError with file and line for whatever is wrong with the download.
    """
    options = options or BonnPlanOptions()
    found = stamped_images(sequence / "rgb")
    images = found[_slice_of(str(sequence / "rgb"), len(found), options)]
    path = sequence / "groundtruth.txt"
    by_rank = options.protocol == "public"
    poses = read_rows(path, 7) if by_rank and options.tolerant else read_index(path, 7, options.tolerant)
    chosen = (_by_position if by_rank else _by_time)(sequence, images, poses, options)
    for frame in chosen:
        size = check_colour(frame.image, str(sequence))
        if frame.depth is not None:
            check_depth(frame.depth, str(sequence), size)
    notes = [pairing_report(images, poses, options)]
    if missing := sum(frame.depth is None for frame in chosen):
        notes.append(
            f"frames without a depth map within {options.max_depth_difference_s} s: {missing} of {len(chosen)}"
        )
    target = Target("bonn", sequence.resolve().name, out, options.frames)
    return plan_frames(target, chosen, _format_rows(chosen), asdict(options), notes)


def bonn_sequences(source: Path) -> Iterator[Path]:
    """The sequences at `source`: itself, or those of its children that hold `rgb` and `groundtruth.txt`.

    Raises:  UserError if there is none.
    """
    if not source.is_dir():
        raise UserError(f"{source} is not a folder; give one Bonn sequence or the folder that holds several")

    def is_sequence(folder: Path) -> bool:
        return (folder / "rgb").is_dir() or (folder / "groundtruth.txt").is_file()

    found = [source] if is_sequence(source) else [p for p in sorted(source.iterdir()) if p.is_dir() and is_sequence(p)]
    if not found:
        raise UserError(
            f"{source} holds no Bonn sequence (a folder with rgb, depth and groundtruth.txt); download one from "
            "https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset/ and unpack it there"
        )
    yield from found
