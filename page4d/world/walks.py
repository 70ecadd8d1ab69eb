"""A long walk that comes back to where it was: rounds through a room, whose ends can be told to be one place."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from page4d.schema import UserError
from page4d.world.cameras import look_at
from page4d.world.clips import split_config, split_seeds
from page4d.world.scenes import Scene, sample_scene, stage_of

EYE_M = 1.6
FROM_WALLS_M = 1.1
ASIDE = 0.5  # of the way ahead: how far the gaze is turned to the wall
NARROWER = 0.15  # of the way: how far inside it a round may run, none like the one before


def walk_in_rounds(index: int, frames: int, rounds: float, height: int, width: int) -> Scene:
    """A still room of the split "static-test" through which the camera goes round along the walls.

    Note:    it looks ahead and to the wall, so a quarter of the room is in the picture and half a round later nothing
             of it is. Rounds are wider and narrower in turn, so that no frame is taken twice from one place.
    Raises:  UserError unless there is at least one frame and some way to go.
    """
    if frames < 1 or rounds <= 0:
        raise UserError(f"a walk of {frames} frames and {rounds:g} rounds; expected at least 1 frame and more than 0")
    config = split_config(
        "static-test", environment="room", frames=frames, height=height, width=width, hanging_share=0.0
    )
    (seed,) = split_seeds("static-test", 1, index)
    stage = stage_of(seed, config)
    angle = 2 * math.pi * rounds * np.arange(frames) / frames
    level = np.zeros(frames)
    # The golden ratio's rate never comes round with the walk's own.
    width_of_round = 1 - NARROWER * np.sin(angle * (math.sqrt(5) - 1) / 4) ** 2
    half_x, half_z = (width_of_round * (stage.high[axis] - FROM_WALLS_M) for axis in (0, 2))
    place = np.stack((half_x * np.sin(angle), level - EYE_M, half_z * np.cos(angle)), -1)
    ahead = np.stack((half_x * np.cos(angle), level, -half_z * np.sin(angle)), -1)
    outward = np.stack((half_z * np.sin(angle), level, half_x * np.cos(angle)), -1)
    rotation = look_at(ahead + ASIDE * outward)
    translation = -(rotation @ place[..., None])
    cameras = torch.from_numpy(np.concatenate((rotation, translation), -1))
    return replace(sample_scene(seed, config), cam_from_world=cameras)
