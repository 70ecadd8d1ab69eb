"""One frozen dataclass says everything about a network's shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args, get_type_hints

import numpy as np

from page4d.io.fitting import RELEASED_PATCH, RELEASED_SIZE

MaskRows = Literal["special", "all"]

# DINOv2 with registers: width, depth, heads of each size.
ENCODERS: dict[str, tuple[int, int, int]] = {
    "dinov2_vits14_reg": (384, 12, 6),
    "dinov2_vitb14_reg": (768, 12, 12),
    "dinov2_vitl14_reg": (1024, 24, 16),
    "dinov2_vitg14_reg": (1536, 40, 24),
}

# Least and most of every number; what lies outside is a damaged file or a slip, and would take hours to build.
LIMITS: dict[str, tuple[int, int]] = {
    "img_size": (1, 8192),
    "patch_size": (1, 256),
    "embed_dim": (4, 8192),
    "depth": (1, 256),
    "num_heads": (1, 256),
    "mask_source": (0, 255),
    "masked_pairs": (0, 255),
    "dpt_features": (8, 8192),
    "dpt_channels": (1, 8192),
    "dpt_pairs": (0, 255),
    "camera_heads": (1, 256),
    "camera_trunk_depth": (1, 64),
    "track_features": (8, 4096),
    "track_hidden": (8, 8192),
    "mask_hold_start": (0, 1_000_000_000_000),
    "mask_hold_end": (0, 1_000_000_000_000),
}

FOUR_WIDTHS = "four multiples of 4"


@dataclass(frozen=True)
class PAGE4DConfig:
    """Shape of the network; the defaults are the released 1.26 B parameters with all heads.

    Note:    masked_pairs and dpt_pairs are zero-based block pairs; mask_source is the pair after whose frame attention
             the mask head reads; the mask is at full strength before step mask_hold_start and off from mask_hold_end
             on, so 0, 0 is the mask-free network (VGGT's) and anything positive is the masked one at step 0;
             mask_rows says whose attention the mask bends: the special tokens' ("special", as published) or that
             of every token ("all", an option of ours for research).
    Raises:  ValueError naming the field and both values where a type, a bound or the shape is impossible.
    """

    img_size: int = RELEASED_SIZE
    patch_size: int = RELEASED_PATCH
    embed_dim: int = 1024
    depth: int = 24
    num_heads: int = 16
    patch_embed: str = "dinov2_vitl14_reg"
    mask_source: int = 9
    masked_pairs: tuple[int, ...] = tuple(range(10, 20))
    dpt_features: int = 256
    dpt_channels: tuple[int, ...] = (256, 512, 1024, 1024)
    dpt_pairs: tuple[int, ...] = (4, 11, 17, 23)
    camera_heads: int = 16
    camera_trunk_depth: int = 4
    enable_camera: bool = True
    enable_depth: bool = True
    enable_point: bool = True
    enable_track: bool = True
    track_features: int = 128
    track_hidden: int = 384
    mask_hold_start: int = 0
    mask_hold_end: int = 0
    mask_rows: MaskRows = "special"

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            object.__setattr__(self, name, _plain(getattr(self, name)))
            self._check_type(name, kind)
        # Types and bounds first: the relations below divide by some of these numbers.
        for rules in (self._bounds(), self._relations()):
            for name, fits, expected in rules:
                if not fits:
                    raise ValueError(f"PAGE4DConfig: {name} is {getattr(self, name)!r}, expected {expected}")

    def _check_type(self, name: str, kind: Any) -> None:
        value = getattr(self, name)
        if kind == tuple[int, ...]:
            if not isinstance(value, list | tuple) or not all(type(item) is int for item in value):
                raise ValueError(f"PAGE4DConfig: {name} is {value!r}, expected a list of whole numbers")
            object.__setattr__(self, name, tuple(value))
        elif kind == MaskRows:
            if value not in get_args(MaskRows):
                raise ValueError(f"PAGE4DConfig: {name} is {value!r}, expected {' or '.join(get_args(MaskRows))}")
        elif type(value) is not kind:
            raise ValueError(f"PAGE4DConfig: {name} is {value!r}, expected {kind.__name__}")

    def _bounds(self) -> Iterator[tuple[str, bool, str]]:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            yield name, all(least <= number <= most for number in numbers), f"{least} to {most}"

    def _relations(self) -> Iterator[tuple[str, bool, str]]:
        # A head of the aggregator is turned by row and by column, each in planes of two.
        yield "embed_dim", self.embed_dim % (4 * self.num_heads) == 0, f"a multiple of 4 x num_heads {self.num_heads}"
        yield "camera_heads", 2 * self.embed_dim % self.camera_heads == 0, f"a divisor of {2 * self.embed_dim}"
        yield "img_size", self.img_size % self.patch_size == 0, f"a multiple of patch_size {self.patch_size}"
        yield "patch_embed", self.patch_embed in ("conv", *ENCODERS), f"conv or {list(ENCODERS)}"
        encoder = ENCODERS.get(self.patch_embed)
        if encoder is not None:
            yield "embed_dim", self.embed_dim == encoder[0], f"{encoder[0]}, the width of {self.patch_embed}"
        four = len(self.dpt_pairs) == 4 and list(self.dpt_pairs) == sorted(set(self.dpt_pairs))
        yield "dpt_pairs", four and self.dpt_pairs[-1] < self.depth, f"four increasing pairs below depth {self.depth}"
        yield "dpt_channels", len(self.dpt_channels) == 4 and all(c % 4 == 0 for c in self.dpt_channels), FOUR_WIDTHS
        yield "dpt_features", self.dpt_features % 8 == 0, "a multiple of 8"
        yield "track_features", self.track_features % 8 == 0, "a multiple of 8"
        yield "track_hidden", self.track_hidden % 8 == 0, "a multiple of 8"
        # The mask is known between a pair's two attentions, so it can act in the second one of its own pair.
        known = all(self.mask_source <= pair < self.depth for pair in self.masked_pairs)
        yield "masked_pairs", known, f"pairs from mask_source {self.mask_source} on and below depth {self.depth}"
        yield "mask_hold_start", self.mask_hold_start <= self.mask_hold_end, f"<= mask_hold_end {self.mask_hold_end}"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from plain values (lists for tuples), as stored in a weights file.

        Raises:  ValueError naming fields that this version does not know, and where the class raises one.
        """
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"PAGE4DConfig has no field {unknown}; the weights come from another version of page4d")
        return cls(**values)


def _plain(value: Any) -> Any:
    """Numbers of numpy, which loops over settings bring, as Python's own; so they are written to JSON, too."""
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value
