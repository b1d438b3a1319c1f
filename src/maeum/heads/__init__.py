"""Several tasks learnt by one encoder: a plan (which rows, for which heads), training, and the folder of heads."""

from maeum.heads.folder import HeadResult, save_heads
from maeum.heads.plan import Plan, Source, read_plan
from maeum.heads.training import HeadsSettings, own_rows, train_heads

__all__ = ["HeadResult", "HeadsSettings", "Plan", "Source", "own_rows", "read_plan", "save_heads", "train_heads"]
