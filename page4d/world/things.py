"""What rolls, slides, drives, crawls and hangs: each of the size of its kind, but for what hangs in the air."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from page4d.world.bodies import TAU, ZERO, Body, BodyPath, Joint, Part, Y, Z
from page4d.world.draw import Draw, turn
from page4d.world.solids import BOX, CAPSULE, CYLINDER, ELLIPSOID

# A cylinder stands along y; this lays it along x, as an axle lies under a car that drives along z.
ACROSS = turn(Z, math.pi / 2)
# An ellipsoid covers as much as a box seen from the side if its half sizes are this much of the box's sizes.
BOX_BULK = 0.57

Size = tuple[float, float, float]


def box(size: Size, bottom: float, material: str, x: float = 0.0, z: float = 0.0) -> Part:
    """A box whose underside is `bottom` metres above the foot of its body."""
    half = np.array(size) / 2
    offset = np.array([x, -bottom - half[1], z])
    return Part(BOX, half, offset=offset, material=material)


def post(radius: float, tall: float, bottom: float, material: str) -> Part:
    """An upright cylinder whose underside is `bottom` metres above the foot of its body."""
    half = np.array([radius, tall / 2, radius])
    offset = np.array([0.0, -bottom - tall / 2, 0.0])
    return Part(CYLINDER, half, offset=offset, material=material)


def boxy(size: Size) -> Size:
    """The bulk of a body that is about a box."""
    x, y, z = size
    return BOX_BULK * x, BOX_BULK * y, BOX_BULK * z


_BALLS = (("football", 0.11), ("basketball", 0.12), ("beachball", 0.2), ("gymball", 0.33))


def ball(draw: Draw, small: bool = False) -> Body:
    """A football, a basketball, a beach ball or a gym ball; small ones lie on tables."""
    if small:
        material, usual = draw.choice(_BALLS[:2])
    else:
        material, usual = draw.choice(_BALLS, (0.6, 0.6, 1.0, 1.6))
    radius = usual * draw.uniform(0.97, 1.03)
    part = Part(ELLIPSOID, np.full(3, radius), material=material)
    return Body(
        (part,),
        radius,
        path=BodyPath(ZERO, start=draw.rotation()),
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
    if not lying:
        wide = 1.1 * radius
        bulk = (wide, 0.55 * long, wide)
        return Body((part,), radius, name="barrel", rise=long / 2, tall=long, deck=0.8 * radius, bulk=bulk)
    reach = math.hypot(radius, long / 2)
    bulk = (0.9 * reach, radius, 0.9 * reach)
    return Body((part,), reach, name="barrel", gait="roll", rise=radius, tall=2 * radius, bulk=bulk)


def wheel(draw: Draw) -> Body:
    """A tyre that rolls upright."""
    radius, wide = draw.uniform(0.3, 0.36), draw.uniform(0.17, 0.22)
    tread = Part(CYLINDER, np.array([radius, wide / 2, radius]), material="tyre")
    inner = 0.6 * radius
    hub = Part(CYLINDER, np.array([inner, 0.51 * wide, inner]), material="hub")
    bulk = (0.8 * radius, radius, 0.8 * radius)
    return Body((tread, hub), radius, name="wheel", gait="roll", rise=radius, tall=2 * radius, bulk=bulk)


def crate(draw: Draw) -> Body:
    """A wooden or cardboard box that stands, or slides."""
    y = draw.uniform(0.4, 0.9)
    x, z = y * draw.uniform(0.8, 1.2), y * draw.uniform(0.8, 1.2)
    part = Part(BOX, np.array([x, y, z]) / 2, material=draw.choice(("planks", "cardboard")))
    radius = math.hypot(x, z) / 2
    # Crates stand at any angle to the sight, so they cover more than their front.
    bulk = (0.65 * x, 0.58 * y, 0.65 * z)
    return Body((part,), radius, name="crate", gait="slide", rise=y / 2, tall=y, deck=0.35 * y, bulk=bulk)


def cart(draw: Draw) -> Body:
    """A cupboard on rollers, for rooms: as tall as a person and wide, so that it can fill a picture."""
    x, y, z = draw.uniform(0.8, 1.3), draw.uniform(1.3, 1.9), draw.uniform(0.45, 0.6)
    parts = (
        box((x, y - 0.08, z), 0.08, "lacquer"),
        box((0.85 * x, 0.08, 0.85 * z), 0.0, "rubber"),
    )
    return Body(parts, math.hypot(x, z) / 2, name="cart", gait="slide", tall=y, bulk=boxy((x, y, z)))


def _car_wheel(place: Size, radius: float, speed: float) -> Part:
    """A wheel about its axle, which turns as fast as the car drives."""
    axle = Joint(np.array(place), turning=-speed / radius)
    half = np.array([radius, 0.11, radius])
    return Part(CYLINDER, half, turn=ACROSS, joints=(axle,), material="tyre")


def car(draw: Draw, speed: float) -> Body:
    """A car of 3.8 to 4.5 m that drives along z, wheels turning with its speed."""
    long, wide = draw.uniform(3.8, 4.5), draw.uniform(1.65, 1.8)
    sill, belt, roof = 0.26, draw.uniform(0.82, 0.95), draw.uniform(1.38, 1.6)
    cabin, back = draw.uniform(0.45, 0.6) * long, -0.06 * long
    hull = box((wide, belt - sill, long), sill, "carpaint")
    windows = box((0.86 * wide, roof - belt - 0.06, cabin), belt, "glass", z=back)
    top = box((0.84 * wide, 0.06, 0.94 * cabin), roof - 0.06, "carpaint", z=back)
    parts = [hull, windows, top]
    radius, track, base = 0.31, wide / 2 - 0.09, 0.31 * long
    for x in (-track, track):
        parts += [_car_wheel((x, -radius, z), radius, speed) for z in (-base, base)]
    bulk = (0.55 * wide, 0.5 * roof, 0.53 * long)
    body = Body(tuple(parts), 0.45 * long, name="car", tall=roof, bulk=bulk)
    return replace(body, moving=True, gait="walk") if speed else body


def jelly(draw: Draw, radius: float) -> Body:
    """An ellipsoid that breathes and leans; its bob keeps its lowest point where it stands."""
    half, stretch = radius * draw.vector(0.6, 0.8), draw.vector(0.15, 0.35)
    phase, rate = draw.vector(0, TAU), draw.uniform(2.0, 6.0)
    shear = draw.vector(-0.4, 0.4)
    part = Part(ELLIPSOID, half, stretch=stretch, stretch_phase=phase, shear=shear, material="jelly")
    across, high, deep = half.tolist()
    # Leaning moves no point up or down, so the height of the middle is the half height, breath included.
    bob = (-high * float(stretch[1]), rate, float(phase[1]))
    return Body(
        (part,),
        radius,
        moving=True,
        rate=rate,
        name="jelly",
        gait="slide",
        rise=high,
        tall=2.6 * high,
        bulk=(across, high, deep),
        bob=bob,
    )


def worm(draw: Draw, radius: float) -> Body:
    """Three links on upright hinges that bend in a travelling wave, flat on the ground."""
    rate, thick, link = draw.uniform(2.0, 5.0), radius * 0.3, radius * 0.33
    swing, phase = draw.uniform(0.4, 0.8), draw.uniform(0, TAU)
    half = np.array([thick, thick, link * 1.25])
    front = Joint(link * Z, Y, 0.0, swing, phase)
    back = Joint(-link * Z, Y, 0.0, swing, phase + 1.5)
    middle = Part(ELLIPSOID, half, material="fur")
    head = Part(ELLIPSOID, half * 0.92, offset=0.9 * link * Z, joints=(front,), material="fur")
    tail = Part(ELLIPSOID, half * 0.92, offset=-0.9 * link * Z, joints=(back,), material="fur")
    bulk = (1.2 * thick, thick, 0.9 * radius)
    return Body(
        (middle, head, tail),
        radius,
        moving=True,
        rate=rate,
        name="worm",
        gait="walk",
        rise=thick,
        tall=2 * thick,
        bulk=bulk,
    )


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
        high = math.sqrt(radius**2 - thick**2)
        return Part(kind, np.array([thick, high, thick]))
    return Part(kind, np.full(3, thick), length=(radius - thick) / thick)


def floater(draw: Draw, radius: float) -> Body:
    """A solid of no kind and any size that hangs in the air: one picture cannot tell how far away it is."""
    path = BodyPath(ZERO, start=draw.rotation())
    side = 0.75 * radius
    return Body(
        (_loose(draw, radius),),
        radius,
        path=path,
        name="floater",
        gait="hang",
        rise=radius,
        tall=2 * radius,
        bulk=(side, side, side),
    )
