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
from numpy.typing import NDArray

from page4d.data.association import IndexRow, associate, nearest_within, read_entries, read_index
from page4d.prepare.frames import Chosen, Target, plan_of
from page4d.prepare.images import check_colour, check_depth
from page4d.prepare.plans import Plan
from page4d.schema import UserError

Stamped = tuple[float, Path]


@dataclass(frozen=True)
class BonnOptions:
    """Which frames and how they are paired; the defaults are the public benchmark's. Times in seconds."""

    protocol: Literal["public", "time"] = "public"
    first: int = 30
    frames: int = 110
    max_pose_difference_s: float = 0.02
    max_depth_difference_s: float = 0.04
    allow_fewer: bool = False
    tolerant: bool = False


def stamped_images(folder: Path) -> list[Stamped]:
    """Stamp and path of every PNG of a folder, sorted by file name as the public script does.

    Raises:  UserError if the folder is missing or empty, a name is no stamp, or the names are not in time order.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise UserError(f"{folder} has no PNG images; this is not a complete download of the sequence")
    stamped: list[Stamped] = []
    for path in paths:
        try:
            stamped.append((float(path.stem), path))
        except ValueError as error:
            raise UserError(f"{path}: the file name is not a time stamp in seconds") from error
        if len(stamped) > 1 and stamped[-1][0] <= stamped[-2][0]:
            raise UserError(f"{path}: its stamp is not after that of {stamped[-2][1].name}, which sorts before it")
    return stamped


def _cut(name: str, count: int, options: BonnOptions) -> slice:
    last = options.first + options.frames
    if options.first < 0 or count <= options.first or (count < last and not options.allow_fewer):
        raise UserError(
            f"{name} has {count} entries, {options.first} to {last - 1} were asked for; "
            "change --first or --frames, or pass --allow-fewer"
        )
    return slice(options.first, last)


def _by_position(sequence: Path, images: list[Stamped], poses: list[IndexRow], options: BonnOptions) -> list[Chosen]:
    depths = stamped_images(sequence / "depth")
    depths = depths[_cut(str(sequence / "depth"), len(depths), options)]
    rows = poses[_cut(str(sequence / "groundtruth.txt"), len(poses), options)]
    if not len(images) == len(depths) == len(rows):
        counts = f"{len(images)} colour images, {len(depths)} depth images and {len(rows)} poses"
        raise UserError(f"{sequence}: {counts}; they cannot be paired by position, use --protocol time")
    return [
        Chosen(image, image_s, row.stamp_s, " ".join(row.words), depth, depth_s)
        for (image_s, image), (depth_s, depth), row in zip(images, depths, rows, strict=True)
    ]


def _by_time(sequence: Path, images: list[Stamped], poses: list[IndexRow], options: BonnOptions) -> list[Chosen]:
    depths = stamped_images(sequence / "depth")
    depth_stamps = [stamp for stamp, _ in depths]
    partner = dict(associate([s for s, _ in images], [e.stamp_s for e in poses], options.max_pose_difference_s))
    missing = [image for i, (_, image) in enumerate(images) if i not in partner]
    if missing and (len(missing) == len(images) or not options.allow_fewer):
        raise UserError(
            f"{sequence}: {len(missing)} of {len(images)} images have no pose within "
            f"{options.max_pose_difference_s} s, the first is {missing[0].name}; pass --allow-fewer to leave them out"
        )
    chosen = []
    for i, (stamp, image) in enumerate(images):
        if i in partner:
            pose, k = poses[partner[i]], nearest_within(depth_stamps, stamp, options.max_depth_difference_s)
            depth_s, depth = (None, None) if k is None else depths[k]
            chosen.append(Chosen(image, stamp, pose.stamp_s, " ".join(pose.words), depth, depth_s))
    return chosen


def pairing_report(images: list[Stamped], poses: list[IndexRow], options: BonnOptions) -> str:
    """How far apart the two protocols are on these images: time of the rows, and distance of the poses they give."""
    rows = poses[options.first : options.first + len(images)]
    if not rows:
        return f"groundtruth.txt has no row {options.first}, so nothing can be paired by position"
    ordered = sorted(poses, key=lambda pose: pose.stamp_s)
    stamps = [pose.stamp_s for pose in ordered]
    own = [nearest_within(stamps, stamp, float("inf")) for stamp, _ in images[: len(rows)]]
    late = np.array([row.stamp_s - stamp for row, (stamp, _) in zip(rows, images, strict=False)])
    apart_m = np.array(
        [np.linalg.norm(_position(row) - _position(ordered[k or 0])) for row, k in zip(rows, own, strict=True)]
    )
    return (
        f"rows {options.first} to {options.first + len(late) - 1} of groundtruth.txt lie {np.median(late):+.3f} s "
        f"(median; {np.abs(late).max():.3f} s at most) from their images; pairing by row instead of time stamp moves "
        f"poses by {np.median(apart_m):.4f} m (median; {apart_m.max():.4f} m at most)"
    )


def _position(entry: IndexRow) -> NDArray[np.float64]:
    return np.array([float(word) for word in entry.words[:3]])


def _table(chosen: Sequence[Chosen]) -> bytes:
    """Rows as numpy's text writer makes them, which the public script uses."""
    rows = np.array([[one.pose_s, *(float(word) for word in one.pose.split()[:7])] for one in chosen])
    stream = io.BytesIO()
    np.savetxt(stream, rows)
    return stream.getvalue()


def plan_sequence(sequence: Path, out: Path, options: BonnOptions | None = None) -> Plan:
    """Everything that preparing `sequence` will write into `out`; reads and checks all inputs, writes nothing.

    Raises:  UserError with file and line for whatever is wrong with the download.
    """
    options = options or BonnOptions()
    if options.protocol not in ("public", "time"):
        raise UserError(f"protocol {options.protocol!r} is not known; choose public or time")
    found = stamped_images(sequence / "rgb")
    images = found[_cut(str(sequence / "rgb"), len(found), options)]
    path = sequence / "groundtruth.txt"
    by_rank = options.protocol == "public"
    poses = read_entries(path, 7) if by_rank and options.tolerant else read_index(path, 7, options.tolerant)
    chosen = (_by_position if by_rank else _by_time)(sequence, images, poses, options)
    for one in chosen:
        size = check_colour(one.image, str(sequence))
        if one.depth is not None:
            check_depth(one.depth, str(sequence), size)
    notes = [pairing_report(images, poses, options)]
    if missing := sum(one.depth is None for one in chosen):
        notes.append(f"{missing} of {len(chosen)} frames have no depth map within {options.max_depth_difference_s} s")
    target = Target("bonn", sequence.resolve().name, out, options.frames)
    return plan_of(target, chosen, _table(chosen), asdict(options), notes)


def sequences(source: Path) -> Iterator[Path]:
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
