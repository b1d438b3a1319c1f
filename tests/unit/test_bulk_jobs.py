"""Jobs: parts that are written once and gone on with, in this process; real worker processes are in ``tests/slow``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from maeum.bases.folder import KIND as BASE_KIND
from maeum.bulk import BatchSettings, run_batch, running
from maeum.bulk.stored import Output
from maeum.bulk.work import Assignment, Died, Station
from maeum.errors import DataError, FormatError, TaskMismatch, UsageError
from maeum.formats import iter_examples
from maeum.predicting import prediction_rows

TEXTS = [
    "드디어 표를 구했다!!",
    "너무 무섭고 떨린다",
    "배송이 늦어 화가 난다",
    "그냥 그런 하루",
    "친구가 떠나서 슬프다",
    "와 깜짝이야",
    "비 오는 날 커피",
]


class Here:
    """A pool of one worker in this process; ``dies`` says how often each part kills it."""

    dies: ClassVar[dict[int, int]] = {}
    stops_after: ClassVar[int | None] = None
    did: ClassVar[list[int]] = []

    def __init__(self, assignment: Assignment) -> None:
        self.station = Station(assignment)
        self.waiting = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    @property
    def free(self) -> int:
        return 1 - len(self.waiting)

    def give(self, file, part) -> None:
        self.waiting.append((file, part))

    def wait(self):
        file, part = self.waiting.pop()
        if Here.stops_after is not None and len(Here.did) >= Here.stops_after:
            raise KeyboardInterrupt
        if Here.dies.get(part.number, 0):
            Here.dies[part.number] -= 1
            return [(part.number, Died(part.number, "죽었습니다.", "it was killed by SIGKILL"))]
        Here.did.append(part.number)
        return [(part.number, self.station.do(file, part))]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setattr(running, "_pool", lambda assignment, crew, parts: Here(assignment))
    Here.dies, Here.stops_after, Here.did = {}, None, []


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with ``in.jsonl``: seven texts, each with a number and a shop."""
    rows = [{"id": f"r{n}", "text": text, "n": n, "shop": f"가게, {n}"} for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(folder: Path, pattern: str = "part-*.jsonl") -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob(pattern)) for line in path.read_text().splitlines()]


def small(**settings: object) -> BatchSettings:
    return BatchSettings(**{"part_rows": 2, "format": "jsonl", **settings})


def test_parts_are_the_rows_of_predict_in_order(place, sample_model):
    import maeum

    model = sample_model("nikl-ea")
    result = run_batch(model, "in.jsonl", "out", settings=small())
    expected = prediction_rows(maeum.load(model), iter_examples("in.jsonl", with_labels=False), batch_size=512)
    assert lines(place / "out") == [json.loads(json.dumps(row.to_dict())) for row in expected]
    assert (result.rows, result.parts, result.resumed, result.rejected) == (7, 4, 0, 0)
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        "manifest.json", *(f"part-0000{n}.jsonl" for n in range(4)),
    ]  # fmt: skip
    manifest = json.loads((place / "out" / "manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [2, 2, 2, 1]
    assert [part["first_row"] for part in manifest["parts"]] == [1, 3, 5, 7]


def test_tables_have_the_columns_of_predict_and_the_kept_ones(place, sample_model):
    import arro3.io
    import numpy as np

    import maeum

    model = sample_model("nikl-ea")
    proba = maeum.load(model).predict_proba(TEXTS)
    keys = maeum.load(model).task.keys
    run_batch(model, "in.jsonl", "pq", settings=small(format="parquet", keep_columns=("n", "shop"), part_rows=3))
    run_batch(model, "in.jsonl", "csv", settings=small(format="csv", keep_columns=("shop",), part_rows=100))
    tables = [arro3.io.read_parquet(str(path)).read_all() for path in sorted((place / "pq").glob("*.parquet"))]
    assert len(tables) == 3
    assert all(table.schema == tables[0].schema for table in tables)
    assert tables[0].schema.names == ["id", "text", "target", "labels", *keys, "n", "shop"]
    assert [cell for table in tables for cell in table["text"].to_pylist()] == TEXTS
    assert [cell for table in tables for cell in table["n"].to_pylist()] == [str(n) for n in range(7)]
    got = np.array([[cell for table in tables for cell in table[key].to_pylist()] for key in keys]).T
    assert (got.astype(np.float32) == proba).all()
    text = (place / "csv" / "part-00000.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines()[0] == ",".join(["id", "text", "target", "labels", *keys, "shop"])
    assert text.splitlines()[1].endswith('"가게, 0"')


def test_a_column_that_is_not_there_stops_at_once(place, sample_model):
    (place / "a.csv").write_text("text,x\n글,1\n", encoding="utf-8")
    with pytest.raises(
        DataError, match="no column 'shop'; the columns are: 'text', 'x'; choose one with --keep-columns"
    ):
        run_batch(sample_model("nikl-ea"), "a.csv", "out", settings=small(keep_columns=("shop",), on_error="skip"))


def test_an_interrupted_job_does_only_what_is_left(place, sample_model):
    model = sample_model("nikl-ea")
    Here.stops_after = 2
    with pytest.raises(KeyboardInterrupt):
        run_batch(model, "in.jsonl", "out", settings=small())
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        "part-00000.jsonl", "part-00001.jsonl", "parts.jsonl", "plan.json",
    ]  # fmt: skip
    with (place / "out" / "parts.jsonl").open("a") as file:
        file.write('{"part": 2, "ro')  # a line cut by a kill
    (place / "out" / ".part-00002.jsonl.x.tmp").write_text("half")
    (place / "out" / "part-00001.jsonl").write_text("someone wrote over it")
    Here.stops_after, Here.did = None, []
    result = run_batch(model, "in.jsonl", "out", settings=small())
    assert Here.did == [1, 2, 3]
    assert (result.resumed, result.rows) == (1, 7)
    assert [row["id"] for row in lines(place / "out")] == [f"r{n}" for n in range(7)]
    assert not list((place / "out").glob(".*"))


def test_a_finished_job_is_not_done_again_but_a_lost_part_is(place, sample_model):
    model = sample_model("nikl-ea")
    run_batch(model, "in.jsonl", "out", settings=small())
    before = (place / "out" / "manifest.json").read_bytes()
    Here.did = []
    assert run_batch(model, "in.jsonl", "out", settings=small()).complete_before
    assert Here.did == []
    (place / "out" / "part-00002.jsonl").unlink()
    assert run_batch(model, "in.jsonl", "out", settings=small()).resumed == 3
    assert Here.did == [2]
    assert (place / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("finished", [True, False])
def test_another_model_input_or_setting_is_refused_by_name(place, sample_model, finished):
    model = sample_model("nikl-ea")
    Here.stops_after = None if finished else 1
    if finished:
        run_batch(model, "in.jsonl", "out", settings=small())
    else:
        with pytest.raises(KeyboardInterrupt):
            run_batch(model, "in.jsonl", "out", settings=small())
    Here.stops_after = None
    with pytest.raises(UsageError, match="a job with another options;"):
        run_batch(model, "in.jsonl", "out", settings=small(batch_size=3))
    with pytest.raises(UsageError, match="a job with another model;"):
        run_batch(sample_model("fashion"), "in.jsonl", "out", settings=small())
    os.utime("in.jsonl", ns=(1, 1))
    with pytest.raises(UsageError, match="a job with another input;"):
        run_batch(model, "in.jsonl", "out", settings=small())
    assert run_batch(model, "in.jsonl", "out", settings=small(part_rows=3), overwrite=True).parts == 3
    assert len(list((place / "out").glob("part-*"))) == 3


def test_a_folder_of_something_else_is_left_alone(place, sample_model):
    model = sample_model("nikl-ea")
    copy = shutil.copytree(model, place / "model")
    for out in (copy, place):
        with pytest.raises(UsageError, match="not an output folder of batch"):
            run_batch(model, "in.jsonl", out, settings=small(), overwrite=True)
        with pytest.raises(UsageError, match="not an output folder of batch"):
            run_batch(model, "in.jsonl", out, settings=small())
    assert (copy / "manifest.json").read_bytes() == (model / "manifest.json").read_bytes()


@pytest.mark.parametrize("finished", [True, False])
def test_starting_anew_leaves_files_of_others_in_the_folder(place, sample_model, finished):
    model = sample_model("nikl-ea")
    Here.stops_after = None if finished else 2
    with contextlib.nullcontext() if finished else pytest.raises(KeyboardInterrupt):
        run_batch(model, "in.jsonl", "out", settings=small())
    Here.stops_after = None
    (place / "out" / "notes.txt").write_text("mine")
    assert run_batch(model, "in.jsonl", "out", settings=small(part_rows=7), overwrite=True).parts == 1
    assert sorted(path.name for path in (place / "out").iterdir()) == ["manifest.json", "notes.txt", "part-00000.jsonl"]


def test_a_kill_while_the_plan_is_written_does_not_lock_the_folder(place, sample_model):
    (place / "out").mkdir()
    (place / "out" / ".plan.json.x1y2.tmp").write_text('{"kind": "maeum-ba')
    assert run_batch(sample_model("nikl-ea"), "in.jsonl", "out", settings=small()).rows == 7
    assert not list((place / "out").glob(".*"))


def test_a_kill_while_an_old_job_is_removed_does_not_lock_the_folder(place, sample_model, monkeypatch):
    model = sample_model("nikl-ea")
    run_batch(model, "in.jsonl", "out", settings=small())
    unlink, removed = Path.unlink, []

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name != ".lock":
            removed.append(path.name)
            if len(removed) == 3:
                raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            run_batch(model, "in.jsonl", "out", settings=small(), overwrite=True)
    assert all(name.startswith("part-") for name in removed)
    assert run_batch(model, "in.jsonl", "out", settings=small(part_rows=7), overwrite=True).parts == 1


def test_a_model_folder_that_cannot_answer_is_one_sentence_before_any_work(place, sample_model):
    copy = shutil.copytree(sample_model("nikl-ea"), place / "model")
    (copy / "thresholds.json").write_text("{}")
    with pytest.raises(FormatError, match="was changed after it was saved"):
        run_batch(copy, "in.jsonl", "out", settings=small())
    (copy / "manifest.json").write_text(json.dumps({"format": 1, "model": BASE_KIND, "files": {}}))
    with pytest.raises(UsageError, match="base encoder that nothing was trained on"):
        run_batch(copy, "in.jsonl", "out", settings=small())
    assert not (place / "out").exists()


def test_output_within_the_input_is_refused(place, sample_model):
    (place / "in").mkdir()
    shutil.copy("in.jsonl", "in/a.jsonl")
    with pytest.raises(UsageError, match="lies within the input folder"):
        run_batch(sample_model("nikl-ea"), "in", "in/out", settings=small())


def test_bad_rows_are_put_aside_part_by_part(place, sample_model):
    with (place / "in.jsonl").open("a") as file:
        file.write('{"text": ""}\n{"no": 1}\n{"text": "끝"}\n')
    result = run_batch(sample_model("nikl-ea"), "in.jsonl", "out", settings=small(on_error="skip"))
    assert (result.rows, result.rejected) == (8, 2)
    assert sorted(path.name for path in (place / "out" / "rejects").iterdir()) == [
        "part-00003.jsonl",
        "part-00004.jsonl",
    ]
    assert [row["line"] for row in lines(place / "out" / "rejects")] == [8, 9]
    assert lines(place / "out")[-1]["id"] == "row-000010"
    with pytest.raises(DataError, match=r"in\.jsonl:8: the text is blank"):
        run_batch(sample_model("nikl-ea"), "in.jsonl", "stop", settings=small())


def test_a_part_whose_rows_are_all_bad_is_an_empty_table_of_the_same_columns(place, sample_model):
    import arro3.io

    (place / "a.csv").write_text("text,x\n ,1\n ,2\n글,3\n", encoding="utf-8")
    result = run_batch(sample_model("nikl-ea"), "a.csv", "out", settings=small(format="parquet", on_error="skip"))
    empty, full = (arro3.io.read_parquet(str(path)).read_all() for path in sorted((place / "out").glob("*.parquet")))
    assert (empty.num_rows, full.num_rows, result.rejected) == (0, 1, 2)
    assert empty.schema == full.schema


def test_a_part_is_tried_again_once_when_its_worker_dies(place, sample_model):
    Here.dies = {1: 1, 2: 1}
    assert run_batch(sample_model("nikl-ea"), "in.jsonl", "out", settings=small()).rows == 7
    Here.dies = {2: 2}
    with pytest.raises(
        DataError, match=r"died 2 times of part 2 \(rows 5–6 of 'in\.jsonl'\): it was killed by SIGKILL"
    ):
        run_batch(sample_model("nikl-ea"), "in.jsonl", "other", settings=small())
    assert run_batch(sample_model("nikl-ea"), "in.jsonl", "other", settings=small()).resumed == 2


def test_input_that_changes_on_the_way_is_noticed(place, sample_model, monkeypatch):
    begin = Output.begin

    def change(self: Output, plan: running.Plan) -> None:
        begin(self, plan)
        with (place / "in.jsonl").open("a") as file:
            file.write('{"text": "뒤늦게"}\n')

    monkeypatch.setattr(Output, "begin", change)
    with pytest.raises(DataError, match="the file changed after the job began"):
        run_batch(sample_model("nikl-ea"), "in.jsonl", "out", settings=small())


def test_a_second_run_at_the_same_time_is_refused(place, sample_model, monkeypatch):
    model = sample_model("nikl-ea")
    with Output(place / "out", {}).locked(), pytest.raises(UsageError, match="another run is writing"):
        run_batch(model, "in.jsonl", "out", settings=small())
    with monkeypatch.context() as patched:  # the other one ends, and takes the lock file away, just as we open it
        patched.setattr("fcntl.flock", lambda *_: (place / "out" / ".lock").unlink())
        with pytest.raises(UsageError, match="another run is writing"):
            run_batch(model, "in.jsonl", "out", settings=small())
    assert run_batch(model, "in.jsonl", "out", settings=small()).rows == 7


def test_aspect_models_write_their_aspects(place, sample_model):
    import maeum

    run_batch(sample_model("fashion"), "in.jsonl", "out", settings=small())
    expected = maeum.load(sample_model("fashion")).analyze(TEXTS)
    assert [row["aspects"] for row in lines(place / "out")] == [
        json.loads(json.dumps(list(item.aspects or ()))) for item in expected
    ]


def test_one_task_of_a_single_model_must_be_its_own(place, sample_model):
    with pytest.raises(TaskMismatch, match="has no head for task 'kote'; it has: nikl-ea"):
        run_batch(sample_model("nikl-ea"), "in.jsonl", "out", settings=small(task="kote"))
