"""Auditing labels: which look wrong, which are confused, and a corrected data set from people's decisions.

::

    settings    what is asked for
    scoring     how likely a given label is wrong
    confusing   labels taken for one another, and the words between them
    duplicates  copies within the rows, and between training and valid rows
    findings    all of it as plain values
    probing     out-of-fold probabilities, trained now or kept in a model folder
    listing     scores to entries of the work list
    evidence    what the model says of them, and by which words
    running     the run
    worklist    the Excel list for people
    desk        the list as a file that several people decide in, one decision at a time (desk_file: how it is kept)
    page        the report (page_copies: its tables of rows side by side)
    outputs     the folder
    decisions   the list read back, row by row
    applying    the corrected data set and its changelog
"""

from __future__ import annotations

from maeum.auditing.applying import Applied, apply
from maeum.auditing.decisions import Decision, read_decisions
from maeum.auditing.findings import Audit, Suspect
from maeum.auditing.outputs import write
from maeum.auditing.running import audit
from maeum.auditing.settings import Settings

__all__ = ["Applied", "Audit", "Decision", "Settings", "Suspect", "apply", "audit", "read_decisions", "write"]
