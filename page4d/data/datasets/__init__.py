"""Readers of the official downloads of real datasets, one file each; see `base.SceneDataset` for what they share.

Pixel (0, 0) is centred at (0, 0). Where pixels are documented to count from the image's corner, half a pixel is taken
off the principal point: Waymo, DyCheck, RLBench, and the PyTorch3D cameras of CO3D and Dynamic Replica. Kubric's is
put at ((W - 1) / 2, (H - 1) / 2), the centre of a rendered image. All others are taken from the files as they are.
Download sizes in messages are the publishers' (CO3D, Dynamic Replica, DyCheck); those with
"about" are our estimates, to know the order before a download.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from page4d.data.datasets.base import DepthRule, Download, SceneDataset, ClipSelection
from page4d.data.datasets.bonn import Bonn
from page4d.data.datasets.co3d import CO3D
from page4d.data.datasets.dycheck import DyCheck
from page4d.data.datasets.dynamic_replica import DynamicReplica
from page4d.data.datasets.folder import Folder
from page4d.data.datasets.kubric import Kubric
from page4d.data.datasets.pointodyssey import PointOdyssey
from page4d.data.datasets.rlbench import RLBench
from page4d.data.datasets.sintel import Sintel
from page4d.data.datasets.spring import Spring
from page4d.data.datasets.tum import TUM
from page4d.data.datasets.waymo import Waymo
from page4d.schema import UserError

DATASETS: Mapping[str, type[SceneDataset[Any]]] = {
    "pointodyssey": PointOdyssey,
    "dynamic_replica": DynamicReplica,
    "kubric": Kubric,
    "spring": Spring,
    "co3d": CO3D,
    "waymo": Waymo,
    "sintel": Sintel,
    "dycheck": DyCheck,
    "bonn": Bonn,
    "tum": TUM,
    "rlbench": RLBench,
    "folder": Folder,
}

__all__ = ["DATASETS", "ClipSelection", "DepthRule", "Download", "Folder", "SceneDataset", "dataset_class"]


def dataset_class(name: str) -> type[SceneDataset[Any]]:
    """The loader of a dataset by its name.

    Raises:  UserError listing the names there are.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise UserError(f"no dataset {name!r}; there are {', '.join(DATASETS)}") from None
