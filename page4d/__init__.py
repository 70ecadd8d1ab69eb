"""PAGE-4D: cameras, depth and points of moving scenes from plain images.

    import page4d
    model = page4d.PAGE4D.from_pretrained("tiny")
    prediction = page4d.predict(model, ["a.jpg", "b.jpg"])

The names below are imported on first use, so that `import page4d` and the command line's help stay quick. The rooms
`page4d.data`, `.world`, `.geometry` and so on are doors of the same kind: chapters and users import from these alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d import (
        check as check,
        data as data,
        evaluate as evaluate,
        features as features,
        geometry as geometry,
        losses as losses,
        model as model,
        prepare as prepare,
        result as result,
        train as train,
        viz as viz,
        world as world,
    )
    from page4d.book.parameters import check_parameters as check_parameters
    from page4d.geometry import (
        closed_form_inverse_se3 as closed_form_inverse_se3,
        extri_intri_to_pose_encoding as extri_intri_to_pose_encoding,
        pose_encoding_to_extri_intri as pose_encoding_to_extri_intri,
        unproject_depth_map_to_point_map as unproject_depth_map_to_point_map,
    )
    from page4d.inference import predict as predict
    from page4d.io.frames import FrameOptions as FrameOptions, load_frames as load_frames
    from page4d.io.images import (
        load_and_preprocess_images as load_and_preprocess_images,
        load_and_preprocess_images_square as load_and_preprocess_images_square,
        load_images as load_images,
    )
    from page4d.model import PAGE4D as PAGE4D, PAGE4DConfig as PAGE4DConfig
    from page4d.point_tracks import track as track
    from page4d.result.exports import ExportOptions as ExportOptions, export as export
    from page4d.result.motion import moving_mask as moving_mask
    from page4d.schema import (
        Clip as Clip,
        Notice as Notice,
        Prediction as Prediction,
        Scores as Scores,
        UserError as UserError,
    )
    from page4d.version import __version__ as __version__
    from page4d.viz.viewer import view as view
    from page4d.windows import Windows as Windows
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
