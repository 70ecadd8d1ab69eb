"""Predictions made of the truth with errors of known size: a network that is exactly as good as one says.

With them a protocol can be studied alone: whatever two such "networks" differ by in a table, beyond what was planted,
the protocol has added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from page4d.data.datasets.formats import annotating
from page4d.evaluate.harness import Study
from page4d.evaluate.predictions import Origin, mask_of, prediction_of
from page4d.evaluate.protocol import STANDARD
from page4d.evaluate.sequence import EvalSequence, pair_frames
from page4d.schema import Prediction, UserError


@dataclass(frozen=True)
class Planted:
    """Sizes of the errors; all zero is a perfect network.

    Units:   depth_sigma is the standard deviation of the logarithm of depth, smooth over the image (4 x 4 knots);
             rotation_deg that of each frame's rotation about each axis; translation that of its position, in the unit
             of the truth; the mask of what moves is shifted to the right by mask_shift_px.
    Note:    the first frame is the world and stays exact.
    """

    depth_sigma: float = 0.0
    rotation_deg: float = 0.0
    translation: float = 0.0
    mask_shift_px: int = 0
    seed: int = 0


def plant(study: Study, label: str, errors: Planted) -> Path:
    """Write planted predictions where the study will look for those of `label`; returns the folder.

    Raises:  UserError for a benchmark whose layout has no camera and depth for every image.
    """
    benchmark = study.benchmark
    folder = study.predictions(label)
    digest = (
        f"{errors.depth_sigma:g}-{errors.rotation_deg:g}-{errors.translation:g}-{errors.mask_shift_px}-{errors.seed}"
    )
    Origin(benchmark.name, benchmark.version, label, "planted", "planted", digest, None).save(folder)
    # Where DyCheck's truth says "3 m or more", a depth of 3 m is right whether or not that is scored.
    clamped_too = replace(study, protocol=replace(study.protocol, clamped_depth="keep"))
    for number, sequence in enumerate(clamped_too.sequences()):
        rng = np.random.default_rng((errors.seed, number))
        with annotating(sequence.name):
            prediction = _plant_errors(sequence, errors, rng)
        prediction.meta.update(config_sha256="planted", weights_sha256=digest, label=label)
        prediction.save(folder / f"{sequence.name}.npz")
    return folder


def _plant_errors(sequence: EvalSequence, errors: Planted, rng: np.random.Generator) -> Prediction:
    if sequence.read_camera is None:
        raise UserError(
            f"{sequence.name}: errors are planted into cameras and depth; this layout has no cameras. Take one that "
            "has them: synthetic, sintel, dycheck, spring, kubric, dynamic_replica"
        )
    pairs = pair_frames(sequence, sequence.depth_stamps, STANDARD, "depth map")
    exact = np.stack([sequence.read_depth(sequence.depths[j]) for _, j in pairs])
    cameras = [sequence.read_camera(sequence.images[i]) for i, _ in pairs]
    s, height, width = exact.shape
    poses = np.linalg.inv(np.stack([pose for pose, _ in cameras]))
    poses = poses @ np.linalg.inv(poses[0])
    wrong_by = np.stack([_smooth(errors.depth_sigma, height, width, rng) for _ in range(s)])
    depth: NDArray[np.float32] = (exact * np.exp(wrong_by)).astype(np.float32)
    K = np.stack([intrinsics for _, intrinsics in cameras]).astype(np.float32)
    planted = prediction_of(sequence, depth, _disturb_poses(poses, errors, rng), K, (height, width))
    return replace(planted, mask=_mask(sequence, errors.mask_shift_px))


def _mask(sequence: EvalSequence, shift_px: int) -> NDArray[np.float32] | None:
    """The true mask, shifted; none where the truth says nothing of what moves."""
    if sequence.read_motion is None:
        return None
    truths = [sequence.read_motion(image) for image in sequence.images]
    known = [truth.moving for truth in truths if truth is not None]
    if len(known) < len(truths):
        return None
    return mask_of(np.roll(np.stack(known), shift_px, axis=-1))


def _smooth(sigma: float, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    knots = rng.normal(0, sigma, (4, 4)) if sigma else np.zeros((4, 4))
    return np.asarray(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC))


def _disturb_poses(poses: NDArray[np.float64], errors: Planted, rng: np.random.Generator) -> NDArray[np.float64]:
    """Each camera but the first turned and shifted in its own frame."""
    s = len(poses)
    change = np.tile(np.eye(4), (s, 1, 1))
    change[1:, :3, :3] = Rotation.from_rotvec(np.radians(rng.normal(0, errors.rotation_deg, (s - 1, 3)))).as_matrix()
    change[1:, :3, 3] = rng.normal(0, errors.translation, (s - 1, 3))
    return change @ poses
