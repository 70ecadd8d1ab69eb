"""7-Scenes and the scenes of Neural RGB-D, in the layouts that CUT3R's and Spann3R's scripts read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.formats import read_png16
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.sequence import Camera, EvalSequence
from page4d.io.names import by_number, frame_number, list_files
from page4d.io.text_rows import text_lines
from page4d.io.trajectories import read_matrix, read_matrix_blocks
from page4d.schema import UserError, notice

MM_PER_M, NO_MEASUREMENT, FARTHEST_M = 1000, 65535, 10.0
# Lenses as the public scripts have them, with the principal point as they have it.
SEVEN_SCENES_K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
NRGBD_K = np.array([[554.2562584220408, 0, 320], [0, 554.2562584220408, 240], [0, 0, 1]])
CV_FROM_GL = np.diag([1.0, -1, -1, 1])


def seven_scenes(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<scene>/TestSplit.txt`, `<scene>/seq-01/frame-000000.{color.png,depth.proj.png or depth.png,pose.txt}`.

    Note:    depth.proj.png is depth brought to the colour camera, which the public scripts make first; the released
             depth.png is a few centimetres off.
    """
    for split in sorted(root.glob("*/TestSplit.txt")):
        for line in " ".join(text_lines(split)).split():
            folder = split.parent / f"seq-{_number(line, split):02d}"
            if folder.is_dir():
                yield _seven_scenes_sequence(folder)
            else:
                notice(f"{folder} is not there, though {split.name} names it; the scene is scored without it")


def _number(line: str, place: Path) -> int:
    digits = re.findall(r"\d+", line)
    if len(digits) != 1:
        raise UserError(f"{place} says {line!r}; expected one sequence a line, such as sequence3")
    return int(digits[0])


def _seven_scenes_sequence(folder: Path) -> EvalSequence:
    images = _ending(folder, ".color.png")
    # The colour camera's own depth where somebody made it, as the public scripts do.
    depths = _ending(folder, ".depth.proj.png") or _ending(folder, ".depth.png")
    sequence = _measured(f"{folder.parent.name}_{folder.name}", images, depths)
    return replace(sequence, read_camera=_seven_scenes_camera)


def _ending(folder: Path, ending: str) -> dict[int, Path]:
    return by_number(path for path in list_files(folder, {".png"}, "frame-") if path.name.endswith(ending))


def _measured(name: str, images: Mapping[int, Path], depths: Mapping[int, Path]) -> EvalSequence:
    """A sequence of files by number whose depth is in millimetres."""
    return replace(EvalSequence.of_stamped(name, images, depths), read_depth=read_millimetres)


def _seven_scenes_camera(image: Path) -> Camera:
    return read_matrix(image.with_name(image.name.replace(".color.png", ".pose.txt"))), SEVEN_SCENES_K


def read_millimetres(path: Path) -> NDArray[np.float32]:
    """Metres of a 16-bit PNG; 0 where nothing was measured or it is farther than ten metres."""
    stored = read_png16(path)
    depth = stored.astype(np.float32) / MM_PER_M
    return np.where((stored == NO_MEASUREMENT) | (depth > FARTHEST_M), np.float32(0), depth)


def nrgbd(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<scene>/{images/img0.png,depth/depth0.png,poses.txt}`; frames whose pose is NaN are left out.

    Note:    the public scripts take the identity for such a pose.
    """
    for poses in sorted(root.glob("*/poses.txt")):
        cameras = read_matrix_blocks(poses) @ CV_FROM_GL
        images = by_number(list_files(poses.parent / "images", {".png"}, "img"))
        depths = by_number(list_files(poses.parent / "depth", {".png"}, "depth"))
        if images and max(images) >= len(cameras):
            raise UserError(f"{poses} holds {len(cameras)} poses, images go up to number {max(images)}; they differ")
        seen = {number: path for number, path in images.items() if np.isfinite(cameras[number]).all()}
        yield replace(_measured(poses.parent.name, seen, depths), read_camera=partial(_nrgbd_camera, cameras))


def _nrgbd_camera(cameras: NDArray[np.float64], image: Path) -> Camera:
    return cameras[frame_number(image)], NRGBD_K
