"""A still 3-D picture of a Prediction as a plotly figure: coloured points, camera frusta, trajectory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from page4d.result.cloud import Cloud, CloudOptions, cloud_of, frustum_corners, frustum_size, unit_of
from page4d.schema import Prediction, UserError

_PALETTE = 256
# A page draws these on white or nearly black: both stand out against either.
_CAMERAS, _PATH = "#3b7cc9", "#d1495b"
# Points wear the colours of the pictures; in the legend one of those may vanish against the page.
_IN_LEGEND = "#808890"


def scene_figure(
    prediction: Prediction,
    max_points: int = 20_000,
    *,
    options: CloudOptions | None = None,
    moving: NDArray[np.bool_] | None = None,
    frame: int | None = None,
    title: str | None = None,
) -> go.Figure:
    """Points of all frames (or of one) with every camera, upright although y points down.

    Shapes:  moving bool (S, H, W) or None; moving points become a trace of their own that the legend switches.
    Units:   the Prediction's unit, written on the axes.
    Frame:   OpenCV, the world is close to the first camera (x right, y down, z forward).
    Raises:  UserError if there is no valid point, or no such frame.
    """
    if frame is not None and not -len(prediction) <= frame < len(prediction):
        raise UserError(f"there is no frame {frame}; the prediction has {len(prediction)}")
    cloud = cloud_of(prediction, replace(options or CloudOptions(), max_points=None), moving)
    if frame is not None:
        cloud = cloud[cloud.frame == frame % len(prediction)]
    if len(cloud) > max_points:
        cloud = cloud[np.sort(np.random.default_rng(0).choice(len(cloud), max_points, replace=False))]
    traces = _point_traces(cloud, split=moving is not None)
    size = frustum_size(prediction, cloud.xyz)
    traces += _camera_traces(prediction, size)
    figure = go.Figure(traces)
    count = f"{len(cloud):,} points, {len(prediction)} cameras"
    _upright(figure, unit_of(prediction), title or count)
    return figure


def _point_traces(cloud: Cloud, split: bool) -> list[go.Scatter3d]:
    groups = [("points", np.ones(len(cloud), np.bool_))]
    if split:
        groups = [("static points", ~cloud.moving), ("moving points", cloud.moving)]
    there = {name: mask for name, mask in groups if mask.any()}
    entries = [_entry(name) for name in there]
    return entries + [_point_trace(cloud[mask], name) for name, mask in there.items()]


def _entry(name: str) -> go.Scatter3d:
    """A trace without points, which stands in the legend for the group of that name."""
    marker = {"size": 8, "color": _IN_LEGEND}
    return go.Scatter3d(
        x=[None], y=[None], z=[None], mode="markers", marker=marker, name=name, legendgroup=name, hoverinfo="skip"
    )


def _point_trace(cloud: Cloud, name: str) -> go.Scatter3d:
    # 256 adaptive colours as a colour scale keep the figure a third of the size of one colour string a point.
    picture = Image.fromarray(cloud.rgb[None]).quantize(_PALETTE, dither=Image.Dither.NONE)
    table = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    n = len(table)
    scale = [[i / max(n - 1, 1), f"rgb({r},{g},{b})"] for i, (r, g, b) in enumerate(table.tolist())]
    if n == 1:
        scale = [[0, scale[0][1]], [1, scale[0][1]]]
    marker = {
        "size": 2,
        "color": np.asarray(picture)[0],
        "colorscale": scale,
        "cmin": 0,
        "cmax": max(n - 1, 1),
        "showscale": False,
    }
    x, y, z = cloud.xyz.T
    return go.Scatter3d(
        x=x, y=y, z=z, mode="markers", marker=marker, name=name, legendgroup=name, showlegend=False, hoverinfo="skip"
    )


def _camera_traces(prediction: Prediction, size: float) -> list[go.Scatter3d]:
    corners = frustum_corners(prediction, size)
    order = [0, 1, 2, 0, 3, 4, 0, 1, 4, 3, 2]
    broken = np.concatenate((corners[:, order], np.full((len(corners), 1, 3), np.nan)), 1)
    x, y, z = broken.reshape(-1, 3).T
    lines = {"color": _CAMERAS, "width": 2}
    frusta = go.Scatter3d(x=x, y=y, z=z, mode="lines", line=lines, name="cameras", hoverinfo="skip")
    x, y, z = corners[:, 0].T
    path = go.Scatter3d(
        x=x, y=y, z=z, mode="lines+markers", name="camera path", line={"color": _PATH, "width": 4},
        marker={"size": 2, "color": _PATH}, text=list(prediction.frame_names),
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return [frusta, path]


def _upright(figure: go.Figure, unit: str, title: str) -> None:
    axes = {
        f"{name}axis": {"title": {"text": f"{name} {direction} ({unit})"}, "backgroundcolor": "#f6f6f4", "nticks": 5}
        for name, direction in (("x", "right"), ("y", "down"), ("z", "forward"))
    }
    # The eye stands behind, above and a little right of the first camera; up is -y.
    camera = {
        "up": {"x": 0, "y": -1, "z": 0},
        "eye": {"x": 0.45, "y": -0.75, "z": -1.95},
        "center": {"x": 0, "y": 0.2, "z": 0},
    }
    # The names of the axes need room above the legend.
    domain = {"x": [0, 1], "y": [0.06, 1]}
    scene = {**axes, "aspectmode": "data", "camera": camera, "domain": domain}
    figure.update_layout(
        title={"text": title, "font": {"size": 14}},
        scene=scene,
        legend={"orientation": "h", "y": 0, "itemsizing": "constant"},
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        height=560,
    )
