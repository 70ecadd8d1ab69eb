"""A Prediction taken into another world: by one scale, turn and shift, which a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from page4d.schema import Prediction


@dataclass(frozen=True)
class Move:
    """`x -> scale * R x + t` from the world of a Prediction to another.

    Shapes:  rotation (3, 3), translation (3,).
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def __call__(self, part: Prediction) -> Prediction:
        """Lengths times the scale, cameras, depth and points by one similarity.

        Note:    with x' = s R x + t a camera [Rc | tc] becomes [Rc R^T | s tc - Rc R^T t].
        """
        pose = part.cam_from_world.astype(np.float64)
        rotation = pose[:, :, :3] @ self.rotation.T
        translation = self.scale * pose[:, :, 3] - rotation @ self.translation
        cam_from_world = np.concatenate((rotation, translation[..., None]), -1).astype(np.float32)
        depth = np.asarray(part.depth * self.scale, np.float32)
        points = None if part.points is None else self._points(part.points)
        return replace(part, cam_from_world=cam_from_world, depth=depth, points=points)

    def _points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = points.reshape(-1, 3).astype(np.float64)
        turned = self.scale * flat @ self.rotation.T
        return (turned + self.translation).astype(np.float32).reshape(points.shape)

    def record(self) -> dict[str, Any]:
        """As JSON takes it, every digit kept."""
        rotation, translation = self.rotation.tolist(), self.translation.tolist()
        return {"scale": self.scale, "rotation": rotation, "translation": translation}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """What `record` gave.

        Raises:  ValueError if it is not that.
        """
        rotation, translation = (np.asarray(stored[name], np.float64) for name in ("rotation", "translation"))
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise ValueError(f"a rotation {rotation.shape} and translation {translation.shape}, expected (3, 3), (3,)")
        scale = float(stored["scale"])
        if not (np.isfinite([scale, *rotation.ravel(), *translation]).all() and scale > 0):
            raise ValueError("a move holds numbers that are not finite, or a scale that is not positive")
        return cls(scale, rotation, translation)
