"""Results for people: numbers rounded in the direction that keeps them true, tables, figures, and pages."""

from sdpcert.report.drawing import write_figures
from sdpcert.report.page import make_report
from sdpcert.report.rounding import (
    percent_down,
    percent_up,
    radius_text,
    rounded_apart,
    rounded_down,
    rounded_up,
    seconds,
)
from sdpcert.report.run import write_report, write_table
from sdpcert.report.table import make_table

__all__ = [
    "make_report",
    "make_table",
    "percent_down",
    "percent_up",
    "radius_text",
    "rounded_apart",
    "rounded_down",
    "rounded_up",
    "seconds",
    "write_figures",
    "write_report",
    "write_table",
]
