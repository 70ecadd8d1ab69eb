"""What a run begins from: a random network, or released or own weights with a report of what was loaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from page4d.io.weight_files import WeightsFile, builtin_file, find_weights
from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.heads import HEADS, prefix, switch
from page4d.model.stored_weights import read_weights
from page4d.model.weights import check_names_and_shapes
from page4d.schema import UserError
from page4d.settings import near
from page4d.train.settings import StartConfig


def begin(config: PAGE4DConfig, start: StartConfig, seed: int) -> tuple[PAGE4D, str]:
    """A network to train, and a sentence on where its weights come from.

    Note:    the random part depends on the seed only, so all processes begin equal.
    Raises:  UserError if weights do not fit the network.
    """
    torch.manual_seed(seed)
    model = PAGE4D(config)
    if start.layer_scale is not None:
        if start.weights is not None:
            raise UserError("start.layer_scale changes a random start; with start.weights leave it null")
        _set_layer_scale(model, start.layer_scale)
    if start.weights is None:
        return model, f"random start, seed {seed}"
    return model, load_into(model, start.weights, start.fresh)


def load_into(model: PAGE4D, weights: str, fresh: Sequence[str] = ()) -> str:
    """Put stored weights into a network of the same architecture; returns the report of what was loaded.

    Note:    heads that the network does not have are left in the file; the mask head may be missing from the file
             (VGGT's has none) and then keeps its initialisation, as the modules named in `fresh` do in any case.
    Raises:  UserError naming every weight that is missing, unknown or of another shape, or a module in `fresh` that
             the network does not have.
    """
    own = {name: t for name, t in model.state_dict().items() if not name.startswith(_prefixes(model, fresh))}
    found = find_weights(weights)
    tensors = read_weights(found.path).tensors
    absent = [prefix(name) for name in HEADS if not getattr(model.config, switch(name))]
    left = (*absent, *_prefixes(model, fresh))
    used = {name: t for name, t in tensors.items() if not name.startswith(left)}
    check_names_and_shapes(own, used, found.path)
    model.load_state_dict(used, strict=False)
    new = sorted({_part(name) for name in model.state_dict().keys() - used.keys()})
    dropped = sorted({name.split(".")[0] for name in tensors if name.startswith(tuple(absent))})
    report = f"{found.name}: {len(used)} of {len(model.state_dict())} tensors loaded from {_place(found)}"
    report += f"; newly initialised: {', '.join(new)}" if new else ""
    return report + (f"; in the file but not in this network: {', '.join(dropped)}" if dropped else "")


def _place(found: WeightsFile) -> str:
    """Where weights lie, in words that are the same on every machine for those that come with the package."""
    return "the package" if found.path == builtin_file(found.name) else str(found.path)


def _part(name: str) -> str:
    first, second, *_ = name.split(".")
    return second if first == "aggregator" else first


def _prefixes(model: PAGE4D, modules: Sequence[str]) -> tuple[str, ...]:
    known = {name for name, _ in model.named_modules() if name}
    for name in modules:
        if name not in known:
            raise UserError(f"start.fresh names {name!r}, which this network does not have; near: {near(name, known)}")
    return tuple(f"{name}." for name in modules)


def _set_layer_scale(model: nn.Module, value: float) -> None:
    gammas = [p for name, p in model.named_parameters() if name.endswith(".gamma")]
    if not gammas:
        raise UserError("start.layer_scale: this network has no LayerScale parameter")
    with torch.no_grad():
        for gamma in gammas:
            gamma.fill_(value)
