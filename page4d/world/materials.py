"""What things are made of: for each material its colours and its pattern, drawn anew for every body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from page4d.world.bodies import Part
from page4d.world.draw import Array, Draw
from page4d.world.textures import CELLS, Paint, draw_colour, draw_paint

RGB = tuple[float, float, float]
Span = tuple[float, float]


@dataclass(frozen=True)
class Material:
    """Colours to choose from (none: any hue of some value and saturation) and how they mix.

    Units:   frequency in cycles per metre, or per body half size if `fitted`; contrast is how much darker (below 1)
             or lighter the second colour is, 0 for a colour of its own.
    """

    colours: tuple[RGB, ...] = ()
    value: Span = (0.3, 0.95)
    saturation: float = 0.8
    contrast: Span = (0.75, 0.95)
    frequency: Span = (2.0, 4.0)
    stripes: Span = (0.0, 0.0)
    tiles: Span = (0.0, 0.0)
    warp: Span = (0.0, 0.5)
    sharpness: Span = (0.8, 2.0)
    grain: Span = (0.05, 0.15)
    fitted: bool = False


_OWN_COLOUR = 0.05
_SKINS = ((0.96, 0.8, 0.69), (0.87, 0.66, 0.52), (0.68, 0.47, 0.34), (0.45, 0.3, 0.21))
_HAIRS = ((0.1, 0.08, 0.07), (0.26, 0.16, 0.1), (0.45, 0.28, 0.14), (0.8, 0.66, 0.4), (0.6, 0.6, 0.6))
_WOODS = ((0.72, 0.5, 0.3), (0.55, 0.35, 0.2), (0.83, 0.67, 0.47), (0.38, 0.24, 0.15))
_PALE = ((0.93, 0.9, 0.84), (0.85, 0.89, 0.92), (0.9, 0.85, 0.78), (0.84, 0.9, 0.83), (0.95, 0.87, 0.8))
_GREENS = ((0.25, 0.48, 0.18), (0.35, 0.55, 0.2), (0.2, 0.4, 0.22), (0.5, 0.58, 0.25))

_DENIMS = ((0.2, 0.26, 0.42), (0.16, 0.16, 0.18), (0.45, 0.38, 0.28), (0.35, 0.36, 0.38), (0.3, 0.36, 0.25))
_SHOES = ((0.1, 0.1, 0.1), (0.85, 0.85, 0.85), (0.4, 0.22, 0.12), (0.7, 0.15, 0.15))
_FURS = ((0.5, 0.33, 0.18), (0.16, 0.13, 0.11), (0.85, 0.78, 0.66), (0.68, 0.46, 0.24))
_TILES = ((0.85, 0.82, 0.76), (0.6, 0.62, 0.65), (0.75, 0.55, 0.45))
_BRICKS = ((0.62, 0.33, 0.25), (0.85, 0.8, 0.7), (0.75, 0.62, 0.48))
_MEADOWS = ((0.42, 0.55, 0.25), (0.5, 0.58, 0.3), (0.36, 0.5, 0.24))
_BEACHBALLS = ((0.95, 0.95, 0.92), (0.98, 0.85, 0.2))
_RUBBER = ((0.12, 0.12, 0.13),)

MATERIALS: dict[str, Material] = {}

# People and animals.
MATERIALS["skin"] = Material(_SKINS, contrast=(0.9, 1.0), grain=(0.0, 0.05))
MATERIALS["hair"] = Material(_HAIRS, contrast=(0.6, 0.8), frequency=(12.0, 20.0), stripes=(0.5, 1.0))
MATERIALS["shirt"] = Material(contrast=(0.0, 0.9), frequency=(3.0, 7.0), stripes=(0.0, 1.2), warp=(0.0, 0.2))
MATERIALS["trousers"] = Material(
    _DENIMS,
    contrast=(0.8, 0.95),
    frequency=(8.0, 16.0),
)
MATERIALS["shoe"] = Material(_SHOES)
MATERIALS["fur"] = Material(
    _FURS,
    contrast=(0.5, 0.9),
    frequency=(2.0, 5.0),
    grain=(0.2, 0.4),
)

# Balls, drums and wheels.
MATERIALS["football"] = Material(
    ((0.95, 0.95, 0.95),),
    contrast=(0.1, 0.2),
    frequency=(1.3, 1.6),
    tiles=(1.5, 2.0),
    sharpness=(3, 5),
    fitted=True,
)
MATERIALS["basketball"] = Material(
    ((0.85, 0.43, 0.16),),
    contrast=(0.2, 0.3),
    frequency=(0.9, 1.1),
    stripes=(1.0, 1.3),
    sharpness=(2, 3),
    fitted=True,
)
MATERIALS["beachball"] = Material(
    _BEACHBALLS,
    contrast=(0, 0),
    frequency=(0.9, 1.3),
    stripes=(3, 4),
    warp=(0, 0),
    sharpness=(2, 3),
    fitted=True,
)
MATERIALS["gymball"] = Material(
    value=(0.6, 0.95), contrast=(0.6, 0.8), frequency=(2.0, 3.0), stripes=(2, 3), fitted=True
)
MATERIALS["drum"] = Material(
    value=(0.35, 0.8),
    contrast=(0.6, 1.3),
    frequency=(2.0, 3.0),
    stripes=(1.5, 2.5),
    sharpness=(1.5, 3),
)
MATERIALS["tyre"] = Material(_RUBBER, contrast=(0.6, 0.7), frequency=(3.0, 4.0), tiles=(0.5, 1.0), fitted=True)
MATERIALS["hub"] = Material(((0.75, 0.76, 0.78),), contrast=(0.3, 0.4), frequency=(1.0, 1.4), tiles=(1, 2), fitted=True)
MATERIALS["rubber"] = Material(((0.1, 0.1, 0.11),))

# Boxes, cars, furniture.
MATERIALS["planks"] = Material(
    _WOODS, contrast=(0.6, 0.8), frequency=(5.0, 8.0), stripes=(2.0, 3.0), sharpness=(0.8, 1.2)
)
MATERIALS["cardboard"] = Material(((0.76, 0.6, 0.42), (0.68, 0.52, 0.35)), contrast=(0.85, 0.95), frequency=(2.0, 4.0))
MATERIALS["lacquer"] = Material(value=(0.5, 0.95), saturation=0.45, contrast=(0.85, 1.0), frequency=(1.5, 2.5))
MATERIALS["carpaint"] = Material(value=(0.25, 0.9), saturation=0.9, contrast=(0.92, 1.0), grain=(0.0, 0.05))
MATERIALS["glass"] = Material(((0.16, 0.2, 0.26), (0.25, 0.31, 0.38)), contrast=(1.2, 1.5), frequency=(1.0, 2.0))
MATERIALS["wood"] = Material(_WOODS, contrast=(0.7, 0.85), frequency=(7.0, 12.0), stripes=(0.8, 1.2), warp=(1.0, 2.5))
MATERIALS["metal"] = Material(((0.55, 0.56, 0.58), (0.2, 0.2, 0.22), (0.75, 0.7, 0.55)), contrast=(0.8, 1.0))
MATERIALS["cloth"] = Material(
    value=(0.35, 0.9), saturation=0.5, contrast=(0.6, 0.95), frequency=(3, 7), stripes=(0.0, 1.0)
)

# Plants, pots, lamps, houses.
MATERIALS["leaves"] = Material(_GREENS, contrast=(0.4, 0.6), frequency=(2.5, 4.5), warp=(2.0, 3.0), grain=(0.3, 0.5))
MATERIALS["bark"] = Material(
    ((0.36, 0.27, 0.2), (0.5, 0.45, 0.4)), contrast=(0.5, 0.7), frequency=(5, 8), stripes=(0.6, 1.0)
)
MATERIALS["clay"] = Material(((0.7, 0.38, 0.25), (0.85, 0.82, 0.75), (0.3, 0.45, 0.55)), contrast=(0.8, 0.95))
MATERIALS["shade"] = Material(((0.98, 0.92, 0.78), (0.9, 0.6, 0.4)), contrast=(0.9, 1.0))
MATERIALS["bottle"] = Material(((0.2, 0.42, 0.25), (0.45, 0.25, 0.1), (0.6, 0.75, 0.8)), contrast=(0.8, 1.0))
MATERIALS["brick"] = Material(
    _BRICKS,
    contrast=(0.75, 0.9),
    frequency=(3, 5),
    tiles=(0.8, 1.4),
    warp=(0.0, 0.2),
)
MATERIALS["roof"] = Material(((0.4, 0.22, 0.18), (0.3, 0.3, 0.33)), contrast=(0.7, 0.9), stripes=(0.6, 1.0))
MATERIALS["jelly"] = Material(
    value=(0.6, 1.0), saturation=1.0, contrast=(0.0, 0.8), frequency=(2.0, 4.0), tiles=(0.6, 1.2)
)

# Walls and ceilings.
MATERIALS["plaster"] = Material(
    _PALE, contrast=(0.84, 0.93), frequency=(2.0, 4.0), sharpness=(0.4, 0.8), grain=(0.08, 0.16)
)
MATERIALS["wallpaper"] = Material(
    _PALE, contrast=(0.72, 0.88), frequency=(2.5, 5.0), stripes=(2.5, 3.5), warp=(0.0, 0.1), sharpness=(0.5, 1.0)
)
MATERIALS["squares"] = Material(
    _PALE, contrast=(0.72, 0.88), frequency=(1.5, 3.5), tiles=(2.5, 3.5), warp=(0.0, 0.1), sharpness=(0.6, 1.2)
)
MATERIALS["paint"] = Material(
    value=(0.6, 0.9), saturation=0.45, contrast=(0.8, 0.92), frequency=(2.0, 4.0), sharpness=(0.4, 0.8)
)
MATERIALS["panels"] = Material(_WOODS, contrast=(0.7, 0.85), frequency=(4, 7), stripes=(2, 3), sharpness=(0.6, 1.0))
MATERIALS["ceiling"] = Material(((0.97, 0.97, 0.95),), contrast=(0.9, 0.96), frequency=(1.5, 3.0), sharpness=(0.4, 0.8))

# Floors and ground.
MATERIALS["boards"] = Material(
    _WOODS, contrast=(0.72, 0.86), frequency=(5.0, 9.0), stripes=(2, 3), sharpness=(0.5, 0.9)
)
MATERIALS["tiles"] = Material(
    _TILES,
    contrast=(0.55, 0.85),
    frequency=(1.6, 3.2),
    tiles=(2.5, 3.5),
    sharpness=(1, 2),
    warp=(0, 0),
)
MATERIALS["carpet"] = Material(
    value=(0.35, 0.8), saturation=0.5, contrast=(0.6, 0.9), frequency=(1, 2), tiles=(0.0, 0.8)
)
MATERIALS["grass"] = Material(
    _MEADOWS,
    contrast=(0.7, 0.85),
    frequency=(1.2, 2.4),
    sharpness=(0.5, 1.0),
    grain=(0.3, 0.5),
)
MATERIALS["sand"] = Material(
    ((0.82, 0.74, 0.58),), contrast=(0.82, 0.92), frequency=(1.2, 2.4), sharpness=(0.5, 1.0), grain=(0.2, 0.35)
)
MATERIALS["asphalt"] = Material(
    ((0.45, 0.45, 0.47), (0.55, 0.54, 0.52)), contrast=(0.8, 0.9), frequency=(1.2, 2.4), sharpness=(0.5, 1.0)
)
MATERIALS["paving"] = Material(
    ((0.68, 0.66, 0.62), (0.7, 0.6, 0.52)),
    contrast=(0.7, 0.85),
    frequency=(1.5, 2.5),
    tiles=(2.0, 3.0),
    sharpness=(0.8, 1.4),
)


def near_colour(draw: Draw, rgb: Sequence[float], spread: float) -> list[float]:
    """A colour about `rgb`: as a whole lighter or darker, each channel a little for itself."""
    light, own = draw.uniform(1 - spread, 1 + spread), 0.3 * spread
    return [min(1.0, channel * light * draw.uniform(1 - own, 1 + own)) for channel in rgb]


def _matrix(draw: Draw, half: list[float], frequency: float, flat: bool, fitted: bool) -> Array:
    """From local coordinates to cycles of the pattern; stripes run along the material's x."""
    scale = frequency / max(half) if fitted else frequency
    shift = [draw.uniform(0, CELLS), draw.uniform(0, CELLS), draw.uniform(0, CELLS)]
    if flat:
        # On a plane sin(pi y + pi / 2), the third factor of the tiles, has to be 1.
        shift[1] = 2.0 * draw.integer(0, CELLS // 2 - 1)
    x, y, z = (scale * side for side in half)
    return np.array(((x, 0.0, 0.0, shift[0]), (0.0, y, 0.0, shift[1]), (0.0, 0.0, z, shift[2])))


def dress(draw: Draw, part: Part, detail: float, flat: bool = False) -> Paint:
    """The paint of a part from what it is made of; `flat` for walls and ground."""
    material = MATERIALS.get(part.material)
    if material is None:
        return draw_paint(draw, part.half, detail, surface=flat)
    if material.colours:
        first = near_colour(draw, draw.choice(material.colours), 0.15)
    else:
        first = draw_colour(draw, *material.value, material.saturation)
    contrast = draw.uniform(*material.contrast)
    second = [min(1.0, channel * contrast) for channel in near_colour(draw, first, 0.1)]
    if contrast < _OWN_COLOUR:
        second = draw_colour(draw, 0.5, 0.95, 1.0)
    third = near_colour(draw, first, 0.2)
    frequency = draw.uniform(*material.frequency) * detail
    half = part.half.tolist()
    matrix = _matrix(draw, half, frequency, flat, material.fitted)
    spans = (material.stripes, material.tiles, material.warp, material.sharpness, material.grain)
    pattern = [draw.uniform(*span) for span in spans]
    # The renderer fades patterns by cycles a pixel covers, so it asks for cycles per metre.
    per_metre = frequency / max(half) if material.fitted else frequency
    return Paint(matrix, np.array(first + second + third), np.array([*pattern, per_metre]))
