"""A small model that learns from a large one: ``maeum distill TEACHER TEXTS --student SPEC -o DIR``.

The teacher, which may be any model folder, gives its probabilities for texts without labels; the student learns those
(Hinton, Vinyals & Dean 2015), and true labels too where ``--data`` has some. What is left is an ordinary model folder.

While it runs everything lies in ``DIR.partial/``::

    soft/       the teacher's probabilities in parts, and of whom and which texts they are
    student/    checkpoints of an encoder

::

    settings    what decides the result            pool       files → distinct texts, labels, who judges
    softening   the teacher's pass, resumable      students   linear, encoder:BASE, layers:N, model:DIR
    running     distill                            saving     the folder, its report and card
    heads       distill_heads: a teacher of several heads, with heads_lesson and heads_results
"""

from __future__ import annotations

from maeum.distilling.heads import distill_heads
from maeum.distilling.heads_results import DistilledHeads
from maeum.distilling.running import distill
from maeum.distilling.saving import Distilled
from maeum.distilling.settings import DistillSettings

__all__ = ["DistillSettings", "Distilled", "DistilledHeads", "distill", "distill_heads"]
