"""Readers of the official downloads of real datasets, one file each; see `base.SceneDataset` for what they share."""

from __future__ import annotations

from collections.abc import Mapping

from page4d.data.datasets.base import DepthOptions, SceneDataset, Source
from page4d.data.datasets.bonn import Bonn
from page4d.data.datasets.dycheck import DyCheck
from page4d.data.datasets.sintel import Sintel
from page4d.data.datasets.tum import TUM
from page4d.schema import UserError

DATASETS: Mapping[str, type[SceneDataset]] = {
    "bonn": Bonn,
    "dycheck": DyCheck,
    "sintel": Sintel,
    "tum": TUM,
}

__all__ = ["DATASETS", "DepthOptions", "SceneDataset", "Source", "dataset_class"]


def dataset_class(name: str) -> type[SceneDataset]:
    """The loader of a dataset by its name.

    Errors:  UserError listing the names there are.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise UserError(f"no dataset {name!r}; there are {', '.join(DATASETS)}") from None
