"""Every score that a table or a figure can hold: what it is called, its unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher"]
Unit = Literal["", "length", "deg"]
Middle = Literal["mean", "median"]


@dataclass(frozen=True)
class Metric:
    """One score.

    Units:   `unit` is "length" for the ground truth's unit, "deg", or an empty text for none.
    Note:    `heading` stands over a column, `title` beside an axis; `middle` is how clips are averaged; `ratio_of`
             names the two scores whose averages a ratio divides, `of` the one that this averages in another way.
    """

    heading: str
    unit: Unit
    better: Direction
    title: str
    middle: Middle = "mean"
    ratio_of: tuple[str, str] | None = None
    of: str | None = None

    def unit_in(self, length_unit: str) -> str:
        """The unit where lengths are measured in `length_unit`."""
        return length_unit if self.unit == "length" else self.unit


# Name: heading, unit, which way is better, title.
_ROWS: dict[str, tuple[str, Unit, Direction, str]] = {
    # Depth benchmarks.
    "abs_rel": ("AbsRel", "", "lower", "AbsRel"),
    "sq_rel": ("SqRel", "length", "lower", "SqRel"),
    "rmse": ("RMSE", "length", "lower", "RMSE"),
    "log_rmse": ("logRMSE", "", "lower", "RMSE of the logarithm of depth"),
    "delta_1": ("δ<1.25", "", "higher", "share of pixels with a ratio below 1.25"),
    "delta_2": ("δ<1.25²", "", "higher", "share of pixels with a ratio below 1.25²"),
    "delta_3": ("δ<1.25³", "", "higher", "share of pixels with a ratio below 1.25³"),
    # Trajectories.
    "ate": ("ATE", "length", "lower", "ATE"),
    "rpe_trans": ("RPE t", "length", "lower", "relative pose error, translation"),
    "rpe_rot_deg": ("RPE r", "deg", "lower", "relative pose error, rotation"),
    # Point maps.
    "accuracy_mean": ("acc. mean", "length", "lower", "mean accuracy"),
    "accuracy_median": ("acc. median", "length", "lower", "median accuracy"),
    "completeness_mean": ("compl. mean", "length", "lower", "mean completeness"),
    "completeness_median": ("compl. median", "length", "lower", "median completeness"),
    "overall_mean": ("overall mean", "length", "lower", "mean of accuracy and completeness"),
    "overall_median": ("overall median", "length", "lower", "median of accuracy and completeness"),
    "normals_mean": ("NC mean", "", "higher", "mean |cosine| between the normals of nearest points"),
    "normals_median": ("NC median", "", "higher", "median |cosine| between the normals of nearest points"),
    # Where the error sits.
    "accuracy_still": ("acc., still", "length", "lower", "mean accuracy of still points"),
    "accuracy_moving": ("acc., moving", "length", "lower", "mean accuracy of moving points"),
    "ause": ("AUSE", "", "lower", "area between the sparsification curves of error and confidence"),
    # Points followed through the world.
    "apd": ("APD", "", "higher", "mean share of points within 0.1, 0.3, 0.5 and 1 m"),
    "epe": ("EPE", "length", "lower", "mean distance of followed points"),
    "within_0.1_m": ("within 0.1 m", "", "higher", "share of points within 0.1 m"),
    "within_0.3_m": ("within 0.3 m", "", "higher", "share of points within 0.3 m"),
    "within_0.5_m": ("within 0.5 m", "", "higher", "share of points within 0.5 m"),
    "within_1_m": ("within 1 m", "", "higher", "share of points within 1 m"),
    "visibility_accuracy": ("visible", "", "higher", "share of points whose visibility is right"),
    # Masks of what moves.
    "region_mean": ("J mean", "", "higher", "mean intersection over union of the moving mask"),
    "region_recall": ("J recall", "", "higher", "share of frames with an intersection over union above 0.5"),
    "boundary_mean": ("F mean", "", "higher", "mean F-measure of the moving mask's outline"),
    # Exact truth: depth.
    "abs_rel_still": ("AbsRel, still", "", "lower", "AbsRel on still pixels"),
    "abs_rel_moving": ("AbsRel, moving", "", "lower", "AbsRel on moving pixels"),
    # Exact truth and sets of images: cameras over all pairs of frames.
    "relative_rotation": ("rotation", "deg", "lower", "rotation error over all pairs"),
    "relative_rotation_median": ("median rotation", "deg", "lower", "rotation error over all pairs, median over clips"),
    "direction": ("direction", "deg", "lower", "median error of the direction of motion"),
    "auc_3": ("AUC@3", "", "higher", "AUC of camera pairs up to 3 degrees"),
    "auc_5": ("AUC@5", "", "higher", "AUC of camera pairs up to 5 degrees"),
    "auc_15": ("AUC@15", "", "higher", "AUC of camera pairs up to 15 degrees"),
    "auc_30": ("AUC@30", "", "higher", "AUC of camera pairs up to 30 degrees"),
    # Sets of images.
    "rra_3": ("RRA@3", "", "higher", "share of camera pairs whose rotation is right within 3 degrees"),
    "rra_5": ("RRA@5", "", "higher", "share of camera pairs whose rotation is right within 5 degrees"),
    "rra_15": ("RRA@15", "", "higher", "share of camera pairs whose rotation is right within 15 degrees"),
    "rra_30": ("RRA@30", "", "higher", "share of camera pairs whose rotation is right within 30 degrees"),
    "rta_3": ("RTA@3", "", "higher", "share of camera pairs whose direction is right within 3 degrees"),
    "rta_5": ("RTA@5", "", "higher", "share of camera pairs whose direction is right within 5 degrees"),
    "rta_15": ("RTA@15", "", "higher", "share of camera pairs whose direction is right within 15 degrees"),
    "rta_30": ("RTA@30", "", "higher", "share of camera pairs whose direction is right within 30 degrees"),
    # Exact truth: cameras against the first frame.
    "rotation": ("rotation from first", "deg", "lower", "rotation error from the first frame"),
    "translation": ("translation", "length", "lower", "translation error from the first frame"),
    # Exact truth: what moves.
    "mask_auc": ("mask AUC", "", "higher", "AUC of the network's mask against true motion"),
    "geometric_auc": ("geometric AUC", "", "higher", "AUC of the geometric mask against true motion"),
    # Shares of what a camera that stands still would score.
    "rotation_ratio": ("rotation / still", "", "lower", "rotation error over a still camera's"),
    "relative_rotation_ratio": ("rotation / still", "", "lower", "rotation error over a still camera's, all pairs"),
    "translation_ratio": ("translation / still", "", "lower", "translation error over a still camera's"),
    # A straight path explains much of any other after the similarity alignment: it is what an ATE is held against.
    "ate_ratio": ("ATE / line", "", "lower", "ATE over a straight line's"),
}
_RATIO_OF = {
    "rotation_ratio": ("rotation", "rotation_identity"),
    "relative_rotation_ratio": ("relative_rotation", "relative_rotation_identity"),
    "translation_ratio": ("translation", "translation_identity"),
    "ate_ratio": ("ate", "ate_line"),
}
# Half of all guessed directions are far off, and a mean would be made of those.
_BY_MEDIAN = ("direction", "relative_rotation_median")
# A tenth of the clips makes 70 % of the mean of a two-view pose on `dynamic-test`, and nothing of its median.
_OF = {"relative_rotation_median": "relative_rotation"}


def _metric(name: str) -> Metric:
    middle: Middle = "median" if name in _BY_MEDIAN else "mean"
    return Metric(*_ROWS[name], middle, _RATIO_OF.get(name), _OF.get(name))


METRICS: dict[str, Metric] = {name: _metric(name) for name in _ROWS}
"""Every score by its name; a new one is a row above."""
