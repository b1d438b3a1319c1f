"""AI Hub emotion corpora: speech CSV, short and continuous dialogue xlsx, 감성 대화, aspect reviews (71603)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maeum.data import Example
from maeum.errors import DataError
from maeum.formats.columns import find_column, plain
from maeum.formats.jsonrows import json_rows
from maeum.formats.lines import Row, Source
from maeum.formats.records import Context, Unreadable, as_object, as_text, need
from maeum.formats.tables import sheet_cells, table_rows
from maeum.formats.targets import locate
from maeum.task import builtin_task

_RATERS = range(1, 6)
_MAJOR = {"E1": "분노", "E2": "슬픔", "E3": "불안", "E4": "상처", "E5": "당황", "E6": "기쁨"}
_SPEECH_ID = "wav_id"


def parse_speech(row: Row, context: Context) -> Example:
    """A row of 감정 분류를 위한 대화 음성 데이터셋 (cp949 CSV of 15 columns; the text only, not the sound).

    The label is 상황, or with ``gold="raters"`` the emotion with the largest summed 감정세기 over the five raters
    (ties: more raters, then 상황, then task order).
    """
    record = as_object(row)
    text_name = _column(record, context.options.text_column or "발화문", "--text-column")
    names = {plain(name): name for name in record}
    situation = _word(record[names["상황"]]) if "상황" in names else ""
    labels = None
    if context.with_labels:
        if context.options.gold == "raters":
            word = _raters(record, names, situation)
        else:
            label = context.options.label_column or "상황"
            word = _word(record[_column(record, label, "--label-column")])
        labels = context.labels.words((word,)) if word else None
    wav = names.get(_SPEECH_ID)
    meta = {key: value for key, value in record.items() if key not in (text_name, wav)}
    row_name = str(record[wav]).strip() if wav else ""
    return Example(row_name, as_text(record[text_name], text_name), None, labels, None, meta)


def short_rows(source: Source) -> Iterator[Row]:
    """Rows of the short dialogue workbook: its first two columns, whatever they are called."""
    if source.suffix not in (".xlsx", ".xls", ".xlsm"):
        yield from table_rows(source)
        return
    number = 0
    for line, cells in sheet_cells(source):
        pair = [*cells, "", ""][:2]
        if line == 1 or not any(cell.strip() for cell in pair):
            continue
        number += 1
        yield Row(number, line, {"Sentence": pair[0], "Emotion": pair[1]}, pair)


def parse_short(row: Row, context: Context) -> Example:
    """A row of 한국어 단발성 대화: Sentence, Emotion."""
    record = as_object(row)
    text = as_text(record[_column(record, context.options.text_column or "Sentence", "--text-column")], "Sentence")
    emotion = _word(record.get("Emotion"))
    labels = context.labels.words((emotion,)) if context.with_labels and emotion else None
    return Example("", text, None, labels)


def continuous_rows(source: Source) -> Iterator[Row]:
    """Rows of the continuous dialogue workbook, whose real header is its first data row."""
    columns: tuple[int, int] | None = None
    number = 0
    for line, cells in sheet_cells(source):
        if columns is None:
            names = [plain(cell) for cell in cells]
            if "발화" in names and "감정" in names:
                columns = names.index("발화"), names.index("감정")
            elif line >= 5:
                break
            continue
        pair = [cells[column] if column < len(cells) else "" for column in columns]
        if not any(cell.strip() for cell in pair):
            continue
        number += 1
        yield Row(number, line, {"발화": pair[0], "감정": pair[1]}, pair)
    if columns is None:
        raise DataError(
            "처음 다섯 행에 '발화'와 '감정' 열이 없습니다. --format이 맞는지 보세요.",
            "no columns '발화' and '감정' in the first five rows; check --format",
            path=source.name,
        )


def parse_continuous(row: Row, context: Context) -> Example | None:
    """A row of 한국어 연속적 대화; rows whose emotion is misspelt are left out, as users of the corpus do."""
    record = as_object(row)
    emotion = _word(record["감정"])
    if emotion not in builtin_task("aihub-7").keys:
        return None
    labels = context.labels.words((emotion,)) if context.with_labels else None
    return Example("", as_text(record["발화"], "발화"), None, labels)


def dialogue_rows(source: Source) -> Iterator[Row]:
    """Rows of 감성 대화 말뭉치: its JSON (an array, or objects with commas between) or its workbook."""
    return json_rows(source) if source.suffix == ".json" else table_rows(source)


def parse_dialogue(row: Row, context: Context) -> Example:
    """One dialogue: what the person says, turns joined by a space; the label is the major emotion."""
    record = as_object(row)
    if "talk" in record:
        return _dialogue_json(record, context)
    names = {plain(name): name for name in record}
    turns = [record[names[f"사람문장{turn}"]] for turn in (1, 2, 3) if f"사람문장{turn}" in names]
    if not turns:
        _column(record, "사람문장1", "")
    major = _column(record, "감정_대분류", "") if context.with_labels else ""
    emotion = _word(record[major]) if major else ""
    labels = context.labels.words((emotion,)) if emotion else None
    used = {names.get(f"사람문장{turn}") for turn in (1, 2, 3)} | {major}
    return Example("", _join(turns), None, labels, None, {k: v for k, v in record.items() if k not in used and k})


def parse_absa(row: Row, context: Context) -> Example:
    """A review of 속성기반 감정분석 (71603). A SentimentText that is not in the review word for word has no span."""
    record = as_object(row)
    text = as_text(need(record, "RawText"), "RawText")
    aspects = None
    listed = record.get("Aspects") if context.with_labels else None
    if isinstance(listed, list):
        found = []
        for item in listed:
            if not isinstance(item, dict):
                raise DataError("Aspects의 항목은 객체여야 합니다.", "an item of Aspects is an object")
            words = item.get("SentimentText")
            span = locate(text, words) if isinstance(words, str) else None
            begin, end = (span.begin, span.end) if span else (None, None)
            found.append(
                context.labels.aspect(str(need(item, "Aspect")), str(need(item, "SentimentPolarity")), begin, end)
            )
        aspects = tuple(found)
    meta = {key: value for key, value in record.items() if key not in ("RawText", "Aspects")}
    # Index repeats from one domain's file to the next, but not inside one.
    return Example(str(record.get("Index", "")), text, None, None, aspects, meta)


# -- inside -------------------------------------------------------------------------------------------------


def _column(record: Any, wanted: str, flag: str) -> str:
    try:
        return find_column(tuple(record), wanted, flag)
    except DataError as error:
        raise Unreadable(error.ko, error.en) from error


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().lower()


def _raters(record: Any, names: dict[str, str], situation: str) -> str:
    sums: dict[str, list[float]] = {}
    for rater in _RATERS:
        name, strength = names.get(f"{rater}번감정"), names.get(f"{rater}번감정세기")
        if name is None or strength is None:
            raise Unreadable(
                f"'{rater}번 감정'이나 '{rater}번 감정세기' 열이 없어 평가자 라벨을 만들 수 없습니다.",
                f"no column '{rater}번 감정' or '{rater}번 감정세기', so raters cannot be summed",
            )
        emotion = _word(record[name])
        if not emotion:
            continue
        try:
            weight = float(str(record[strength]).strip() or 0)
        except ValueError as error:
            raise DataError(
                f"{rater}번 감정세기는 수여야 하는데 '{record[strength]}'입니다.",
                f"the intensity of rater {rater} is a number, got '{record[strength]}'",
            ) from error
        total = sums.setdefault(emotion, [0.0, 0.0])
        total[0] += weight
        total[1] += 1
    return max(sorted(sums), key=lambda emotion: (*sums[emotion], emotion == situation), default="")


def _dialogue_json(record: Any, context: Context) -> Example:
    profile, talk = need(record, "profile"), need(record, "talk")
    try:
        content, ids = talk["content"], talk.get("id", {})
        code = str(profile["emotion"]["type"]).strip().upper()
        turns = [content.get(f"HS0{turn}", "") for turn in (1, 2, 3)]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"감성 대화의 행이 아닙니다: {error} 항목이 없습니다.", f"not a row of 감성 대화: {error} is missing"
        ) from error
    labels = None
    if context.with_labels:
        major = _MAJOR.get(code[:2])
        if major is None:
            raise DataError(f"모르는 감정 코드 '{code}'입니다(E10–E69).", f"unknown emotion code '{code}' (E10–E69)")
        labels = context.labels.words((major,))
    name = "-".join(str(ids[key]) for key in ("profile-id", "talk-id") if isinstance(ids, dict) and ids.get(key))
    return Example(name, _join(turns), None, labels, None, {"profile": profile})


def _join(turns: list[Any]) -> str:
    return " ".join(turn.strip() for turn in turns if isinstance(turn, str) and turn.strip())
