"""What to label next: unlabelled texts ranked by what a label would teach, in a batch that does not repeat itself.

Each criterion gives every text of the pool a number; the number's rank in the pool, 0–1, is what counts, and the ranks
are mixed with weights:

============  ===================================================  ==================================
threshold     nearness of some label to its *tuned* threshold      models with thresholds
uncertainty   (1 − max p)·N/(N − 1) of the class, or of a grade    multiclass, review models
disagreement  Jensen–Shannon divergence or entropy of the votes    ensembles, folders with folds
rare          unknown and late ids of a subword tokenizer          needs the training text
outlier       distance to the nearest training texts               needs the training text
============  ===================================================  ==================================

::

    settings   numbers and weights                 uncertain, committee, rare, outliers   one criterion each
    vectors    sentence vectors                    criteria   all of a batch of rows
    pool       rows, keys, chance                  table      numbers of every row, ranks
    quotas     rows per group                      choosing   a batch that differs
    running    the run                             writing    files
"""

from __future__ import annotations

from maeum.sampling.pool import HeldPool, Pool
from maeum.sampling.running import Sample, sample
from maeum.sampling.settings import CRITERIA, WEIGHTS, SampleSettings
from maeum.sampling.writing import output_kind, reason, write_sample

__all__ = [
    "CRITERIA",
    "WEIGHTS",
    "HeldPool",
    "Pool",
    "Sample",
    "SampleSettings",
    "output_kind",
    "reason",
    "sample",
    "write_sample",
]
