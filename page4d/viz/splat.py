"""Coloured points drawn as discs, nearest on top, with a smooth edge against a transparent background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERSAMPLED = 2
MARGIN = 0.03
OUTLIERS = 0.2  # per cent of the points at each side that may fall out of the picture
NEAREST = 0.05  # points closer to the eye than this share of the unit are not drawn

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Eye:
    """Where the looker stands: behind (negative z), above (negative y) and beside the first camera.

    Units:  both in median depths of the scene. How much is seen follows from the points: they fill the picture.
    """

    position: tuple[float, float, float] = (-0.55, -0.75, -0.85)
    target: tuple[float, float, float] = (0.05, 0.05, 0.9)

    def axes(self) -> Floats:
        """The looker's right, down and forward as rows of a rotation, for a world whose y points down."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross((0.0, 1.0, 0.0), forward)
        right = right / np.linalg.norm(right)
        return np.stack((right, np.cross(forward, right), forward))


def splat(points: Floats, colours: Floats, size: tuple[int, int], eye: Eye, unit: float, radius_px: int = 1) -> Floats:
    """Draw points (N, 3) in colours (N, 3): RGBA (height, width, 4) in [0, 1].

    Units:   `unit` is what the eye's numbers count in; the radius is in pixels of the drawing, which is twice as large
             as the result.
    """
    width, height = (OVERSAMPLED * side for side in size)
    seen = (points - unit * np.array(eye.position)) @ eye.axes().T
    before = seen[:, 2] > NEAREST * unit
    seen, painted = seen[before], colours[before]
    place = _filling(seen[:, :2] / seen[:, 2:], (width, height))
    owner = _nearest_owner(place, seen[:, 2], (width, height), radius_px)
    drawn = owner >= 0
    canvas = np.zeros((height, width, 4))
    canvas[drawn, :3] = painted[owner[drawn]]
    canvas[drawn, 3] = 1
    return _averaged(canvas)


def _filling(directions: Floats, size: tuple[int, int]) -> NDArray[np.int64]:
    """Pixels of directions (N, 2), scaled and shifted so that all but a few outliers lie inside the picture."""
    low, high = np.percentile(directions, (OUTLIERS, 100 - OUTLIERS), axis=0)
    room = np.array(size) * (1 - 2 * MARGIN)
    focal = (room / np.maximum(high - low, 1e-9)).min()
    middle = (low + high) / 2
    pixels: Floats = focal * (directions - middle) + (np.array(size) - 1) / 2
    return pixels.round().astype(np.int64)


def _nearest_owner(place: NDArray[np.int64], z: Floats, size: tuple[int, int], radius: int) -> NDArray[np.int64]:
    """For every pixel the nearest of the points whose disc covers it, or -1."""
    width, height = size
    best = np.full(height * width, np.inf)
    owner = np.full(height * width, -1, np.int64)
    # Far points first: where an index stands twice in an assignment, the last one stays.
    order = np.argsort(-z)
    for dx, dy in _disc(radius):
        x, y = place[order, 0] + dx, place[order, 1] + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        point = order[inside]
        pixel = y[inside] * width + x[inside]
        here = np.full(height * width, -1, np.int64)
        here[pixel] = point
        nearer = (here >= 0) & (np.where(here >= 0, z[here], np.inf) < best)
        best[nearer] = z[here[nearer]]
        owner[nearer] = here[nearer]
    return owner.reshape(height, width)


def _disc(radius: int) -> list[tuple[int, int]]:
    side = range(-radius, radius + 1)
    square = [(dx, dy) for dx in side for dy in side]
    return [(dx, dy) for dx, dy in square if dx * dx + dy * dy <= radius * radius + 1]


def _averaged(canvas: Floats) -> Floats:
    """Mean of every OVERSAMPLED square of pixels; colours count as much as they cover."""
    height, width = (side // OVERSAMPLED for side in canvas.shape[:2])
    blocks = canvas.reshape(height, OVERSAMPLED, width, OVERSAMPLED, 4)
    cover = blocks[..., 3:]
    alpha = cover.mean((1, 3))
    colour = (blocks[..., :3] * cover).mean((1, 3)) / np.maximum(alpha, 1e-9)
    return np.concatenate((colour, alpha), -1)
