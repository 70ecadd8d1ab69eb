"""Benchmarks under two protocols in one harness. Predictions in, Scores and tables out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d.evaluate.cards import exam_table as exam_table, lengths_table as lengths_table
    from page4d.evaluate.confidence_curves import sparsification as sparsification
    from page4d.evaluate.density import lengths_figure as lengths_figure
    from page4d.evaluate.depth_frames import compared_frames as compared_frames
    from page4d.evaluate.depth_scoring import depth_options as depth_options
    from page4d.evaluate.exact_scores import (
        ClipScores as ClipScores,
        held_out_clips as held_out_clips,
        held_out_scores as held_out_scores,
        mean_scores as mean_scores,
        score_clip as score_clip,
    )
    from page4d.evaluate.exam import Exam as Exam, examine as examine
    from page4d.evaluate.exam_results import (
        AIMS as AIMS,
        outcomes as outcomes,
        parts as parts,
        read_result as read_result,
        stored_table as stored_table,
    )
    from page4d.evaluate.harness import Study as Study
    from page4d.evaluate.depth_metrics import (
        DepthOptions as DepthOptions,
        align_depth as align_depth,
        apply_fit as apply_fit,
        depth_errors as depth_errors,
        error_map as error_map,
        valid_pixels as valid_pixels,
    )
    from page4d.evaluate.mask_metrics import mask_scores as mask_scores
    from page4d.evaluate.opening import (
        open_benchmark as open_benchmark,
        open_study as open_study,
        study_of as study_of,
    )
    from page4d.evaluate.planted import Planted as Planted, plant as plant
    from page4d.evaluate.points import (
        corresponding_points as corresponding_points,
        predicted_points as predicted_points,
        true_points as true_points,
    )
    from page4d.evaluate.pose import pose_errors as pose_errors
    from page4d.evaluate.protocol import (
        OPTIONS as OPTIONS,
        PUBLIC as PUBLIC,
        STANDARD as STANDARD,
        differences as differences,
        one_at_a_time as one_at_a_time,
    )
    from page4d.evaluate.real_pictures import stereo_pair as stereo_pair
    from page4d.evaluate.rules import Rules as Rules
    from page4d.evaluate.sequence import true_cameras as true_cameras
    from page4d.evaluate.statistics import (
        Effect as Effect,
        average_of as average_of,
        difference as difference,
        effect as effect,
        interval as interval,
        interval_of_means as interval_of_means,
    )
    from page4d.evaluate.study_results import guesses_on as guesses_on, trainings_text as trainings_text
    from page4d.evaluate.tables import (
        beside_quoted as beside_quoted,
        clip_table as clip_table,
        failures as failures,
        measured_on as measured_on,
        printed as printed,
        quoted_rows as quoted_rows,
        quoted_table as quoted_table,
        scores_table as scores_table,
        with_interval as with_interval,
    )
    from page4d.evaluate.verdicts import (
        beside_nothing as beside_nothing,
        beside_strongest as beside_strongest,
        between as between,
        clip_effects as clip_effects,
        exam_of as exam_of,
        marks_text as marks_text,
        share_learned_text as share_learned_text,
        standing as standing,
        standing_text as standing_text,
    )
    from page4d.evaluate.yardstick_scores import (
        angle_table as angle_table,
        depth_yardsticks as depth_yardsticks,
        pair_scores as pair_scores,
    )
    from page4d.io.trajectories import Trajectory as Trajectory, rigid_inverse as rigid_inverse
    from page4d.shipped import stored_results as stored_results
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
