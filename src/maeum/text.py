r"""Text preparation: what happens to a text before a model sees it, and how positions find their way back.

A ``TextPrep`` is a named recipe of switches. It is pure (same text, same result), idempotent
(``prep(prep(x)) == prep(x)`` for every string) and versioned (saved with the model that was trained on it).
``prepare`` also returns the alignment, so that a span of the prepared text maps to a span of the raw one.

Offsets count code points of Python strings, and ends are exclusive: ``"가😀"`` has length 2, ``감`` in NFD has 3.

Rules run in this order, and the whole list again until nothing changes: masks, invisible characters, NFC, stray
jamo, emoji, symbols, URLs, laughing codas, runs (jamo, letters, punctuation), spaces.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

from maeum.errors import FormatError, UsageError

if TYPE_CHECKING:
    from maeum.data import Input

__all__ = ["RECIPES", "VERSION", "Prepared", "TextPrep"]

VERSION = 1
"""Version of the rules. Any change to what a switch does to any text raises it."""

Invisible = Literal["keep", "drop"]
Jamo = Literal["keep", "compat"]
Masks = Literal["keep", "others", "drop"]
Emoji = Literal["keep", "describe", "drop"]
Symbols = Literal["keep", "drop"]
Urls = Literal["keep", "mask", "drop", "seed001"]
Coda = Literal["keep", "fix"]
Spaces = Literal["keep", "collapse"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "invisible": get_args(Invisible),
    "jamo": get_args(Jamo),
    "masks": get_args(Masks),
    "emoji": get_args(Emoji),
    "symbols": get_args(Symbols),
    "urls": get_args(Urls),
    "coda": get_args(Coda),
    "spaces": get_args(Spaces),
}
_CAPS = ("emoji_run", "laughter", "repeats", "punctuation", "word_run")
_NAMES = ("default", "raw", "seed001")


@dataclass(frozen=True)
class TextPrep:
    """The switches of one preparation; the defaults are the recipe ``default``.

    Caps (``int``) are the most of one thing in a row that stays; 0 means no limit. Digits are never shortened,
    except by ``word_run``, which is seed 001's rule and has that fault.

    Example:
        >>> prep = TextPrep.named("default")
        >>> prep("배송비 10000원이라니 ㅋㅋㅋㅋㅋㅋㅋ  진짴ㅋㅋ 😂😂😂😂😂")
        '배송비 10000원이라니 ㅋㅋㅋㅋ 진짜ㅋㅋ 😂😂😂'
        >>> prep.prepare("와아아아아아 좋다").to_raw(5, 7)
        (7, 9)
    """

    recipe: str = "default"
    """The recipe this one started as."""
    version: int = VERSION
    """Version of the rules."""
    nfc: bool = True
    """Compose Hangul and accents (NFC; never NFKC, which ruins ㅋ and ㅠ)."""
    invisible: Invisible = "drop"
    """Control, zero-width, bidi and tag characters, BOM, lone surrogates; emoji keep the joiners they need."""
    jamo: Jamo = "compat"
    """Conjoining jamo left alone after NFC (U+110F, what NFKC makes of ㅋ) become keyboard jamo (ㅋ U+314B)."""
    masks: Masks = "keep"
    """Corpus masks such as ``&name&``: kept, only ``&others&`` removed, or all of the known ones turned to a space."""
    emoji: Emoji = "keep"
    """Kept, replaced by the Korean name in parentheses, or turned to a space."""
    emoji_run: int = 3
    """Most of the same emoji in a row."""
    symbols: Symbols = "keep"
    """``drop``: each run of characters outside ASCII, ㄱ-ㅣ, 가-힣 and ``％·∼`` becomes a space (seed 001)."""
    urls: Urls = "mask"
    """``mask``: ``[URL]``; ``drop``: a space; ``seed001``: what its expression finds is removed without a trace."""
    coda: Coda = "fix"
    """``fix``: a ㅋ typed into the syllable before more ㅋ is taken out again (웃곀ㅋㅋ → 웃겨ㅋㅋ)."""
    laughter: int = 4
    """Most jamo in a row: of one kind, or mixed ㅋㅎ, or mixed ㅠㅜ."""
    repeats: int = 3
    """Most of one Hangul syllable or Latin letter in a row; words with a digit, ``_`` or ``@`` are left alone."""
    punctuation: int = 3
    """Most of one punctuation mark or symbol in a row; mixed ``?!`` runs keep twice as many."""
    word_run: int = 0
    r"""Seed 001: a run of three or more of one ``\w`` character, **digits too**, is cut to this many."""
    spaces: Spaces = "collapse"
    """``collapse``: any white space, line ends and blank fillers → one space; none at either end."""

    def __post_init__(self) -> None:
        if self.recipe not in _NAMES:
            raise _unknown("recipe", self.recipe, _NAMES)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise _unknown(name, value, allowed)
        for name in _CAPS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(
                    f"텍스트 정제 설정 {name}은(는) 0 이상의 정수여야 합니다(0은 제한 없음): {value!r}",
                    f"text preparation: {name} is a whole number, 0 (no limit) or more, got {value!r}",
                )
        if not isinstance(self.nfc, bool):
            raise UsageError(
                f"텍스트 정제 설정 nfc는 true 또는 false여야 합니다: {self.nfc!r}",
                f"text preparation: nfc is true or false, got {self.nfc!r}",
            )
        if self.version != VERSION or isinstance(self.version, bool):
            raise UsageError(
                f"이 maeum에는 텍스트 정제 버전 {VERSION}만 있습니다: {self.version!r}",
                f"this maeum has version {VERSION} of text preparation only, got {self.version!r}",
            )

    # -- making ---------------------------------------------------------------------------------------------

    @classmethod
    def named(cls, recipe: str, **overrides: Any) -> TextPrep:
        """A recipe by name, with single switches changed: ``named("default", emoji="describe")``.

        Raises:
            UsageError: no such recipe, switch or value; the nearest one is suggested.
        """
        if recipe not in RECIPES:
            raise _unknown("recipe", recipe, _NAMES)
        for name in overrides:
            if name not in _SWITCHES:
                raise _unknown("switch", name, _SWITCHES)
        return replace(RECIPES[recipe], **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: recipe, version and every switch; ``from_dict`` reads it back."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextPrep:
        """A preparation from plain data; switches left out are those of the recipe named.

        Raises:
            FormatError: made by a newer version, or a recipe, switch or value this package does not know.
        """
        recipe, version = data.get("recipe", "default"), data.get("version", VERSION)
        if isinstance(version, int) and version > VERSION:
            raise FormatError(
                f"텍스트 정제 버전 {version}(으)로 만든 것인데 이 maeum은 {VERSION}까지만 압니다. maeum을 새 버전으로 올리세요.",
                f"made with version {version} of text preparation, this maeum knows up to {VERSION}; upgrade maeum",
            )
        switches = {name: value for name, value in data.items() if name != "recipe"}
        switches.pop("version", None)
        try:
            return replace(cls.named(recipe, **switches), version=version)
        except UsageError as error:
            raise FormatError(error.ko, error.en) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return TextPrep.from_dict, (self.to_dict(),)

    # -- doing ----------------------------------------------------------------------------------------------

    def __call__(self, raw: str) -> str:
        """The prepared text. The same as ``prepare(raw).text``, faster."""
        # Repeating until nothing changes makes the result a fixed point whatever the switches. It ends: emoji names,
        # masks and NFC are put in at most once per place, and all other rules shorten the text or use up what they find.
        before = raw
        while (after := self._once(before)) != before:
            before = after
        return after

    def prepare(self, raw: str) -> Prepared:
        """The prepared text with its alignment to the raw one."""
        line = _Line(raw)
        while True:
            before = line.text
            for gate, rules in self._stages:
                if gate(line.text):
                    for rule in rules:
                        line.apply(rule.edits(line.text))
            if line.text == before:
                break
        if line.text == raw:
            return Prepared(raw, raw)
        return Prepared(line.text, raw, tuple(line.begins), tuple(line.ends))

    def prepare_input(self, item: Input) -> Input:
        """The input with its text prepared and its target moved along; the aspect stays.

        A target that preparation removed (an emoji under ``emoji="drop"``, say) becomes the word that follows its
        place, else the last word of the text; only an empty prepared text leaves it an empty target.

        Raises:
            UsageError: the target lies outside the text.
        """
        target = item.target
        if target is None:
            return replace(item, text=self(item.text))
        prepared = self.prepare(item.text)
        begin, end = prepared.to_prepared(target.begin, target.end)
        if begin == end and target.begin != target.end:
            begin, end = _word_near(prepared.text, begin)
        return replace(
            item, text=prepared.text, target=replace(target, form=prepared.text[begin:end], begin=begin, end=end)
        )

    def _once(self, text: str) -> str:
        for gate, rules in self._stages:
            if gate(text):
                for rule in rules:
                    text = rule.sub(text)
        return text

    @functools.cached_property
    def _stages(self) -> tuple[_Stage, ...]:
        return _stages_of(self)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared text and where each of its characters came from.

    Both mappings take and give ``[begin, end)`` in code points, and both are monotone. A replaced stretch (``[URL]``,
    an emoji's name, a composed syllable) belongs to its raw stretch as a whole; the last character kept of a shortened
    run stands for the rest of the run. ``to_prepared(*to_raw(b, e))`` always contains ``(b, e)``.
    """

    text: str
    raw: str
    _begins: tuple[int, ...] | None = field(default=None, repr=False)
    _ends: tuple[int, ...] | None = field(default=None, repr=False)

    def to_raw(self, begin: int, end: int) -> tuple[int, int]:
        """The raw span that a span of the prepared text came from.

        Raises:
            UsageError: not ``0 <= begin <= end <= len(text)``.
        """
        _check_span(begin, end, len(self.text))
        begins, ends = self._begins, self._ends
        if begins is None or ends is None:
            return begin, end
        if begin < end:
            return begins[begin], ends[end - 1]
        if begin == len(begins):
            return (ends[-1], ends[-1]) if ends else (0, 0)
        if begin > 0 and begins[begin] < ends[begin - 1]:  # a cursor inside a replaced stretch: all of the stretch
            return begins[begin], ends[begin]
        return begins[begin], begins[begin]

    def to_prepared(self, begin: int, end: int) -> tuple[int, int]:
        """The prepared span that holds whatever is left of a raw span; empty if nothing is.

        Raises:
            UsageError: not ``0 <= begin <= end <= len(raw)``.
        """
        _check_span(begin, end, len(self.raw))
        begins, ends = self._begins, self._ends
        if begins is None or ends is None:
            return begin, end
        if begin == end:
            place = bisect_left(begins, begin)
            return place, place
        return bisect_right(ends, begin), bisect_left(begins, end)


def _check_span(begin: int, end: int, length: int) -> None:
    if not 0 <= begin <= end <= length:
        raise UsageError(
            f"구간 [{begin}, {end})이(가) 길이 {length}인 글 안에 있지 않습니다.",
            f"span [{begin}, {end}) is not inside a text of length {length}",
        )


def _word_near(text: str, place: int) -> tuple[int, int]:
    """The first word that begins at or after ``place`` or holds it; else the last word; else nothing."""
    last = (0, 0)
    for match in re.finditer(r"\S+", text):
        last = match.span()
        if match.end() > place:
            break
    return last


def _unknown(what: str, value: object, allowed: tuple[str, ...]) -> UsageError:
    import difflib

    close = difflib.get_close_matches(str(value), allowed, n=1)
    shown = ", ".join(allowed)
    hint_ko = f" '{close[0]}'을(를) 쓰려고 하셨나요?" if close else ""
    hint_en = f" did you mean '{close[0]}'?" if close else ""
    return UsageError(
        f"텍스트 정제: {what}에 {value!r}은(는) 없습니다.{hint_ko} 쓸 수 있는 것: {shown}",
        f"text preparation: {what} {value!r} is unknown;{hint_en} known: {shown}",
    )


# -- rules --------------------------------------------------------------------------------------------------------------


class _Rule(Protocol):
    """One rewrite. ``sub(text)`` equals the text with all of ``edits(text)`` made."""

    def sub(self, text: str) -> str: ...

    def edits(self, text: str) -> Iterator[tuple[int, int, str]]: ...


class _Stage(NamedTuple):
    """Rules that run one after the other, behind one cheap test that says when none of them can find anything."""

    gate: Callable[[str], object]
    rules: Sequence[_Rule]


class _Sub:
    """Replace what an expression finds, as ``re.sub`` does."""

    def __init__(self, pattern: str, put: str | Callable[[re.Match[str]], str]) -> None:
        self.pattern = re.compile(pattern)
        self.put = put

    def sub(self, text: str) -> str:
        return self.pattern.sub(self.put, text)

    def edits(self, text: str) -> Iterator[tuple[int, int, str]]:
        put = self.put
        for match in self.pattern.finditer(text):
            new = match.expand(put) if isinstance(put, str) else put(match)
            if new != match.group():
                yield match.start(), match.end(), new


class _Nfc:
    """Unicode NFC, and for ``edits`` the smallest stretches that normalise on their own."""

    def sub(self, text: str) -> str:
        return text if unicodedata.is_normalized("NFC", text) else _nfc(text)

    def edits(self, text: str) -> Iterator[tuple[int, int, str]]:
        if unicodedata.is_normalized("NFC", text):
            return
        begin = 0
        for place in range(1, len(text) + 1):
            if place < len(text) and not _may_cut(text, begin, place):
                continue
            new = _nfc(text[begin:place])
            if new != text[begin:place]:
                yield begin, place, new
            begin = place


def _may_cut(text: str, begin: int, place: int) -> bool:
    """Whether the character at ``place`` leaves ``text[begin:place]`` as it is."""
    char = text[place]
    if unicodedata.combining(char):
        return False
    return _nfc(text[begin : place + 1]) == _nfc(text[begin:place]) + _nfc(char)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


class _Others:
    """Remove ``&others&`` without a trace, as seed 001 does; where that would make a new one, leave a space."""

    mask = "&others&"

    def _put(self, text: str) -> str:
        return " " if self.mask in text.replace(self.mask, "") else ""

    def sub(self, text: str) -> str:
        return text.replace(self.mask, self._put(text))

    def edits(self, text: str) -> Iterator[tuple[int, int, str]]:
        put, place = self._put(text), text.find(self.mask)
        while place >= 0:
            yield place, place + len(self.mask), put
            place = text.find(self.mask, place + len(self.mask))


class _Line:
    """A text being rewritten, with the raw begin and end of each of its characters."""

    def __init__(self, raw: str) -> None:
        self.text = raw
        self.begins = list(range(len(raw)))
        self.ends = list(range(1, len(raw) + 1))

    def apply(self, edits: Iterator[tuple[int, int, str]]) -> None:
        """Make the edits, which are in order and do not overlap."""
        texts: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        done = 0
        for begin, end, new in edits:
            texts += (self.text[done:begin], new)
            begins += self.begins[done:begin]
            ends += self.ends[done:begin]
            if new and self.text.startswith(new, begin):  # a shortened run: its last character stands for the rest
                begins += self.begins[begin : begin + len(new)]
                ends += self.ends[begin : begin + len(new) - 1]
                ends.append(self.ends[end - 1])
            elif new:
                begins += [self.begins[begin]] * len(new)
                ends += [self.ends[end - 1]] * len(new)
            done = end
        if done:
            self.text = "".join(texts) + self.text[done:]
            self.begins = begins + self.begins[done:]
            self.ends = ends + self.ends[done:]


# -- expressions --------------------------------------------------------------------------------------------------------
# The emoji ranges are ours, not the emoji package's, so that what a recipe does depends on VERSION only.

_SKIN = "\U0001f3fb-\U0001f3ff"
_FLAG = "\U0001f1e6-\U0001f1ff"
_EMOJI = (
    "⌚⌛⏩-⏳⏸-⏺☀-☄☎☑☔☕☘☝☠☢☣☦☪☮☯☸-☺♀♂♈-♓♟♠♣♥♦♨♻♾♿⚒-⚗⚙⚛⚜⚠⚡⚧⚪⚫⚰⚱⚽⚾⛄⛅⛈⛎⛏⛑⛓⛔⛩⛪⛰-⛵⛷-⛺⛽"
    "✂✅✈-✍✏✒✔✖✝✡✨✳✴❄❇❌❎❓-❕❗❣❤➕-➗➡➰➿⬛⬜⭐⭕"
    "\U0001f004\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f201\U0001f202\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f250\U0001f251"
    "\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7eb\U0001f7f0\U0001f900-\U0001f9ff\U0001fa70-\U0001faff"
)
# Text marks, arrows and bullets that are emoji only when U+FE0F says so.
_EMOJI_IF_ASKED = "©®‼⁉™ℹ↔-↙↩↪⌨⏏Ⓜ▪▫▶◀◻-◾⤴⤵⬅-⬇〰〽㊗㊙"
_KEYCAP = r"[0-9#*]\ufe0f?\u20e3"
_ONE = rf"(?:[{_EMOJI}]|[{_EMOJI_IF_ASKED}](?=\ufe0f))\ufe0f?(?:[{_SKIN}]\ufe0f?)?"
# A flag, a region's flag, or pictures joined into one. Ten joined are plenty; without a limit a long chain takes
# quadratic time.
_PICTURE = rf"(?>[{_FLAG}]{{1,2}}|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f|{_ONE}(?:\u200d{_ONE}){{0,9}})"

_INVISIBLE = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff"
)
_BLANK = r"\u3164\uffa0\u2800"  # Hangul fillers and the empty Braille cell: letters to Unicode, spaces to the eye

_OLD_L, _OLD_V = r"\u1100-\u115f\ua960-\ua97c", r"\u1160-\u11a7\ud7b0-\ud7c6"
_STRAY_JAMO = (
    rf"[\u1100-\u1112](?![{_OLD_V}])|(?<![{_OLD_L}])[\u1161-\u1175]|(?<![{_OLD_V}])[\u11a8-\u11c2]"  # lead, vowel, tail
)
_COMPAT = dict(
    zip(
        (chr(code) for span in ((0x1100, 0x1113), (0x1161, 0x1176), (0x11A8, 0x11C3)) for code in range(*span)),
        "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
        + "".join(map(chr, range(0x314F, 0x3164)))
        + "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ",
        strict=True,
    )
)

# The masks of the NIKL corpora, numbered or not. HTML left-overs such as &lt& are none.
_MASK = (
    r"&(?:name|others?|affiliation|address|account|online-account|location|num|tel-num|card-num|social-security-num"
    r"|company-name|birth-date|email)[0-9]*&"
)

# Stops before Hangul, so that a particle glued to an address stays, and before closing punctuation. Its own mask is
# never part of an address.
_URL = (
    r"(?:(?i:https?)://|(?<![A-Za-z0-9])(?>[Ww]{3,})\.)"
    r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*[A-Za-z0-9/_#=%+&-]"
)
# Seed 001: scheme, host, a dot, an ending of 1-6 letters up to a word boundary (a Hangul letter is none), the rest.
_SEED_URL = r"https?://[-A-Za-z0-9@:%._+~#=]{1,260}\.[A-Za-z0-9()]{1,6}\b[-A-Za-z0-9()@:%_+.~#?&/=]*"
_SEED_KEPT = r"\x00-\x7f％·∼ㄱ-ㅣ가-힣"

# Syllables that end in ㅋ. Real words keep theirs (녘, 부엌), and so do shouts that stand alone (앜, 엌, 읔).
_CODA = "".join(map(chr, range(0xAC00 + 24, 0xD7A4, 28)))
_LAUGHING_CODA = rf"(?!녘|(?<=부)엌|(?<![가-힣])[앜엌읔])[{_CODA}](?=ㅋ)"

# Left alone by the cap on letters: handles and mail addresses; codes, model numbers, identifiers.
_NO_WORD = r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]*@[A-Za-z0-9_.-]+|(?<![A-Za-z0-9_])(?=[A-Za-z]*[0-9_])[A-Za-z0-9_]+"


def _open_coda(match: re.Match[str]) -> str:
    return chr(ord(match.group()) - 24)


def _to_compat(match: re.Match[str]) -> str:
    return _COMPAT[match.group()]


def _describe(match: re.Match[str]) -> str:
    return _emoji_name(match.group())


@functools.lru_cache(maxsize=4096)
def _emoji_name(cluster: str) -> str:
    """The Korean name in parentheses; a keycap's own character; the emoji itself if the package has no name for it."""
    if "\u20e3" in cluster:
        return cluster[0]
    import emoji

    name = emoji.demojize(cluster, language="ko", delimiters=("(", ")"))
    if not name.startswith("("):
        return cluster
    return _nfc(re.sub(r"[_\s]+", " ", re.sub("[\u200d\ufe0f]", "", name)))


def _stages_of(prep: TextPrep) -> tuple[_Stage, ...]:
    stages: list[_Stage] = []
    # Only texts with a character beyond printable ASCII, Hangul syllables and keyboard jamo need these.
    odd: list[_Rule] = []
    if prep.invisible == "drop":
        odd.append(_Sub(rf"({_KEYCAP}|{_PICTURE})|[{_INVISIBLE}]+", r"\1"))
    if prep.nfc:
        odd.append(_Nfc())
    if prep.jamo == "compat":
        odd.append(_Sub(_STRAY_JAMO, _to_compat))
    if prep.emoji_run:
        cap = prep.emoji_run
        odd.append(_Sub(rf"({_PICTURE})\1{{{cap},}}(?![\ufe0f\u200d{_SKIN}])", r"\1" * cap))
    if prep.emoji == "describe":
        odd.append(_Sub(rf"{_KEYCAP}|{_PICTURE}", _describe))
    elif prep.emoji == "drop" and prep.symbols == "keep":
        odd.append(_Sub(rf"([0-9#*])\ufe0f?\u20e3|{_PICTURE}", r"\1 "))
    if prep.masks != "keep":
        stages.append(_Stage(_has("&"), [_Others() if prep.masks == "others" else _Sub(_MASK, " ")]))
    if odd:
        stages.append(_Stage(re.compile("[^ -~가-힣ㄱ-ㅣ]").search, odd))
    if prep.symbols == "drop":
        kept = f"{_KEYCAP}|{_PICTURE}" if prep.emoji == "keep" else "(?!)"
        symbols = _Sub(rf"({kept})|(?:(?!{kept})[^{_SEED_KEPT}])+", _put_or_space)
        stages.append(_Stage(re.compile(rf"[^{_SEED_KEPT}]").search, [symbols]))
    if prep.urls != "keep":
        url = _SEED_URL if prep.urls == "seed001" else _URL
        put = {"mask": "[URL]", "drop": " ", "seed001": ""}[prep.urls]
        stages.append(_Stage(re.compile(r"://|[Ww]{3}\.").search, [_Sub(url, put)]))
    if prep.coda == "fix":
        stages.append(_Stage(_has("ㅋ"), [_Sub(_LAUGHING_CODA, _open_coda)]))
    runs = _run_rules(prep)
    if runs:
        stages.append(_Stage(re.compile(_run_gate(prep)).search, runs))
    if prep.spaces == "collapse":
        spaces = _Sub(rf"[\s{_BLANK}]{{2,}}|[^\S ]|[{_BLANK}]", " ")
        gate = re.compile(rf"\s\s|[^\S ]|[{_BLANK}]|\A | \Z").search
        stages.append(_Stage(gate, [spaces, _Sub(r"\A +| +\Z", "")]))
    return tuple(stages)


def _run_rules(prep: TextPrep) -> list[_Rule]:
    rules: list[_Rule] = []
    if cap := prep.laughter:
        rules.append(
            _Sub(rf"([ㅋㅎ]{{{cap}}})[ㅋㅎ]+|([ㅠㅜ]{{{cap}}})[ㅠㅜ]+|(([ㄱ-ㅣ])\4{{{cap - 1}}})\4+", r"\1\2\3")
        )
    if cap := prep.repeats:
        rules.append(_Sub(rf"({_NO_WORD})|([A-Za-z가-힣])\2{{{cap},}}", r"\1" + r"\2" * cap))
    if cap := prep.punctuation:
        rules.append(_Sub(rf"([^\w\s{_EMOJI}{_FLAG}\ufe0f\u200d]|_)\1{{{cap},}}", r"\1" * cap))
        rules.append(_Sub(rf"([!?！？]{{{2 * cap}}})[!?！？]+", r"\1"))
    if cap := prep.word_run:
        rules.append(_Sub(rf"(\w)\1{{{max(cap, 2)},}}", r"\1" * cap))
    return rules


def _run_gate(prep: TextPrep) -> str:
    """Whether anything at all stands often enough in a row."""
    caps = [cap for cap in (prep.laughter, prep.repeats, prep.punctuation, prep.word_run) if cap]
    parts = [rf"(\S)\1{{{min(caps)}}}"]
    if prep.laughter:
        parts.append(rf"[ㅋㅎ]{{{prep.laughter + 1}}}|[ㅠㅜ]{{{prep.laughter + 1}}}")
    if prep.punctuation:
        parts.append(rf"[!?！？]{{{2 * prep.punctuation + 1}}}")
    return "|".join(parts)


def _put_or_space(match: re.Match[str]) -> str:
    return match.group(1) or " "


def _has(part: str) -> Callable[[str], bool]:
    return lambda text: part in text


RECIPES: dict[str, TextPrep] = {
    "default": TextPrep(),
    "raw": TextPrep(
        recipe="raw",
        nfc=False,
        invisible="keep",
        jamo="keep",
        emoji_run=0,
        urls="keep",
        coda="keep",
        laughter=0,
        repeats=0,
        punctuation=0,
        spaces="keep",
    ),
    "seed001": TextPrep(
        recipe="seed001",
        invisible="keep",
        jamo="keep",
        masks="others",
        emoji="drop",
        emoji_run=0,
        symbols="drop",
        urls="seed001",
        coda="keep",
        laughter=0,
        repeats=0,
        punctuation=0,
        word_run=2,
    ),
}
"""The named recipes.

``default``
    Ours: cleans what no reader sees, shortens runs, keeps every digit, symbol and emotion mark.
``raw``
    Nothing at all.
``seed001``
    Seed 001's ``--removing-others yes --cleansing yes``, faults included: 漢字, ``♥ ★ … ‘ ’ ！`` are deleted, and its
    cut of repeated characters takes digits too (``10000원`` → ``100원``). Ours differs in two things: NFD text is
    composed first (the original deletes it), and the result is a fixed point. ``named("seed001", symbols="keep")``
    deletes no characters but emoji; ``named("raw", masks="others")`` is its ``--cleansing no``.
"""

_SWITCHES: tuple[str, ...] = tuple(item.name for item in fields(TextPrep) if item.name not in ("recipe", "version"))
