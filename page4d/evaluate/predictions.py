"""Loop one: every sequence of a benchmark through a network, one Prediction file each.

The folder says what made it (`folder.json`), every file says it again, and nothing is averaged here. A killed run is
started again and goes on; a sequence that does not fit into memory leaves a `.failed.json` and the rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.cost import with_cost
from page4d.evaluate.old_names import current_name, current_options
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.rules import UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tasks import Task
from page4d.evaluate.tracks3d_scoring import shown_in, tracks_file, true_tracks
from page4d.inference import is_out_of_memory, predict
from page4d.io.images import LoadedImages, load_images
from page4d.io.pictures import open_rgb
from page4d.model import PAGE4D
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.places import json_of
from page4d.plausible import check_types
from page4d.point_tracks import track
from page4d.processes import process
from page4d.result.pixel_map import PixelMap
from page4d.schema import MALFORMED, OPTIONAL, Prediction, UserError, atomic_write, concatenated, read_header

FOLDER_FILE = "folder.json"
Outcome = Literal["done", "there", "failed"]


@dataclass(frozen=True)
class Origin:
    """What made the predictions of a folder.

    Note:    source is "page4d", or "external" for converted ones, whose hashes are those of the converted files;
             inputs are the protocol options that decided what the network saw, None = not known (external).
    """

    benchmark: str
    benchmark_version: int
    label: str
    source: str
    config_sha256: str
    weights_sha256: str
    inputs: dict[str, Any] | None

    def save(self, folder: Path) -> None:
        """Write `folder.json`, or check the one that is there.

        Raises:  UserError if the folder holds predictions of something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FOLDER_FILE).exists():
            self.check(self.load(folder), folder)
            return
        with atomic_write(folder / FOLDER_FILE, "w") as stream:
            json.dump(asdict(self), stream, indent=1)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder's `folder.json`.

        Raises:  UserError if it is missing or damaged.
        """
        try:
            origin = check_types(cls(**json_of(folder / FOLDER_FILE)))
            inputs = None if origin.inputs is None else current_options(origin.inputs)
            return replace(origin, benchmark=current_name(origin.benchmark), inputs=inputs)
        except FileNotFoundError as error:
            raise UserError(
                f"{folder} holds no predictions; `page4d evaluate predict` or `convert` writes them"
            ) from error
        except (OSError, *MALFORMED) as error:
            raise UserError(f"{folder / FOLDER_FILE} is damaged ({error}); predict into an empty folder") from error

    def check(self, other: Origin, folder: Path) -> None:
        """Refuse to mix: every field must be equal."""
        wrong = [k for k, v in asdict(self).items() if k != "label" and v != getattr(other, k)]
        if wrong:
            what = "; ".join(f"{k} is {getattr(other, k)!s:.40}, expected {getattr(self, k)!s:.40}" for k in wrong)
            raise UserError(
                f"{folder} holds predictions of something else: {what}. Give another label=, another out=, or remove it"
            )


def origin_of(model: PAGE4D, label: str, benchmark: Benchmark, protocol: Protocol) -> Origin:
    """What predictions of this model on this benchmark are made by."""
    return Origin(
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        label=label,
        source="page4d",
        config_sha256=config_sha256(model.config),
        weights_sha256=weights_sha256(model),
        inputs=protocol.input_key(benchmark.task),
    )


def is_predicted(path: Path, origin: Origin) -> bool:
    """Whether a file holds a whole Prediction by this maker; its arrays are not read."""
    try:
        return path.exists() and same_maker(read_header(path)["meta"], origin)
    except UserError:
        return False


def share_of_this_process(sequences: Sequence[EvalSequence]) -> Sequence[EvalSequence]:
    """Every n-th sequence when `accelerate launch` or torchrun started n processes, else all."""
    rank, world = process()
    return sequences[rank::world]


def predict_benchmark(
    model: PAGE4D, sequences: Sequence[EvalSequence], folder: Path, origin: Origin, task: Task
) -> Iterator[tuple[str, Outcome]]:
    """Predict what is not there yet; yields each sequence's name and outcome.

    Raises:  UserError if the folder belongs to another model, benchmark or input, or for bad images.
    """
    origin.save(folder)
    for sequence in sequences:
        path, failed = folder / f"{sequence.name}.npz", folder / f"{sequence.name}.failed.json"
        if is_predicted(path, origin):
            yield sequence.name, "there"
            continue
        try:
            prediction = run_sequence(model, sequence, origin, task)
            if task.with_tracks and model.track_head is not None:
                # Before the prediction, whose file says that the sequence is done.
                save_tracks(model, sequence, origin, path)
        except UserError as error:
            # Only this sequence may suffer from too little memory; whatever else is wrong is wrong with all.
            if not is_out_of_memory(error.__cause__):
                raise
            with atomic_write(failed, "w") as stream:
                json.dump({"error": str(error)}, stream)
            yield sequence.name, "failed"
            continue
        prediction.save(path)
        failed.unlink(missing_ok=True)
        yield sequence.name, "done"


def same_maker(meta: dict[str, Any], origin: Origin) -> bool:
    return all(meta.get(key) == getattr(origin, key) for key in ("config_sha256", "weights_sha256"))


def run_sequence(model: PAGE4D, sequence: EvalSequence, origin: Origin, task: Task) -> Prediction:
    """One Prediction: all frames together, or each alone for monocular depth.

    Note:    `predict` puts the network into evaluation mode, which the released scripts do for depth alone (E14);
             `meta["cost"]` has its seconds and peak memory, images loaded before.
    """
    frames = load_inputs(sequence, origin.inputs or {}, model)
    device = next(model.parameters()).device
    prediction, cost = with_cost(lambda: _predict(model, frames, task), device)
    # Only point maps are scored from points; they are three quarters of a file.
    lean = prediction if task.with_points else replace(prediction, points=None, points_conf=None)
    about = {"label": origin.label, "inputs": origin.inputs, "sequence": sequence.name, "cost": cost}
    return replace(lean, meta=lean.meta | about)


def _predict(model: PAGE4D, frames: LoadedImages, task: Task) -> Prediction:
    if task.frame_by_frame:
        return _join_singles([predict(model, frames[i : i + 1]) for i in range(len(frames))])
    return predict(model, frames)


def load_inputs(sequence: EvalSequence, inputs: dict[str, Any], model: PAGE4D) -> LoadedImages:
    """Images in the shape that the protocol gives them; what was cut or added stays on record."""
    size, patch = model.config.img_size, model.config.patch_size
    mode: Literal["crop", "pad"] = "crop"
    if inputs["portrait"] == "pad" and _portrait(sequence):
        mode = "pad"
    frames = load_images(list(sequence.images), mode=mode, size=size, patch=patch)
    if inputs["input_shape"] == "keep_aspect":
        return frames
    # As the released launchers: bilinear without antialiasing, after the resize to whole patches.
    square = F.interpolate(frames.images, size=(size, size), mode="bilinear", align_corners=False)
    return replace(frames, images=square, kept=_squash(frames.kept, size))


def _squash(kept: NDArray[np.bool_] | None, size: int) -> NDArray[np.bool_] | None:
    """Which pixels count (S, H, W), in a square: each as the one under its centre."""
    if kept is None:
        return None
    counts = torch.from_numpy(kept)[:, None].float()
    return F.interpolate(counts, size=(size, size), mode="nearest-exact")[:, 0].numpy() > 0


def _portrait(sequence: EvalSequence) -> bool:
    if not sequence.images:
        raise UserError(f"{sequence.name} has no images; complete the folder")
    first = open_rgb(sequence.images[0])
    return first.height > first.width


def _join_singles(singles: Sequence[Prediction]) -> Prediction:
    """Predictions of single frames side by side; each keeps its own world, so only depth is comparable."""
    together = concatenated(singles)
    left_out: dict[str, Any] = dict.fromkeys(OPTIONAL)
    return replace(together, **left_out, meta=together.meta | {"each_frame_alone": True})


def prediction_of(
    sequence: EvalSequence,
    depth: NDArray[np.float32],
    cam_from_world: NDArray[np.float64],
    K: NDArray[np.float32],
    original_hw: tuple[int, int] | NDArray[np.int_],
) -> Prediction:
    """Depth and cameras from elsewhere as a Prediction of the whole images, without pictures, points or mask.

    Shapes:  depth (S, H, W), cam_from_world (S, 3 or 4, 4), K (S, 3, 3); original_hw (S, 2), or one size for all.
    """
    sizes = np.broadcast_to(np.asarray(original_hw), (len(depth), 2)).copy()
    poses, certain = cam_from_world[:, :3].astype(np.float32), np.ones_like(depth)
    black = np.zeros((*depth.shape, 3), np.uint8)
    names, stamps = tuple(path.name for path in sequence.images), np.full(len(depth), np.nan)
    boxes = np.concatenate((np.zeros_like(sizes), sizes[:, ::-1]), 1).astype(np.float64)
    return Prediction(poses, K, depth, certain, None, None, None, black, names, stamps, sizes, boxes)


def mask_of(moving: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Exact masks (S, h, w) in the field `mask` of a Prediction: half of a network's range to either side."""
    return np.where(moving, np.float32(-0.25), np.float32(0.25))


def save_tracks(model: PAGE4D, sequence: EvalSequence, origin: Origin, path: Path) -> None:
    """What a track head says of the points that the first frame truly sees, beside the prediction."""
    try:
        truth = true_tracks(sequence)
    except UnscorableError:
        return  # scoring says why, beside the sequences that it can score
    frames = load_inputs(sequence, origin.inputs or {}, model)
    queries = PixelMap.of(frames)[0].to_input(truth.query_xy)
    found = track(model, frames, truth.query_xy[shown_in(queries, frames.size_hw)])
    with atomic_write(tracks_file(path.parent, sequence.name)) as stream:
        np.savez(stream, xy=found.xy_in_input, visible=found.visible)
