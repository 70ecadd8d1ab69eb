"""Predictions for other tools. Each writer fills a folder with one tool's files and returns their paths.

Axes, pixel centres and quaternion order follow the receiving tool, never ours:

    ply         OpenCV axes, the world is close to the first camera (see schema.Prediction)
    glb         glTF: x right, y up, z backward; cameras look along their -z
    colmap      camera from world, quaternion w x y z; the first pixel's centre is (0.5, 0.5)
    nerfstudio  world from camera, cameras look along their -z with y up; the first pixel's centre is (0.5, 0.5)
    rerun       OpenCV axes; the first pixel's centre is (0.5, 0.5)
    tum         world from camera, quaternion x y z w
    kitti       world from camera, the upper 3 x 4 row by row
    cameras     OpenCV axes, camera from world, the first pixel's centre is (0, 0): ours, for own scripts
    depth-*     z in the frame's own camera, at the original image size
"""

from page4d.result.exports.registry import FORMATS, ExportOptions, export

__all__ = ["FORMATS", "ExportOptions", "export"]
