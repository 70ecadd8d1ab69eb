"""Steps recorded as CUDA graphs: refused where they cannot be, and equal to plain steps where they can."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training import make_trainer, settings

from page4d.schema import UserError
from page4d.train.graphs import shapes_of, tensors_of


def test_a_recording_without_a_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.cuda_graphs with device cpu"):
        make_trainer(tmp_path, settings(cuda_graphs=True))


def test_shapes_tell_batches_apart_that_no_recording_serves_both(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    batch = trainer.source.batch(0, 0).to("cpu")
    shorter = batch.at_frames(slice(0, 2))
    assert set(tensors_of(batch)) >= {"images", "depth", "cam_from_world", "K"}
    assert shapes_of(batch) == shapes_of(trainer.source.batch(1, 1).to("cpu"))
    assert shapes_of(batch) != shapes_of(shorter)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("aid", [False, True])
def test_recorded_steps_equal_plain_ones(tmp_path: Path, aid: bool) -> None:
    ends = {}
    for recorded in (False, True):
        chosen = settings(aid=aid, cuda_graphs=recorded, device="auto", max_steps=8, dense_every=2, save_every=0)
        trainer = make_trainer(tmp_path / str(recorded), chosen)
        trainer.run()
        ends[recorded] = {name: value.detach().cpu() for name, value in trainer.model.named_parameters()}
    for name, plain in ends[False].items():
        torch.testing.assert_close(
            ends[True][name], plain, atol=2e-4, rtol=2e-3, msg=lambda text, n=name: f"{n}: {text}"
        )
