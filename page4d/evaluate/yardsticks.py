"""The best answers that need no network, on the same clips: what every score of a network stands beside."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.evaluate.exact_scores import ExactAnswer, ExactTruth
from page4d.evaluate.pose_auc import pair_numbers
from page4d.result.motion import measured_flow
from page4d.world import WORLD_VERSION, render_batch, split_config, split_seeds

Array = NDArray[np.floating[Any]]
PROFILE_SPLIT, PROFILE_CLIPS, PROFILE_HEIGHT = "dynamic-train", 128, 48
INLIER_PX = 0.12
"""How far an inlier may lie from its epipolar line. Of 0.06, 0.12, 0.25, 0.5 and 1 px the best at 112 and 224 px."""
MATCHES = 1000
FEWEST_MATCHES = 8


def constant_depth(truth: ExactTruth) -> ExactAnswer:
    """Depth 1 everywhere; the median scale makes it the best constant or close to it."""
    return ExactAnswer(depth=torch.ones_like(truth.depth))


def usual_rows(truth: ExactTruth, world: int = WORLD_VERSION) -> ExactAnswer:
    """Every image row at its usual depth in the training split: the ground is near below, the wall far above."""
    profile = row_profile(world).to(truth.depth)
    height = truth.image_hw[0]
    rows = torch.nn.functional.interpolate(profile[None, None], size=height, mode="linear", align_corners=False)
    return ExactAnswer(depth=rows[0, 0][:, None].expand_as(truth.depth))


@cache
def row_profile(world: int = WORLD_VERSION) -> Tensor:
    """Median over a training split of the depth of each row, in the clip's median depth: (PROFILE_HEIGHT,).

    Note:    the median beats the mean here: AbsRel 0.434 against 0.492 on 512 clips of `dynamic-test` (world 2, four
             frames of 112 px), where a constant has 0.482.
    """
    config = split_config(PROFILE_SPLIT, height=PROFILE_HEIGHT, width=PROFILE_HEIGHT, frames=2, version=world)
    known = []
    for start in range(0, PROFILE_CLIPS, 16):
        depth = render_batch(split_seeds(PROFILE_SPLIT, 16, start), config).depth
        depth = torch.where(depth > 0, depth, torch.nan)
        middle = depth.flatten(1).nanmedian(1).values
        known.append(depth / middle[:, None, None, None])
    by_row = torch.cat(known).permute(2, 0, 1, 3).flatten(1)
    return by_row.nanmedian(1).values


def standing_still(truth: ExactTruth) -> ExactAnswer:
    """A camera that never moves."""
    return ExactAnswer(cam_from_world=_cameras_at(torch.zeros_like(truth.cam_from_world[..., 3])))


def straight_line(truth: ExactTruth) -> ExactAnswer:
    """A camera that looks ahead and moves ahead, the same distance every frame."""
    steps = torch.arange(truth.cam_from_world.shape[1]).to(truth.cam_from_world)
    centres = torch.zeros_like(truth.cam_from_world[..., 3])
    centres[..., 2] = steps
    return ExactAnswer(cam_from_world=_cameras_at(centres))


def random_centres(truth: ExactTruth, seed: int = 0) -> ExactAnswer:
    """A camera that does not turn and is anywhere: normally distributed centres, from a seed."""
    shape = truth.cam_from_world[..., 3].shape
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return ExactAnswer(cam_from_world=_cameras_at(drawn.to(truth.cam_from_world)))


def _cameras_at(centres: Tensor) -> Tensor:
    """Cameras with the world's own axes at these places: (*, 3) -> (*, 3, 4)."""
    axes = torch.eye(3).to(centres).expand(*centres.shape, 3)
    return torch.cat((axes, -centres[..., None]), -1)


def classical_pairs(images: Tensor, K: Tensor) -> ExactAnswer:
    """Relative poses of all pairs of frames from optical flow and the essential matrix, with the true intrinsics.

    Shapes:  images (B, S, 3, H, W) in [0, 1], K (B, S, 3, 3).
    Note:    a pair without an answer (too few matches) is said to stand still.
    """
    gray = grey_pictures(images)
    cameras = K.double().cpu().numpy()
    pairs = pair_numbers(images.shape[1]).T.tolist()
    answers = []
    for frames, k in zip(gray, cameras, strict=True):
        answers.append([two_view_pose(frames[i], frames[j], k[i], k[j]) for i, j in pairs])
    return ExactAnswer(first_from_second=torch.from_numpy(np.array(answers)))


def grey_pictures(images: Tensor) -> NDArray[np.uint8]:
    """8-bit grey pictures (*, H, W) of images (*, 3, H, W) in [0, 1]; the weights are those of ITU-R BT.601."""
    weights = images.new_tensor([0.299, 0.587, 0.114])
    grey = (images * weights[:, None, None]).sum(-3)
    return (grey * 255).round().clamp(0, 255).byte().cpu().numpy()


def two_view_pose(
    first: NDArray[np.uint8], second: NDArray[np.uint8], K_first: Array, K_second: Array
) -> NDArray[np.float64]:
    """`first_from_second` (3, 4) of two grey pictures, its translation of length one; the identity if there is none.

    Source:  dense inverse search (Kroeger et al., 2016) to full size; the five-point method (Nister, 2004) in a RANSAC
             with local optimization (Chum et al., 2003), OpenCV's USAC_ACCURATE. It beats OpenCV's plain RANSAC, SIFT
             features and MAGSAC on the synthetic world at 112 px: median direction 2.7 degrees, against 4.4 for RANSAC
             (of the same flow), 7.4 for MAGSAC and 10 for RANSAC on SIFT.
    """
    nothing = np.eye(3, 4)
    flow, reliable = measured_flow(first, second, finest_scale=0)
    y, x = np.nonzero(reliable.numpy())
    chosen = np.linspace(0, len(x) - 1, min(MATCHES, len(x))).astype(int)
    if len(chosen) < FEWEST_MATCHES:
        return nothing
    here = np.stack((x, y), 1)[chosen].astype(np.float64)
    there = here + flow.numpy()[y[chosen], x[chosen]]
    rays, other_rays = _on_unit_plane(here, K_first), _on_unit_plane(there, K_second)
    focal = 0.5 * (K_first[0, 0] + K_first[1, 1])
    essential, inliers = cv2.findEssentialMat(
        rays, other_rays, np.eye(3), method=cv2.USAC_ACCURATE, prob=0.999, threshold=INLIER_PX / focal
    )
    if essential is None or essential.shape != (3, 3):
        return nothing
    _, turn, shift, _ = cv2.recoverPose(essential, rays, other_rays, np.eye(3), mask=inliers.copy())
    # OpenCV maps the first camera's points to the second's; we ask where the second camera stands in the first.
    return np.concatenate((turn.T, -turn.T @ shift), 1)


def _on_unit_plane(pixels: Array, K: Array) -> NDArray[np.float64]:
    homogeneous = np.concatenate((pixels, np.ones((len(pixels), 1))), 1)
    return np.ascontiguousarray((homogeneous @ np.linalg.inv(K).T)[:, :2])


class Guess(NamedTuple):
    """A yardstick that does not look at the pictures: its title, what it speaks of, and the answer itself.

    Note:    `answer(truth, world)` reads no more of the truth than its shape; `world` is the version of the synthetic
             world whose training split says what is usual.
    """

    title: str
    about: Literal["depth", "cameras"]
    answer: Callable[[ExactTruth, int], ExactAnswer]


GUESSES: dict[str, Guess] = {}
"""Every yardstick that does not look at the pictures; a new one is a function above and a row here."""

GUESSES["constant"] = Guess("one constant depth", "depth", lambda truth, _: constant_depth(truth))
GUESSES["rows"] = Guess("usual depth of each row", "depth", usual_rows)
GUESSES["still"] = Guess("still camera", "cameras", lambda truth, _: standing_still(truth))
GUESSES["line"] = Guess("straight line", "cameras", lambda truth, _: straight_line(truth))
GUESSES["random"] = Guess("random centres", "cameras", lambda truth, _: random_centres(truth))


class Marking(NamedTuple):
    """A moving mask without a network: its title, and its value of each pixel, high where it says that something moves.

    Note:    `marks(images, world)` maps pictures (*, 3, H, W) to (*, H, W) and sees one frame at a time at most, so it
             knows nothing of motion: how well it does is how far looks and places alone tell what moves.
    """

    title: str
    marks: Callable[[Tensor, int], Tensor]


def darkness(images: Tensor) -> Tensor:
    """What is dark moves: minus the mean of each pixel's colours, (*, 3, H, W) -> (*, H, W)."""
    return -images.mean(-3)


def usual_places(images: Tensor, world: int = WORLD_VERSION) -> Tensor:
    """What stands where things usually move, moves: (*, 3, H, W) -> (*, H, W), the same for all pictures of a size."""
    size = images.shape[-2:]
    places = torch.nn.functional.interpolate(
        moving_places(world)[None, None], size=size, mode="bilinear", align_corners=False
    )
    return places[0, 0].to(images).expand(*images.shape[:-3], *size)


@cache
def moving_places(world: int = WORLD_VERSION) -> Tensor:
    """In which share of a training split's frames each pixel moves: (PROFILE_HEIGHT, PROFILE_HEIGHT)."""
    config = split_config(PROFILE_SPLIT, height=PROFILE_HEIGHT, width=PROFILE_HEIGHT, frames=2, version=world)
    seeds = (split_seeds(PROFILE_SPLIT, 16, start) for start in range(0, PROFILE_CLIPS, 16))
    moving = torch.cat([render_batch(some, config).moving for some in seeds])
    return moving.float().mean((0, 1))


MARKINGS = {
    "dark": Marking("darkness", lambda images, _: darkness(images)),
    "places": Marking("usual place of what moves", usual_places),
}
"""Every moving mask that needs no network; a new one is a function above and a row here."""

_OF_PICTURES = {"classical": "classical two-view", "classical_twice": "classical at twice the size"}
_OF_PICTURES |= {name: marking.title for name, marking in MARKINGS.items()}
YARDSTICK_TITLES = {name: guess.title for name, guess in GUESSES.items()} | _OF_PICTURES
"""What every yardstick is called, those of the pictures included."""


def guesses(truth: ExactTruth, world: int = WORLD_VERSION) -> dict[str, ExactAnswer]:
    """The answers of all `GUESSES`."""
    return {name: guess.answer(truth, world) for name, guess in GUESSES.items()}
