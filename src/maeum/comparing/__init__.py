"""Two models on the same frozen rows: how far apart, on which rows, and over the turns of a loop.

::

    sides       what a model or a predictions file decides on the rows
    paired      gaps with intervals over resampled texts, and what is left of them after many comparisons
    changes     the rows that changed, and how
    running     the comparison
    page        the report
    outputs     the folder
    loop        turns of an improvement loop, on one frozen test set
"""

from __future__ import annotations

from maeum.comparing.loop import Turn, record
from maeum.comparing.outputs import write
from maeum.comparing.running import Comparison, compare

__all__ = ["Comparison", "Turn", "compare", "record", "write"]
