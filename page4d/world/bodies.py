"""Bodies: one or more solids that hang together, and how they move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from page4d.world.draw import Array, Draw, rotate, turn
from page4d.world.solids import BOX, CAPSULE, CYLINDER, ELLIPSOID

ZERO = np.zeros(3)
UNIT = np.eye(3)
VERTICAL = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Joint:
    """A hinge at `pivot` (in the parent's coordinates): angle(t) = rest + swing sin(rate t + phase), in radians."""

    pivot: Array = field(default_factory=lambda: ZERO)
    axis: Array = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))
    rest: float = 0.0
    swing: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Part:
    """One solid of a body: shape, half sizes in metres, place behind up to two hinges, and stretching.

    Note:    half sizes are (1 + stretch sin(rate t + phase)) times `half`; shear leans x and z over y likewise.
    """

    kind: int
    half: Array
    length: float = 0.0
    offset: Array = field(default_factory=lambda: ZERO)
    turn: Array = field(default_factory=lambda: UNIT)
    joints: tuple[Joint, ...] = ()
    stretch: Array = field(default_factory=lambda: ZERO)
    stretch_phase: Array = field(default_factory=lambda: ZERO)
    shear: Array = field(default_factory=lambda: ZERO)


@dataclass(frozen=True)
class Path:
    """A body's root: place + velocity t + sway sin(sway_rate t + sway_phase), turned by R(axis, spin t) start."""

    place: Array
    velocity: Array = field(default_factory=lambda: ZERO)
    sway: Array = field(default_factory=lambda: ZERO)
    sway_rate: Array = field(default_factory=lambda: ZERO)
    sway_phase: Array = field(default_factory=lambda: ZERO)
    start: Array = field(default_factory=lambda: UNIT)
    axis: Array = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    spin: float = 0.0

    def positions(self, times: Array) -> Array:
        """Root positions (S, 3) at times (S,)."""
        t = times[:, None]
        return np.asarray(self.place + self.velocity * t + self.sway * np.sin(self.sway_rate * t + self.sway_phase))


@dataclass(frozen=True)
class Body:
    """Solids with one root path; `radius` bounds them about the root; `rate` is the angular rate of its cycles."""

    parts: tuple[Part, ...]
    radius: float
    moving: bool = False
    rate: float = 0.0
    path: Path = field(default_factory=lambda: Path(ZERO))


def _hinges(parts: Sequence[tuple[Part, Body]], times: Array, level: int) -> tuple[Array, Array]:
    """Turn (S, n, 3, 3) and pivot (n, 3) of hinge `level` of every part; parts without one do not turn."""
    joints = [p.joints[level] if level < len(p.joints) else Joint() for p, _ in parts]
    rate = np.array([b.rate for _, b in parts])
    rest, swing, phase = (np.array([getattr(j, name) for j in joints]) for name in ("rest", "swing", "phase"))
    angle = rest + swing * np.sin(rate * times[:, None] + phase)
    return rotate(np.stack([j.axis for j in joints]), angle), np.stack([j.pivot for j in joints])


def place_parts(parts: Sequence[tuple[Part, Body]], times: Array) -> Array:
    """Where every solid is: world_from_local (S, n, 3, 4) at times (S,)."""
    paths = [b.path for _, b in parts]
    spin, rate = np.array([p.spin for p in paths]), np.array([b.rate for _, b in parts])
    t = times[:, None]
    linear = rotate(np.stack([p.axis for p in paths]), spin * t) @ np.stack([p.start for p in paths])
    place, velocity, sway, sway_rate, sway_phase = (
        np.stack([getattr(p, name) for p in paths]) for name in ("place", "velocity", "sway", "sway_rate", "sway_phase")
    )
    origin = place + velocity * t[..., None] + sway * np.sin(sway_rate * t[..., None] + sway_phase)
    for level in range(2):
        hinge, pivot = _hinges(parts, times, level)
        origin = origin + (linear @ pivot[..., None])[..., 0]
        linear = linear @ hinge
    origin = origin + (linear @ np.stack([p.offset for p, _ in parts])[..., None])[..., 0]
    linear = linear @ np.stack([p.turn for p, _ in parts])
    half, stretch, phase, shear = (
        np.stack([getattr(p, name) for p, _ in parts]) for name in ("half", "stretch", "stretch_phase", "shear")
    )
    cycle = (rate * t)[..., None] + phase
    scale = half * (1 + stretch * np.sin(cycle))
    lean = np.broadcast_to(np.eye(3), (*linear.shape[:2], 3, 3)).copy()
    lean[..., 0, 1] = shear[:, 0] * np.sin(cycle[..., 0])
    lean[..., 2, 1] = shear[:, 2] * np.sin(cycle[..., 2])
    return np.concatenate((linear @ lean * scale[..., None, :], origin[..., None]), -1)


def solid(draw: Draw, radius: float) -> Part:
    """One simple solid that fits in a sphere of the given radius."""
    kind = draw.choice((ELLIPSOID, BOX, CYLINDER, CAPSULE), (1.0, 1.2, 0.6, 0.4))
    if kind == ELLIPSOID:
        half = np.full(3, radius) if draw.chance(0.4) else radius * draw.vector(0.5, 1.0)
        return Part(kind, half)
    if kind == BOX:
        half = draw.vector(0.4, 1.0)
        return Part(kind, half * radius / float(np.linalg.norm(half)))
    thick = draw.uniform(0.3, 0.7) * radius
    if kind == CYLINDER:
        return Part(kind, np.array([thick, math.sqrt(radius**2 - thick**2), thick]))
    return Part(kind, np.full(3, thick), length=(radius - thick) / thick)


def thing(draw: Draw, radius: float, upright: bool) -> Body:
    """A rigid body of one solid; `upright` ones only turn about the vertical."""
    part = solid(draw, radius)
    start = turn(VERTICAL, draw.uniform(0, 2 * math.pi)) if upright else draw.rotation()
    return Body((part,), radius, path=Path(ZERO, start=start))


def jelly(draw: Draw, radius: float) -> Body:
    """An ellipsoid that breathes and leans."""
    part = Part(
        ELLIPSOID,
        radius * draw.vector(0.55, 0.75),
        stretch=draw.vector(0.15, 0.35),
        stretch_phase=draw.vector(0, 2 * math.pi),
        shear=draw.vector(-0.4, 0.4),
    )
    return Body((part,), radius, moving=True, rate=draw.uniform(2.0, 6.0))


def worm(draw: Draw, radius: float) -> Body:
    """Three links on hinges that bend in a travelling wave."""
    rate, thick, link = draw.uniform(2.0, 5.0), radius * 0.26, radius * 0.3
    axis = np.array([0.0, 1.0, 0.0]) if draw.chance(0.5) else np.array([0.0, 0.0, 1.0])
    swing, phase = draw.uniform(0.4, 0.8), draw.uniform(0, 6.28)
    half = np.array([link * 1.25, thick, thick])
    front = Joint(np.array([link, 0.0, 0.0]), axis, 0.0, swing, phase)
    back = Joint(np.array([-link, 0.0, 0.0]), axis, 0.0, swing, phase + 1.5)
    parts = (
        Part(ELLIPSOID, half),
        Part(ELLIPSOID, half * 0.9, offset=np.array([link * 0.9, 0.0, 0.0]), joints=(front,)),
        Part(ELLIPSOID, half * 0.9, offset=np.array([-link * 0.9, 0.0, 0.0]), joints=(back,)),
    )
    return Body(parts, radius, moving=True, rate=rate)


def _limb(pivot: Array, long: float, thick: float, joints: tuple[Joint, ...]) -> Part:
    """A capsule that hangs down (y is down) from its last hinge."""
    return Part(CAPSULE, np.full(3, thick), (long / 2) / thick, np.array([0.0, long / 2, 0.0]), joints=joints)


def walker(draw: Draw, radius: float, speed: float) -> Body:
    """A figure of height 2 radius that walks along its own z axis; its root is its middle.

    Note:    legs swing against each other, arms against their leg, knees bend back only; one cycle is two steps.
    """
    tall = 2 * radius
    leg, arm = 0.25 * tall, 0.33 * tall
    step = 0.75 * tall
    rate = max(2 * math.pi * speed / step, 2.5)
    swing, phase = draw.uniform(0.4, 0.65), draw.uniform(0, 6.28)
    parts = [
        Part(CAPSULE, np.array([0.10, 0.09, 0.075]) * tall, 1.15, np.array([0.0, -0.12, 0.0]) * tall),
        Part(ELLIPSOID, np.array([0.065, 0.085, 0.075]) * tall, offset=np.array([0.0, -0.4, 0.0]) * tall),
    ]
    for side in (-1.0, 1.0):
        beat = phase if side > 0 else phase + math.pi
        hip = Joint(np.array([side * 0.06 * tall, 0.0, 0.0]), rest=0.0, swing=swing, phase=beat)
        knee = Joint(np.array([0.0, leg, 0.0]), rest=-0.4, swing=0.4, phase=beat - 1.2)
        shoulder = Joint(np.array([side * 0.13, -0.27, 0.0]) * tall, rest=0.0, swing=0.8 * swing, phase=beat + math.pi)
        parts += [
            _limb(hip.pivot, leg, 0.045 * tall, (hip,)),
            _limb(hip.pivot, leg, 0.038 * tall, (hip, knee)),
            _limb(shoulder.pivot, arm, 0.034 * tall, (shoulder,)),
        ]
    return Body(tuple(parts), radius * 1.05, moving=True, rate=rate)
