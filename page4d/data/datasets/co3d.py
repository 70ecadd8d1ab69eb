"""CO3D v2: turntable-like phone videos of still objects, with depth from multi-view stereo.

Official layout after extraction:

    <root>/<category>/
      frame_annotations.jgz                  gzip JSON list: image, depth, viewpoint (PyTorch3D) of every frame
      set_lists/set_lists_<subset>.json      {"train": [[sequence, frame, path], ...], "val": ..., "test": ...}
      <sequence>/images/frame000001.jpg
      <sequence>/depths/frame000001.jpg.geometric.png     16-bit PNG of half floats, times scale_adjustment
      <sequence>/depth_masks/frame000001.png              brighter than half = reliable stereo depth

With `annotations` cameras and splits are read instead from the files published with VGGT: `<category>_<split>.jgz`,
{sequence: [{"filepath", "extri" (3, 4) camera from world, "intri" (3, 3) px}, ...]}; these have no scale_adjustment.
Their pixels, as those of the official cameras they were made from, begin at the corner of the first one; here its
centre is (0, 0), so principal points are half a pixel smaller. The public loader leaves them as they are.
The quantum of the half float is 2^-11 of the depth.

Differs from the public loader: it needs the VGGT files; it ignores scale_adjustment, so that depth fits the cameras
only where that is 1; it edits whole paths by replacing "/images", also inside the root; a missing mask crashes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset, Source
from page4d.data.datasets.formats import read_half_png, read_json, read_mask, read_rgb
from page4d.data.datasets.pytorch3d_camera import opencv_camera
from page4d.schema import UserError

# The categories of the public training; the download has 51.
PUBLIC_CATEGORIES = (
    "apple", "banana", "baseballbat", "baseballglove", "bicycle", "bottle", "bowl", "broccoli", "cake", "car",
    "carrot", "couch", "cup", "donut", "frisbee", "hairdryer", "handbag", "hotdog", "kite", "laptop", "microwave",
    "motorcycle", "parkingmeter", "pizza", "sandwich", "skateboard", "stopsign", "toaster", "toybus", "toyplane",
    "toytrain", "tv", "wineglass",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One annotated frame; paths are relative to the root."""

    image: str
    depth: str
    mask: str
    depth_scale: float
    cam_from_world: NDArray[np.float64]
    K: NDArray[np.float64]


class CO3D(SceneDataset):
    """CO3D v2 sequences named `<category>/<sequence>`; frame numbers are those of the files.

    `split="all"` takes every extracted frame; train, val and test those of the set list named by `subset`.
    Annotations are read for a category when its first clip is asked for. Nothing moves: `moving` is false everywhere.
    """

    name = "co3d"
    splits = ("train", "val", "test", "all")
    metric = False
    source = Source(
        "CO3D v2",
        "the archives of the categories wanted",
        "5.5 TB for all 51 categories; 8.9 GB for the single-sequence subset",
        "https://github.com/facebookresearch/co3d",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 24,
        depth: DepthOptions | None = None,
        categories: Sequence[str] | None = None,
        subset: str = "fewview_dev",
        annotations: Path | str | None = None,
    ) -> None:
        self.categories = None if categories is None else list(categories)
        self.subset = subset
        self.annotations = None if annotations is None else Path(annotations)
        self._entries: dict[str, dict[str, dict[int, Entry]]] = {}
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def _scan(self) -> dict[str, list[int]]:
        if self.annotations is not None:
            categories = self.categories or list(PUBLIC_CATEGORIES)
            present = [c for c in categories if (self.annotations / f"{c}_{self.split}.jgz").is_file()]
            if not present:
                raise UserError(f"{self.annotations} has no <category>_{self.split}.jgz; give the folder of co3d_anno")
            return {f"{c}/{s}": sorted(frames) for c in present for s, frames in self._category(c).items()}
        categories = self.categories or sorted(p.parent.name for p in self.root.glob("*/frame_annotations.jgz"))
        found: dict[str, list[int]] = {}
        for category in categories:
            found |= self._extracted(category) if self.split == "all" else self._listed(category)
        return found

    def _extracted(self, category: str) -> dict[str, list[int]]:
        return {
            f"{category}/{folder.parent.name}": sorted(_number(path.name) for path in folder.glob("frame*.jpg"))
            for folder in sorted((self.root / category).glob("*/images"))
        }

    def _listed(self, category: str) -> dict[str, list[int]]:
        path = self.root / category / "set_lists" / f"set_lists_{self.subset}.json"
        stored = read_json(path)
        if self.split not in stored:
            raise UserError(f"{path} has {', '.join(stored)}, but no {self.split!r}")
        found: dict[str, list[int]] = {}
        for sequence, number, _ in stored[self.split]:
            found.setdefault(f"{category}/{sequence}", []).append(int(number))
        present = self._extracted(category)
        return {name: sorted(set(numbers) & set(present.get(name, ()))) for name, numbers in found.items()}

    def _category(self, category: str) -> dict[str, dict[int, Entry]]:
        if category not in self._entries:
            read = _read_official if self.annotations is None else _read_vggt
            folder = self.root / category if self.annotations is None else self.annotations
            file = "frame_annotations.jgz" if self.annotations is None else f"{category}_{self.split}.jgz"
            self._entries[category] = read(folder / file)
        return self._entries[category]

    def _frame(self, sequence: str, number: int) -> Frame:
        category, _, name = sequence.partition("/")
        entry = self._category(category).get(name, {}).get(number)
        if entry is None:
            raise UserError(f"co3d: the annotations of {category} have no frame {number} of {name}")
        image = read_rgb(self.root / entry.image)
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = read_half_png(self.root / entry.depth) * np.float32(entry.depth_scale)
            reliable = read_mask(self.root / entry.mask)
            if reliable.shape != depth.shape:
                raise UserError(f"{entry.mask} and {entry.depth} have different sizes; extract them again")
            depth = np.where(reliable, depth, 0).astype(np.float32)
        return Frame(image, depth, entry.cam_from_world, entry.K, moving=np.zeros(image.shape[:2], bool))


def _number(file_name: str) -> int:
    return int(Path(file_name).name.removeprefix("frame").split(".")[0])


def _beside(image: str) -> tuple[str, str]:
    """Depth and mask of `<category>/<sequence>/images/<name>.jpg`: only the folder next to the file changes."""
    path = Path(image)
    sequence = path.parents[1]
    depth = sequence / "depths" / f"{path.name}.geometric.png"
    return str(depth), str(sequence / "depth_masks" / f"{path.stem}.png")


def _read_official(path: Path) -> dict[str, dict[int, Entry]]:
    entries: dict[str, dict[int, Entry]] = {}
    for stored in read_json(path):
        try:
            image: str = stored["image"]["path"]
            depth: dict[str, Any] = stored.get("depth") or {}
            beside = _beside(image)
            pose, K = opencv_camera(stored["viewpoint"], stored["image"]["size"])
            entry = Entry(
                image,
                depth.get("path") or beside[0],
                depth.get("mask_path") or beside[1],
                float(depth.get("scale_adjustment") or 1.0),
                pose,
                K,
            )
            # The number in the file name: the annotation's own frame_number counts from 0 in some categories.
            entries.setdefault(stored["sequence_name"], {})[_number(image)] = entry
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{path}: an entry has no usable {error}; download the annotations again") from error
    return entries


def _read_vggt(path: Path) -> dict[str, dict[int, Entry]]:
    entries: dict[str, dict[int, Entry]] = {}
    for sequence, frames in read_json(path).items():
        for stored in frames:
            try:
                image = stored["filepath"]
                pose, K = (np.array(stored[key], np.float64) for key in ("extri", "intri"))
            except (KeyError, TypeError) as error:
                raise UserError(f"{path}: an entry of {sequence} has no usable {error}") from error
            K[:2, 2] -= 0.5
            entries.setdefault(sequence, {})[_number(image)] = Entry(image, *_beside(image), 1.0, pose, K)
    return entries
