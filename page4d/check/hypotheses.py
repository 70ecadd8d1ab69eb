"""The usual mistakes in datasets: what each is called, and how it is undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from page4d.geometry import invert, matrix_to_quaternion, quaternion_to_matrix
from page4d.schema import Clip

AXES = "xyz"
MOST_FRAMES = 5
Part = Literal["depth", "poses"]


def _rounded(factor: float) -> str:
    """Two digits, written out: 960 for 958, 7.5 for 7.46."""
    return f"{float(f'{factor:.2g}'):g}"


@dataclass(frozen=True)
class Hypothesis:
    """What may have happened to the data; the default is nothing.

    Note:    inverted: world from camera was given for camera from world; flipped: camera axes that point the other
             way; real_part: quaternions have their real part qw at this end and were read as if it stood at the
             other, of the camera in the world or, with `of_world`, of the world in the camera; depth_scale: how many
             times too large depth is, measured by the poses; depth_shift and pose_shift: how many frames early the
             depth maps or poses are (what belongs to frame i + shift stands at i).
    """

    inverted: bool = False
    flipped: tuple[int, ...] = ()
    real_part: Literal["", "first", "last"] = ""
    of_world: bool = False
    depth_scale: float = 1.0
    depth_shift: int = 0
    pose_shift: int = 0

    def __str__(self) -> str:
        words = [*self._about_poses(), *self._about_depth()]
        words += _late("depth maps stand", self.depth_shift) + _late("poses stand", self.pose_shift)
        return " and ".join(words) or "nothing is wrong"

    def _about_poses(self) -> list[str]:
        words = []
        if self.inverted:
            words.append("the poses are inverted (world from camera instead of camera from world)")
        if self.flipped:
            names = ", ".join(AXES[axis] for axis in self.flipped)
            usual = " (OpenGL axes instead of OpenCV)" if self.flipped == (1, 2) else ""
            words.append(f"the camera axes {names} are flipped{usual}")
        if self.real_part:
            other = "last" if self.real_part == "first" else "first"
            words.append(f"quaternions hold qw {self.real_part} and were read as if it stood {other}")
        return words

    def _about_depth(self) -> list[str]:
        if self.depth_scale == 1:
            return []
        too_large = self.depth_scale > 1
        factor = self.depth_scale if too_large else 1 / self.depth_scale
        return [f"depth is about {_rounded(factor)} times too {'large' if too_large else 'small'} for the poses"]

    @property
    def shift(self) -> int:
        """Frames by which depth maps or poses are early, whichever it is."""
        return self.depth_shift or self.pose_shift

    def undo_poses(self, cam_from_world: Tensor) -> Tensor:
        """Poses (S, 3, 4) as they would be without the mistake."""
        poses = invert(cam_from_world) if self.inverted else cam_from_world
        if self.real_part:
            poses = reorder(poses, self.real_part) if self.of_world else invert(reorder(invert(poses), self.real_part))
        sign = poses.new_tensor([-1.0 if axis in self.flipped else 1.0 for axis in range(3)])
        return sign[:, None] * poses

    def undo_shift(self, clip: Clip, steps: int) -> tuple[Clip, Clip]:
        """The clip with depth maps or poses `steps` frames of the clip later, and the same frames as they are.

        Note:    frames at an end, which have no partner then, are in neither.
        """
        kept = range(max(0, steps), len(clip) + min(0, steps))
        source = range(max(0, -steps), len(clip) + min(0, -steps))
        as_is = _frames(clip, kept, kept, kept)
        return _frames(clip, kept, source if self.depth_shift else kept, source if self.pose_shift else kept), as_is


def _late(what: str, shift: int) -> list[str]:
    if shift == 0:
        return []
    far = abs(shift)
    return [f"{what} {far} frame{'s' if far > 1 else ''} {'early' if shift > 0 else 'late'}"]


def reorder(poses: Tensor, real_part: Literal["first", "last"]) -> Tensor:
    """Poses (*, 3, 4) whose rotations' quaternions are read anew, with qw at the end where the file has it.

    Note:    a file's a b c d was taken for x y z w (w x y z); it was w x y z (x y z w).
    """
    stored = matrix_to_quaternion(poses[..., :3, :3])
    meant = stored.roll(-1 if real_part == "first" else 1, -1)
    return torch.cat((quaternion_to_matrix(meant), poses[..., :3, 3:]), -1)


def _frames(clip: Clip, kept: range, depth: range, poses: range) -> Clip:
    """The frames `kept`, with the depth maps and poses of others."""
    here = slice(kept.start, kept.stop)
    bare = replace(clip, flow=None, tracks=None, tracks_visible=None)
    whole = bare.map_tensors(lambda t: t[here])
    shifted_depth, shifted_poses = clip.depth[depth.start : depth.stop], clip.cam_from_world[poses.start : poses.stop]
    return replace(whole, depth=shifted_depth, cam_from_world=shifted_poses)


NOTHING = Hypothesis()
# The usual one, OpenGL's, first: of mistakes that explain as much the first is named.
FLIPS: list[tuple[int, ...]] = [(1, 2), (0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)]
ORDERS = [
    Hypothesis(real_part="first"),
    Hypothesis(real_part="last"),
    Hypothesis(real_part="first", of_world=True),
    Hypothesis(real_part="last", of_world=True),
]
FLIPPED = [Hypothesis(flipped=axes) for axes in FLIPS]
INVERTED = [Hypothesis(inverted=True), *(replace(one, inverted=True) for one in FLIPPED)]
POSE_MISTAKES = [INVERTED[0], *FLIPPED, *INVERTED[1:], *ORDERS]
SCALE_MISTAKES = [Hypothesis(depth_scale=2.0 ** (k / 2)) for k in range(-22, 23) if k]
SHIFTS = sorted((k for k in range(-MOST_FRAMES, MOST_FRAMES + 1) if k), key=abs)
DEPTH_SHIFTS = [Hypothesis(depth_shift=k) for k in SHIFTS]
POSE_SHIFTS = [Hypothesis(pose_shift=k) for k in SHIFTS]


def steps_of(clips: Sequence[Clip]) -> list[int]:
    """How many of the dataset's frames lie between neighbours of each clip, 0 where they are not evenly spaced.

    Note:    the dataset's own step is the smallest that any of the clips has.
    """
    gaps = [clip.frame_numbers.diff() for clip in clips]
    own = min((int(gap.min()) for gap in gaps if len(gap) and gap.min() > 0), default=1)
    steps = []
    for gap in gaps:
        even = len(gap) > 0 and bool((gap == gap[0]).all()) and int(gap[0]) > 0
        steps.append(int(gap[0]) // own if even and int(gap[0]) % own == 0 else 0)
    return steps
