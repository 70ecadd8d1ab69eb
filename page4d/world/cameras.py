"""Where the camera stands and looks: from a tripod over a slow dolly to a running handheld."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from page4d.world.config import WorldConfig, as_range
from page4d.world.draw import Array, Draw, rotate, turn

STEP_M = 0.75
UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Camera:
    """One clip's camera: cam_from_world (S, 3, 4), K (3, 3), its centres (S, 3), times in seconds about the middle."""

    cam_from_world: Array
    K: Array
    positions: Array
    times: Array


def intrinsics(draw: Draw, config: WorldConfig) -> Array:
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
            total[:, axis] += size * draw.uniform(0.3, 1.0) * np.sin(rate * times + draw.uniform(0, 2 * math.pi))
    return total


def camera_path(draw: Draw, config: WorldConfig, low: Array, high: Array) -> Camera:
    """A camera that stays inside the box from `low` to `high` and looks into its wider side."""
    stride = draw.within(config.frame_stride)
    times: Array = (np.arange(config.frames, dtype=np.float64) - (config.frames - 1) / 2) * stride / config.frame_rate
    speed = draw.within(config.camera_speed) * (not draw.chance(config.tripod_chance))
    K = intrinsics(draw, config)
    start = low + (high - low) * np.array([draw.uniform(0.15, 0.85), draw.uniform(0.2, 0.8), draw.uniform(0.05, 0.4)])
    middle = (low + high) / 2
    target = middle + (high - low) * np.array(
        [draw.uniform(-0.3, 0.3), draw.uniform(-0.1, 0.45), draw.uniform(0.1, 0.5)]
    )
    toward = target - start
    heading = draw.direction() * np.array([1.0, 0.3, 1.0])
    heading /= float(np.linalg.norm(heading))
    # The camera swings along a line of this reach, so that any clip length stays inside.
    room = np.where(heading > 0, np.minimum(high - start, start - low), np.minimum(start - low, high - start))
    reach = max(0.15, float(np.min(room / np.maximum(np.abs(heading), 1e-6))))
    reach = min(reach, 4.0)
    positions = start + heading * (reach * np.sin(speed * times / reach))[:, None]
    fixate = draw.uniform(0, 1) if draw.chance(0.5) else 0.0
    forward = toward + fixate * (start - positions)
    pan = draw.sign() * draw.uniform(0.0, 0.35) * min(speed, 1.5)
    sway = np.stack((0.25 * pan * times * draw.sign(), pan * times, np.zeros_like(times)), -1)
    sway += _shake(draw, times, 0.006 * speed)
    step_rate = 2 * math.pi * max(speed, 0.3) / STEP_M
    positions += UP * (0.02 * speed * np.sin(step_rate * times + draw.uniform(0, 2 * math.pi)))[:, None]
    positions += _shake(draw, times, 0.006 * speed)
    roll = draw.uniform(-0.06, 0.06) if as_range(config.camera_speed)[1] > 0 else 0.0
    angle = np.linalg.norm(sway, axis=-1)
    axis = sway / np.maximum(angle, 1e-12)[:, None]
    axis[angle < 1e-12] = (0.0, 1.0, 0.0)
    rotation = turn(np.array([0.0, 0.0, 1.0]), roll) @ rotate(axis, angle) @ look_at(forward)
    translation = -(rotation @ positions[..., None])
    return Camera(np.concatenate((rotation, translation), -1), K, positions, times)
