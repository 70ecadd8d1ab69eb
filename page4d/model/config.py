"""One frozen dataclass says everything about a network's shape."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, Self

MaskRows = Literal["special", "all"]

# DINOv2 with registers: width, depth, heads of each size.
ENCODERS: dict[str, tuple[int, int, int]] = {
    "dinov2_vits14_reg": (384, 12, 6),
    "dinov2_vitb14_reg": (768, 12, 12),
    "dinov2_vitl14_reg": (1024, 24, 16),
    "dinov2_vitg14_reg": (1536, 40, 24),
}


@dataclass(frozen=True)
class PAGE4DConfig:
    """Shape of the network; the defaults are the released 1.26 B parameters with all heads.

    Fields:  masked_pairs and dpt_pairs are zero-based block pairs; mask_source is the pair after whose frame attention
             the mask head reads; the mask is at full strength before step mask_hold_start and off from mask_hold_end
             on, so 0, 0 is the mask-free network (VGGT's) and anything positive is the masked one at step 0;
             mask_rows says whose attention the mask bends: the special tokens' ("special", as published) or that
             of every token ("all", an option of ours for research).
    Errors:  ValueError naming the field and both values where the shape is impossible.
    """

    img_size: int = 518
    patch_size: int = 14
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
        for name in ("masked_pairs", "dpt_channels", "dpt_pairs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        needs = {
            "img_size": (self.img_size % self.patch_size == 0, f"a multiple of patch_size {self.patch_size}"),
            "embed_dim": (self.embed_dim % (4 * self.num_heads) == 0, f"a multiple of 4 x num_heads {self.num_heads}"),
            "camera_heads": (2 * self.embed_dim % self.camera_heads == 0, f"a divisor of {2 * self.embed_dim}"),
            "patch_embed": (self.patch_embed == "conv" or self.patch_embed in ENCODERS, f"conv or {list(ENCODERS)}"),
            "dpt_pairs": (self._four_pairs(self.dpt_pairs), f"four increasing pairs below depth {self.depth}"),
            "dpt_channels": (len(self.dpt_channels) == 4, "four widths"),
            "dpt_features": (self.dpt_features % 8 == 0, "a multiple of 8"),
            "masked_pairs": (
                all(self.mask_source < pair < self.depth for pair in self.masked_pairs),
                f"pairs after mask_source {self.mask_source} and below depth {self.depth}",
            ),
            "mask_rows": (self.mask_rows in ("special", "all"), "special or all"),
            "mask_hold_start": (0 <= self.mask_hold_start <= self.mask_hold_end, "0 <= start <= mask_hold_end"),
        }
        for name, (fine, needed) in needs.items():
            if not fine:
                raise ValueError(f"PAGE4DConfig: {name} is {getattr(self, name)}, needed {needed}")
        if self.patch_embed in ENCODERS and ENCODERS[self.patch_embed][0] != self.embed_dim:
            width = ENCODERS[self.patch_embed][0]
            raise ValueError(f"PAGE4DConfig: {self.patch_embed} has width {width}, embed_dim is {self.embed_dim}")

    def _four_pairs(self, pairs: tuple[int, ...]) -> bool:
        return len(pairs) == 4 and list(pairs) == sorted(set(pairs)) and pairs[0] >= 0 and pairs[-1] < self.depth

    def pairs_read(self) -> set[int]:
        """Block pairs whose tokens the heads read; nothing else needs to be kept."""
        dense = self.enable_depth or self.enable_point or self.enable_track
        return {self.depth - 1, *(self.dpt_pairs if dense else ())}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from plain values (lists for tuples), as stored in a weights file.

        Errors:  ValueError naming fields that this version does not know.
        """
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"PAGE4DConfig has no field {unknown}; the weights come from another version of page4d")
        return cls(**values)
