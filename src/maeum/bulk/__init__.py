"""Files too big for one process: cut into parts, predicted by many workers, each part there once and whole.

A job that was interrupted goes on where it stopped, with as many workers as before or others, on this machine or on a
Ray cluster (extra ``ray``).
"""

from maeum.bulk.running import BatchResult, run_batch
from maeum.bulk.settings import BatchSettings, Crew, EngineName, OutputFormat

__all__ = ["BatchResult", "BatchSettings", "Crew", "EngineName", "OutputFormat", "run_batch"]
