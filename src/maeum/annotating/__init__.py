"""Labels from people: rows out as a workbook, JSONL, Label Studio tasks or a labelling file, and back with who labelled what and when.

::

    marks      what one annotator said; the check that ties a row to its text and task
    cells      what people write into cells       sheet_out, sheet_in    workbooks and CSV
    rows_jsonl our JSONL                          studio_out, studio_in  Label Studio
    desk, desk_file, desk_answers, desk_in    a labelling file that several people answer at once
    problems   what is wrong with a file, place by place
    agreement  kappa and alpha                    consensus  one answer out of several
    exporting  rows out                           importing  files back in
"""

from __future__ import annotations

from maeum.annotating.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from maeum.annotating.consensus import RULES, Conflict
from maeum.annotating.desk import Desk
from maeum.annotating.desk_file import create_desk
from maeum.annotating.exporting import FORMS, config_path, export_rows
from maeum.annotating.importing import (
    Imported,
    import_files,
    labelled_text,
    read_labelled,
    write_conflicts,
    write_labelled,
)
from maeum.annotating.marks import Annotation, Span, row_check
from maeum.annotating.studio_out import studio_config, studio_task

__all__ = [
    "FORMS",
    "RULES",
    "Annotation",
    "Conflict",
    "Desk",
    "Imported",
    "Span",
    "cohen_kappa",
    "config_path",
    "create_desk",
    "export_rows",
    "fleiss_kappa",
    "import_files",
    "krippendorff_alpha",
    "labelled_text",
    "read_labelled",
    "row_check",
    "studio_config",
    "studio_task",
    "write_conflicts",
    "write_labelled",
]
