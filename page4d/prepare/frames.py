"""From chosen frames to the plan of a benchmark folder: `rgb_<n>`, `depth_<n>`, `groundtruth_<n>.txt`, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page4d.data.manifest import FrameRow, Manifest
from page4d.prepare.plans import Plan, Source


@dataclass(frozen=True)
class Chosen:
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


def plan_of(
    target: Target, chosen: Sequence[Chosen], ground_truth: bytes, options: Mapping[str, Any], notes: Sequence[str] = ()
) -> Plan:
    """The files of a benchmark folder; the text of the ground truth file is given, because scripts differ in it."""
    files: dict[str, Source] = {}
    rows = []
    for one in chosen:
        image, depth = f"rgb_{target.count}/{one.image.name}", None
        files[image] = one.image
        if one.depth is not None:
            depth = f"depth_{target.count}/{one.depth.name}"
            files[depth] = one.depth
        rows.append(FrameRow(image, one.image_s, one.pose_s, one.pose, depth, one.depth_s))
    files[f"groundtruth_{target.count}.txt"] = ground_truth
    manifest = Manifest(target.kind, target.sequence, tuple(rows), dict(options))
    return Plan(target.folder, f"manifest_{target.count}.json", manifest, files, tuple(notes))
