"""What stands about: furniture, trees, houses, people at rest, and now and then something that hangs in the air."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from page4d.world import figures, furniture, things
from page4d.world.bodies import TAU, Body
from page4d.world.draw import Array, Draw
from page4d.world.motions import rest
from page4d.world.placing import Place

# A body is left out where so many places do not do: a full room is full.
TRIES = 9
OUTDOOR_MORE = 3

# What stands about, and how often against the rest.
_INDOORS: dict[Callable[[Draw], Body], float] = {
    furniture.table: 1.2,
    furniture.seat: 1.2,
    furniture.cupboard: 1.4,
    furniture.potted_plant: 0.9,
    furniture.lamp: 0.5,
    furniture.stool: 0.6,
    things.crate: 0.6,
    things.ball: 0.4,
}
_OUTDOORS: dict[Callable[[Draw], Body], float] = {
    furniture.tree: 2.0,
    furniture.bush: 1.0,
    furniture.house: 0.8,
    furniture.bench: 0.7,
    things.crate: 0.8,
    things.ball: 0.3,
}
# What moves in other scenes and stands here: a car only where there is no roof.
_AT_REST: dict[str, Callable[[Draw], Body]] = {}
_AT_REST["person"] = lambda draw: figures.person(draw, 0.0)
_AT_REST["car"] = lambda draw: things.car(draw, 0.0)
_AT_REST["barrel"] = lambda draw: things.barrel(draw, lying=draw.chance(0.3))
_AT_REST["dog"] = lambda draw: figures.dog(draw, 0.0)


def _clutter(draw: Draw, outdoor: bool) -> Body:
    """Something that stands."""
    extra = [kind for kind in _AT_REST if outdoor or kind != "car"]
    kind = draw.choice(("thing", *extra), (6.0, *(0.7 for _ in extra)))
    if kind in _AT_REST:
        return _AT_REST[kind](draw)
    makers = _OUTDOORS if outdoor else _INDOORS
    return draw.choice(tuple(makers), tuple(makers.values()))(draw)


def _stand(draw: Draw, place: Place, body: Body) -> Body:
    """A body at a spot on the ground that the camera looks at."""
    origin, sight = place.sight(draw.uniform(-0.05, 1.05), 0.5)
    way = place.reach(origin, sight)
    if body.name in ("cupboard", "house"):
        return _against_wall(draw, place, body, origin + way * sight)
    # Uniform in distance, not in area: what is near fills the picture, what is far gives depth.
    foot = origin + sight * draw.uniform(1.4, max(1.5, way))
    foot[1] = 0.0
    facing = draw.uniform(0, TAU)
    return replace(body, path=rest(draw, body, foot, facing))


def _against_wall(draw: Draw, place: Place, body: Body, spot: Array) -> Body:
    """A body with its back to the side of the stage that is nearest to a spot."""
    low, high = place.stage.low, place.stage.high
    near, far = spot - low, high - spot
    side = int(np.argmin((near[0], near[2], far[0], far[2])))
    axis, along = (0, 2) if side % 2 == 0 else (2, 0)
    edge, inward = (low[axis], 1.0) if side < 2 else (high[axis], -1.0)
    deep = max(part.half[2] + abs(part.offset[2]) for part in body.parts) + 0.02
    foot = np.zeros(3)
    # A house stands beyond the edge of the stage, and looks at it.
    foot[axis] = edge + inward * (-deep if place.stage.outdoor else deep)
    wide = body.parts[0].half[0]
    foot[along] = min(max(spot[along], low[along] + wide), high[along] - wide)
    # The front looks along z before the turn; a wall of constant x turns it by a quarter.
    facing = math.atan2(inward * (axis == 0), inward * (axis == 2))
    return replace(body, path=rest(draw, body, foot, facing))


def _aloft(draw: Draw, place: Place) -> Body:
    """A body of no kind that hangs still in the air."""
    smallest, largest = (0.3, 1.0) if place.stage.outdoor else (0.15, 0.45)
    body = things.floater(draw, draw.uniform(smallest, largest))
    origin, sight = place.sight(draw.uniform(0.0, 1.0), draw.uniform(0.1, 0.7))
    spot = origin + sight * draw.uniform(1.4, max(1.5, place.reach(origin, sight)))
    ceiling = place.stage.low[1] + body.radius
    spot[1] = min(max(spot[1], ceiling), -body.radius)
    return replace(body, path=replace(body.path, place=spot))


def _hides(place: Place, body: Body) -> bool:
    """Whether a still body would fill the picture, or cover much of what moves."""
    seen = place.sights.of(body)
    if np.count_nonzero(seen) > 0.3 * seen.size:
        return True
    gap = body.path.place - place.camera.positions[0]
    nearer = math.hypot(gap[0], gap[2]) < place.nearest
    return bool(nearer and np.count_nonzero(seen & place.moving) > 0.4 * np.count_nonzero(place.moving))


def _top(draw: Draw, place: Place, below: Body) -> None:
    """Perhaps something small on what has just been put."""
    if not below.deck or not draw.chance(0.6):
        return
    body = furniture.trinket(draw)
    foot = below.path.place + np.array([draw.uniform(-0.5, 0.5), 0.0, draw.uniform(-0.5, 0.5)]) * below.deck
    foot[1] += below.rise - below.tall
    body = replace(body, path=rest(draw, body, foot, draw.uniform(0, TAU)))
    space = place.room(body, 0.7)
    if space:
        place.add(body, space)


def _stands(draw: Draw, place: Place) -> Iterator[Body]:
    """Things at spots to be tried: each in three of them."""
    while True:
        body = _clutter(draw, place.stage.outdoor)
        for _ in range(3):
            yield _stand(draw, place, body)


def _hangs(draw: Draw, place: Place) -> Iterator[Body]:
    while True:
        yield _aloft(draw, place)


def furnish(draw: Draw, place: Place) -> None:
    """Add what does not move."""
    count = draw.integer(*place.config.static_bodies)
    # Without walls a few more are needed to tell where the camera is.
    for _ in range(count + OUTDOOR_MORE * (place.stage.outdoor and count > 0)):
        tried = _hangs if draw.chance(place.config.hanging_share) else _stands
        for attempt, body in zip(range(TRIES), tried(draw, place), strict=False):
            space = place.room(body, 0.8 if attempt < TRIES // 2 else 0.6)
            if space and not _hides(place, body):
                place.add(body, space)
                _top(draw, place, body)
                break
