"""VGGT under its own name: the same network with VGGT's arguments and defaults."""

from __future__ import annotations

from typing import Any

from page4d.model.config import PAGE4DConfig
from page4d.model.network import PAGE4D


class VGGT(PAGE4D):
    """PAGE4D as VGGT's users build it: VGGT() or VGGT(518, 14, 1024), all heads, the mask off.

    Note:    VGGT's state dicts load strictly; a mask head stands unused in the network, and in `state_dict()`.
             Any further field of PAGE4DConfig may be given by name.
    Raises:  ValueError for shapes that this architecture does not have.
    """

    def __init__(
        self,
        img_size: int | PAGE4DConfig = PAGE4DConfig.img_size,
        patch_size: int = PAGE4DConfig.patch_size,
        embed_dim: int = PAGE4DConfig.embed_dim,
        enable_camera: bool = True,
        enable_point: bool = True,
        enable_depth: bool = True,
        enable_track: bool = True,
        **fields: Any,
    ) -> None:
        if isinstance(img_size, PAGE4DConfig):  # as from_pretrained builds a network
            super().__init__(img_size)
            return
        super().__init__(
            img_size=img_size,
            patch_size=patch_size,
            embed_dim=embed_dim,
            enable_camera=enable_camera,
            enable_point=enable_point,
            enable_depth=enable_depth,
            enable_track=enable_track,
            **fields,
        )
