"""What a search varies: settings with ranges or choices, from TOML.

::

    [fixed]                         # the same in every trial
    model = "encoder:klue/roberta-base"
    max-length = 128

    [learning-rate]                 # a number between two ends, here on a logarithmic scale
    low = 1e-5
    high = 2e-4
    log = true
    start = 5e-5                    # what the first trial takes

    [batch-size]                    # one of several values
    choices = [16, 32]

    [solver.penalty]                # linear model: a setting inside a part of it
    low = 0.3
    high = 30.0

Names are those of ``TrainSettings`` and of the model's own settings (``EncoderConfig``, ``LinearConfig``), with hyphens
or underscores. Anything else is refused with the nearest name.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from maeum._files import canonical_json
from maeum._optional import require
from maeum.errors import UsageError
from maeum.experiment import TrainSettings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEW_LABELS = 8
"""Up to so many labels the linear model is another one (``LinearConfig.few_labels``), with other settings to vary."""
NEVER_VARIED = ("split_seed", "seed", "objective", "metric", "device", "report_to", "checkpoint_minutes")
"""Settings that all trials must share, or whose best value would be luck: only ``[fixed]`` may name them."""
NO_RESULT = ("device", "checkpoint_minutes", "report_to")
"""Settings that belong to a machine, not to a result: a search may go on with others."""


@dataclass(frozen=True)
class Range:
    """A number between two ends, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False
    """Whole numbers only, because the setting is one."""
    start: float | None = None
    """What the first trial takes."""


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]
    start: Any = None


@dataclass(frozen=True)
class Space:
    """Settings to vary and settings that stay.

    Names are those of the settings with underscores; a part's settings have a dot (``solver.penalty``).
    """

    varied: Mapping[str, Range | Choice]
    fixed: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path, *, model: str | None = None, fixed: Mapping[str, Any] | None = None) -> Space:
        """A space from a TOML file; arguments as in ``parse``.

        Raises:
            UsageError: the file cannot be read, or says something that does not exist.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UsageError(f"탐색 공간 파일이 없습니다: {path}", f"no such space file: {path}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: UTF-8이 아닙니다: {error}", f"{path}: not UTF-8: {error}") from error
        return cls.parse(text, source=str(path), model=model, fixed=fixed)

    @classmethod
    def default(cls, model: str, labels: int, *, fixed: Mapping[str, Any] | None = None) -> Space:
        """The space in the package for a model spec and a task of ``labels`` labels."""
        kind = model.partition(":")[0]
        name = ("linear-few" if labels <= FEW_LABELS else "linear-many") if kind == "linear" else kind
        path = Path(__file__).parent / "spaces" / f"{name}.toml"
        if not path.exists():
            raise UsageError(
                f"모델 '{model}'에는 기본 탐색 공간이 없습니다. --space로 주세요. 쓸 수 있는 모델: linear, encoder:폴더_또는_허브_id",
                f"there is no built-in space for model '{model}'; give one with --space (models: linear, encoder:FOLDER_OR_HUB_ID)",
            )
        return cls.parse(path.read_text(encoding="utf-8"), source=path.name, model=model, fixed=fixed)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        source: str = "space",
        model: str | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> Space:
        """A space from TOML.

        Args:
            source: what errors call it.
            model: model spec; wins over the one in ``[fixed]``.
            fixed: more fixed settings, which win over ``[fixed]`` and over settings to vary.
        """
        try:
            return _parse(tomllib.loads(text), model, fixed or {})
        except tomllib.TOMLDecodeError as error:
            raise UsageError(
                f"{source}: TOML로 읽을 수 없습니다: {error}", f"{source}: not valid TOML: {error}"
            ) from error
        except UsageError as error:
            raise UsageError(f"{source}: {error.ko}", f"{source}: {error.en}") from error

    def fixing(self, **fixed: Any) -> Space:
        """The same space with some settings fixed (a model among them), checked again."""
        merged = {**self.fixed, **fixed}
        varied = {name: setting for name, setting in self.varied.items() if name not in fixed}
        return _checked(varied, merged)

    def distributions(self) -> dict[str, BaseDistribution]:
        """The space in Optuna's words."""
        made = require("optuna.distributions")
        found: dict[str, BaseDistribution] = {}
        for name, setting in self.varied.items():
            if isinstance(setting, Choice):
                found[name] = made.CategoricalDistribution([_word(value) for value in setting.values])
            elif setting.whole:
                found[name] = made.IntDistribution(
                    int(setting.low), int(setting.high), log=setting.log, step=int(setting.step or 1)
                )
            else:
                found[name] = made.FloatDistribution(setting.low, setting.high, log=setting.log, step=setting.step)
        return found

    def start(self) -> dict[str, Any]:
        """Optuna's words for what the first trial takes; settings without a ``start`` are left to the sampler."""
        return {name: _word(each.start) for name, each in self.varied.items() if each.start is not None}

    def values(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Plain values from Optuna's words; settings that the space does not vary are left out."""
        found = {}
        for name, setting in self.varied.items():
            if name in words:
                value = words[name]
                if isinstance(setting, Choice):
                    value = next((each for each in setting.values if _word(each) == value), value)
                found[name] = value
        return found

    def train_settings(self, values: Mapping[str, Any]) -> TrainSettings:
        """The settings of a run, fixed ones included."""
        own = {field.name for field in dataclasses.fields(TrainSettings)}
        options: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for name, value in {**self.fixed, **values}.items():
            if name in own:
                given[name] = value
            else:
                part = options
                *outer, last = name.split(".")
                for word in outer:
                    part = part.setdefault(word, {})
                part[last] = value
        return TrainSettings(model_options=options, **given)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that two equal spaces share; what belongs to a machine is left out."""
        return {
            "fixed": {name: value for name, value in sorted(self.fixed.items()) if name not in NO_RESULT},
            "varied": {name: dataclasses.asdict(self.varied[name]) for name in sorted(self.varied)},
        }


def config_toml(settings: TrainSettings, remarks: tuple[str, ...] = ()) -> str:
    """Settings as a file that ``maeum train --config`` takes.

    Args:
        remarks: comment lines for the top.
    """
    lines = [f"# {remark}" for remark in remarks] + ([""] if remarks else [])
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name == "model_options" or value is None:
            continue
        if field.name == "calibrate":
            field_name, value = "no-calibration", not value
        else:
            field_name = field.name.replace("_", "-")
        if not (field_name == "no-calibration" and value is False):
            lines.append(f"{field_name} = {_toml(value)}")
    options = {name: value for name, value in settings.model_options.items() if name not in NO_RESULT}
    lines += _table(settings.model.partition(":")[0], options)
    return "\n".join(lines) + "\n"


def short(value: Any) -> str:
    """A value of a setting for people: floats with four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(name: str, options: Mapping[str, Any]) -> list[str]:
    plain = {key: value for key, value in options.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{name}]", *(f"{key.replace('_', '-')} = {_toml(value)}" for key, value in plain.items())]
    for key, value in options.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key.replace('_', '-')}", value)
    return lines if options else []


def _toml(value: Any) -> str:
    if isinstance(value, str):
        # a JSON string is a TOML basic string but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _word(value: Any) -> Any:
    """A value as Optuna keeps it: lists, which it does not take, as their JSON."""
    return canonical_json(value) if isinstance(value, list | tuple) else value


def _parse(data: Mapping[str, Any], model: str | None, more: Mapping[str, Any]) -> Space:
    data = dict(data)
    given = data.pop("fixed", {})
    if not isinstance(given, Mapping):
        raise UsageError("[fixed]는 표여야 합니다.", "[fixed] must be a table")
    fixed = {name: value for name, value in _flat(given) if name != "model" or not model}
    fixed |= {name.replace("-", "_"): value for name, value in more.items()}
    described = dict(_described(data))
    if model is not None:
        fixed["model"] = model
    varied = {name: table for name, table in described.items() if name not in fixed}
    if "model" not in fixed and "model" not in varied:
        fixed["model"] = "linear"
    known = _known(_kind(fixed, varied))
    return _checked({name: _setting(name, table, known) for name, table in varied.items()}, fixed)


def _checked(varied: Mapping[str, Range | Choice], fixed: Mapping[str, Any]) -> Space:
    """The space, once every name and value has been looked at."""
    kind = _kind(fixed, varied)
    known = _known(kind)
    for name in (*varied, *fixed):
        if name not in known:
            raise _unknown_setting(name, known)
    for name, value in fixed.items():
        if not _fits(known[name], value):
            raise _misfit(name, value, known[name])
    space = Space(dict(varied), dict(fixed))
    corner = {name: each.low if isinstance(each, Range) else each.values[0] for name, each in varied.items()}
    settings = space.train_settings(corner)
    if kind == "encoder":
        from maeum.models.encoder import EncoderConfig

        # its own checks see combinations of settings that no single setting shows
        EncoderConfig.of(settings.model.partition(":")[2], dict(settings.model_options))
    else:
        from maeum.models.linear import LinearConfig

        LinearConfig.of(settings.model_options)
    return space


def _kind(fixed: Mapping[str, Any], varied: Mapping[str, Any]) -> str:
    """The model kind of all trials."""
    models: list[Any] = [fixed["model"]] if "model" in fixed else []
    if "model" in varied:
        one = varied["model"]
        models = list(one.values) if isinstance(one, Choice) else list(one.get("choices", []))
    kinds = {str(model).partition(":")[0] for model in models}
    bare = [model for model in models if str(model) != "linear" and not str(model).partition(":")[2]]
    if kinds - {"linear", "encoder"} or bare or not kinds:
        raise UsageError(
            f"모델을 알 수 없습니다: {', '.join(map(str, models)) or '없음'}. 쓸 수 있는 것: linear, encoder:폴더_또는_허브_id",
            f"unknown model: {', '.join(map(str, models)) or 'none'}; known: linear, encoder:FOLDER_OR_HUB_ID",
        )
    if len(kinds) > 1:
        raise UsageError(
            "한 탐색에 linear와 encoder를 섞을 수 없습니다. 설정이 서로 다르니 따로 탐색하세요.",
            "one search cannot mix linear and encoder models, whose settings differ; search them one by one",
        )
    return kinds.pop()


def _known(kind: str) -> dict[str, Any]:
    """Name → type of every setting of a run with this kind of model."""
    if kind == "encoder":
        from maeum.models.encoder import EncoderConfig

        hints = dict(_hints(EncoderConfig))
        hints.pop("base")
    else:
        from maeum.models.linear import LinearConfig

        hints = dict(_hints(LinearConfig))
    hints |= dict(_hints(TrainSettings))
    hints.pop("model_options")
    return hints


def _hints(cls: type) -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(cls).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from ((f"{name}.{inner}", each) for inner, each in _hints(hint))
        else:
            yield name, hint


def _flat(table: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """Settings of a table and of the tables in it, names with dots."""
    for word, value in table.items():
        name = f"{outer}{word.replace('-', '_')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


_WORDS = ("low", "high", "log", "step", "choices", "start")


def _described(table: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Tables that describe a setting; a table that holds only tables is a part of the model."""
    for word, value in table.items():
        name = f"{outer}{word.replace('-', '_')}"
        if not isinstance(value, Mapping):
            raise UsageError(
                f"'{word}'은(는) 표여야 합니다. 바꿀 값은 [{word}] 아래에 low·high나 choices로, 고정할 값은 [fixed] 아래에 적으세요.",
                f"'{word}' must be a table: give low and high or choices under [{word}], or the value under [fixed]",
            )
        if value and all(isinstance(each, Mapping) for each in value.values()):
            yield from _described(value, f"{name}.")
        else:
            yield name, value


def _setting(name: str, table: Mapping[str, Any], known: Mapping[str, Any]) -> Range | Choice:
    if name not in known:
        raise _unknown_setting(name, known)
    shown, hint = name.replace("_", "-"), known[name]
    if name in NEVER_VARIED:
        raise UsageError(
            f"'{shown}'은(는) 모든 시도가 같아야 하므로 [fixed]에만 적을 수 있습니다.",
            f"'{shown}' must be the same in all trials, so it can only stand under [fixed]",
        )
    for word in table:
        if word not in _WORDS:
            raise _unknown(f"[{shown}]의 항목", f"word in [{shown}]", word, _WORDS)
    if "choices" in table:
        return _choice(shown, table, hint)
    return _range(shown, table, hint)


def _choice(shown: str, table: Mapping[str, Any], hint: Any) -> Choice:
    values = table["choices"]
    if not isinstance(values, list) or len(values) < 2 or any(word in table for word in ("low", "high", "log", "step")):
        raise UsageError(
            f"[{shown}]의 choices는 값이 둘 이상인 목록이고, low·high와 함께 쓸 수 없습니다.",
            f"choices of [{shown}] must be a list of two values or more, and exclude low and high",
        )
    for value in values:
        if not _fits(hint, value):
            raise _misfit(shown, value, hint)
    start = table.get("start")
    if start is not None and start not in values:
        raise UsageError(
            f"[{shown}]의 start {start}이(가) choices에 없습니다.", f"start {start} of [{shown}] is none of its choices"
        )
    return Choice(tuple(values), start)


def _range(shown: str, table: Mapping[str, Any], hint: Any) -> Range:
    whole, number = _fits(hint, 1) and not _fits(hint, 0.5), _fits(hint, 1)
    if not number:
        raise UsageError(
            f"[{shown}]은(는) 숫자가 아니므로 choices로 적어야 합니다.",
            f"[{shown}] is no number, so it takes choices",
        )
    ends = [table.get(word) for word in ("low", "high")]
    if any(end is None or not _fits(hint, end) or not math.isfinite(end) for end in ends):
        kind_ko, kind_en = ("정수", "whole numbers") if whole else ("숫자", "numbers")
        raise UsageError(
            f"[{shown}]에는 low와 high({kind_ko}), 또는 choices가 있어야 합니다.",
            f"[{shown}] needs low and high, which are {kind_en}, or choices",
        )
    made = Range(
        low=table["low"] if whole else float(table["low"]),
        high=table["high"] if whole else float(table["high"]),
        log=table.get("log", False),
        step=table.get("step"),
        whole=whole,
        start=table.get("start"),
    )
    problem = _range_problem(made)
    if problem is not None:
        raise UsageError(f"[{shown}]: {problem[0]}", f"[{shown}]: {problem[1]}")
    return made


def _range_problem(made: Any) -> tuple[str, str] | None:
    if not isinstance(made.log, bool):
        return "log는 true나 false입니다.", "log is true or false"
    if made.low >= made.high:
        return (
            f"low({made.low})는 high({made.high})보다 작아야 합니다.",
            f"low ({made.low}) must be below high ({made.high})",
        )
    if made.log and made.low <= 0:
        return "log = true이면 low는 0보다 커야 합니다.", "with log = true, low must be above 0"
    if made.step is not None:
        if made.log:
            return "log와 step은 함께 쓸 수 없습니다.", "log and step exclude each other"
        if isinstance(made.step, bool) or not isinstance(made.step, int | float) or made.step <= 0:
            return f"step은 0보다 큰 수입니다: {made.step}", f"step is a number above 0, got {made.step}"
        if made.whole and made.step != int(made.step):
            return f"step은 정수여야 합니다: {made.step}", f"step must be a whole number, got {made.step}"
        steps = (made.high - made.low) / made.step
        if abs(steps - round(steps)) > 1e-9 * max(1.0, steps):
            # Optuna would move the upper end silently
            return (
                f"high({made.high})는 low에서 step({made.step})의 배수만큼 떨어져 있어야 합니다.",
                f"high ({made.high}) must be a whole number of steps ({made.step}) above low",
            )
    if made.start is not None and (
        isinstance(made.start, bool)
        or not isinstance(made.start, int | float)
        or not made.low <= made.start <= made.high
    ):
        return f"start({made.start})는 low와 high 사이여야 합니다.", f"start ({made.start}) must lie in low … high"
    return None


def _fits(hint: Any, value: Any) -> bool:
    """Whether a TOML value is of a field's type."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(each, value) for each in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        return isinstance(value, list | tuple) and bool(value) and all(_fits(get_args(hint)[0], each) for each in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _misfit(name: str, value: Any, hint: Any) -> UsageError:
    shown, listed = name.replace("_", "-"), _type_words(hint)
    return UsageError(
        f"'{shown}'의 값 {value!r}이(가) 맞지 않습니다. 쓸 수 있는 것: {listed}",
        f"the value {value!r} does not fit '{shown}'; it takes: {listed}",
    )


def _type_words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return ", ".join(_type_words(each) for each in get_args(hint) if each is not types.NoneType)
    if origin is Literal:
        return ", ".join(map(str, get_args(hint)))
    if origin is tuple:
        return f"[{_type_words(get_args(hint)[0])}, …]"
    return str(getattr(hint, "__name__", hint))


def _unknown_setting(name: str, known: Mapping[str, Any]) -> UsageError:
    shown = [each.replace("_", "-") for each in known]
    return _unknown("설정", "setting", name.replace("_", "-"), sorted(shown))


def _unknown(what_ko: str, what_en: str, given: str, choices: typing.Sequence[str]) -> UsageError:
    close = difflib.get_close_matches(given, choices, n=1)
    # "penalty" alone is no name, but "solver.penalty" is what was meant
    close = close or [name for name in choices if name.rpartition(".")[2] == given][:1]
    listed = ", ".join(choices)
    hint_ko = f"'{close[0]}'인가요?" if close else f"쓸 수 있는 것: {listed}"
    hint_en = f"did you mean '{close[0]}'?" if close else f"known: {listed}"
    return UsageError(f"모르는 {what_ko} '{given}'. {hint_ko}", f"unknown {what_en} '{given}'; {hint_en}")
