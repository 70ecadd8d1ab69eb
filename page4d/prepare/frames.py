"""From chosen frames to the plan of a benchmark folder: `rgb_<n>`, `depth_<n>`, `groundtruth_<n>.txt`, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page4d.data.association import IndexRow
from page4d.data.manifest import FrameRow, Manifest
from page4d.io.names import checked_name
from page4d.io.trajectories import poses_from_rows
from page4d.prepare.plans import Content, Plan


@dataclass(frozen=True)
class ChosenFrame:
    """One frame of the benchmark: source files, stamps in seconds, and the pose as the text of its file."""

    image: Path
    image_s: float
    pose_s: float
    pose: str
    depth: Path | None = None
    depth_s: float | None = None


@dataclass(frozen=True)
class Target:
    """What is prepared and where: kind of dataset, name of the sequence, folder, and the number in folder names."""

    kind: str
    sequence: str
    folder: Path
    count: int


def pose_text(row: IndexRow) -> str:
    """The pose of a row tx ty tz qx qy qz qw as it stands in its file, so that no digit is lost.

    Raises:  UserError with file and line for a word, NaN, infinity or a zero quaternion.
    """
    poses_from_rows(row.numbers(7)[None], row.place)
    return " ".join(row.words)


def plan_frames(
    target: Target,
    chosen: Sequence[ChosenFrame],
    ground_truth: bytes,
    options: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Plan:
    """The files of a benchmark folder; the text of the ground truth file is given, because scripts differ in it."""
    files: dict[str, Content] = {}
    rows = []
    for frame in chosen:
        image, depth = f"rgb_{target.count}/{checked_name(frame.image.name, str(frame.image))}", None
        files[image] = frame.image
        if frame.depth is not None:
            depth = f"depth_{target.count}/{checked_name(frame.depth.name, str(frame.depth))}"
            files[depth] = frame.depth
        rows.append(FrameRow(image, frame.image_s, frame.pose_s, frame.pose, depth, frame.depth_s))
    files[f"groundtruth_{target.count}.txt"] = ground_truth
    manifest = Manifest(target.kind, target.sequence, tuple(rows), dict(options))
    return Plan(target.folder, f"manifest_{target.count}.json", manifest, files, tuple(notes))
