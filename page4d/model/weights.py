"""Weights into a network and out of it, in the network's own size of memory and never by halves.

The network is built on the meta device, where tensors have shapes but no memory, and the file's tensors are assigned
to it. A local file is mapped, not read: what is never touched never costs memory.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from page4d.io.weight_files import Source, find_weights
from page4d.model.config import PAGE4DConfig
from page4d.schema import UserError, atomic_write

if TYPE_CHECKING:
    from page4d.model.network import PAGE4D

Network = TypeVar("Network", bound="PAGE4D")

MASK_PREFIX = "aggregator.spatial_mask_head."
HEADS = {f"enable_{name}": f"{name}_head." for name in ("camera", "depth", "point", "track")}
CONFIG_KEY = "page4d_config"
SHOWN = 6  # names listed in an error before "and n more"


@dataclass(frozen=True)
class Stored:
    """What a weights file holds: tensors by name, the configuration if it says one, and further text metadata."""

    tensors: dict[str, Tensor]
    config: PAGE4DConfig | None
    metadata: dict[str, str]


def load_pretrained(
    network: type[Network],
    source: os.PathLike[str] | str,
    *,
    mask: bool | None = None,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Network:
    """Build a network around stored weights, in eval mode.

    Source:  a built-in name ("tiny", ...); "nomask", "mask" (PAGE-4D), "vggt" (VGGT-1B); `[datasets/]owner/name[/file]`
             on the hub; a local .pt (bare or under "model") or .safetensors; a training run's folder (its best).
    Options: mask switches the mask on or off, None = as the weights were made; enable_camera, enable_depth,
             enable_point and enable_track switch heads; for weights of the hub also huggingface_hub's revision, token,
             cache_dir and the like (io.weight_files.HUB_OPTIONS).
    Shape:   from the configuration inside our own files; without one the full network. Heads that the file has no
             weights for are switched off. VGGT's files have no mask head: it is initialised, the same every time.
    Units:   weights are float32 in memory whatever the file stores.
    Raises:  UserError for a source that does not exist, a damaged or foreign file, missing, unknown or wrongly shaped
             weights (each named), a head or mask asked for that the weights do not have, a mask left undecided, or
             an option that does not exist.
    """
    enable = {name: bool(options.pop(name)) for name in list(options) if name.startswith("enable_")}
    found = find_weights(source, **options)
    stored = read_weights(found.path)
    config = choose_config(stored, found, mask, enable)
    # Drawing initial values that are never used must not move the caller's random state either.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = network(config)
    tensors = {name: t for name, t in stored.tensors.items() if not _belongs_to_absent_head(name, config)}
    check_names_and_shapes(model.state_dict(), tensors, found.path)
    if not _has_mask_head(tensors):
        tensors |= _fresh_mask_head(config.embed_dim)
    model.load_state_dict({k: _placed(t, device) for k, t in tensors.items()}, strict=True, assign=True)
    return model.eval()


def save_weights(
    model: PAGE4D, path: os.PathLike[str] | str, dtype: torch.dtype = torch.float16, **metadata: str
) -> None:
    """Write a network as safetensors with its configuration and further `metadata`, whole or not at all.

    Raises:  UserError if a weight is not finite or overflows `dtype`: such a file would load and predict nonsense.
    """
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}
    broken = [name for name, t in tensors.items() if not bool(t.isfinite().all())]
    if broken:
        raise UserError(
            f"{_some(broken)} not finite as {dtype}; the training diverged, or save with dtype=torch.float32"
        )
    with atomic_write(path) as stream:
        stream.write(save(tensors, metadata | {CONFIG_KEY: json.dumps(asdict(model.config))}))


def read_weights(path: Path) -> Stored:
    """The tensors of a .safetensors or torch file, mapped from it, nothing executed.

    Raises:  UserError that says what the file is instead, or what is broken in it.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a .pt or .safetensors file")
    with path.open("rb") as stream:
        head = stream.read(512)
    _refuse_foreign(path, head)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return Stored(_read_torch(path), None, {})


def choose_config(stored: Stored, found: Source, mask: bool | None, enable: Mapping[str, bool]) -> PAGE4DConfig:
    """The configuration that fits the stored weights and what the user asked for.

    Raises:  UserError for a head or a mask that the weights do not have, or a mask left undecided.
    """
    present = {name: any(key.startswith(prefix) for key in stored.tensors) for name, prefix in HEADS.items()}
    if enable.keys() - present.keys():
        raise UserError(f"options {sorted(enable.keys() - present.keys())} are unknown; heads are {', '.join(HEADS)}")
    absent = [name for name, wanted in enable.items() if wanted and not present[name]]
    if absent:
        raise UserError(f"{found.name} has no weights for {_some(absent)}; it has {_some(_true(present))}")
    changes: dict[str, Any] = {name: there and enable.get(name, True) for name, there in present.items()}
    config = stored.config or PAGE4DConfig()
    masked = _choose_mask(stored, found, mask)
    if masked != (config.mask_hold_end > 0):
        changes |= {"mask_hold_start": int(masked), "mask_hold_end": int(masked)}
    return replace(config, **changes)


def check_names_and_shapes(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare a network's tensors with a file's; the whole mask head may be missing, nothing else.

    Raises:  UserError naming what is missing, unknown, wrongly shaped, or no floating-point tensor.
    """
    missing = sorted(wanted.keys() - tensors.keys())
    if not _has_mask_head(tensors):
        missing = [name for name in missing if not name.startswith(MASK_PREFIX)]
    shared = wanted.keys() & tensors.keys()
    shapes = [
        f"{name} {tuple(tensors[name].shape)}, needed {tuple(wanted[name].shape)}"
        for name in sorted(shared)
        if tensors[name].shape != wanted[name].shape
    ]
    kinds = [f"{name} {tensors[name].dtype}" for name in sorted(shared) if not tensors[name].is_floating_point()]
    complaints = {
        "missing": missing,
        "unknown": sorted(tensors.keys() - wanted.keys()),
        "wrong shape": shapes,
        "no floating point": kinds,
    }
    text = [f"{len(names)} of {len(wanted)} {what}: {_some(names)}" for what, names in complaints.items() if names]
    if text:
        raise UserError(f"{path} does not fit this network. " + ". ".join(text))


def _choose_mask(stored: Stored, found: Source, mask: bool | None) -> bool:
    if not _has_mask_head(stored.tensors):
        if mask:
            raise UserError(f"{found.name} has no weights for the mask head (VGGT's have none); it runs without mask")
        return False
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


def _read_safetensors(path: Path) -> Stored:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file, it may be cut short: {error}") from error
    if CONFIG_KEY not in metadata:
        return Stored(tensors, None, metadata)
    try:
        config = PAGE4DConfig.from_dict(json.loads(metadata.pop(CONFIG_KEY)))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} carries a configuration that this page4d cannot read: {error}") from error
    return Stored(tensors, config, metadata)


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        loaded = _load_torch(path)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} holds Python objects or code besides weights and is not loaded, because loading could run it: "
            f"{reason}. Save the state_dict() alone and load that"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no whole torch checkpoint, it may be cut short: {reason}") from error
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{path} holds a {type(state).__name__}, needed a state dict, bare or under the key 'model'")
    foreign = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if foreign:
        raise UserError(f"{path} is no state dict, bare or under the key 'model': {_some(foreign)} no tensor")
    return dict(state)


def _load_torch(path: Path) -> Any:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    # Files from before torch 1.6 are no zip archives and cannot be mapped.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _refuse_foreign(path: Path, head: bytes) -> None:
    text = head.lstrip().lower()
    if not head:
        raise UserError(f"{path} is empty (0 bytes); download or copy it again")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path} is a web page, not weights; the download gave an error page, fetch it again")
    if text.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path} is a git-lfs pointer, not the weights it points to; run `git lfs pull` or `page4d download`"
        )
    if path.suffix != ".safetensors" and not head.startswith((b"PK", b"\x80")):
        raise UserError(f"{path} is no torch checkpoint by its first bytes; give a .pt or .safetensors file of weights")


def _has_mask_head(tensors: Iterable[str]) -> bool:
    return any(name.startswith(MASK_PREFIX) for name in tensors)


def _belongs_to_absent_head(name: str, config: PAGE4DConfig) -> bool:
    return any(name.startswith(prefix) and not getattr(config, switch) for switch, prefix in HEADS.items())


def _fresh_mask_head(width: int) -> dict[str, Tensor]:
    """PyTorch's default initialisation, from a fixed seed so that equal files give equal networks."""
    from page4d.model.mask import SpatialMaskHead

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        return {MASK_PREFIX + name: t for name, t in SpatialMaskHead(width).state_dict().items()}


def _placed(tensor: Tensor, device: torch.device | str) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor.detach().to(device, torch.float32))


def _true(flags: Mapping[str, bool]) -> list[str]:
    return [name for name, flag in flags.items() if flag]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more
