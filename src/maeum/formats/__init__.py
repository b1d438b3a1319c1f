"""Data files in and out: every corpus layout behind ``read``, ``iter_examples`` and ``write``.

::

    lines      bytes → decoded lines, each with its number; encodings
    jsonrows   JSON and JSON lines → rows          tables      CSV, TSV, text, xlsx, Parquet → rows
    records    a row with named fields → Example   columns, labels, targets  what its parts mean
    jsonl, nikl, public, aihub, emojson, completion            corpora
    label_studio                                   annotations of several people (studio: one of them)
    registry   FORMATS                             guess       which format a file is in
    reading    read, iter_examples                 writing     write
    predictions, scores, score_rows, align         probabilities per label out and in, and the rows they belong to
"""

from __future__ import annotations

from maeum.formats.align import Alignment, align
from maeum.formats.emojson import write_emo
from maeum.formats.guess import guess_format
from maeum.formats.jsonl import json_line
from maeum.formats.labels import infer_task
from maeum.formats.nikl import write_ea, write_sa
from maeum.formats.options import ReadOptions, ReadReport
from maeum.formats.predictions import PredictionRow, prediction_line, write_predictions
from maeum.formats.reading import find_format, iter_examples, open_source, read
from maeum.formats.records import Format
from maeum.formats.registry import FORMATS
from maeum.formats.samples import sample_path
from maeum.formats.score_rows import iter_table_predictions
from maeum.formats.scores import Predictions, is_predictions_file, read_predictions, scores_fit
from maeum.formats.writing import WRITABLE, output_format, write

__all__ = [
    "FORMATS",
    "WRITABLE",
    "Alignment",
    "Format",
    "PredictionRow",
    "Predictions",
    "ReadOptions",
    "ReadReport",
    "align",
    "find_format",
    "guess_format",
    "infer_task",
    "is_predictions_file",
    "iter_examples",
    "iter_table_predictions",
    "json_line",
    "open_source",
    "output_format",
    "prediction_line",
    "read",
    "read_predictions",
    "sample_path",
    "scores_fit",
    "write",
    "write_ea",
    "write_emo",
    "write_predictions",
    "write_sa",
]
