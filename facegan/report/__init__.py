"""Tables of results, the papers' printed numbers beside ours: of one evaluation, and of all that has been evaluated."""

from facegan.report.eggan import eggan_published_rows, eggan_table1, eggan_table2, frames_table
from facegan.report.icface import icface_table1, icface_table2
from facegan.report.transfer import aipgan_table1, tergan_table1, transfer_table

__all__ = [
    "aipgan_table1",
    "eggan_published_rows",
    "eggan_table1",
    "eggan_table2",
    "frames_table",
    "icface_table1",
    "icface_table2",
    "tergan_table1",
    "transfer_table",
]
