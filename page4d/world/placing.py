"""Room for bodies: inside the stage, off the camera's path and off each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from page4d.world.bodies import Body
from page4d.world.cameras import Camera
from page4d.world.config import WorldConfig
from page4d.world.draw import Array
from page4d.world.sights import Sights

CLEAR_M = 0.35
Spot = tuple[float, float, float, float]
Span = tuple[float, float]
# What stands on a table and the table may overlap this much in height.
TOUCH_M = 0.02


@dataclass(frozen=True)
class Stage:
    """The box (corners `low`, `high`, y down) in which bodies may be; the floor is y = 0."""

    low: Array
    high: Array
    outdoor: bool


@dataclass(frozen=True)
class Taken:
    """An upright cylinder of space: x, z, top and bottom (y down) at every frame, or one number for all.

    Note:    glance holds (x, z, top, bottom) of a few frames in plain numbers: it tells most conflicts at little cost.
    """

    x: Array | float
    z: Array | float
    top: Array | float
    bottom: Array | float
    radius: float
    glance: tuple[Spot, ...]

    def glances(self, spots: tuple[Spot, ...], reach: float) -> bool:
        """Whether the middle of one that passes through some spots comes within reach at one of the few frames."""
        for (x, z, top, bottom), (x2, z2, top2, bottom2) in zip(self.glance, spots, strict=True):
            if (x - x2) ** 2 + (z - z2) ** 2 >= reach * reach:
                continue
            if top < bottom2 - TOUCH_M and bottom > top2 + TOUCH_M:
                return True
        return False

    def meets(self, other: Taken, slack: float) -> bool:
        """Whether two cylinders, of which one moves, share space at some frame."""
        reach = slack * (self.radius + other.radius)
        apart = (self.x - other.x) ** 2 + (self.z - other.z) ** 2
        near = apart < reach * reach
        if not np.any(near):
            return False
        level = (self.top < other.bottom - TOUCH_M) & (self.bottom > other.top + TOUCH_M)
        return bool(np.any(near & level))


class Place:
    """A scene being furnished: the stage, the camera, and the space that is taken at every frame."""

    def __init__(self, config: WorldConfig, stage: Stage, camera: Camera) -> None:
        self.config, self.stage, self.camera = config, stage, camera
        self.sights = Sights(camera, config)
        self.moving = self.sights.blank()
        self.nearest = math.inf
        self.bodies: list[Body] = []
        x, y, z = camera.positions.T
        eyes = camera.positions[self.sights.frames].tolist()
        glance = tuple((px, pz, py - CLEAR_M, py + CLEAR_M) for px, py, pz in eyes)
        self._camera = Taken(x, z, y - CLEAR_M, y + CLEAR_M, CLEAR_M, glance)
        self._taken: list[Taken] = []
        middle = len(camera.times) // 2
        # How far the camera strays from where it is in the middle.
        self.stray = float(np.hypot(x - x[middle], z - z[middle]).max())
        self._eye = camera.positions[middle]
        self._rows = camera.cam_from_world[middle, :, :3].tolist()
        self._low, self._high = stage.low.tolist(), stage.high.tolist()
        # How far the camera sees to the end of the stage, straight ahead.
        self.depth = self.reach(*self.sight(0.5, 0.5))

    def emptied(self) -> Place:
        """The same stage and camera without a body."""
        return Place(self.config, self.stage, self.camera)

    @property
    def seconds(self) -> float:
        """How long the clip is."""
        return float(self.camera.times[-1] - self.camera.times[0])

    def share(self) -> float:
        """The share of the picture that moves, by the coarse raster."""
        return np.count_nonzero(self.moving) / self.moving.size

    def room(self, body: Body, slack: float) -> Taken | None:
        """The space of a body, if it is inside the stage, clear of the camera and, by `slack`, of the other bodies."""
        # Most conflicts show at a glance; only the rest is worth all frames.
        glance = self._glance(body)
        xs, zs, _, _ = zip(*glance, strict=True)
        if not self._inside(body, (min(xs), max(xs)), (min(zs), max(zs))):
            return None
        if self._camera.glances(glance, CLEAR_M + body.radius):
            return None
        if any(other.glances(glance, slack * (other.radius + body.radius)) for other in self._taken):
            return None
        return self._moving_room(body, glance, slack) if body.moving else self._still_room(body, glance, slack)

    def _still_room(self, body: Body, glance: tuple[Spot, ...], slack: float) -> Taken | None:
        """What a glance leaves to tell of a body that stands still: the camera and the moving bodies."""
        wanted = Taken(*glance[0], body.radius, glance)
        moving = (other for other in self._taken if not isinstance(other.x, float))
        if wanted.meets(self._camera, 1.0) or any(wanted.meets(other, slack) for other in moving):
            return None
        return wanted

    def _moving_room(self, body: Body, glance: tuple[Spot, ...], slack: float) -> Taken | None:
        """What a glance leaves to tell of a moving body: all frames."""
        x, y, z = body.path.positions(self.camera.times).T
        across, deep = (x.min(), x.max()), (z.min(), z.max())
        if not self._inside(body, across, deep):
            return None
        bottom = y + body.rise
        wanted = Taken(x, z, bottom - body.tall, bottom, body.radius, glance)
        if wanted.meets(self._camera, 1.0) or any(wanted.meets(other, slack) for other in self._taken):
            return None
        return wanted

    def _glance(self, body: Body) -> tuple[Spot, ...]:
        """Where a body is at the few frames."""
        path, up = body.path, body.rise - body.tall
        times = self.sights.times
        places = path.at(times) if body.moving else [path.place.tolist()] * len(times)
        return tuple((x, z, y + up, y + body.rise) for x, y, z in places)

    def _inside(self, body: Body, x: Span, z: Span) -> bool:
        """Whether a body between the ends of x and z keeps to the stage; a house may stand beyond it."""
        if body.name == "house":
            return True
        # Walls are solid; outdoors the stage ends in nothing that a body could run into.
        edge = 0.0 if self.stage.outdoor else min(0.9 * body.radius, 0.6)
        low, high = self._low, self._high
        if x[0] < low[0] + edge or x[1] > high[0] - edge:
            return False
        return bool(z[0] >= low[2] + edge and z[1] <= high[2] - edge)

    def add(self, body: Body, space: Taken) -> None:
        """Put a body where there is room for it."""
        self._taken.append(space)
        self.bodies.append(body.built())

    def sight(self, u: float, v: float) -> tuple[Array, Array]:
        """Camera centre and world direction (z-depth 1) of image position (u, v), in shares of the size, mid-clip."""
        K = self.camera.K
        x = (u * self.config.width - float(K[0, 2])) / float(K[0, 0])
        y = (v * self.config.height - float(K[1, 2])) / float(K[1, 1])
        right, down, ahead = self._rows
        toward = [x * a + y * b + c for a, b, c in zip(right, down, ahead, strict=True)]
        return self._eye, np.array(toward)

    def reach(self, origin: Array, direction: Array) -> float:
        """z-depth at which a line of sight leaves the stage sideways."""
        far = 20.0
        for axis in (0, 2):
            step, start = float(direction[axis]), float(origin[axis])
            if abs(step) > 1e-9:
                end = self._high[axis] if step > 0 else self._low[axis]
                far = min(far, (end - start) / step)
        return far
