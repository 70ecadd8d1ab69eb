"""What all dataset loaders share: an index of sequences and frames, and the assembly of a Clip.

A loader answers three questions about one official download: which sequences there are, which frame numbers each
has, and what one frame holds. Everything else (windows, crops, augmentation, mixing) is built on these answers and
is the same for every dataset.

Frames are named by their **frame number**, the number the dataset itself uses (Sintel counts from 1, Kubric from 0),
never by a position in a list, so that a missing file cannot shift the pairing of the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.data.depth_filter import percentile_filter
from page4d.data.transforms import float_images
from page4d.schema import Clip, UserError


@dataclass(frozen=True)
class Source:
    """Where the original files come from, for the message a user gets who has not downloaded them yet."""

    title: str
    files: str
    size: str
    page: str

    def __str__(self) -> str:
        return f"{self.title}: download {self.files} ({self.size}) from {self.page}"


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Shapes:  image uint8 (H, W, 3) RGB; depth float32 (H, W); cam_from_world (3 or 4, 4); K (3, 3);
             moving bool (H, W) or None; instances int (H, W) or None.
    Units:   depth is z in scene units, 0 or anything not finite = no measurement; K in pixels.
    Frame:   OpenCV; pixel (0, 0) is centred at (0, 0).
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    cam_from_world: NDArray[np.float64]
    K: NDArray[np.float64]
    moving: NDArray[np.bool_] | None = None
    instances: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Tracks:
    """Point tracks of a clip: xy float (S, N, 2) in pixels, visible bool (S, N)."""

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]


@dataclass(frozen=True)
class DepthOptions:
    """What is done to a depth map after decoding; the default keeps every measurement.

    `load=False` gives all-zero maps without opening a depth file. `max_depth_m` drops what is farther.
    `percentiles` is (low, high) over the valid pixels of a frame; the public training uses (1, 98).
    """

    load: bool = True
    max_depth_m: float | None = None
    percentiles: tuple[float, float] | None = None

    def apply(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map with what is not finite, not positive or not wanted set to 0."""
        kept = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        if self.max_depth_m is not None:
            kept[kept > self.max_depth_m] = 0
        if self.percentiles is not None:
            kept = percentile_filter(kept, *self.percentiles)
        return kept


class SceneDataset(ABC):
    """One official download as named sequences of numbered frames.

    Args:    root is the folder described in the subclass; `sequences` narrows the index to these names;
             sequences with fewer than `min_frames` frames are left out.
    Errors:  UserError if the folder is missing (with the download to get), the split is unknown, a named sequence is
             not there, or nothing is found.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    splits: ClassVar[tuple[str, ...]]
    split_folders: ClassVar[Mapping[str, str]] = {}
    metric: ClassVar[bool] = True

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 1,
        depth: DepthOptions | None = None,
    ) -> None:
        if split not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}; choose one of {', '.join(self.splits)}")
        self.root = Path(root)
        self.split = split
        self.depth_options = depth or DepthOptions()
        if not self.root.is_dir():
            raise self._missing(self.root)
        found = {name: numbers for name, numbers in self._scan().items() if len(numbers) >= max(1, min_frames)}
        self._numbers = self._narrow(found, sequences)
        if not self._numbers:
            raise self._missing(self.root, f"no sequence with at least {max(1, min_frames)} frames")

    @abstractmethod
    def _scan(self) -> dict[str, list[int]]:
        """Frame numbers of every sequence below the root, in increasing order."""

    @abstractmethod
    def _frame(self, sequence: str, number: int) -> Frame:
        """Decode one frame."""

    def _frames(self, sequence: str, numbers: Sequence[int]) -> dict[int, Frame]:
        """Decode several frames; loaders override it whose files hold many frames at once."""
        return {number: self._frame(sequence, number) for number in numbers}

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> Tracks | None:
        """Point tracks over these frames, None where the dataset has none."""
        return None

    def _flow(self, sequence: str, numbers: Sequence[int]) -> NDArray[np.float32] | None:
        """Flow (S - 1, H, W, 2) between frames that follow each other, None where the dataset has none."""
        return None

    @property
    def sequences(self) -> list[str]:
        """Names of the sequences, sorted."""
        return sorted(self._numbers)

    def frame_numbers(self, sequence: str) -> list[int]:
        """Frame numbers of a sequence in increasing order; the values `load` takes."""
        return list(self._known(sequence))

    def num_frames(self, sequence: str) -> int:
        """How many frames a sequence has."""
        return len(self._known(sequence))

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        """Read frames by their frame numbers, in the order given; a number may come more than once.

        Units:   see Clip; images at native resolution.
        Errors:  UserError for an unknown sequence or frame number, a missing or broken file, or frames of
                 different sizes.
        """
        return float_images(self.read(sequence, frames))

    def read(self, sequence: str, frames: Sequence[int]) -> Clip:
        """As `load`, but images are uint8 as in the files, which crop and resize several times faster.

        Note:    training frames such clips first and calls `float_images` then; anything else wants `load`.
        """
        known = set(self._known(sequence))
        unknown = [n for n in frames if n not in known]
        if unknown or not frames:
            raise UserError(
                f"{self.name}/{sequence}: frame numbers {unknown or 'none'} asked; it has {len(known)} frames "
                f"from {min(known)} to {max(known)}"
            )
        decoded = self._frames(sequence, list(dict.fromkeys(frames)))
        return self._assemble(sequence, frames, [decoded[n] for n in frames])

    def _known(self, sequence: str) -> tuple[int, ...]:
        try:
            return self._numbers[sequence]
        except KeyError:
            some = ", ".join(self.sequences[:5])
            raise UserError(f"{self.name} has no sequence {sequence!r} below {self.root}; it has {some}, ...") from None

    def _narrow(self, found: Mapping[str, list[int]], wanted: Iterable[str] | None) -> dict[str, tuple[int, ...]]:
        names = list(found) if wanted is None else list(wanted)
        absent = [name for name in names if name not in found]
        if absent:
            raise UserError(f"{self.name}: no usable sequence {', '.join(absent)} below {self.root}. {self.source}")
        return {name: tuple(found[name]) for name in names}

    def _missing(self, path: Path, why: str = "no such folder") -> UserError:
        return UserError(f"{path}: {why}. {self.source}")

    def _assemble(self, sequence: str, numbers: Sequence[int], frames: Sequence[Frame]) -> Clip:
        self._check_sizes(sequence, numbers, frames)
        tracks = self._tracks(sequence, numbers)
        follow = all(b == a + 1 for a, b in pairwise(numbers))
        flow = self._flow(sequence, numbers) if follow and len(numbers) > 1 else None
        images = torch.from_numpy(np.stack([f.image for f in frames])).permute(0, 3, 1, 2)
        return Clip(
            images=images,
            depth=torch.from_numpy(np.stack([self.depth_options.apply(f.depth) for f in frames])),
            cam_from_world=_float_tensor([f.cam_from_world[:3] for f in frames]),
            K=_float_tensor([f.K for f in frames]),
            frame_numbers=torch.tensor(list(numbers), dtype=torch.int64),
            name=f"{self.name}/{sequence}",
            dataset=self.name,
            metric=self.metric,
            moving=_stack_optional([f.moving for f in frames]),
            instances=_stack_optional([f.instances for f in frames]),
            tracks=None if tracks is None else torch.from_numpy(tracks.xy.astype(np.float32)),
            tracks_visible=None if tracks is None else torch.from_numpy(tracks.visible),
            flow=None if flow is None else torch.from_numpy(flow),
        )

    def _check_sizes(self, sequence: str, numbers: Sequence[int], frames: Sequence[Frame]) -> None:
        wanted = frames[0].image.shape[:2]
        for number, frame in zip(numbers, frames, strict=True):
            for part in (frame.image, frame.depth, frame.moving, frame.instances):
                if part is not None and part.shape[:2] != wanted:
                    raise UserError(
                        f"{self.name}/{sequence} frame {number}: a map is {part.shape[1]} x {part.shape[0]}, needed "
                        f"{wanted[1]} x {wanted[0]} as the first image; the files do not belong together"
                    )
            if not np.isfinite(frame.cam_from_world).all() or not np.isfinite(frame.K).all():
                raise UserError(f"{self.name}/{sequence} frame {number}: the camera has values that are not finite")

    @property
    def folder(self) -> Path:
        """The split's folder below the root, or the root itself if it already is that folder.

        Errors:  UserError if the root is the folder of another split, so that no split is trained on by mistake.
        """
        names = {split: self.split_folders.get(split, split) for split in self.splits}
        wanted = names[self.split]
        if (self.root / wanted).is_dir():
            return self.root / wanted
        if self.root.name in names.values() and self.root.name != wanted:
            raise UserError(f"{self.name}: {self.root} is another split's folder, split {self.split!r} was asked")
        return self.root

    def _empty_depth(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.zeros(image.shape[:2], np.float32)


def _float_tensor(matrices: Sequence[NDArray[np.float64]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(matrices).astype(np.float32))


def _stack_optional(maps: Sequence[NDArray[np.bool_] | NDArray[np.int64] | None]) -> torch.Tensor | None:
    """All maps stacked, or None unless every frame has one."""
    present = [m for m in maps if m is not None]
    return torch.from_numpy(np.stack(present)) if len(present) == len(maps) else None
