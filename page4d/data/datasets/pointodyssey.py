"""PointOdyssey: long rendered videos of animated people, animals and objects, with point tracks.

Official layout of v1.2 after extraction:

    <root>/{train,val,test}/<sequence>/
      rgbs/rgb_00000.jpg
      depths/depth_00000.png        16 bit, metres = value / 65535 * 1000 (quantum 15.3 mm), z-depth
      anno.npz                      intrinsics (T, 3, 3), extrinsics (T, 4, 4) camera from world,
                                    trajs_2d (T, N, 2) px, valids (T, N), visibs (T, N), trajs_3d (T, N, 3) in the
                                    world of the cameras; five scenes hold None there
      masks/mask_00000.png          instance colours, optional

The masks tell bodies apart, but not which of them move; so there are instances and no moving mask.

Differs from the public loader: it keeps the saturated value 65535 (sky, or beyond range) as a valid point at 1000 m;
here it is invalid. It takes the last camera for frames beyond the annotation; here that is an error. It decompresses
the annotation anew for every frame; here once for a sequence. Its split argument does not choose the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import ClipTracks, Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_labels, read_png16, read_rgb
from page4d.io.arrays import holds_numbers, read_npz
from page4d.io.names import by_number, list_files
from page4d.schema import UserError

FULL_SCALE_M = 1000.0
SATURATED = 65535
# Of the 131 training scenes of v1.2 those that CUT3R's authors found to have right depth and plausible motion; they
# say that others, of all three splits, do not (github.com/CUT3R/CUT3R, issue 55).
CHECKED_SCENES = (
    "cnb_dlab_0215_3rd", "cnb_dlab_0215_ego1", "cnb_dlab_0225_3rd", "cnb_dlab_0225_ego1", "dancing",
    "dancingroom0_3rd", "footlab_3rd", "footlab_ego1", "footlab_ego2", "girl", "girl_egocentric",
    "human_egocentric", "human_in_scene", "human_in_scene1", "kg", "kg_ego1", "kg_ego2", "kitchen_gfloor",
    "kitchen_gfloor_ego1", "kitchen_gfloor_ego2", "scene1_0129", "scene1_0129_ego", "scene_carb_h_tables",
    "scene_carb_h_tables_ego1", "scene_carb_h_tables_ego2", "scene_j716_3rd", "scene_j716_ego1", "scene_j716_ego2",
    "scene_recording_20210910_S05_S06_0_3rd", "scene_recording_20210910_S05_S06_0_ego2", "seminar_h52_3rd",
    "seminar_h52_ego1", "seminar_h52_ego2",
)  # fmt: skip


@dataclass(frozen=True)
class PointOdysseyOptions:
    """`tracks=False` saves reading the trajectories, several hundred MB for a long sequence.

    `scenes="checked"` leaves out the sequences whose ground truth nobody vouches for, see `CHECKED_SCENES`.
    """

    tracks: bool = True
    scenes: Literal["all", "checked"] = "all"


class PointOdyssey(SceneDataset[PointOdysseyOptions]):
    """PointOdyssey; frame numbers are those of the files, from 0."""

    name = "pointodyssey"
    options_kind = PointOdysseyOptions
    splits = ("train", "val", "test")
    min_frames = 8
    download = Download(
        "PointOdyssey v1.2",
        "train.tar.gz, val.tar.gz, test.tar.gz",
        "well over 100 GB in all, most of it train; the page lists the archives",
        "https://pointodyssey.com",
    )

    def _scan(self) -> dict[str, list[int]]:
        scenes = [path.parent for path in sorted(self.folder.glob("*/anno.npz"))]
        if self.options.scenes == "checked":
            scenes = [scene for scene in scenes if scene.name in CHECKED_SCENES]
        return {scene.name: list(by_number(list_files(scene / "rgbs", {".jpg"}, "rgb_"))) for scene in scenes}

    @property
    def remarks(self) -> list[str]:
        """That the ground truth of some of the opened sequences is known to be wrong."""
        unchecked = [name for name in self.sequences if name not in CHECKED_SCENES]
        if not unchecked:
            return []
        return [
            f"Some scenes of PointOdyssey v1.2 have wrong ground truth. {len(unchecked)} of the {len(self.sequences)} "
            f"opened are not among the {len(CHECKED_SCENES)} that CUT3R's authors checked ({', '.join(unchecked[:3])}, "
            "...): leave them out with options.scenes=checked."
        ]

    def image_files(self, sequence: str) -> dict[int, Path]:
        """A sequence's images by frame number."""
        folder = self.folder / sequence / "rgbs"
        return {number: folder / f"rgb_{number:05d}.jpg" for number in self.frame_numbers(sequence)}

    def _annotation(self, sequence: str, *keys: str) -> list[NDArray[Any]]:
        return _stored_arrays(self.folder / sequence / "anno.npz", *keys)

    def _frame(self, sequence: str, number: int) -> Frame:
        folder = self.folder / sequence
        K, extrinsics = self._annotation(sequence, "intrinsics", "extrinsics")
        if number >= min(len(K), len(extrinsics)):
            raise UserError(f"{folder}/anno.npz has {len(K)} cameras; there is none for frame {number}")
        image = read_rgb(folder / "rgbs" / f"rgb_{number:05d}.jpg")
        read_depth = partial(_read_depth, folder / "depths" / f"depth_{number:05d}.png")
        mask = folder / "masks" / f"mask_{number:05d}.png"
        instances = read_labels(mask) if mask.is_file() else None
        return Frame(image, read_depth, extrinsics[number], K[number], instances=instances)

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> ClipTracks | None:
        if not self.options.tracks:
            return None
        xy, valid, visible = (a[list(numbers)] for a in self._annotation(sequence, "trajs_2d", "valids", "visibs"))
        return ClipTracks.of(xy, valid.astype(bool) & visible.astype(bool))

    def world_tracks(self, sequence: str, numbers: Sequence[int]) -> NDArray[np.float64] | None:
        """The release's own 3-D tracks; None for a scene that has none.

        Shapes:  -> (S, N, 3), the points of `trajs_2d` in its order; not finite where a point is not there.
        Frame:   the world of the cameras.
        Raises:  UserError for other shapes than those of `trajs_2d`, or for a frame that the file does not hold.
        Source:  github.com/y-zheng18/point_odyssey, issue 19: world coordinates.
        """
        path = self.folder / sequence / "anno.npz"
        if not holds_numbers(path, "trajs_3d"):
            return None
        xy, points = self._annotation(sequence, "trajs_2d", "trajs_3d")
        if points.shape != (*xy.shape[:2], 3) or max(numbers) >= len(points):
            raise UserError(
                f"{path} holds trajs_3d {points.shape}, asked for frame {max(numbers)}; expected {(*xy.shape[:2], 3)}"
            )
        return np.asarray(points[list(numbers)], np.float64)


def _read_depth(path: Path) -> NDArray[np.float32]:
    return decode_depth(read_png16(path))


def decode_depth(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Metres from the 16-bit values; 0 and the saturated 65535 are no measurement."""
    metres = values.astype(np.float32) / SATURATED * FULL_SCALE_M
    return np.where(values == SATURATED, 0, metres).astype(np.float32)


@lru_cache(maxsize=4)
def _stored_arrays(path: Path, *keys: str) -> list[NDArray[Any]]:
    return read_npz(path, *keys)
