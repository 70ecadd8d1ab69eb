"""What the demo page does with an upload, without the page: limits, one prediction, viewer and exports."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.schema import Notice, UserError

if TYPE_CHECKING:
    from page4d.model import PAGE4D

LOOPBACK = "127.0.0.1"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class DemoSettings:
    """Limits of the demo; the defaults are for one user on their own machine."""

    host: str = LOOPBACK
    port: int = 7860
    max_upload_mb: int = 200
    max_files: int = 64
    max_frames: int = 24
    queue_size: int = 8
    fps: float = 5.0
    formats: tuple[str, ...] = field(default=("ply", "glb", "colmap", "tum", "cameras"))

    def __post_init__(self) -> None:
        numbers = (self.max_upload_mb, self.max_files, self.max_frames, self.queue_size, self.fps)
        if min(numbers) <= 0 or not 0 < self.port < 65536:
            raise UserError(f"demo limits must be positive and the port 1 to 65535, got {numbers} and port {self.port}")

    @property
    def open_to_others(self) -> bool:
        """Whether other machines can reach the page."""
        return self.host not in (LOOPBACK, "localhost", "::1")


@dataclass(frozen=True)
class DemoResult:
    """The viewer's page, a zip with the exports, the prediction file and one line of text."""

    viewer: Path
    archive: Path
    prediction: Path
    summary: str


def check_upload(paths: Sequence[Path], settings: DemoSettings) -> list[Path]:
    """The uploaded files in natural order, if they are within the limits.

    Raises:  UserError for nothing, too many files, too many megabytes, or a mixture of videos and images.
    """
    from page4d.io.names import natural_key
    from page4d.io.suffixes import check_readable, is_video, picture_suffixes

    if not paths:
        raise UserError("nothing was uploaded; add images or one video")
    videos = [p for p in paths if is_video(p)]
    if videos and len(paths) > 1:
        raise UserError("upload one video alone, or only images")
    if len(paths) > settings.max_files:
        raise UserError(
            f"{len(paths)} files are more than the {settings.max_files} allowed here; upload a video instead"
        )
    size = sum(p.stat().st_size for p in paths)
    if size > settings.max_upload_mb * MEGABYTE:
        raise UserError(f"{size / MEGABYTE:.0f} MB are more than the {settings.max_upload_mb} MB allowed here")
    for path in paths:
        check_readable(path)
    strange = [p.name for p in paths if not is_video(p) and p.suffix.lower() not in picture_suffixes()]
    if strange:
        raise UserError(f"{strange[0]} is neither an image nor a video by its name")
    return sorted(paths, key=natural_key)


def run_job(
    model: PAGE4D, paths: Sequence[Path], settings: DemoSettings, root: Path, moving: str = "auto"
) -> DemoResult:
    """Predict and write viewer, exports and prediction into a new folder under `root`; earlier ones there go.

    Raises:  UserError as `check_upload`, and whatever is wrong with the files themselves; nothing is left then.
    """
    from page4d.cli.prediction_input import moving_of
    from page4d.inference import predict
    from page4d.io.frames import FrameOptions, load_frames
    from page4d.io.suffixes import is_video
    from page4d.result.exports import ExportOptions, export
    from page4d.viz.viewer import about, write_viewer
    from page4d.viz.viewer_data import ViewerOptions, recorded_fps

    files = check_upload(paths, settings)
    fps = settings.fps if is_video(files[0]) else None
    config = model.config
    options = FrameOptions("crop", config.img_size, config.patch_size, fps, settings.max_frames)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", Notice)
        frames = load_frames(files, options)
    prediction = predict(model, frames)
    for earlier in root.iterdir():
        shutil.rmtree(earlier, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        mask = moving_of(prediction, moving)
        viewer_options = ViewerOptions(title=files[0].stem, fps=recorded_fps(prediction))
        write_viewer(folder / "viewer.html", prediction, mask, viewer_options)
        prediction.save(folder / "prediction.npz")
        (folder / "exports").mkdir()
        export(
            prediction, folder / "exports", list(settings.formats), replace(ExportOptions(size="input"), moving=mask)
        )
        archive = shutil.make_archive(str(folder / "exports"), "zip", folder / "exports")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    notices = [f"Note: {one.message}" for one in told if issubclass(one.category, Notice)]
    summary = "\n".join([about(prediction), *notices])
    return DemoResult(folder / "viewer.html", Path(archive), folder / "prediction.npz", summary)
