"""Where bodies go: in the camera's view, inside the stage, off the camera's path and off each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from page4d.world.bodies import ZERO, Body, Part, Path, jelly, thing, walker, worm
from page4d.world.cameras import Camera
from page4d.world.config import WorldConfig
from page4d.world.draw import Array, Draw, turn
from page4d.world.solids import BOX, CAPSULE, CYLINDER, ELLIPSOID

TRIES = 40
CLEAR_M = 0.35
Y = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Stage:
    """The box (corners `low`, `high`, y down) in which bodies may be; the floor is y = 0."""

    low: Array
    high: Array
    outdoor: bool


class _Taken:
    """Space already in use: where every placed body's bounding sphere is at every frame."""

    def __init__(self, stage: Stage, camera: Camera) -> None:
        self._stage, self._camera = stage, camera
        self._low, self._high = stage.low[[0, 2]], stage.high[[0, 2]]
        self._paths = np.zeros((0, len(camera.times), 3))
        self._radii = np.zeros((0, 1))
        self.bodies: list[Body] = []

    def place(self, body: Body, slack: float) -> bool:
        """Add a body if it stays inside the stage, clear of the camera and, by `slack`, of the other bodies."""
        where = body.path.positions(self._camera.times)
        edge = 0.0 if self._stage.outdoor else 0.9 * body.radius
        flat = where[:, [0, 2]]
        if (flat < self._low + edge).any() or (flat > self._high - edge).any():
            return False
        gap = where - self._camera.positions
        if (np.einsum("si,si->s", gap, gap) < (body.radius + CLEAR_M) ** 2).any():
            return False
        if self.bodies:
            gaps = where - self._paths
            if (np.einsum("bsi,bsi->bs", gaps, gaps) < (slack * (self._radii + body.radius)) ** 2).any():
                return False
        self._paths = np.concatenate((self._paths, where[None]))
        self._radii = np.concatenate((self._radii, [[body.radius]]))
        self.bodies.append(body)
        return True


def _sight(camera: Camera, config: WorldConfig, u: float, v: float) -> tuple[Array, Array]:
    """Camera centre and world direction (z-depth 1) of image position (u, v), in shares of the size, mid-clip."""
    middle = len(camera.times) // 2
    K = camera.K
    ray = np.array([(u * config.width - K[0, 2]) / K[0, 0], (v * config.height - K[1, 2]) / K[1, 1], 1.0])
    return camera.positions[middle], ray @ camera.cam_from_world[middle, :, :3]


def _reach(stage: Stage, origin: Array, direction: Array) -> float:
    """z-depth at which a line of sight leaves the stage sideways."""
    ways = [
        ((stage.high if d > 0 else stage.low)[i] - origin[i]) / d
        for i, d in ((0, direction[0]), (2, direction[2]))
        if d
    ]
    return float(min(ways, default=1.0))


def _standing_half(part: Part) -> float:
    tall = {
        ELLIPSOID: part.half[1],
        BOX: part.half[1],
        CYLINDER: part.half[1],
        CAPSULE: part.half[1] * (1 + part.length),
    }
    return float(tall[part.kind])


def _clutter(draw: Draw, stage: Stage) -> tuple[Body, float]:
    """A static body and the height of its root above the floor."""
    if stage.outdoor and draw.chance(0.3):
        size = draw.uniform(1.0, 2.2)
        trunk = Part(CYLINDER, np.array([0.12, 0.5, 0.12]) * size, offset=np.array([0.0, 0.5, 0.0]) * size)
        crown = Part(
            ELLIPSOID, size * np.array([0.5, draw.uniform(0.5, 0.9), 0.5]), offset=np.array([0.0, -0.4, 0.0]) * size
        )
        return Body((trunk, crown), 1.1 * size), size
    radius = draw.uniform(0.3, 2.4) if stage.outdoor else draw.uniform(0.2, 0.75)
    body = thing(draw, radius, upright=True)
    return body, _standing_half(body.parts[0])


def _static_bodies(draw: Draw, config: WorldConfig, stage: Stage, camera: Camera, taken: _Taken) -> None:
    """Clutter that stands on the floor, some of it hung in the air in rooms."""
    for _ in range(draw.integer(*config.static_bodies)):
        for _ in range(TRIES):
            body, height = _clutter(draw, stage)
            origin, sight = _sight(camera, config, draw.uniform(-0.1, 1.1), 0.5)
            spot = origin + sight * draw.uniform(1.2, max(1.3, _reach(stage, origin, sight)))
            if not stage.outdoor and draw.chance(0.25):
                height = draw.uniform(body.radius, -stage.low[1] - body.radius)
            spot[1] = -height
            if taken.place(replace(body, path=replace(body.path, place=spot)), 0.7):
                break


_FILL = {"rigid": 0.55, "jelly": 0.4, "worm": 0.25, "walker": 0.2}


def _mover(draw: Draw, style: str, radius: float, speed: float) -> Body:
    if style == "rigid":
        return replace(thing(draw, radius, upright=False), moving=True)
    if style == "walker":
        return walker(draw, radius, speed)
    return (jelly if style == "jelly" else worm)(draw, radius)


def _path(draw: Draw, body: Body, style: str, spot: Array, speed: float) -> Path:
    """A straight line or a circle through `spot` at time 0, with spin for bodies without a heading."""
    heading = draw.uniform(0, 2 * math.pi)
    straight = draw.chance(0.6)
    if straight:
        path = Path(spot, velocity=speed * np.array([math.sin(heading), 0.0, math.cos(heading)]))
        spin = 0.0
    else:
        radius, way = draw.uniform(0.4, 1.4), draw.sign()
        spin = way * speed / radius
        phase = heading - way * math.pi / 2
        sway = radius * np.array([1.0, 0.0, 1.0])
        offset = radius * np.array([math.sin(phase), 0.0, math.cos(phase)])
        path = Path(
            spot - offset, sway=sway, sway_rate=np.full(3, spin), sway_phase=np.array([phase, 0.0, phase + math.pi / 2])
        )
    if style == "walker":
        return replace(path, start=turn(Y, heading), axis=Y, spin=spin)
    if style == "rigid":
        if draw.chance(0.5):
            lift = Path(
                ZERO, sway=np.array([0.0, draw.uniform(0.05, 0.2), 0.0]), sway_rate=np.full(3, draw.uniform(1, 4))
            )
            if straight:
                path = replace(path, sway=lift.sway, sway_rate=lift.sway_rate)
        return replace(path, start=body.path.start, axis=draw.direction(), spin=draw.sign() * draw.uniform(0.5, 3.0))
    return replace(path, start=turn(Y, draw.uniform(0, 2 * math.pi)), axis=Y, spin=draw.uniform(-1.0, 1.0))


def _sizes(draw: Draw, style: str, stage: Stage) -> float:
    if style == "walker":
        return draw.uniform(0.6, 0.95)
    return draw.uniform(0.25, 0.7) if stage.outdoor else draw.uniform(0.18, 0.5)


def _spot(
    draw: Draw, config: WorldConfig, stage: Stage, camera: Camera, style: str, radius: float, share: float
) -> tuple[Array, float]:
    """Where a body of this size fills `share` of the picture; the stage may ask for a smaller or bigger one."""
    pixels = share * config.height * config.width
    z = math.sqrt(camera.K[0, 0] * camera.K[1, 1] * _FILL[style] * math.pi / max(pixels, 1e-9)) * radius
    origin, sight = _sight(camera, config, draw.uniform(0.15, 0.85), draw.uniform(0.2, 0.8))
    # Nearer than about a metre it would meet the camera: a bigger body further away fills as much of the picture.
    change = max(1.0, draw.uniform(1.1, 1.7) / z) * min(1.0, draw.uniform(0.5, 0.85) * _reach(stage, origin, sight) / z)
    z, radius = z * change, radius * change
    spot = origin + z * sight
    spot[1] = -0.5 * 2 * radius if style == "walker" else min(max(spot[1], 0.8 * stage.low[1] + radius), -radius)
    return spot, radius


def _moving_bodies(draw: Draw, config: WorldConfig, stage: Stage, camera: Camera, taken: _Taken) -> None:
    """Bodies that move in view; together they aim at the drawn share of moving pixels."""
    count, total = draw.integer(*config.moving_bodies), draw.within(config.moving_share)
    if count == 0 or total == 0:
        return
    weights = (config.rigid_weight, config.deforming_weight / 2, config.deforming_weight / 2, config.walker_weight)
    for _ in range(count):
        style = draw.choice(("rigid", "jelly", "worm", "walker"), weights)
        size = _sizes(draw, style, stage)
        for attempt in range(TRIES):
            spot, radius = _spot(draw, config, stage, camera, style, size, total / count)
            speed = draw.within(config.body_speed)
            body = _mover(draw, style, radius, speed)
            body = replace(body, path=_path(draw, body, style, spot, speed))
            # A crowded room first takes smaller bodies, then closer ones.
            if taken.place(body, 0.75 if attempt < TRIES // 2 else 0.4):
                break
            size *= draw.uniform(0.85, 1.1)


def place_bodies(draw: Draw, config: WorldConfig, stage: Stage, camera: Camera) -> list[Body]:
    """The moving and the static bodies of a scene; moving ones choose their places first."""
    taken = _Taken(stage, camera)
    _moving_bodies(draw, config, stage, camera, taken)
    _static_bodies(draw, config, stage, camera, taken)
    return taken.bodies
