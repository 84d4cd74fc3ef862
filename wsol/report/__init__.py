"""Reports: one evaluation, or several of the same images, as a page and as tables."""

from wsol.report.build import write_report
from wsol.report.choice import choose_images
from wsol.report.runs import Run, read_run

__all__ = ["Run", "choose_images", "read_run", "write_report"]
