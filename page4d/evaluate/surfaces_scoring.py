"""Point maps as surfaces: accuracy, completeness and normals after a similarity, with ICP or without."""

from __future__ import annotations

from page4d.evaluate.points import aligned_clouds, corresponding_points
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.surfaces import refine_by_icp, surface_errors
from page4d.schema import Prediction, SequenceScore

SURFACE_METRICS = (
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median", "normals_mean", "normals_median",
)  # fmt: skip


def score_surfaces(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Both clouds of a sequence: Umeyama on pixels that both know, then ICP where `rules.icp` asks for it.

    Note:    the whole picture counts. CUT3R's script scores its middle 224 x 224 px after a scale and a shift along z.
    """
    rules.without_public("the public scripts align by other means and score the middle of the picture")
    aligned, _ = aligned_clouds(corresponding_points(sequence, prediction, rules))
    predicted, true = aligned.predicted, aligned.true
    try:
        if rules.icp == "point_to_point":
            predicted = refine_by_icp(predicted, true)
        found = surface_errors(predicted, true)
    except ValueError as error:
        raise UnscorableError(str(error)) from error
    values = {name: getattr(found, name) for name in SURFACE_METRICS}
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(len(true))})
