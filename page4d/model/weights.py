"""Weights into a network and out of it, in the network's own size of memory and never by halves.

Names equal those of the released files, letter by letter: nothing is renamed on the way in or
out. The network is built on the meta device, where tensors have shapes but no memory, and the file's tensors are
assigned to it, each cast and moved once. What the names stand for, one of each:

    aggregator.patch_embed.blocks.0.attn.qkv.weight    encoder.DinoEncoder (small networks: PatchConv)
    aggregator.frame_blocks.0.attn.q_norm.weight       layers.Block, every frame by itself
    aggregator.global_blocks.0.mlp.fc1.weight          layers.Block, all frames together
    aggregator.camera_token, .register_token           aggregator.Aggregator, the special tokens
    aggregator.spatial_mask_head.head0.0.weight        mask.SpatialMaskHead; VGGT's files have none
    camera_head.trunk.0.attn.qkv.weight                heads.camera.CameraHead
    depth_head.scratch.layer1_rn.weight                heads.dpt.DepthHead; point_head.* heads.dpt.PointHead
    track_head.tracker.corr_mlp.fc1.weight             heads.track.TrackHead; VGGT's files alone have it
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from page4d.io.weight_files import WeightsFile, find_weights
from page4d.model.config import PAGE4DConfig
from page4d.model.fingerprint import file_sha256, remember_weights
from page4d.model.heads import HEADS, prefix, switch
from page4d.model.mask import SpatialMaskHead
from page4d.model.precision import DTYPES, Precision, hold_matrices, present_device
from page4d.model.stored_weights import CONFIG_FILE, CONFIG_KEY, Stored, read_weights, some_names
from page4d.schema import UserError, atomic_write

MASK_PREFIX = "aggregator.spatial_mask_head."
MASK_UNTRAINED = ("mask_head", "untrained")  # in the metadata of weights that never ran with their mask


class Configured(Protocol):
    """A network that knows its configuration."""

    config: PAGE4DConfig
    aggregator: Any

    def state_dict(self) -> dict[str, Any]: ...


Network = TypeVar("Network", bound=nn.Module)


def load_pretrained(
    network: Callable[[PAGE4DConfig], Network],
    source: os.PathLike[str] | str,
    *,
    mask: bool | None = None,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    **options: Any,
) -> Network:
    """Build a network around stored weights, in eval mode.

    Shapes:  from the configuration inside our own files or beside the weights; without one those of the full network.
             Heads that the file has no weights for are switched off.
    Units:   weights are float32 in memory whatever the file stores; with precision="bf16" the aggregator's matrices
             are bfloat16, which halves their memory and lets the aggregator run in it.
    Note:    `source` is a built-in name ("tiny", ...); "nomask", "mask" (PAGE-4D), "vggt" (VGGT-1B), "vggt-commercial",
             "vggt-tracker"; `[datasets/]owner/name[/file]` on the hub; a local .pt (bare or under "model") or
             .safetensors; a folder of `save_pretrained`; a training run's folder (its best). `mask` switches the mask
             on or off, None = as the weights were made; enable_camera, enable_depth, enable_point and enable_track
             switch heads; for weights of the hub also huggingface_hub's revision, token, cache_dir and the like
             (io.weight_files.HUB_OPTIONS). VGGT's files have no mask head: it is initialized, the same every time.
    Raises:  UserError for a source that does not exist, a damaged or foreign file, missing, unknown or wrongly shaped
             weights (each named), a head or mask asked for that the weights do not have, a mask left undecided, an
             option that does not exist, or a device that this machine does not have.
    """
    if precision not in DTYPES:
        raise UserError(f"precision is {precision!r}, expected {' or '.join(DTYPES)}")
    device = present_device(device)
    enable = {name: bool(options.pop(name)) for name in list(options) if name.startswith("enable_")}
    found = find_weights(source, **options)
    stored = read_weights(found.path)
    config = choose_config(stored, found, mask, enable)
    # Drawing initial values that are never used must not move the caller's random state either.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = network(config)
    absent = tuple(prefix(name) for name in HEADS if not getattr(config, switch(name)))
    tensors = {name: t for name, t in stored.tensors.items() if not name.startswith(absent)}
    check_names_and_shapes(model.state_dict(), tensors, found.path)
    if not _has_mask_head(tensors):
        tensors |= _fresh_mask_head(config.embed_dim)
    hold_matrices(model.get_submodule("aggregator"), DTYPES[precision])
    place(model, tensors, device)
    remember_weights(model, partial(file_sha256, found.path, tensors))
    return model.eval()


def place(model: nn.Module, tensors: Mapping[str, Tensor], device: torch.device | str) -> None:
    """Give a network on the meta device its weights, each in the type that the network has there.

    Note:    one tensor at a time, so that nothing is ever held twice; what is on the device in its type is not copied.
    """
    placed = {}
    for name, wanted in model.state_dict().items():
        values = tensors[name].detach().to(device, wanted.dtype)
        placed[name] = nn.Parameter(values)
    model.load_state_dict(placed, strict=True, assign=True)


def save_weights(
    model: Configured, path: os.PathLike[str] | str, dtype: torch.dtype = torch.float16, **metadata: str
) -> None:
    """Write a network as safetensors with its configuration and further `metadata`, whole or not at all.

    Raises:  UserError if a weight is not finite or overflows `dtype`: such a file would load and predict nonsense.
    """
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}
    broken = [name for name, t in tensors.items() if not bool(t.isfinite().all())]
    if broken:
        raise UserError(
            f"{some_names(broken)} not finite as {dtype}; the training diverged, or save with dtype=torch.float32"
        )
    with atomic_write(path) as stream:
        stream.write(save(tensors, metadata | {CONFIG_KEY: json.dumps(asdict(model.config))}))


def save_folder(model: Configured, folder: os.PathLike[str] | str) -> Path:
    """Write model.safetensors in float32 and config.json into a folder, as the hub's tools expect them."""
    target = Path(folder)
    if target.is_file():
        raise UserError(f"{target} is a file, expected a folder to write model.safetensors and {CONFIG_FILE} into")
    target.mkdir(parents=True, exist_ok=True)
    save_weights(model, target / "model.safetensors", torch.float32)
    with atomic_write(target / CONFIG_FILE) as stream:
        stream.write(json.dumps(asdict(model.config), indent=2).encode())
    return target


def choose_config(stored: Stored, found: WeightsFile, mask: bool | None, enable: Mapping[str, bool]) -> PAGE4DConfig:
    """The configuration that fits the stored weights and what the user asked for.

    Raises:  UserError for a head or a mask that the weights do not have, a mask left undecided, or a stored
             configuration of another network than the tensors'.
    """
    present = {switch(name): _count(stored.tensors, prefix(name)) > 0 for name in HEADS}
    if enable.keys() - present.keys():
        raise UserError(f"options {sorted(enable.keys() - present.keys())} are unknown; heads are {', '.join(present)}")
    absent = [name for name, wanted in enable.items() if wanted and not present[name]]
    if absent:
        there = [name for name, is_there in present.items() if is_there]
        raise UserError(f"{found.name} has no weights for {some_names(absent)}; it has {some_names(there)}")
    changes: dict[str, Any] = {name: there and enable.get(name, True) for name, there in present.items()}
    config = stored.config or PAGE4DConfig()
    if stored.config is None:
        check_full_size(stored.tensors, found.path)
    else:
        check_dimensions(stored.config, stored.tensors, found.path)
    masked = _choose_mask(stored, found, mask)
    if masked != (config.mask_hold_end > 0):
        changes |= {"mask_hold_start": int(masked), "mask_hold_end": int(masked)}
    return replace(config, **changes)


def check_dimensions(config: PAGE4DConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare what a configuration says with what tensors show, before a network of its size is built.

    Raises:  UserError naming each field with both values.
    """
    differing = _differing(config, tensors)
    wrong = [f"{name} {getattr(config, name)} but {shown} by its tensors" for name, shown in differing.items()]
    if wrong:
        raise UserError(f"{path} says {'; '.join(wrong)}: its configuration belongs to other weights")


def check_full_size(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights of another network than the released one where nothing says its configuration.

    Raises:  UserError naming what the tensors show.
    """
    differing = _differing(PAGE4DConfig(), tensors)
    # A single strange tensor is a damage, which is named as such when all are compared.
    if 2 * len(differing) > len(dimensions_of(tensors)):
        shown = [f"{name} {value}" for name, value in differing.items()]
        raise UserError(
            f"{path} holds a network of another size ({', '.join(shown)}) and no configuration: a state_dict() alone "
            f"does not say one. Save with save_pretrained(folder), or put the network's {CONFIG_FILE} beside model.pt"
        )


def _differing(config: PAGE4DConfig, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What tensors show of a configuration where they differ from it."""
    return {name: shown for name, shown in dimensions_of(tensors).items() if getattr(config, name) != shown}


def dimensions_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a configuration that can be read off the shapes of a network's tensors."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    depth = _count(shapes, "aggregator.frame_blocks.")
    shown: dict[str, Any] = {"depth": depth} if depth else {}
    camera_token = shapes.get("aggregator.camera_token", ())
    if len(camera_token) == 4:
        shown["embed_dim"] = camera_token[-1]
    for name in ("aggregator.patch_embed.proj.weight", "aggregator.patch_embed.patch_embed.proj.weight"):
        if len(shapes.get(name, ())) == 4:
            shown["patch_size"] = shapes[name][-1]
    trunk = _count(shapes, "camera_head.trunk.")
    if trunk:
        shown["camera_trunk_depth"] = trunk
    levels = [shapes.get(f"depth_head.scratch.layer{number}_rn.weight", ()) for number in (1, 2, 3, 4)]
    if all(len(level) == 4 for level in levels):
        shown |= {"dpt_features": levels[0][0], "dpt_channels": tuple(level[1] for level in levels)}
    return shown


def _count(names: Iterable[str], start: str) -> int:
    """How many numbered modules stand under a name."""
    return len({name.removeprefix(start).split(".")[0] for name in names if name.startswith(start)})


def check_names_and_shapes(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare a network's tensors with a file's; the whole mask head may be missing, nothing else.

    Raises:  UserError naming what is missing, unknown, wrongly shaped, or not a floating-point tensor.
    """
    missing = sorted(wanted.keys() - tensors.keys())
    if not _has_mask_head(tensors):
        missing = [name for name in missing if not name.startswith(MASK_PREFIX)]
    shapes, kinds = [], []
    for name in sorted(wanted.keys() & tensors.keys()):
        there, expected = tensors[name], tuple(wanted[name].shape)
        if there.shape != expected:
            shapes.append(f"{name} {tuple(there.shape)}, expected {expected}")
        if not there.is_floating_point():
            kinds.append(f"{name} {there.dtype}")
    unknown = sorted(tensors.keys() - wanted.keys())
    complaints = {"missing": missing, "unknown": unknown, "wrong shape": shapes, "no floating point": kinds}
    text = [f"{len(names)} of {len(wanted)} {what}: {some_names(names)}" for what, names in complaints.items() if names]
    if text:
        raise UserError(f"{path} does not fit this network. " + ". ".join(text))


def _choose_mask(stored: Stored, found: WeightsFile, mask: bool | None) -> bool:
    if not _has_mask_head(stored.tensors):
        if mask:
            raise UserError(f"{found.name} has no weights for the mask head (VGGT's have none); it runs without mask")
        return False
    key, value = MASK_UNTRAINED
    if mask and (stored.metadata.get(key) == value or not found.mask_trained):
        raise UserError(
            f"{found.name} was trained without its mask, whose head still has its initial values; run it without "
            "mask, or take weights whose mask was on in training, such as page4d-tiny-mask"
        )
    if mask is not None:
        return mask
    if stored.config is not None:
        return stored.config.mask_hold_end > 0
    if found.mask is None:
        raise UserError(
            f"{found.path} has weights for the mask head but does not say whether they run with it; "
            "pass mask=True (checkpoint_mask) or mask=False (checkpoint_nomask); --mask or --no-mask in a terminal"
        )
    return found.mask


def _has_mask_head(tensors: Iterable[str]) -> bool:
    return any(name.startswith(MASK_PREFIX) for name in tensors)


def _fresh_mask_head(width: int) -> dict[str, Tensor]:
    """PyTorch's default initialization, from a fixed seed so that equal files give equal networks."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # The CPU's generator alone: torch.manual_seed would reseed every GPU, and nothing would put them back.
        torch.default_generator.manual_seed(0)
        return {MASK_PREFIX + name: t for name, t in SpatialMaskHead(width).state_dict().items()}
