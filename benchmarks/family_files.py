"""What `family.py` keeps of a run: its thinned log, its last values, and weights that changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from page4d.train.record import read_scalars

CURVE_POINTS = 300


def last_values(folder: Path) -> dict[str, float]:
    """Validation scores and losses at the end of a run."""
    records = read_scalars(folder)
    wanted = ("objective", "loss_camera", "aid_accuracy", "aid_flow_ratio", "aid_mask")
    train = [r for r in records if r["phase"] == "train"][-1:]
    val = [r for r in records if r["phase"] == "val"][-1:]
    found = {name: round(r[name], 4) for r in train for name in wanted if name in r}
    tails = ("abs_rel", "rotation_ratio", "direction", "ate_ratio")
    return found | {k: round(v, 4) for r in val for k, v in r.items() if k.endswith(tails)}


def curve(folder: Path) -> list[dict[str, Any]]:
    """A run's log, thinned; every validation stays."""
    records = read_scalars(folder)
    train = [r for r in records if r["phase"] == "train"]
    kept = [*train[:: max(1, len(train) // CURVE_POINTS)], *(r for r in records if r["phase"] != "train")]
    return [{k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in r.items()} for r in kept]


def changed_weights(path: Path, start: Mapping[str, torch.Tensor]) -> Path:
    """A copy of a weights file without the tensors that equal those it began with."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        metadata = file.metadata()
    kept = {name: t for name, t in tensors.items() if name not in start or not torch.equal(t, start[name].half())}
    small = path.with_suffix(".changed")
    save_file(kept, small, metadata)
    return small
