"""Training on real datasets, as a mix: what the data configuration says is what a batch holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from writers import dycheck, sintel
from writers.scene import symmetric

from page4d.schema import UserError
from page4d.train.setup import data_from

SHAPES = {"image_size": 56, "patch_size": 14, "frames": [2, 3], "images_per_batch": 6}


def entry(tmp_path: Path, loader: str) -> dict[str, object]:
    {"sintel": sintel, "dycheck": dycheck}[loader].write(tmp_path / loader, {"a": symmetric()})
    return {"kind": "dataset", "loader": loader, "root": str(tmp_path / loader)}


def test_a_batch_depends_on_its_number_alone(tmp_path: Path) -> None:
    datasets = {name: entry(tmp_path, name) for name in ("sintel", "dycheck")}
    values = {"kind": "mix", "datasets": datasets, "shapes": SHAPES, "look": {"tracks": 4}, "seed": 7}
    source = data_from(values).source
    batch = source.batch(5, 2)
    b, s, _, h, w = batch.images.shape
    assert (b * s <= 6, w, h % 14) == (True, 56, 0)
    again = data_from(values).source.batch(5, 2)
    assert torch.equal(batch.images, again.images)
    assert not torch.equal(data_from(values | {"seed": 8}).source.batch(5, 2).images[:1, :1], batch.images[:1, :1])
    assert batch.tracks.shape == (b, s, 4, 2)


def test_a_single_dataset_trains_and_validates(tmp_path: Path) -> None:
    one = entry(tmp_path, "sintel")
    data = data_from(one | {"shapes": SHAPES, "val": {"held": one | {"shapes": SHAPES, "batches": 2}}})
    assert data.source.name == "sintel"
    assert [(v.source.name, v.batches) for v in data.validations] == [("held", 2)]
    assert data.validations[0].source.batch(0, 0).images.shape[-1] == 56
    with pytest.raises(UserError, match=r"data\.val\.held\.batches is None"):
        data_from(one | {"val": {"held": one}})
    with pytest.raises(UserError, match=r"data\.shape is not a setting; near keys: shapes"):
        data_from(one | {"shape": SHAPES})
