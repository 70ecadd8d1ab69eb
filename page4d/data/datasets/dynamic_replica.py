"""Dynamic Replica: rendered stereo videos of people and animals in Replica rooms.

Official layout:

    <root>/{train,valid,test}/
      frame_annotations_<split>.jgz            gzip JSON list, one entry for each frame and camera
      <id>_obj_source_left/, ..._right/
        images/<dir>-0000.png                  hyphen before the index
        depths/<dir>_0000.geometric.png        underscore; 16-bit PNG whose bits are half floats, metres, z-depth
        masks/<dir>_0000.png                   white where a person or an animal is, optional: the moving mask
        trajectories/000000.pth                traj_2d (N, 3) px, verts_inds_vis (N,), optional, left camera only

Only people and animals move in these rooms, so the foreground is what moves. `instance_id_maps/` is not read: how ids
are encoded there is not documented. Which files belong to a frame, and its camera, is read from the annotation;
nothing is taken from directory names. The quantum of the half float is 2^-11 of the depth (0.05 %).
Cameras count pixels from the corner of the first one and are moved to its centre; from where `traj_2d` counts is not
documented, so tracks are taken as they are.

Differs from the public loader: it raises holes to 1e-5 m, which then count as points at the camera; here they are
0. It looks for annotations at the authors' own path, chosen by a substring of the root, wants `val` for the official
`valid`, and swallows a failure to read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.data.datasets.base import ClipTracks, Download, Frame, SceneDataset
from page4d.data.datasets.formats import annotating, read_half_png, read_json, read_mask, read_rgb, reading
from page4d.data.datasets.pytorch3d_camera import opencv_camera
from page4d.io.names import checked_relative
from page4d.schema import UserError


@dataclass(frozen=True)
class ReplicaFrame:
    """What an annotation says of one frame; paths are relative to the split's folder."""

    image: str
    size_hw: tuple[int, int]
    depth: str
    depth_scale: float
    viewpoint: Mapping[str, Any]
    mask: str | None
    trajectories: str | None


@dataclass(frozen=True)
class DynamicReplicaOptions:
    """`camera` is left, right or both; `tracks=False` leaves the trajectories unread."""

    camera: Literal["left", "right", "both"] = "both"
    tracks: bool = True


class DynamicReplica(SceneDataset[DynamicReplicaOptions]):
    """Dynamic Replica; frame numbers are those of the annotation. `val` is accepted for `valid`."""

    name = "dynamic_replica"
    options_kind = DynamicReplicaOptions
    splits = ("train", "valid", "test")
    split_aliases = {"val": "valid"}  # noqa: RUF012
    min_frames = 8
    download = Download(
        "Dynamic Replica",
        "the train, valid or test split with its links.json script",
        "1.8 TB, 106 GB or 328 GB after extraction",
        "https://github.com/facebookresearch/dynamic_stereo",
    )

    def _scan(self) -> dict[str, list[int]]:
        self._annotated = self._read_annotation()
        found: dict[str, list[int]] = {}
        for name, frames in self._annotated.items():
            present = self._present(self.folder / name)
            found[name] = sorted(n for n, frame in frames.items() if Path(frame.image).name in present)
        return found

    def image_files(self, sequence: str) -> dict[int, Path]:
        """A sequence's images by frame number."""
        annotated = self._annotated[sequence]
        return {number: self.folder / annotated[number].image for number in self.frame_numbers(sequence)}

    def _read_annotation(self) -> dict[str, dict[int, ReplicaFrame]]:
        """Annotated frames by sequence and frame number."""
        file = f"frame_annotations_{self.split}.jgz"
        path = next((p for p in (self.folder / file, self.root / file) if p.is_file()), None)
        if path is None:
            raise self._missing(self.folder, f"no {file}")
        found: dict[str, dict[int, ReplicaFrame]] = {}
        with annotating(path):
            for stored in read_json(path):
                if self.options.camera in ("both", stored.get("camera_name", "left")):
                    frame = _annotated_frame(stored, path)
                    found.setdefault(Path(frame.image).parts[0], {})[int(stored["frame_number"])] = frame
        return found

    @staticmethod
    def _present(folder: Path) -> set[str]:
        """Names of the images that were extracted; a split may be downloaded in parts."""
        images = folder / "images"
        return {path.name for path in images.iterdir()} if images.is_dir() else set()

    def _frame(self, sequence: str, number: int) -> Frame:
        folder, stored = self.folder, self._annotated[sequence][number]
        image = read_rgb(folder / stored.image)
        pose, K = opencv_camera(stored.viewpoint, stored.size_hw)
        read_depth = partial(_read_depth, folder / stored.depth, stored.depth_scale)
        mask = folder / stored.mask if stored.mask else None
        moving = read_mask(mask) if mask is not None and mask.is_file() else None
        return Frame(image, read_depth, pose, K, moving)

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> ClipTracks | None:
        paths = [self._annotated[sequence][n].trajectories for n in numbers]
        files = [self.folder / path for path in paths if path is not None]
        if not self.options.tracks or len(files) < len(paths) or not all(file.is_file() for file in files):
            return None
        stored = [read_trajectories(file) for file in files]
        counts = sorted({len(xy) for xy, _ in stored})
        if len(counts) > 1:
            raise UserError(
                f"{files[0].parent}: frames have {counts[0]} to {counts[-1]} points; they do not belong together"
            )
        xy, seen = zip(*stored, strict=True)
        return ClipTracks.of(np.stack(xy), np.stack(seen))


def _read_depth(path: Path, scale: float) -> NDArray[np.float32]:
    return read_half_png(path) * np.float32(scale)


def _annotated_frame(stored: Mapping[str, Any], path: Path) -> ReplicaFrame:
    image = checked_relative(str(stored["image"]["path"]), str(path))
    height, width = stored["image"]["size"]
    about: Mapping[str, Any] = stored.get("depth") or {}
    depth = checked_relative(str(about.get("path") or _depth_beside(image)), str(path))
    scale = float(about.get("scale_adjustment") or 1.0)
    mask, trajectories = (_optional_path(stored, kind, path) for kind in ("mask", "trajectories"))
    size = int(height), int(width)
    return ReplicaFrame(image, size, depth, scale, stored["viewpoint"], mask, trajectories)


def _optional_path(stored: Mapping[str, Any], name: str, place: Path) -> str | None:
    path = (stored.get(name) or {}).get("path")
    return None if path is None else checked_relative(str(path), str(place))


def _depth_beside(image: str) -> str:
    """`<dir>/depths/<dir>_0000.geometric.png` for `<dir>/images/<dir>-0000.png`."""
    folder, name = Path(image).parts[0], Path(image).stem
    return f"{folder}/depths/{folder}_{name.rsplit('-', 1)[1]}.geometric.png"


def read_trajectories(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pixels (N, 2) and visibility (N,) of the points of one frame.

    Raises:  UserError if the file is damaged, or holds anything but tensors of these shapes.
    """
    with reading(path, "trajectories"):
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            xy, seen = stored["traj_2d"][:, :2].numpy(), stored["verts_inds_vis"].numpy().astype(bool)
        except Exception as error:  # torch raises pickle, zip and runtime errors for damaged files
            raise UserError(f"{path} holds no trajectories ({error}); extract it again") from error
    if xy.ndim != 2 or seen.shape != xy.shape[:1]:
        raise UserError(f"{path} holds points {xy.shape} and visibilities {seen.shape}; extract it again")
    return xy, seen
