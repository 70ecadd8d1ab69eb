"""A Prediction in another world: turned, moved and scaled as a whole, or levelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import Similarity
from page4d.moves import Move
from page4d.schema import Prediction, UserError

# Shorter than this, the mean of the cameras' upward directions says nothing.
LEAST_UP_AGREEMENT = 0.5


def moved(part: Prediction, to_other: Similarity) -> Prediction:
    """A prediction in another world: lengths times the scale, cameras, depth and points by one similarity."""
    return move_of(to_other)(part)


def move_of(similarity: Similarity) -> Move:
    """A similarity as Predictions and their files take it."""
    rotation, translation = (values.double().numpy() for values in similarity[1:])
    return Move(float(similarity.scale), rotation, translation)


def levelled(prediction: Prediction) -> Prediction:
    """The prediction turned so that what its cameras call up is up: -y, for the axes stay OpenCV's.

    Note:    up is the mean over all cameras, so pictures are taken to be held upright on the whole; the smallest turn
             that does it is made, about the world's origin.
    Raises:  UserError if the cameras do not agree what is up, as when they look straight down or roll.
    """
    upwards = -prediction.cam_from_world[:, 1, :3].astype(np.float64)
    mean = upwards.mean(0)
    length = float(np.linalg.norm(mean))
    if length < LEAST_UP_AGREEMENT:
        raise UserError(
            f"the cameras do not agree what is up (agreement {length:.2f}, expected {LEAST_UP_AGREEMENT} or more); "
            "leave the world as it is"
        )
    rotation = _smallest_turn(mean / length, np.array([0.0, -1.0, 0.0]))
    similarity = Similarity(torch.ones((), dtype=torch.float64), torch.from_numpy(rotation), torch.zeros(3).double())
    return moved(prediction, similarity)


def _smallest_turn(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) by the smallest angle that takes one unit vector to another.

    Source:  Rodrigues' formula, with the half-angle identity (1 - cos) / sin^2 = 1 / (1 + cos).
    """
    axis, cosine = np.cross(source, target), float(source @ target)
    if cosine < -1 + 1e-12:  # upside down: any axis across will do
        across = np.eye(3)[np.abs(source).argmin()]
        across = across - (across @ source) * source
        across /= np.linalg.norm(across)
        return np.asarray(2 * np.outer(across, across) - np.eye(3))
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + cosine))


def without_far(prediction: Prediction, max_depth: float) -> Prediction:
    """The prediction without what lies farther than `max_depth`: depth 0, which means none.

    Units:   the prediction's own, metres where a scale was applied.
    Raises:  UserError for a number that is not positive, or if nothing would be left.
    """
    if not max_depth > 0:
        raise UserError(f"the largest depth is {max_depth:g}; expected a positive number")
    near = prediction.depth <= max_depth
    if not (near & (prediction.depth > 0)).any():
        known = prediction.depth[prediction.depth > 0]
        least = f"; the nearest is {known.min():g}" if len(known) else ""
        raise UserError(f"no pixel has a depth of at most {max_depth:g}{least}")
    return replace(prediction, depth=np.where(near, prediction.depth, np.float32(0)))
