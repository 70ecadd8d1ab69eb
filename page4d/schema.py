"""The things that travel between stages: Clip (data), Prediction (model) and Scores (evaluation).

A Clip holds tensors because the network reads it; Prediction and everything after it hold numpy
arrays, so that nothing to the right of a prediction needs torch. Each file format carries a version:
a reader refuses what it does not know instead of guessing.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from page4d.leftovers import SUFFIX, part_prefix, sweep
from page4d.measured import is_measured
from page4d.npz import check_npz
from page4d.places import json_of, no_file, place_to_write, umask
from page4d.plausible import check_arrays, check_meta, check_types

if TYPE_CHECKING:
    from torch import Tensor

    from page4d.stored import StoredPrediction

PREDICTION_FORMAT = 1


# What taking values out of a file ends in when it says something else than was expected: JSON knows numbers beyond all
# integers and lists within lists without end.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class UserError(ValueError):
    """A mistake in what the user gave; the command line prints it without a traceback and exits with 2."""


class Notice(UserWarning):
    """Something in the user's input was left out, cut or read in one of several ways; the text names the option."""


def notice(text: str) -> None:
    """Tell what was done to the user's input; the command line prints it as one line."""
    warnings.warn(text, Notice, stacklevel=3)


@contextmanager
def atomic_write(path: os.PathLike[str] | str, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; it takes the name only if the block ends without an error.

    Note:    text is UTF-8; bytes of a name that are none pass through. A link is written through, what it names is
             replaced; what killed processes left half-written in the folder is removed.
    Raises:  UserError if the folder is missing or not writable, or `path` is a device, pipe or socket; whatever the
             block raises, after removing the file.
    """
    path = Path(path)
    try:
        path = place_to_write(path)
        sweep(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=part_prefix(path.name), suffix=SUFFIX)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    try:
        text: dict[str, str] = {"encoding": "utf-8", "newline": "\n", "errors": "surrogateescape"}
        with os.fdopen(descriptor, mode, **({} if "b" in mode else text)) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Clip:
    """Consecutive views of one scene with their ground truth.

    Shapes:  images (S, 3, H, W); depth, valid, moving, instances (S, H, W); cam_from_world (S, 3, 4); K (S, 3, 3);
             tracks (S, N, 2); tracks_visible (S, N); flow (S - 1, H, W, 2); frame_numbers (S,).
    Units:   images RGB float32 in [0, 1]; depth is z in scene units (metres where `metric`), 0 = no measurement;
             K, tracks and flow in pixels, (x, y).
    Frame:   OpenCV (x right, y down, z forward); pixel (0, 0) is centred at (0, 0). flow[i] goes from frame i to i + 1.
    """

    images: Tensor
    depth: Tensor
    cam_from_world: Tensor
    K: Tensor
    frame_numbers: Tensor
    name: str = ""
    dataset: str = ""
    metric: bool = True
    moving: Tensor | None = None
    instances: Tensor | None = None
    tracks: Tensor | None = None
    tracks_visible: Tensor | None = None
    flow: Tensor | None = None

    def __post_init__(self) -> None:
        s, _, h, w = self.images.shape
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(("depth", "moving", "instances"), (s, h, w))
        wanted |= {"cam_from_world": (s, 3, 4), "K": (s, 3, 3), "frame_numbers": (s,), "flow": (s - 1, h, w, 2)}
        if self.tracks is not None:
            wanted["tracks"] = (s, self.tracks.shape[1], 2)
            wanted["tracks_visible"] = (s, self.tracks.shape[1])
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"Clip {self.name!r}: {name} has shape {tuple(value.shape)}, expected {shape}")

    @property
    def valid(self) -> Tensor:
        """Pixels with a measured, finite depth: bool (S, H, W)."""
        return is_measured(self.depth)

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same clip with `change` applied to every tensor, for example to move it to a device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {k: change(v) for k, v in values.items() if hasattr(v, "dtype")}
        return replace(self, **changed)


@dataclass(frozen=True)
class Prediction:
    """What one forward pass says of S frames, with where it came from.

    Shapes:  cam_from_world (S, 3, 4); K (S, 3, 3); depth, depth_conf, points_conf (S, H, W); points (S, H, W, 3);
             mask (S, h, w) patches or None; images uint8 (S, H, W, 3); original_hw (S, 2) int;
             box_in_original (S, 4) = x0, y0, x1, y1.
    Units:   depth is z in the frame's own camera, in the model's scene unit; K in pixels of the network's input;
             mask is m in (-0.5, 0.5), see model.mask; timestamps in seconds, NaN where unknown.
    Frame:   OpenCV; points are in the world. Of exact geometry the world is the first camera; of a network's output
             it is only close to it, for cam_from_world[0] is the network's answer, not set to the identity. Pixel
             (0, 0) is centred at (0, 0).
    Note:    box_in_original is the part of the original image that the H x W input shows, in pixel edges of the
             original (0, 0, width, height is all of it; values outside it are padding).
    """

    cam_from_world: NDArray[np.float32]
    K: NDArray[np.float32]
    depth: NDArray[np.float32]
    depth_conf: NDArray[np.float32]
    points: NDArray[np.float32] | None
    points_conf: NDArray[np.float32] | None
    mask: NDArray[np.float32] | None
    images: NDArray[np.uint8]
    frame_names: tuple[str, ...]
    timestamps_s: NDArray[np.float64]
    original_hw: NDArray[np.int64]
    box_in_original: NDArray[np.float64]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.depth.ndim != 3:
            raise ValueError(f"Prediction: depth has shape {self.depth.shape}, expected (S, H, W)")
        s, h, w = self.depth.shape
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(("depth_conf", "points_conf"), (s, h, w))
        wanted |= dict.fromkeys(("points", "images"), (s, h, w, 3))
        wanted |= {"cam_from_world": (s, 3, 4), "K": (s, 3, 3)}
        wanted |= {"timestamps_s": (s,), "original_hw": (s, 2), "box_in_original": (s, 4)}
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"Prediction: {name} has shape {value.shape}, expected {shape}")
        if self.mask is not None and (self.mask.ndim != 3 or len(self.mask) != s):
            raise ValueError(f"Prediction: mask has shape {self.mask.shape}, expected ({s}, h, w)")
        if len(self.frame_names) != s:
            raise ValueError(f"Prediction: {len(self.frame_names)} frame names for {s} frames")

    def __len__(self) -> int:
        return int(self.depth.shape[0])

    def __getitem__(self, frames: slice) -> Self:
        """Some of the frames, with the same meta; arrays are views."""
        names = [f.name for f in fields(self) if f.name != "meta"]
        values = {name: getattr(self, name) for name in names}
        return replace(self, **{name: value[frames] for name, value in values.items() if value is not None})

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return int(self.depth.shape[1]), int(self.depth.shape[2])

    def save(self, path: os.PathLike[str] | str) -> None:
        """Write one npz, whole or not at all.

        Note:    it is not compressed: depth and points hardly shrink, and packing takes as long as predicting some.
        """
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("frame_names", "meta")}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        header = json.dumps({"format": PREDICTION_FORMAT, "frame_names": self.frame_names, "meta": self.meta})
        with atomic_write(path) as stream:
            np.savez(stream, header=np.array(header), **arrays)

    @classmethod
    def load(cls, path: os.PathLike[str] | str) -> Self:
        """Read an npz written by `save`.

        Raises:  UserError if the file is missing, truncated, not a Prediction, or of another format version.
        """
        with _explain_damage(Path(path)):
            arrays, header = _read_npz(Path(path))
            return cls._from_stored(arrays, header)

    @staticmethod
    def open(path: os.PathLike[str] | str) -> StoredPrediction:
        """A prediction that stays on disk until frames of it are asked for: an npz, or a long film's folder.

        Raises:  UserError if there is none, or it is damaged or of another format version.
        """
        from page4d.stored import StoredPrediction

        return StoredPrediction.open(path)

    @classmethod
    def _from_stored(cls, arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> Self:
        names = {f.name for f in fields(cls)}
        missing = sorted(names - {*OPTIONAL, "frame_names", "meta"} - arrays.keys())
        if missing or arrays.keys() - names:
            raise ValueError(f"missing {missing}, unknown {sorted(arrays.keys() - names)}")
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu" or (name == "images" and array.dtype != np.uint8):
                raise ValueError(f"{name} is {array.dtype}, expected {'uint8' if name == 'images' else 'numbers'}")
        optional: dict[str, Any] = dict.fromkeys(OPTIONAL)
        meta, frame_names = dict(header["meta"]), tuple(str(name) for name in header["frame_names"])
        stored = cls(**(optional | arrays), frame_names=frame_names, meta=meta)
        check_arrays(arrays)
        check_meta(meta)
        return stored


OPTIONAL = tuple(f.name for f in fields(Prediction) if "None" in str(f.type))
"""The fields of a Prediction that a network may leave out."""


def concatenated(parts: Sequence[Prediction]) -> Prediction:
    """Predictions of consecutive frames as one, with the first one's meta."""
    first = parts[0]
    both: dict[str, Any] = {"frame_names": tuple(name for part in parts for name in part.frame_names)}
    for f in fields(first):
        if f.name not in ("frame_names", "meta") and getattr(first, f.name) is not None:
            both[f.name] = np.concatenate([getattr(part, f.name) for part in parts])
    return replace(first, **both)


def read_header(path: os.PathLike[str] | str) -> dict[str, Any]:
    """What `Prediction.save` wrote beside the arrays, which are not read: format, frame_names, meta.

    Raises:  UserError as `Prediction.load`.
    """
    with _explain_damage(Path(path)):
        header = _read_npz(Path(path), ("header",))[1]
        return {"frame_names": tuple(header["frame_names"]), "meta": dict(header["meta"])}


def _read_npz(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of these names, or all, and the header, whose format is looked at."""
    if not zipfile.is_zipfile(path):
        raise ValueError("no .npz archive, or cut short")
    check_npz(path)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in names or stored.files}
    header = json.loads(str(arrays.pop("header")))
    version = header.get("format")
    if version != PREDICTION_FORMAT:
        raise UserError(
            f"{path} has Prediction format {version!r}, this page4d reads {PREDICTION_FORMAT}; "
            "predict again with this version"
        )
    return arrays, header


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a stored Prediction is read, in words that name the file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file in it, {path / 'prediction.npz'}")
    if not path.is_file():
        raise UserError(f"{no_file(path)}; `page4d predict` writes one")
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and numpy's parser of headers raise a dozen kinds
        reason = "it holds Python objects" if "pickle" in str(error) else str(error)[:200]
        raise UserError(
            f"{path} is not a whole Prediction file ({reason}); write it again with `page4d predict`"
        ) from error


SCORES_FORMAT = 1


@dataclass(frozen=True)
class SequenceScore:
    """What one sequence scored, or why it did not.

    values:  metric name to number; weight: its share in the mean (valid pixels for depth, 1 for poses and points).
    items:   the same metrics per frame, pose or step, one list each; `item_names` names the frames where there are any.
    weights: shares in the mean of the metrics that have another than `weight`, such as errors of moving pixels.
    notes:   other numbers worth keeping (fitted scale and shift, share of pixels covered, seconds, peak memory).
    """

    name: str
    values: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0
    item_names: tuple[str, ...] = ()
    items: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """One benchmark, one protocol, one model: what was measured, on what, and with which settings.

    Units:   `units` names the unit of each metric, an empty text where there is none.
    Note:    mean is the weighted mean over the n sequences that have values, out of `of`; failed ones stay listed.
             better is "lower" or "higher" for each metric. origin holds label, source, hashes of config and weights,
             code revision, hardware and date of predictions and scoring.
    """

    benchmark: str
    version: int
    task: str
    protocol: dict[str, Any]
    mean: dict[str, float]
    sequences: tuple[SequenceScore, ...]
    better: dict[str, str]
    units: dict[str, str]
    origin: dict[str, Any]

    @property
    def n(self) -> int:
        """Sequences that entered the mean."""
        return sum(s.error is None for s in self.sequences)

    @property
    def of(self) -> int:
        """Sequences that should have."""
        return len(self.sequences)

    def save(self, path: Path | str) -> None:
        """Write JSON, whole or not at all; numbers that are not finite are refused.

        Raises:  UserError for NaN or infinity: a mean must not hide them.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"n": self.n, "of": self.of}
        values["sequences"] = [vars(s) for s in self.sequences]
        try:
            text = json.dumps({"format": SCORES_FORMAT} | values, indent=1, allow_nan=False)
        except ValueError as error:
            raise UserError(f"{path}: a score is not finite ({error}); is its truth damaged?") from error
        with atomic_write(path, "w") as stream:
            stream.write(text + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read Scores written by `save`.

        Raises:  UserError if the file is missing, damaged, not a Scores file, or of another format version.
        """
        path = Path(path)
        try:
            stored = json_of(path)
            version = stored.pop("format")
            if version != SCORES_FORMAT:
                raise UserError(f"{path} has Scores format {version}, this page4d reads {SCORES_FORMAT}; score again")
            del stored["n"], stored["of"]
            sequences = tuple(_sequence_score(s) for s in stored.pop("sequences"))
            return check_types(cls(sequences=sequences, **stored))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; `page4d evaluate score` writes it") from error
        except UserError:
            raise
        except MALFORMED as error:
            raise UserError(f"{path} is not a whole Scores file ({error}); score again") from error


def _sequence_score(stored: dict[str, Any]) -> SequenceScore:
    items = {name: tuple(values) for name, values in stored.pop("items").items()}
    return check_types(SequenceScore(item_names=tuple(stored.pop("item_names")), items=items, **stored))
