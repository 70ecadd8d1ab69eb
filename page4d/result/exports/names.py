"""Names of the files that exports write for each frame of a prediction."""

from __future__ import annotations

from page4d.io.safe_names import safe_names, safe_stems
from page4d.schema import Prediction


def file_names(prediction: Prediction) -> list[str]:
    """A file name for each frame, with its own extension where it has one; see `safe_names`."""
    return safe_names(prediction.frame_names)


def file_stems(prediction: Prediction) -> list[str]:
    """The same names without extension, for files that are made from a frame."""
    return safe_stems(prediction.frame_names)
