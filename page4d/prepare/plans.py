"""Bringing a planned set of files into place: resumable, idempotent, and never touching what others wrote.

Files are first completed in a staging folder beside the target. Only when all of them are there are they renamed
into place, the manifest last. A run that is interrupted leaves the staging folder, and the next run continues there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from page4d.data.association import DEPTH_WITHIN_S, POSE_WITHIN_S
from page4d.data.manifest import Manifest
from page4d.io.checksums import sha256_of
from page4d.io.names import checked_relative
from page4d.schema import UserError, atomic_write
from page4d.settings import check_values

Content = Path | bytes


@dataclass(frozen=True, kw_only=True)
class PairingOptions:
    """How far apart in time what belongs to a picture may be, in seconds, and what to do where something is missing."""

    max_pose_difference_s: float = POSE_WITHIN_S
    max_depth_difference_s: float = DEPTH_WITHIN_S
    allow_fewer: bool = False
    tolerant: bool = False

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class Plan:
    """What one prepared sequence consists of: target path relative to `folder` -> bytes or the file to copy.

    Raises:  UserError for a path that would lead out of the folder.
    """

    folder: Path
    manifest_name: str
    manifest: Manifest
    files: Mapping[str, Content]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.files:
            checked_relative(name, f"a file of {self.folder}")

    @property
    def what(self) -> str:
        """Its content in words."""
        return f"{len(self.manifest.frames)} frames" if self.manifest.frames else ", ".join(self.files)

    @property
    def staging(self) -> Path:
        return self.folder / f".{Path(self.manifest_name).stem}.part"


def _previous(plan: Plan) -> dict[str, str]:
    """What an earlier run wrote here: relative path -> SHA-256."""
    path = plan.folder / plan.manifest_name
    return Manifest.load(path).sha256 if path.exists() else {}


def _present(plan: Plan) -> Iterator[str]:
    """Files that lie where the plan writes: all of the folders that it fills, and the single files by name."""
    folders = {str(Path(name).parent) for name in plan.files} - {"."}
    for folder in sorted(folders):
        if (plan.folder / folder).is_dir():
            yield from (f"{folder}/{path.name}" for path in sorted((plan.folder / folder).iterdir()))
    yield from (name for name in plan.files if "/" not in name and (plan.folder / name).exists())


def check_target(plan: Plan, wanted: Mapping[str, str]) -> list[str]:
    """Names written by an earlier run and no longer wanted.

    Raises:  UserError if the target holds files that no earlier run wrote and that differ from what is planned.
    """
    ours, stale, foreign = _previous(plan), [], []
    for name in _present(plan):
        path = plan.folder / name
        digest = sha256_of(path) if path.is_file() else ""
        if digest == wanted.get(name):
            continue
        if digest == ours.get(name):
            stale.append(name)
        else:
            foreign.append(name)
    if foreign:
        raise UserError(
            f"{plan.folder}: {len(foreign)} files were not written by this command, or were changed since "
            f"({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''}); move them away or choose another --out"
        )
    return [name for name in stale if name not in wanted]


def _stage(plan: Plan, wanted: Mapping[str, str], tick: Callable[[], None]) -> None:
    for name, source in plan.files.items():
        target, staged = plan.folder / name, plan.staging / name
        for done in (target, staged):
            if done.is_file() and sha256_of(done) == wanted[name]:
                break
        else:
            staged.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(staged) as stream:
                if isinstance(source, bytes):
                    stream.write(source)
                else:
                    with source.open("rb") as original:
                        shutil.copyfileobj(original, stream)
        tick()


def write_plan(plan: Plan, tick: Callable[[], None] = lambda: None) -> bool:
    """Bring the planned files into place; False if everything was there already.

    Raises:  UserError as `check_target`, before anything is written.
    """
    wanted = {name: sha256_of(source) for name, source in plan.files.items()}
    stale = check_target(plan, wanted)
    manifest = replace(plan.manifest, sha256=dict(sorted(wanted.items())))
    manifest_path = plan.folder / plan.manifest_name
    complete = all((plan.folder / name).is_file() and sha256_of(plan.folder / name) == wanted[name] for name in wanted)
    if complete and not stale and manifest_path.exists() and Manifest.load(manifest_path) == manifest:
        return False
    try:
        plan.staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {plan.folder}: {error.strerror}; choose another --out") from error
    _stage(plan, wanted, tick)
    for name in wanted:
        if (plan.staging / name).is_file():
            (plan.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (plan.staging / name).replace(plan.folder / name)
    for name in stale:
        (plan.folder / name).unlink()
    manifest.save(manifest_path)
    shutil.rmtree(plan.staging)
    return True
