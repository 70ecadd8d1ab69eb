"""`prepare synthetic`: a download's layout that our loaders and preparation read back to within its quantisation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from page4d.cli import main
from page4d.data.datasets import TUM
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.tum import TUMOptions
from page4d.prepare import synthetic
from page4d.prepare.synthetic import SyntheticOptions, plan_scenes, sequence_name
from page4d.schema import UserError
from page4d.world import render_clip, sample_scene, split_config, split_seeds

NAME = sequence_name("dynamic-test", 1)
WORDS = ["prepare", "synthetic", "dynamic-test", "--scenes", "2", "--frames", "3", "--height", "32", "--width", "48"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    assert main([*WORDS, "--out", str(out)]) == 0
    return out


def test_the_tum_loader_gives_the_scene_back(written: Path) -> None:
    camera = json.loads((written / NAME / "calibration.json").read_text())
    calibration = Calibration(*(camera[key] for key in ("width", "height", "fx", "fy", "cx", "cy")))
    dataset = TUM(written, options=TUMOptions(calibration=calibration))
    assert len(dataset.sequences) == 2
    clip = dataset.load(NAME, [0, 1, 2])
    config = split_config("dynamic-test", **SyntheticOptions(frames=3, height=32, width=48).world_values())
    scene = render_clip(sample_scene(split_seeds("dynamic-test", 1, 1)[0], config))
    torch.testing.assert_close(clip.images, scene.images, atol=0.5 / 255 + 1e-6, rtol=0)
    near = scene.depth < 13.1
    assert near.float().mean() > 0.3
    torch.testing.assert_close(clip.depth[near], scene.depth[near], atol=0.5 / 5000 + 1e-5, rtol=0)
    assert not clip.depth[scene.depth > 13.11].any()
    torch.testing.assert_close(clip.K, scene.K)
    torch.testing.assert_close(clip.cam_from_world, scene.cam_from_world, atol=2e-6, rtol=0)


def test_check_data_takes_the_folder(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration asks for the official sequences; these folders have others, and are made to be looked at."""
    words = ["check-data", "data=tum", f"paths.tum={written}", "data.options.selection=all", "--show", "0"]
    assert main([*words, "--out", str(tmp_path / "check"), "--clips", "2", "--frames", "3"]) == 0
    assert "(2 sequences, 6 frames)" in capsys.readouterr().out


def test_prepare_tum_reads_it(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "benchmark"
    assert main(["prepare", "tum", str(written), "--out", str(out), "--frames", "3", "--stride", "1"]) == 0
    assert len(list((out / NAME / "depth_3").iterdir())) == 3
    assert "no depth map" not in capsys.readouterr().out


def test_a_second_run_does_not_even_render(
    written: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "render_clip", lambda *_: pytest.fail("rendered again"))
    assert main([*WORDS, "--out", str(written)]) == 0
    assert capsys.readouterr().out.count("already complete") == 2


def test_scenes_are_numbered_within_their_split(tmp_path: Path) -> None:
    options = SyntheticOptions("static-train", scenes=1, first=7, frames=2, height=16, width=16)
    ((folder, plan),) = plan_scenes(tmp_path, options)
    assert folder.name == "rgbd_dataset_synthetic_static_train_000007"
    assert plan is not None
    assert len(plan.manifest.frames) == 2


def test_impossible_wishes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'train'"):
        list(plan_scenes(tmp_path, SyntheticOptions("train")))
    with pytest.raises(UserError, match="scenes is 0; expected 1 to"):
        SyntheticOptions(scenes=0)
    with pytest.raises(UserError, match="at least 8 pixels"):
        list(plan_scenes(tmp_path, SyntheticOptions(height=4)))
