"""Every format by name."""

from __future__ import annotations

from maeum.formats import aihub, completion, emojson, jsonl, label_studio, nikl, public
from maeum.formats.jsonrows import json_rows
from maeum.formats.records import Format, parse_record
from maeum.formats.tables import csv_rows, parquet_rows, tsv_rows, txt_rows, xlsx_rows
from maeum.formats.tables_out import table_writer

_JSON = (".jsonl", ".json", ".ndjson")
_TSV = (".tsv", ".txt", ".csv")
_XLSX = (".xlsx", ".xls", ".xlsm")

_ALL = (
    Format("jsonl", json_rows, parse_record, _JSON, write=jsonl.write_jsonl),
    Format("csv", csv_rows, parse_record, (".csv",), write=table_writer("csv"), tabular=True),
    Format("tsv", tsv_rows, parse_record, (".tsv", ".tab"), write=table_writer("tsv"), tabular=True),
    Format("xlsx", xlsx_rows, parse_record, _XLSX, write=table_writer("xlsx"), tabular=True),
    Format("parquet", parquet_rows, parse_record, (".parquet",), write=table_writer("parquet"), tabular=True),
    Format("txt", txt_rows, parse_record, (".txt",)),
    Format("nikl-ea", json_rows, nikl.parse_ea, _JSON, task="nikl-ea", write=nikl.write_ea),
    Format("nikl-sa", json_rows, nikl.parse_sa, _JSON, task="nikl-sa", write=nikl.write_sa),
    Format(
        "nsmc", public.public_rows, public.column_parser("document", "label"), _TSV,
        task="nsmc", tabular=True, blank_ok=True,
    ),
    Format(
        "kote", public.headless_rows(("id", "text", "labels")),
        public.column_parser("text", "labels", convert=public.numbered("kote")), _TSV,
        task="kote", tabular=True,
    ),
    Format(
        "goemotions", public.headless_rows(("text", "labels"), ("text", "labels", "id")),
        public.column_parser("text", "labels", convert=public.numbered("goemotions")), _TSV,
        task="goemotions", tabular=True,
    ),
    Format(
        "kobest-sentineg", public.public_rows, public.column_parser("text", "label"), _TSV,
        task="kobest-sentineg", tabular=True,
    ),
    Format(
        "korean-hate-speech", public.public_rows, public.column_parser("comments", "hate"), _TSV,
        task="korean-hate-speech", tabular=True,
    ),
    Format(
        "chatbot", public.public_rows, public.column_parser("question", "label"), _TSV, task="chatbot", tabular=True,
    ),
    Format("mabsa", json_rows, public.parse_mabsa, _JSON, task_of=public.mabsa_task),
    Format("emo-json", json_rows, emojson.parse_emo, _JSON[::-1], task="nikl-ea", write=emojson.write_emo,
           merge=emojson.merge_rows),
    Format("completion", completion.completion_rows, completion.parse_completion_row, (".csv", ".md", ".xlsx"),
           task="review-fashion", write=completion.write_completion, tabular=True),
    Format("aihub-speech", csv_rows, aihub.parse_speech, (".csv",), task="aihub-7", tabular=True,
           loose_ids=True),
    Format("aihub-short", aihub.short_rows, aihub.parse_short, _XLSX, task="aihub-7", tabular=True),
    Format("aihub-continuous", aihub.continuous_rows, aihub.parse_continuous, _XLSX, task="aihub-7", tabular=True),
    Format("aihub-dialogue", aihub.dialogue_rows, aihub.parse_dialogue, (".json", ".xlsx"), task="aihub-dialogue-6",
           loose_ids=True),
    Format("aihub-absa", json_rows, aihub.parse_absa, (".json",), loose_ids=True),
    Format("label-studio", label_studio.export_rows, label_studio.parse_task, (".json",)),
)  # fmt: skip

FORMATS: dict[str, Format] = {item.name: item for item in _ALL}
"""Name → format."""
