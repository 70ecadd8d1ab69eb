"""What walks: people and dogs, of limbs on hinges, with a bob that keeps their feet on the ground."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from page4d.world.bodies import TAU, Body, Joint, Part, X, lowest, place_parts
from page4d.world.draw import Array, Draw, turn
from page4d.world.solids import CAPSULE, ELLIPSOID

# A capsule lies along its y axis; this lays it along z, the way a body walks.
ALONG = turn(X, math.pi / 2)
GAITS = 6
_HALF_TURN = math.pi

Triple = tuple[float, float, float]


def _at(*place: float) -> Array:
    return np.array(place)


def _limb(long: float, thick: float, joints: tuple[Joint, ...], material: str) -> Part:
    """A capsule that hangs down (y is down) from its last hinge."""
    half = np.array([thick, thick, thick])
    return Part(CAPSULE, half, (long / 2) / thick, _at(0.0, long / 2, 0.0), joints=joints, material=material)


def _about(kind: int, tall: float, half: Triple, place: Triple, material: str, length: float = 0.0) -> Part:
    """A solid of half sizes and at a place in shares of the figure's height."""
    return Part(kind, tall * np.array(half), length, tall * np.array(place), material=material)


def person_parts(tall: float, swing: float, phase: float, arms: str = "shirt") -> tuple[Part, ...]:
    """A figure whose root is between its hips and who faces along z; `swing` 0 stands still.

    Note:    legs swing against each other, arms against their leg, knees bend back only; one cycle is two steps.
    """
    leg, arm = 0.245 * tall, 0.33 * tall
    bend = min(0.4, 1.2 * swing)
    # The trunk's caps are flat, so that its shoulders are broad.
    trunk = _about(CAPSULE, tall, (0.102, 0.045, 0.062), (0.0, -0.145, 0.0), "shirt", 2.9)
    neck = _about(CAPSULE, tall, (0.026, 0.026, 0.026), (0.0, -0.335, 0.0), "skin", 1.2)
    head = _about(ELLIPSOID, tall, (0.048, 0.066, 0.056), (0.0, -0.405, 0.01), "skin")
    hair = _about(ELLIPSOID, tall, (0.052, 0.055, 0.058), (0.0, -0.425, -0.008), "hair")
    parts = [trunk, neck, head, hair]
    for side in (-1.0, 1.0):
        beat = phase if side > 0 else phase + _HALF_TURN
        hip = Joint(tall * _at(side * 0.055, 0.0, 0.0), swing=swing, phase=beat)
        # A knee bends most while its foot comes forward, a little after the hip turns.
        knee = Joint(_at(0.0, leg, 0.0), rest=-bend, swing=bend, phase=beat - 1.2)
        shoulder = Joint(tall * _at(side * 0.118, -0.28, 0.0), swing=0.8 * swing, phase=beat + _HALF_TURN)
        half, place = tall * _at(0.03, 0.02, 0.07), _at(0.0, leg, 0.03 * tall)
        shoe = Part(ELLIPSOID, half, offset=place, joints=(hip, knee), material="shoe")
        thigh = _limb(leg, 0.048 * tall, (hip,), "trousers")
        shin = _limb(leg, 0.036 * tall, (hip, knee), "trousers")
        sleeve = _limb(arm, 0.027 * tall, (shoulder,), arms)
        parts += [thigh, shin, shoe, sleeve]
    return tuple(parts)


def dog_parts(tall: float, swing: float, phase: float) -> tuple[Part, ...]:
    """A dog of shoulder height `tall` that trots along z: diagonal legs swing together; its root is in its trunk."""
    leg = 0.6 * tall
    trunk = Part(CAPSULE, tall * _at(0.17, 0.2, 0.19), 2.0, turn=ALONG, material="fur")
    neck = _about(ELLIPSOID, tall, (0.12, 0.26, 0.14), (0.0, -0.2, 0.55), "fur")
    head = _about(ELLIPSOID, tall, (0.14, 0.14, 0.25), (0.0, -0.42, 0.72), "fur")
    wag = Joint(tall * _at(0.0, -0.1, -0.55), rest=2.2, swing=0.5 * swing, phase=phase)
    parts = [trunk, neck, head, _limb(0.4 * tall, 0.05 * tall, (wag,), "fur")]
    for side, end in ((-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)):
        beat = phase if side * end > 0 else phase + _HALF_TURN
        hip = Joint(tall * _at(side * 0.12, 0.05, end * 0.42), swing=swing, phase=beat)
        parts.append(_limb(leg, 0.07 * tall, (hip,), "fur"))
    return tuple(parts)


Figure = Callable[..., tuple[Part, ...]]


@lru_cache(maxsize=32)
def _stance(figure: Figure, swing: float) -> tuple[float, float, float]:
    """Of a figure 1 m tall: height of its root above the ground, and amplitude and phase of its bob.

    Note:    two steps a cycle, so the second harmonic is nearly all of how far the lowest foot is below the root.
             What it misses lets a foot hover, never sink in.
    """
    cycle = np.linspace(0, TAU, 32, endpoint=False)
    parts = figure(1.0, swing, 0.0)
    body = Body(parts, 1.0, rate=1.0)
    down = lowest(parts, place_parts([(part, body) for part in parts], cycle))
    sine, cosine = np.sin(2 * cycle), np.cos(2 * cycle)
    a, b = 2 * float(np.mean(down * sine)), 2 * float(np.mean(down * cosine))
    rise = float(np.max(down - a * sine - b * cosine))
    return rise, -math.hypot(a, b), math.atan2(b, a)


def _cadence(speed: float, leg: float, swing: float) -> float:
    """Angular rate of the steps: below the hip a foot goes back a quarter faster than the body goes on.

    Note:    at equal speed steps would be too long, as a leg of one sine stands for too short a time.
    """
    return max(1.25 * speed / (leg * swing), 1.2) if speed else 0.0


@dataclass(frozen=True)
class _Size:
    """Of a figure: its measure, the radius and height that it takes up, its bulk, and hip to ground; in metres."""

    measure: float
    radius: float
    tall: float
    bulk: Triple
    leg: float


@dataclass(frozen=True)
class _Gait:
    """Speed in m/s, swing of the hips in radians, and where in the cycle a figure is at time 0."""

    speed: float
    swing: float
    phase: float


def _figure(name: str, figure: Figure, size: _Size, gait: _Gait, *looks: str) -> Body:
    """A figure that walks, or stands at speed 0; its parts are made when it has found its place."""
    rise, bob, lag = _stance(figure, gait.swing)
    rate = _cadence(gait.speed, size.leg, gait.swing)
    body = Body((), size.radius, rate=rate, name=name, tall=size.tall, bulk=size.bulk)
    sketch = partial(figure, size.measure, gait.swing, gait.phase, *looks)
    body = replace(body, rise=rise * size.measure, sketch=sketch)
    if gait.speed == 0:
        return body
    # Two steps a cycle: the bob goes twice as fast as the legs.
    way_up = (bob * size.measure, 2 * rate, 2 * gait.phase + lag)
    return replace(body, moving=True, gait="walk", bob=way_up)


def person(draw: Draw, speed: float) -> Body:
    """A person of 1.5 to 1.9 m who walks at `speed`, or stands at 0."""
    tall, phase = draw.uniform(1.5, 1.9), draw.uniform(0, TAU)
    arms = draw.choice(("shirt", "skin"))
    swing = 0.3 + 0.03 * draw.integer(0, GAITS - 1) if speed else 0.0
    size = _Size(tall, 0.3 * tall, tall, (0.11 * tall, 0.5 * tall, 0.11 * tall), 0.49 * tall)
    return _figure("person", person_parts, size, _Gait(speed, swing, phase), arms)


def dog(draw: Draw, speed: float) -> Body:
    """A dog of 0.4 to 0.7 m at the shoulder."""
    tall, phase = draw.uniform(0.4, 0.7), draw.uniform(0, TAU)
    swing = 0.3 + 0.03 * draw.integer(0, GAITS - 1) if speed else 0.0
    size = _Size(tall, 1.1 * tall, 1.5 * tall, (0.2 * tall, 0.55 * tall, 0.8 * tall), 0.62 * tall)
    return _figure("dog", dog_parts, size, _Gait(speed, swing, phase))
