"""The PAGE-4D network: VGGT with a dynamics-aware mask, and its weights."""

from page4d.model.config import PAGE4DConfig
from page4d.model.heads import HEADS
from page4d.model.heads.head import ALL_FRAMES
from page4d.model.mask import MASK_STRENGTH, mask_alpha
from page4d.model.memory import ForwardPass, MemoryEstimate, estimate_memory, frames_that_fit
from page4d.model.network import PAGE4D
from page4d.model.vggt import VGGT
from page4d.model.weights import save_weights

__all__ = [
    "ALL_FRAMES", "HEADS", "MASK_STRENGTH", "PAGE4D", "VGGT", "ForwardPass", "MemoryEstimate", "PAGE4DConfig",
    "estimate_memory", "frames_that_fit", "mask_alpha", "save_weights",
]  # fmt: skip
