"""Validation of a run: losses and scores of named data sets, summed over all processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from page4d.evaluate.exact_scores import SCORE_NAMES, score_sequences
from page4d.evaluate.exam_results import summarize
from page4d.evaluate.statistics import RATIOS
from page4d.losses import LOSSES, LossConfig, total_loss
from page4d.model import PAGE4DConfig
from page4d.model.heads import heads_of
from page4d.schema import UserError
from page4d.settings import near
from page4d.train.batch import TrainBatch, targets_of
from page4d.train.sources import Source


@dataclass(frozen=True)
class Validation:
    """The first `batches` batches of a source, the same ones every time."""

    source: Source
    batches: int


GivenMask = Callable[[TrainBatch], Tensor | None]


def no_mask(batch: TrainBatch) -> None:
    """Leave the network its own mask."""
    del batch


@torch.no_grad()
def validate(
    accelerator: Accelerator,
    module: nn.Module,
    validation: Validation,
    loss: LossConfig,
    given_mask: GivenMask = no_mask,
) -> dict[str, float]:
    """Mean losses and scores over a data set, equal on all processes whatever their number.

    Note:    losses are means over batches, scores averages over the sequences where they are defined; rotation_ratio
             and the like are ratios of averages, 1 = no better than the identity.
    """
    module.eval()
    rows: list[tuple[int, dict[str, float], list[dict[str, float]]]] = []
    n, world = validation.batches, accelerator.num_processes
    # Every process makes the same number of forward passes, as sharded networks need; surplus ones do not count.
    for turn in range(math.ceil(n / world)):
        number = turn * world + accelerator.process_index
        batch = validation.source.batch(min(number, n - 1), 0).to(accelerator.device)
        targets = targets_of(batch, loss.behaviour)
        predictions = module(batch.images, None, given_mask(batch))
        losses = total_loss(predictions, targets, loss)
        values = torch.stack([losses.objective, *losses.terms.values()]).tolist()
        terms = dict(zip(("objective", *losses.terms), values, strict=True))
        if number < n:
            rows.append((number, terms, score_sequences(predictions, targets, batch.moving).rows()))
    module.train()
    gathered = sorted(gather_object(rows), key=lambda row: row[0])
    terms_of = [terms for _, terms, _ in gathered]
    mean = {}
    for name in terms_of[0]:
        # Summed exactly, so that the mean does not depend on which process saw which batch.
        mean[name] = math.fsum(terms[name] for terms in terms_of) / len(terms_of)
    return mean | summarize([sequence for _, _, sequences in gathered for sequence in sequences])


def check_metric(metric: str, validations: Sequence[Validation], model: PAGE4DConfig) -> None:
    """Refuse a metric that no validation will give, before hours are spent.

    Raises:  UserError with near names.
    """
    if not validations:
        return
    # Validation gives no query points, so nothing is said of tracks; nor of what has no head.
    answering = {None} | {name for name, head in heads_of(model).items() if not head.on_request}
    losses = [term for loss in LOSSES.values() if loss.head in answering for term in loss.terms]
    scored = [*SCORE_NAMES, *RATIOS]
    if not model.enable_depth:
        scored = [name for name in scored if not name.startswith("abs_rel")]
    if not model.enable_camera:
        scored = [name for name in scored if name.startswith("abs_rel")]
    per_set = ["objective", *scored, *losses]
    sets = [validation.source.name for validation in validations]
    known = ["val/objective", *(f"val/{one}/{name}" for one in sets for name in per_set)]
    if metric not in known:
        raise UserError(f"trainer.metric {metric!r} is not logged; near names: {near(metric, known)}")
