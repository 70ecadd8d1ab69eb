"""Images to a Prediction: loading, precision, one forward pass, and what made it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from page4d.io.fitting import Mode, check_fit
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import LoadedImages
from page4d.io.pictures import ImageSource
from page4d.model.fingerprint import config_sha256, same_weights, weights_sha256
from page4d.model.layers import Block
from page4d.model.memory import ForwardPass, what_fits
from page4d.model.network import PAGE4D
from page4d.model.precision import (
    DTYPES,
    Precision,
    held_dtype,
    matrices,
    named_device,
    native_dtype,
    present_device,
    products_in,
    tf32_convolutions,
)
from page4d.processes import local_process
from page4d.schema import OPTIONAL, Prediction, UserError, concatenated
from page4d.version import code_revision
from page4d.windows import Windows, join_windows

if TYPE_CHECKING:
    from page4d.loops import Mixed

# Of the memory that a pass just failed in, what the advice counts on.
AFTER_FAILURE = 0.8

Images = LoadedImages | Tensor | ImageSource | Sequence[ImageSource]


def predict(
    model: nn.Module,
    images: Images,
    *,
    mode: Mode = "crop",
    device: torch.device | str | None = None,
    precision: Precision | None = None,
    timestamps_s: Sequence[float] | None = None,
    windows: Windows | None = None,
) -> Prediction:
    """Cameras, depth, points and moving mask of the frames of one scene, from one forward pass or from `windows`.

    Shapes:  images are files, one folder or one video, PIL images, `LoadedImages`, or a tensor (S, 3, H, W) in [0, 1];
             files are fitted by `mode` to the size and patch of the model.
    Note:    `device` moves the model itself. The aggregator multiplies in the type that `precision` names; without it
             in bfloat16 where the model holds its matrices in it and on CUDA devices that have it (compute capability
             8 and up), else in float32. Heads and everything else run in float32, on CUDA with convolutions in TF32.
             The model's mode is left as it was. Compiled and DataParallel networks are taken, too.
    Raises:  UserError for bad input, a model that is not one, in other types or without camera or depth head, or memory
             that does not suffice.
    """
    network = network_of(model)
    if network.camera_head is None or network.depth_head is None:
        raise UserError("this network has no camera or no depth head; a Prediction needs both")
    if windows is not None and not isinstance(windows, Windows):
        raise UserError(f"windows is {windows!r}, expected Windows(frames=..., overlap=...) or None")
    target = device_for(network, device)
    products = products_dtype(network, target, precision)
    frames = as_frames(images, network, mode, timestamps_s)
    with same_weights(network):
        network.to(target)
    meta = model_provenance(network, target, products)
    # A compiled network is called as such; DataParallel would only divide the one scene there is.
    caller = model if hasattr(model, "_orig_mod") else network
    if windows is None:
        return _one_pass(caller, frames, products, meta)
    starts = windows.starts(len(frames))
    parts = [_one_pass(caller, frames[i : i + windows.frames], products, meta) for i in starts]
    joined = join_windows(parts, starts, meta | {"windows": windows.record()})
    if not windows.loops:
        return joined
    from page4d.loops import with_loops_closed  # with scipy, half of what importing this package would take

    closed, loops = with_loops_closed(joined, windows, joined.meta.get("joins", []), mixed_by(model, device, precision))
    return replace(closed, meta=joined.meta | {"loops": [loop.record() for loop in loops]})


def mixed_by(model: nn.Module, device: torch.device | str | None, precision: Precision | None) -> Mixed:
    """What predicts a mixed window of two visits to one place, from the pictures that their Predictions hold."""

    def mixed(earlier: Prediction, later: Prediction) -> Prediction:
        both = concatenated((earlier, later))
        images = torch.from_numpy(both.images).permute(0, 3, 1, 2).float() / 255
        # Bytes carry no mask; what the user left out of the film has no depth in it, and gets none here.
        frames = replace(_frames_of_tensor(images.contiguous()), kept=both.depth > 0)
        return predict(model, frames, device=device, precision=precision)

    return mixed


def _one_pass(caller: nn.Module, frames: LoadedImages, products: torch.dtype, meta: dict[str, Any]) -> Prediction:
    network = network_of(caller)
    with inference_mode_of(network):
        with ready_for(network, frames, products) as images:
            out = caller(images)
        kept = prediction_fields(network, out, frames.size_hw)
    return _to_prediction(kept, frames, meta)


@contextmanager
def ready_for(network: PAGE4D, frames: LoadedImages, products: torch.dtype) -> Iterator[Tensor]:
    """What every pass stands in: the images on the network's device, the precision, and words for too little memory."""
    device = next(network.parameters()).device
    with (
        explain_out_of_memory(network, frames, products),
        products_in(products, device.type),
        tf32_convolutions(device),
    ):
        yield frames.images.to(device)


def prediction_fields(model: PAGE4D, out: dict[str, Any], size_hw: tuple[int, int]) -> dict[str, Tensor]:
    """What a Prediction keeps of the network's dictionary for one scene, still on the device: (S, ...) each."""
    said: dict[str, Tensor] = {"mask": out["mask"]} if "mask" in out else {}
    for head in model.heads.values():
        said |= head.kept(out, size_hw)
    return {name: values[0].float() for name, values in said.items()}


def resolve_device(name: torch.device | str | None = None) -> torch.device:
    """The device of that name, if this machine has it; without a name CUDA where there is any, else the CPU.

    Note:    under a launcher (LOCAL_RANK) every process gets its own CUDA device.
    Raises:  UserError for a name that is not a device, or a device that this machine does not have.
    """
    if name is None:
        count = torch.cuda.device_count()
        return torch.device(f"cuda:{local_process() % count}" if count else "cpu")
    device = named_device(name)
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"{device} is not a device to compute on; give cpu, cuda, cuda:1, ... or mps")
    return present_device(device)


def device_for(model: PAGE4D, name: torch.device | str | None) -> torch.device:
    """The named device; without a name the one on which the model is."""
    return next(model.parameters()).device if name is None else resolve_device(name)


def products_dtype(network: PAGE4D, device: torch.device, precision: Precision | None = None) -> torch.dtype:
    """The type that the aggregator multiplies in: what was asked for, what it is held in, or what the device has.

    Raises:  UserError for another word, and for float32 from matrices that are held in bfloat16.
    """
    if precision not in (None, *DTYPES):
        raise UserError(f"precision is {precision!r}, expected {' or '.join(DTYPES)}, or None for what the device has")
    held = held_dtype(network.aggregator)
    if held != torch.float32:
        if precision == "float32":
            raise UserError("the network holds bfloat16, whose missing digits are gone; load it again for float32")
        return held
    return native_dtype(device) if precision is None else DTYPES[precision]


def compile_blocks(network: PAGE4D, device: torch.device) -> None:
    """Have torch compile the aggregator's blocks, in place; the first pass then takes longer, later ones less.

    Note:    results change within rounding. The blocks are compiled one by one: all have one shape, and the network
             as a whole would take many minutes.
    Raises:  UserError for a CPU, where 283 s of compiling gained nothing for the small network.
    """
    if device.type == "cpu":
        raise UserError("compiling gains nothing on a CPU and takes minutes there; leave it out, or take a GPU")
    for block in network.aggregator.modules():
        if isinstance(block, Block):
            block.compile()


def as_frames(
    images: Images, model: PAGE4D, mode: Mode = "crop", timestamps_s: Sequence[float] | None = None
) -> LoadedImages:
    """Whatever the user gave as a checked batch of frames of the model's size and patch."""
    check_fit(mode, model.config.patch_size, model.config.patch_size)
    if isinstance(images, Tensor):
        frames = _frames_of_tensor(images)
    elif isinstance(images, LoadedImages):
        frames = images
    else:
        _check_sources(images)
        frames = load_frames(images, FrameOptions(mode, model.config.img_size, model.config.patch_size))
    height, width = frames.images.shape[-2:]
    patch = model.config.patch_size
    if height % patch or width % patch:
        raise UserError(
            f"images are {height} x {width} px, this network needs multiples of its patch size {patch}; "
            f"load them with load_images(..., size={model.config.img_size}, patch={patch})"
        )
    if timestamps_s is None:
        return frames
    try:
        times = np.asarray(timestamps_s, np.float64)
    except (ValueError, TypeError) as error:
        raise UserError(f"timestamps_s are {timestamps_s!r:.80}; expected seconds as numbers") from error
    if times.shape != (len(frames),):
        raise UserError(f"{times.size} timestamps for {len(frames)} frames; give one for each, or none")
    return replace(frames, timestamps_s=times)


def model_provenance(model: PAGE4D, device: torch.device, products: torch.dtype | None = None) -> dict[str, Any]:
    """What made a prediction: configuration and weights with their hashes, code revision, device and precision."""
    products = products_dtype(model, device) if products is None else products
    cuda = device.type == "cuda"
    network = {
        "config": asdict(model.config),
        "config_sha256": config_sha256(model.config),
        "weights_sha256": weights_sha256(model),
        "global_keys": "one of every 2 x 2 patches" if model.aggregator.fewer_keys else "all",
    }
    program = {"code_revision": code_revision(), "torch": torch.__version__}
    machine = {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if cuda else device.type,
        "aggregator_dtype": _name_of(products),
        "convolutions": "tf32" if cuda else "float32",
    }
    return network | program | machine


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is a failed allocation; torch's own allocator for the CPU only says so in words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


@contextmanager
def explain_out_of_memory(network: PAGE4D, frames: LoadedImages, products: torch.dtype) -> Iterator[None]:
    """Turn a failed allocation into a UserError that says how large the input was and which setting would fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        device = next(network.parameters()).device
        one = ForwardPass.of(network, len(frames), frames.size_hw, products)
        # Others may use the device too: what was there a moment ago was not enough.
        advice = what_fits(one, device, share=AFTER_FAILURE)
        raise UserError(f"{one} do not fit into the memory of {device}; {advice}") from error


@contextmanager
def inference_mode_of(model: PAGE4D) -> Iterator[None]:
    """Evaluation mode without gradients; the model's own mode comes back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def network_of(model: object) -> PAGE4D:
    """The network inside what torch.compile, DataParallel or DistributedDataParallel make of it.

    Raises:  UserError for what Python lets through: a name in place of a network, and half-precision weights.
    """
    inside = model
    while isinstance(wrapped := getattr(inside, "_orig_mod", getattr(inside, "module", None)), nn.Module):
        inside = wrapped
    if not isinstance(inside, PAGE4D):
        raise UserError(f"the model is a {type(inside).__name__}; load one with page4d.PAGE4D.from_pretrained(NAME)")
    matrix_names = matrices(inside.aggregator, "aggregator")
    kinds = {weight.dtype for name, weight in inside.named_parameters() if name not in matrix_names}
    strange = kinds - {torch.float32}
    strange |= {held_dtype(inside.aggregator)} - {torch.float32, torch.bfloat16}
    if strange:
        found = ", ".join(sorted(_name_of(kind) for kind in strange))
        raise UserError(
            f"the model's weights are {found}, expected float32; bfloat16 is for the aggregator's matrices alone: "
            'call model.float(), or load with from_pretrained(..., precision="bf16")'
        )
    return inside


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_sources(images: object) -> None:
    single = isinstance(images, str | os.PathLike | Image.Image)
    listed = images if isinstance(images, Sequence) and not single else [images]
    foreign = {type(x).__name__ for x in listed if not isinstance(x, str | os.PathLike | Image.Image)}
    if foreign:
        raise UserError(
            f"images are given as {', '.join(sorted(foreign))}; expected file names, PIL images or a tensor "
            "(S, 3, H, W) in [0, 1]. From OpenCV: [PIL.Image.fromarray(frame[..., ::-1]) for frame in frames]"
        )


def _frames_of_tensor(images: Tensor) -> LoadedImages:
    if images.ndim == 5 and images.shape[0] == 1:
        images = images[0]
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[0] == 0:
        raise UserError(f"images have shape {tuple(images.shape)}, expected (S, 3, H, W) of one scene with S >= 1")
    if not images.is_floating_point():
        raise UserError(f"images are {images.dtype}, expected floating point in [0, 1]; divide bytes by 255")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise UserError(f"image values run from {low:g} to {high:g}, expected [0, 1], not normalized")
    s, _, height, width = images.shape
    # A tensor is its own original: nothing was cut or resized.
    sizes = np.array([[height, width]], np.int64).repeat(s, 0)
    boxes = np.array([[0, 0, width, height]], np.float64).repeat(s, 0)
    names = tuple(f"image_{i:06d}" for i in range(s))
    return LoadedImages(images.detach().float(), sizes, boxes, names, np.full(s, np.nan))


def _to_prediction(kept: dict[str, Tensor], frames: LoadedImages, meta: dict[str, Any]) -> Prediction:
    arrays: dict[str, Any] = dict.fromkeys(OPTIONAL)
    arrays |= {name: values.cpu().numpy() for name, values in kept.items()}
    if frames.kept is not None:
        # Transparent or under the user's mask: no depth, as where nothing was measured, so that nothing is made of it.
        for name in ("depth", "depth_conf"):
            arrays[name] = np.where(frames.kept, arrays[name], np.float32(0))
    return Prediction(
        **arrays,
        images=_pixels(frames.images),
        frame_names=frames.names,
        timestamps_s=frames.timestamps_s,
        original_hw=frames.original_hw,
        box_in_original=frames.box_in_original,
        meta=meta,
    )


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (S, 3, H, W) in [0, 1] as bytes (S, H, W, 3)."""
    levels = (images * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
