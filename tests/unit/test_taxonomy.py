"""Maps between label sets: complete, honest about loss, and right about probabilities."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maeum.errors import TaskMismatch, UsageError
from maeum.task import Label, Task, builtin_task, get_task
from maeum.taxonomy import Entry, LabelMap, declared_maps, find_map, read_map

DECLARED = {
    ("aihub-7", "nikl-ea"),
    ("aihub-7", "sentiment"),
    ("aihub-dialogue-6", "aihub-7"),
    ("goemotions", "aihub-7"),
    ("goemotions", "nikl-ea"),
    ("goemotions", "sentiment"),
    ("kote", "aihub-7"),
    ("kote", "nikl-ea"),
    ("kote", "sentiment"),
    ("nikl-ea", "aihub-7"),
    ("nikl-ea", "sentiment"),
    ("nsmc", "sentiment"),
    ("sentiment", "nsmc"),
}
EMOTIONS = ["kote", "goemotions", "nikl-ea", "aihub-7", "aihub-dialogue-6", "sentiment", "nsmc", "kobest-sentineg"]
PAIRS = [
    (source, target)
    for source in ["kote", "goemotions", "nikl-ea", "aihub-7", "aihub-dialogue-6"]
    for target in ["nikl-ea", "aihub-7", "sentiment", "nsmc", "kobest-sentineg"]
]


def between(source: str, target: str) -> LabelMap:
    return find_map(get_task(source), get_task(target))


def row(task: Task, **scores: float) -> np.ndarray:
    proba = np.zeros((1, len(task)), dtype=np.float32)
    for word, value in scores.items():
        proba[0, task.index(word)] = value
    return proba


# -- the files --------------------------------------------------------------------------------------------------------


def test_declared_pairs() -> None:
    assert {(item.source.name, item.target.name) for item in declared_maps()} == DECLARED


@pytest.mark.parametrize("item", declared_maps(), ids=lambda item: f"{item.source.name}-{item.target.name}")
def test_every_file_is_complete_and_says_why(item: LabelMap) -> None:
    assert [entry.source for entry in item.entries] == list(item.source.keys)
    assert item.basis
    assert not item.via
    for entry in item.entries:
        assert entry.kind != "lossy" or entry.note, entry.source
        assert list(entry.to) == [key for key in item.target.keys if key in entry.to], entry.source
    assert LabelMap.from_dict(item.to_dict()) == item


@pytest.mark.parametrize("item", declared_maps(), ids=lambda item: f"{item.source.name}-{item.target.name}")
def test_file_name_and_order_follow_the_tasks(item: LabelMap) -> None:
    path = Path(__file__).parents[2] / "src/maeum/taxonomies" / f"{item.source.name}_to_{item.target.name}.toml"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    assert list(data["entries"]) == list(item.source.keys)


def test_goemotions_follows_the_published_grouping() -> None:
    """``ekman_mapping.json`` of Demszky et al. 2020."""
    item = between("goemotions", "aihub-7")
    groups: dict[str, set[str]] = {}
    for entry in item.entries:
        (label,) = entry.to
        groups.setdefault(label, set()).add(entry.source)
    assert groups == {
        "분노": {"anger", "annoyance", "disapproval"},
        "혐오": {"disgust"},
        "공포": {"fear", "nervousness"},
        "행복": {"joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride"}
        | {"admiration", "desire", "caring"},
        "슬픔": {"sadness", "disappointment", "embarrassment", "grief", "remorse"},
        "놀람": {"surprise", "realization", "confusion", "curiosity"},
        "중립": {"neutral"},
    }


@pytest.mark.parametrize("source", ["kote", "goemotions"])
def test_the_ways_to_three_labels_agree(source: str) -> None:
    """44/28 → 3 says the same as 44/28 → 8 → 3 and 44/28 → 7 → 3 wherever those give one answer."""
    direct = {entry.source: set(entry.to) for entry in between(source, "sentiment").entries}
    allowed = {
        # ambiguous on the long way: surprise is neutral there, but these are not neutral in the data
        "경악",
        "당황/난처",
        "신기함/관심",
        "비장함",
    }
    for middle in ("nikl-ea", "aihub-7"):
        second = {entry.source: set(entry.to) for entry in between(middle, "sentiment").entries}
        for entry in between(source, middle).entries:
            through = set().union(*(second[key] for key in entry.to)) if entry.to else set()
            if len(through) == 1 and entry.source not in allowed:
                assert through == direct[entry.source], (middle, entry.source)


# -- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_emotion_tasks_are_connected(source: str, target: str) -> None:
    item = between(source, target)
    assert (item.source.name, item.target.name) == (source, target)


@pytest.mark.parametrize("name", EMOTIONS)
def test_same_task_is_the_identity(name: str) -> None:
    item = between(name, name)
    proba = np.random.default_rng(0).dirichlet(np.ones(len(item.source)), size=4).astype(np.float32)
    assert item.is_exact
    assert item.unreachable == ()
    np.testing.assert_allclose(item.map_proba(proba), proba, atol=1e-6)
    assert item.map_labels(item.source.keys[:1]) == item.target.keys[:1]


def test_equal_keys_in_another_order_are_put_in_order() -> None:
    source = Task("mine", "multiclass", (Label("긍정"), Label("부정")))
    item = find_map(source, get_task("nsmc"))
    assert item.is_exact
    np.testing.assert_allclose(item.map_proba(np.array([[0.9, 0.1]])), [[0.1, 0.9]], atol=1e-6)


def test_a_task_of_ones_own_with_known_keys_is_found() -> None:
    nikl = builtin_task("nikl-ea")
    mine = replace(nikl, name="mine", labels=nikl.labels[::-1])
    item = find_map(mine, get_task("aihub-7"))
    assert item.source is mine
    assert item.map_labels(["sadness"]) == ("슬픔",)
    back = find_map(get_task("aihub-7"), mine)
    assert back.map_labels(["행복"]) == ("joy",)


def test_no_map_lists_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAEUM_LANG", "en")
    with pytest.raises(TaskMismatch, match=r"from 'kote' there are maps to: .*nikl-ea"):
        between("kote", "chatbot")
    with pytest.raises(TaskMismatch, match=r"maps start from: aihub-7.*read_map"):
        between("chatbot", "kote")
    with pytest.raises(TaskMismatch, match="no map"):
        between("review-fashion", "sentiment")
    monkeypatch.setenv("MAEUM_LANG", "ko")
    with pytest.raises(TaskMismatch, match=r"갈 수 있는 과제: .*sentiment"):
        between("kote", "chatbot")


# -- chains -----------------------------------------------------------------------------------------------------------


def test_direct_map_wins_over_a_chain() -> None:
    assert between("kote", "sentiment").via == ()


def test_chain_is_lossy_if_a_step_is() -> None:
    item = between("aihub-dialogue-6", "nikl-ea")
    assert item.via == ("aihub-7",)
    kinds = {entry.source: entry.kind for entry in item.entries}
    assert kinds["분노"] == "exact"  # exact, exact
    assert kinds["불안"] == "lossy"  # lossy, exact
    down = {entry.source: entry for entry in between("aihub-dialogue-6", "sentiment").entries}
    assert down["분노"].kind == "lossy"  # exact, lossy
    assert down["당황"].note.count(" / ") == 1  # both reasons are kept
    assert "aihub-7 → sentiment" in between("aihub-dialogue-6", "sentiment").basis


def test_chain_drops_what_has_no_counterpart() -> None:
    item = between("kote", "kobest-sentineg")
    assert item.via == ("sentiment",)
    kinds = {entry.source: entry.kind for entry in item.entries}
    assert kinds["없음"] == kinds["놀람"] == "unmapped"
    assert kinds["기쁨"] == "lossy"
    assert item.rest == ""
    assert item.map_labels(["없음"]) == ()
    assert item.map_labels(["기쁨", "없음"]) == ("긍정",)


def test_chain_keeps_rest_and_none() -> None:
    three = builtin_task("aihub-7")
    first = LabelMap(
        source=builtin_task("nsmc"),
        target=builtin_task("nikl-ea"),
        entries=(Entry("부정", ("anger",), "lossy", "x"), Entry("긍정", (), "exact")),
    )
    from maeum.taxonomy import _compose

    item = _compose(first, find_map(builtin_task("nikl-ea"), three))
    assert item.entries[1] == Entry("긍정", ("중립",), "exact")  # no label at all → rest
    assert item.rest == ""  # a multiclass source always has a label
    again = _compose(find_map(builtin_task("nikl-ea"), three), find_map(three, builtin_task("sentiment")))
    assert again.rest == "중립"
    assert again.map_labels([]) == ("중립",)


# -- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "labels", "expected"),
    [
        ("kote", "nikl-ea", ["기쁨", "고마움", "놀람"], ("joy", "trust", "surprise")),
        ("kote", "nikl-ea", ["없음"], ()),
        ("kote", "nikl-ea", [], ()),
        ("kote", "aihub-7", ["불만", "짜증", "놀람"], ("분노",)),
        ("kote", "aihub-7", ["없음"], ("중립",)),
        ("goemotions", "aihub-7", ["neutral"], ("중립",)),
        ("goemotions", "nikl-ea", ["optimism"], ("joy", "anticipation")),
        ("nikl-ea", "aihub-7", ["기쁨"], ("행복",)),
        ("nikl-ea", "aihub-7", [], ("중립",)),
        ("nikl-ea", "sentiment", ["joy", "trust", "sadness"], ("긍정",)),
        ("nikl-ea", "sentiment", ["joy", "sadness"], ("부정",)),  # a tie: the first column
        ("aihub-7", "nikl-ea", ["중립"], ()),
        ("aihub-7", "nikl-ea", ["행복"], ("joy",)),
        ("nsmc", "sentiment", ["1"], ("긍정",)),
        ("sentiment", "nsmc", ["중립"], ()),
    ],
)
def test_map_labels(source: str, target: str, labels: list[str], expected: tuple[str, ...]) -> None:
    assert between(source, target).map_labels(labels) == expected


def test_unknown_label_gets_a_suggestion() -> None:
    with pytest.raises(TaskMismatch, match=r"sadnes.*sadness"):
        between("nikl-ea", "sentiment").map_labels(["sadnes"])


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_decisions_are_those_of_the_labels(source: str, target: str) -> None:
    item = between(source, target)
    y = np.eye(len(item.source), dtype=np.uint8)
    decided = item.map_decisions(y)
    assert decided.dtype == np.uint8
    for index, entry in enumerate(item.entries):
        assert item.target.decode(decided[index]) == item.map_labels([entry.source])
        assert set(item.target.decode(decided[index])) <= set(entry.to) | {item.rest}
    if item.target.kind == "multiclass":
        assert decided.sum(axis=1).max() == 1


# -- probabilities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_probabilities_are_probabilities(source: str, target: str) -> None:
    item = between(source, target)
    rng = np.random.default_rng(7)
    proba = rng.random((50, len(item.source)))
    if item.source.kind == "multiclass":
        proba /= proba.sum(axis=1, keepdims=True)
    proba[0], proba[1] = 0.0, 1.0
    out = item.map_proba(proba.astype(np.float32))
    assert out.dtype == np.float32
    assert out.shape == (50, len(item.target))
    assert out.min() >= 0
    assert out.max() <= 1
    if item.target.kind == "multiclass":
        np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)
    for key in item.unreachable:
        assert not out[1:, item.target.index(key)].any()
    assert item.map_proba(np.zeros((0, len(item.source)), np.float32)).shape == (0, len(item.target))


def test_multilabel_takes_the_maximum() -> None:
    kote = builtin_task("kote")
    item = find_map(kote, builtin_task("nikl-ea"))
    out = item.map_proba(row(kote, 짜증=0.6, 불만=0.7, 화남=0.2, 슬픔=0.1))[0]
    assert out[item.target.index("anger")] == pytest.approx(0.7)
    assert out[item.target.index("sadness")] == pytest.approx(0.1)
    assert out[item.target.index("joy")] == 0


def test_multiclass_source_adds_up() -> None:
    source = builtin_task("sentiment")
    item = LabelMap(
        source=source,
        target=Task("two", "multilabel", (Label("strong"), Label("other"))),
        entries=(
            Entry("부정", ("strong",), "lossy", "x"),
            Entry("중립", (), "exact"),
            Entry("긍정", ("strong",), "lossy", "x"),
        ),
    )
    np.testing.assert_allclose(item.map_proba(np.array([[0.3, 0.3, 0.4]])), [[0.7, 0]], atol=1e-6)
    assert item.unreachable == ("other",)


def test_multiclass_target_adds_and_divides() -> None:
    nikl = builtin_task("nikl-ea")
    item = find_map(nikl, builtin_task("aihub-7"))
    out = item.map_proba(row(nikl, joy=0.6, trust=0.4, anger=0.2))[0]
    mass = {"행복": 1.0, "분노": 0.2, "중립": 0.4}  # rest: 1 - 0.6
    for key in item.target.keys:
        assert out[item.target.index(key)] == pytest.approx(mass.get(key, 0) / 1.6)


def test_nothing_on_is_neutral_and_fades_in() -> None:
    nikl = builtin_task("nikl-ea")
    item = find_map(nikl, builtin_task("sentiment"))
    neutral = item.target.index("중립")
    assert item.map_proba(row(nikl))[0, neutral] == 1
    shares = [item.map_proba(row(nikl, joy=p))[0, neutral] for p in (0.001, 0.2, 0.5, 0.9)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.99  # a whisper of joy is not joy


def test_no_mass_and_no_rest_is_uniform_but_never_a_decision() -> None:
    item = between("sentiment", "nsmc")
    np.testing.assert_allclose(item.map_proba(np.array([[0.0, 1.0, 0.0]])), [[0.5, 0.5]])
    assert item.map_decisions(np.array([[0, 1, 0]])).tolist() == [[0, 0]]
    np.testing.assert_allclose(item.map_proba(np.array([[0.1, 0.8, 0.1]])), [[0.5, 0.5]])


def test_a_label_with_two_targets_is_shared() -> None:
    item = LabelMap(
        source=builtin_task("nsmc"),
        target=builtin_task("sentiment"),
        entries=(Entry("부정", ("부정", "중립"), "lossy", "x"), Entry("긍정", ("긍정",), "exact")),
    )
    np.testing.assert_allclose(item.map_proba(np.array([[0.6, 0.4]])), [[0.3, 0.3, 0.4]], atol=1e-6)


def test_wrong_number_of_columns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAEUM_LANG", "en")
    item = between("nikl-ea", "sentiment")
    for call in (item.map_proba, item.map_decisions):
        with pytest.raises(TaskMismatch, match=r"has 8 labels, .* got 2×7"):
            call(np.zeros((2, 7), np.float32))
        with pytest.raises(TaskMismatch, match=r"got 8$"):
            call(np.zeros(8, np.float32))


# -- about a map ------------------------------------------------------------------------------------------------------


def test_coverage_and_unreachable() -> None:
    item = between("aihub-7", "nikl-ea")
    assert item.unreachable == ("anticipation", "trust")
    assert item.coverage()["joy"] == "exact"
    assert item.is_exact
    item = between("nikl-ea", "sentiment")
    assert item.coverage() == {"부정": "lossy", "중립": "lossy", "긍정": "lossy"}
    assert not item.is_exact
    assert between("nikl-ea", "aihub-7").coverage()["중립"] == "lossy"  # by rest alone
    assert between("nsmc", "sentiment").unreachable == ("중립",)
    assert between("nsmc", "sentiment").is_exact


def test_rows_and_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    item = between("kote", "nikl-ea")
    rows = item.rows()
    assert rows[0] == {
        "source": "불평/불만",
        "kind": "lossy",
        "targets": ["anger"],
        "note": "불만은 약한 분노로 본다",
    }
    assert [entry["source"] for entry in rows] == list(item.source.keys)
    monkeypatch.setenv("MAEUM_LANG", "ko")
    page = item.to_markdown()
    assert "| 불평/불만 | 손실 | anger (분노) |" in page
    assert "| 없음 | 같음 | (라벨 없음) |" in page
    assert "| 비장함 | 없음 | – |" in page
    assert "(아무것도 없을 때)" in between("nikl-ea", "sentiment").to_markdown()
    assert (
        "'nikl-ea' 라벨 가운데 없음: 2/8 (anticipation (기대), trust (신뢰))"
        in between("aihub-7", "nikl-ea").to_markdown()
    )
    monkeypatch.setenv("MAEUM_LANG", "en")
    assert "labels of 'nikl-ea', unmapped: 2/8 (anticipation, trust)" in between("aihub-7", "nikl-ea").to_markdown()


# -- maps of one's own ------------------------------------------------------------------------------------------------

GOOD = """
source = "nsmc"
target = "sentiment"
[entries]
"긍정" = { kind = "exact", to = ["긍정"] }
"부정" = { kind = "exact", to = ["부정"] }
"""


def test_read_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert read_map(path).map_labels(["부정"]) == ("부정",)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('source = "nsmc"', 'source = "nsnc"', "nsnc"),
        ('source = "nsmc"', "", "missing: source"),
        ('source = "nsmc"', 'source = "nsmc"\nkind = "x"', "unknown: kind"),
        ('source = "nsmc"', 'source = "nsmc"\nrest = "중립"', "rest = '중립'"),
        ('"긍정" = { kind = "exact", to = ["긍정"] }', "", "missing 긍정"),
        ('"긍정" = {', '"싫음" = { kind = "unmapped", to = [] }\n"긍정" = {', "unknown 싫음"),
        ('to = ["긍정"]', 'to = ["좋음"]', "'좋음', which is not in task 'sentiment'"),
        ('to = ["긍정"]', "to = []", "is exact but becomes"),
        ('to = ["긍정"]', 'to = ["긍정", "중립"]', "is exact but becomes"),
        ('kind = "exact", to = ["긍정"]', 'kind = "lossy", to = []', "is lossy but becomes"),
        ('kind = "exact", to = ["긍정"]', 'kind = "unmapped", to = ["긍정"]', "is unmapped but becomes"),
        ('kind = "exact", to = ["긍정"]', 'kind = "sort of", to = ["긍정"]', "one of exact, lossy, unmapped"),
        ('{ kind = "exact", to = ["긍정"] }', '"긍정"', "must look like"),
        ('{ kind = "exact", to = ["긍정"] }', '{ kind = "exact", to = "긍정" }', "must look like"),
        ("[entries]", "[entries", "cannot be read as TOML"),
    ],
)
def test_a_broken_map_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, match: str
) -> None:
    monkeypatch.setenv("MAEUM_LANG", "en")
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=match) as caught:
        read_map(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothere"):
        read_map(tmp_path / "nothere.toml")
