"""Weights in the forms that other programs leave them in: prefixes, wrappers, folders, VGGT's states, wrong sizes."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from little_model import LITTLE, little_model
from safetensors.torch import save_file

from page4d.io import weight_files
from page4d.io.weight_files import RELEASED
from page4d.model import PAGE4D, VGGT, PAGE4DConfig, fingerprint
from page4d.model.fingerprint import tensors_sha256, weights_sha256
from page4d.model.stored_weights import CONFIG_KEY
from page4d.model.weights import MASK_PREFIX, dimensions_of, save_weights
from page4d.schema import UserError

IMAGES = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


def write_model_folder(folder: Path, state: dict[str, torch.Tensor], config: dict[str, Any] | None = None) -> Path:
    """As the hub's mixin leaves it: tensors without metadata, the configuration beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.clone() for name, t in state.items()}, folder / "model.safetensors")
    values = dataclasses.asdict(LITTLE) if config is None else config
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def same(a: PAGE4D, b: PAGE4D) -> None:
    assert a.config == b.config
    for name, tensor in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("before", "wrapper"),
    [
        ("module.", None), ("_orig_mod.", "model"), ("module._orig_mod.", "state_dict"), ("model.", None),
        ("model.", "model"), ("module.", "state_dict"),
    ],
)  # fmt: skip
def test_prefixes_and_wrappers_come_off(tmp_path: Path, before: str, wrapper: str | None) -> None:
    model = little_model()
    state: Any = {before + name: t for name, t in model.state_dict().items()}
    file = tmp_path / "folder" / "model.pt"
    write_model_folder(file.parent, model.state_dict())
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, file)
    same(PAGE4D.from_pretrained(file, mask=False), model)


def test_blocks_compiled_one_by_one_keep_their_names(tmp_path: Path) -> None:
    model = little_model()
    state = {n.replace("blocks.0.", "blocks.0._orig_mod."): t for n, t in model.state_dict().items()}
    same(PAGE4D.from_pretrained(write_model_folder(tmp_path / "m", state)), model)


def test_weights_twice_are_refused(tmp_path: Path) -> None:
    state = little_model().state_dict()
    twice = state | {name.replace("blocks.0.", "blocks.0._orig_mod."): t for name, t in state.items()}
    with pytest.raises(UserError, match="holds weights twice"):
        PAGE4D.from_pretrained(write_model_folder(tmp_path / "m", twice))


def test_save_pretrained_round_trip(tmp_path: Path) -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    folder = model.save_pretrained(tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["embed_dim"] == 64
    loaded = PAGE4D.from_pretrained(folder)
    same(loaded, model)
    assert weights_sha256(loaded) == weights_sha256(model)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, expected a folder"):
        model.save_pretrained(tmp_path / "file")


def test_what_older_versions_of_the_mixin_left_is_read(tmp_path: Path) -> None:
    model = little_model()
    folder = model.save_pretrained(tmp_path / "out")
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    same(PAGE4D.from_pretrained(folder), model)


def in_parts(model: PAGE4D, folder: Path, kind: str) -> Path:
    """Weights as the hub's tools leave those of large models: two files and an index."""
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    names = sorted(model.state_dict())
    stem = "model" if kind == "safetensors" else "pytorch_model"
    place = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"{stem}-0000{number}-of-00002.{kind}"
        tensors = {name: model.state_dict()[name].contiguous() for name in part}
        if kind == "safetensors":
            save_file(tensors, folder / file, {"format": "pt"})
        else:
            torch.save(tensors, folder / file)
        place |= dict.fromkeys(part, file)
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_several_files_are_read(kind: str, tmp_path: Path) -> None:
    model = little_model()
    index = in_parts(model, tmp_path / "out", kind)
    loaded = PAGE4D.from_pretrained(index.parent)
    same(loaded, model)
    same(PAGE4D.from_pretrained(index), model)
    assert weights_sha256(loaded) == weights_sha256(model)
    changed = torch.zeros_like(model.state_dict()["aggregator.camera_token"])
    with torch.no_grad():
        model.aggregator.camera_token.copy_(changed)
    in_parts(model, tmp_path / "out", kind)
    assert weights_sha256(PAGE4D.from_pretrained(index.parent)) != weights_sha256(loaded)


def test_all_files_of_an_index_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = little_model()
    folder = in_parts(model, tmp_path / "out", "safetensors").parent
    asked = []

    def fetch(wanted: weight_files.HubFile, **_: Any) -> Path:
        asked.append(wanted.file)
        if not (folder / wanted.file).is_file():
            raise weight_files.NoSuchFileError(f"there is no {wanted.file}")
        return folder / wanted.file

    monkeypatch.setattr(weight_files, "fetch", fetch)
    same(PAGE4D.from_pretrained("me/net"), model)
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert asked == [*weight_files.HUB_FILES, *parts, "config.json"]
    (folder / parts[0]).unlink()
    with pytest.raises(UserError, match=f"there is no {parts[0]}"):
        PAGE4D.from_pretrained("me/net")
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(
        UserError, match=r"there is no model\.safetensors or model\.pt or model\.safetensors\.index\.json"
    ):
        PAGE4D.from_pretrained("me/net")


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("{}", "it lacks a weight_map"),
        ("nonsense", "it lacks a weight_map"),
        ('{"weight_map": []}', "weight_map is no table of names"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "x.safetensors"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "passwd"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors does not exist"),
        ('{"weight_map": {"a": 3}}', "3 does not exist"),
        ('{"weight_map": {"nothing": "model-00001-of-00002.safetensors"}}', "holds nothing, it does not; copy all"),
    ],
)
def test_an_index_that_is_none_is_named(stored: str, said: str, tmp_path: Path) -> None:
    index = in_parts(little_model(), tmp_path / "out", "safetensors")
    index.write_text(stored)
    with pytest.raises(UserError, match=re.escape(said)):
        PAGE4D.from_pretrained(index.parent)


def test_arguments_and_numbers_of_numpy_beside_weights_are_harmless(tmp_path: Path) -> None:
    model = little_model()
    folder = model.save_pretrained(tmp_path / "out")
    (folder / "model.safetensors").unlink()
    beside = {"args": Namespace(lr=1e-4, loss=np.float64(0.5)), "best": np.float32(0.1), "step": np.int64(7)}
    torch.save({"model": model.state_dict()} | beside, folder / "model.pt")
    same(PAGE4D.from_pretrained(folder), model)
    torch.save({"model": model.state_dict(), "args": Path("x")}, folder / "model.pt")
    with pytest.raises(UserError, match=r"holds Python objects or code besides weights \(pathlib[\w.]*Path\)"):
        PAGE4D.from_pretrained(folder)


def test_a_renamed_file_is_known_by_its_content(tmp_path: Path) -> None:
    model = little_model()
    folder = model.save_pretrained(tmp_path / "out")
    (folder / "model.safetensors").rename(tmp_path / "renamed.pt")
    same(PAGE4D.from_pretrained(tmp_path / "renamed.pt"), model)


def test_a_word_that_is_no_device_is_named() -> None:
    with pytest.raises(UserError, match="'gpu' is not a device; give cpu, cuda"):
        PAGE4D.from_pretrained("tiny", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"no CUDA device can be used here .*; take device cpu"):
            PAGE4D.from_pretrained("tiny", device="cuda")


def test_numbers_of_numpy_make_a_configuration() -> None:
    numbers = {"img_size": np.int64(56), "mask_source": np.int32(1), "masked_pairs": (np.int64(2),)}
    config = PAGE4DConfig(**(dataclasses.asdict(little_model().config) | numbers | {"patch_size": 8}))
    assert type(config.img_size) is int
    assert json.loads(json.dumps(dataclasses.asdict(config)))["masked_pairs"] == [2]
    with pytest.raises(ValueError, match=r"img_size is 56\.0, expected"):
        dataclasses.replace(config, img_size=np.float64(56))


def test_push_to_hub_uploads_what_save_pretrained_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None) -> None:
            sent["token"] = token

        def create_repo(self, repo: str, **options: Any) -> str:
            sent.update(repo=repo, **options)
            return f"https://hub/{repo}"

        def upload_folder(self, *, folder_path: Path, **_: Any) -> None:
            sent["files"] = sorted(path.name for path in folder_path.iterdir())

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert little_model().push_to_hub("me/net", private=True, token="t") == "https://hub/me/net"
    files = ["config.json", "model.safetensors"]
    assert sent == {"token": "t", "repo": "me/net", "private": True, "exist_ok": True, "files": files}


def test_vggt_states_load_strictly() -> None:
    model, other = little_model(), little_model(seed=1)
    state = {name: t for name, t in model.state_dict().items() if not name.startswith(MASK_PREFIX)}
    mask_before = other.aggregator.spatial_mask_head.head0[0].weight.clone()
    other.load_state_dict(state)
    torch.testing.assert_close(other(IMAGES)["depth"], model(IMAGES)["depth"], rtol=0, atol=0)
    torch.testing.assert_close(other.aggregator.spatial_mask_head.head0[0].weight, mask_before, rtol=0, atol=0)
    masked = little_model(mask_hold_start=1, mask_hold_end=1)
    with pytest.raises(RuntimeError, match="spatial_mask_head"):
        masked.load_state_dict(state)
    with pytest.raises(RuntimeError, match="unexpected"):
        other.load_state_dict(state | {"unexpected": torch.zeros(1)})


def test_vggt_takes_its_own_arguments() -> None:
    with torch.device("meta"):
        positional, plain = VGGT(518, 14, 1024), VGGT(enable_track=False)
    assert positional.config == PAGE4DConfig()
    assert positional.aggregator.alpha == 0
    assert plain.track_head is None
    assert (positional.aggregator.patch_size, positional.aggregator.patch_start_idx) == (14, 5)


def test_vggt_is_loaded_as_such(tmp_path: Path) -> None:
    folder = little_model().save_pretrained(tmp_path / "m")
    assert type(VGGT.from_pretrained(folder)) is VGGT


@pytest.mark.parametrize(("name", "alpha"), [("checkpoint_mask.pt", 1.0), ("checkpoint_nomask.pt", 0.0)])
def test_page4ds_own_files_are_known_by_name(tmp_path: Path, name: str, alpha: float) -> None:
    # Little weights under the released name; only the configuration they lack has to be made little, too.
    torch.save({"model": little_model().state_dict()}, tmp_path / name)
    from page4d.model import weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "PAGE4DConfig", lambda: LITTLE)
        assert PAGE4D.from_pretrained(tmp_path / name).aggregator.alpha == alpha


def test_further_released_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (RELEASED["vggt-commercial"].repo, RELEASED["vggt-commercial"].file) == (
        "facebook/VGGT-1B-Commercial", "vggt_1B_commercial.pt",
    )  # fmt: skip
    assert (RELEASED["vggt-tracker"].repo, RELEASED["vggt-tracker"].file) == (
        "facebook/VGGT_tracker_fixed", "model_tracker_fixed_e20.pt",
    )  # fmt: skip
    path = little_model().save_pretrained(tmp_path / "m") / "model.safetensors"
    monkeypatch.setattr(weight_files, "fetch", lambda *_, **__: path)
    assert PAGE4D.from_pretrained("vggt-tracker").aggregator.alpha == 0


def test_an_untrained_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vggt-tiny was trained without its mask"):
        PAGE4D.from_pretrained("vggt-tiny", mask=True)
    save_weights(little_model(), tmp_path / "w.safetensors", mask_head="untrained")
    with pytest.raises(UserError, match="was trained without its mask"):
        PAGE4D.from_pretrained(tmp_path / "w.safetensors", mask=True)
    assert PAGE4D.from_pretrained(tmp_path / "w.safetensors").aggregator.alpha == 0


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_precision_is_that_of_the_matrices(tmp_path: Path, precision: Any) -> None:
    folder = little_model().save_pretrained(tmp_path / "m")
    model = PAGE4D.from_pretrained(folder, precision=precision)
    expected = torch.float32 if precision == "float32" else torch.bfloat16
    assert model.aggregator.frame_blocks[0].get_parameter("mlp.fc1.weight").dtype == expected
    assert model.aggregator.camera_token.dtype == torch.float32
    assert weights_sha256(model) == weights_sha256(little_model())
    with pytest.raises(UserError, match="precision is 'half', expected float32 or bf16"):
        PAGE4D.from_pretrained(folder, precision="half")


IMPOSSIBLE: list[dict[str, Any]] = [
    {"depth": 10**6}, {"depth": 0}, {"depth": -1}, {"depth": "24"}, {"depth": 4.0}, {"depth": None}, {"depth": True},
    {"embed_dim": 2**40}, {"embed_dim": 0}, {"num_heads": 0}, {"patch_size": 0}, {"patch_size": -8},
    {"img_size": 10**9}, {"dpt_channels": [8, 16]}, {"dpt_channels": "8888"}, {"dpt_channels": [8, 16, 16, 10**7]},
    {"dpt_pairs": [3, 2, 1, 0]}, {"dpt_pairs": [0, 1, 2, 10**9]}, {"masked_pairs": 3}, {"masked_pairs": [[2]]},
    {"camera_heads": 0}, {"camera_heads": 3}, {"camera_trunk_depth": 10**6}, {"dpt_features": 0}, {"dpt_features": 12},
    {"track_features": 10**9}, {"track_hidden": -8}, {"enable_depth": "yes"}, {"enable_point": 1},
    {"mask_hold_start": -1}, {"mask_hold_end": 10**30}, {"mask_rows": "some"}, {"patch_embed": 7}, {"patch_embed": "x"},
    {"mask_source": 99}, {"flavour": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
def test_impossible_configurations_are_refused_at_once(tmp_path: Path, change: dict[str, Any]) -> None:
    values = dataclasses.asdict(LITTLE) | change
    state = little_model().state_dict()
    save_file(dict(state), tmp_path / "w.safetensors", {CONFIG_KEY: json.dumps(values)})
    begin, name = time.process_time(), next(iter(change))
    with pytest.raises(UserError, match=rf"configuration that this page4d cannot read: PAGE4DConfig.*{name}"):
        PAGE4D.from_pretrained(tmp_path / "w.safetensors")
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": 6}, "depth 6 but 4 by its tensors"),
        ({"embed_dim": 128}, "embed_dim 128 but 64 by its tensors"),
        ({"patch_size": 16}, "patch_size 16 but 8 by its tensors"),
        ({"camera_trunk_depth": 4}, "camera_trunk_depth 4 but 2 by its tensors"),
        ({"dpt_features": 32}, "dpt_features 32 but 16 by its tensors"),
        ({"dpt_channels": [8, 16, 16, 32]}, r"dpt_channels \(8, 16, 16, 32\) but \(8, 16, 16, 16\) by its tensors"),
    ],
)
def test_a_configuration_of_other_weights_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = write_model_folder(tmp_path / "m", little_model().state_dict(), dataclasses.asdict(LITTLE) | change)
    with pytest.raises(UserError, match=words):
        PAGE4D.from_pretrained(folder)


def test_a_small_network_without_configuration_says_what_is_missing(tmp_path: Path) -> None:
    torch.save({"module." + name: t for name, t in little_model().state_dict().items()}, tmp_path / "w.pt")
    words = r"another size \(depth 4, embed_dim 64, .*\) and no configuration: a state_dict\(\) alone does not say one"
    with pytest.raises(UserError, match=words):
        PAGE4D.from_pretrained(tmp_path / "w.pt", mask=False)


def test_dimensions_can_be_read_off_the_full_network() -> None:
    config = PAGE4DConfig()
    with torch.device("meta"):
        shown = dimensions_of(PAGE4D(config).state_dict())
    assert shown == {name: getattr(config, name) for name in shown}
    assert len(shown) == 6


def test_config_json_that_is_not_one(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", little_model().state_dict())
    for text in ("[1, 2]", "{", '"x"', "[" * 100_000):
        (folder / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"config.json carries a configuration that this page4d cannot read"):
            PAGE4D.from_pretrained(folder)


def test_the_hash_is_the_files_and_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "NOTED_FROM_BYTES", 0)
    model = little_model()
    path = model.save_pretrained(tmp_path / "m") / "model.safetensors"
    expected = tensors_sha256(model.state_dict())
    hashed: list[int] = []

    def counted(*arguments: Any) -> str:
        hashed.append(1)
        return tensors_sha256(*arguments)

    monkeypatch.setattr(fingerprint, "tensors_sha256", counted)
    for _ in range(2):
        assert weights_sha256(PAGE4D.from_pretrained(path)) == expected
    assert len(hashed) == 1
    loaded = PAGE4D.from_pretrained(path)
    with fingerprint.same_weights(loaded):
        loaded.double().float()
    assert weights_sha256(loaded) == expected
    assert len(hashed) == 1
    little_model(seed=1).save_pretrained(tmp_path / "m")
    assert weights_sha256(PAGE4D.from_pretrained(path)) == tensors_sha256(little_model(seed=1).state_dict())
    with torch.no_grad():
        next(loaded.parameters()).add_(1)
    assert weights_sha256(loaded) != expected


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "NOTED_FROM_BYTES", 0)
    folder = little_model().save_pretrained(tmp_path / "m")
    assert weights_sha256(PAGE4D.from_pretrained(folder)) == weights_sha256(little_model())
