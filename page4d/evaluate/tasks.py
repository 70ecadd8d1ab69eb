"""The tasks: what each measures, by which rules, and what a network must say for it. One row per task.

A new task is a scoring function in a file of its own, a row here, and the rows of its scores in `page4d/metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from page4d.evaluate.depth_metrics import DEPTH_METRICS
from page4d.evaluate.depth_scoring import score_mono_depth, score_video_depth
from page4d.evaluate.error_parts import PART_METRICS
from page4d.evaluate.mask_scoring import score_mask
from page4d.evaluate.points import POINT_METRICS, score_points
from page4d.evaluate.pose_scoring import score_pose
from page4d.evaluate.relpose_scoring import RELPOSE_METRICS, score_relpose
from page4d.evaluate.rules import Rules
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.surfaces_scoring import SURFACE_METRICS, score_surfaces
from page4d.evaluate.tracks3d_scoring import TRACK_METRICS, score_tracks3d
from page4d.metrics import METRICS
from page4d.schema import Prediction, SequenceScore, UserError

Need = Literal["depth", "poses", "intrinsics", "masks"]
ScoreSequence = Callable[[EvalSequence, Prediction, Rules], SequenceScore]
_RELEASED = "PAGE-4D (arXiv 2510.17568) and its released scripts; the protocol is that of MonST3R and CUT3R"


@dataclass(frozen=True)
class Task:
    """What a benchmark of this kind measures.

    Note:    `metrics` are what a Scores file holds, `headline` those of them that tables show, `optional` what it holds
             besides where the data set or the prediction tells it. `rules` says whose way of measuring it is, `checked`
             what our numbers were compared with. `needs` is what another model must bring. `frame_by_frame`: the
             network sees each image alone; `with_points`: its point maps are kept; `with_tracks`: its track head, if it
             has one, follows the true points; `choices` are its settings beyond the protocol; `with_files`: it writes
             files beside the Scores; `with_public`: a released script exists, so that protocol=public means something.
    """

    score: ScoreSequence
    rules: str
    checked: str
    metrics: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ("depth",)
    frame_by_frame: bool = False
    with_points: bool = False
    with_tracks: bool = False
    choices: tuple[str, ...] = ()
    with_files: bool = False
    with_public: bool = True

    @property
    def is_scored(self) -> bool:
        """Whether there is ground truth to compare with."""
        return self.score is not refuse_to_score

    def better(self, found: Iterable[str] = ()) -> dict[str, str]:
        """Which way each headline score is better, and each optional one that was found, as a Scores file says it."""
        shown = [*self.headline, *(name for name in self.optional if name in found)]
        return {name: METRICS[name].better for name in shown}

    def units(self, length_unit: str, found: Iterable[str] = ()) -> dict[str, str]:
        """The unit of each score where lengths are measured in `length_unit`; "" = none."""
        known = [*self.metrics, *(name for name in self.optional if name in found)]
        return {name: METRICS[name].unit_in(length_unit) for name in known}


def refuse_to_score(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """What stands for a scoring where there is no ground truth."""
    raise UserError(
        f"{rules.benchmark.name} has no ground truth; its predictions are for `page4d features` and viewing"
    )


MONODEPTH = Task(
    score_mono_depth,
    rules=_RELEASED,
    checked="metrics equal to the released evaluation functions to 1e-6 on synthetic arrays",
    metrics=DEPTH_METRICS,
    headline=("abs_rel", "delta_1"),
    optional=PART_METRICS,
    frame_by_frame=True,
)
VIDEODEPTH = Task(
    score_video_depth,
    rules=_RELEASED,
    checked=(
        "metrics equal to the released evaluation functions to 1e-6 (scale&shift 1e-4) on synthetic arrays; on real "
        "truth the public scale itself moves by up to 0.6 % with the last digit of the data (E24)"
    ),
    metrics=DEPTH_METRICS,
    headline=("abs_rel", "delta_1"),
    optional=PART_METRICS,
    choices=("align",),
)
POSE = Task(
    score_pose,
    rules=_RELEASED,
    checked="errors equal to the released evaluation functions to 1e-8 on synthetic trajectories",
    metrics=("ate", "rpe_trans", "rpe_rot_deg"),
    headline=("ate", "rpe_trans", "rpe_rot_deg"),
    needs=("poses",),
    with_files=True,
)
POINTS = Task(
    score_points,
    rules="ours; the paper (arXiv 2510.17568) has a table, but no script for it is public",
    checked="no; there is no public reference",
    metrics=POINT_METRICS,
    headline=POINT_METRICS,
    optional=("accuracy_still", "accuracy_moving"),
    needs=("depth", "poses", "intrinsics"),
    with_points=True,
    with_public=False,
)
SURFACES = Task(
    score_surfaces,
    rules="ours, on the data, strides and measures of CUT3R's and Spann3R's scripts: Umeyama, then point-to-point ICP",
    checked="closed forms; search trees are scipy's and ICP is ours, for open3d is no dependency; not run on real data",
    metrics=SURFACE_METRICS,
    headline=SURFACE_METRICS,
    needs=("depth", "poses", "intrinsics"),
    with_points=True,
    choices=("icp",),
    with_public=False,
)
TRACKS3D = Task(
    score_tracks3d,
    rules="ours, after TAPVid-3D (Koppula et al. 2024): one median scale, shares within 0.1, 0.3, 0.5 and 1 m",
    checked="closed forms in the tests; not run on the real data here",
    metrics=TRACK_METRICS,
    headline=("apd", "epe"),
    optional=("visibility_accuracy",),
    needs=("depth", "poses", "intrinsics"),
    with_tracks=True,
    choices=("followed",),
    with_public=False,
)
RELPOSE = Task(
    score_relpose,
    rules=(
        "public: the numbers of VGGT's released script for CO3D, whose images are not squashed "
        "(options.input_shape=keep_aspect); standard: exact area, directions with their sign"
    ),
    checked="an implementation written from the definition, in the tests; not run on the real data here",
    metrics=RELPOSE_METRICS,
    headline=("rra_5", "rta_5", "auc_3", "auc_5", "auc_15", "auc_30"),
    needs=("poses",),
)
MASK = Task(
    score_mask,
    rules="the measures of DAVIS (Perazzi et al. 2016) on all objects as one; no script for this claim is public",
    checked="against shapes whose measures are known in closed form; not run on the real data here",
    metrics=("region_mean", "region_recall", "boundary_mean"),
    headline=("region_mean", "region_recall", "boundary_mean"),
    needs=("masks",),
    choices=("moving",),
    with_public=False,
)
FEATURES = Task(
    refuse_to_score,
    rules="PAGE-4D (arXiv 2510.17568), Figure 2; no ground truth",
    checked="no; nothing is scored",
)
TASKS = {
    "monodepth": MONODEPTH,
    "videodepth": VIDEODEPTH,
    "pose": POSE,
    "points": POINTS,
    "surfaces": SURFACES,
    "tracks3d": TRACKS3D,
    "relpose": RELPOSE,
    "mask": MASK,
    "features": FEATURES,
}


def task_of(name: str) -> Task:
    """The task of a name.

    Raises:  UserError naming all tasks.
    """
    if name not in TASKS:
        raise UserError(f"task {name!r} does not exist; there are {', '.join(TASKS)}")
    return TASKS[name]
