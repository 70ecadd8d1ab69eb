"""How bodies travel: along a line, round a circle, to and fro; rolling without slipping, facing where they walk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from page4d.world.bodies import TAU, ZERO, Body, BodyPath, Y
from page4d.world.draw import Array, Draw, turn

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """One way of travelling, that any body may follow from any place.

    Units:   heading (rad, 0 is z) and speed (m/s) at time 0; reach is the radius of a circle, or half of a way to and
             fro, in metres; way is 1 or -1, the sense of the circle; phase (rad) is where on the way to and fro.
    """

    heading: float
    speed: float
    shape: str = "line"
    reach: float = 1.0
    way: float = 1.0
    phase: float = 0.0

    @property
    def ahead(self) -> Array:
        """The unit vector of the heading."""
        return np.array([math.sin(self.heading), 0.0, math.cos(self.heading)])

    @property
    def rate(self) -> float:
        """Radians a second, round the circle or to and fro."""
        return self.speed / self.reach


def draw_motion(draw: Draw, speed: float, shapes: tuple[float, float, float], reach: tuple[float, float]) -> Motion:
    """A motion of the given speed; `shapes` are the weights of line, circle and to and fro."""
    shape = draw.choice(("line", "circle", "shuttle"), shapes)
    heading, way = draw.uniform(0, TAU), draw.sign()
    # Phases about zero: most clips see a way to and fro in its middle, where it is fast.
    return Motion(heading, speed, shape, draw.uniform(*reach), way, draw.uniform(-0.9, 0.9))


def _base(motion: Motion, x: float, y: float, z: float) -> dict[str, Any]:
    """The fields of the path of a root that is at (x, y, z) at time 0."""
    sine, cosine = math.sin(motion.heading), math.cos(motion.heading)
    reach = motion.reach
    if motion.shape == "line":
        velocity = (motion.speed * sine, 0.0, motion.speed * cosine)
        return {"place": np.array((x, y, z)), "velocity": np.array(velocity)}
    if motion.shape == "shuttle":
        back = reach * math.sin(motion.phase)
        place = (x - back * sine, y, z - back * cosine)
        sway = (reach * sine, 0.0, reach * cosine)
        return _swaying(place, sway, motion.rate, (motion.phase, 0.0, motion.phase))
    # On a circle the heading is a quarter ahead of the radius.
    phase = motion.heading - motion.way * math.pi / 2
    turning = motion.way * motion.rate
    place = (x - reach * math.sin(phase), y, z - reach * math.cos(phase))
    fields = _swaying(place, (reach, 0.0, reach), turning, (phase, 0.0, phase + math.pi / 2))
    return fields | {"yaw": turning}


def _swaying(place: Triple, sway: Triple, rate: float, phase: Triple) -> dict[str, Any]:
    rates = np.array((rate, 0.0, rate))
    return {"place": np.array(place), "sway": np.array(sway), "sway_rate": rates, "sway_phase": np.array(phase)}


def _bobbing(fields: dict[str, Any], bob: Triple) -> None:
    """Give the way up and down to fields that sway only sideways, if at all."""
    for name, value in zip(("sway", "sway_rate", "sway_phase"), bob, strict=True):
        fields[name] = fields.get(name, ZERO).copy()
        fields[name][1] = value


def _rolling(fields: dict[str, Any], body: Body, motion: Motion) -> BodyPath:
    """The path of a body that rolls on the ground without slipping.

    Note:    its contact point stands still: the turn about `ahead x down` is the way travelled over the radius.
             On a circle that axis turns with the heading, which the path's yaw does.
    """
    sine, cosine = math.sin(motion.heading), math.cos(motion.heading)
    # Down is +y, so the axis of rolling is ahead x down.
    axis = np.array((-cosine, 0.0, sine))
    start = body.path.start
    if body.name != "ball":
        start = _axle(sine, cosine)
    # The angle is the way over the radius, whatever the way.
    if motion.shape == "shuttle":
        fields |= {"roll": motion.reach / body.rise, "roll_rate": motion.rate, "roll_phase": motion.phase}
        return BodyPath(**fields, axis=axis, start=start)
    return BodyPath(**fields, axis=axis, start=start, spin=motion.speed / body.rise)


def _axle(sine: float, cosine: float) -> Array:
    """The turn that lays the axis of a drum or wheel (its y) across a heading."""
    return np.array(((sine, -cosine, 0.0), (0.0, 0.0, -1.0), (cosine, sine, 0.0)))


def travel(draw: Draw, body: Body, motion: Motion, spot: Array, free: bool = True) -> BodyPath:
    """The path of a body that is at `spot` (its foot, or itself if it hangs) at time 0 and follows a motion.

    Note:    with `free`, what has no heading turns as it likes; else all that follow one motion turn alike.
    """
    x, y, z = spot.tolist()
    if body.gait == "hang":
        return _hanging(draw, body, motion, _base(motion, x, y, z), free)
    fields = _base(motion, x, y - body.rise, z)
    if body.gait == "roll":
        return _rolling(fields, body, motion)
    facing = motion.heading
    if body.gait == "slide" and free:
        facing = draw.uniform(0, TAU)
        fields["yaw"] = fields.get("yaw", 0.0) * draw.choice((0.0, 1.0))
    if body.bob[0]:
        _bobbing(fields, body.bob)
    return BodyPath(**fields, start=turn(Y, facing))


def _hanging(draw: Draw, body: Body, motion: Motion, fields: dict[str, Any], free: bool) -> BodyPath:
    start = body.path.start
    if not free:
        return BodyPath(**fields, start=start)
    # In the air nothing says how a body should turn: any axis, any rate.
    fields["yaw"] = 0.0
    if motion.shape == "line" and draw.chance(0.5):
        _bobbing(fields, (draw.uniform(0.05, 0.2), draw.uniform(1, 4), 0.0))
    return BodyPath(**fields, start=start, axis=draw.direction(), spin=draw.sign() * draw.uniform(0.5, 3.0))


def rest(draw: Draw, body: Body, foot: Array, facing: float) -> BodyPath:
    """The path of a body that stands with its foot at a place, turned by `facing` about the vertical."""
    place = np.array((foot[0], foot[1] - body.rise, foot[2]))
    if body.name == "ball":
        return BodyPath(place, start=draw.rotation())
    if body.gait == "roll":
        return BodyPath(place, start=_axle(math.sin(facing), math.cos(facing)))
    return BodyPath(place, start=turn(Y, facing))
