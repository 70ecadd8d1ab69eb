"""The network in other runtimes: torch.export and ONNX, with any number of frames, on the command line too."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from little_model import LITTLE, little_model

from page4d.cli import main
from page4d.model import exported
from page4d.model.exported import OneScene, save_exported
from page4d.model.fingerprint import weights_sha256
from page4d.model.weights import save_weights
from page4d.schema import UserError

IMAGES = torch.rand(1, 5, 3, 32, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "little.safetensors"
    save_weights(little_model(mask_hold_start=1, mask_hold_end=1), path, torch.float32)
    return path


def expected() -> dict[str, torch.Tensor]:
    with torch.no_grad():
        out = little_model(mask_hold_start=1, mask_hold_end=1)(IMAGES)
    return {name: value for name, value in out.items() if isinstance(value, torch.Tensor) and name != "images"}


def test_one_scene_gives_the_networks_tensors() -> None:
    with torch.no_grad():
        found = OneScene(little_model(mask_hold_start=1, mask_hold_end=1))(IMAGES)
    torch.testing.assert_close(found, expected())


@pytest.mark.long
@pytest.mark.slow
def test_a_program_takes_any_number_of_frames(weights: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "net.pt2"
    assert main(["export-model", str(weights), "--out", str(out), "--height", "32"]) == 0
    assert "images (1, frames, 3, 32, 64) -> mask, pose_enc, world_points" in capsys.readouterr().out
    notes = {"page4d_config.txt": "", "weights_sha256.txt": ""}
    program = torch.export.load(out, extra_files=notes).module()
    torch.testing.assert_close(program(IMAGES), expected())
    with torch.no_grad():
        assert program(IMAGES[:, :2])["depth"].shape == (1, 2, 32, 64, 1)
    assert json.loads(notes["page4d_config.txt"])["embed_dim"] == LITTLE.embed_dim
    assert notes["weights_sha256.txt"] == weights_sha256(little_model(mask_hold_start=1, mask_hold_end=1))


@pytest.mark.long
@pytest.mark.slow
def test_onnx_is_read_back_by_its_runtime(weights: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "net.onnx"
    assert main(["export-model", str(weights), "--out", str(out), "--height", "32"]) == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"images": IMAGES.numpy()}), strict=True))
    wanted = expected()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
    two = session.run(["depth"], {"images": IMAGES[:, :2].numpy()})[0]
    assert two.shape == (1, 2, 32, 64, 1)
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["page4d_config"])["embed_dim"] == LITTLE.embed_dim


def test_what_cannot_be_exported_is_said_at_once(weights: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "there.pt2").touch()
    for words, said in (
        ([str(tmp_path / "net.txt")], "ends in '.txt', expected .onnx or .pt2"),
        ([str(tmp_path / "no" / "net.pt2")], "its folder does not exist; make it first"),
        ([str(tmp_path / "there.pt2")], "exists; choose another --out, or pass --overwrite"),
        ([str(tmp_path / "net.pt2"), "--width", "33"], "64 x 33 px, expected sides that are multiples of"),
    ):
        assert main(["export-model", str(weights), "--out", *words]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="the network holds bfloat16, float32, expected float32"):
        save_exported(little_model().hold_matrices(torch.bfloat16), tmp_path / "net.pt2", 32, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["there.pt2"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Program:
        call_spec = type("Spec", (), {"out_spec": type("Out", (), {"context": ["depth"]})})

    def fail(_program: object, packed: io.BytesIO, **_: object) -> None:
        packed.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exported, "export_program", lambda *_: Program())
    monkeypatch.setattr(torch.export, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_exported(little_model(), tmp_path / "net.pt2", 32, 64)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_is_exported_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes: list[OneScene] = []
    monkeypatch.setattr(torch.export, "export", lambda scene, *args, **options: scenes.append(scene))
    network = little_model().train()
    network.aggregator.mask_step = 3
    exported.export_program(network, 32, 64)
    assert network.training
    assert network.depth_head is not None
    assert network.depth_head.training
    (scene,) = scenes
    assert not scene.network.training
    assert scene.network.aggregator.mask_step == 3
    ours, theirs = network.state_dict(), scene.network.state_dict()
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours), "no second copy"
