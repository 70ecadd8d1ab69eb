"""What stands about in rooms and outdoors, each of the size of its kind; fronts look along z."""

from __future__ import annotations

import math

import numpy as np

from page4d.world.bodies import Body, Part
from page4d.world.draw import Draw
from page4d.world.solids import ELLIPSOID
from page4d.world.things import ball, box, boxy, post


def _round(wide: float, high: float, bottom: float, material: str) -> Part:
    """An upright ellipsoid of half sizes `wide` and `high` whose lowest point is `bottom` metres above the foot."""
    half = np.array([wide, high, wide])
    return Part(ELLIPSOID, half, offset=np.array([0.0, -bottom - high, 0.0]), material=material)


def table(draw: Draw) -> Body:
    """A table for four, or a round one."""
    tall = draw.uniform(0.7, 0.76)
    if draw.chance(0.4):
        return _round_table(tall, draw.uniform(0.4, 0.55))
    x, z = draw.uniform(1.1, 1.5), draw.uniform(0.7, 0.85)
    # Trestles, not four legs: two solids fewer, and as steady.
    leg, apart = (0.06, tall - 0.05, 0.8 * z), 0.42 * x
    parts = (
        box((x, 0.05, z), tall - 0.05, "wood"),
        box(leg, 0.0, "wood", x=-apart),
        box(leg, 0.0, "wood", x=apart),
    )
    bulk = (0.5 * x, 0.38, 0.5 * z)
    return Body(parts, math.hypot(x, z) / 2, name="table", tall=tall, deck=0.4 * z, bulk=bulk)


def _round_table(tall: float, radius: float) -> Body:
    parts = (
        post(radius, 0.04, tall - 0.04, "wood"),
        post(0.05, tall - 0.06, 0.02, "metal"),
        post(0.25, 0.03, 0.0, "metal"),
    )
    return Body(parts, radius, name="table", tall=tall, deck=0.75 * radius, bulk=(radius, 0.38, radius))


def seat(draw: Draw) -> Body:
    """A sofa or an armchair."""
    x, z = draw.choice((0.8, 1.6, 1.9)), draw.uniform(0.75, 0.9)
    high, back = draw.uniform(0.38, 0.44), draw.uniform(0.75, 0.9)
    arm, apart = (0.16, 0.2, z), x / 2 - 0.08
    bottom = box((x, high, z), 0.0, "cloth")
    behind = box((x, back - high, 0.22), high, "cloth", z=0.11 - z / 2)
    arms = [box(arm, high, "cloth", x=side) for side in (-apart, apart)]
    return Body((bottom, behind, *arms), math.hypot(x, z) / 2, name="seat", tall=back, bulk=(0.5 * x, 0.4, 0.5 * z))


def cupboard(draw: Draw) -> Body:
    """A cupboard or a low shelf, whose back belongs to a wall."""
    x, z = draw.uniform(0.7, 1.3), draw.uniform(0.35, 0.5)
    y = draw.choice((draw.uniform(0.75, 1.0), draw.uniform(1.6, 2.05)))
    size = (x, y, z)
    part = box(size, 0.0, draw.choice(("wood", "lacquer")))
    # What stands on a tall one nobody would see.
    deck = 0.4 * z if y < 1.2 else 0.0
    return Body((part,), math.hypot(x, z) / 2, name="cupboard", tall=y, deck=deck, bulk=boxy(size))


def potted_plant(draw: Draw) -> Body:
    """A plant in a pot."""
    pot, crown = draw.uniform(0.3, 0.4), draw.uniform(0.28, 0.45)
    high = crown * draw.uniform(1.0, 1.5)
    parts = (
        post(0.5 * pot, pot, 0.0, "clay"),
        # The crown hides the rim of the pot.
        _round(crown, high, pot - 0.2 * high, "leaves"),
    )
    wide = 0.9 * crown
    bulk = (wide, 0.5 * pot + 0.9 * high, wide)
    return Body(parts, crown, name="plant", tall=pot + 1.8 * high, bulk=bulk)


def lamp(draw: Draw) -> Body:
    """A standard lamp."""
    tall, shade = draw.uniform(1.4, 1.7), draw.uniform(0.17, 0.24)
    parts = (
        post(0.16, 0.03, 0.0, "metal"),
        post(0.018, tall - 0.3, 0.0, "metal"),
        post(shade, 0.3, tall - 0.3, "shade"),
    )
    return Body(parts, shade, name="lamp", tall=tall, bulk=(0.6 * shade, 0.5 * tall, 0.6 * shade))


def stool(draw: Draw) -> Body:
    """A round upholstered stool."""
    radius, tall = draw.uniform(0.2, 0.26), draw.uniform(0.4, 0.5)
    wide = 1.1 * radius
    bulk = (wide, 0.55 * tall, wide)
    seat_part = post(radius, tall, 0.0, "cloth")
    return Body((seat_part,), radius, name="stool", tall=tall, deck=0.7 * radius, bulk=bulk)


def tree(draw: Draw) -> Body:
    """A tree of 3 to 5 m with a round or a slender crown."""
    tall, bare = draw.uniform(2.8, 5.0), draw.uniform(0.9, 1.6)
    crown = (tall - bare) / 2
    wide = crown * draw.uniform(0.5, 0.9)
    trunk = post(draw.uniform(0.09, 0.16), bare + crown, 0.0, "bark")
    bulk = (0.8 * wide, 0.5 * tall, 0.8 * wide)
    return Body((trunk, _round(wide, crown, bare, "leaves")), wide, name="tree", tall=tall, bulk=bulk)


def bush(draw: Draw) -> Body:
    """A clipped bush."""
    wide, tall = draw.uniform(0.4, 0.8), draw.uniform(0.7, 1.3)
    part = _round(wide, tall / 2, 0.0, "leaves")
    return Body((part,), wide, name="bush", tall=tall, bulk=(wide, tall / 2, wide))


def house(draw: Draw) -> Body:
    """A small house with a flat roof, a door and a window, far enough to see the whole of it."""
    x, z, tall = draw.uniform(4, 7), draw.uniform(3, 5), draw.uniform(2.6, 5.0)
    front = z / 2
    walls = box((x, tall, z), 0.0, "brick")
    roof = box((1.06 * x, 0.25, 1.06 * z), tall, "roof")
    door = box((0.95, 2.05, 0.1), 0.0, "lacquer", x=0.2 * x, z=front)
    window = box((1.2, 1.0, 0.1), 1.0, "glass", x=-0.2 * x, z=front)
    parts, bulk = (walls, roof, door, window), boxy((x, tall, z))
    return Body(parts, math.hypot(x, z) / 2, name="house", tall=tall + 0.25, bulk=bulk)


def bench(draw: Draw) -> Body:
    """A park bench."""
    x = draw.uniform(1.3, 1.7)
    leg, apart = (0.07, 0.41, 0.38), 0.4 * x
    bottom = box((x, 0.05, 0.42), 0.405, "planks")
    behind = box((x, 0.35, 0.05), 0.505, "planks", z=-0.2)
    legs = [box(leg, 0.0, "metal", x=side) for side in (-apart, apart)]
    return Body((bottom, behind, *legs), 0.55 * x, name="bench", tall=0.85, bulk=(0.5 * x, 0.4, 0.25))


def trinket(draw: Draw) -> Body:
    """Something small that stands on a table: a bottle, a bowl, a box, a ball."""
    kind = draw.choice(("bottle", "bowl", "box", "ball"))
    if kind == "ball":
        return ball(draw, small=True)
    parts: tuple[Part, ...]
    if kind == "bottle":
        tall, radius = draw.uniform(0.24, 0.32), draw.uniform(0.035, 0.045)
        shoulder = 0.7 * tall
        neck = post(0.4 * radius, tall - shoulder, shoulder, "bottle")
        parts = (post(radius, shoulder, 0.0, "bottle"), neck)
    elif kind == "bowl":
        tall, radius = draw.uniform(0.1, 0.16), draw.uniform(0.11, 0.16)
        parts = (_round(radius, tall / 2, 0.0, "clay"),)
    else:
        tall, radius = draw.uniform(0.12, 0.25), draw.uniform(0.12, 0.2)
        parts = (box((1.4 * radius, tall, radius), 0.0, "lacquer"),)
    return Body(parts, radius, name="trinket", tall=tall, bulk=(radius, tall / 2, radius))
