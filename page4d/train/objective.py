"""What one step minimizes: the network's losses, and what the world's exact truth teaches beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from page4d.losses import LOSSES, LossConfig, Targets, total_loss
from page4d.model import ALL_FRAMES, PAGE4DConfig
from page4d.model.heads import heads_of
from page4d.train.aid import aid_loss, mask_loss
from page4d.train.batch import TrainBatch
from page4d.train.settings import Settings

DENSE_SEED = 1999
AID_TERMS = ("loss_network", "aid_matching", "aid_flow", "aid_accuracy", "aid_flow_ratio")


def dense_frames(number: int, every: int, frames: int) -> slice:
    """Which frames of batch `number` teach depth and points: every n-th from a first one that the number draws."""
    if every == 1:
        return ALL_FRAMES
    first = int(np.random.default_rng((DENSE_SEED, number)).integers(min(every, frames)))
    return slice(first, None, every)


def query_points_of(batch: TrainBatch, loss: LossConfig) -> Tensor | None:
    """The first frame's track points, if the track loss counts at all."""
    return batch.tracks[:, 0] if batch.tracks is not None and loss.track.weight > 0 else None


def term_names(settings: Settings, model: PAGE4DConfig) -> tuple[str, ...]:
    """Every term that `objective` can give in a run, whatever a batch holds, in one order."""
    names = {"objective"}
    for loss in LOSSES.values():
        if loss.head is None or loss.head in heads_of(model):
            names.update(loss.terms)
    if settings.aid.enabled:
        names.update(AID_TERMS)
    if settings.aid.mask_weight > 0:
        names.add("aid_mask")
    return tuple(sorted(names))


def objective(
    predictions: dict[str, Any],
    targets: Targets,
    batch: TrainBatch,
    settings: Settings,
    dense: slice,
    patch: int,
    aid_weight: Tensor,
) -> dict[str, Tensor]:
    """The objective and every term of it by name.

    Shapes:  aid_weight () is what the aid counts now: a tensor, because a recorded step would keep a number.
    Note:    the aid's output is taken out of the predictions.
    """
    aided = predictions.pop("aid", None)
    losses = total_loss(predictions, targets, settings.loss, dense)
    total, terms = losses.objective, dict(losses.terms)
    if aided is not None:
        aid = aid_loss(aided, batch, patch, settings.aid)
        total = total + aid_weight * aid.objective
        values = (losses.objective, aid.matching, aid.flow, aid.accuracy, aid.flow_ratio)
        terms |= dict(zip(AID_TERMS, values, strict=True))
    if settings.aid.mask_weight > 0 and "mask" in predictions and batch.moving is not None:
        terms["aid_mask"] = mask_loss(predictions["mask"], batch.moving, patch)
        total = total + settings.aid.mask_weight * terms["aid_mask"]
    return {"objective": total, **terms}
