"""Checkpoints that survive anything: whole or absent, listed with their hashes, refused by name when damaged.

A run folder holds `checkpoints/manifest.json` and the files it lists. A file is written under a temporary name,
synced and renamed, then the manifest is replaced the same way. What the manifest does not list does not exist, so a
kill at any moment leaves the previous state.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import torch
from torch.torch_version import TorchVersion

from page4d.io.checksums import sha256_of
from page4d.io.names import checked_name
from page4d.places import json_of
from page4d.schema import MALFORMED, UserError, atomic_write

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class StoredFile:
    """One file of a checkpoint with its size in bytes and hash."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One checkpoint: the optimizer step it holds, its files, its metric if it was a best one, whether it still is."""

    step: int
    files: tuple[StoredFile, ...]
    metric: float | None = None
    best: bool = False


@dataclass(frozen=True)
class CheckpointList:
    """All checkpoints of a run, oldest first."""

    entries: tuple[Entry, ...] = ()
    format: int = field(default=FORMAT)

    def find(self, step: int) -> Entry | None:
        """The checkpoint of a step, if there is one."""
        return next((entry for entry in self.entries if entry.step == step), None)

    @property
    def best(self) -> Entry | None:
        """The checkpoint with the best metric so far."""
        return next((entry for entry in self.entries if entry.best), None)


def _entry(stored: dict[str, Any]) -> Entry:
    files = []
    for file in stored["files"]:
        name = checked_name(file["name"], "a file of the list")
        files.append(StoredFile(name, int(file["bytes"]), str(file["sha256"])))
    metric = None if stored["metric"] is None else float(stored["metric"])
    return Entry(int(stored["step"]), tuple(files), metric, bool(stored["best"]))


class Checkpoints:
    """The checkpoints of one run folder.

    Note:    keep is how many of the latest stay beside the best; max_shard_mb splits files (0 = one file each).
    """

    def __init__(self, run_folder: Path, keep: int = 2, max_shard_mb: int = 0) -> None:
        self.folder = Path(run_folder) / "checkpoints"
        self.keep, self.max_shard_bytes = keep, max_shard_mb * 1_000_000

    def manifest(self) -> CheckpointList:
        """What is there.

        Raises:  UserError if the manifest is damaged or of another version.
        """
        path = self.folder / MANIFEST
        if not path.is_file():
            return CheckpointList()
        try:
            stored = json_of(path)
            known = stored["format"] == FORMAT
            entries = tuple(map(_entry, stored["entries"])) if known else ()
        except (OSError, *MALFORMED) as error:
            raise UserError(f"{path} is damaged ({error}); restore it, or start a new run folder") from error
        if not known:
            raise UserError(f"{path} has format {stored['format']}, this page4d reads {FORMAT}")
        return CheckpointList(entries)

    def save(self, payload: dict[str, Any], step: int, metric: float | None = None, best: bool = False) -> Entry:
        """Write a checkpoint, list it, and remove those no longer kept.

        Raises:  UserError if the disk is full or not writable; the checkpoints before stay as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        try:
            files = self._write(payload, f"step_{step:08d}.pt")
            entry = Entry(step, files, metric, best)
            self._list(entry)
        except OSError as error:
            raise UserError(
                f"cannot save the checkpoint of step {step} in {self.folder}: {error.strerror or error}; the ones "
                "before are untouched. Free some space or lower trainer.keep and start the same command again"
            ) from error
        return entry

    def load(self, step: int | None = None) -> dict[str, Any]:
        """The payload of a step, or of the latest one.

        Raises:  UserError naming the damaged file, and the checkpoint before it, if any.
        """
        entries = self.manifest().entries
        if not entries:
            raise UserError(f"{self.folder} holds no checkpoint")
        wanted = entries[-1] if step is None else self.manifest().find(step)
        if wanted is None:
            raise UserError(f"no checkpoint of step {step} in {self.folder}; there are {[e.step for e in entries]}")
        complaint = self._damage(wanted)
        if complaint:
            earlier = [e.step for e in entries if e.step < wanted.step and not self._damage(e)]
            offer = (
                f"the one before it is whole: trainer.resume={earlier[-1]}" if earlier else "there is none before it"
            )
            raise UserError(f"checkpoint of step {wanted.step} is corrupt: {complaint}; {offer}")
        paths = [self.folder / f.name for f in wanted.files]
        whole = paths[0] if len(paths) == 1 else io.BytesIO(b"".join(path.read_bytes() for path in paths))
        # torch.__version__ is a str of its own class; a configuration may well hold it.
        with torch.serialization.safe_globals([TorchVersion]):
            return dict(torch.load(whole, map_location="cpu", weights_only=True))

    def rewind(self, step: int, metric: float | None = None) -> None:
        """Forget the checkpoints after a step, for a run that goes on from it.

        Note:    the one of `metric`, the best value up to there, is the best again, where it was kept.
        """
        entries = [e for e in self.manifest().entries if e.step <= step]
        if metric is not None:
            entries = [replace(e, best=e.metric == metric) for e in entries]
        self._write_manifest(entries)

    def _write(self, payload: dict[str, Any], name: str) -> tuple[StoredFile, ...]:
        with ExitStack() as stack:
            writer = _Splitter(self._opener(stack, name), self.max_shard_bytes)
            try:
                torch.save(payload, writer)  # type: ignore[arg-type]
            except RuntimeError as error:
                # After a failed write torch also fails to end its archive, and that error hides the first one.
                if writer.failure is None:
                    raise
                raise writer.failure from error
            return writer.files()

    def _opener(self, stack: ExitStack, name: str) -> Callable[[int], tuple[str, IO[bytes]]]:
        def open_part(number: int) -> tuple[str, IO[bytes]]:
            part = f"{name}.part{number:03d}" if self.max_shard_bytes else name
            return part, stack.enter_context(atomic_write(self.folder / part))

        return open_part

    def _list(self, entry: Entry) -> None:
        """Put the entry into the manifest, then delete the files that it no longer names."""
        before = self.manifest().entries
        entries = [e for e in before if e.step != entry.step]
        if entry.best:
            entries = [replace(e, best=False) for e in entries]
        entries.append(entry)
        kept = [e for i, e in enumerate(entries) if e.best or i >= len(entries) - self.keep]
        self._write_manifest(kept)

    def _write_manifest(self, entries: list[Entry]) -> None:
        document = {"format": FORMAT, "entries": [asdict(e) for e in entries]}
        with atomic_write(self.folder / MANIFEST, "w") as stream:
            json.dump(document, stream, indent=1)
        self._sweep()

    def _sweep(self) -> None:
        """Delete checkpoint files that the manifest does not list: leftovers of a kill, and what was not kept."""
        listed = {f.name for e in self.manifest().entries for f in e.files}
        for path in self.folder.iterdir():
            ours = re.fullmatch(r"\.?step_\d{8}\.pt(\.part\d{3})?(\..*\.part)?", path.name)
            if (ours or path.name.startswith(f".{MANIFEST}.")) and path.name not in listed:
                path.unlink(missing_ok=True)

    def _damage(self, entry: Entry) -> str:
        for stored in entry.files:
            path = self.folder / stored.name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != stored.bytes:
                return f"{path} has {path.stat().st_size} bytes, {stored.bytes} were written"
            if sha256_of(path) != stored.sha256:
                return f"the content of {path} does not match its hash"
        return ""


class _Splitter:
    """A file-like object for torch.save that hashes what passes and starts a new file every `limit` bytes."""

    def __init__(self, open_part: Callable[[int], tuple[str, IO[bytes]]], limit: int) -> None:
        self.open_part, self.limit = open_part, limit
        self.parts: list[tuple[str, IO[bytes]]] = []
        self.hashes: list[Any] = []
        self.sizes: list[int] = []
        self.failure: OSError | None = None
        self._next()

    def _next(self) -> None:
        self.parts.append(self.open_part(len(self.parts)))
        self.hashes.append(hashlib.sha256())
        self.sizes.append(0)

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self._write(memoryview(data).cast("B"))
        except OSError as error:
            self.failure = error
            raise

    def _write(self, view: memoryview) -> int:
        written = 0
        while written < len(view):
            if self.limit and self.sizes[-1] >= self.limit:
                self._next()
            room = self.limit - self.sizes[-1] if self.limit else len(view)
            piece = view[written : written + room]
            self.parts[-1][1].write(piece)
            self.hashes[-1].update(piece)
            self.sizes[-1] += len(piece)
            written += len(piece)
        return written

    def flush(self) -> None:
        self.parts[-1][1].flush()

    def files(self) -> tuple[StoredFile, ...]:
        names = [name for name, _ in self.parts]
        digests = [h.hexdigest() for h in self.hashes]
        return tuple(StoredFile(*each) for each in zip(names, self.sizes, digests, strict=True))
