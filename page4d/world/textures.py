"""Colours painted on the material: noise, stripes and tiles in each solid's own coordinates.

Patterns fade where a pixel covers more of the material than they can show, so that 48-pixel images do not
sparkle. Textures move with their body because they read the material's coordinates, never the world's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.world.draw import Array, Draw

CELLS = 32
OCTAVES = 4
_LACUNARITY = 2.13


@lru_cache(maxsize=8)
def _noise_volume(device: str, dtype: torch.dtype) -> Tensor:
    """Lattice noise, two channels, closed to a torus: (1, 2, C + 1, C + 1, C + 1) in [-1, 1]."""
    generator = torch.Generator().manual_seed(20240229)
    volume = torch.rand((1, 2, CELLS, CELLS, CELLS), generator=generator, dtype=torch.float64) * 2 - 1
    return F.pad(volume, (0, 1, 0, 1, 0, 1), mode="circular").to(device, dtype)


def noise(points: Tensor) -> Tensor:
    """Two channels of trilinear lattice noise of period CELLS: points (P, 3) -> (2, P) in [-1, 1]."""
    volume = _noise_volume(str(points.device), points.dtype)
    grid = torch.remainder(points, CELLS).mul_(2.0 / CELLS).sub_(1.0)
    return F.grid_sample(volume, grid[None, None, None], mode="bilinear", align_corners=True, padding_mode="border")[
        0, :, 0, 0
    ]


def paint(coordinates: Tensor, colours: Tensor, pattern: Tensor, footprint: Tensor) -> Tensor:
    """Colour of material points before light.

    Shapes:  coordinates (3, P) in cycles, colours (9, P) three RGB, pattern (6, P), footprint (P,) cycles a pixel
             covers -> (3, P).
    """
    stripes, tiles, warp, sharpness, grain, _ = pattern
    fine = torch.zeros_like(footprint)
    broad = torch.zeros_like(footprint)
    tint = torch.zeros_like(footprint)
    frequency, points = 1.0, coordinates.T.contiguous()
    for octave in range(OCTAVES):
        first, second = noise(points * frequency + 7.3 * octave)
        # An octave whose cell is below two pixels cannot be shown; it fades out between four and two.
        fade = (2.0 - 4.0 * frequency * footprint).clamp_(0.0, 1.0)
        if octave < 2:
            broad.addcmul_(first, fade, value=0.9 / (octave + 1))
            tint.addcmul_(second, fade, value=0.6)
        else:
            fine.addcmul_(first, fade, value=0.75)
        frequency *= _LACUNARITY
    phase = coordinates * math.pi
    wave = torch.sin(phase[0] + warp * broad)
    across, deep = torch.sin(phase[0]), torch.sin(phase[2])
    board = across * deep * torch.sin(phase[1] + math.pi / 2)
    fade = (2.0 - 2.0 * footprint).clamp_(0.0, 1.0)
    signal = broad + fade * (stripes * wave + tiles * board)
    # An edge cannot be sharper than a pixel.
    edge = torch.minimum(sharpness, 0.5 / footprint)
    mix = (0.5 + 0.5 * signal * edge).clamp_(0.0, 1.0)
    base = torch.lerp(colours[0:3], colours[3:6], mix)
    base = torch.lerp(base, colours[6:9], tint.clamp_(0.0, 1.0) * 0.6)
    return base.mul_(1.0 + grain * fine).clamp_(0.0, 1.0)


@dataclass(frozen=True)
class Paint:
    """One solid's texture: matrix (3, 4) from local coordinates to cycles, three colours (9,), pattern (6,)."""

    matrix: Array
    colours: Array
    pattern: Array


def draw_colour(draw: Draw, low: float, high: float, saturation: float) -> list[float]:
    """A colour of value in [low, high) and saturation up to the given one, any hue."""
    value, hue, depth = draw.uniform(low, high), draw.unit() * 6, saturation * draw.unit()
    wheel = (min(max(abs((hue + shift) % 6 - 3) - 1, 0.0), 1.0) for shift in (0.0, 4.0, 2.0))
    return [value * (1 - depth * (1 - part)) for part in wheel]


def draw_paint(draw: Draw, half_sizes: Array, detail: float, surface: bool) -> Paint:
    """A random texture for a solid of the given half sizes; `surface` for walls and ground: calmer, aligned."""
    frequency = (draw.uniform(0.8, 2.2) if surface else draw.uniform(1.5, 5.0)) * detail
    matrix = np.zeros((3, 4))
    matrix[:, :3] = np.diag(half_sizes) if surface or draw.chance(0.5) else draw.rotation() * half_sizes
    matrix *= frequency
    matrix[:, 3] = draw.vector(0, CELLS)
    if surface:
        matrix[1, 3] = 2.0 * draw.integer(0, CELLS // 2 - 1)  # sin(pi y + pi / 2) is 1 on the plane
    style = draw.choice(("noise", "stripes", "tiles", "both"), (1.2, 0.7, 1.0, 0.5))
    stripes = draw.uniform(0.6, 1.4) * (style in ("stripes", "both"))
    tiles = draw.uniform(0.8, 1.6) * (style in ("tiles", "both"))
    low, high, saturation = (0.4, 1.0, 0.6) if surface else (0.15, 1.0, 1.0)
    colours = [channel for _ in range(3) for channel in draw_colour(draw, low, high, saturation)]
    pattern = (stripes, tiles, draw.uniform(0, 3), draw.uniform(0.8, 4.0), draw.uniform(0.15, 0.5), frequency)
    return Paint(matrix, np.array(colours), np.array(pattern))
