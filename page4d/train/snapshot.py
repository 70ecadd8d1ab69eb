"""A run's whole state as plain values and tensors, and back; and the best weights as a file to predict with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.mask import mask_alpha
from page4d.model.weights import save_weights
from page4d.schema import UserError
from page4d.train.engine import Trainee
from page4d.version import provenance

FORMAT = 1
BEST = "best.safetensors"


@dataclass
class Position:
    """Where a run stands.

    Note:    step is optimizer steps done, which learning rates and mask follow; iteration is batches used, which the
             data follow (larger by the skipped ones); skipped is how many were skipped in a row; seconds is wall time.
    """

    step: int = 0
    iteration: int = 0
    skipped: int = 0
    best_metric: float | None = None
    seconds: float = 0.0


def rng_state() -> dict[str, Any]:
    """The state of every random generator of this process, in types that load without running code."""
    version, numbers, half = random.getstate()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    here = {"python": [version, list(numbers), half], "numpy": _numpy_state()}
    return here | {"torch": torch.get_rng_state(), "cuda": on_gpus}


def _numpy_state() -> list[Any]:
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    numbers = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return [str(kind), numbers, int(place), int(has_gauss), float(gauss)]


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to where `rng_state` found them."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, numbers, *rest = state["numpy"]
    np.random.set_state((kind, numbers.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def take(
    accelerator: Accelerator, module: Any, optimizer: Any, position: Position, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole state; every process must call it, because shards and generators are gathered."""
    bare: Trainee = accelerator.unwrap_model(module)
    if accelerator.is_fsdp2:
        weights, moments = _gather_shards(bare, optimizer)
    else:
        weights, moments = bare.state_dict(), optimizer.state_dict()
    state: dict[str, Any] = {part: _below(weights, f"{part}.") for part in ("model", "aid")}
    state |= {"optimizer": moments, "position": asdict(position), "rng": gather_object([rng_state()])}
    shape = asdict(bare.model.config)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in shape.items()}
    state |= {"model_config": plain, "config": dict(config)}
    return state | {"format": FORMAT, "provenance": provenance()}


def _below(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The weights of one part, under its own names."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def restore(accelerator: Accelerator, module: Any, optimizer: Any, payload: Mapping[str, Any]) -> Position:
    """Put a stored state back; returns the position.

    Raises:  UserError if the checkpoint is of another format, network, or set of trained parameters.
    """
    if payload.get("format") != FORMAT:
        raise UserError(f"checkpoint has format {payload.get('format')}, this page4d reads {FORMAT}")
    bare: Trainee = accelerator.unwrap_model(module)
    _same_network(bare.model.config, payload["model_config"])
    weights = {f"model.{name}": value for name, value in payload["model"].items()}
    weights |= {f"aid.{name}": value for name, value in payload["aid"].items()}
    try:
        if accelerator.is_fsdp2:
            _scatter_shards(bare, optimizer, weights, payload["optimizer"])
        else:
            bare.load_state_dict(weights)
            optimizer.load_state_dict(payload["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"the checkpoint does not fit this configuration ({first}); aid, freezing and groups must stay "
            "as they were, or begin a new run with start.weights=THIS_RUN"
        ) from error
    states = payload["rng"]
    if accelerator.process_index < len(states):
        set_rng_state(states[accelerator.process_index])
    return Position(**payload["position"])


def _same_network(ours: PAGE4DConfig, stored: Mapping[str, Any]) -> None:
    theirs = PAGE4DConfig.from_dict(dict(stored))
    different = [
        f"{f.name} is {getattr(theirs, f.name)} there and {getattr(ours, f.name)} here"
        for f in fields(PAGE4DConfig)
        if getattr(theirs, f.name) != getattr(ours, f.name)
    ]
    if different:
        raise UserError(f"the checkpoint is of another architecture: {'; '.join(different)}; choose another run folder")


def _gather_shards(bare: Trainee, optimizer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, moments = get_state_dict(bare, optimizer.optimizer, options=options)
    return {k: v for k, v in weights.items() if isinstance(v, Tensor)}, dict(moments)


def _scatter_shards(bare: Trainee, optimizer: Any, weights: dict[str, Any], moments: dict[str, Any]) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

    options = StateDictOptions(full_state_dict=True)
    set_state_dict(bare, optimizer.optimizer, model_state_dict=weights, optim_state_dict=moments, options=options)


def inference_config(config: PAGE4DConfig, step: int) -> PAGE4DConfig:
    """The configuration to predict with after `step` training steps: mask on if it still is, off if its schedule ended.

    Note:  at inference the step is 0, so a network that finished its schedule must not carry it along.
    """
    on = int(mask_alpha(step, config.mask_hold_start, config.mask_hold_end) > 0)
    return replace(config, mask_hold_start=on, mask_hold_end=on)


def export_weights(
    weights: Mapping[str, Tensor], config: PAGE4DConfig, step: int, path: Path, about: Mapping[str, str]
) -> None:
    """Write float16 weights with their configuration, ready for `PAGE4D.from_pretrained`."""
    with torch.device("meta"):
        model = PAGE4D(inference_config(config, step))
    model.load_state_dict(dict(weights), assign=True)
    save_weights(model, path, torch.float16, **about)
