"""Point maps as surfaces: accuracy, completeness and normals after a similarity, with ICP or without."""

from __future__ import annotations

import numpy as np
import torch

from page4d.evaluate.points import MAX_POINTS, CorrespondingPoints, corresponding_points
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.surfaces import Points, refine_by_icp, surface_errors
from page4d.geometry import fit_similarity
from page4d.schema import Prediction, SequenceScore

SURFACE_METRICS = (
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median", "normals_mean", "normals_median",
)  # fmt: skip


def score_surfaces(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Both clouds of a sequence: Umeyama on pixels that both know, then ICP where `rules.icp` asks for it.

    Note:    the whole picture counts. CUT3R's script scores its middle 224 x 224 px after a scale and a shift along z.
    """
    rules.without_public("the public scripts align by other means and score the middle of the picture")
    predicted, true = aligned_clouds(corresponding_points(sequence, prediction, rules))
    try:
        if rules.icp == "point_to_point":
            predicted = refine_by_icp(predicted, true)
        found = surface_errors(predicted, true)
    except ValueError as error:
        raise UnscorableError(str(error)) from error
    values = {name: getattr(found, name) for name in SURFACE_METRICS}
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(len(true))})


def aligned_clouds(pairs: CorrespondingPoints) -> tuple[Points, Points]:
    """Predicted points moved onto the true ones of their pixels by one similarity, both thinned to MAX_POINTS."""
    predicted, true = pairs.predicted, pairs.true
    if len(true) > MAX_POINTS:
        chosen = np.random.default_rng(0).choice(len(true), MAX_POINTS, replace=False)
        predicted, true = predicted[chosen], true[chosen]
    source, target = torch.from_numpy(predicted), torch.from_numpy(true)
    try:
        fit = fit_similarity(source, target)
    except ValueError as error:
        raise UnscorableError(f"the point maps cannot be aligned: {error}") from error
    return fit.apply(source).numpy(), true
