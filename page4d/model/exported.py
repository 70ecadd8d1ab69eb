"""The network for other runtimes: a torch.export program, or ONNX; the number of frames stays open."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from page4d.extras import extras_named
from page4d.model.fingerprint import weights_sha256
from page4d.model.heads import pairs_read
from page4d.model.network import PAGE4D
from page4d.model.weights import place
from page4d.schema import UserError

INPUT = "images"
TRACED_FRAMES = 3  # any number that is not the least one: the tracer takes 0, 1 and equal sizes for constants
LEAST_FRAMES = 2
FORMATS = (".onnx", ".pt2")


class OneScene(nn.Module):
    """Images (1, S, 3, H, W) in [0, 1] to the network's tensors, all frames at once: nothing is left to choose.

    Note:    tracks need query points and are left out, and so are the camera head's earlier iterations.
    """

    def __init__(self, network: PAGE4D) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        out = self.network.aggregator.run(images, keep=pairs_read(self.network.config))
        # No chunks: a program would hold their number as a constant.
        found = self.network.read_heads(out, images, chunked=False)
        return {name: value for name, value in found.items() if isinstance(value, Tensor) and name != INPUT}


def export_program(network: PAGE4D, height: int, width: int) -> torch.export.ExportedProgram:
    """The network as a program of torch.export, for one scene of two or more frames of one size.

    Note:    float32 on the CPU; load it with `torch.export.load(path).module()`. The network itself stays as it is,
             on its device and in its mode.
    Raises:  ValueError for sides that are no multiples of the patch size; UserError for a network that holds bfloat16.
    """
    dtypes = {str(weight.dtype).removeprefix("torch.") for weight in network.parameters()}
    if dtypes != {"float32"}:
        raise UserError(f"the network holds {', '.join(sorted(dtypes))}, expected float32: load it without precision=")
    images = network.aggregator.check_images(torch.zeros(TRACED_FRAMES, 3, height, width))
    frames = torch.export.Dim("frames", min=LEAST_FRAMES)
    scene = OneScene(_on_cpu(network)).eval()
    with torch.no_grad():
        return torch.export.export(scene, (images,), dynamic_shapes=({1: frames},))


def _on_cpu(network: PAGE4D) -> PAGE4D:
    """The same network on the CPU, without a second copy of weights that are there already."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        twin = PAGE4D(network.config)
    place(twin, network.state_dict(), "cpu")
    twin.aggregator.mask_step = network.aggregator.mask_step
    return twin


def check_target(target: Path) -> None:
    """Refuse the name of a file that no network can be written to, before one is loaded.

    Raises:  UserError for another suffix, or a folder that is not there.
    """
    if target.suffix not in FORMATS:
        raise UserError(f"{target} ends in {target.suffix!r}, expected {' or '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise UserError(f"cannot write {target}: its folder does not exist; make it first")


def save_exported(network: PAGE4D, path: os.PathLike[str] | str, height: int, width: int) -> list[str]:
    """Write the network as ONNX (.onnx) or torch.export program (.pt2), whole or not at all; returns its outputs.

    Note:    input `images` float32 (1, frames, 3, height, width); the file's metadata holds configuration and hash of
             the weights. ONNX beyond 2 GB has its weights beside it in a .data file, as the format demands.
    Raises:  UserError as `check_target` and `export_program`, or for a missing extra.
    """
    target = Path(path)
    check_target(target)
    if target.suffix == ".onnx":
        with extras_named("ONNX"):
            import onnxscript  # noqa: F401, only to name the extra before the minutes that tracing takes
    program = export_program(network, height, width)
    names = _output_names(program)
    notes = {"page4d_config": json.dumps(asdict(network.config)), "weights_sha256": weights_sha256(network)}
    with _beside(target) as part:
        if target.suffix == ".pt2":
            # First into memory: a full disk in the midst of torch's own writer ends the process, not the call.
            packed = io.BytesIO()
            torch.export.save(program, packed, extra_files={f"{key}.txt": text for key, text in notes.items()})
            part.write_bytes(packed.getbuffer())
        else:
            _save_onnx(program, part, names, notes)
    return names


def _output_names(program: torch.export.ExportedProgram) -> list[str]:
    """Keys of the dictionary, in the order of the program's outputs."""
    spec = program.call_spec.out_spec
    assert spec is not None
    return [str(key) for key in spec.context]


def _save_onnx(program: torch.export.ExportedProgram, path: Path, names: list[str], notes: dict[str, str]) -> None:
    made = torch.onnx.export(program, input_names=[INPUT], output_names=names, dynamo=True, verbose=False)
    assert made is not None
    made.model.metadata_props.update(notes)
    made.save(path)  # weights beyond what one file can hold go to a second one by themselves


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path of the target's name in a temporary folder; what lies there afterwards moves beside it."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".part") as folder:
        yield Path(folder) / target.name
        # A second file (weights) first: the one that names it stands only when it is there.
        for made in sorted(Path(folder).iterdir(), key=lambda file: file.name == target.name):
            os.replace(made, target.parent / made.name)
