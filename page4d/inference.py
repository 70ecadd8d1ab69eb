"""Images to a Prediction: loading, precision, one forward pass, and what made it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from page4d.geometry import Similarity, fit_similarity, pose_encoding_to_extri_intri, world_points
from page4d.io.images import ImageSource, LoadedImages, Mode
from page4d.io.video import FrameOptions, load_frames
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.model.network import PAGE4D
from page4d.schema import Prediction, UserError
from page4d.version import code_revision

Images = LoadedImages | Tensor | ImageSource | Sequence[ImageSource]


@dataclass(frozen=True)
class Tracks:
    """Points followed through S frames.

    Shapes:  tracks (S, N, 2) as (x, y); visible, confidence (S, N) in [0, 1].
    Units:   pixels of the network's input, pixel (0, 0) centred at (0, 0).
    """

    tracks: NDArray[np.float32]
    visible: NDArray[np.float32]
    confidence: NDArray[np.float32]


@dataclass(frozen=True)
class Windows:
    """Long clips in parts: `frames` at a time, each part sharing `overlap` frames with the one before.

    Known:   parts are joined one after the other by a similarity, so errors of scale and pose add up along the clip;
             one pass over all frames is better wherever it fits into memory.
    """

    frames: int = 32
    overlap: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.frames:
            raise UserError(f"windows of {self.frames} frames with overlap {self.overlap}; needed 0 < overlap < frames")

    def starts(self, total: int) -> list[int]:
        """First frames of the windows over `total` frames; the last window ends with the clip."""
        last = max(total - self.frames, 0)
        return [*range(0, last, self.frames - self.overlap), last]


def predict(
    model: PAGE4D,
    images: Images,
    *,
    mode: Mode = "crop",
    device: torch.device | str | None = None,
    timestamps_s: Sequence[float] | None = None,
    windows: Windows | None = None,
) -> Prediction:
    """Cameras, depth, points and moving mask of the frames of one scene, from one forward pass or from `windows`.

    Input:   image files, one folder or one video, PIL images, `LoadedImages`, or a tensor (S, 3, H, W) in [0, 1];
             files are fitted by `mode` to the size and patch of the model.
    Note:    `device` moves the model itself. On CUDA devices with bfloat16 (compute capability 8 and up) the aggregator
             runs in it; heads, and everything on other devices, run in float32. The model's mode is left as it was.
    Raises:  UserError for bad input, a model that is none, not in float32 or without camera or depth head, or memory
             that does not suffice.
    """
    _check_model(model)
    if model.camera_head is None or model.depth_head is None:
        raise UserError("this network has no camera or no depth head; a Prediction needs both")
    if windows is not None and not isinstance(windows, Windows):
        raise UserError(f"windows is {windows!r}, needed Windows(frames=..., overlap=...) or None")
    target = resolve_device(device) if device is not None else _device_of(model)
    frames = as_frames(images, model, mode, timestamps_s)
    model.to(target)
    meta = provenance(model, target)
    if windows is None:
        return _one_pass(model, frames, target, meta)
    starts = windows.starts(len(frames))
    parts = [_one_pass(model, _part(frames, i, i + windows.frames), target, meta) for i in starts]
    return join_windows(parts, starts, meta | {"windows": asdict(windows)})


def join_windows(parts: Sequence[Prediction], starts: Sequence[int], meta: dict[str, Any]) -> Prediction:
    """Bring each window into the world and scale of the ones before; a shared frame keeps its first window's values.

    Method:  the points of the shared frames, lifted from depth, are the same points in both windows; of their more
             confident half the least-squares similarity is taken.
    Source:  Umeyama (1991) for the similarity.
    """
    joined = parts[0]
    for part, start in zip(parts[1:], starts[1:], strict=True):
        shared = len(joined) - start
        moved = _moved(part, _similarity(part, joined, shared))
        joined = _appended(joined, moved, shared)
    return replace(joined, meta=meta)


def _one_pass(model: PAGE4D, frames: LoadedImages, device: torch.device, meta: dict[str, Any]) -> Prediction:
    with _inference(model), out_of_memory_says(frames, device), autocast_for(device):
        out = model(frames.images.to(device))
    return _to_prediction(out, frames, meta)


def _part(frames: LoadedImages, begin: int, end: int) -> LoadedImages:
    return LoadedImages(*(getattr(frames, f.name)[begin:end] for f in fields(frames)))


def _similarity(part: Prediction, joined: Prediction, shared: int) -> Similarity:
    """From the world of `part`, whose first `shared` frames are the last of `joined`, to the world of `joined`."""
    local = world_points(*(torch.from_numpy(a[:shared]).double() for a in (part.depth, part.K, part.cam_from_world)))
    known = world_points(
        *(torch.from_numpy(a[-shared:]).double() for a in (joined.depth, joined.K, joined.cam_from_world))
    )
    confidence = np.minimum(part.depth_conf[:shared], joined.depth_conf[-shared:])
    keep = torch.from_numpy(confidence >= np.median(confidence))
    return fit_similarity(local[keep], known[keep])


def _moved(part: Prediction, to_joined: Similarity) -> Prediction:
    """Lengths times the scale; with x' = s R x + t a camera [Rc | tc] becomes [Rc R^T | s tc - Rc R^T t]."""
    scale = float(to_joined.scale)
    pose = torch.from_numpy(part.cam_from_world).double()
    rotation = pose[:, :, :3] @ to_joined.rotation.mT
    translation = scale * pose[:, :, 3] - rotation @ to_joined.translation
    points = None
    if part.points is not None:
        flat = torch.from_numpy(part.points).double().reshape(-1, 3)
        points = to_joined.apply(flat).reshape(part.points.shape).float().numpy()
    return replace(
        part,
        cam_from_world=torch.cat((rotation, translation[..., None]), -1).float().numpy(),
        depth=np.asarray(part.depth * scale, np.float32),
        points=points,
    )


def _appended(joined: Prediction, part: Prediction, shared: int) -> Prediction:
    """Both one after the other, without the first `shared` frames of `part`."""
    pairs = {f.name: (getattr(joined, f.name), getattr(part, f.name)) for f in fields(joined) if f.name != "meta"}
    names, later = pairs.pop("frame_names")
    arrays: dict[str, Any] = {name: np.concatenate((a, b[shared:])) for name, (a, b) in pairs.items() if a is not None}
    return replace(joined, frame_names=names + later[shared:], **arrays)


def track(
    model: PAGE4D,
    images: Images,
    queries: NDArray[np.float32] | Tensor | Sequence[Sequence[float]],
    *,
    mode: Mode = "crop",
    device: torch.device | str | None = None,
) -> Tracks:
    """Follow points of the first frame through all frames.

    Shapes:  queries (N, 2) as (x, y) in pixels of the first frame as the network sees it.
    Raises:  UserError as `predict`, for a network without track head, and for queries of another shape or outside.
    """
    _check_model(model)
    if model.track_head is None:
        raise UserError("this network has no track head; VGGT's weights ('vggt') have one, PAGE-4D's have none")
    target = resolve_device(device) if device is not None else _device_of(model)
    frames = as_frames(images, model, mode)
    points = _check_queries(queries, frames)
    model.to(target)
    with _inference(model), out_of_memory_says(frames, target):
        batch = model.aggregator.check_images(frames.images.to(target))
        with autocast_for(target):
            out = model.aggregator.run(batch, keep=model.pairs_read())
        tracks, visible, confidence = model.track_head(
            out.tokens, batch, out.patch_start, query_points=points[None].to(target)
        )
    return Tracks(_numpy(tracks[-1][0]), _numpy(visible[0]), _numpy(confidence[0]))


def resolve_device(name: torch.device | str) -> torch.device:
    """The device of that name, if this machine has it; a UserError that says what to do if not."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{name!r} is no device; give cpu, cuda, cuda:1, ... or mps") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError("no CUDA device can be used here (driver, or a CPU-only torch); take device cpu")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise UserError(f"{device} does not exist, this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("mps needs a Mac with Apple silicon; take device cpu")
    return device


def aggregator_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a CUDA device computes it natively, else float32."""
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float32


def autocast_for(device: torch.device) -> torch.autocast:
    """Autocast to `aggregator_dtype`, switched off where that is float32."""
    dtype = aggregator_dtype(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype != torch.float32)


def as_frames(
    images: Images, model: PAGE4D, mode: Mode = "crop", timestamps_s: Sequence[float] | None = None
) -> LoadedImages:
    """Whatever the user gave as a checked batch of frames of the model's size and patch."""
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
    times = np.asarray(timestamps_s, np.float64)
    if times.shape != (len(frames),):
        raise UserError(f"{times.size} timestamps for {len(frames)} frames; give one for each or none")
    return LoadedImages(frames.images, frames.original_hw, frames.box_in_original, frames.names, times)


def provenance(model: PAGE4D, device: torch.device) -> dict[str, Any]:
    """What made a prediction: configuration and weights with their hashes, code revision, device and precision."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "config": asdict(model.config),
        "config_sha256": config_sha256(model.config),
        "weights_sha256": weights_sha256(model),
        "code_revision": code_revision(),
        "torch": torch.__version__,
        "device": str(device),
        "device_name": name,
        "aggregator_dtype": str(aggregator_dtype(device)).removeprefix("torch."),
    }


@contextmanager
def out_of_memory_says(frames: LoadedImages, device: torch.device) -> Iterator[None]:
    """Turn a failed allocation into a UserError that says how large the input was and what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        allocation = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not allocation:
            raise
        height, width = frames.images.shape[-2:]
        raise UserError(
            f"{len(frames)} frames of {height} x {width} px do not fit into the memory of {device}; "
            "take fewer frames (--max-frames, --fps), windows of frames (--window), or a device with more memory"
        ) from error


@contextmanager
def _inference(model: PAGE4D) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _check_model(model: object) -> None:
    """Refuse what Python lets through: a name in place of a network, and half-precision weights."""
    if not isinstance(model, PAGE4D):
        raise UserError(f"the model is a {type(model).__name__}; load one with page4d.PAGE4D.from_pretrained(NAME)")
    kinds = {p.dtype for p in model.parameters()} - {torch.float32}
    if kinds:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise UserError(
            f"the model's weights are {found}, needed float32 (bfloat16 is chosen inside, where it is fast); "
            "call model.float()"
        )


def _check_sources(images: object) -> None:
    single = isinstance(images, str | os.PathLike | Image.Image)
    listed = images if isinstance(images, Sequence) and not single else [images]
    foreign = {type(x).__name__ for x in listed if not isinstance(x, str | os.PathLike | Image.Image)}
    if foreign:
        raise UserError(
            f"images are given as {', '.join(sorted(foreign))}; needed file names, PIL images or a tensor (S, 3, H, W) "
            "in [0, 1]. From OpenCV: [PIL.Image.fromarray(frame[..., ::-1]) for frame in frames]"
        )


def _frames_of_tensor(images: Tensor) -> LoadedImages:
    if images.ndim == 5 and images.shape[0] == 1:
        images = images[0]
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[0] == 0:
        raise UserError(f"images have shape {tuple(images.shape)}, needed (S, 3, H, W) of one scene with S >= 1")
    if not images.is_floating_point():
        raise UserError(f"images are {images.dtype}, needed floating point in [0, 1]; divide bytes by 255")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise UserError(f"image values run from {low:g} to {high:g}, needed [0, 1], not normalised")
    s, _, height, width = images.shape
    return LoadedImages(
        images=images.detach().float(),
        original_hw=np.tile(np.array([height, width], np.int64), (s, 1)),
        box_in_original=np.tile(np.array([0, 0, width, height], np.float64), (s, 1)),
        names=tuple(f"image_{i:06d}" for i in range(s)),
        timestamps_s=np.full(s, np.nan),
    )


def _check_queries(queries: NDArray[np.float32] | Tensor | Sequence[Sequence[float]], frames: LoadedImages) -> Tensor:
    points = torch.as_tensor(queries, dtype=torch.float32)
    height, width = frames.images.shape[-2:]
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise UserError(f"queries have shape {tuple(points.shape)}, needed (N, 2) as (x, y) with N >= 1")
    limit = torch.tensor([width - 0.5, height - 0.5])
    outside = ~((points >= -0.5) & (points <= limit)).all(1)
    if outside.any():
        first = points[outside][0].tolist()
        raise UserError(
            f"{int(outside.sum())} queries lie outside the {width} x {height} px frame, the first at {first}"
        )
    return points


def _to_prediction(out: dict[str, Any], frames: LoadedImages, meta: dict[str, Any]) -> Prediction:
    height, width = frames.images.shape[-2:]
    cameras, K = pose_encoding_to_extri_intri(out["pose_enc"][0].float(), (height, width))
    assert K is not None
    pixels = (frames.images * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return Prediction(
        cam_from_world=_numpy(cameras),
        K=_numpy(K),
        depth=_numpy(out["depth"][0, ..., 0]),
        depth_conf=_numpy(out["depth_conf"][0]),
        points=_numpy(out["world_points"][0]) if "world_points" in out else None,
        points_conf=_numpy(out["world_points_conf"][0]) if "world_points_conf" in out else None,
        mask=_numpy(out["mask"][0]) if "mask" in out else None,
        images=np.ascontiguousarray(pixels.cpu().numpy()),
        frame_names=frames.names,
        timestamps_s=frames.timestamps_s,
        original_hw=frames.original_hw,
        box_in_original=frames.box_in_original,
        meta=meta,
    )


def _device_of(model: PAGE4D) -> torch.device:
    return next(model.parameters()).device


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
