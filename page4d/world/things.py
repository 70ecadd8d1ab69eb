"""What rolls, slides, stands and hangs: balls, crates, cars, furniture, trees, each of the size of its kind."""

from __future__ import annotations

import math

import numpy as np

from page4d.world.bodies import TAU, ZERO, Body, Joint, Part, Path, Y, Z
from page4d.world.draw import Draw, turn
from page4d.world.solids import BOX, CAPSULE, CYLINDER, ELLIPSOID

# A cylinder stands along y; this lays it along x, as an axle lies under a car that drives along z.
ACROSS = turn(Z, math.pi / 2)


def _box(x: float, y: float, z: float, at: tuple[float, float, float], material: str) -> Part:
    """A box of full sizes x, y, z about `at`."""
    return Part(BOX, np.array([x / 2, y / 2, z / 2]), offset=np.array(at), material=material)


def _post(radius: float, tall: float, at: tuple[float, float, float], material: str) -> Part:
    """An upright cylinder about `at`."""
    return Part(CYLINDER, np.array([radius, tall / 2, radius]), offset=np.array(at), material=material)


def ball(draw: Draw, small: bool = False) -> Body:
    """A football, a basketball, a beach ball or a gym ball; small ones lie on tables."""
    kinds = (("football", 0.11), ("basketball", 0.12), ("beachball", 0.2), ("gymball", 0.33))
    material, radius = draw.choice(kinds[:2] if small else kinds, None if small else (0.6, 0.6, 1.0, 1.6))
    radius *= draw.uniform(0.97, 1.03)
    part = Part(ELLIPSOID, np.full(3, radius), material=material)
    path = Path(ZERO, start=draw.rotation())
    return Body(
        (part,),
        radius,
        path=path,
        name="ball",
        gait="roll",
        rise=radius,
        tall=2 * radius,
        bulk=(radius, radius, radius),
    )


def barrel(draw: Draw, lying: bool) -> Body:
    """A drum of 0.85 m that stands, or lies and can roll; its root is its centre."""
    radius, long = draw.uniform(0.27, 0.3), draw.uniform(0.8, 0.9)
    part = Part(CYLINDER, np.array([radius, long / 2, radius]), material="drum")
    if lying:
        reach = math.hypot(radius, long / 2)
        return Body(
            (part,),
            reach,
            name="barrel",
            gait="roll",
            rise=radius,
            tall=2 * radius,
            bulk=(0.9 * reach, radius, 0.9 * reach),
        )
    return Body(
        (part,),
        radius,
        name="barrel",
        rise=long / 2,
        tall=long,
        deck=0.8 * radius,
        bulk=(1.1 * radius, 0.55 * long, 1.1 * radius),
    )


def wheel(draw: Draw) -> Body:
    """A tyre that rolls upright."""
    radius, wide = draw.uniform(0.3, 0.36), draw.uniform(0.17, 0.22)
    tread = Part(CYLINDER, np.array([radius, wide / 2, radius]), material="tyre")
    hub = Part(CYLINDER, np.array([0.6 * radius, 0.51 * wide, 0.6 * radius]), material="hub")
    return Body(
        (tread, hub),
        radius,
        name="wheel",
        gait="roll",
        rise=radius,
        tall=2 * radius,
        bulk=(0.8 * radius, radius, 0.8 * radius),
    )


def crate(draw: Draw, low: float = 0.4, high: float = 0.9) -> Body:
    """A wooden or cardboard box that stands, or slides."""
    size = draw.uniform(low, high)
    x, y, z = size * draw.uniform(0.8, 1.2), size, size * draw.uniform(0.8, 1.2)
    part = Part(BOX, np.array([x, y, z]) / 2, material=draw.choice(("planks", "cardboard")))
    radius = math.hypot(x, z) / 2
    return Body(
        (part,),
        radius,
        name="crate",
        gait="slide",
        rise=y / 2,
        tall=y,
        deck=0.35 * size,
        bulk=(0.65 * x, 0.58 * y, 0.65 * z),
    )


def cart(draw: Draw) -> Body:
    """A cupboard on rollers, for rooms: as tall as a person and wide, so that it can fill a picture."""
    x, y, z = draw.uniform(0.8, 1.3), draw.uniform(1.3, 1.9), draw.uniform(0.45, 0.6)
    parts = [_box(x, y - 0.08, z, (0, -y / 2 - 0.04, 0), "lacquer")]
    parts.append(_box(0.85 * x, 0.08, 0.85 * z, (0, -0.04, 0), "rubber"))
    return Body(
        tuple(parts), math.hypot(x, z) / 2, name="cart", gait="slide", tall=y, bulk=(0.57 * x, 0.57 * y, 0.57 * z)
    )


def car(draw: Draw, speed: float) -> Body:
    """A car of 3.8 to 4.5 m that drives along z, wheels turning with its speed."""
    long, wide, sill = draw.uniform(3.8, 4.5), draw.uniform(1.65, 1.8), 0.26
    belt, roof, radius = draw.uniform(0.82, 0.95), draw.uniform(1.38, 1.6), 0.31
    cabin = draw.uniform(0.45, 0.6) * long
    parts = [
        _box(wide, belt - sill, long, (0, -(belt + sill) / 2, 0), "carpaint"),
        _box(0.86 * wide, roof - belt - 0.06, cabin, (0, -(roof + belt) / 2 + 0.03, -0.06 * long), "glass"),
        _box(0.84 * wide, 0.06, 0.94 * cabin, (0, 0.03 - roof, -0.06 * long), "carpaint"),
    ]
    for side in (-1, 1):
        for end in (-1, 1):
            axle = Joint(np.array([side * (wide / 2 - 0.09), -radius, end * 0.31 * long]), turning=-speed / radius)
            half = np.array([radius, 0.11, radius])
            parts.append(Part(CYLINDER, half, turn=ACROSS, joints=(axle,), material="tyre"))
    return Body(
        tuple(parts),
        0.45 * long,
        moving=speed > 0,
        name="car",
        gait="walk" if speed else "stand",
        tall=roof,
        bulk=(0.55 * wide, 0.5 * roof, 0.53 * long),
    )


def jelly(draw: Draw, radius: float) -> Body:
    """An ellipsoid that breathes and leans; its bob keeps its lowest point where it stands."""
    half, stretch = radius * draw.vector(0.6, 0.8), draw.vector(0.15, 0.35)
    phase, rate = draw.vector(0, TAU), draw.uniform(2.0, 6.0)
    shear = draw.vector(-0.4, 0.4)
    part = Part(ELLIPSOID, half, stretch=stretch, stretch_phase=phase, shear=shear, material="jelly")
    bob = (-half[1] * stretch[1], rate, phase[1])
    bulk = (float(half[0]), float(half[1]), float(half[2]))
    return Body(
        (part,), radius, True, rate, name="jelly", gait="slide", rise=half[1], tall=2.6 * half[1], bulk=bulk, bob=bob
    )


def worm(draw: Draw, radius: float) -> Body:
    """Three links on upright hinges that bend in a travelling wave, flat on the ground."""
    rate, thick, link = draw.uniform(2.0, 5.0), radius * 0.3, radius * 0.33
    swing, phase = draw.uniform(0.4, 0.8), draw.uniform(0, TAU)
    half = np.array([thick, thick, link * 1.25])
    front = Joint(link * Z, Y, 0.0, swing, phase)
    back = Joint(-link * Z, Y, 0.0, swing, phase + 1.5)
    parts = (
        Part(ELLIPSOID, half, material="fur"),
        Part(ELLIPSOID, half * 0.92, offset=0.9 * link * Z, joints=(front,), material="fur"),
        Part(ELLIPSOID, half * 0.92, offset=-0.9 * link * Z, joints=(back,), material="fur"),
    )
    bulk = (1.2 * thick, thick, 0.9 * radius)
    return Body(parts, radius, True, rate, name="worm", gait="walk", rise=thick, tall=2 * thick, bulk=bulk)


def _loose(draw: Draw, radius: float) -> Part:
    """One simple solid that fits in a sphere of the given radius."""
    kind = draw.choice((ELLIPSOID, BOX, CYLINDER, CAPSULE), (1.0, 1.2, 0.6, 0.4))
    if kind == ELLIPSOID:
        half = np.full(3, radius) if draw.chance(0.4) else radius * draw.vector(0.5, 1.0)
        return Part(kind, half)
    if kind == BOX:
        half = draw.vector(0.4, 1.0)
        return Part(kind, half * radius / float(np.linalg.norm(half)))
    thick = draw.uniform(0.3, 0.7) * radius
    if kind == CYLINDER:
        return Part(kind, np.array([thick, math.sqrt(radius**2 - thick**2), thick]))
    return Part(kind, np.full(3, thick), length=(radius - thick) / thick)


def floater(draw: Draw, radius: float) -> Body:
    """A solid of no kind and any size that hangs in the air: one picture cannot tell how far away it is."""
    path = Path(ZERO, start=draw.rotation())
    bulk = (0.75 * radius, 0.75 * radius, 0.75 * radius)
    return Body(
        (_loose(draw, radius),), radius, path=path, name="floater", gait="hang", rise=radius, tall=2 * radius, bulk=bulk
    )


def table(draw: Draw) -> Body:
    """A table for four, or a round one."""
    tall = draw.uniform(0.7, 0.76)
    if draw.chance(0.4):
        radius = draw.uniform(0.4, 0.55)
        parts = [
            _post(radius, 0.04, (0, 0.02 - tall, 0), "wood"),
            _post(0.05, tall - 0.06, (0, -(tall - 0.02) / 2, 0), "metal"),
            _post(0.25, 0.03, (0, -0.015, 0), "metal"),
        ]
        return Body(tuple(parts), radius, name="table", tall=tall, deck=0.75 * radius, bulk=(radius, 0.38, radius))
    x, z = draw.uniform(1.1, 1.5), draw.uniform(0.7, 0.85)
    parts = [_box(x, 0.05, z, (0, 0.025 - tall, 0), "wood")]
    for side in (-1, 1):
        trestle = _box(0.06, tall - 0.05, 0.8 * z, (side * 0.42 * x, -(tall - 0.05) / 2, 0), "wood")
        parts.append(trestle)
    return Body(
        tuple(parts), math.hypot(x, z) / 2, name="table", tall=tall, deck=0.4 * z, bulk=(0.5 * x, 0.38, 0.5 * z)
    )


def seat(draw: Draw) -> Body:
    """A sofa or an armchair that looks along z."""
    x, z = draw.choice((0.8, 1.6, 1.9)), draw.uniform(0.75, 0.9)
    seat_m, back_m = draw.uniform(0.38, 0.44), draw.uniform(0.75, 0.9)
    parts = [
        _box(x, seat_m, z, (0, -seat_m / 2, 0), "cloth"),
        _box(x, back_m - seat_m, 0.22, (0, -(back_m + seat_m) / 2, 0.11 - z / 2), "cloth"),
    ]
    arm = x / 2 - 0.08
    parts += [_box(0.16, 0.2, z, (side * arm, -seat_m - 0.1, 0), "cloth") for side in (-1, 1)]
    return Body(tuple(parts), math.hypot(x, z) / 2, name="seat", tall=back_m, bulk=(0.5 * x, 0.4, 0.5 * z))


def cupboard(draw: Draw) -> Body:
    """A cupboard or a low shelf that stands with its back to a wall, and looks along z."""
    x, z = draw.uniform(0.7, 1.3), draw.uniform(0.35, 0.5)
    y = draw.choice((draw.uniform(0.75, 1.0), draw.uniform(1.6, 2.05)))
    part = _box(x, y, z, (0, -y / 2, 0), draw.choice(("wood", "lacquer")))
    return Body(
        (part,),
        math.hypot(x, z) / 2,
        name="cupboard",
        tall=y,
        deck=0.4 * z if y < 1.2 else 0.0,
        bulk=(0.57 * x, 0.57 * y, 0.57 * z),
    )


def plant(draw: Draw) -> Body:
    """A plant in a pot."""
    pot, crown = draw.uniform(0.3, 0.4), draw.uniform(0.28, 0.45)
    high = crown * draw.uniform(1.0, 1.5)
    leaves = Part(
        ELLIPSOID, np.array([crown, high, crown]), offset=np.array([0, -pot - 0.8 * high, 0]), material="leaves"
    )
    parts = (_post(0.5 * pot, pot, (0, -pot / 2, 0), "clay"), leaves)
    return Body(
        parts, crown, name="plant", tall=pot + 1.8 * high, bulk=(0.9 * crown, 0.5 * pot + 0.9 * high, 0.9 * crown)
    )


def lamp(draw: Draw) -> Body:
    """A standard lamp."""
    tall, shade = draw.uniform(1.4, 1.7), draw.uniform(0.17, 0.24)
    parts = (
        _post(0.16, 0.03, (0, -0.015, 0), "metal"),
        _post(0.018, tall - 0.3, (0, -(tall - 0.3) / 2, 0), "metal"),
        _post(shade, 0.3, (0, 0.15 - tall, 0), "shade"),
    )
    return Body(parts, shade, name="lamp", tall=tall, bulk=(0.6 * shade, 0.5 * tall, 0.6 * shade))


def stool(draw: Draw) -> Body:
    """A round upholstered stool."""
    radius, tall = draw.uniform(0.2, 0.26), draw.uniform(0.4, 0.5)
    parts = (_post(radius, tall, (0, -tall / 2, 0), "cloth"),)
    return Body(
        parts, radius, name="stool", tall=tall, deck=0.7 * radius, bulk=(1.1 * radius, 0.55 * tall, 1.1 * radius)
    )


def tree(draw: Draw) -> Body:
    """A tree of 3 to 5 m: a trunk, and a crown of two balls or a slender one."""
    tall, bare = draw.uniform(2.8, 5.0), draw.uniform(0.9, 1.6)
    crown = (tall - bare) / 2
    wide = crown * draw.uniform(0.5, 0.9)
    trunk = _post(draw.uniform(0.09, 0.16), bare + crown, (0, -(bare + crown) / 2, 0), "bark")
    top = Part(ELLIPSOID, np.array([wide, crown, wide]), offset=np.array([0, crown - tall, 0]), material="leaves")
    return Body((trunk, top), wide, name="tree", tall=tall, bulk=(0.8 * wide, 0.5 * tall, 0.8 * wide))


def bush(draw: Draw) -> Body:
    """A clipped bush."""
    wide, tall = draw.uniform(0.4, 0.8), draw.uniform(0.7, 1.3)
    part = Part(ELLIPSOID, np.array([wide, tall / 2, wide]), offset=np.array([0, -tall / 2, 0]), material="leaves")
    return Body((part,), wide, name="bush", tall=tall, bulk=(wide, tall / 2, wide))


def house(draw: Draw) -> Body:
    """A small house with a flat roof and a door, far enough to see the whole of it."""
    x, z, tall = draw.uniform(4, 7), draw.uniform(3, 5), draw.uniform(2.6, 5.0)
    parts = (
        _box(x, tall, z, (0, -tall / 2, 0), "brick"),
        _box(1.06 * x, 0.25, 1.06 * z, (0, -tall - 0.125, 0), "roof"),
        _box(0.95, 2.05, 0.1, (0.2 * x, -1.025, z / 2), "lacquer"),
        _box(1.2, 1.0, 0.1, (-0.2 * x, -1.5, z / 2), "glass"),
    )
    return Body(parts, math.hypot(x, z) / 2, name="house", tall=tall + 0.25, bulk=(0.57 * x, 0.57 * tall, 0.57 * z))


def bench(draw: Draw) -> Body:
    """A park bench that looks along z."""
    x = draw.uniform(1.3, 1.7)
    parts = [
        _box(x, 0.05, 0.42, (0, -0.43, 0), "planks"),
        _box(x, 0.35, 0.05, (0, -0.68, -0.2), "planks"),
        _box(0.07, 0.41, 0.38, (-0.4 * x, -0.205, 0), "metal"),
        _box(0.07, 0.41, 0.38, (0.4 * x, -0.205, 0), "metal"),
    ]
    return Body(tuple(parts), 0.55 * x, name="bench", tall=0.85, bulk=(0.5 * x, 0.4, 0.25))


def trinket(draw: Draw) -> Body:
    """Something small that stands on a table: a bottle, a bowl, a box, a ball."""
    kind = draw.choice(("bottle", "bowl", "box", "ball"))
    if kind == "ball":
        return ball(draw, small=True)
    if kind == "bottle":
        tall, radius = draw.uniform(0.24, 0.32), draw.uniform(0.035, 0.045)
        parts: tuple[Part, ...] = (
            _post(radius, 0.7 * tall, (0, -0.35 * tall, 0), "bottle"),
            _post(0.4 * radius, 0.3 * tall, (0, -0.85 * tall, 0), "bottle"),
        )
    elif kind == "bowl":
        tall, radius = draw.uniform(0.1, 0.16), draw.uniform(0.11, 0.16)
        bowl = Part(
            ELLIPSOID, np.array([radius, tall / 2, radius]), offset=np.array([0, -tall / 2, 0]), material="clay"
        )
        parts = (bowl,)
    else:
        tall, radius = draw.uniform(0.12, 0.25), draw.uniform(0.12, 0.2)
        parts = (_box(1.4 * radius, tall, radius, (0, -tall / 2, 0), "lacquer"),)
    return Body(parts, radius, name="trinket", tall=tall, bulk=(radius, tall / 2, radius))
