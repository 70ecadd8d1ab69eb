"""A study from names: the shipped benchmark settings, a protocol and the folders."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from page4d.config import compose_settings
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.harness import Study
from page4d.evaluate.old_names import current_name
from page4d.evaluate.protocol import protocol_of
from page4d.settings import build

FOREIGN = "external:"


@dataclass(frozen=True)
class EvaluationSettings:
    """What `page4d evaluate` is told, see conf/evaluate.yaml.

    Note:    label None is the name of the weights, whose predictions `score` then checks; mask None leaves the
             network its own; legacy_quaternion_order writes pred_traj.txt with qw first; `against` is the model that
             tables compare the others with.
    """

    benchmark: dict[str, Any]
    weights: str = "tiny"
    label: str | None = None
    root: str | None = None
    out: str = "evaluation"
    protocol: str = "standard"
    options: dict[str, Any] = field(default_factory=dict)
    align: str = "scale"
    moving: str = "geometric"
    icp: str = "point_to_point"
    followed: str = "pixels"
    against: str | None = None
    density: dict[str, Any] = field(default_factory=dict)
    device: str | None = None
    mask: bool | None = None
    legacy_quaternion_order: bool = False

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


def open_study(
    task: str, dataset: str, protocol: str = "standard", *, align: str = "scale", root: str = "", out: str | Path = ""
) -> Study:
    """The study of a task on a dataset with the shipped benchmark settings; an empty `out` is a fresh folder.

    Raises:  UserError for an unknown task, dataset or protocol.
    """
    config = compose_settings([f"benchmark={current_name(f'{task}-{dataset}')}", f"protocol={protocol}"], "evaluate")
    folder = str(out) or tempfile.mkdtemp(prefix="page4d-evaluation-")
    return study_of(config | {"align": align, "root": root or None, "out": folder})


def open_benchmark(name: str) -> Benchmark:
    """The shipped benchmark of a name, such as `pose-sintel`.

    Raises:  UserError naming near ones.
    """
    return Benchmark.from_dict(compose_settings([f"benchmark={current_name(name)}"], "evaluate")["benchmark"])


def study_of(config: Mapping[str, Any]) -> Study:
    """The benchmark, protocol and folders that a configuration names, as conf/evaluate.yaml has them.

    Raises:  UserError for a setting that is not known, or of another type.
    """
    return build(EvaluationSettings, config, "evaluate").study()
