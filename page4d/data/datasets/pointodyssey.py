"""PointOdyssey: long rendered videos of animated people, animals and objects, with point tracks.

Official layout of v1.2 after extraction:

    <root>/{train,val,test}/<sequence>/
      rgbs/rgb_00000.jpg
      depths/depth_00000.png        16 bit, metres = value / 65535 * 1000 (quantum 15.3 mm), z-depth
      anno.npz                      intrinsics (T, 3, 3), extrinsics (T, 4, 4) camera from world,
                                    trajs_2d (T, N, 2) px, valids (T, N), visibs (T, N)
      masks/mask_00000.png          instance colours, optional

The masks tell bodies apart, but not which of them move; so there are instances and no moving mask.

Differs from the public loader: it keeps the saturated value 65535 (sky, or beyond range) as a valid point at 1000 m;
here it is invalid. It takes the last camera for frames beyond the annotation; here that is an error. It decompresses
the annotation anew for every frame; here once for a sequence. Its split argument does not choose the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset, Source, Tracks
from page4d.data.datasets.formats import read_labels, read_npz, read_png16, read_rgb
from page4d.schema import UserError

FULL_SCALE_M = 1000.0
SATURATED = 65535


class PointOdyssey(SceneDataset):
    """PointOdyssey; `tracks=False` saves reading the trajectories, several hundred MB for a long sequence."""

    name = "pointodyssey"
    splits = ("train", "val", "test")
    source = Source(
        "PointOdyssey v1.2",
        "train.tar.gz, val.tar.gz, test.tar.gz",
        "well over 100 GB in all, most of it train; the page lists the archives",
        "https://pointodyssey.com",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 8,
        depth: DepthOptions | None = None,
        tracks: bool = True,
    ) -> None:
        self.with_tracks = tracks
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def _scan(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for annotation in sorted(self.folder.glob("*/anno.npz")):
            images = (annotation.parent / "rgbs").glob("rgb_[0-9]*.jpg")
            found[annotation.parent.name] = sorted(int(path.stem.split("_")[1]) for path in images)
        return found

    def _annotation(self, sequence: str, *keys: str) -> list[NDArray[Any]]:
        return _stored_arrays(self.folder / sequence / "anno.npz", *keys)

    def _frame(self, sequence: str, number: int) -> Frame:
        folder = self.folder / sequence
        K, extrinsics = self._annotation(sequence, "intrinsics", "extrinsics")
        if number >= min(len(K), len(extrinsics)):
            raise UserError(f"{folder}/anno.npz has {len(K)} cameras; there is none for frame {number}")
        image = read_rgb(folder / "rgbs" / f"rgb_{number:05d}.jpg")
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = decode_depth(read_png16(folder / "depths" / f"depth_{number:05d}.png"))
        mask = folder / "masks" / f"mask_{number:05d}.png"
        instances = read_labels(mask) if mask.is_file() else None
        return Frame(image, depth, extrinsics[number], K[number], instances=instances)

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> Tracks | None:
        if not self.with_tracks:
            return None
        xy, valid, visible = (a[list(numbers)] for a in self._annotation(sequence, "trajs_2d", "valids", "visibs"))
        finite = np.isfinite(xy).all(-1)
        seen = valid.astype(bool) & visible.astype(bool) & finite
        return Tracks(np.where(finite[..., None], xy, 0).astype(np.float32), seen)


def decode_depth(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Metres from the 16-bit values; 0 and the saturated 65535 are no measurement."""
    metres = values.astype(np.float32) / SATURATED * FULL_SCALE_M
    return np.where(values == SATURATED, 0, metres).astype(np.float32)


@lru_cache(maxsize=4)
def _stored_arrays(path: Path, *keys: str) -> list[NDArray[Any]]:
    return read_npz(path, *keys)
