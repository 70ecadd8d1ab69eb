"""What a benchmark is: a task on a dataset, with its version, units and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from page4d.schema import UserError

LISTS = ("sequences", "fourteen", "left_out_by_public")
REQUIRED = ("task", "dataset", "unit", "source", "download")


@dataclass(frozen=True)
class Benchmark:
    """A task on a dataset, as the files of conf/benchmark and conf/dataset have it together.

    Units:   `unit` is the length unit of the ground truth; max_depth and post_clip_max are in it, None = unlimited.
    Note:    source is whose data it is and download what to fetch; `stride` takes every so many-th frame, of images
             and ground truth alike, `first` so many of these, and `frames` so many drawn at random with `seed` (None =
             all); CO3D leaves sequences shorter than `min_frames` out; `sequences` are the names to run, empty = all
             folders found; `fourteen` are the fourteen of Sintel's sequences whose poses publications score
             (the cameras of the others stand still or go straight), empty for other datasets; `settings` are those of
             the synthetic world; `variant` tells benchmarks of one task and dataset apart.
    """

    task: str
    dataset: str
    unit: str
    source: str
    download: str
    variant: str = ""
    version: int = 1
    max_depth: float | None = None
    post_clip_max: float | None = None
    stride: int = 1
    frames: int | None = None
    seed: int = 0
    first: int | None = None
    min_frames: int = 1
    sequences: tuple[str, ...] = ()
    fourteen: tuple[str, ...] = ()
    left_out_by_public: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Task, dataset and variant, as its file is called."""
        return "-".join(part for part in (self.task, self.dataset, self.variant) if part)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values of a configuration file.

        Raises:  UserError naming unknown or missing keys.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(values.keys() - known)
        missing = sorted(set(REQUIRED) - values.keys())
        if unknown or missing:
            called = f"{values.get('task')}-{values.get('dataset')}"
            raise UserError(f"benchmark {called}: unknown keys {unknown}, missing keys {missing}")
        lists = {key: tuple(values[key]) for key in LISTS if key in values}
        return cls(**(dict(values) | lists))
