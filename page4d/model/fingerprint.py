"""Hashes that say which configuration and which weights made a prediction."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from page4d.model.config import PAGE4DConfig
from page4d.schema import atomic_write

NOTED_FROM_BYTES = 100_000_000  # smaller files take less than a tenth of a second

_Versions = tuple[tuple[int, int], ...]


@dataclass
class _Known:
    """The hash of a network's weights, or how to get it, and the state of the tensors that it is true of."""

    versions: _Versions
    compute: Callable[[], str]
    digest: str | None = None


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def config_sha256(config: PAGE4DConfig) -> str:
    """Hash of every field, mask settings included, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()


def weights_sha256(model: nn.Module) -> str:
    """Hash of names, shapes, types and bytes of all weights, as 64 hexadecimal digits; the same on every device.

    Note:    a network that comes from a file has the hash of that file's weights in float32, in whatever precision it
             holds them; 5 GB take seconds, so the hash is kept until a tensor is replaced or written to.
    """
    known = _known.get(model)
    versions = _versions(model)
    if known is None or known.versions != versions:
        known = _Known(versions, lambda: tensors_sha256(model.state_dict()))
    if known.digest is None:
        known.digest = known.compute()
    if versions:
        _known[model] = known
    return known.digest


def tensors_sha256(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> str:
    """Hash of tensors in the order of their names, each first cast to `dtype` where one is given."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_sha256(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """The hash of a file's weights in float32, once per file: that of a large one is noted in the user's cache.

    Note:    a file counts as the same while path, size, time of change and names of weights are.
    """
    stat = path.stat()
    if stat.st_size < NOTED_FROM_BYTES:
        return tensors_sha256(tensors, torch.float32)
    names = "\n".join(sorted(tensors))
    identity = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}\n{names}"
    note = _cache_folder() / hashlib.sha256(identity.encode()).hexdigest()
    if note.is_file() and re.fullmatch("[0-9a-f]{64}", known := note.read_text(encoding="utf-8")):
        return known
    digest = tensors_sha256(tensors, torch.float32)
    # A home that cannot be written to costs the seconds of the next start, nothing else.
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as stream:
            stream.write(digest.encode())
    return digest


def _cache_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "page4d" / "weights"


def remember_weights(model: nn.Module, compute: Callable[[], str]) -> None:
    """Say how to get the hash of the weights that a network now has, should anybody ask."""
    if versions := _versions(model):
        _known[model] = _Known(versions, compute)


@contextmanager
def same_weights(model: nn.Module) -> Iterator[None]:
    """What happens inside moves or casts the weights but makes no other ones: their hash stays."""
    known = _known.get(model)
    valid = known is not None and known.versions == _versions(model)
    yield
    if known is not None and valid:
        _known[model] = _Known(_versions(model), known.compute, known.digest)


def _versions(model: nn.Module) -> _Versions:
    """Where each weight lies and how often it was written to; empty where torch does not count."""
    tensors = [tensor for _, tensor in sorted(model.state_dict(keep_vars=True).items())]
    # Tensors made under torch.inference_mode count no writes, so their hash cannot be kept.
    if any(tensor.is_inference() for tensor in tensors):
        return ()
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
