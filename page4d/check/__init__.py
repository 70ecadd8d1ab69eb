"""A look at the data before training on them: numbers, pictures, and a verdict that names known mistakes."""

from page4d.check.inspect import CheckSettings, DatasetReport, draw_clips, inspect
from page4d.check.measure import Measurements, measure
from page4d.check.report import write_report
from page4d.check.verdict import Finding, diagnose, judge, verdict

__all__ = [
    "CheckSettings", "DatasetReport", "Finding", "Measurements", "diagnose", "draw_clips", "inspect", "judge",
    "measure", "verdict", "write_report",
]  # fmt: skip
