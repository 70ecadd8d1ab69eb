"""Bodies, which are one or more solids that hang together, and how they move."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from page4d.world.draw import Array, rotation_about
from page4d.world.solids import BOX, CAPSULE, CYLINDER

ZERO = np.zeros(3)
UNIT = np.eye(3)
X, Y, Z = UNIT
TAU = 2 * math.pi
Gait = Literal["stand", "walk", "roll", "slide", "hang"]


@dataclass(frozen=True)
class Joint:
    """A hinge at `pivot` (in the parent's coordinates): angle(t) = rest + turning t + swing sin(rate t + phase)."""

    pivot: Array = field(default_factory=lambda: ZERO)
    axis: Array = field(default_factory=lambda: X)
    rest: float = 0.0
    swing: float = 0.0
    phase: float = 0.0
    turning: float = 0.0


@dataclass(frozen=True)
class Part:
    """One solid of a body: shape, half sizes in metres, place behind up to two hinges, stretching, material.

    Note:    half sizes are (1 + stretch sin(rate t + phase)) times `half`; shear leans x and z over y likewise.
             Parts of one body and one material share a texture.
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
    material: str = "any"


@dataclass(frozen=True)
class BodyPath:
    """A body's root: place + velocity t + sway sin(sway_rate t + sway_phase), turned by R(y, yaw t) R(axis, a) start.

    Note:    a = spin t + roll sin(roll_rate t + roll_phase): a ball that runs on has spin, one that runs to and fro
             has roll, and yaw turns both about the vertical as the way bends.
    """

    place: Array
    velocity: Array = field(default_factory=lambda: ZERO)
    sway: Array = field(default_factory=lambda: ZERO)
    sway_rate: Array = field(default_factory=lambda: ZERO)
    sway_phase: Array = field(default_factory=lambda: ZERO)
    start: Array = field(default_factory=lambda: UNIT)
    axis: Array = field(default_factory=lambda: Y)
    spin: float = 0.0
    roll: float = 0.0
    roll_rate: float = 0.0
    roll_phase: float = 0.0
    yaw: float = 0.0

    def positions(self, times: Array) -> Array:
        """Root positions (S, 3) at times (S,)."""
        t = times[:, None]
        swing = self.sway * np.sin(self.sway_rate * t + self.sway_phase)
        return np.asarray(self.place + self.velocity * t + swing)

    def at(self, times: Sequence[float]) -> list[list[float]]:
        """The root's positions in plain numbers: for a few times, arrays of three cost more than they compute."""
        rows = (self.place, self.velocity, self.sway, self.sway_rate, self.sway_phase)
        axes = list(zip(*(row.tolist() for row in rows), strict=True))
        places: list[list[float]] = []
        for t in times:
            swings = [sway * math.sin(rate * t + phase) for _, _, sway, rate, phase in axes]
            moved = [place + velocity * t for place, velocity, *_ in axes]
            places.append([a + b for a, b in zip(moved, swings, strict=True)])
        return places


@dataclass(frozen=True)
class Body:
    """Solids with one root path, and what placing needs to know of them.

    Units:   radius bounds the body about the vertical through its root; rise is how high the root is above what
             carries the body; tall its height; deck the radius of a flat top that can carry something, 0 for none;
             bulk the half sizes of an ellipsoid that covers as much of a picture; rate the rate of its cycles.
             sketch makes the parts of a body that has none yet: most bodies are tried and never placed.
             bob (amplitude, rate, phase) moves the root up and down (y down) so that feet stay on the ground.
    """

    parts: tuple[Part, ...]
    radius: float
    moving: bool = False
    rate: float = 0.0
    path: BodyPath = field(default_factory=lambda: BodyPath(ZERO))
    name: str = "body"
    gait: Gait = "stand"
    rise: float = 0.0
    tall: float = 0.0
    deck: float = 0.0
    bulk: tuple[float, float, float] = (0.5, 0.5, 0.5)
    bob: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sketch: Callable[[], tuple[Part, ...]] | None = None

    def built(self) -> Body:
        """The body with its parts made, where they were only sketched."""
        return self if self.sketch is None else replace(self, parts=self.sketch(), sketch=None)

    @property
    def area(self) -> float:
        """What the body covers seen from the side, in square metres."""
        across, high, deep = self.bulk
        return math.pi * high * (across + deep) / 2


_AT_REST = Joint()


def _hinges(parts: Sequence[tuple[Part, Body]], times: Array, level: int) -> tuple[Array, Array]:
    """Turn (S, n, 3, 3) and pivot (n, 3) of hinge `level` of every part; parts without one do not turn."""
    joints = [p.joints[level] if level < len(p.joints) else _AT_REST for p, _ in parts]
    rate = np.array([b.rate for _, b in parts])
    numbers = np.array([(j.rest, j.turning, j.swing, j.phase) for j in joints])
    rest, turning, swing, phase = numbers.T
    t = times[:, None]
    angle = rest + turning * t + swing * np.sin(rate * t + phase)
    axis = np.stack([j.axis for j in joints])
    pivot = np.stack([j.pivot for j in joints])
    return rotation_about(axis, angle), pivot


def _roots(parts: Sequence[tuple[Part, Body]], times: Array) -> tuple[Array, Array]:
    """Turn (S, n, 3, 3) and origin (S, n, 3) of every part's body."""
    paths = [b.path for _, b in parts]
    # One table for all bodies: numpy costs per call, not per body.
    turns = np.array([(p.spin, p.roll, p.roll_rate, p.roll_phase, p.yaw) for p in paths])
    spin, roll, rate, phase, yaw = turns.T
    t = times[:, None]
    angle = spin * t + roll * np.sin(rate * t + phase)
    about = rotation_about(np.stack([p.axis for p in paths]), angle)
    # The yaw comes last, so that the axis of a roll turns with the way.
    linear = rotation_about(Y, yaw * t) @ about @ np.stack([p.start for p in paths])
    vectors = np.array([(p.place, p.velocity, p.sway, p.sway_rate, p.sway_phase) for p in paths])
    place, velocity, sway, sway_rate, sway_phase = vectors.transpose(1, 0, 2)
    t = t[..., None]
    swing = sway * np.sin(sway_rate * t + sway_phase)
    return linear, place + velocity * t + swing


def place_parts(parts: Sequence[tuple[Part, Body]], times: Array) -> Array:
    """Where every solid is: world_from_local (S, n, 3, 4) at times (S,)."""
    linear, origin = _roots(parts, times)
    # A chain of frames from the root outwards: each hinge turns all that hangs on it.
    for level in range(max(len(part.joints) for part, _ in parts)):
        hinge, pivot = _hinges(parts, times, level)
        origin = origin + (linear @ pivot[..., None])[..., 0]
        linear = linear @ hinge
    offset = np.stack([p.offset for p, _ in parts])
    origin = origin + (linear @ offset[..., None])[..., 0]
    linear = linear @ np.stack([p.turn for p, _ in parts])
    vectors = np.array([(p.half, p.stretch, p.stretch_phase, p.shear) for p, _ in parts])
    half, stretch, phase, shear = vectors.transpose(1, 0, 2)
    rate = np.array([b.rate for _, b in parts])
    cycle = np.sin((rate * times[:, None])[..., None] + phase)
    # Stretching and leaning are affine, so a piece of material keeps its local coordinates through them.
    scale = half * (1 + stretch * cycle)
    lean = np.broadcast_to(UNIT, (*linear.shape[:2], 3, 3)).copy()
    lean[..., 0, 1] = shear[:, 0] * cycle[..., 0]
    lean[..., 2, 1] = shear[:, 2] * cycle[..., 2]
    return np.concatenate((linear @ lean * scale[..., None, :], origin[..., None]), -1)


def lowest(parts: Sequence[Part], world_from_local: Array) -> Array:
    """Height (y, down) of the lowest point of solids placed by maps (S, n, 3, 4): (S,)."""
    kinds = np.array([part.kind for part in parts])
    length = np.array([part.length for part in parts])
    across, along, deep, origin = (world_from_local[..., 1, column] for column in range(4))
    along = np.abs(along)
    # Each is the support function of the unit solid in the direction of y, carried through the map.
    round_reach = np.sqrt(across**2 + along**2 + deep**2)
    box = np.abs(across) + along + np.abs(deep)
    cylinder = along + np.hypot(across, deep)
    capsule = along * length + round_reach
    reach = np.select([kinds == BOX, kinds == CYLINDER, kinds == CAPSULE], [box, cylinder, capsule], round_reach)
    return np.asarray((origin + reach).max(-1))
