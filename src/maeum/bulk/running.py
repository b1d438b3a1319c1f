"""A job: plan, hand out the parts that are not done yet, write each down, and at the end the manifest."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum import folder as model_folder
from maeum._lang import say
from maeum._progress import Line, Step, steps
from maeum.bulk.local import LocalPool
from maeum.bulk.plan import Part, Plan, find_files, make_plan, stamp
from maeum.bulk.settings import BatchSettings, Crew
from maeum.bulk.stored import Output, identity_of
from maeum.bulk.work import Assignment, Died, Done, Failed, Pool
from maeum.engine import cores
from maeum.errors import DataError, MaeumError, TaskMismatch, UsageError

TRIES = 2
"""How many workers may die of one part before it is given up."""


@dataclass(frozen=True)
class BatchResult:
    """What a run did."""

    output: Path
    rows: int
    """Rows in all parts."""
    rejected: int
    parts: int
    resumed: int
    """Parts that an earlier run had done."""
    seconds: float
    """Wall-clock seconds of this run."""
    planning: float = 0.0
    """Seconds of them for the plan."""
    complete_before: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {**dataclasses.asdict(self), "output": str(self.output)}


def run_batch(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    settings: BatchSettings | None = None,
    crew: Crew | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> BatchResult:
    """Predict every row of a file or a folder of files into parts, and go on where an interrupted run stopped.

    Args:
        model: the model folder, or ``mini``.
        source: Parquet, JSONL, CSV or TSV, or a folder of such files.
        output: the folder of the parts.
        settings: what shapes the rows.
        crew: who does the work; a job may go on with another.
        overwrite: start anew whatever an earlier job left there.
        progress: told of stages; may draw a bar.

    Raises:
        UsageError: the output is another job's, or an argument makes no sense.
        FormatError: the model folder is damaged.
        TaskMismatch: the model has no head for ``settings.task``.
        DataError: bad data, or a part that workers died of again and again. What is done stays done.
        MissingExtra: the engine ``ray`` without Ray.
    """
    start = time.perf_counter()
    settings, crew = settings or BatchSettings(), crew or Crew()
    folder, source, output = model_folder.embedded(model).resolve(), Path(source), Path(output).resolve()
    tasks = _tasks(folder, settings.task)
    root, names = find_files(source)
    if source.is_dir() and output.is_relative_to(root):
        raise UsageError(
            "결과 폴더가 입력 폴더 안에 있습니다. 다음 실행이 결과를 입력으로 읽게 되니 바깥에 두세요.",
            "the output lies within the input folder, where the next run would read it as input; put it elsewhere",
        )
    fingerprint = model_folder.fingerprint(folder)
    stamps = {name: dataclasses.asdict(stamp(root / name)) for name in names}
    target = Output(output, identity_of(fingerprint, stamps, settings))
    with target.locked():
        target.refuse_foreign()
        if overwrite:
            target.clear()
        manifest = target.manifest()
        if manifest is not None and target.is_whole(manifest):
            target.tidy()
            counts = manifest["rows"], manifest["rejected"], len(manifest["parts"])
            return BatchResult(output, *counts, counts[2], time.perf_counter() - start, complete_before=True)
        if manifest is not None:
            target.reopen(manifest)
        plan = _planned(target, root, names, settings, progress)
        planning = time.perf_counter() - start
        assignment = Assignment(str(folder), fingerprint, str(root), str(output), settings)
        done, resumed = _work_off(target, plan, assignment, crew, progress)
        about = {"model": {"name": folder.name, "tasks": tasks}, "options": settings.to_dict()}
        target.finish(about, plan, done, settings.format)
    rows, rejected = sum(item.rows for item in done.values()), sum(item.rejected for item in done.values())
    return BatchResult(output, rows, rejected, len(plan.parts), resumed, time.perf_counter() - start, planning)


# -- inside -------------------------------------------------------------------------------------------------


def _tasks(folder: Path, task: str | None) -> list[str]:
    """The heads that will answer."""
    manifest = model_folder.check(folder)
    if "task" not in manifest:  # such as a base encoder: opening it says what it is
        model_folder.load(folder)
    names = list(manifest.get("heads") or [manifest["task"]["name"]])
    if task is None:
        return names
    if task not in names:
        listed = ", ".join(names)
        raise TaskMismatch(
            f"'{folder.name}'에는 과제 '{task}'가 없습니다. 있는 과제: {listed}",
            f"'{folder.name}' has no head for task '{task}'; it has: {listed}",
        )
    return [task]


def _planned(target: Output, root: Path, names: tuple[str, ...], settings: BatchSettings, progress: Line) -> Plan:
    plan = target.plan(root)
    if plan is not None:
        return plan
    progress(say(f"입력을 나눕니다: 파일 {len(names)}개", f"cutting the input: {len(names)} file(s)"))
    order = {name: number for number, name in enumerate(names)}
    sizes = [(root / name).stat().st_size for name in names]
    with steps(progress, say("나누기(MB)", "cutting (MB)"), sum(sizes) >> 20) as step:
        plan = make_plan(
            root,
            names,
            settings,
            lambda name, done: step(sum(sizes[: order[name]], done) >> 20, name),
        )
    target.begin(plan)
    return plan


def _work_off(
    target: Output, plan: Plan, assignment: Assignment, crew: Crew, progress: Line
) -> tuple[dict[int, Done], int]:
    """Do what is left; (what came of every part, how many were done before)."""
    suffix = assignment.settings.format
    with steps(progress, say("행", "rows"), plan.rows) as step:
        done = target.journal(suffix, plan, lambda rows: step(rows, say("확인", "checking")))
        target.sweep()
        resumed = len(done)
        todo = [part for part in plan.parts if part.number not in done]
        progress(
            say(
                f"부분 {len(plan.parts)}개({plan.rows:,}행), 남은 것 {len(todo)}개",
                f"{len(plan.parts)} part(s) of {plan.rows:,} rows, {len(todo)} to do",
            )
        )
        if todo:
            try:
                with _pool(assignment, crew, len(todo)) as pool:
                    _drive(pool, plan, todo, done, target, step)
            finally:
                target.sweep()
    return done, resumed


def _pool(assignment: Assignment, crew: Crew, parts: int) -> Pool:
    if crew.engine == "local":
        return LocalPool(assignment, min(crew.workers or cores(), parts))
    from maeum.bulk.ray_engine import RayPool

    return RayPool(assignment, crew, parts)


def _drive(pool: Pool, plan: Plan, parts: list[Part], done: dict[int, Done], target: Output, step: Step) -> None:
    """Keep every worker busy with one part at a time: what is in flight does not grow with the input."""
    todo = deque(parts)
    died: Counter[int] = Counter()
    in_flight, rows = 0, sum(plan.parts[number].rows for number in done)
    while todo or in_flight:
        while todo and pool.free:
            part = todo.popleft()
            pool.give(plan.files[part.file], part)
            in_flight += 1
        for number, outcome in pool.wait():
            in_flight -= 1
            part = plan.parts[number]
            if isinstance(outcome, Died):
                died[number] += 1
                if died[number] == TRIES:
                    raise _given_up(plan, part, outcome)
                todo.appendleft(part)
            elif isinstance(outcome, Failed):
                raise _explained(plan, part, outcome)
            else:
                target.record(outcome)
                done[number] = outcome
                rows += part.rows
                step(rows, _parts_done(len(done), plan))


def _parts_done(count: int, plan: Plan) -> str:
    return say(f"부분 {count}/{len(plan.parts)}", f"part {count}/{len(plan.parts)}")


def _place(plan: Plan, part: Part) -> Mapping[str, str]:
    name, last = plan.files[part.file].name, part.first_row + part.rows - 1
    return {
        "ko": f"{part.number}번 부분('{name}'의 {part.first_row:,}–{last:,}행)",
        "en": f"part {part.number} (rows {part.first_row:,}–{last:,} of '{name}')",
    }


def _given_up(plan: Plan, part: Part, outcome: Died) -> MaeumError:
    place = _place(plan, part)
    return DataError(
        f"{place['ko']}에서 작업자가 {TRIES}번 죽었습니다. {outcome.ko} 끝난 부분은 그대로 있습니다.",
        f"workers died {TRIES} times of {place['en']}: {outcome.en}. The parts that are done stay done",
        path=plan.path(part),
    )


def _explained(plan: Plan, part: Part, outcome: Failed) -> MaeumError:
    if outcome.path is not None:
        return outcome.error()
    place = _place(plan, part)
    return DataError(f"{place['ko']}: {outcome.ko}", f"{place['en']}: {outcome.en}")
