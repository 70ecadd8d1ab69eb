"""What all dataset loaders share: an index of sequences and frames, and the assembly of a Clip.

A loader answers three questions about one official download: which sequences there are, which frame numbers each
has, and what one frame holds. Everything else (windows, crops, augmentation, mixing) is built on these answers and
is the same for every dataset.

Frames are named by their **frame number**, the number the dataset itself uses (Sintel counts from 1, Kubric from 0),
never by a position in a list, so that a missing file cannot shift the pairing of the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.data.datasets.formats import annotating
from page4d.data.depth_filter import percentile_filter
from page4d.data.transforms import float_images
from page4d.io.trajectories import check_rigid
from page4d.measured import is_measured
from page4d.result.original import check_intrinsics
from page4d.schema import Clip, UserError
from page4d.settings import check_values

Options = TypeVar("Options")


@dataclass(frozen=True)
class Download:
    """Where the original files come from, for the message a user gets who does not have them yet."""

    title: str
    files: str
    size: str
    page: str

    def __str__(self) -> str:
        return f"{self.title}: download {self.files} ({self.size}) from {self.page}"


@dataclass(frozen=True)
class Frame:
    """One decoded frame; its depth map is decoded when `read_depth` is called, None where the frame has none.

    Shapes:  image uint8 (H, W, 3) RGB; depth float32 (H, W); cam_from_world (3 or 4, 4); K (3, 3);
             moving bool (H, W) or None; instances int (H, W) or None.
    Units:   depth is z in scene units, 0 or anything not finite = no measurement; K in pixels.
    Frame:   OpenCV; pixel (0, 0) is centred at (0, 0).
    """

    image: NDArray[np.uint8]
    read_depth: Callable[[], NDArray[np.float32]] | None
    cam_from_world: NDArray[np.float64]
    K: NDArray[np.float64]
    moving: NDArray[np.bool_] | None = None
    instances: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ClipTracks:
    """Point tracks of a clip: xy float (S, N, 2) in pixels, visible bool (S, N)."""

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]

    @classmethod
    def of(cls, xy: NDArray[np.floating[Any]], seen: NDArray[Any]) -> ClipTracks:
        """Tracks from stored arrays: coordinates that are not finite become 0 and invisible."""
        finite = np.isfinite(xy).all(-1)
        usable = np.where(finite[..., None], xy, 0).astype(np.float32)
        return cls(usable, np.ascontiguousarray(seen.astype(bool) & finite))


@dataclass(frozen=True)
class DepthRule:
    """What is kept of a depth map; the default keeps every measurement.

    Note:    `load=False` gives all-zero maps without opening a depth file; `max_depth_m` drops what is farther;
             `percentiles` is (low, high) over the valid pixels of a frame, in the public training (1, 98).
    Raises:  UserError for a limit that is not positive, or percentiles out of order.
    """

    load: bool = True
    max_depth_m: float | None = None
    percentiles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.max_depth_m is not None and not self.max_depth_m > 0:
            raise UserError(f"max_depth_m is {self.max_depth_m}; expected a positive depth, or null to keep all")
        if self.percentiles is not None and not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise UserError(f"depth percentiles are {self.percentiles}; expected 0 <= low < high <= 100")

    def apply(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map with what is not finite, not positive or not wanted set to 0."""
        kept = np.where(is_measured(depth), depth, 0).astype(np.float32)
        if self.max_depth_m is not None:
            kept[kept > self.max_depth_m] = 0
        if self.percentiles is not None:
            kept = percentile_filter(kept, *self.percentiles)
        return kept


@dataclass(frozen=True)
class ClipSelection:
    """Which part of a download is opened and what is read of its frames; None is the dataset's own default.

    Note:    `sequences` narrows the index to these names; shorter ones than `min_frames` are left out.
    """

    split: str | None = None
    sequences: tuple[str, ...] | None = None
    min_frames: int | None = None
    depth: DepthRule = field(default_factory=DepthRule)

    def __post_init__(self) -> None:
        if self.min_frames is not None and self.min_frames < 1:
            raise UserError(f"min_frames is {self.min_frames}; expected at least 1")


class SceneDataset(ABC, Generic[Options]):
    """One official download as named sequences of numbered frames.

    A subclass describes its folder, names its options, and says what there is (`_scan`) and what a frame holds
    (`_frame`). The first of its splits is the default.

    Raises:  UserError if the folder is missing (with the download to get), the split is unknown, a named sequence is
             not there, or nothing is found.
    """

    name: ClassVar[str]
    download: ClassVar[Download]
    options_kind: ClassVar[type[Any]]
    splits: ClassVar[tuple[str, ...]]
    split_aliases: ClassVar[Mapping[str, str]] = {}
    split_folders: ClassVar[Mapping[str, str]] = {}
    min_frames: ClassVar[int] = 1
    metric: ClassVar[bool] = True

    def __init__(
        self, root: Path | str, selection: ClipSelection | None = None, options: Options | None = None
    ) -> None:
        self.root = Path(root)
        self.selection = selection or ClipSelection()
        self.options: Options = self.options_kind() if options is None else options
        check_values(self.options, f"{self.name}: ")
        self.split = self._known_split(self.selection.split)
        if not self.root.is_dir():
            raise self._missing(self.root)
        with annotating(self.root):
            self._numbers = self._narrow(self._scan())

    @abstractmethod
    def _scan(self) -> dict[str, list[int]]:
        """Frame numbers of every sequence below the root, in increasing order."""

    @abstractmethod
    def _frame(self, sequence: str, number: int) -> Frame:
        """Decode one frame."""

    def _frames(self, sequence: str, numbers: Sequence[int]) -> dict[int, Frame]:
        """Decode several frames; loaders override it whose files hold many frames at once."""
        return {number: self._frame(sequence, number) for number in numbers}

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> ClipTracks | None:
        """Point tracks over these frames, None where the dataset has none."""
        return None

    def _flow(self, sequence: str, numbers: Sequence[int]) -> NDArray[np.float32] | None:
        """Flow (S - 1, H, W, 2) between frames that follow each other, None where the dataset has none."""
        return None

    @property
    def sequences(self) -> list[str]:
        """Names of the sequences, sorted."""
        return sorted(self._numbers)

    @property
    def remarks(self) -> list[str]:
        """What is known to be wrong with the sequences that were opened, one sentence each."""
        return []

    def frame_numbers(self, sequence: str) -> list[int]:
        """Frame numbers of a sequence in increasing order; the values `load` takes."""
        return list(self._known(sequence))

    def num_frames(self, sequence: str) -> int:
        """How many frames a sequence has."""
        return len(self._known(sequence))

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        """Read frames by their frame numbers, in the order given; a number may come more than once.

        Units:   see Clip; images at native resolution.
        Raises:  UserError for an unknown sequence or frame number, a missing or broken file, or frames of
                 different sizes.
        """
        return float_images(self.read(sequence, frames))

    def read(self, sequence: str, frames: Sequence[int]) -> Clip:
        """As `load`, but images are uint8 as in the files, which crop and resize several times faster.

        Note:    training frames such clips first and calls `float_images` then; anything else wants `load`.
        """
        self._check_numbers(sequence, frames)
        distinct = list(dict.fromkeys(frames))
        with annotating(f"{self.name}/{sequence} below {self.root}"):
            decoded = self._frames(sequence, distinct)
            depth = {number: self._depth(frame) for number, frame in decoded.items()}
            self._check_sizes(sequence, decoded, depth)
            chosen = [decoded[number] for number in frames]
            return self._assemble(sequence, frames, chosen, [depth[number] for number in frames])

    def _known_split(self, asked: str | None) -> str:
        split = self.splits[0] if asked is None else self.split_aliases.get(asked, asked)
        if split not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}; choose one of {', '.join(self.splits)}")
        return split

    def _known(self, sequence: str) -> tuple[int, ...]:
        try:
            return self._numbers[sequence]
        except KeyError:
            some = ", ".join(self.sequences[:5])
            raise UserError(f"{self.name} has no sequence {sequence!r} below {self.root}; it has {some}, ...") from None

    def _check_numbers(self, sequence: str, frames: Sequence[int]) -> None:
        known = set(self._known(sequence))
        unknown = [n for n in frames if n not in known]
        if unknown or not frames:
            raise UserError(
                f"{self.name}/{sequence}: frame numbers {unknown or 'none'} asked; it has {len(known)} frames "
                f"from {min(known)} to {max(known)}"
            )

    def _narrow(self, found: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
        least = max(1, self.selection.min_frames or self.min_frames)
        usable = {name: tuple(numbers) for name, numbers in found.items() if len(numbers) >= least}
        wanted = self.selection.sequences
        names = usable.keys() if wanted is None else wanted
        absent = [name for name in names if name not in usable]
        if absent:
            there = ", ".join(sorted(usable.keys() & set(names))) or "none of them"
            raise UserError(
                f"{self.name}: no usable sequence {', '.join(absent)} below {self.root}. {self.download}. There is "
                f"{there}; `sequences` may name fewer, as data.sequences=[...] does"
            )
        if not names:
            raise self._missing(self.root, f"no sequence with at least {least} frames in split {self.split!r}")
        return {name: usable[name] for name in names}

    def _missing(self, path: Path, why: str = "no such folder") -> UserError:
        return UserError(f"{path}: {why}. {self.download}")

    def _depth(self, frame: Frame) -> NDArray[np.float32]:
        """A frame's depth map as the selection wants it; all zero where it has none or none is wanted."""
        rule = self.selection.depth
        if frame.read_depth is None or not rule.load:
            return np.zeros(frame.image.shape[:2], np.float32)
        return rule.apply(frame.read_depth())

    def _assemble(
        self, sequence: str, numbers: Sequence[int], frames: Sequence[Frame], depth: Sequence[NDArray[np.float32]]
    ) -> Clip:
        images = torch.from_numpy(np.stack([frame.image for frame in frames])).permute(0, 3, 1, 2)
        poses = _float_tensor([frame.cam_from_world[:3] for frame in frames])
        K = _float_tensor([frame.K for frame in frames])
        order = torch.tensor(list(numbers), dtype=torch.int64)
        clip = Clip(images, torch.from_numpy(np.stack(depth)), poses, K, order, f"{self.name}/{sequence}", self.name)
        moving = _stack_optional([frame.moving for frame in frames])
        instances = _stack_optional([frame.instances for frame in frames])
        clip = replace(clip, metric=self.metric, moving=moving, instances=instances)
        return self._with_motion(clip, sequence, numbers)

    def _with_motion(self, clip: Clip, sequence: str, numbers: Sequence[int]) -> Clip:
        """The clip with tracks, and with flow where its frames follow each other, as far as the dataset has them."""
        tracks = self._tracks(sequence, numbers)
        if tracks is not None:
            xy, visible = torch.from_numpy(tracks.xy.astype(np.float32)), torch.from_numpy(tracks.visible)
            clip = replace(clip, tracks=xy, tracks_visible=visible)
        follow = len(numbers) > 1 and all(b == a + 1 for a, b in pairwise(numbers))
        flow = self._flow(sequence, numbers) if follow else None
        return clip if flow is None else replace(clip, flow=torch.from_numpy(flow))

    def _check_sizes(
        self, sequence: str, frames: Mapping[int, Frame], depth: Mapping[int, NDArray[np.float32]]
    ) -> None:
        height, width = next(iter(frames.values())).image.shape[:2]
        for number, frame in frames.items():
            place = f"{self.name}/{sequence} frame {number}"
            for part in (frame.image, depth[number], frame.moving, frame.instances):
                if part is not None and part.shape[:2] != (height, width):
                    raise UserError(
                        f"{place}: a map is {part.shape[1]} x {part.shape[0]}, expected {width} x {height} as the "
                        "first image; the files do not belong together"
                    )
            if not np.isfinite(frame.cam_from_world).all():
                raise UserError(f"{place}: the camera has values that are not finite")
            check_rigid(frame.cam_from_world[None], place)
            with annotating(place):
                check_intrinsics(frame.K)

    @property
    def folder(self) -> Path:
        """The split's folder below the root, or the root itself if it already is that folder.

        Raises:  UserError if the root is the folder of another split, so that no split is trained on by mistake.
        """
        names = {split: self.split_folders.get(split, split) for split in self.splits}
        wanted = names[self.split]
        if (self.root / wanted).is_dir():
            return self.root / wanted
        if self.root.name in names.values() and self.root.name != wanted:
            raise UserError(f"{self.name}: {self.root} is another split's folder, split {self.split!r} was asked")
        return self.root


def _float_tensor(matrices: Sequence[NDArray[np.float64]]) -> Tensor:
    return torch.from_numpy(np.stack(matrices).astype(np.float32))


def _stack_optional(maps: Sequence[NDArray[np.bool_] | NDArray[np.int64] | None]) -> Tensor | None:
    """All maps stacked, or None unless every frame has one."""
    present = [m for m in maps if m is not None]
    return torch.from_numpy(np.stack(present)) if len(present) == len(maps) else None
