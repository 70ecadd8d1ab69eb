"""What a camera would see of a body, before anything is rendered: blocks of a coarse raster, in plain numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from page4d.world.bodies import Body
from page4d.world.cameras import Camera
from page4d.world.config import WorldConfig

Mask = NDArray[np.bool_]

ROWS = 24
NEAREST_M = 0.2
# A block as large as an ellipse has sides shorter than its axes; measured, bodies cover a sixth more than that.
_SIDE = 1.08 * math.sqrt(math.pi) / 2


class Sights:
    """A coarse raster of the first, the middle and the last frame of a clip."""

    def __init__(self, camera: Camera, config: WorldConfig) -> None:
        # Bodies and cameras move smoothly: three frames tell the share of half of the clips within 20 %.
        last = len(camera.times) - 1
        chosen = sorted({0, len(camera.times) // 2, last})
        self.frames = chosen
        self.times: list[float] = camera.times[chosen].tolist()
        self._eyes = camera.positions[chosen].tolist()
        self._poses = camera.cam_from_world[chosen, :, :3].tolist()
        K = camera.K.tolist()
        per_x, per_y = ROWS / config.width, ROWS / config.height
        self._fx, self._cx = per_x * K[0][0], per_x * K[0][2]
        self._fy, self._cy = per_y * K[1][1], per_y * K[1][2]

    def blank(self) -> Mask:
        """Nothing seen: (frames, ROWS, ROWS)."""
        return np.zeros((len(self.times), ROWS, ROWS), dtype=bool)

    def of(self, body: Body) -> Mask:
        """Where a body is seen: (frames, ROWS, ROWS) bool, the body taken for an upright ellipsoid of its bulk."""
        seen = self.blank()
        start = body.path.start
        facing = math.atan2(float(start[0, 2]), float(start[2, 2]))
        middle = body.rise - body.tall / 2
        for frame, place in enumerate(body.path.at(self.times)):
            place[1] += middle
            turned = facing + body.path.yaw * self.times[frame]
            left, right, top, bottom = self._block(frame, place, body.bulk, turned)
            seen[frame, top:bottom, left:right] = True
        return seen

    def _block(
        self, frame: int, place: list[float], bulk: tuple[float, float, float], facing: float
    ) -> tuple[int, int, int, int]:
        """Left, right, top and bottom of a body on the raster, half open."""
        dx, dy, dz = (a - b for a, b in zip(place, self._eyes[frame], strict=True))
        right, down, ahead = self._poses[frame]
        z = ahead[0] * dx + ahead[1] * dy + ahead[2] * dz
        if z < NEAREST_M:
            # Beside or behind the camera.
            return 0, 0, 0, 0
        # How wide it looks depends on the side from which it is seen.
        across, high, deep = bulk
        turned = facing - math.atan2(dx, dz)
        wide = math.hypot(across * math.cos(turned), deep * math.sin(turned))
        x = right[0] * dx + right[1] * dy + right[2] * dz
        y = down[0] * dx + down[1] * dy + down[2] * dz
        u, v = self._fx * x / z + self._cx, self._fy * y / z + self._cy
        half_u, half_v = _SIDE * self._fx * wide / z, _SIDE * self._fy * high / z
        ends = (u - half_u, u + half_u, v - half_v, v + half_v)
        left, right, top, bottom = (min(max(round(end), 0), ROWS) for end in ends)
        return left, right, top, bottom
