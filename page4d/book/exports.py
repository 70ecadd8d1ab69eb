"""The page of export formats: what each is for, whose axes it has, what its files hold and how large they are."""

from __future__ import annotations

import inspect
from pathlib import Path
from tempfile import TemporaryDirectory

from page4d.result.exact import prediction_from_clip
from page4d.result.exports import ExportOptions, export
from page4d.result.exports.registry import writer_of
from page4d.result.formats import WRITERS, WriterPlace
from page4d.schema import Prediction, UserError
from page4d.world import split_clip

FRAMES, HEIGHT, WIDTH = 4, 196, 259
MOST = ExportOptions().cloud.max_points
OPENING = """# Export formats

Every format that `page4d export` and `page4d.export` write, from the table that the command line reads. A file with the
axes of another tool opens without a complaint, upside down; so each writer follows the tool that it writes for.
{numref}`exports-what` says what the files hold, {numref}`exports-axes` whose axes they have.
"""
SIZES = f"""Sizes were measured while this page was made, on {FRAMES} frames of {WIDTH} x {HEIGHT} pixels. Depth maps
and masks grow with pixels and frames, points with them up to the {MOST:,} that an export takes unless told otherwise,
cameras with frames alone. Pictures, which some formats point to, are yours and not counted.
"""
PICTURES = """Formats with a yes in the last column point to the pictures: give yours (`--images`), which then lie
beside the files at the size that the cameras have.
"""


def exports_page() -> str:
    """The page in MyST Markdown; the files whose sizes it tells are written while it is made."""
    clip = split_clip("dynamic-test", 3, height=HEIGHT, width=WIDTH, frames=FRAMES)
    prediction = prediction_from_clip(clip)
    options = ExportOptions(moving=None if clip.moving is None else clip.moving.numpy())
    what = [
        f"| `{name}` | {place.about} | {_holds(place)} | {written_size(prediction, name, options)} |"
        for name, place in WRITERS.items()
    ]
    axes = [f"| `{name}` | {place.axes} | {'yes' * place.reads_pictures} |" for name, place in WRITERS.items()]
    lines = [OPENING, ":::{table} What the files of each format hold, and their size.", ":name: exports-what", ""]
    lines += ["| format | for | files | size in kB |", "|---|---|---|---:|", *what, ":::", "", SIZES]
    lines += [":::{table} Axes and pixels of each format.", ":name: exports-axes", ""]
    lines += ["| format | axes and pixels | pictures |", "|---|---|---|", *axes, ":::", "", PICTURES]
    return "\n".join(lines)


def _holds(place: WriterPlace) -> str:
    """The first paragraph of what the writer says of its files."""
    told = inspect.getdoc(writer_of(place)) or ""
    return " ".join(told.partition("\n\n")[0].split())


def written_size(prediction: Prediction, name: str, options: ExportOptions) -> str:
    """What a prediction weighs in a format; "not measured" where a package for the format is missing."""
    with TemporaryDirectory() as folder:
        try:
            files = export(prediction, Path(folder), [name], options)[name]
        except UserError:
            return "not measured"
        kilobytes = sum(file.stat().st_size for file in files) / 1000
    return f"{kilobytes:.1f}" if kilobytes < 10 else f"{kilobytes:,.0f}"
