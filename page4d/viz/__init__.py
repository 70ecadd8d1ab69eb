"""Figures and pages from arrays; nothing here runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d.io.video import write_video as write_video
    from page4d.viz.diagrams import (
        DIAGRAMS as DIAGRAMS,
        attention_diagram as attention_diagram,
        data_flow_diagram as data_flow_diagram,
        logo as logo,
        mask_diagram as mask_diagram,
        network_diagram as network_diagram,
    )
    from page4d.viz.feature_maps import feature_figure as feature_figure, layer_slider as layer_slider
    from page4d.viz.geometry_diagrams import axes_diagram as axes_diagram, crop_diagram as crop_diagram
    from page4d.viz.hero import hero as hero
    from page4d.viz.joins import joins_figure as joins_figure
    from page4d.viz.panels import (
        Row as Row,
        clip_sheet as clip_sheet,
        contact_sheet as contact_sheet,
        pick_frames as pick_frames,
        prediction_sheet as prediction_sheet,
    )
    from page4d.viz.scene import scene_figure as scene_figure
    from page4d.viz.scores import (
        error_distribution as error_distribution,
        error_over_time as error_over_time,
        option_bars as option_bars,
        trajectory_panels as trajectory_panels,
    )
    from page4d.viz.splat import Eye as Eye
    from page4d.viz.svg import Diagram as Diagram, Drawing as Drawing
    from page4d.viz.tracks import draw_tracks as draw_tracks
    from page4d.viz.training import (
        binned_figure as binned_figure,
        curves_figure as curves_figure,
        estimates_figure as estimates_figure,
        progress_figure as progress_figure,
        schedule_figure as schedule_figure,
    )
    from page4d.viz.viewer import notebook_viewer as notebook_viewer, view as view, write_viewer as write_viewer
    from page4d.viz.viewer_data import ViewerOptions as ViewerOptions
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
