"""What a prediction takes for moving against what truly moves, as DAVIS measures masks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.mask_metrics import mask_scores
from page4d.evaluate.registration import place_in
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.result.motion import METHODS, moving_mask
from page4d.schema import Prediction, SequenceScore, UserError


def score_mask(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Region J and boundary F of one sequence; every frame counts, the first and the last too.

    Note:    pixels that the network did not see count as still; those that the truth says nothing of do not count.
    """
    rules.without_public("no public tree ships a measurement of masks")
    if sequence.read_motion is None:
        raise UserError(f"{sequence.name} has no masks of what moves; this benchmark needs its annotations")
    if len(prediction) < 2 and rules.moving != "model":
        raise UnscorableError(f"it has {len(prediction)} frame; geometry finds motion between two or more")
    doubt = moving_evidence(prediction, rules.moving)
    names, ours, theirs = [], [], []
    for i, image in enumerate(sequence.images):
        truth = sequence.read_motion(image)
        if truth is None:
            continue
        height, width = truth.moving.shape
        box, size = prediction.box_in_original[i], prediction.original_hw[i]
        placed, seen = place_in(doubt[i], box, size, (height, width), cv2.INTER_LINEAR)
        names.append(image.name)
        ours.append((placed > 0) & seen & truth.known)
        theirs.append(truth.moving & truth.known)
    if not names:
        raise UnscorableError("no frame has a mask of what moves")
    found = mask_scores(np.stack(ours), np.stack(theirs))
    values = {"region_mean": found.region_mean, "region_recall": found.region_recall}
    values["boundary_mean"] = found.boundary_mean
    items = {"region_mean": tuple(found.region.tolist()), "boundary_mean": tuple(found.boundary.tolist())}
    return SequenceScore(sequence.name, values, 1.0, tuple(names), items)


def moving_evidence(prediction: Prediction, method: str) -> NDArray[np.float32]:
    """Maps (S, h, w) of any size over the network's input, above 0 where a pixel is taken for moving.

    Raises:  UserError for another method than those of `moving_mask`, or a mask that the prediction does not have.
    """
    if method not in METHODS:
        raise UserError(f"moving={method!r}; expected one of {', '.join(METHODS)}")
    if method == "model":
        if prediction.mask is None:
            raise UserError("the prediction has no mask of its own: take weights with one, or moving=geometric")
        # The patch map goes to the truth's pixels in one step, so that a foreign mask of full size stays as it is.
        return -prediction.mask.astype(np.float32)
    if prediction.meta.get("source") == "external":
        raise UserError("converted predictions have no pictures to find motion in; score their masks with moving=model")
    return moving_mask(prediction, method).astype(np.float32) - np.float32(0.5)
