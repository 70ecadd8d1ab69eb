"""Datasets mixed by stated weights into clips of one shape a batch: numbered, so that a run can stop and resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Protocol

import numpy as np
import torch

from page4d.data.augmentation import ColourAugmentation
from page4d.data.sampling import BatchShape, ShapeRule, Window, WindowRule, generator
from page4d.data.transforms import Framing, float_images, mirror
from page4d.schema import Clip, UserError
from page4d.settings import DEFAULT_SEED, Between, Share, check_values


class Sequences(Protocol):
    """What a dataset must offer: named sequences of numbered frames (every loader in `page4d.data.datasets` does)."""

    @property
    def sequences(self) -> list[str]:
        """Names of the sequences."""
        ...

    def frame_numbers(self, sequence: str) -> list[int]:
        """Frame numbers of a sequence in increasing order."""
        ...

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        """The frames with these numbers, in this order, at native size."""
        ...


@dataclass(frozen=True)
class Ingredient:
    """One dataset of a mix: its weight (of any unit; only ratios count), how clips are cut and how they are framed."""

    dataset: Sequences
    weight: float = 1.0
    windows: WindowRule = field(default_factory=WindowRule)
    framing: Framing = field(default_factory=Framing)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise UserError(f"mixing weight is {self.weight}; expected 0 or more")


@dataclass(frozen=True)
class TrainingLook:
    """What is done to every clip after framing; the defaults do nothing, as evaluation wants it.

    Note:    colour is the augmentation or None; mirror the chance of a left-right mirrored scene; tracks the number
             of point tracks that every clip carries (0: none), see `choose_tracks`.
    """

    colour: ColourAugmentation | None = None
    mirror: Share = 0.0
    tracks: Annotated[int, Between(0, 100_000)] = 0

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class ClipChoice:
    """Which clip of which dataset: the name in the mix, the sequence and its frames."""

    dataset: str
    sequence: str
    window: Window


class _FrameCounts:
    """Sequences of one dataset, drawn in proportion to their number of frames."""

    def __init__(self, dataset: Sequences) -> None:
        self.names = list(dataset.sequences)
        self.numbers = {name: dataset.frame_numbers(name) for name in self.names}
        self.cumulative = np.cumsum([len(self.numbers[name]) for name in self.names])

    def draw(self, rng: np.random.Generator) -> str:
        return self.names[int(np.searchsorted(self.cumulative, rng.integers(self.cumulative[-1]), side="right"))]


class Mix:
    """Clips of several datasets, by number.

    Clip k of iteration i is a pure function of (seed, i, k): it does not matter which process or worker makes it,
    nor what was made before. Batch `index` of iteration `iteration` holds clips index * n ... index * n + n - 1.

    Raises:  UserError if there is no dataset, no weight above 0, or a dataset is empty.
    """

    def __init__(
        self,
        ingredients: Mapping[str, Ingredient],
        shapes: ShapeRule | None = None,
        look: TrainingLook | None = None,
        seed: int = DEFAULT_SEED,
        name: str = "mix",
    ) -> None:
        self.ingredients = {key: one for key, one in ingredients.items() if one.weight > 0}
        if not self.ingredients:
            raise UserError(f"the mix has no dataset with a weight above 0: {dict.fromkeys(ingredients)}")
        self.shapes = shapes or ShapeRule()
        self.look = look or TrainingLook()
        self.seed, self.name = seed, name
        self._tables = {key: _FrameCounts(one.dataset) for key, one in self.ingredients.items()}
        empty = [key for key, table in self._tables.items() if not table.names]
        if empty:
            raise UserError(f"datasets of the mix without a sequence: {', '.join(empty)}")

    @property
    def shares(self) -> dict[str, float]:
        """The chance of each dataset."""
        total = sum(one.weight for one in self.ingredients.values())
        return {key: one.weight / total for key, one in self.ingredients.items()}

    def shape(self, iteration: int) -> BatchShape:
        """The shape of all batches of an iteration."""
        return self.shapes.draw(self.seed, iteration)

    def draw(self, number: int, frames: int) -> ClipChoice:
        """The clip of `number`, for a clip length."""
        rng = generator(self.seed, "clip", number, frames)
        keys = list(self.shares)
        key = keys[int(rng.choice(len(keys), p=list(self.shares.values())))]
        sequence = self._tables[key].draw(rng)
        window = self.ingredients[key].windows.draw(self._tables[key].numbers[sequence], frames, rng)
        return ClipChoice(key, sequence, window)

    def clip(self, number: int, shape: BatchShape) -> Clip:
        """Load, frame and augment the clip of `number`."""
        choice = self.draw(number, shape.frames)
        one = self.ingredients[choice.dataset]
        rng = generator(self.seed, "look", number)
        # Loaders of files can leave 8-bit pictures as they are, which are framed several times faster.
        read = getattr(one.dataset, "read", one.dataset.load)
        clip: Clip = replace(read(choice.sequence, choice.window.frames), dataset=choice.dataset)
        zoom = (float(rng.uniform(*one.framing.zoom)), float(rng.uniform(*one.framing.zoom)))
        clip = float_images(one.framing.apply(clip, (shape.height, shape.width), zoom))
        if rng.random() < self.look.mirror:
            clip = mirror(clip)
        if self.look.colour is not None:
            clip = replace(clip, images=self.look.colour(clip.images, rng))
        return choose_tracks(clip, self.look.tracks, rng)

    def clips(self, index: int, iteration: int) -> list[Clip]:
        """Batch `index`, which belongs to `iteration`; clips are numbered so that no batch repeats another's."""
        shape = self.shape(iteration)
        first = index * self.shapes.images_per_batch
        return [self.clip(first + k, shape) for k in range(shape.clips)]


def choose_tracks(clip: Clip, count: int, rng: np.random.Generator) -> Clip:
    """Give the clip exactly `count` tracks, so that clips of any dataset stack; 0 removes them.

    Tracks seen in the first frame come first (they can be queried there), in random order; what is missing is filled
    with tracks at (0, 0) that are never visible. Coordinates that are not finite become 0 and invisible.
    """
    if count == 0:
        return replace(clip, tracks=None, tracks_visible=None)
    tracks, visible = clip.images.new_zeros(len(clip), count, 2), torch.zeros(len(clip), count, dtype=torch.bool)
    if clip.tracks is not None and clip.tracks_visible is not None:
        order = torch.from_numpy(rng.permutation(clip.tracks.shape[1]))
        order = order[torch.argsort((~clip.tracks_visible[0, order]).int(), stable=True)][:count]
        finite = clip.tracks.isfinite().all(-1)
        tracks[:, : len(order)] = torch.where(finite[..., None], clip.tracks, 0.0)[:, order]
        visible[:, : len(order)] = (clip.tracks_visible & finite)[:, order]
    return replace(clip, tracks=tracks, tracks_visible=visible)
