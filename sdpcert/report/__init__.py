"""Results for people: numbers rounded in the direction that keeps them true, tables, figures, and pages."""

from sdpcert.report.rounding import percent_down as percent_down
from sdpcert.report.rounding import percent_up as percent_up
from sdpcert.report.rounding import rounded_down as rounded_down
from sdpcert.report.rounding import rounded_up as rounded_up
from sdpcert.report.rounding import seconds as seconds
