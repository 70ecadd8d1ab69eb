"""A long walk that comes back to where it was: rounds through the four rooms of a house."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from page4d.schema import UserError
from page4d.world.bodies import ZERO, Body, BodyPath, Part
from page4d.world.cameras import Camera, draw_intrinsics, look_at
from page4d.world.clips import split_config, split_seeds
from page4d.world.config import WorldConfig
from page4d.world.draw import Array, Draw
from page4d.world.furnishing import furnish
from page4d.world.materials import dress
from page4d.world.placing import Place, Stage
from page4d.world.scenes import (
    FINISHES,
    FLOORS,
    Row,
    Scene,
    assemble,
    draw_weather,
    dressed,
    room_size,
    shell,
    space_of,
)
from page4d.world.solids import BOX

EYE_M = 1.6
ASIDE = 0.5  # of the way ahead: how far the gaze is turned outward, to the rooms' far walls
STRAY_M = 0.2  # how far beside the middle of a door a round may pass, none like the one before
DOOR_HALF_M, DOOR_M, WALL_HALF_M = 0.6, 2.05, 0.06
LAMP_M = 12.0
# On which sides of the two inner walls the rooms are, along x and z, in the order in which a round passes them.
SIDES = ((1, 1), (1, -1), (-1, -1), (-1, 1))
ROOMS = len(SIDES)
# Frames of a round by which a room is furnished, from half a room before it to its end: things are put where the middle
# one looks, which has just come in.
GUIDE = 25


@dataclass(frozen=True)
class House:
    """Four equal rooms about the origin, two by two: half (2,) of one room's length along x and z, tall, in metres."""

    half: Array
    tall: float

    def stage(self, room: int) -> Stage:
        """The space of one room."""
        space = space_of(self.half - WALL_HALF_M / 2, self.tall)
        x, z = (self.half + WALL_HALF_M / 2) * SIDES[room]
        middle = np.array([x, 0.0, z])
        return replace(space, low=space.low + middle, high=space.high + middle)

    def round(self, angle: Array, wider: Array | float, K: Array, rate: float) -> Camera:
        """A camera at angles (S,) of a round, so many metres outside the doors' middles, at so many frames a second.

        Note:    it looks ahead and outward, so it sees a room and what the next door lets through, and half a round
                 later nothing of either.
        """
        level = np.zeros(len(angle))
        x, z = self.half[0] + wider, self.half[1] + wider
        sine, cosine = np.sin(angle), np.cos(angle)
        places = np.stack((x * sine, level - EYE_M, z * cosine), -1)
        ahead = np.stack((x * cosine, level, -z * sine), -1)
        outward = np.stack((z * sine, level, x * cosine), -1)
        rotation = look_at(ahead + ASIDE * outward)
        translation = -(rotation @ places[..., None])
        times = (np.arange(len(angle), dtype=np.float64) - (len(angle) - 1) / 2) / rate
        return Camera(np.concatenate((rotation, translation), -1), K, places, times)

    def inner_wall(self, room: int, material: str) -> Body:
        """The wall through whose door a round enters a room."""
        # Rooms 0 and 2 are entered through walls along z, the others through walls along x.
        axis = 1 - room % 2
        along, side = 2 * axis, SIDES[room][axis]
        middle, tall = self.half[axis], self.tall
        upright = [(0.0, middle - DOOR_HALF_M, tall), (middle + DOOR_HALF_M, 2 * middle, tall)]
        pieces = [*upright, (middle - DOOR_HALF_M, middle + DOOR_HALF_M, tall - DOOR_M)]
        parts = []
        for start, end, height in pieces:
            half, offset = np.full(3, WALL_HALF_M), np.zeros(3)
            half[along], half[1] = (end - start) / 2, height / 2
            offset[along], offset[1] = side * (start + end) / 2, height / 2 - tall
            parts.append(Part(BOX, half, offset=offset, material=material))
        return Body(tuple(parts), 0.0, path=BodyPath(ZERO), name="wall")


def _furnished(draw: Draw, config: WorldConfig, house: House, K: Array) -> list[Body]:
    """What stands in the rooms, off the way through them."""
    bodies = []
    for room in range(ROOMS):
        angle = (room + np.linspace(-0.5, 1, GUIDE)) * 2 * math.pi / ROOMS
        place = Place(config, house.stage(room), house.round(angle, 0.0, K, config.frame_rate))
        furnish(draw, place)
        bodies += place.bodies
    return bodies


def _painted(draw: Draw, walls: list[Body], detail: float) -> list[Row]:
    """Inner walls, each of one paint whose pattern has the same size on all pieces."""
    rows: list[Row] = []
    for wall in walls:
        paint = dress(draw, Part(BOX, np.ones(3), material=wall.parts[0].material), detail)
        for part in wall.parts:
            matrix = paint.matrix * np.append(part.half, 1.0)
            rows.append((part, wall, 0, replace(paint, matrix=matrix)))
    return rows


def walk_through_rooms(index: int, frames: int, rounds: float, height: int, width: int) -> Scene:
    """A still house of four rooms through whose doors the camera goes round; another house for every index.

    Note:    rounds are wider and narrower in turn, so that no frame is taken twice from one place. The house is that
             of the index whatever the frames and rounds.
    Raises:  UserError unless there is at least one frame and some way to go.
    """
    if frames < 1 or rounds <= 0:
        raise UserError(f"a walk of {frames} frames and {rounds:g} rounds; expected at least 1 frame and more than 0")
    config = split_config(
        "static-test", environment="room", frames=frames, height=height, width=width, hanging_share=0.0
    )
    (seed,) = split_seeds("static-test", 1, index)
    draw = Draw(seed)
    house = House(*room_size(draw))
    K = draw_intrinsics(draw, config)
    finishes = list(FINISHES)
    outer, *inner = (finishes.pop(draw.integer(0, len(finishes) - 1)) for _ in range(1 + ROOMS))
    walls = shell(2 * house.half, house.tall, draw.choice(FLOORS), outer)
    doors = [house.inner_wall(room, finish) for room, finish in enumerate(inner)]
    furniture = _furnished(draw, config, house, K)
    # No ceiling casts a shadow, so a lamp high over the place where all inner walls meet lights every room.
    weather = replace(
        draw_weather(draw, config, space_of(2 * house.half, house.tall)), light=np.array([0.0, -LAMP_M, 0.0])
    )
    rows = dressed(draw, config, walls, furniture) + _painted(draw, doors, config.texture_detail)
    angle = 2 * math.pi * rounds * np.arange(frames) / frames
    # The golden ratio's rate never comes round with the walk's own.
    wider = STRAY_M * np.cos(angle * (math.sqrt(5) - 1) / 2)
    return assemble(rows, house.round(angle, wider, K, config.frame_rate), weather, config, seed)
