"""The 4-D viewer: one HTML file that needs no internet, or the same page inside a notebook.

plotly would need a list of points for each frame: 12 bytes of coordinates in base64 and a colour string are 26
characters a point, so 24 frames of 200,000 points make a page of about 125 MB, twice what is allowed
(`benchmarks/viewer.py --plotly` measures it). So the page is a small WebGL programme over three.js, which is bundled;
depth and colour stay images until the graphics card lifts them.
"""

from __future__ import annotations

import html
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.result.cloud import unit_of
from page4d.schema import Prediction, UserError, atomic_write
from page4d.viz.viewer_data import ViewerOptions, viewer_data

# JPEG's own limit on a side; a strip of all frames is one picture.
_LONGEST_STRIP_PX = 65_000


def viewer_html(
    prediction: Prediction, moving: NDArray[np.bool_] | None = None, options: ViewerOptions | None = None
) -> str:
    """The whole page as text.

    Shapes:  moving bool (S, H, W) or None; with it the static background is accumulated and only moving parts change.
    Raises:  UserError if there is no valid point, a value is not finite, or there are too many frames for one page.
    """
    options = options or ViewerOptions()
    if len(prediction) * options.thumb_width > _LONGEST_STRIP_PX:
        raise UserError(
            f"{len(prediction)} frames are too many for one page (at most {_LONGEST_STRIP_PX // options.thumb_width}); "
            "show a part of them: prediction[100:200] or prediction[::4], --frames on the command line"
        )
    data = json.dumps(viewer_data(prediction, moving, options), separators=(",", ":"), allow_nan=False)
    parts = {"title": html.escape(options.title), "about": html.escape(about(prediction))}
    # `</script` in a name would end the script element around the data, `<!--<script` would swallow all that follows.
    parts["data"] = data.replace("<", "\\u003c")
    parts |= {"css": _asset("viewer.css"), "three": _asset("three.min.js")}
    parts["code"] = "".join(map(_asset, ("theme.js", "shaders.js", "splat.js", "viewer.js")))
    return re.sub(r"\$([a-z]+)", lambda match: parts[match[1]], _asset("viewer.html"))


def about(prediction: Prediction) -> str:
    """One line on where a Prediction comes from."""
    s, h, w = prediction.depth.shape
    scale: dict[str, Any] = prediction.meta.get("scale", {})
    source = f", scale from {scale['source']}" if scale.get("source") else ""
    weights = prediction.meta.get("weights") or f"weights {str(prediction.meta.get('weights_sha256', 'unknown'))[:8]}"
    return f"{s} frames of {w} x {h} px · {weights} · lengths in {unit_of(prediction)}{source}"


def write_viewer(
    path: Path | str,
    prediction: Prediction,
    moving: NDArray[np.bool_] | None = None,
    options: ViewerOptions | None = None,
) -> int:
    """Write the page whole or not at all; the size in bytes.

    Raises:  UserError as `viewer_html`, or if the folder is missing or not writable.
    """
    page = viewer_html(prediction, moving, options).encode(errors="replace")  # a folder's name may hold no text
    with atomic_write(path) as stream:
        stream.write(page)
    return len(page)


def notebook_viewer(
    prediction: Prediction,
    moving: NDArray[np.bool_] | None = None,
    options: ViewerOptions | None = None,
    height_px: int = 720,
) -> Any:
    """The page as an IPython display object: an isolated frame inside the notebook, nothing fetched.

    Note:    the page is stored in the notebook's output; the default keeps it near 2 MB (20,000 points a frame).
    """
    from IPython import display

    light = options or ViewerOptions(max_points=20_000, background_points=30_000, jpeg_quality=85)
    page = html.escape(viewer_html(prediction, moving, light), quote=True)
    style = f"width:100%;height:{height_px}px;border:1px solid #8886;border-radius:6px"
    show: Any = display.HTML
    return show(f'<div><iframe srcdoc="{page}" style="{style}" title="4-D viewer" loading="lazy"></iframe></div>')


def view(
    prediction: Prediction,
    moving: NDArray[np.bool_] | None = None,
    *,
    file: Path | str | None = None,
    options: ViewerOptions | None = None,
) -> Any:
    """Show a prediction inside a notebook or, with `file`, write it as one HTML page that any browser opens.

    Raises:  UserError as `viewer_html`, or if the folder is missing or not writable.
    """
    if file is None:
        return notebook_viewer(prediction, moving, options)
    write_viewer(file, prediction, moving, options)
    return None


def _asset(name: str) -> str:
    return (resources.files("page4d.viz") / "viewer_assets" / name).read_text(encoding="utf-8")
