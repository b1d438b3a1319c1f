"""From one label set to another: declared, and honest about what is lost.

Emotion data comes with 44, 28, 8, 7 or 3 labels. A map says, for every label of the source task, which labels of
the target task it becomes and whether its meaning survives (``exact``), shifts (``lossy``) or has no counterpart
(``unmapped``), so that a model of one label set can be judged on data of another and the report can say how far to
trust the number. The maps are data (``taxonomies/*.toml``); people write their own in the same form (``read_map``).

How probabilities are carried over is stated once, at ``LabelMap.map_proba``.
"""

from __future__ import annotations

import functools
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language, say
from maeum.errors import TaskMismatch, UsageError
from maeum.task import Label, Task, get_task

__all__ = ["Entry", "Fidelity", "LabelMap", "declared_maps", "find_map", "read_map"]

Fidelity = Literal["exact", "lossy", "unmapped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes of one source label."""

    source: str
    to: tuple[str, ...]
    """Target labels, in the target's column order; empty if there is none."""
    kind: Fidelity
    """``exact``: the same meaning (with empty ``to``: it means that no target label applies). ``lossy``: the nearest
    labels, but the meaning widens or shifts. ``unmapped``: no counterpart."""
    note: str = ""
    """What is lost (Korean)."""


@dataclass(frozen=True)
class LabelMap:
    """Every label of ``source``, once and in column order, and what it becomes in ``target``.

    Raises:
        UsageError: a source label is missing or there twice, a target label is unknown, or a kind contradicts its
            targets.
    """

    source: Task
    target: Task
    entries: tuple[Entry, ...]
    basis: str = ""
    """What the map rests on (Korean)."""
    rest: str = ""
    """The target label that "none of the source labels" becomes; only from multilabel to multiclass. Empty: none."""
    via: tuple[str, ...] = ()
    """Names of the tasks in between, if the map was put together from several."""

    def __post_init__(self) -> None:
        _check(self)

    # -- labels and decisions -------------------------------------------------------------------------------

    def map_labels(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The target labels of one row, in column order; source labels by key, name or alias.

        Empty if nothing maps, also for a multiclass target: such a row cannot be judged there.

        Raises:
            TaskMismatch: a label is not in the source task; the nearest spelling is suggested.
        """
        y = self.source.encode(labels)
        return self.target.decode(self.map_decisions(y[np.newaxis])[0])

    def map_decisions(self, y: NDArray[Any]) -> NDArray[np.uint8]:
        """Decisions (n, k_source) of zeros and ones → (n, k_target).

        Multilabel target: on if any source label mapped to it is on. Multiclass target: the label with the most
        mapped source labels (the first in column order among equals), ``rest`` if none is on, and a row of zeros
        where neither applies, rather than a guess.

        Raises:
            TaskMismatch: the number of columns is not the source task's.
        """
        on = self._columns(y) != 0
        if self.target.kind != "multiclass":
            any_on: NDArray[np.bool_] = on @ (self._weights > 0)
            return any_on.astype(np.uint8)
        mass = self._mass(on.astype(np.float64))
        out = np.zeros((len(mass), len(self.target)), dtype=np.uint8)
        rows = np.flatnonzero(mass.sum(axis=1) > 0)
        out[rows, mass[rows].argmax(axis=1)] = 1
        return out

    # -- probabilities --------------------------------------------------------------------------------------

    def map_proba(self, proba: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities (n, k_source) → (n, k_target), float32 in [0, 1].

        - Multilabel source and target: the maximum over the source labels mapped to a target label. The probability
          that any of them applies is at least that, however they depend on each other, so this never overstates.
        - Multiclass source, multilabel target: the sum, which is exact because only one source label applies.
        - Multiclass target: the sum of the mapped probabilities (a label with two targets gives each a half), plus,
          where the map has ``rest``, one minus the largest mapped probability (at least the probability that none
          applies); then each row is divided by its sum. A row without any mass becomes uniform.

        A target label in ``unreachable`` gets 0 (but for such uniform rows).

        Raises:
            TaskMismatch: the number of columns is not the source task's.
        """
        p = self._columns(proba).astype(np.float64)
        if self.target.kind == "multiclass":
            mass = self._mass(p)
            total = mass.sum(axis=1, keepdims=True)
            uniform = np.full_like(mass, 1.0 / len(self.target))
            share: NDArray[np.float32] = np.divide(mass, total, out=uniform, where=total > 0).astype(np.float32)
            return share
        reaches = self._weights > 0
        if self.source.kind == "multiclass":
            union: NDArray[np.float32] = np.minimum(p @ reaches, 1.0).astype(np.float32)
            return union
        out = np.zeros((len(p), len(self.target)), dtype=np.float32)
        for column in np.flatnonzero(reaches.any(axis=0)):
            out[:, column] = p[:, reaches[:, column]].max(axis=1)
        return out

    def _mass(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unnormalised probability of each label of a multiclass target (n, k_target)."""
        mass: NDArray[np.float64] = p @ self._weights
        if self.rest:
            mapped = p[:, self._weights.any(axis=1)]
            mass[:, self.target.keys.index(self.rest)] += np.clip(1.0 - mapped.max(axis=1, initial=0.0), 0.0, 1.0)
        return mass

    @functools.cached_property
    def _weights(self) -> NDArray[np.float64]:
        """(k_source, k_target): the share of a source label that goes to a target label."""
        weights = np.zeros((len(self.source), len(self.target)))
        for row, entry in enumerate(self.entries):
            for key in entry.to:
                weights[row, self.target.keys.index(key)] = 1.0 / len(entry.to)
        return weights

    def _columns(self, matrix: NDArray[Any]) -> NDArray[Any]:
        if matrix.ndim != 2 or matrix.shape[1] != len(self.source):
            shape = "×".join(map(str, matrix.shape))
            raise TaskMismatch(
                f"과제 '{self.source.name}'의 라벨은 {len(self.source)}개이므로 (행, {len(self.source)}) 배열이어야 하는데 {shape}입니다.",
                f"task '{self.source.name}' has {len(self.source)} labels, so the array must be (rows, {len(self.source)}), got {shape}",
            )
        return matrix

    # -- about the map --------------------------------------------------------------------------------------

    @property
    def is_exact(self) -> bool:
        """Whether no meaning is lost: every source label has an exact counterpart."""
        return all(entry.kind == "exact" for entry in self.entries)

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Target labels that no source label (nor ``rest``) becomes: their probability is always 0."""
        return tuple(key for key, kind in self.coverage().items() if kind == "unmapped")

    def coverage(self) -> dict[str, Fidelity]:
        """For each target label, the best of the entries that reach it.

        A label reached by ``rest`` alone is ``lossy``; one that nothing reaches is ``unmapped``.
        """
        best: dict[str, Fidelity] = dict.fromkeys(self.target.keys, "unmapped")
        if self.rest:
            best[self.rest] = "lossy"
        for entry in self.entries:
            for key in entry.to:
                if best[key] != "exact":
                    best[key] = entry.kind
        return best

    def rows(self) -> list[dict[str, Any]]:
        """One row a source label, for a table: ``source``, ``kind``, ``targets``, ``note``."""
        return [
            {"source": entry.source, "kind": entry.kind, "targets": list(entry.to), "note": entry.note}
            for entry in self.entries
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON/TOML data; ``from_dict`` reads it back if both tasks are built in."""
        data: dict[str, Any] = {"source": self.source.name, "target": self.target.name, "basis": self.basis}
        if self.rest:
            data["rest"] = self.rest
        if self.via:
            data["via"] = list(self.via)
        data["entries"] = {
            entry.source: {"kind": entry.kind, "to": list(entry.to)} | ({"note": entry.note} if entry.note else {})
            for entry in self.entries
        }
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelMap:
        """A map from plain data; ``source`` and ``target`` name a built-in task or a task file.

        Raises:
            UsageError: a key is missing or unknown, a task is not found, or the entries do not fit the tasks.
        """
        _only(data, required={"source", "target", "entries"}, optional={"basis", "rest", "via"})
        source, target = get_task(str(data["source"])), get_task(str(data["target"]))
        entries: Any = data["entries"]
        if not isinstance(entries, Mapping):
            raise UsageError("entries는 라벨마다 한 줄인 표여야 합니다.", "entries must be a table, one line a label")
        return cls(
            source=source,
            target=target,
            entries=_in_order((_entry(str(key), item) for key, item in entries.items()), source),
            basis=str(data.get("basis", "")),
            rest=str(data.get("rest", "")),
            via=tuple(str(name) for name in data.get("via", ())),
        )

    def to_markdown(self) -> str:
        """The map as a Markdown page: basis, table, and how well the target labels are covered."""
        names: dict[str, str] = {
            "exact": say("같음", "exact"),
            "lossy": say("손실", "lossy"),
            "unmapped": say("없음", "unmapped"),
        }
        steps = " → ".join((self.source.name, *self.via, self.target.name))
        lines = [f"## {steps}", ""]
        if self.basis:
            lines += [self.basis, ""]
        lines += [
            say("| 원래 라벨 | 보존 | 옮긴 라벨 | 까닭 |", "| label | kept | becomes | why |"),
            "|---|---|---|---|",
        ]
        nothing = say("(라벨 없음)", "(no label)")
        for entry in self.entries:
            shown = ", ".join(_shown(self.target, key) for key in entry.to)
            cells = (
                _shown(self.source, entry.source),
                names[entry.kind],
                shown or (nothing if entry.kind == "exact" else "–"),
                entry.note,
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if self.rest:
            cells = (
                say("(아무것도 없을 때)", "(none of them)"),
                names["lossy"],
                _shown(self.target, self.rest),
                "",
            )
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
        covered = self.coverage()
        for kind in get_args(Fidelity):
            keys = [_shown(self.target, key) for key, value in covered.items() if value == kind]
            if keys:
                what = say(f"'{self.target.name}' 라벨 가운데 {names[kind]}", f"labels of '{self.target.name}', {kind}")
                lines.append(f"- {what}: {len(keys)}/{len(covered)} ({', '.join(keys)})")
        return "\n".join(lines) + "\n"


@functools.cache
def declared_maps() -> tuple[LabelMap, ...]:
    """The maps that come with the package, sorted by source and target name."""
    files = [file for file in (resources.files("maeum") / "taxonomies").iterdir() if file.name.endswith(".toml")]
    maps = [LabelMap.from_dict(tomllib.loads(file.read_text(encoding="utf-8"))) for file in files]
    return tuple(sorted(maps, key=lambda item: (item.source.name, item.target.name)))


def read_map(path: str | Path) -> LabelMap:
    """A map of your own, from a TOML file in the form of ``taxonomies/*.toml``.

    Raises:
        UsageError: the file is missing, is not TOML, or is not a complete map.
    """
    path = Path(path)
    try:
        return LabelMap.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: TOML로 읽을 수 없습니다: {error}", f"{path}: cannot be read as TOML: {error}"
        ) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error.ko}", f"{path}: {error.en}") from error


def find_map(source: Task, target: Task) -> LabelMap:
    """The map between two tasks: none needed, declared, or put together from declared ones.

    Tasks are compared by their label keys, so a task of your own with the keys of a built-in one is found too. Equal
    keys give the identity. Otherwise the shortest chain of declared maps is taken (the first by name among equals);
    an entry of a chain is exact only if every step is.

    Raises:
        TaskMismatch: no chain leads from one to the other; the targets that can be reached are listed.
    """
    if set(source.keys) == set(target.keys) and set(source.sentiment_keys) == set(target.sentiment_keys):
        return _identity(source, target)
    chain = _chain(source, target)
    if chain is None:
        reached = [steps[-1].target.name for steps in _walk(source)]
        if reached:
            listed_ko = f"'{source.name}'에서 갈 수 있는 과제: {', '.join(reached)}."
            listed_en = f"from '{source.name}' there are maps to: {', '.join(reached)}"
        else:
            sources = ", ".join(sorted({item.source.name for item in declared_maps()}))
            listed_ko = f"대응표가 있는 과제: {sources}. 직접 만든 표는 read_map으로 읽습니다."
            listed_en = f"maps start from: {sources}; read your own with read_map"
        raise TaskMismatch(
            f"과제 '{source.name}'의 라벨을 '{target.name}'의 라벨로 옮기는 대응표가 없습니다. {listed_ko}",
            f"no map from the labels of task '{source.name}' to those of '{target.name}'; {listed_en}",
        )
    found = functools.reduce(_compose, chain)
    return replace(
        found,
        source=source,
        target=target,
        entries=tuple(
            replace(entry, to=tuple(key for key in target.keys if key in entry.to))
            for entry in _in_order(found.entries, source)
        ),
    )


# -- chains ---------------------------------------------------------------------------------------------------------


def _same(first: Task, second: Task) -> bool:
    return first.kind == second.kind and set(first.keys) == set(second.keys)


def _walk(source: Task) -> Iterator[tuple[LabelMap, ...]]:
    """Chains of declared maps that start at ``source``, shortest first, one for each task reached."""
    seen: set[str] = {item.source.name for item in declared_maps() if _same(item.source, source)}
    queue: deque[tuple[LabelMap, ...]] = deque([()])
    while queue:
        chain = queue.popleft()
        end = chain[-1].target if chain else source
        for item in declared_maps():
            if _same(item.source, end) and item.target.name not in seen:
                seen.add(item.target.name)
                longer = (*chain, item)
                yield longer
                queue.append(longer)


def _chain(source: Task, target: Task) -> tuple[LabelMap, ...] | None:
    return next((chain for chain in _walk(source) if _same(chain[-1].target, target)), None)


def _identity(source: Task, target: Task) -> LabelMap:
    return LabelMap(
        source=source,
        target=target,
        entries=tuple(Entry(key, (key,), "exact") for key in source.keys),
        basis="라벨이 같다.",
    )


def _compose(first: LabelMap, second: LabelMap) -> LabelMap:
    """``first``, then ``second`` on what it gives."""
    step = {entry.source: entry for entry in second.entries}
    rest = ""
    if first.rest:
        after = step[first.rest].to
        rest = after[0] if len(after) == 1 else ""
    elif first.source.kind == "multilabel":
        rest = second.rest
    basis = "\n\n".join(
        text if item.via else f"{item.source.name} → {item.target.name}: {text}"
        for item in (first, second)
        if (text := item.basis)
    )
    return LabelMap(
        source=first.source,
        target=second.target,
        entries=tuple(_compose_entry(entry, step, second) for entry in first.entries),
        basis=basis,
        rest=rest,
        via=(*first.via, first.target.name, *second.via),
    )


def _compose_entry(entry: Entry, step: Mapping[str, Entry], second: LabelMap) -> Entry:
    if entry.kind == "unmapped":
        return entry
    if not entry.to:  # "no label applies": carried over by the second map's rest, or by an empty multilabel row
        if second.rest:
            return replace(entry, to=(second.rest,))
        return replace(entry, kind="exact" if second.target.kind == "multilabel" else "unmapped")
    parts = [step[key] for key in entry.to]
    reached = {key for part in parts for key in part.to}
    kinds = {entry.kind, *(part.kind for part in parts)}
    kind: Fidelity = "exact" if kinds == {"exact"} else "lossy"
    if not reached and kind == "lossy":
        kind = "unmapped"
    notes = dict.fromkeys(note for note in (entry.note, *(part.note for part in parts)) if note)
    return Entry(entry.source, tuple(key for key in second.target.keys if key in reached), kind, " / ".join(notes))


# -- reading --------------------------------------------------------------------------------------------------------


def _check(item: LabelMap) -> None:
    name = f"{item.source.name} → {item.target.name}"
    keys = [entry.source for entry in item.entries]
    if keys != list(item.source.keys):
        missing = [key for key in item.source.keys if key not in keys]
        extra = [key for key in keys if key not in item.source.keys]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        found = "; ".join(
            f"{what} {', '.join(words)}"
            for what, words in (("missing", missing), ("unknown", extra), ("twice", twice))
            if words
        )
        raise UsageError(
            f"{name}: 원래 라벨마다 정확히 한 줄씩, 과제의 순서대로 있어야 합니다 ({found or 'order'}).",
            f"{name}: one entry for each source label, in the order of the task ({found or 'order'})",
        )
    for entry in item.entries:
        if entry.kind not in get_args(Fidelity):
            kinds = ", ".join(get_args(Fidelity))
            raise UsageError(
                f"{name}: '{entry.source}'의 kind는 {kinds} 가운데 하나여야 합니다: {entry.kind!r}",
                f"{name}: the kind of '{entry.source}' is one of {kinds}, got {entry.kind!r}",
            )
        for key in entry.to:
            if key not in item.target.keys:
                raise UsageError(
                    f"{name}: '{entry.source}'을(를) 옮길 라벨 '{key}'이(가) 과제 '{item.target.name}'에 없습니다.",
                    f"{name}: '{entry.source}' becomes '{key}', which is not in task '{item.target.name}'",
                )
        empty_is_exact = item.target.kind == "multilabel"
        if (
            len(set(entry.to)) != len(entry.to)
            or (entry.kind == "unmapped" and entry.to)
            or (entry.kind == "lossy" and not entry.to)
            or (entry.kind == "exact" and len(entry.to) > 1)
            or (entry.kind == "exact" and not entry.to and not empty_is_exact)
        ):
            raise UsageError(
                f"{name}: '{entry.source}'은(는) {entry.kind}인데 옮길 라벨이 {list(entry.to)}입니다. exact는 하나"
                "(여러 라벨 과제로 갈 때는 '라벨 없음'도), lossy는 하나 이상, unmapped는 없어야 합니다.",
                f"{name}: '{entry.source}' is {entry.kind} but becomes {list(entry.to)}; exact takes one label (or, to a "
                "multilabel task, none), lossy one or more, unmapped none",
            )
    if item.rest and (
        item.rest not in item.target.keys or item.target.kind != "multiclass" or item.source.kind != "multilabel"
    ):
        raise UsageError(
            f"{name}: rest = '{item.rest}'은(는) 여러 라벨 과제에서 하나만 고르는 과제로 갈 때, 그 과제의 라벨이어야 합니다.",
            f"{name}: rest = '{item.rest}' must be a label of the target, and only from a multilabel to a multiclass task",
        )


def _entry(key: str, item: Any) -> Entry:
    if not isinstance(item, Mapping) or not isinstance(item.get("to", []), list):
        raise UsageError(
            f"'{key}': {{ kind = …, to = […] }} 꼴이어야 합니다.", f"'{key}' must look like {{ kind = …, to = […] }}"
        )
    _only(item, required={"kind", "to"}, optional={"note"})
    return Entry(key, tuple(str(word) for word in item["to"]), item["kind"], str(item.get("note", "")))


def _in_order(entries: Iterable[Entry], source: Task) -> tuple[Entry, ...]:
    """Entries in column order; unknown labels last, for ``_check`` to refuse."""
    position = {key: index for index, key in enumerate(source.keys)}
    return tuple(sorted(entries, key=lambda entry: position.get(entry.source, len(position))))


def _only(data: Mapping[str, Any], *, required: set[str], optional: set[str]) -> None:
    missing: Sequence[str] = sorted(required - set(data))
    unknown: Sequence[str] = sorted(set(data) - required - optional)
    if missing or unknown:
        allowed = ", ".join(sorted(required | optional))
        came_ko = "; ".join(
            f"{what} {', '.join(keys)}" for what, keys in (("빠진 항목", missing), ("모르는 항목", unknown)) if keys
        )
        came_en = "; ".join(
            f"{what}: {', '.join(keys)}" for what, keys in (("missing", missing), ("unknown", unknown)) if keys
        )
        raise UsageError(
            f"라벨 대응표: {came_ko}. 쓸 수 있는 항목: {allowed}", f"label map: {came_en}; allowed: {allowed}"
        )


def _shown(task: Task, key: str) -> str:
    label: Label = task.labels[task.keys.index(key)]
    name = label.name(language())
    return key if name == key else f"{key} ({name})"
