"""What is done to a finished Prediction: clouds, the map to the original pixels, metric scale, motion, exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d.result.cloud import CloudOptions as CloudOptions, cloud_of as cloud_of, unit_of as unit_of
    from page4d.result.exact import prediction_from_clip as prediction_from_clip
    from page4d.result.exports import FORMATS as FORMATS, ExportOptions as ExportOptions, export as export
    from page4d.result.metric_scale import (
        MetricScale as MetricScale,
        apply_scale as apply_scale,
        scale_from_depth as scale_from_depth,
        scale_from_distance as scale_from_distance,
        scale_from_trajectory as scale_from_trajectory,
    )
    from page4d.result.motion import (
        DEFAULT_METHOD as DEFAULT_METHOD,
        MotionOptions as MotionOptions,
        geometric_score as geometric_score,
        iou as iou,
        model_score as model_score,
        moving_auc as moving_auc,
        moving_mask as moving_mask,
        patches_moving as patches_moving,
    )
    from page4d.result.original import with_intrinsics as with_intrinsics
    from page4d.result.bundle_adjustment import Refinement as Refinement, refined as refined
    from page4d.result.sightings import Sightings as Sightings, followed as followed
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
