"""The dynamics-aware mask, a learned attention bias: which patches the pose tokens should not look at.

A patch's score m is negative where it moves and positive where it stands still. In the pairs of `masked_pairs` (a pair
is a frame block and the global block after it) the global attention adds `key_bias` of m to the logits of its biased
rows: those of the camera and register tokens, or all with mask_rows="all". So these tokens look away from what moves.
The adding itself is done in `layers.special_rows_biased`.

The paper writes the mask as -alpha * sigmoid(-m / tau) with learned alpha and tau; the released code and weights are
what stands here: m = sigmoid(...) - 0.5, times the constant 64 and a scheduled alpha. So the bias lies between -32 and
32 and raises still patches where it lowers moving ones; the paper's form can only lower.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from page4d.model.layers import NUM_SPECIAL

MASK_STRENGTH = 64.0  # whatever the head dimension: the bias is not divided by sqrt(head_dim)
MOVING_SHARE = 0.25
HIDDEN = 256  # at any width of the network


def mask_alpha(step: int, hold_start: int, hold_end: int) -> float:
    """Strength of the mask at an optimizer step: 1 before hold_start, a half cosine down to 0 at hold_end.

    Note:    the public code counts forward passes in an attribute that no checkpoint saves; here the caller counts
             optimizer steps and restores them.
    """
    if step >= hold_end:
        return 0.0
    if step < hold_start:
        return 1.0
    # Fading slowly out: the pose learns to do without the mask that told it where to look.
    share = (step - hold_start) / (hold_end - hold_start)
    return 0.5 * (1.0 + math.cos(math.pi * share))


class SpatialMaskHead(nn.Module):
    """One score m in (-0.5, 0.5) per patch, negative where it moves: patch tokens (B * S, N, C) -> (B * S, N)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        around = nn.Conv2d(width, width, 3, padding=1, groups=width)
        mix, out = nn.Conv2d(width, HIDDEN, 1), nn.Conv2d(HIDDEN, 1, 1)
        self.head0 = nn.Sequential(around, nn.GELU(), mix, nn.GELU(), out)

    def forward(self, patches: Tensor, height: int, width: int) -> Tensor:
        # Detached: the mask must not shape the tokens it reads.
        tokens = patches.detach().transpose(1, 2).unflatten(2, (height, width))
        # Each channel against its own frame: what stands out from the rest of the picture, whatever the scene.
        mean = tokens.mean((2, 3), keepdim=True)
        deviation = tokens.std((2, 3), keepdim=True).clamp(min=1e-6)
        z = (tokens - mean) / deviation
        # The paper's Figure 2: the channel mean already shows what moves, as low values. The head learns the rest.
        logits = self.head0(z) + z.mean(1, keepdim=True)
        return torch.sigmoid(logits).flatten(1) - 0.5


def key_bias(m: Tensor, alpha: float) -> Tensor:
    """What biased rows' logits gain per key: m (B, S, N) -> (B, S * (NUM_SPECIAL + N)), 0 at special keys."""
    # Camera and register tokens stand for whole frames; they are neither moving nor still.
    padded = torch.nn.functional.pad(m, (NUM_SPECIAL, 0))
    return (MASK_STRENGTH * alpha * padded).flatten(1)


def true_mask(moving: Tensor, patch_size: int) -> Tensor:
    """The mask m that a head would give if it knew what moves: -0.5 for patches that move, 0 for those that do not.

    Shapes:  moving bool (*, H, W) -> (*, h, w).
    Note:    ours, an upper bound for research: with MASK_STRENGTH a moving patch's key loses 32, and a quarter of a
             patch is enough to make it one.
    """
    share = torch.nn.functional.avg_pool2d(moving.float().flatten(0, -3)[:, None], patch_size)
    moves: Tensor = share.squeeze(1).unflatten(0, moving.shape[:-2]) >= MOVING_SHARE
    return -0.5 * moves.float()
