"""Weights files as they are found: tensors by the network's names, and the configuration where the file says one.

A local file is mapped, not read: what is never touched never costs memory. Nothing in a file is executed.
"""

from __future__ import annotations

import json
import pickle
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as np_scalar
from safetensors import SafetensorError, safe_open
from torch import Tensor

from page4d.io.weight_files import INDEX_SUFFIX, parts_of
from page4d.model.config import PAGE4DConfig
from page4d.places import json_of, no_file
from page4d.schema import MALFORMED, UserError

CONFIG_KEY = "page4d_config"  # in the metadata of our own safetensors files
CONFIG_FILE = "config.json"  # beside the weights, as save_pretrained and the hub's mixin leave it
WRAPPERS = ("model", "state_dict")  # what training scripts put a state dict under
PREFIXES = ("module.", "_orig_mod.", "model.")  # what DataParallel, torch.compile and Lightning put before names
# What training scripts put beside the weights, such as their arguments and best loss; making these runs no code.
_HARMLESS: list[Any] = [Namespace, np_scalar, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))]
SHOWN = 6  # names listed in an error before "and n more"


@dataclass(frozen=True)
class Stored:
    """What a weights file holds: tensors by name, the configuration if it says one, and further text metadata."""

    tensors: dict[str, Tensor]
    config: PAGE4DConfig | None
    metadata: dict[str, str]


def read_weights(path: Path) -> Stored:
    """The tensors of a .safetensors or torch file, or of all files of an index, mapped from them, nothing executed.

    Note:    wrappers and prefixes that training scripts leave are taken off; a `config.json` beside a file of the
             hub's mixin (model.*, pytorch_model.bin) is its configuration unless the file has its own.
    Raises:  UserError that says what the file is instead, or what is broken in it.
    """
    tensors, metadata = _read_parts(path) if path.name.endswith(INDEX_SUFFIX) else _read_file(path)
    said = metadata.pop(CONFIG_KEY, None)
    beside = path.with_name(CONFIG_FILE)
    if said is not None:
        config = _read_config(path, said)
    elif path.name.split(".")[0] in ("model", "pytorch_model") and beside.is_file():
        config = _read_config(beside)
    else:
        config = None
    return Stored(plain_names(tensors, path), config, metadata)


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise UserError(f"{no_file(path)}; give a .pt or .safetensors file")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    _refuse_foreign(path, head)
    return _read_safetensors(path) if _is_safetensors(path, head) else (_read_torch(path), {})


def _read_parts(index: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of weights in several files, each from the file that the index names for it."""
    if not index.is_file():
        raise UserError(f"{index} does not exist; give a .pt or .safetensors file")
    place = parts_of(index)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in sorted(set(place.values())):
        held, said = _read_file(index.with_name(file))
        wanted = [name for name, where in place.items() if where == file]
        if missing := [name for name in wanted if name not in held]:
            raise UserError(f"{index} says that {file} holds {some_names(missing)}, it does not; copy all parts again")
        tensors |= {name: held[name] for name in wanted}
        metadata |= said
    return tensors, metadata


def plain_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors under the network's own names, without what DataParallel or torch.compile put before them.

    Raises:  UserError if two tensors would have one name.
    """
    names = {name: name.replace("._orig_mod.", ".") for name in tensors}
    while prefix := _common_prefix(names.values()):
        names = {name: plain.removeprefix(prefix) for name, plain in names.items()}
    if len(set(names.values())) < len(names):
        raise UserError(f"{path} holds weights twice, with and without {' or '.join(PREFIXES)}; save one state_dict()")
    return {plain: tensors[name] for name, plain in names.items()}


def _common_prefix(names: Iterable[str]) -> str | None:
    every = list(names)
    for prefix in PREFIXES:
        if every and all(name.startswith(prefix) for name in every):
            return prefix
    return None


def _read_config(path: Path, text: str | None = None) -> PAGE4DConfig:
    """What a file says of its network, or what a text says that was found in it."""
    try:
        values = json_of(path) if text is None else json.loads(text)
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}, expected an object")
        return PAGE4DConfig.from_dict(values)
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{path} carries a configuration that this page4d cannot read: {error}") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118, not a dict
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole safetensors file, it may be cut short: {error}") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        state = _load_torch(path)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise UserError(
            f"{path} holds Python objects or code besides weights{what} and is not loaded, because loading could run "
            "it. Save the state_dict() alone and load that"
        ) from error
    except Exception as error:  # an unpickler runs the file's own program: damage ends in any exception there is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is not a whole torch checkpoint, it may be cut short: {reason}") from error
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    wrapped = f"bare or under the key {' or '.join(map(repr, WRAPPERS))}"
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{path} holds a {type(state).__name__}, expected a state dict, {wrapped}")
    foreign = [str(name) for name, value in state.items() if not _is_plain(value)]
    if foreign:
        raise UserError(f"{path} is not a state dict, {wrapped}: {some_names(foreign)} are not tensors, or packed ones")
    return {str(name): value for name, value in state.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor whose numbers are all there, which a sparse, quantized or empty (meta) one is not."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not (value.is_quantized or value.is_meta)


def _is_safetensors(path: Path, head: bytes) -> bool:
    """By the name, or by what stands behind the length of the header: renaming a file does not change it."""
    return path.suffix.lower() == ".safetensors" or (head[6:10] == b'\0\0{"' and not head.startswith(b"PK"))


def _load_torch(path: Path) -> Any:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    # Files from before torch 1.6 are no zip archives and cannot be mapped.
    with torch.serialization.safe_globals(_HARMLESS):
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
    if not _is_safetensors(path, head) and not head.startswith((b"PK", b"\x80")):
        raise UserError(
            f"{path} is not a torch checkpoint by its first bytes; give a .pt or .safetensors file of weights"
        )


def some_names(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more
