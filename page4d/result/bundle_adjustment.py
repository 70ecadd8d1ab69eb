"""Cameras refined by bundle adjustment: what pictures say of a still world, against what the network says of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.extras import extras_named
from page4d.geometry import (
    invert,
    nearest_rotation,
    rotation_angle_deg,
    transform,
    unproject_pixels,
    world_points,
)
from page4d.measured import is_measured
from page4d.result.cloud import check_moving
from page4d.result.pixel_map import HALF_PIXEL
from page4d.result.reconstruction import Lens, Shown, reconstruction
from page4d.result.sightings import Sightings, followed
from page4d.schema import Prediction, UserError

if TYPE_CHECKING:
    import pycolmap

LEAST_SIGHTINGS = 8  # of a frame, below which its camera is not said by them
ROUNDS = (8.0, 3.0)  # after each adjustment sightings farther off than so many medians, or pixels, are left out
LEAST_PX = 1.0
CAUCHY_PX = 1.0  # where the robust loss begins to give way
# Flow follows points to a tenth of a pixel or two, and cameras that fit no closer are as right as it can say. On seven
# clips with exact cameras the reprojection error after an adjustment was 0.93 to 1.06 of what it was before, and one
# of the cameras turned by 0.2 to 0.7 degrees: along a short path so small an error passes as a turn.
GAIN = 0.8


@dataclass(frozen=True)
class Refinement:
    """What a bundle adjustment did.

    Note:    `taken` is false where its cameras fit hardly better than those that were there, which then stay.
    Units:   before_px and after_px are the median distance in pixels of the network's input between where points are
             seen and where the cameras put them; before, only the points were fitted, to the cameras as they were
             predicted.
    """

    points: int
    sightings: int
    before_px: float
    after_px: float
    turned_deg: float
    focal_change: float

    @property
    def taken(self) -> bool:
        """Whether the error fell by more than flow on pictures is unsure of."""
        return self.after_px < GAIN * self.before_px

    def record(self) -> dict[str, Any]:
        """What a Prediction's meta says of it."""
        return {"taken": self.taken} | {name: round(value, 6) for name, value in vars(self).items()}

    def words(self) -> str:
        """One line for the user."""
        if not self.taken:
            return (
                f"not refined: the cameras fit {self.points} points in {self.sightings} sightings within "
                f"{self.before_px:.2f} px already, adjusted ones within {self.after_px:.2f} px; they stay as they are"
            )
        return (
            f"refined: {self.points} points in {self.sightings} sightings, reprojection {self.before_px:.2f} -> "
            f"{self.after_px:.2f} px; cameras turned by up to {self.turned_deg:.2g} degrees, focal length "
            f"{self.focal_change:+.1%}"
        )


def refined(
    prediction: Prediction,
    sightings: Sightings | None = None,
    *,
    moving: NDArray[np.bool_] | None = None,
    camera: str = "single",
    focal: bool = False,
) -> tuple[Prediction, Refinement]:
    """The prediction with cameras that fit what its pictures show, and how well they did before and after.

    Shapes:  moving (S, H, W): what is left out; sightings in pixels of the network's input, by default corners that
             optical flow follows from frame to frame (`page4d.result.sightings`).
    Note:    the first camera stays where it is, and the median depth as large as it was: pictures do not say either.
             `camera` "single" gives all frames one focal length, "each" its own; it is refined if `focal` says so, for
             along a short path pictures hardly say it. Every depth map is scaled by what the points in it say, and
             lifted again. Cameras that fit as well as refined ones do, within what flow is unsure of, stay: see `GAIN`.
    Raises:  UserError without pycolmap, for a single frame, and where a frame shares too few points with the others.
    Source:  pycolmap's bundle adjustment, with a Cauchy loss.
    """
    with extras_named("refining cameras"):
        import pycolmap  # noqa: F401, asked for before the work begins
    if len(prediction) < 2:
        raise UserError("one frame says nothing of its camera; expected at least two frames of one scene to refine")
    if sightings is None:
        sightings = followed(prediction.images, ~check_moving(prediction, moving))
    seen = sightings.kept(_with_depth(prediction, sightings))
    for medians in ROUNDS:
        _check_enough(prediction, seen)
        problem = _Problem.of(prediction, seen, camera)
        problem.solve(focal=focal)
        error = problem.errors()
        seen = seen.kept(error <= max(medians * float(np.median(error)), LEAST_PX))
    _check_enough(prediction, seen)
    before, after = _Problem.of(prediction, seen, camera), _Problem.of(prediction, seen, camera)
    before.solve(cameras=False)
    after.solve(focal=focal)
    result = after.put_into(prediction)
    about = _summarize(prediction, result, seen, before, after)
    better = result if about.taken else prediction
    return replace(better, meta=prediction.meta | {"refined": about.record()}), about


def _with_depth(prediction: Prediction, seen: Sightings) -> NDArray[np.bool_]:
    return is_measured(_depth_at(prediction, seen))


def _depth_at(prediction: Prediction, seen: Sightings) -> NDArray[np.float64]:
    height, width = prediction.size_hw
    column, row = np.clip(np.rint(seen.pixels).astype(np.int64), 0, [width - 1, height - 1]).T
    return np.asarray(prediction.depth[seen.frame, row, column], np.float64)


def _check_enough(prediction: Prediction, seen: Sightings) -> None:
    count = np.bincount(seen.frame, minlength=len(prediction))
    poor = int(count.argmin())
    if count[poor] < LEAST_SIGHTINGS:
        raise UserError(
            f"frame {prediction.frame_names[poor]} shares {count[poor]} points with the others; expected at least "
            f"{LEAST_SIGHTINGS} to refine its camera: take frames that overlap more, or leave the cameras as they are"
        )


@dataclass(frozen=True)
class _Problem:
    """Cameras and points of a prediction as pycolmap holds them, with their sightings."""

    model: pycolmap.Reconstruction
    seen: Sightings

    @classmethod
    def of(cls, prediction: Prediction, seen: Sightings, camera: str) -> _Problem:
        height, width = prediction.size_hw
        K = prediction.K.astype(np.float64)
        shared = camera == "single"
        lenses = []
        for lens in np.median(K, axis=0)[None] if shared else K:
            parameters = [lens[0, 0], lens[1, 1], lens[0, 2] + HALF_PIXEL, lens[1, 2] + HALF_PIXEL]
            lenses.append(Lens("PINHOLE", parameters, width, height))
        images = []
        for i, pose in enumerate(prediction.cam_from_world.astype(np.float64)):
            own = seen.frame == i
            pixels = seen.pixels[own] + HALF_PIXEL
            images.append(Shown(_orthonormal(pose), 0 if shared else i, pixels, seen.point[own]))
        xyz = _first_places(prediction, seen)
        return cls(reconstruction(xyz, np.zeros((len(xyz), 3), np.uint8), lenses, images), seen)

    def solve(self, *, cameras: bool = True, focal: bool = True) -> None:
        """Fit points, and cameras unless they are to stay."""
        import pycolmap

        config = pycolmap.BundleAdjustmentConfig()
        for image in self.model.images.values():
            config.add_image(image.image_id)
            if not cameras:
                config.set_constant_rig_from_world_pose(image.frame_id)
        if cameras:
            config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
        options = pycolmap.BundleAdjustmentOptions()
        options.print_summary = False
        options.refine_focal_length = cameras and focal
        options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = CAUCHY_PX
        solver = options.ceres.solver_options
        solver.num_threads, solver.max_num_iterations, solver.function_tolerance = torch.get_num_threads(), 60, 1e-6
        adjuster = pycolmap.create_default_bundle_adjuster(options, config, self.model)
        with _quiet():
            usable = adjuster.solve().is_solution_usable()
        if not usable:
            raise UserError("bundle adjustment found no cameras that fit; leave them as they are")

    def poses(self) -> NDArray[np.float64]:
        """cam_from_world (S, 3, 4)."""
        return np.stack([image.cam_from_world().matrix() for image in self._images()])

    def intrinsics(self) -> NDArray[np.float64]:
        """K (S, 3, 3), the first pixel centred at (0, 0)."""
        K = np.stack([self.model.cameras[image.camera_id].calibration_matrix() for image in self._images()])
        K[:, :2, 2] -= HALF_PIXEL
        return K

    def _images(self) -> list[pycolmap.Image]:
        return [self.model.images[number] for number in sorted(self.model.images)]

    def places(self) -> NDArray[np.float64]:
        """The points (N, 3) in the world."""
        return np.stack([self.model.points3D[point].xyz for point in sorted(self.model.points3D)])

    def in_cameras(self) -> NDArray[np.float64]:
        """The point of every sighting in its own camera's frame: (M, 3)."""
        pose = self.poses()[self.seen.frame]
        places = self.places()[self.seen.point]
        return np.asarray(np.einsum("mij,mj->mi", pose[:, :, :3], places) + pose[:, :, 3])

    def errors(self) -> NDArray[np.float64]:
        """Distance in pixels between where every point is seen and where its camera puts it, infinite behind it."""
        local = self.in_cameras()
        put = np.einsum("mij,mj->mi", self.intrinsics()[self.seen.frame], local)
        away = np.linalg.norm(put[:, :2] / put[:, 2:] - self.seen.pixels, axis=-1)
        return np.where(local[:, 2] > 0, away, np.inf)

    def put_into(self, prediction: Prediction) -> Prediction:
        """The prediction with these cameras, in its own world and scale."""
        pose, K = self.poses(), self.intrinsics()
        ratio = self.in_cameras()[:, 2] / _depth_at(prediction, self.seen)
        scale = 1 / float(np.median(ratio))
        pose = _about_the_first(pose, prediction.cam_from_world[0].astype(np.float64), scale)
        own = np.array([np.median(ratio[self.seen.frame == i]) for i in range(len(prediction))])
        depth = (prediction.depth * (scale * own)[:, None, None]).astype(np.float32)
        lifted = world_points(torch.from_numpy(depth).double(), torch.from_numpy(K), torch.from_numpy(pose))
        return replace(
            prediction,
            cam_from_world=pose.astype(np.float32),
            K=K.astype(np.float32),
            depth=depth,
            points=lifted.float().numpy(),
            points_conf=prediction.depth_conf,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the solver's own lines about steps that it tried in vain."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


def _orthonormal(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose whose float32 rotation is one in float64, too."""
    rotation = nearest_rotation(torch.from_numpy(pose[:, :3])).numpy()
    return np.concatenate((rotation, pose[:, 3:]), 1)


def _first_places(prediction: Prediction, seen: Sightings) -> NDArray[np.float64]:
    """Where every point is by the depth of the frames that see it: the median over them, (N, 3)."""
    K, pose = (torch.from_numpy(a[seen.frame]).double() for a in (prediction.K, prediction.cam_from_world))
    depth = torch.from_numpy(_depth_at(prediction, seen))[:, None]
    local = unproject_pixels(torch.from_numpy(seen.pixels)[:, None], depth, K)
    world = transform(invert(pose), local)[:, 0].numpy()
    order = np.argsort(seen.point, kind="stable")
    ends = np.searchsorted(seen.point[order], np.arange(seen.points + 1))
    return np.stack([np.median(world[order[a:b]], axis=0) for a, b in itertools.pairwise(ends)])


def _about_the_first(pose: NDArray[np.float64], first: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Poses in a world in which the first camera is `first` and lengths are `scale` times as long."""
    relative = pose[:, :, :3] @ pose[0, :, :3].T
    moved = scale * (pose[:, :, 3] - relative @ pose[0, :, 3])
    rotation = relative @ _orthonormal(first)[:, :3]
    return np.concatenate((rotation, (moved + relative @ first[:, 3])[..., None]), -1)


def _summarize(
    prediction: Prediction, result: Prediction, seen: Sightings, before: _Problem, after: _Problem
) -> Refinement:
    was, now = (torch.from_numpy(p.cam_from_world[:, :, :3]).double() for p in (prediction, result))
    turned = rotation_angle_deg(now @ was.mT)
    focal_was, focal_now = (float(p.K[:, [0, 1], [0, 1]].mean()) for p in (prediction, result))
    before_px, after_px = (float(np.median(problem.errors())) for problem in (before, after))
    change = focal_now / focal_was - 1
    return Refinement(seen.points, len(seen), before_px, after_px, float(turned.max()), change)
