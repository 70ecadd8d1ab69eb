"""One sequence of a benchmark: which images it has, what truth belongs to them, and how the two pair up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.data.association import associate
from page4d.evaluate.protocol import STANDARD, Protocol
from page4d.evaluate.track_truth import TrackTruth
from page4d.io.arrays import read_npy
from page4d.io.trajectories import Trajectory
from page4d.schema import UserError

DepthMap = NDArray[np.float32] | NDArray[np.float64]
Stamped = Mapping[int, Path] | Mapping[float, Path]
Camera = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class MotionTruth:
    """What truly moves in a picture.

    Shapes:  moving, known bool (H, W).
    Note:    `known` is where the truth says anything; elsewhere a pixel counts neither as moving nor as still.
    """

    moving: NDArray[np.bool_]
    known: NDArray[np.bool_]


def read_array(path: Path) -> DepthMap:
    """A .npy depth map in the float type that it is stored in."""
    stored = read_npy(path)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {stored.dtype} of shape {stored.shape}; expected numbers (H, W)")
    return stored if stored.dtype == np.float64 else stored.astype(np.float32)


@dataclass(frozen=True)
class EvalSequence:
    """One sequence: files only, nothing read yet.

    Units:   image_stamps and depth_stamps are frame numbers, or seconds where names are time stamps, one for each file;
             tolerance_s is how far apart stamps of one frame may be, 0 = they are equal.
    Note:    weight_in_category is one over the number of sequences of its category, where there are categories.
             gaps_known: a manifest says which frames have no truth, so a missing one is no mistake. read_depth keeps
             the number type of the released readers, which moves their ten rounds of reweighting. In read_trajectory a
             pose that is not finite says that its frame has none. Of one image, read_camera gives world_from_camera
             (4, 4) and K (3, 3) at the image's own size, read_motion what moves, None where nobody knows. read_tracks
             takes frame numbers and gives points that are picked in the first of them.
    """

    name: str
    images: tuple[Path, ...]
    image_stamps: tuple[float, ...]
    depths: tuple[Path, ...] = ()
    depth_stamps: tuple[float, ...] = ()
    read_depth: Callable[[Path], DepthMap] = read_array
    read_trajectory: Callable[[], Trajectory] | None = None
    read_camera: Callable[[Path], Camera] | None = None
    read_motion: Callable[[Path], MotionTruth | None] | None = None
    read_tracks: Callable[[Sequence[int]], TrackTruth] | None = None
    tolerance_s: float = 0.0
    gaps_known: bool = False
    weight_in_category: float = 1.0

    @classmethod
    def of_stamped(cls, name: str, images: Stamped, depths: Stamped | None = None) -> EvalSequence:
        """A sequence of files by their frame number or time stamp."""
        maps = depths or {}
        image_stamps, depth_stamps = tuple(map(float, images)), tuple(map(float, maps))
        return cls(name, tuple(images.values()), image_stamps, tuple(maps.values()), depth_stamps)

    def first(self, count: int | None) -> EvalSequence:
        """The first `count` images; the truth stays as it is."""
        return replace(self, images=self.images[:count], image_stamps=self.image_stamps[:count])


def pair_frames(sequence: EvalSequence, truth: Sequence[float], protocol: Protocol, what: str) -> list[tuple[int, int]]:
    """Which image goes with which truth: index pairs in order of the images.

    Raises:  UserError under `unequal_lengths=error` if an image has no partner, or pairing by position does not end.
    """
    strict = protocol.unequal_lengths == "error" and not sequence.gaps_known
    stamps = sequence.image_stamps
    if protocol.pairing == "position":
        if strict and len(stamps) != len(truth):
            raise UserError(f"{sequence.name}: {len(stamps)} images but {len(truth)} of {what}; expected equally many")
        return [(i, i) for i in range(min(len(stamps), len(truth)))]
    pairs = _by_stamp(stamps, truth, sequence.tolerance_s)
    if strict and len(pairs) != len(stamps):
        alone = sorted(set(range(len(stamps))) - {i for i, _ in pairs})
        names = ", ".join(sequence.images[i].name for i in alone[:3])
        raise UserError(
            f"{sequence.name}: {len(alone)} of {len(stamps)} images have no {what} of their name ({names}); complete "
            "the folder, or take those images out of it; options.unequal_lengths=ignore leaves them out, except for "
            "camera pairs"
        )
    return pairs


def _by_stamp(stamps: Sequence[float], truth: Sequence[float], tolerance_s: float) -> list[tuple[int, int]]:
    if tolerance_s > 0:
        return associate(stamps, truth, tolerance_s)
    where = {stamp: j for j, stamp in enumerate(truth)}
    return [(i, where[stamp]) for i, stamp in enumerate(stamps) if stamp in where]


def true_cameras(sequence: EvalSequence) -> tuple[list[int], Trajectory]:
    """The images of a sequence that have a true pose, by number, and the pose of each.

    Note:    files of poses may hold more than those: of frames that were not drawn, and rows that are not finite.
    Raises:  UserError if the sequence has no poses, or none for an image that should have one.
    """
    if sequence.read_trajectory is None:
        raise UserError(f"{sequence.name} has no ground-truth cameras; this benchmark cannot score poses")
    stored = sequence.read_trajectory()
    # Only the released pose scripts pair by position, and a set of images has no order.
    pairs = pair_frames(sequence, stored.stamps.tolist(), STANDARD, "pose")
    frames, rows = [], []
    for i, j in pairs:
        if stored.known[j]:
            frames.append(i)
            rows.append(j)
    return frames, stored.select(rows)
