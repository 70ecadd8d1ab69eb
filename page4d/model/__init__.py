"""The PAGE-4D network: VGGT with a dynamics-aware mask, and the loading of its weights."""

from page4d.model.config import PAGE4DConfig
from page4d.model.mask import MASK_STRENGTH, mask_alpha
from page4d.model.network import PAGE4D

__all__ = ["MASK_STRENGTH", "PAGE4D", "PAGE4DConfig", "mask_alpha"]
