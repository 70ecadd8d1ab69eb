"""Collections of many short image sets: CO3D v2 and RealEstate10K, whose cameras are read and depth is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from page4d.data.datasets import ClipSelection
from page4d.data.datasets.co3d import CO3D, CO3DOptions
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.sequence import EvalSequence
from page4d.io.names import list_files
from page4d.io.suffixes import picture_suffixes
from page4d.io.trajectories import Trajectory, read_realestate, rigid_inverse
from page4d.schema import UserError, notice

CO3D_SUBSET = "fewview_dev"


def co3d(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """The test list of `set_lists_fewview_dev.json` of every category that is there.

    Note:    named `<category>_<sequence>`; in the average over categories every category counts the same.
    """
    selection = ClipSelection(split="test", min_frames=benchmark.min_frames)
    dataset = CO3D(root, selection, CO3DOptions(subset=CO3D_SUBSET))
    of_category = Counter(name.split("/")[0] for name in dataset.sequences)
    for name in dataset.sequences:
        sequence = EvalSequence.of_stamped(name.replace("/", "_"), dataset.image_files(name))
        weight = 1.0 / of_category[name.split("/")[0]]
        yield replace(sequence, read_trajectory=partial(_co3d_cameras, dataset, name), weight_in_category=weight)


def _co3d_cameras(dataset: CO3D, name: str) -> Trajectory:
    cameras = dataset.cameras(name)
    poses = rigid_inverse(np.stack(list(cameras.values())))
    return Trajectory(poses, np.array(list(cameras), np.float64))


def realestate10k(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`test/<clip>.txt` as released, and `frames/<clip>/<time stamp in microseconds>.{jpg,png}` made by the user."""
    clips = sorted((root / "test").glob("*.txt"))
    for cameras, images in with_pictures(clips, root, f"clips of {root / 'test'}"):
        stamps = tuple(_microseconds(path) for path in images)
        yield EvalSequence(cameras.stem, tuple(images), stamps, read_trajectory=partial(read_realestate, cameras))


def with_pictures(files: Sequence[Path], root: Path, called: str) -> Iterator[tuple[Path, list[Path]]]:
    """The files whose pictures the user put into `frames/<name>` of the root, and these; how many have none is told."""
    without = 0
    for file in files:
        images = list_files(root / "frames" / file.stem, picture_suffixes())
        if images:
            yield file, images
        else:
            without += 1
    if without:
        notice(f"{without} of {len(files)} {called} have no pictures in frames and are left out")


def _microseconds(image: Path) -> float:
    if not image.stem.isdigit():
        raise UserError(f"{image} is not named by its time stamp in microseconds, such as 52553000.jpg; rename it")
    return float(image.stem)
