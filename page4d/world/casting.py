"""What moves: who it is, how it travels, and how far off, so that it covers the asked share of the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from page4d.world import figures, furniture, things
from page4d.world.bodies import TAU, Body
from page4d.world.draw import Array, Draw
from page4d.world.motions import Motion, draw_motion, rest, travel
from page4d.world.placing import Place

# Places tried for one more body, and how many of them for one and the same before another is asked.
TRIES = 12
SPOTS = 4
ASKED = 4
# Room between a body and the camera, beyond what both may travel.
NEAR_M = 0.3
# Bodies beyond the drawn number, and casts from the beginning, where too little of the picture moves.
EXTRA = 4
CASTS = 3
ENOUGH = 0.8


class _Kind(NamedTuple):
    """What makes a thing for a speed, and how often it turns up against the rest in rooms and outdoors."""

    make: Callable[[Draw, float], Body]
    indoors: float
    outdoors: float


# What rolls, slides or drives. A row more, or another weight, changes what all seeds draw, so WORLD_VERSION goes up.
_RIGID: dict[str, _Kind] = {}
_RIGID["ball"] = _Kind(lambda draw, _: things.ball(draw), 1.2, 1.0)
_RIGID["crate"] = _Kind(lambda draw, _: things.crate(draw), 0.7, 0.6)
_RIGID["cart"] = _Kind(lambda draw, _: things.cart(draw), 1.0, 0.0)
_RIGID["barrel"] = _Kind(lambda draw, _: things.barrel(draw, lying=True), 0.6, 0.0)
_RIGID["car"] = _Kind(things.car, 0.0, 2.2)
_RIGID["wheel"] = _Kind(lambda draw, _: things.wheel(draw), 0.0, 0.5)


def _rigid(draw: Draw, outdoor: bool, speed: float) -> Body:
    """Something that rolls, slides or drives."""
    kinds = tuple(_RIGID.values())
    weights = [kind.outdoors if outdoor else kind.indoors for kind in kinds]
    return draw.choice(kinds, weights).make(draw, speed)


def _mover(draw: Draw, place: Place, hangs: bool, speed: float) -> Body:
    """Somebody or something that moves, of the size of its kind unless it hangs in the air."""
    config, outdoor = place.config, place.stage.outdoor
    weights = (config.rigid_weight, config.deforming_weight, config.walker_weight)
    style = draw.choice(("rigid", "deforming", "walker"), weights)
    if style == "deforming":
        make = draw.choice((things.jelly, things.worm))
        body = make(draw, draw.uniform(0.25, 0.8) if hangs else draw.uniform(0.35, 0.5))
        # What stands on nothing needs no bob to stay there.
        return replace(body, gait="hang", rise=body.tall / 2, bob=(0.0, 0.0, 0.0)) if hangs else body
    if hangs:
        return replace(things.floater(draw, draw.uniform(0.15, 0.8)), moving=True)
    if style == "walker":
        return (figures.person if draw.chance(0.8) else figures.dog)(draw, speed)
    return replace(_rigid(draw, outdoor, speed), moving=True)


def _motion(draw: Draw, place: Place, body: Body, speed: float) -> Motion:
    """A way of travelling that keeps a body on the stage for the whole clip."""
    outdoor = place.stage.outdoor
    reach = (1.0, 3.5) if outdoor else (0.5, 1.3)
    if body.name == "car":
        reach = (4.0, 6.0)
    # A line is for clips that end before it leaves the stage; the others are bounded, however long the clip.
    fits = speed * place.seconds < (8.0 if outdoor else 2.5)
    # To and fro is for what does not mind going backwards.
    shuttle = 0.0 if body.gait == "walk" else 0.3
    return draw_motion(draw, speed, (0.6 * fits, 0.4, shuttle), reach)


def _common_motion(draw: Draw, place: Place) -> Motion:
    """One way for all, so that all that moves agrees on a motion that the camera did not make."""
    speed, outdoor = draw.within(place.config.body_speed), place.stage.outdoor
    fits = speed * place.seconds < (8.0 if outdoor else 2.0)
    return draw_motion(draw, speed, (0.6 * fits, 0.4, 0.0), (1.5, 3.5) if outdoor else (0.5, 1.2))


def _distance(place: Place, body: Body, share: float) -> float:
    """z-depth at which a body covers a share of the picture."""
    K, config = place.camera.K, place.config
    pixels = max(share, 1e-3) * config.height * config.width
    # Seen from z, an area A covers fx fy A / z^2 pixels.
    return math.sqrt(K[0, 0] * K[1, 1] * body.area / pixels)


def _spot(draw: Draw, place: Place, body: Body, origin: Array, sight: Array, z: float) -> Array:
    """The foot of a body on the ground, or its middle in the air, z metres down a line of sight."""
    spot = origin + z * sight
    if body.gait != "hang":
        spot[1] = 0.0
        return spot
    ceiling = 0.85 * place.stage.low[1] + body.radius
    spot[1] = min(max(spot[1] + draw.uniform(-0.3, 0.3), ceiling), -1.1 * body.radius)
    return spot


def _suited(draw: Draw, place: Place, hangs: bool, speed: float, aim: float) -> tuple[Body, float, float]:
    """A mover, how near it may come, and how far off it covers `aim` of the picture.

    Note:    where one is of the wrong size for this share at any distance, others are asked, and the best is taken.
    """
    best, mismatch = None, math.inf
    for _ in range(ASKED):
        body = _mover(draw, place, hangs, speed)
        near = NEAR_M + body.radius + 0.6 * place.stray + 0.15 * speed * place.seconds
        z = _distance(place, body, aim)
        # By what factor the wanted distance is out of the possible ones; 1 is within.
        off = max(near / z, z / max(near, place.depth - body.radius), 1.0)
        if off < mismatch:
            best, mismatch = (body, near, z), off
        if off == 1.0:
            break
    assert best is not None
    return best


def _cast(draw: Draw, place: Place, wanted: float, left: int, common: Motion | None) -> None:
    """Add one moving body that brings the moving share towards what is wanted, with `left` bodies to come."""
    hangs = draw.chance(place.config.hanging_share)
    aim = max(wanted - place.share(), 0.1 * wanted) / left
    for attempt in range(TRIES):
        if attempt % SPOTS == 0:
            speed = common.speed if common else draw.within(place.config.body_speed)
            body, near, z = _suited(draw, place, hangs, speed, aim)
        origin, sight = place.sight(draw.uniform(0.1, 0.9), draw.uniform(0.25, 0.75) if hangs else 0.5)
        far = max(near, place.reach(origin, sight) - 0.6 * body.radius)
        away = min(max(z, near), far) * draw.uniform(1.0, 1.0 + 0.1 * (attempt % SPOTS))
        spot = _spot(draw, place, body, origin, sight, away)
        motion = common or _motion(draw, place, body, speed)
        body = replace(body, path=travel(draw, body, motion, spot, free=common is None))
        space = place.room(body, 0.85 if attempt < TRIES // 2 else 0.6)
        if space is None:
            continue
        seen = place.sights.of(body)
        total = np.count_nonzero(place.moving | seen) / seen.size
        # Too much would make the clip another difficulty than was asked for.
        if total < 1.25 * wanted + 0.03:
            place.add(body, space)
            place.moving |= seen
            place.nearest = min(place.nearest, away)
            return


def _perched(draw: Draw, place: Place) -> bool:
    """A table, and on it a small ball that rolls to and fro or a jelly that quivers."""
    table = furniture.table(draw)
    origin, sight = place.sight(draw.uniform(0.2, 0.8), 0.5)
    foot = origin + sight * draw.uniform(1.3, 2.6)
    foot[1] = 0.0
    table = replace(table, path=rest(draw, table, foot, draw.uniform(0, TAU)))
    top = foot - np.array([0.0, table.tall, 0.0])
    body = things.ball(draw, small=True) if draw.chance(0.5) else things.jelly(draw, draw.uniform(0.15, 0.25))
    # It turns before the edge.
    reach = max(0.05, 0.8 * table.deck - body.radius)
    motion = Motion(draw.uniform(0, TAU), draw.uniform(0.3, 0.8), "shuttle", reach, phase=draw.uniform(-1, 1))
    spot = top + reach * math.sin(motion.phase) * motion.ahead
    body = replace(body, moving=True, path=travel(draw, body, motion, spot))
    space = place.room(table, 0.9)
    if space is None:
        return False
    place.add(table, space)
    space = place.room(body, 0.7)
    if space:
        place.add(body, space)
        place.moving |= place.sights.of(body)
    return True


def _cast_all(draw: Draw, place: Place, wanted: float) -> bool:
    """Fill a place with what moves; whether it covers enough, or nothing was to move."""
    count = draw.integer(*place.config.moving_bodies)
    if count == 0:
        return True
    common = _common_motion(draw, place) if place.config.coherent else None
    if common is None and not place.stage.outdoor and count > 1 and draw.chance(0.25):
        count -= _perched(draw, place)
    for number in range(count + EXTRA):
        # More than were asked for come only where those cannot cover what is wanted.
        if number >= count and place.share() > ENOUGH * wanted:
            break
        _cast(draw, place, wanted, max(1, count - number), common)
    return place.share() > ENOUGH * wanted


def cast(draw: Draw, place: Place) -> Place:
    """The place with what moves in it; together it aims at the drawn share of moving pixels.

    Note:    where a cast covers far too little, the next begins with an empty place; the last stays, come what may.
    """
    wanted = draw.within(place.config.moving_share)
    if place.config.moving_bodies[1] == 0 or wanted == 0:
        return place
    for _ in range(CASTS):
        place = place.emptied()
        if _cast_all(draw, place, wanted):
            break
    return place
