"""What `page4d predict` lets one choose: precision, moving masks, windows that fit into memory."""
# ruff: noqa: F811, fixtures are imported

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model
from test_cli import images, predict, weights  # noqa: F401

from page4d.model import memory
from page4d.model.memory import ForwardPass, estimate_memory
from page4d.schema import Prediction


def test_moving_masks_are_chosen(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "none", images, "--moving", "none") == 0
    assert not (tmp_path / "none" / "masks").exists()
    assert predict(weights, tmp_path / "one", images / "9.png") == 0
    assert not (tmp_path / "one" / "masks").exists()
    assert predict(weights, tmp_path / "out", images, "--no-mask", "--moving", "model") == 2
    assert "runs without a mask, so --moving model has none to write" in capsys.readouterr().err


def test_precision_is_chosen(weights: Path, images: Path, tmp_path: Path) -> None:
    assert predict(weights, tmp_path / "half", images, "--precision", "bf16") == 0
    assert predict(weights, tmp_path / "full", images) == 0
    half, full = (Prediction.load(tmp_path / name / "prediction.npz") for name in ("half", "full"))
    assert (half.meta["aggregator_dtype"], full.meta["aggregator_dtype"]) == ("bfloat16", "float32")
    assert half.meta["weights_sha256"] == full.meta["weights_sha256"]
    assert 0 < np.abs(half.depth / full.depth - 1).max() < 0.1


def test_a_cpu_is_not_compiled_for(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(weights, tmp_path / "out", images, "--compile") == 2
    assert "compiling gains nothing on a CPU" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_before_it_starts(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = estimate_memory(ForwardPass(little_model().config, 2, 48, 64)).on(torch.device("cpu"))
    monkeypatch.setattr(memory, "available_memory", lambda _: needed)
    assert predict(weights, tmp_path / "out", images) == 2
    assert "take windows of 2 frames (--window 2)" in capsys.readouterr().err
    assert predict(weights, tmp_path / "out", images, "--window", "2", "--overlap", "1") == 0
