"""Korean particles that depend on the sound before them: 행복**이**, 분노**가**; 슬픔**과**, 분노**와**.

Which form fits is a matter of whether the word, read aloud, ends in a consonant. Hangul shows it. Digits, Latin letters and
signs are read as Koreans read them. Where the reading cannot be told, both forms are given: ``이(가)``.
"""

from __future__ import annotations

import re
import unicodedata

PAIRS = {"이/가": ("이", "가"), "은/는": ("은", "는"), "을/를": ("을", "를"), "과/와": ("과", "와")}
"""Name of a pair → (after a consonant, after a vowel)."""

_FIRST, _LAST, _FINALS = ord("가"), ord("힣"), 28
_FINAL_DIGITS = frozenset("013678")
"""영, 일, 삼, 육, 칠, 팔; not 이, 사, 오, 구."""
_ZEROS_WITHOUT = range(12, 16)
"""10¹² to 10¹⁵ end in 조; 십, 백, 천, 만, 억 and 경 end in a consonant."""
_FINAL_LETTERS = frozenset("LMNR")
"""엘, 엠, 엔, 알: the only names of letters that end in a consonant."""
_SIGNS = {"%": False, "‰": False, "℃": False, "℉": False, "+": False, "&": False, "#": True}
"""퍼센트, 퍼밀, 도, 도, 플러스, 앤드, 샵."""
_VOWELS = "aeiouy"
_NOT_READ = re.compile(r"[\s\"'“”‘’.,;:!?…~·ㆍ)\]}>」』】〉》*_`^|\\/\-–—]+$")
_BRACKETED = re.compile(r"(?<=\S)\s*[(\[{〈《「『【<][^()\[\]{}]*[)\]}〉》」』】>]\s*$")


def josa(word: str, pair: str) -> str:
    """The form of a particle that fits a word.

    Args:
        word: what stands before it.
        pair: a name in ``PAIRS``.

    Returns:
        One of the two forms, or both as ``이(가)`` where the reading is not known.

    Example:
        >>> josa("행복", "이/가"), josa("분노", "이/가"), josa("TOP 3", "이/가"), josa("幸福", "이/가")
        ('이', '가', '이', '이(가)')
    """
    closed, open_ = PAIRS[pair]
    final = has_final(word)
    if final is None:
        return f"{closed}({open_})"
    return closed if final else open_


def with_josa(word: str, pair: str) -> str:
    """A word and the particle that fits it."""
    return word + josa(word, pair)


def has_final(word: str) -> bool | None:
    """Whether a word, read aloud, ends in a consonant; None where that cannot be told.

    What stands in brackets at the end, quotes and punctuation are not read: ``행복(기쁨)`` counts as ``행복``.
    """
    text = unicodedata.normalize("NFC", word)
    text = _NOT_READ.sub("", _BRACKETED.sub("", text))
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Mn", "Me", "So", "Sk"))
    text = _NOT_READ.sub("", text)
    if not text:
        return _SIGNS.get(unicodedata.normalize("NFC", word).strip()[-1:])
    last = text[-1]
    if _FIRST <= ord(last) <= _LAST:
        return (ord(last) - _FIRST) % _FINALS != 0
    if last in _SIGNS:
        return _SIGNS[last]
    if "ㄱ" <= last <= "ㅎ":  # ㅋ is called 키읔, and so all of them end in themselves
        return True
    if "ㅏ" <= last <= "ㅣ":
        return False
    if last.isdecimal():
        return _number(text)
    if last.isascii() and last.isalpha():
        return _latin(re.split(r"[^A-Za-z]+", text)[-1])
    return None


# -- inside -------------------------------------------------------------------------------------------------


def _number(text: str) -> bool:
    digits = re.search(r"[\d,]*\d$", text)
    assert digits is not None
    number = "".join(str(unicodedata.decimal(char)) for char in digits[0] if char != ",")
    is_fraction = text[: digits.start()].endswith(".")
    zeros = len(number) - len(number.rstrip("0"))
    if zeros and zeros < len(number) and not is_fraction:
        return zeros not in _ZEROS_WITHOUT
    return number[-1] in _FINAL_DIGITS


def _latin(word: str) -> bool | None:
    """An abbreviation by the name of its last letter, a word by how its end is written in Hangul."""
    if word.isupper() or len(word) == 1 or not any(char in _VOWELS for char in word.lower()):
        return word[-1].upper() in _FINAL_LETTERS
    end = word.lower()
    if re.search(r"(ng|[lmn]|[lmn]e)$", end):  # caring 케어링, approval 어프루벌, time 타임
        return True
    if re.search(rf"(?<![{_VOWELS}])[{_VOWELS}][bcdgkpt]$", end):  # 클릭, 샵, but 세트, 로그: usage decides
        return None
    return False  # joy 조이, anger 앵거, sadness 새드니스, love 러브
