"""Predictions for other tools. Each writer fills a folder with one tool's files and returns their paths.

Axes, pixel centres and quaternion order follow the receiving tool, never ours: `page4d.result.formats.WRITERS` says
them, format by format.
"""

from page4d.result.exports.registry import FORMATS, ExportOptions, export

__all__ = ["FORMATS", "ExportOptions", "export"]
