"""A study from names: the shipped benchmark settings, a protocol and the folders."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from page4d.config import compose_settings
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.density_settings import Density
from page4d.evaluate.harness import Study
from page4d.evaluate.old_names import current_name
from page4d.evaluate.protocol import OPTIONS, STANDARD, protocol_of
from page4d.evaluate.rules import Align, Followed, Icp, MovingOf
from page4d.settings import build, defaults_of

FOREIGN = "external:"


@dataclass(frozen=True)
class EvaluationSettings:
    """What `page4d evaluate` is told: every setting with its default; conf/evaluate.yaml adds the benchmark."""

    benchmark: dict[str, Any]
    # A built-in name, nomask, mask, vggt, owner/name[/file], a file or a training run's folder, or external:NAME for
    # converted predictions.
    weights: str = "tiny"
    # How the model is called in tables; None takes the name of the weights, and `score` then loads and checks them.
    label: str | None = None
    # The dataset's folder; None only for the synthetic benchmarks.
    root: str | None = None
    # Predictions, scores, trajectories and tables go below this.
    out: str = str(Study.out)
    protocol: str = STANDARD.name
    # Single options that shall differ from the protocol; None leaves them (evaluate/protocol.py explains each).
    options: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(OPTIONS))
    # Video depth: scale, scale&shift (scale_and_shift on the command line, where & has a meaning) or metric.
    align: Align = Study.align
    # Masks: geometric or model, which is the prediction's own: of its mask head or of a converted folder.
    moving: MovingOf = Study.moving
    # Surfaces: point_to_point or none, after the similarity.
    icp: Icp = Study.icp
    # Tracks: pixels, a point stays where the first frame sees it; tracker, the 2-D tracks of weights with a track head;
    # or file, converted ones.
    followed: Followed = Study.followed
    # Table: the model, by its label, that the others are compared with; None takes the first by name.
    against: str | None = None
    # `page4d evaluate density`: the first so many frames, of every so many-th.
    density: Density = field(default_factory=Density)
    # cpu, cuda, cuda:1 or mps; None takes cuda where there is one.
    device: str | None = None
    # True or False forces the mask of weights that have one on or off; the released scripts force it off (E23).
    mask: bool | None = None
    # pred_traj.txt with qw first, for tools made for the released scripts' files.
    legacy_quaternion_order: bool = Study.legacy_quaternion_order

    @property
    def name(self) -> str:
        """How the model is called in tables."""
        return self.label or self.foreign or Path(self.weights).name

    @property
    def foreign(self) -> str | None:
        """NAME where the weights are `external:NAME`: predictions that `convert` wrote under that label."""
        return self.weights.removeprefix(FOREIGN) if self.weights.startswith(FOREIGN) else None

    def study(self) -> Study:
        """The benchmark, protocol and folders."""
        benchmark = Benchmark.from_dict(self.benchmark)
        protocol = protocol_of(self.protocol, self.options)
        root = None if self.root is None else Path(self.root)
        study = Study(benchmark, protocol, self.align, Path(self.out), root)
        study = replace(study, moving=self.moving, icp=self.icp, followed=self.followed)
        return replace(study, legacy_quaternion_order=self.legacy_quaternion_order)


def compose_evaluation(words: Sequence[str] = ()) -> dict[str, Any]:
    """conf/evaluate.yaml changed by the words of a command line, on the defaults of `EvaluationSettings`.

    Raises:  UserError naming the wrong key or choice and near ones.
    """
    return compose_settings(words, "evaluate", {"defaults/evaluation": defaults_of(EvaluationSettings)})


def open_study(
    task: str,
    dataset: str,
    protocol: str = STANDARD.name,
    *,
    align: Align = Study.align,
    root: str = "",
    out: str | Path = "",
) -> Study:
    """The study of a task on a dataset with the shipped benchmark settings; an empty `out` is a fresh folder.

    Raises:  UserError for an unknown task, dataset or protocol.
    """
    config = compose_evaluation([f"benchmark={current_name(f'{task}-{dataset}')}", f"protocol={protocol}"])
    folder = str(out) or tempfile.mkdtemp(prefix="page4d-evaluation-")
    return study_of(config | {"align": align, "root": root or None, "out": folder})


def open_benchmark(name: str) -> Benchmark:
    """The shipped benchmark of a name, such as `pose-sintel`.

    Raises:  UserError naming near ones.
    """
    return Benchmark.from_dict(compose_evaluation([f"benchmark={current_name(name)}"])["benchmark"])


def study_of(config: Mapping[str, Any]) -> Study:
    """The benchmark, protocol and folders that a configuration names, as conf/evaluate.yaml has them.

    Raises:  UserError for a setting that is not known, or of another type.
    """
    return build(EvaluationSettings, config, "evaluate").study()
