"""The file that says which image, depth map and pose of a prepared sequence belong together.

The public scripts leave the pairing to the order of file names, so one missing depth map shifts all that follow.
Here nothing is paired by position: a frame without depth has `depth = None`, and everything else stays in place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from page4d.places import json_of
from page4d.plausible import check_types
from page4d.schema import MALFORMED, UserError, atomic_write

MANIFEST_FORMAT = 1


@dataclass(frozen=True)
class FrameRow:
    """One frame: paths relative to the manifest's folder, stamps in seconds.

    Frame:   pose is `tx ty tz qx qy qz qw` as in the ground truth file (for TUM: world from camera; for Bonn: the
             marker body, see the loader), copied as text so that no digit is lost.
    """

    image: str
    image_s: float
    pose_s: float
    pose: str
    depth: str | None = None
    depth_s: float | None = None


@dataclass(frozen=True)
class Manifest:
    """Frames of one prepared sequence, how they were chosen, and the SHA-256 of every file written for them."""

    kind: str
    sequence: str
    frames: tuple[FrameRow, ...]
    options: dict[str, Any] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        with atomic_write(path, "w") as stream:
            json.dump({"format": MANIFEST_FORMAT} | asdict(self), stream, indent=1)
            stream.write("\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a manifest.

        Raises:  UserError if the file is missing, no manifest, or of another format version.
        """
        try:
            stored = json_of(path)
            version = stored.pop("format")
            known = version == MANIFEST_FORMAT
            frames = tuple(check_types(FrameRow(**row)) for row in stored.pop("frames")) if known else ()
            manifest = check_types(cls(frames=frames, **stored)) if known else None
        except FileNotFoundError as error:
            raise UserError(f"{path} does not exist; `page4d prepare` writes it") from error
        except (OSError, *MALFORMED) as error:
            raise UserError(f"{path} is not a manifest ({error}); run `page4d prepare` again") from error
        if manifest is None:
            raise UserError(f"{path} has manifest format {version}, this page4d reads {MANIFEST_FORMAT}; prepare again")
        return manifest
