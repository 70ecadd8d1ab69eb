"""The type that the aggregator computes in, weights that are held in it, and the names of devices.

Autocast casts every matrix from float32 at every use. Held in bfloat16 the matrices take half the memory and give the
same numbers, since it is the cast ones that autocast multiplies with. Against float32, bfloat16 moves the depth of the
built-in networks by 0.05 % (0.4 % at 99 of 100 pixels) and their rotations by up to 0.07 degrees; a test bounds both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from page4d.schema import UserError

Precision = Literal["float32", "bf16"]
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}


def named_device(name: torch.device | str) -> torch.device:
    """The device of a name, whether this machine has it or not.

    Raises:  UserError for a word that names none.
    """
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{name!r} is not a device; give cpu, cuda, cuda:1, ... or mps") from error


def present_device(name: torch.device | str) -> torch.device:
    """The device of a name, if this machine has it.

    Raises:  UserError for a word that names none, and for a GPU that is not there.
    """
    device = named_device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError("no CUDA device can be used here (driver, or a CPU-only torch); take device cpu")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise UserError(f"{device} does not exist, this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("mps needs a Mac with Apple silicon; take device cpu")
    return device


def matrices(aggregator: nn.Module, prefix: str = "") -> set[str]:
    """Names of the weights that autocast would cast at every use: those of the linear layers."""
    linear = [name for name, part in aggregator.named_modules(prefix=prefix) if isinstance(part, nn.Linear)]
    return {f"{name}.{kind}" for name in linear for kind in ("weight", "bias")}


def hold_matrices(aggregator: nn.Module, dtype: torch.dtype) -> None:
    """Turn the linear layers' weights into another type, in place; what they lose in digits stays lost."""
    for part in aggregator.modules():
        if isinstance(part, nn.Linear):
            for name, weight in part.named_parameters(recurse=False):
                setattr(part, name, nn.Parameter(weight.detach().to(dtype), weight.requires_grad))


def held_dtype(aggregator: nn.Module) -> torch.dtype:
    """The type in which the linear layers' weights are held."""
    first = next(part for part in aggregator.modules() if isinstance(part, nn.Linear))
    return first.weight.dtype


def working_dtype(aggregator: nn.Module, device_type: str) -> torch.dtype:
    """The type of the aggregator's products: its weights', else the one that the caller's autocast names."""
    held = held_dtype(aggregator)
    if held == torch.float32 and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return held


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a CUDA device computes in it (compute capability 8 and up), else float32.

    Note:    never bfloat16 on a CPU unless it is asked for: results must not depend on the processor.
    """
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float32


def native_precision(device: torch.device) -> Precision:
    """The name of `native_dtype`, as `from_pretrained` takes it."""
    return "bf16" if native_dtype(device) == torch.bfloat16 else "float32"


@contextmanager
def tf32_convolutions(device: torch.device) -> Iterator[None]:
    """Convolutions inside multiply in TF32 on a CUDA device, whatever the process has set; matrix products do not.

    Note:    nearly all of the dense heads' work is convolutions. TF32 keeps ten bits of mantissa where the aggregator's
             bfloat16 keeps seven; `benchmarks/precision.py --cuda` measures both distances and the seconds gained.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def heads_in_float32(device_type: str) -> torch.autocast:
    """No autocast inside: what heads give is read to the pixel and to a fraction of a degree."""
    return torch.autocast(device_type, enabled=False)


@contextmanager
def products_in(dtype: torch.dtype, device_type: str) -> Iterator[None]:
    """Autocast to `dtype`, off for float32.

    Note:    without gradients every weight is used once per pass, so autocast's cache would only hold a second copy of
             all of them (1.8 GB of the full network).
    """
    lean = not torch.is_grad_enabled()
    with torch.autocast(device_type, dtype, enabled=dtype != torch.float32, cache_enabled=not lean):
        yield
