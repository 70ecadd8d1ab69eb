"""Real pictures with known geometry, small enough to be at hand: an honest check of networks that saw no photograph.

`stereo_pair` is "Motorcycle" of the Middlebury 2014 stereo data (Scharstein et al., GCPR 2014) at a quarter of its
size, which scikit-image carries in its wheel. `rgbd_frames` reads a folder of colour pictures, depth maps and poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.data.datasets.formats import read_pgm16, read_png16, read_table
from page4d.evaluate.exact_scores import ExactAnswer, ExactTruth, answer_of, score
from page4d.evaluate.yardsticks import classical_pairs, guesses
from page4d.geometry import invert, quaternion_to_matrix
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import LoadedImages
from page4d.model import PAGE4D
from page4d.result.pixel_map import PixelMap
from page4d.schema import UserError

STEREO_FOCAL_PX = 994.978
STEREO_CENTRE_PX = (311.193, 254.877)
STEREO_CENTRES_APART_PX = 31.086
STEREO_BASELINE_M = 0.193001
"""Calibration of the pair, in pixels of the pictures as scikit-image carries them (its documentation)."""


ON_REAL = ("abs_rel", "relative_rotation", "direction", "auc_3", "auc_5", "auc_15", "auc_30")
"""What is scored on real pictures, in this order."""


@dataclass(frozen=True)
class RealClip:
    """Frames of a network's size with what is known of them.

    Shapes:  images (S, 3, H, W) in [0, 1]; K (S, 3, 3) in pixels of these images; depth (S, H, W), 0 where nothing was
             measured; cam_from_world (S, 3, 4).
    Units:   metres.
    """

    name: str
    images: Tensor
    K: Tensor
    depth: Tensor
    cam_from_world: Tensor

    @property
    def truth(self) -> ExactTruth:
        """What answers are compared with, as one clip."""
        return ExactTruth.of(self.depth[None], self.K[None], self.cam_from_world[None])


@dataclass(frozen=True)
class Original:
    """What is known of a clip at the pictures' own size.

    Shapes:  K (S, 3, 3), depth maps (h0, w0) or None, cam_from_world (S, 3, 4).
    """

    name: str
    pictures: Sequence[Path]
    K: NDArray[np.float64]
    depth: Sequence[NDArray[np.float64] | None]
    cam_from_world: Tensor

    def at(self, side: int, patch: int) -> RealClip:
        """Fitted to a network's side and patch; depth is taken from the nearest pixel, never mixed over edges."""
        frames = load_frames(list(self.pictures), FrameOptions("crop", side, patch))
        to_originals = PixelMap.of(frames)
        depth = [_seen(known, to_originals[i], frames) for i, known in enumerate(self.depth)]
        K = np.stack([to_originals[i].K_in_input(k) for i, k in enumerate(self.K)])
        maps = torch.from_numpy(np.stack(depth)).float()
        return RealClip(self.name, frames.images, torch.from_numpy(K).float(), maps, self.cam_from_world.float())


def stereo_files() -> list[Path]:
    """The files of the stereo pair, which scikit-image carries: left picture, right picture, disparity.

    Raises:  UserError as `stereo_pair`.
    """
    return [_scikit_image_data() / f"motorcycle_{part}" for part in ("left.png", "right.png", "disp.npz")]


def stereo_pair() -> Original:
    """The stereo pair with the depth of its left picture.

    Note:    the two cameras look the same way, 0.193 m apart: a still camera's rotation is already right, and the
             direction of motion is what a network can find.
    Raises:  UserError if scikit-image is not installed, or no longer carries the pictures.
    """
    *pictures, stored_disparity = stereo_files()
    with np.load(stored_disparity) as stored:
        disparity = stored["arr_0"].astype(np.float64)
    depth = STEREO_FOCAL_PX * STEREO_BASELINE_M / (disparity + STEREO_CENTRES_APART_PX)
    left = np.array([[STEREO_FOCAL_PX, 0, STEREO_CENTRE_PX[0]], [0, STEREO_FOCAL_PX, STEREO_CENTRE_PX[1]], [0, 0, 1]])
    right = left.copy()
    right[0, 2] += STEREO_CENTRES_APART_PX
    cameras = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    # The right camera stands to the right, so the world moves to the left in it.
    cameras[1, 0, 3] = -STEREO_BASELINE_M
    known = np.where(np.isfinite(depth), depth, 0.0)
    return Original("motorcycle", pictures, np.stack([left, right]), [known, None], cameras)


def rgbd_frames(folder: Path | str, focal_px: tuple[float, float], centre_px: tuple[float, float]) -> Original:
    """Frames of a folder with `color/`, `depth/` (16-bit, millimetres) and `pose.txt`, all in one order.

    Shapes:  pose.txt has a line per frame: tx ty tz qx qy qz qw, camera to world, metres.
    Raises:  UserError for a file that cannot be read, or if the three do not have the same number of frames.
    """
    folder = Path(folder)
    pictures, maps = sorted((folder / "color").glob("*")), sorted((folder / "depth").glob("*"))
    poses = read_table(folder / "pose.txt", 7)
    if not len(pictures) == len(maps) == len(poses):
        raise UserError(
            f"{folder}: {len(pictures)} pictures in color/, {len(maps)} maps in depth/, {len(poses)} lines of pose.txt "
            "with 7 numbers; expected as many of each"
        )
    fx, fy = focal_px
    cx, cy = centre_px
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    placed = torch.from_numpy(poses)
    rotation = quaternion_to_matrix(placed[:, 3:])
    cam_from_world = invert(torch.cat((rotation, placed[:, :3, None]), -1))
    depth = [_millimetres(path) / 1000 for path in maps]
    return Original(folder.name, pictures, np.repeat(K[None], len(poses), 0), depth, cam_from_world)


@torch.no_grad()
def real_rows(model: PAGE4D, original: Original) -> dict[str, dict[str, float]]:
    """Scores of a network and of answers that need none on one clip, by name.

    Note:    the usual depth of each row is that of the synthetic world.
    """
    side, patch = model.config.img_size, model.config.patch_size
    clip, twice = original.at(side, patch), original.at(2 * side, patch)
    truth = clip.truth
    output = model.eval()(clip.images[None])
    answers = {"network": answer_of(output, truth.image_hw), **guesses(truth)}
    answers["classical"] = classical_pairs(clip.images[None], clip.K[None])
    answers["classical_twice"] = classical_pairs(twice.images[None], twice.K[None])
    return {name: _row(answer, truth) for name, answer in answers.items()}


def _row(answer: ExactAnswer, truth: ExactTruth) -> dict[str, float]:
    row = score(answer, truth).rows()[0]
    return {name: row[name] for name in ON_REAL if np.isfinite(row[name])}


def _seen(known: NDArray[np.float64] | None, to_original: PixelMap, frames: LoadedImages) -> NDArray[np.float64]:
    height, width = frames.size_hw
    if known is None:
        return np.zeros((height, width))
    x, y = to_original.grid_in_original((height, width))
    columns = np.clip(np.rint(x).astype(int), 0, known.shape[1] - 1)
    rows = np.clip(np.rint(y).astype(int), 0, known.shape[0] - 1)
    return np.asarray(known[rows[:, None], columns[None]])


def _millimetres(path: Path) -> NDArray[np.float64]:
    values = read_pgm16(path) if path.suffix.lower() == ".pgm" else read_png16(path)
    return values.astype(np.float64)


def _scikit_image_data() -> Path:
    spec = find_spec("skimage")
    folder = Path(str(spec.origin)).parent / "data" if spec is not None else None
    if folder is None or not (folder / "motorcycle_disp.npz").is_file():
        raise UserError(
            "the stereo pair needs scikit-image with its pictures, which is not installed; "
            "install page4d[book], or scikit-image"
        )
    return folder
