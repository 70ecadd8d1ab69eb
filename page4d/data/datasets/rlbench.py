"""RLBench: a simulated robot arm at a table, seen by fixed cameras and one on the wrist.

Two layouts. Official demonstrations, as the RLBench generator writes them:

    <root>/<task>/variation0/episodes/episode0/
      front_rgb/0.png  front_depth/0.png  front_mask/0.png     and so for the other cameras
      low_dim_obs.pkl               pickled observations; `misc` holds each camera's extrinsics, intrinsics, near, far

Depth there is a 24-bit number in R, G, B: d in [0, 1], z = near + d (far - near) (quantum (far - near) / 2^24). The
extrinsics are world from camera and the focal lengths negative; both are turned into OpenCV. The simulator puts the
principal point of a centred camera at half the width, so it counts from the image's corner; the centre of the first
pixel is (0, 0) here, and principal points are half a pixel smaller in both layouts. The pickle is read by an
unpickler that builds observations and arrays and refuses everything else, because a pickle can run any program.

Exported clips:

    <root>/<group>/camera_params.json         {"front": {"Extrinsic": (3 or 4, 4) camera from world, "Intrinsic"}}
    <root>/<group>/<clip>/front_rgb_frames/*.jpg  front_depth_npy/*.npz ("arr_0", metres)    and overhead_...

Differs from the public loader: it reads only exported clips, looks for the overhead camera one folder too high, names
the data `bonn`, and pairs images and depth by rank; here by the number in the file name.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_json, read_labels, read_rgb, reading
from page4d.io.arrays import read_npz
from page4d.io.names import by_number
from page4d.places import bytes_of
from page4d.schema import MALFORMED, UserError

CAMERAS = ("front", "overhead", "left_shoulder", "right_shoulder", "wrist")
FULL_SCALE = 2**24 - 1
_CONTAINERS = {("rlbench.demo", "Demo"), ("rlbench.backend.observation", "Observation")}
_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("builtins", "object"),
}


class _Attributes:
    """Stands for any class of RLBench: keeps the attributes, runs nothing."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


class _DemoUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CONTAINERS:
            return _Attributes
        if (module, name) in _ARRAYS:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise UserError(f"the pickle asks for {module}.{name}, which no RLBench demonstration needs; it was not run")


def read_demo(path: Path) -> list[dict[str, Any]]:
    """The `misc` dictionary of every observation of a low_dim_obs.pkl.

    Raises:  UserError if the file is damaged or asks for anything but observations and arrays.
    """
    with reading(path, "RLBench demonstration"):
        data = bytes_of(path)
    try:
        demo = _DemoUnpickler(io.BytesIO(data)).load()
        observations = demo if isinstance(demo, list) else demo._observations
        return [dict(observation.misc) for observation in observations]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{path} is no whole RLBench demonstration ({error!r}); generate or download it again"
        ) from error


@dataclass(frozen=True)
class View:
    """One camera of one episode or clip: files by frame number, and where its cameras stand."""

    camera: str
    images: dict[int, Path]
    depths: dict[int, Path]
    masks: dict[int, Path]
    cameras: Path


@dataclass(frozen=True)
class RLBenchOptions:
    """The cameras whose views are opened."""

    cameras: tuple[str, ...] = CAMERAS


class RLBench(SceneDataset[RLBenchOptions]):
    """RLBench; every camera of every episode is a sequence, `<task>/variation0/episode0/front`."""

    name = "rlbench"
    options_kind = RLBenchOptions
    splits = ("train", "val", "test")
    download = Download(
        "RLBench",
        "demonstrations made by its dataset_generator.py (or the PerAct archives), with depth",
        "about 1 GB a task with 100 episodes at 128 px and five cameras",
        "https://github.com/stepjam/RLBench",
    )

    def _scan(self) -> dict[str, list[int]]:
        self._views: dict[str, View] = {}
        self._demos: dict[Path, list[dict[str, Any]]] = {}
        for pickled in sorted(self.folder.rglob("low_dim_obs.pkl")):
            parts = [part for part in pickled.parent.relative_to(self.folder).parts if part != "episodes"]
            self._add("/".join(parts), pickled.parent, pickled, ("rgb", "depth", "mask"))
        for params in sorted(self.folder.glob("*/camera_params.json")):
            for clip in sorted(path for path in params.parent.iterdir() if path.is_dir()):
                name = f"{params.parent.name}/{clip.name}"
                self._add(name, clip, params, ("rgb_frames", "depth_npy", "mask_frames"))
        return {name: list(view.images) for name, view in self._views.items()}

    def _add(self, name: str, folder: Path, cameras: Path, kinds: tuple[str, str, str]) -> None:
        for camera in self.options.cameras:
            images, depths, masks = (by_number((folder / f"{camera}_{kind}").glob("*")) for kind in kinds)
            if images and self.selection.depth.load and images.keys() != depths.keys():
                odd = sorted(images.keys() ^ depths.keys())[:5]
                raise UserError(f"{folder}: {camera} has frames {odd} with an image or a depth file, but not both")
            if images:
                self._views[f"{name}/{camera}"] = View(camera, images, depths, masks, cameras)

    def _frame(self, sequence: str, number: int) -> Frame:
        view = self._views[sequence]
        image = read_rgb(view.images[number])
        official = view.cameras.suffix == ".pkl"
        camera = self._demo_camera(view, number) if official else _exported_camera(view)

        def read_depth() -> NDArray[np.float32]:
            path = view.depths[number]
            return unpack_depth(path, camera.near_m, camera.far_m) if official else _exported_depth(path)

        instances = read_labels(view.masks[number]) if number in view.masks else None
        return Frame(image, read_depth, camera.cam_from_world, camera.K, instances=instances)

    def _demo_camera(self, view: View, number: int) -> RLBenchCamera:
        if view.cameras not in self._demos:
            self._demos[view.cameras] = read_demo(view.cameras)
        demo = self._demos[view.cameras]
        if number >= len(demo):
            raise UserError(f"{view.cameras} has {len(demo)} observations; there is none for frame {number}")
        names = [f"{view.camera}_camera_{key}" for key in ("extrinsics", "intrinsics", "near", "far")]
        missing = [name for name in names if demo[number].get(name) is None]
        if missing:
            raise UserError(f"{view.cameras}: observation {number} has no {', '.join(missing)}")
        extrinsics, intrinsics, near, far = (np.asarray(demo[number][name], np.float64) for name in names)
        return rlbench_camera(extrinsics, intrinsics, float(near), float(far))


@dataclass(frozen=True)
class RLBenchCamera:
    """An OpenCV camera with the clipping planes its depth is scaled between."""

    cam_from_world: NDArray[np.float64]
    K: NDArray[np.float64]
    near_m: float = 0.0
    far_m: float = 1.0


def rlbench_camera(
    world_from_cam: NDArray[np.float64], K: NDArray[np.float64], near_m: float, far_m: float
) -> RLBenchCamera:
    """OpenCV camera from CoppeliaSim's: a negative focal length means that the image axis runs against the camera's."""
    signs = np.diag([np.sign(K[0, 0]), np.sign(K[1, 1]), 1.0])
    rotation = (world_from_cam[:3, :3] @ signs).T
    pose = np.hstack((rotation, -rotation @ world_from_cam[:3, 3:]))
    return RLBenchCamera(pose, from_corner(K @ signs), near_m, far_m)


def from_corner(K: NDArray[np.float64]) -> NDArray[np.float64]:
    """K of pixels that count from the image's corner, for pixels whose first one is centred at (0, 0)."""
    moved = K.copy()
    moved[:2, 2] -= 0.5
    return moved


def unpack_depth(path: Path, near_m: float, far_m: float) -> NDArray[np.float32]:
    """z-depth in metres from a 24-bit depth PNG."""
    packed = read_rgb(path).astype(np.int64) @ np.array([65536, 256, 1])
    return np.asarray(near_m + packed / FULL_SCALE * (far_m - near_m), np.float32)


def _exported_depth(path: Path) -> NDArray[np.float32]:
    (depth,) = read_npz(path, "arr_0")
    return depth.astype(np.float32)


def _exported_camera(view: View) -> RLBenchCamera:
    stored = read_json(view.cameras)
    try:
        extrinsic, intrinsic = (np.array(stored[view.camera][key], np.float64) for key in ("Extrinsic", "Intrinsic"))
    except MALFORMED as error:
        raise UserError(f"{view.cameras} has no Extrinsic and Intrinsic of {view.camera!r} ({error})") from error
    if extrinsic.shape not in ((3, 4), (4, 4)) or intrinsic.shape != (3, 3):
        raise UserError(
            f"{view.cameras}: {view.camera} has matrices {extrinsic.shape} and {intrinsic.shape}; "
            "expected Extrinsic (3 or 4, 4) and Intrinsic (3, 3)"
        )
    return RLBenchCamera(extrinsic[:3], from_corner(intrinsic))
