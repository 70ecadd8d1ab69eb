"""What a run leaves to read: a line of JSON a record, TensorBoard, pictures, and the progress bar."""

from __future__ import annotations

import errno
import json
import os
import platform
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.std import tqdm

from page4d.io.text_rows import text_lines
from page4d.places import json_of
from page4d.schema import MALFORMED, UserError, atomic_write
from page4d.version import code_revision

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

SCALARS, PROJECT = "scalars.jsonl", "page4d"
MOVE_AWAY = "move it away, and the run goes on without what it told of earlier starts"


class Record:
    """The log of one run folder, written by the first process only.

    Raises:  UserError if another process writes there.
    Note:    scalars.jsonl (one object a record: phase, step, iteration, values), tensorboard/, images/. Records after
             the step that a run resumes from are removed, so that nothing stands twice. `trackers` are loggers of
             accelerate, which get the same numbers and pictures; they keep what a resumed run sends twice.
    """

    def __init__(
        self,
        run_folder: Path,
        resumed_iteration: int = 0,
        tensorboard: bool = True,
        trackers: Sequence[GeneralTracker] = (),
    ) -> None:
        self.folder = Path(run_folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.held = _held(self.folder)
        self.path = self.folder / SCALARS
        before = read_scalars(self.folder) if resumed_iteration else []
        kept = [json.dumps(record) + "\n" for record in before if record.get("iteration", 0) <= resumed_iteration]
        self.path.write_text("".join(kept), encoding="utf-8")
        self.stream = self.path.open("a", encoding="utf-8")
        self.board = _board(self.folder / "tensorboard", resumed_iteration) if tensorboard else None
        self.trackers = trackers

    def scalars(self, phase: str, step: int, iteration: int, values: Mapping[str, float]) -> None:
        """Write every value with its step, to every log."""
        self.stream.write(json.dumps({"phase": phase, "step": step, "iteration": iteration, **values}) + "\n")
        self.stream.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{phase}/{name}", value, step)
        for tracker in self.trackers:
            tracker.log({f"{phase}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, name: str, step: int, image: NDArray[np.uint8]) -> None:
        """Write an RGB picture (H, W, 3) as a file and to TensorBoard."""
        from PIL import Image

        (self.folder / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(self.folder / "images" / f"{name}_{step:08d}.png")
        if self.board is not None:
            self.board.add_image(name, image, step, dataformats="HWC")
        for tracker in self.trackers:
            if hasattr(tracker, "log_images"):  # not every logger takes pictures
                tracker.log_images({name: image[None]}, step=step)

    def close(self) -> None:
        """Flush everything."""
        self.stream.close()
        self.held.close()
        if self.board is not None:
            self.board.close()
        for tracker in self.trackers:
            tracker.finish()


def _held(folder: Path) -> IO[bytes]:
    """What keeps a second run out of a folder until it is closed, or its process has ended in any way."""
    lock = (folder / ".held").open("ab")
    if os.name != "nt":
        import fcntl

        try:
            # Of this process alone: its workers may outlive it, and a run that goes on must not wait for them.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):  # others come from file systems that have no locks
                raise UserError(
                    f"another process trains in {folder}; end it first, or choose another paths.run"
                ) from None
    return lock


def open_trackers(accelerator: Accelerator, config: Mapping[str, Any]) -> list[GeneralTracker]:
    """Begin a run in every logger of `trainer.log_with`, told all settings; none on any but the first process."""
    told = {}
    for key, value in _flat(config).items():
        told[key] = value if isinstance(value, str | bool | int | float) else str(value)
    accelerator.init_trackers(PROJECT, config=told)
    return list(accelerator.trackers)


def _board(folder: Path, purge_step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step or None)


def read_scalars(run_folder: Path) -> list[dict[str, Any]]:
    """The records of a run, oldest first. A last line cut short by a kill, and any other damaged one, is left out."""
    path = Path(run_folder) / SCALARS
    if not path.is_file():
        return []
    records = []
    for line in text_lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("iteration", 0), int):
            records.append(record)
    return records


def write_run_file(run_folder: Path, values: Mapping[str, Any]) -> None:
    """Write run.json: what the run is and how it ended."""
    with atomic_write(Path(run_folder) / "run.json", "w") as stream:
        json.dump(values, stream, indent=1)


def read_run_file(run_folder: Path) -> dict[str, Any]:
    """What run.json says.

    Raises:  UserError if it is damaged.
    """
    path = Path(run_folder) / "run.json"
    try:
        values = json_of(path)
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}, expected an object")
        return values
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{path} is damaged ({error}); {MOVE_AWAY}") from error


def resumptions(run_folder: Path, step: int, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where a run was taken up again, this time included: step, code, and every setting that changed as [old, new].

    Note:  at step 0 there is none; going back to an earlier checkpoint forgets what came after it.
    """
    path = Path(run_folder) / "run.json"
    if step == 0 or not path.is_file():
        return []
    before, new = read_run_file(run_folder), _flat(config)
    try:
        old, entries = _flat(before.get("config", {})), before.get("resumed", [])
        for undone in reversed([entry for entry in entries if entry["step"] >= step]):
            old |= {key: was for key, (was, _) in undone["changed"].items()}
    except MALFORMED as error:
        raise UserError(f"{path} is damaged ({error!r}); {MOVE_AWAY}") from error
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    changed = {key: [old.get(key), new.get(key)] for key in differing}
    earlier = [entry for entry in entries if entry["step"] < step]
    return [*earlier, {"step": step, "code_revision": code_revision(), "changed": changed}]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {prefix + key: value}
    return found


def memory_gb() -> float:
    """Peak memory so far: of the GPU if there is one, of this process otherwise."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def progress_bar(total: int, start: int, shown: bool) -> Any:
    """A bar with loss, rate, remaining time and memory."""
    return tqdm(total=total, initial=start, desc="train", unit="step", disable=not shown, dynamic_ncols=True)
