"""Hashes that say which configuration and which weights made a prediction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from weakref import WeakKeyDictionary

import torch
from torch import nn

from page4d.model.config import PAGE4DConfig

_Versions = tuple[tuple[int, int], ...]
_known: WeakKeyDictionary[nn.Module, tuple[_Versions, str]] = WeakKeyDictionary()


def config_sha256(config: PAGE4DConfig) -> str:
    """Hash of every field, mask settings included, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()


def weights_sha256(model: nn.Module) -> str:
    """Hash of names, shapes, types and bytes of all weights, as 64 hexadecimal digits; the same on every device.

    Note:    5 GB take seconds, so the hash is kept until a tensor is replaced or written to (torch counts writes).
    """
    tensors = sorted(model.state_dict(keep_vars=True).items())
    # Tensors made under torch.inference_mode count no writes, so their hash cannot be kept.
    countable = not any(t.is_inference() for _, t in tensors)
    versions = tuple((t.data_ptr(), t._version) for _, t in tensors) if countable else ()
    known = _known.get(model)
    if known is not None and countable and known[0] == versions:
        return known[1]
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    if countable:
        _known[model] = (versions, digest.hexdigest())
    return digest.hexdigest()
