"""The datasets of a configuration's `data` part, real or synthetic, each as something clips can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from page4d.data.configured import open_ingredients
from page4d.data.mixing import Ingredient
from page4d.data.transforms import Framing
from page4d.schema import Clip, UserError
from page4d.settings import change
from page4d.world import render_clip, sample_scene, split_config, split_seeds

SYNTHETIC_FRAMES, SYNTHETIC_SCENES, TRACKS = 24, 6, 64


class SyntheticSequences:
    """The first scenes of a split of the synthetic world as sequences of numbered frames; rendered when asked for."""

    def __init__(self, split: str, scenes: int, frames: int, world: Mapping[str, Any]) -> None:
        if scenes < 1:
            raise UserError(f"synthetic {split}: {scenes} scenes asked; expected at least 1")
        self.config = change(split_config(split), dict(world) | {"frames": frames}, "data.world")
        self.split, self.scenes = split, scenes

    @property
    def sequences(self) -> list[str]:
        """Scene numbers as names."""
        return [f"{self.split}-{number:06d}" for number in range(self.scenes)]

    def frame_numbers(self, sequence: str) -> list[int]:
        """All frames of a scene."""
        return list(range(self.config.frames))

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        """Render a scene and keep these frames.

        Raises:  UserError for a name that is no scene.
        """
        if sequence not in self.sequences:
            raise UserError(f"the synthetic world has no scene {sequence!r}; it has {self.sequences[0]}, ...")
        (seed,) = split_seeds(self.split, 1, self.sequences.index(sequence))
        clip = render_clip(sample_scene(seed, self.config), tracks=TRACKS)
        chosen = torch.tensor(list(frames))
        picked = replace(clip, flow=None, name=sequence)  # flow is between neighbours, which frames need not be
        return picked.map_tensors(lambda t: t[chosen])


def _synthetic(values: Mapping[str, Any]) -> dict[str, Ingredient]:
    splits = [str(values["split"]), *(str(name) for name in values.get("val") or {})]
    # Small training pictures show too little; the scenes are the same at any size.
    world = dict(values.get("world") or {}) | {"height": 96, "width": 128}
    framing = Framing(mode="stretch", centred=False)
    return {
        split: Ingredient(SyntheticSequences(split, SYNTHETIC_SCENES, SYNTHETIC_FRAMES, world), framing=framing)
        for split in dict.fromkeys(splits)
    }


def ingredients_from(data: Mapping[str, Any]) -> dict[str, Ingredient]:
    """Every dataset of a `data` part by name, training first, then those of `val`; weight 0 leaves one out.

    Raises:  UserError if there is none, or one cannot be opened (with the download to get).
    """
    if data.get("kind") == "synthetic":
        return _synthetic(data)
    found = open_ingredients(data)
    for name, entry in dict(data.get("val") or {}).items():
        if isinstance(entry, Mapping) and ("loader" in entry or "datasets" in entry):
            described = {key: value for key, value in entry.items() if key != "batches"}
            for key, one in open_ingredients(described, f"data.val.{name}").items():
                found[f"val-{name}" if "loader" in entry else f"val-{name}-{key}"] = one
    if not found:
        raise UserError("every dataset of the configuration has weight 0; there is nothing to look at")
    return found
