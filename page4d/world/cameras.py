"""Where the camera stands and looks: from a tripod over a slow dolly to a running handheld."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from page4d.world.config import WorldConfig, as_range
from page4d.world.draw import Array, Draw, rotation_about, turn

STEP_M = 0.75
# Of a walker's camera: what its hand shakes (radians, and metres) and how it bobs (metres), for each m/s of walking.
SHAKE, BOB = 0.006, 0.02
ROLL = 0.06  # radians that a camera may be held aslant
# How steeply a camera may look at its target: metres up or down for each metre ahead.
STEEPEST_UP, STEEPEST_DOWN = 0.12, 0.4
# Where its target may lie, as shares of the room's size from its middle: aside, down, ahead.
AIM_LOW, AIM_HIGH = (-0.3, -0.1, 0.1), (0.3, 0.45, 0.5)
UP = np.array([0.0, -1.0, 0.0])
FORWARD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Camera:
    """One clip's camera: cam_from_world (S, 3, 4), K (3, 3), its centres (S, 3), times in seconds about the middle."""

    cam_from_world: Array
    K: Array
    positions: Array
    times: Array


def draw_intrinsics(draw: Draw, config: WorldConfig) -> Array:
    """A pinhole K in pixels."""
    fx = draw.within(config.focal) * config.width
    ratio = draw.uniform(-1, 1)
    fy = fx * (1 + config.anisotropy) ** ratio
    cx = (0.5 + config.centre_offset[0]) * config.width
    cy = (0.5 + config.centre_offset[1]) * config.height
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def look_at(forward: Array) -> Array:
    """Camera-from-world rotations (*, 3, 3) that look along `forward` (*, 3) with a level horizon."""
    z = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    x = np.cross(z, UP)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack((x, np.cross(z, x), z), -2)


def _shake(draw: Draw, times: Array, size: float) -> Array:
    """Three smooth pseudo-random angles or offsets (S, 3): two sines each between 0.7 and 4 Hz."""
    total = np.zeros((len(times), 3))
    for low, high in ((0.7, 1.5), (2.0, 4.0)):
        for axis in range(3):
            rate = 2 * math.pi * draw.uniform(low, high)
            phase = draw.uniform(0, 2 * math.pi)
            total[:, axis] += size * draw.uniform(0.3, 1.0) * np.sin(rate * times + phase)
    return total


def _pace(draw: Draw, config: WorldConfig, times: Array) -> Array:
    """Times of a camera whose clock runs between 1 - stops and 1 + stops: it hurries, dawdles and stands still."""
    rate, phase = draw.uniform(2.0, 5.0), draw.uniform(0, 2 * math.pi)
    depth = draw.within(config.camera_stops) / rate
    return np.asarray(times + depth * (np.sin(rate * times + phase) - math.sin(phase)))


def _way(draw: Draw, config: WorldConfig, speed: float, times: Array, low: Array, high: Array) -> Array:
    """Positions (S, 3) on a closed curve inside the box, sines of three rates along three axes.

    Note:    sines stay inside whatever the time, so any number of frames samples one and the same way.
    """
    bend = max(draw.within(config.camera_bend), 1e-3)
    heading = draw.uniform(0, 2 * math.pi)
    ahead = np.array([math.sin(heading), 0.0, math.cos(heading)])
    aside = np.array([ahead[2], 0.0, -ahead[0]])
    # Ahead and aside of similar size and unlike rate: the direction turns all the time, at about `bend`.
    rates = bend * np.array([1.0, draw.uniform(0.7, 1.9), draw.uniform(0.5, 1.3)])
    shares = np.array([1.0, draw.uniform(0.4, 1.0), draw.uniform(0.1, 0.4)])
    phases = draw.vector(0, 2 * math.pi)
    # The root mean square of the three sines' speeds is the wanted speed.
    reach = shares * speed * math.sqrt(2) / (rates * float(np.linalg.norm(shares)))
    axes = np.stack((ahead, aside, UP))
    spread = reach @ np.abs(axes)
    half = (high - low) / 2
    fit = float(np.min(np.minimum(1.0, 0.95 * half / np.maximum(spread, 1e-9))))
    swing = fit * reach * np.sin(rates * _pace(draw, config, times)[:, None] + phases)
    room = half - fit * spread
    wish = np.array([draw.uniform(-0.7, 0.7), draw.uniform(-0.6, 0.6), draw.uniform(-0.9, -0.2)])
    return np.asarray((low + high) / 2 + np.clip(wish * half, -room, room) + swing @ axes)


def _gaze(draw: Draw, speed: float, times: Array) -> Array:
    """Turns (S, 3) about x, y, z that pan, tilt and roll to and fro, in radians."""
    total = np.zeros((len(times), 3))
    for axis, fastest in ((0, 0.25), (1, 0.45), (2, 0.12)):
        rate, phase = draw.uniform(0.8, 2.5), draw.uniform(0, 2 * math.pi)
        peak = draw.uniform(0.0, fastest) * min(speed, 1.5)
        total[:, axis] = peak / rate * (np.sin(rate * times + phase) - math.sin(phase))
    return total


def camera_path(draw: Draw, config: WorldConfig, low: Array, high: Array) -> Camera:
    """A camera that stays inside the box from `low` to `high` and looks into its wider side."""
    stride = draw.within(config.frame_stride)
    steps = np.arange(config.frames, dtype=np.float64) - (config.frames - 1) / 2
    times: Array = steps * stride / config.frame_rate
    speed = draw.within(config.camera_speed) * (not draw.chance(config.tripod_chance))
    K = draw_intrinsics(draw, config)
    # The middle of the clip is asked for too, so that what the camera looks at does not hang on the frames.
    way = _way(draw, config, speed, np.append(times, 0.0), low, high)
    positions, start = way[:-1], way[-1]
    aim = np.array([draw.uniform(least, most) for least, most in zip(AIM_LOW, AIM_HIGH, strict=True)])
    target = (low + high) / 2 + (high - low) * aim
    # Half of the cameras keep an eye on their target, more or less; the others look the same way throughout.
    fixate = draw.uniform(0, 1) if draw.chance(0.5) else 0.0
    toward = target - start
    level = math.hypot(toward[0], toward[2])
    # A camera that stands close to its target would else look at nothing but the floor or the ceiling.
    toward[1] = min(max(toward[1], -STEEPEST_UP * level), STEEPEST_DOWN * level)
    forward = toward + fixate * (start - positions)
    # A hand shakes in proportion to how fast its owner walks.
    sway = _gaze(draw, speed, times) + _shake(draw, times, SHAKE * speed)
    step_rate = 2 * math.pi * max(speed, 0.3) / STEP_M
    bob = BOB * speed * np.sin(step_rate * times + draw.uniform(0, 2 * math.pi))
    positions = positions + UP * bob[:, None] + _shake(draw, times, SHAKE * speed)
    roll = draw.uniform(-ROLL, ROLL) if as_range(config.camera_speed)[1] > 0 else 0.0
    angle = np.linalg.norm(sway, axis=-1)
    axis = sway / np.maximum(angle, 1e-12)[:, None]
    axis[angle < 1e-12] = (0.0, 1.0, 0.0)
    rotation = turn(FORWARD, roll) @ rotation_about(axis, angle) @ look_at(forward)
    translation = -(rotation @ positions[..., None])
    return Camera(np.concatenate((rotation, translation), -1), K, positions, times)
