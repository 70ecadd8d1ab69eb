"""CO3D v2: turntable-like phone videos of still objects, with depth from multi-view stereo.

Official layout after extraction:

    <root>/<category>/
      frame_annotations.jgz                  gzip JSON list: image, depth, viewpoint (PyTorch3D) of every frame
      set_lists/set_lists_<subset>.json      {"train": [[sequence, number, path], ...], "val": ..., "test": ...};
                                             the number is the annotation's, not the one in the file name
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

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import annotating, read_half_png, read_json, read_mask, read_rgb
from page4d.data.datasets.pytorch3d_camera import opencv_camera
from page4d.io.names import by_number, checked_name, checked_relative, frame_number, list_files
from page4d.schema import MALFORMED, UserError

# The categories of the public training; the download has 51.
PUBLIC_CATEGORIES = (
    "apple", "banana", "baseballbat", "baseballglove", "bicycle", "bottle", "bowl", "broccoli", "cake", "car",
    "carrot", "couch", "cup", "donut", "frisbee", "hairdryer", "handbag", "hotdog", "kite", "laptop", "microwave",
    "motorcycle", "parkingmeter", "pizza", "sandwich", "skateboard", "stopsign", "toaster", "toybus", "toyplane",
    "toytrain", "tv", "wineglass",
)  # fmt: skip


@dataclass(frozen=True)
class CO3DFrame:
    """One annotated frame; paths are relative to the root."""

    image: str
    depth: str
    mask: str
    depth_scale: float
    cam_from_world: NDArray[np.float64]
    K: NDArray[np.float64]


Annotated = dict[str, dict[int, CO3DFrame]]


@dataclass(frozen=True)
class CO3DOptions:
    """Which categories (null: all that are there), which set list, and whose cameras.

    `subset` names the set list that splits are read from; `annotations` is a folder of the files published with VGGT.
    """

    categories: tuple[str, ...] | None = None
    subset: str = "fewview_train"
    annotations: str | None = None


class CO3D(SceneDataset[CO3DOptions]):
    """CO3D v2 sequences named `<category>/<sequence>`; frame numbers are those in the file names.

    `split="all"` takes every extracted frame; train, val and test those of the set list named by `subset`.
    Annotations are read for a category when its first clip is asked for. Nothing moves: `moving` is false everywhere.
    """

    name = "co3d"
    options_kind = CO3DOptions
    splits = ("train", "val", "test", "all")
    min_frames = 24
    metric = False
    download = Download(
        "CO3D v2",
        "the archives of the categories wanted",
        "5.5 TB for all 51 categories; 8.9 GB for the single-sequence subset",
        "https://github.com/facebookresearch/co3d",
    )

    def _scan(self) -> dict[str, list[int]]:
        self._annotated: dict[str, Annotated] = {}
        found: dict[str, list[int]] = {}
        for category in self._categories():
            for sequence, frames in self._chosen(category).items():
                found[f"{category}/{sequence}"] = sorted(frames)
        return found

    def _categories(self) -> list[str]:
        options = self.options
        for name in options.categories or ():
            checked_name(name, "co3d: options.categories")
        if options.annotations is None:
            extracted = sorted(path.parent.name for path in self.root.glob("*/frame_annotations.jgz"))
            return list(options.categories or extracted)
        folder = Path(options.annotations)
        wanted = options.categories or PUBLIC_CATEGORIES
        present = [name for name in wanted if (folder / f"{name}_{self.split}.jgz").is_file()]
        if not present:
            raise UserError(f"{folder} has no <category>_{self.split}.jgz; give the folder of co3d_anno")
        return present

    def _chosen(self, category: str) -> dict[str, list[int]]:
        """Frame numbers of the split by sequence."""
        if self.options.annotations is not None:
            return {sequence: list(frames) for sequence, frames in self._annotations(category).items()}
        return self._extracted(category) if self.split == "all" else self._listed(category)

    def _extracted(self, category: str) -> dict[str, list[int]]:
        folders = sorted((self.root / category).glob("*/images"))
        return {folder.parent.name: list(by_number(list_files(folder, {".jpg"}, "frame"))) for folder in folders}

    def _listed(self, category: str) -> dict[str, list[int]]:
        """Frames of the set list that were extracted.

        Note:    an entry's own number counts annotations and is not the number in the file name: the path is.
        """
        path = self.root / category / "set_lists" / f"set_lists_{self.options.subset}.json"
        stored = read_json(path)
        if not isinstance(stored, dict) or self.split not in stored:
            raise UserError(f"{path} holds no list {self.split!r}; download the set lists again")
        present = {sequence: set(numbers) for sequence, numbers in self._extracted(category).items()}
        found: dict[str, list[int]] = {}
        try:
            listed = [(str(sequence), frame_number(str(image))) for sequence, _, image in stored[self.split]]
        except MALFORMED as error:
            raise UserError(f"{path}: {error}; expected entries of sequence, number and image path") from error
        for sequence, number in listed:
            if number in present.get(sequence, ()):
                found.setdefault(sequence, []).append(number)
        return found

    def image_files(self, sequence: str) -> dict[int, Path]:
        """A sequence's images by frame number, in increasing order."""
        category, _, name = sequence.partition("/")
        numbers = set(self.frame_numbers(sequence))
        folder = self.root / category / name / "images"
        files = by_number(list_files(folder, {".jpg"}, "frame"))
        return {number: path for number, path in files.items() if number in numbers}

    def cameras(self, sequence: str) -> dict[int, NDArray[np.float64]]:
        """Camera from world (3 or 4, 4) of a sequence's annotated frames by frame number, OpenCV axes."""
        category, _, name = sequence.partition("/")
        annotated = self._annotations(category).get(name, {})
        return {number: annotated[number].cam_from_world for number in self.frame_numbers(sequence)}

    def _annotations(self, category: str) -> Annotated:
        if category not in self._annotated:
            self._annotated[category] = self._read_annotations(category)
        return self._annotated[category]

    def _read_annotations(self, category: str) -> Annotated:
        if self.options.annotations is None:
            return _read_official(self.root / category / "frame_annotations.jgz")
        return _read_vggt(Path(self.options.annotations) / f"{category}_{self.split}.jgz")

    def _frame(self, sequence: str, number: int) -> Frame:
        category, _, name = sequence.partition("/")
        stored = self._annotations(category).get(name, {}).get(number)
        if stored is None:
            raise UserError(f"co3d: the annotations of {category} have no frame {number} of {name}")
        image = read_rgb(self.root / stored.image)
        still = np.zeros(image.shape[:2], bool)
        return Frame(image, partial(self._read_depth, stored), stored.cam_from_world, stored.K, moving=still)

    def _read_depth(self, stored: CO3DFrame) -> NDArray[np.float32]:
        depth = read_half_png(self.root / stored.depth) * np.float32(stored.depth_scale)
        reliable = read_mask(self.root / stored.mask)
        if reliable.shape != depth.shape:
            raise UserError(f"{stored.mask} and {stored.depth} have different sizes; extract them again")
        return np.where(reliable, depth, 0).astype(np.float32)


def _beside(image: str) -> tuple[str, str]:
    """Depth and mask of `<category>/<sequence>/images/<name>.jpg`: only the folder next to the file changes."""
    path = Path(image)
    sequence = path.parents[1]
    depth = sequence / "depths" / f"{path.name}.geometric.png"
    return str(depth), str(sequence / "depth_masks" / f"{path.stem}.png")


def _read_official(path: Path) -> Annotated:
    """Annotated frames by sequence and the number in the file name."""
    found: Annotated = {}
    with annotating(path):
        for stored in read_json(path):
            frame = _official_frame(stored, str(path))
            found.setdefault(stored["sequence_name"], {})[frame_number(frame.image)] = frame
    return found


def _official_frame(stored: dict[str, Any], place: str) -> CO3DFrame:
    image = checked_relative(str(stored["image"]["path"]), place)
    about: dict[str, Any] = stored.get("depth") or {}
    depth_beside, mask_beside = _beside(image)
    depth = checked_relative(str(about.get("path") or depth_beside), place)
    mask = checked_relative(str(about.get("mask_path") or mask_beside), place)
    scale = float(about.get("scale_adjustment") or 1.0)
    pose, K = opencv_camera(stored["viewpoint"], stored["image"]["size"])
    return CO3DFrame(image, depth, mask, scale, pose, K)


def _read_vggt(path: Path) -> Annotated:
    found: Annotated = {}
    with annotating(path):
        for sequence, frames in read_json(path).items():
            found[sequence] = dict(_vggt_frame(stored, str(path)) for stored in frames)
    return found


def _vggt_frame(stored: dict[str, Any], place: str) -> tuple[int, CO3DFrame]:
    image = checked_relative(str(stored["filepath"]), place)
    pose, K = (np.array(stored[key], np.float64) for key in ("extri", "intri"))
    K[:2, 2] -= 0.5
    depth, mask = _beside(image)
    return frame_number(image), CO3DFrame(image, depth, mask, 1.0, pose, K)
