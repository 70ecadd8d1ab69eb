"""A study from names: the shipped benchmark settings, a protocol and the folders."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page4d.config import compose
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.harness import Study, benchmark_name
from page4d.evaluate.protocol import protocol_of


def open_study(
    task: str, dataset: str, protocol: str = "standard", *, align: str = "scale", root: str = "", out: str | Path = ""
) -> Study:
    """The study of a task on a dataset with the shipped benchmark settings; an empty `out` is a fresh folder.

    Raises:  UserError for an unknown task, dataset or protocol.
    """
    config = compose([f"benchmark={benchmark_name(task, dataset)}", f"protocol={protocol}"], "evaluate")
    folder = str(out) or tempfile.mkdtemp(prefix="page4d-evaluation-")
    return study_of(config | {"align": align, "root": root or None, "out": folder})


def study_of(config: Mapping[str, Any]) -> Study:
    """The benchmark, protocol and folders that a configuration names, as conf/evaluate.yaml has them."""
    return Study(
        benchmark=Benchmark.from_dict(config["benchmark"]),
        protocol=protocol_of(config["protocol"], config["options"]),
        align=config["align"],
        out=Path(config["out"]),
        root=None if config["root"] is None else Path(config["root"]),
        legacy_quaternion_order=bool(config["legacy_quaternion_order"]),
    )
