"""A walk through rooms: clear of walls and furniture, through every door, and the same house however it is walked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from page4d.geometry import camera_centres
from page4d.schema import UserError
from page4d.world import render_clip
from page4d.world.scenes import Scene
from page4d.world.solids import BOX, PLANE
from page4d.world.walks import DOOR_HALF_M, STRAY_M, walk_through_rooms


def centres(scene: Scene) -> np.ndarray:
    return camera_centres(scene.cam_from_world).numpy()


def clearance(scene: Scene, solids: torch.Tensor) -> float:
    """How near the camera comes to the bounding boxes, along the world's axes, of some solids; in metres."""
    maps = scene.world_from_local[0, solids].numpy()
    reach = np.abs(maps[:, :, :3]).sum(-1)
    gap = np.abs(centres(scene)[:, None] - maps[None, :, :, 3]) - reach
    return float(np.linalg.norm(gap.clip(min=0), axis=-1).min())


@pytest.mark.parametrize("index", range(4))
def test_the_camera_keeps_clear_of_inner_walls_and_passes_four_doors_a_round(index: int) -> None:
    scene = walk_through_rooms(index, 400, 2.1, 24, 32)
    inner = (scene.kind == BOX) & (scene.instance == 0)
    assert int(inner.sum()) == 12
    assert clearance(scene, inner) == pytest.approx(DOOR_HALF_M - STRAY_M, abs=0.05)
    # The first frame stands in a door, on neither side of its wall.
    sides = np.sign(centres(scene)[1:, ::2])
    assert np.count_nonzero(sides[1:] != sides[:-1]) == 8


@pytest.mark.parametrize("index", range(4))
def test_the_camera_runs_into_nothing_that_stands_in_the_rooms(index: int) -> None:
    scene = walk_through_rooms(index, 400, 2.0, 24, 32)
    standing = scene.instance > 0
    assert int(standing.sum()) > 20
    assert clearance(scene, standing) > 0.1


def test_a_door_lets_the_next_room_be_seen_and_a_wall_does_not() -> None:
    clip = render_clip(walk_through_rooms(0, 40, 1.0, 48, 64))
    far = clip.depth.flatten(1).amax(1)
    assert clip.valid.all()
    # In a door the gaze reaches the far end of the room behind it; deep in a room, the wall beside the next door.
    assert far[0] > 1.5 * far.min()


def test_the_house_is_that_of_its_index_however_it_is_walked() -> None:
    short, long = walk_through_rooms(1, 3, 0.5, 24, 32), walk_through_rooms(1, 50, 3.0, 24, 32)
    torch.testing.assert_close(short.world_from_local[0], long.world_from_local[0])
    torch.testing.assert_close(short.colours, long.colours)
    other = walk_through_rooms(2, 3, 0.5, 24, 32)
    assert other.counts[PLANE] == short.counts[PLANE] == 6
    assert not torch.equal(other.world_from_local[0, :6], short.world_from_local[0, :6])


def test_no_two_frames_are_taken_from_one_place() -> None:
    places = centres(walk_through_rooms(0, 600, 3.0, 24, 32))
    gap = np.linalg.norm(places[:, None] - places[None], axis=-1) + 10 * np.eye(600)
    assert gap.min() > 0.001


@pytest.mark.parametrize(("frames", "rounds"), [(0, 1.0), (5, 0.0), (5, -1.0)])
def test_a_walk_of_nothing_is_refused(frames: int, rounds: float) -> None:
    with pytest.raises(UserError, match="expected at least 1 frame and more than 0"):
        walk_through_rooms(0, frames, rounds, 24, 32)
