"""Weights in and out: every source and every way in which a file can be wrong."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from little_model import LITTLE, little_model
from safetensors.torch import load_file, save_file

from page4d.io.weight_files import RELEASED, HubFile, builtin_names, parse_hub_name
from page4d.model import PAGE4D
from page4d.model import weights as module
from page4d.model.config import PAGE4DConfig
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.model.stored_weights import CONFIG_KEY, read_weights
from page4d.model.weights import MASK_PREFIX, load_pretrained, save_weights
from page4d.schema import UserError

IMAGES = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))


class LittleByDefault:
    """Stands for PAGE4DConfig inside weights.py, so that files without configuration need no 5 GB."""

    from_dict = PAGE4DConfig.from_dict

    def __new__(cls) -> Any:
        return dataclasses.replace(LITTLE, enable_track=True)


@pytest.fixture(autouse=True)
def _little_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE4DConfig", LittleByDefault)


def bare(model: PAGE4D) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def without(state: dict[str, torch.Tensor], *prefixes: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}


def same_outputs(a: PAGE4D, b: PAGE4D) -> None:
    with torch.no_grad():
        first, second = a(IMAGES), b(IMAGES)
    assert first.keys() == second.keys()
    for name in ("pose_enc", "depth", "world_points"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


def test_float32_safetensors_round_trip(tmp_path: Path) -> None:
    model = little_model(mask_hold_start=5, mask_hold_end=9)
    save_weights(model, tmp_path / "w.safetensors", torch.float32, steps="7")
    loaded = PAGE4D.from_pretrained(tmp_path / "w.safetensors")
    assert loaded.config == model.config
    assert not loaded.training
    same_outputs(model, loaded)
    assert weights_sha256(loaded) == weights_sha256(model)
    assert read_weights(tmp_path / "w.safetensors").metadata == {"steps": "7"}


def test_float16_file_is_float32_in_memory(tmp_path: Path) -> None:
    model = little_model()
    save_weights(model, tmp_path / "w.safetensors")
    stored = load_file(tmp_path / "w.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16}
    loaded = PAGE4D.from_pretrained(tmp_path / "w.safetensors")
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, stored[name].float(), rtol=0, atol=0)


def test_loaded_weights_can_be_trained_without_touching_the_file(tmp_path: Path) -> None:
    save_weights(little_model(), tmp_path / "w.safetensors", torch.float32)
    before = (tmp_path / "w.safetensors").read_bytes()
    model = PAGE4D.from_pretrained(tmp_path / "w.safetensors")
    out = model.train()(IMAGES)
    out["depth"].mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert model.depth_head is not None
    assert model.depth_head.norm.weight.grad is not None
    assert (tmp_path / "w.safetensors").read_bytes() == before


@pytest.mark.parametrize("wrap", [False, True], ids=["bare", "under model"])
@pytest.mark.parametrize("zipped", [False, True], ids=["before torch 1.6", "zip"])
def test_torch_checkpoints(tmp_path: Path, wrap: bool, zipped: bool) -> None:
    model = little_model(enable_track=True)
    state: Any = bare(model)
    state = {"model": state, "optimizer": {"state": {}}, "step": 3} if wrap else state
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    loaded = PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False)
    assert loaded.config == model.config
    same_outputs(model, loaded)


def test_run_folder_gives_its_best(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no best.safetensors or best.pt"):
        PAGE4D.from_pretrained(tmp_path)
    save_weights(little_model(), tmp_path / "best.safetensors", torch.float32)
    same_outputs(little_model(), PAGE4D.from_pretrained(tmp_path))


def test_absent_heads_are_switched_off(tmp_path: Path) -> None:
    state = without(bare(little_model()), "point_head.")
    torch.save(state, tmp_path / "w.pt")
    loaded = PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False)
    assert loaded.point_head is None
    assert loaded.track_head is None
    assert "world_points" not in loaded(IMAGES)
    with pytest.raises(
        UserError, match="no weights for enable_track, enable_point; it has enable_camera, enable_depth"
    ):
        PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False, enable_track=True, enable_point=True)


def test_present_heads_can_be_left_out(tmp_path: Path) -> None:
    torch.save(bare(little_model()), tmp_path / "w.pt")
    loaded = PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False, enable_point=False)
    assert loaded.point_head is None
    assert not any(name.startswith("point_head") for name in loaded.state_dict())


def test_unknown_head_option(tmp_path: Path) -> None:
    torch.save(bare(little_model()), tmp_path / "w.pt")
    with pytest.raises(UserError, match="enable_flow"):
        PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False, enable_flow=True)


def test_unknown_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(little_model(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"unknown options \['dtype', 'msk'\]; for weights of the hub"):
        PAGE4D.from_pretrained(tmp_path / "w.safetensors", msk=True, dtype="x")
    for local in (tmp_path / "w.safetensors", "tiny"):
        with pytest.raises(UserError, match="is on this machine; revision can be given for weights of the hub"):
            PAGE4D.from_pretrained(local, revision="main")
    with pytest.raises(UserError, match="unknown options"):
        PAGE4D.from_pretrained("nomask", foo=3)


def test_local_file_with_mask_head_must_be_told(tmp_path: Path) -> None:
    torch.save(bare(little_model()), tmp_path / "w.pt")
    with pytest.raises(UserError, match="pass mask=True"):
        PAGE4D.from_pretrained(tmp_path / "w.pt")
    off, on = (PAGE4D.from_pretrained(tmp_path / "w.pt", mask=mask) for mask in (False, True))
    assert (off.aggregator.alpha, on.aggregator.alpha) == (0, 1)
    assert "mask" not in off(IMAGES)
    assert on(IMAGES)["mask"].shape == (1, 3, 4, 8)


def test_configuration_decides_the_mask_unless_told(tmp_path: Path) -> None:
    save_weights(little_model(mask_hold_start=60, mask_hold_end=100), tmp_path / "on.safetensors")
    assert PAGE4D.from_pretrained(tmp_path / "on.safetensors").config.mask_hold_start == 60
    assert PAGE4D.from_pretrained(tmp_path / "on.safetensors", mask=True).config.mask_hold_end == 100
    assert PAGE4D.from_pretrained(tmp_path / "on.safetensors", mask=False).aggregator.alpha == 0
    save_weights(little_model(), tmp_path / "off.safetensors")
    assert PAGE4D.from_pretrained(tmp_path / "off.safetensors").aggregator.alpha == 0
    assert PAGE4D.from_pretrained(tmp_path / "off.safetensors", mask=True).aggregator.alpha == 1


def test_weights_without_mask_head_as_vggt(tmp_path: Path) -> None:
    model = little_model()
    save_file(without(bare(model), MASK_PREFIX), tmp_path / "vggt.safetensors")
    loaded, again = (PAGE4D.from_pretrained(tmp_path / "vggt.safetensors") for _ in range(2))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert weights_sha256(loaded) == weights_sha256(again)
    same_outputs(loaded, model)
    deviation = loaded.aggregator.spatial_mask_head.head0[2].weight.std().item()
    assert deviation == pytest.approx((1 / 3 / LITTLE.embed_dim) ** 0.5, rel=0.05)  # PyTorch's default for a 1 x 1
    with pytest.raises(UserError, match="no weights for the mask head"):
        PAGE4D.from_pretrained(tmp_path / "vggt.safetensors", mask=True)


def test_fresh_mask_head_leaves_the_random_state_alone(tmp_path: Path) -> None:
    save_file(without(bare(little_model()), MASK_PREFIX), tmp_path / "w.safetensors")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    PAGE4D.from_pretrained(tmp_path / "w.safetensors")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


class Bomb:
    """Unpickling this would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def bad_files(folder: Path) -> dict[str, Path]:
    state = bare(little_model())
    torch.save(state, folder / "whole.pt")
    whole = (folder / "whole.pt").read_bytes()
    save_file(state, folder / "whole.safetensors")
    whole_safe = (folder / "whole.safetensors").read_bytes()
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    old = (folder / "old.pt").read_bytes()
    contents = {
        "truncated.pt": whole[: len(whole) // 2],
        "truncated_old.pt": old[: len(old) // 2],
        "truncated.safetensors": whole_safe[: len(whole_safe) // 2],
        "tiny.safetensors": whole_safe[:4],
        "page.pt": b"<!DOCTYPE html><html><body>404</body></html>",
        "page.safetensors": b"\n <html><body>rate limit</body></html>",
        "pointer.pt": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "empty.pt": b"",
        "text.pt": b"hello, these are no weights",
        "code.pt": pickle.dumps({"model": Bomb(folder / "boom")}, protocol=2),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    torch.save({"weights": Bomb(folder / "boom")}, folder / "code_zip.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save({"model": {}}, folder / "nothing.pt")
    torch.save({"epoch": 3, "state": {"a": torch.zeros(1)}}, folder / "other.pt")
    save_file(state, folder / "config.safetensors", {CONFIG_KEY: json.dumps({"embed_dim": 64, "flavour": 1})})
    save_file(state, folder / "json.safetensors", {CONFIG_KEY: "{not json"})
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated.pt", "is not a whole torch checkpoint, it may be cut short"),
        ("truncated_old.pt", "is not a whole torch checkpoint, it may be cut short"),
        ("truncated.safetensors", "is not a whole safetensors file, it may be cut short"),
        ("tiny.safetensors", "is not a whole safetensors file, it may be cut short"),
        ("page.pt", "is a web page, not weights"),
        ("page.safetensors", "is a web page, not weights"),
        ("pointer.pt", "git-lfs pointer"),
        ("empty.pt", r"is empty \(0 bytes\)"),
        ("text.pt", "is not a torch checkpoint by its first bytes; give a .pt"),
        ("code.pt", "holds Python objects or code"),
        ("code_zip.pt", "holds Python objects or code"),
        ("list.pt", "holds a list, expected a state dict"),
        ("nothing.pt", "holds a dict, expected a state dict"),
        ("other.pt", "is not a state dict.*epoch, state are not tensors"),
        ("config.safetensors", "configuration that this page4d cannot read.*flavour"),
        ("json.safetensors", "configuration that this page4d cannot read"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, message: str) -> None:
    path = bad_files(tmp_path)[name]
    with pytest.raises(UserError, match=message) as caught:
        PAGE4D.from_pretrained(path, mask=False)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "boom").exists()


def test_half_the_keys_missing_names_them(tmp_path: Path) -> None:
    state = bare(little_model())
    kept = dict(list(state.items())[::2])
    torch.save(kept, tmp_path / "half.pt")
    dropped = len(state) - len(kept)
    with pytest.raises(UserError, match=rf"{dropped} of \d+ missing: aggregator\..* and {dropped - 6} more"):
        PAGE4D.from_pretrained(tmp_path / "half.pt", mask=False)


def test_half_a_mask_head_is_missing_keys(tmp_path: Path) -> None:
    torch.save(without(bare(little_model()), MASK_PREFIX + "head0.2"), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"2 of \d+ missing: .*head0.2.bias, .*head0.2.weight"):
        PAGE4D.from_pretrained(tmp_path / "w.pt", mask=True)


def test_wrong_shapes_and_unknown_names_are_all_said_at_once(tmp_path: Path) -> None:
    state = bare(little_model())
    state["aggregator.camera_token"] = torch.zeros(1, 2, 1, 63)
    state["camera_head.token_norm.weight"] = state["camera_head.token_norm.weight"].long()
    state["optimizer.lr"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UserError) as caught:
        PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False)
    message = str(caught.value)
    assert "1 of" in message
    assert "unknown: optimizer.lr" in message
    assert "aggregator.camera_token (1, 2, 1, 63), expected (1, 2, 1, 64)" in message
    assert "camera_head.token_norm.weight torch.int64" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "no file or folder here, and not a known name.*nomask, mask, vggt"),
        ("./missing.pt", "no file or folder here"),
        ("runs/missing.pt", "no file or folder here"),
        ("/missing/best.safetensors", "no file or folder here"),
        ("a//b", "no file or folder here"),
    ],
)
def test_sources_that_do_not_exist(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PAGE4D.from_pretrained(name)


def test_hub_names() -> None:
    assert parse_hub_name("me/net/best.pt") == [HubFile("me/net", "best.pt")]
    assert parse_hub_name("me/net/deep/best.pt") == [HubFile("me/net", "deep/best.pt")]
    names = ["model.safetensors", "model.pt", "model.safetensors.index.json"]
    assert [f.file for f in parse_hub_name("me/net")] == names
    assert parse_hub_name("datasets/me/net/best.pt") == [HubFile("me/net", "best.pt", "dataset")]
    assert {name: (f.repo, f.kind, f.mask) for name, f in RELEASED.items()} == {
        "nomask": ("zhouk777/PAGE4D", "dataset", False),
        "mask": ("zhouk777/PAGE4D", "dataset", True),
        "vggt": ("facebook/VGGT-1B", "model", False),
        "vggt-commercial": ("facebook/VGGT-1B-Commercial", "model", False),
        "vggt-tracker": ("facebook/VGGT_tracker_fixed", "model", False),
    }


@pytest.mark.parametrize(("name", "alpha"), [("mask", 1.0), ("nomask", 0.0)])
def test_released_names_know_their_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, alpha: float
) -> None:
    from page4d.io import weight_files

    torch.save({"model": bare(little_model())}, tmp_path / "w.pt")
    asked = []

    def fetch(wanted: HubFile, **options: Any) -> Path:
        asked.append((wanted, options))
        return tmp_path / "w.pt"

    monkeypatch.setattr(weight_files, "fetch", fetch)
    assert PAGE4D.from_pretrained(name, revision="main").aggregator.alpha == alpha
    assert asked == [(RELEASED[name], {"revision": "main"})]
    spelt_out = f"zhouk777/PAGE4D/checkpoint_{name}.pt"
    assert PAGE4D.from_pretrained(spelt_out).aggregator.alpha == alpha


def test_overflow_of_half_precision_is_refused(tmp_path: Path) -> None:
    model = little_model()
    with torch.no_grad():
        model.aggregator.camera_token[0, 0, 0, 0] = 1e6
    with pytest.raises(UserError, match=r"aggregator.camera_token not finite as torch.float16"):
        save_weights(model, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
    save_weights(model, tmp_path / "w.safetensors", torch.float32)


def test_fingerprints_change_with_every_weight_and_field() -> None:
    model, same = little_model(), little_model()
    first = weights_sha256(model)
    assert weights_sha256(same) == first
    with torch.no_grad():
        model.aggregator.camera_token[0, 0, 0, 0] += 1e-3
    assert weights_sha256(model) != first
    with torch.no_grad():
        model.aggregator.camera_token.copy_(same.aggregator.camera_token)
    assert weights_sha256(model) == first
    model.load_state_dict(little_model(seed=1).state_dict())
    assert weights_sha256(model) == weights_sha256(little_model(seed=1))
    assert config_sha256(LITTLE) != config_sha256(dataclasses.replace(LITTLE, mask_hold_end=1))


def test_builtin_names_exist_as_files() -> None:
    for name in builtin_names():
        assert PAGE4D.from_pretrained(name).config.img_size > 0


def test_default_network_is_meant_without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little file without configuration is compared with the full network before one is built."""
    monkeypatch.setattr(module, "PAGE4DConfig", PAGE4DConfig)
    torch.save(bare(little_model()), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"another size \(depth 4, embed_dim 64, patch_size 8"):
        load_pretrained(PAGE4D, tmp_path / "w.pt", mask=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_loading_takes_the_networks_own_size_once() -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "load_memory.py"
    command = [sys.executable, str(script), "--small", "--formats", "float32.safetensors"]
    last = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()[-1]
    row = json.loads(last)["small"]["rows"]["float32.safetensors"]
    assert row["network"] > 0.3
    assert row["ratio"] < 1.15
