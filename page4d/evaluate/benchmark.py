"""What a benchmark is: a task on a dataset, with its version, units, limits and where its rules come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from page4d.evaluate.metrics import DepthOptions
from page4d.evaluate.protocol import Protocol, Task
from page4d.schema import UserError

ALIGNS = ("scale", "scale&shift", "metric")
_PUBLIC_FIT = {"scale": "scale", "scale&shift": "lad2_video", "metric": "metric"}
_CONVERGED_FIT = {"scale": "l1_scale", "scale&shift": "l1_scale_shift", "metric": "metric"}
BETTER = {
    "abs_rel": "lower", "sq_rel": "lower", "rmse": "lower", "log_rmse": "lower",
    "delta_1": "higher", "delta_2": "higher", "delta_3": "higher",
    "ate": "lower", "rpe_trans": "lower", "rpe_rot_deg": "lower",
    "accuracy_mean": "lower", "accuracy_median": "lower", "completeness_mean": "lower",
    "completeness_median": "lower", "overall_mean": "lower", "overall_median": "lower",
}  # fmt: skip
METRICS_OF: dict[str, tuple[str, ...]] = {
    "monodepth": ("abs_rel", "sq_rel", "rmse", "log_rmse", "delta_1", "delta_2", "delta_3"),
    "videodepth": ("abs_rel", "sq_rel", "rmse", "log_rmse", "delta_1", "delta_2", "delta_3"),
    "pose": ("ate", "rpe_trans", "rpe_rot_deg"),
    "points": tuple(f"{a}_{b}" for a in ("accuracy", "completeness", "overall") for b in ("mean", "median")),
    "features": (),
}
_UNITLESS = {"abs_rel", "log_rmse", "delta_1", "delta_2", "delta_3"}


@dataclass(frozen=True)
class Benchmark:
    """A task on a dataset.

    unit:       length unit of the ground truth; max_depth, post_clip_max in it, None = unlimited.
    stride:     every so many-th frame, of images and ground truth alike.
    sequences:  names to run, empty = all folders found; fourteen: the shorter list where the dataset has one.
    checked:    what its numbers were compared with, in words; "no" where nothing public exists.
    """

    name: str
    task: Task
    dataset: str
    version: int
    unit: str
    better: Mapping[str, str]
    source: str
    checked: str
    download: str
    max_depth: float | None = None
    post_clip_max: float | None = None
    stride: int = 1
    sequences: tuple[str, ...] = ()
    fourteen: tuple[str, ...] = ()
    left_out_by_public: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.task not in METRICS_OF:
            raise UserError(f"benchmark {self.name}: task {self.task!r}; needed one of {', '.join(METRICS_OF)}")
        if set(self.better) - set(METRICS_OF[self.task]):
            raise UserError(f"benchmark {self.name}: better names {set(self.better) - set(METRICS_OF[self.task])}")
        wrong = {name: way for name, way in self.better.items() if way != BETTER[name]}
        if wrong:
            raise UserError(f"benchmark {self.name}: direction of better is wrong for {wrong}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values of a configuration file.

        Raises:  UserError naming unknown or missing keys.
        """
        names = {f.name for f in fields(cls)}
        required = {"name", "task", "dataset", "version", "unit", "better", "source", "checked", "download"}
        unknown, missing = sorted(values.keys() - names), sorted(required - values.keys())
        if unknown or missing:
            raise UserError(f"benchmark {values.get('name')}: unknown keys {unknown}, missing keys {missing}")
        lists = {key: tuple(values[key]) for key in ("sequences", "fourteen", "left_out_by_public") if key in values}
        return cls(**(dict(values) | lists))

    def depth_options(self, protocol: Protocol, align: str) -> DepthOptions:
        """Limits and alignment of depth under a protocol; monocular depth is median-scaled in both."""
        clip = (None, self.post_clip_max)
        if self.task == "monodepth":
            return DepthOptions("median", self.max_depth, post_clip=clip)
        if align not in ALIGNS:
            raise UserError(f"align={align!r}; needed one of {', '.join(ALIGNS)}")
        fits = _PUBLIC_FIT if protocol.alignment == "public" else _CONVERGED_FIT
        return DepthOptions(fits[align], self.max_depth, post_clip=clip)

    def units(self) -> dict[str, str]:
        """Metric name to unit; "" = none."""
        degrees = {"rpe_rot_deg": "deg"}
        return {m: degrees.get(m, "" if m in _UNITLESS else self.unit) for m in METRICS_OF[self.task]}
