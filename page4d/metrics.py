"""Every score that a table or a figure can hold: what it is called, its unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """One score.

    Units:   `unit` is "length" for the ground truth's unit, "deg", or "" for none.
    Note:    `heading` stands over a column, `title` beside an axis; `middle` is how clips are averaged; `ratio_of`
             names the two scores whose averages a ratio divides.
    """

    heading: str
    title: str
    better: Direction = "lower"
    unit: Literal["", "length", "deg"] = ""
    middle: Literal["mean", "median"] = "mean"
    ratio_of: tuple[str, str] | None = None

    def unit_in(self, length_unit: str) -> str:
        """The unit where lengths are measured in `length_unit`."""
        return length_unit if self.unit == "length" else self.unit


METRICS: dict[str, Metric] = {
    # Depth benchmarks.
    "abs_rel": Metric("AbsRel", "AbsRel"),
    "sq_rel": Metric("SqRel", "SqRel", unit="length"),
    "rmse": Metric("RMSE", "RMSE", unit="length"),
    "log_rmse": Metric("logRMSE", "RMSE of the logarithm of depth"),
    "delta_1": Metric("δ<1.25", "share of pixels with a ratio below 1.25", "higher"),
    "delta_2": Metric("δ<1.25²", "share of pixels with a ratio below 1.25²", "higher"),
    "delta_3": Metric("δ<1.25³", "share of pixels with a ratio below 1.25³", "higher"),
    # Trajectories.
    "ate": Metric("ATE", "ATE", unit="length"),
    "rpe_trans": Metric("RPE t", "relative pose error, translation", unit="length"),
    "rpe_rot_deg": Metric("RPE r", "relative pose error, rotation", unit="deg"),
    # Point maps.
    "accuracy_mean": Metric("acc. mean", "mean accuracy", unit="length"),
    "accuracy_median": Metric("acc. median", "median accuracy", unit="length"),
    "completeness_mean": Metric("compl. mean", "mean completeness", unit="length"),
    "completeness_median": Metric("compl. median", "median completeness", unit="length"),
    "overall_mean": Metric("overall mean", "mean of accuracy and completeness", unit="length"),
    "overall_median": Metric("overall median", "median of accuracy and completeness", unit="length"),
    # Exact truth: depth.
    "abs_rel_still": Metric("AbsRel, still", "AbsRel on still pixels"),
    "abs_rel_moving": Metric("AbsRel, moving", "AbsRel on moving pixels"),
    # Exact truth and sets of images: cameras over all pairs of frames.
    "relative_rotation": Metric("rotation", "rotation error over all pairs", unit="deg"),
    "direction": Metric("direction", "median error of the direction of motion", unit="deg", middle="median"),
    "auc_3": Metric("AUC@3", "AUC of camera pairs up to 3 degrees", "higher"),
    "auc_5": Metric("AUC@5", "AUC of camera pairs up to 5 degrees", "higher"),
    "auc_15": Metric("AUC@15", "AUC of camera pairs up to 15 degrees", "higher"),
    "auc_30": Metric("AUC@30", "AUC of camera pairs up to 30 degrees", "higher"),
    # Exact truth: cameras against the first frame.
    "rotation": Metric("rotation from first", "rotation error from the first frame", unit="deg"),
    "translation": Metric("translation", "translation error from the first frame", unit="length"),
    # Exact truth: what moves.
    "mask_auc": Metric("mask AUC", "AUC of the network's mask against true motion", "higher"),
    "geometric_auc": Metric("geometric AUC", "AUC of the geometric mask against true motion", "higher"),
    # Shares of what a camera that stands still would score.
    "rotation_ratio": Metric(
        "rotation / still", "rotation error over a still camera's", ratio_of=("rotation", "rotation_identity")
    ),
    "relative_rotation_ratio": Metric(
        "rotation / still",
        "rotation error over a still camera's, all pairs",
        ratio_of=("relative_rotation", "relative_rotation_identity"),
    ),
    "translation_ratio": Metric(
        "translation / still",
        "translation error over a still camera's",
        ratio_of=("translation", "translation_identity"),
    ),
    # A straight path explains much of any other after the similarity alignment: it is what an ATE is held against.
    "ate_ratio": Metric("ATE / line", "ATE over a straight line's", ratio_of=("ate", "ate_line")),
}
