"""Ensembles: weights, votes, folders inside folders, predictions files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maeum
from maeum.analyzer import Analyzer
from maeum.apps.cli import run
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Example, Input
from maeum.errors import DataError, FormatError, TaskMismatch, UsageError
from maeum.experiment import TrainSettings, train
from maeum.formats import write
from maeum.models.base import MODEL_KINDS, load_predictor
from maeum.models.linear import LinearClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import ABOVE_ALL, Thresholds
from maeum.voting import (
    MIN_ROWS,
    Member,
    VotePredictor,
    common_rows,
    ensemble,
    fit_weights,
    hard_vote,
    log_loss,
    open_members,
    save_ensemble,
    simplex,
    soft_vote,
    vote_predictions,
)

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("중립"), Label("긍정")))
CUES = ("신나고 기분 좋은 소식", "서러워 눈물이 고인다", "어이없고 짜증이 치민다")
FILLER = ("오늘", "골목", "우산", "점심", "버스", "화분", "저녁", "이웃", "주말", "전화", "시장", "커피")


def make_data(task: Task = MULTI, n: int = 120, seed: int = 3, prefix: str = "r") -> Dataset:
    rng = np.random.default_rng(seed)
    rows = []
    for row in range(n):
        on = {row % 3} | ({(row + 1) % 3} if task.kind == "multilabel" and row % 5 == 0 else set())
        words = [*rng.choice(FILLER, 3), *(CUES[label] for label in sorted(on)), f"{seed}{row}"]
        rows.append(Example(f"{prefix}{row}", " ".join(words), labels=tuple(task.keys[i] for i in sorted(on))))
    return Dataset(task, rows, source="made up")


def tiny(task: Task, *, seed: int = 1, clean: str = "default", n: int = 60, **more: object) -> Analyzer:
    data = make_data(task, n, seed)
    prep = TextPrep.named(clean)
    inputs = [prep.prepare_input(item) for item in data.inputs]
    return Analyzer(LinearClassifier(task, seed=seed).fit(inputs, data.y), prep=prep, **more)  # type: ignore[arg-type]


def vote_model(task: Task) -> VotePredictor:
    """The factory for the contract test: two preparations, unequal weights."""
    return VotePredictor(task, [tiny(task), tiny(task, seed=2, clean="raw")], weights=(0.7, 0.3))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """``a`` (one model) and ``b`` (three folds, other preparation) on the same rows, ``other`` on a foreign task."""
    place = tmp_path_factory.mktemp("runs")
    data = make_data(n=150)
    train(data, output=place / "a")
    train(data, output=place / "b", settings=TrainSettings(folds=3, clean="raw", calibrate=False))
    train(make_data(SINGLE, 90), output=place / "other")
    return place


@pytest.fixture(scope="module", params=["soft", "hard"])
def both(request, runs, tmp_path_factory) -> Path:
    members = open_members([runs / "a", runs / "b"])
    place = tmp_path_factory.mktemp("ens") / request.param
    return save_ensemble(ensemble(members, vote=request.param), place)


def table(task: Task, y: np.ndarray, proba: np.ndarray, ids: list[str] | None = None) -> OutOfFold:
    n = len(y)
    return OutOfFold(task, tuple(ids or [f"r{i:04d}" for i in range(n)]), y, proba.astype(np.float32), np.arange(n) % 4)


def gold(n: int, task: Task = MULTI, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if task.kind == "multiclass":
        return np.eye(len(task), dtype=np.uint8)[rng.integers(len(task), size=n)]
    return (rng.random((n, len(task))) < 0.35).astype(np.uint8)


def noisy(y: np.ndarray, noise: float, seed: int, task: Task = MULTI) -> np.ndarray:
    """Probabilities that know ``y`` through this much noise, about calibrated."""
    rng = np.random.default_rng(seed)
    logit = (y * 2.0 - 1) / noise**2 * 2 + rng.normal(size=y.shape) * 2 / noise
    if task.kind == "multiclass":
        p = np.exp(logit - logit.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)
    return 1 / (1 + np.exp(-logit))


# -- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=lambda t: t.kind)
def test_weights_find_the_better_member_and_sum_to_one(task):
    y = gold(400, task)
    good, poor = noisy(y, 1.2, 1, task), noisy(y, 6.0, 2, task)
    weights = fit_weights(y, [poor, good], task)
    assert weights[1] > 0.7
    assert sum(weights) == pytest.approx(1)
    mixed = soft_vote([poor, good], weights)
    assert log_loss(y, mixed, task) <= min(log_loss(y, p, task) for p in (good, poor)) + 1e-9


def test_a_member_of_pure_noise_gets_nothing():
    y = gold(500)
    noise = np.random.default_rng(9).random(y.shape)
    assert fit_weights(y, [noisy(y, 1.0, 1), noise], MULTI)[1] == 0


def test_equal_members_share_equally():
    y = gold(80)
    same = noisy(y, 2, 1)
    assert fit_weights(y, [same, same, same], MULTI) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert fit_weights(y, [same], MULTI) == (1.0,)


def test_alike_members_share_about_equally():
    y = gold(300)
    assert fit_weights(y, [noisy(y, 2, s) for s in (1, 2)], MULTI) == pytest.approx([0.5, 0.5], abs=0.15)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_the_order_of_members_permutes_the_weights_only(seed, order):
    y = gold(60, seed=seed)
    probas = [noisy(y, noise, seed + i) for i, noise in enumerate((1.0, 1.5, 3.0, 8.0))]
    weights = fit_weights(y, probas, MULTI)
    turned = fit_weights(y, [probas[i] for i in order], MULTI)
    assert turned == pytest.approx([weights[i] for i in order], abs=2e-3)


def test_the_fitted_weights_are_the_minimum():
    y = gold(200)
    probas = [noisy(y, noise, 5 + i) for i, noise in enumerate((1.5, 2.5, 2.0))]

    def loss(weights):
        mixed = soft_vote(probas, weights).astype(np.float64)
        pull = 5.0 * 3 / 2 * sum((w - 1 / 3) ** 2 for w in weights)
        return log_loss(y, mixed, MULTI) * y.size + pull

    best = loss(fit_weights(y, probas, MULTI))
    rng = np.random.default_rng(0)
    assert all(loss(tuple(rng.dirichlet(np.ones(3)))) >= best - 1e-3 for _ in range(300))


def test_weights_by_hand_are_checked():
    assert simplex([3, 1], 2) == (0.75, 0.25)
    for bad in ([1.0], [-1, 2], [0, 0], [float("nan"), 1]):
        with pytest.raises(UsageError, match="weight"):
            simplex(bad, 2)
    with pytest.raises(UsageError, match="no models"):
        VotePredictor(MULTI, [])


# -- the rules ----------------------------------------------------------------------------------------------


def decide(probas, rules, weights=None, empty="none"):
    ballots = [rule.decide(np.float32(p)) for p, rule in zip(probas, rules, strict=True)]
    score = hard_vote(probas, ballots, rules, weights or [1 / len(probas)] * len(probas))
    assert ((score >= 0) & (score <= 1)).all()
    return dataclasses.replace(Thresholds.default(MULTI), empty=empty).decide(score).tolist(), ballots


def rule(*values: float, empty: str = "none") -> Thresholds:
    return Thresholds(MULTI.keys, values, empty=empty)  # type: ignore[arg-type]


def test_hard_is_the_majority_whatever_the_margins():
    rules = [rule(0.5, 0.5, 0.5)] * 3
    probas = [np.array([[0.51, 0.49, 0.99]]), np.array([[0.51, 0.49, 0.0]]), np.array([[0.0, 1.0, 0.0]])]
    assert decide(probas, rules)[0] == [[1, 0, 0]]


def test_a_tie_goes_to_the_side_that_is_surer_from_its_own_threshold():
    # member 1 is far above its low threshold, member 2 barely below its own: the mean probability, .325, is no judge
    rules = [rule(0.2, 0.2, 0.2), rule(0.3, 0.3, 0.3)]
    probas = [np.array([[0.40, 0.21, 0.20]]), np.array([[0.25, 0.02, 0.30]])]
    assert decide(probas, rules)[0] == [[1, 0, 1]]


def test_nothing_passes_stays_empty_unless_the_highest_is_asked_for():
    rules = [rule(0.5, 0.9, 0.5)] * 2
    probas = [np.array([[0.4, 0.85, 0.1]]), np.array([[0.4, 0.85, 0.1]])]
    assert decide(probas, rules)[0] == [[0, 0, 0]]
    assert decide(probas, rules, empty="argmax")[0] == [[0, 1, 0]]


def test_a_member_that_fills_its_empty_rows_votes_for_what_it_filled_in():
    filling = rule(0.9, 0.9, 0.9, empty="argmax")
    probas = [np.array([[0.3, 0.2, 0.1]])] * 3
    assert decide(probas, [filling, filling, rule(0.9, 0.9, 0.9)])[0] == [[1, 0, 0]]


def test_weights_of_a_hard_vote_count():
    rules = [rule(0.5, 0.5, 0.5)] * 3
    probas = [np.array([[0.9, 0.1, 0.9]]), np.array([[0.4, 0.6, 0.9]]), np.array([[0.4, 0.6, 0.1]])]
    assert decide(probas, rules)[0] == [[0, 1, 1]]
    assert decide(probas, rules, [0.8, 0.1, 0.1])[0] == [[1, 0, 1]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hard_with_equal_weights_is_exactly_the_majority(data):
    m = data.draw(st.integers(1, 6))
    corner = st.sampled_from([0.0, 0.2, 0.5, 1.0, ABOVE_ALL])
    cut = st.one_of(corner, st.floats(0, 1, width=32))
    p = st.one_of(corner.map(lambda v: min(v, 1.0)), st.floats(0, 1, width=32))
    rules = [rule(*data.draw(st.tuples(cut, cut, cut))) for _ in range(m)]
    probas = [np.array([data.draw(st.tuples(p, p, p))]) for _ in range(m)]
    found, ballots = decide(probas, rules)
    votes = sum(ballot.astype(int) for ballot in ballots)[0]
    for label, count in enumerate(votes):
        if 2 * count != m:
            assert found[0][label] == int(2 * count > m)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_multiclass_rows_sum_to_one_and_the_most_votes_win(data):
    m = data.draw(st.integers(1, 5))
    raw = [np.array([data.draw(st.tuples(*[st.floats(0.01, 1)] * 3))]) for _ in range(m)]
    probas = [p / p.sum(1, keepdims=True) for p in raw]
    best = Thresholds.default(SINGLE)
    ballots = [best.decide(p) for p in probas]
    score = hard_vote(probas, ballots, [best] * m, [1 / m] * m)
    assert score.sum(1) == pytest.approx([1], abs=1e-5)
    votes = sum(ballot.astype(int) for ballot in ballots)[0]
    winner = int(score[0].argmax())
    assert votes[winner] == votes.max()
    mean = sum(probas)[0]
    ties = np.flatnonzero(votes == votes.max())
    assert mean[winner] == pytest.approx(mean[ties].max(), abs=1e-6)


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=lambda t: t.kind)
@pytest.mark.parametrize("clean", ["default", "raw", "seed001"])
def test_an_ensemble_of_one_is_its_member(task, clean):
    member = tiny(task, clean=clean)
    texts = ["  신나고   기분 좋은 소식 ㅋㅋㅋㅋㅋㅋㅋㅋ", "어이없고!!!!!! 짜증", "", "서러워 😭😭😭😭😭"]
    inputs = [Input(text) for text in texts]
    alone = VotePredictor(task, [member])
    assert np.array_equal(alone.predict_proba(inputs), member.predict_proba(inputs))
    vote = VotePredictor(task, [member], vote="hard").predict_proba(inputs)
    assert np.array_equal(Thresholds.default(task).decide(vote), member.decide(member.predict_proba(inputs)))


def test_members_prepare_for_themselves():
    first, second = tiny(MULTI), tiny(MULTI, seed=2, clean="seed001")
    text = "와아아아아아 10000원 ♥ 신나고 기분 좋은 소식"
    found = VotePredictor(MULTI, [first, second], weights=(1, 3)).predict_proba([Input(text)])
    want = 0.25 * first.predict_proba([text]) + 0.75 * second.predict_proba([text])
    assert found == pytest.approx(want, abs=1e-6)


def test_a_foreign_task_is_refused(runs):
    with pytest.raises(TaskMismatch, match="same task"):
        VotePredictor(MULTI, [tiny(SINGLE)])
    with pytest.raises(TaskMismatch, match=r"'multi'.*'single'"):
        open_members([runs / "a", runs / "other"])


# -- rows in common -----------------------------------------------------------------------------------------


def test_rows_in_common_are_found_by_id_in_any_order():
    y = gold(6)
    p = noisy(y, 2, 1)
    first = table(MULTI, y, p, list("abcdef"))
    other = table(MULTI, y[::-1][:4], p[::-1][:4], list("fedc"))
    left, right = common_rows([first, other], ["x", "y"])
    assert left.ids == right.ids == ("c", "d", "e", "f")
    assert np.array_equal(left.proba, right.proba)
    assert np.array_equal(left.y, y[2:])


def test_the_same_id_with_other_labels_is_an_error():
    y = gold(6)
    other = y.copy()
    other[3] = 1 - other[3]
    with pytest.raises(DataError, match=r"row 'r0003' .* \(1 such rows\).*--data"):
        common_rows([table(MULTI, y, y), table(MULTI, other, y)], ["x", "y"])


def members_with(*probas: np.ndarray, y: np.ndarray, drop: int = 0) -> list[Member]:
    tables = [table(MULTI, y, p) for p in probas]
    last = tables[-1]
    cut = len(y) - drop
    tables[-1] = OutOfFold(MULTI, last.ids[:cut], last.y[:cut], last.proba[:cut], last.fold[:cut])
    return [Member(f"m{i}", tiny(MULTI, n=12), t) for i, t in enumerate(tables)]


def test_the_order_of_members_changes_neither_scores_nor_thresholds():
    y = gold(200)
    first, second = members_with(noisy(y, 1.5, 1), noisy(y, 2.5, 2), y=y)
    one, other = ensemble([first, second]), ensemble([second, first])
    assert one.weights.how == "fitted"
    assert one.weights.values == pytest.approx(other.weights.values[::-1], abs=1e-3)
    assert one.oof.ids == other.oof.ids
    assert one.oof.proba == pytest.approx(other.oof.proba, abs=1e-3)
    assert np.array_equal(one.oof.fold, other.oof.fold)
    assert one.analyzer.thresholds.values == pytest.approx(other.analyzer.thresholds.values, abs=0.02)


def test_too_few_rows_in_common_means_equal_weights_and_says_why():
    y = gold(60)
    members = members_with(noisy(y, 1, 1), noisy(y, 5, 2), y=y, drop=60 - MIN_ROWS + 1)
    found = ensemble(members)
    assert found.weights.values == (0.5, 0.5)
    assert found.weights.sentence().startswith("weights: equal, because")
    assert f"only {MIN_ROWS - 1} rows" in found.weights.why
    assert found.report is None
    assert "thresholds are the mean" in found.notes[0]


def test_without_rows_the_thresholds_are_the_mean_of_the_members():
    members = [
        Member(str(i), tiny(MULTI, n=12, thresholds=rule(*values, empty=empty)))
        for i, (values, empty) in enumerate([((0.2, 0.4, 0.6), "argmax"), ((0.4, 0.4, ABOVE_ALL), "none")])
    ]
    found = ensemble(members, weights=[3, 1]).analyzer.thresholds
    assert found.values[:2] == pytest.approx([0.25, 0.4])
    assert found.empty == "argmax"


def test_labelled_rows_given_are_used_instead(runs):
    unseen = make_data(n=60, seed=8, prefix="u")
    found = ensemble(open_members([runs / "a", runs / "b"]), data=unseen)
    assert found.weights.how == "fitted"
    assert len(found.oof.ids) == 60
    assert unseen.fingerprint in found.analyzer.thresholds.tuned_on
    assert found.report.tuned_on_same_rows
    assert maeum.evaluate(found.analyzer, unseen).tuned_on_same_rows
    with pytest.raises(UsageError, match="at least 50"):
        ensemble(open_members([runs / "a", runs / "b"]), data=unseen[:30])
    assert ensemble(open_members([runs / "a", runs / "b"]), data=unseen[:30], equal=True).score


def test_rows_a_member_was_trained_on_are_refused_or_left_out(runs):
    members = open_members([runs / "a", runs / "b"])
    known, unseen = make_data(n=150), make_data(n=60, seed=8, prefix="u")
    with pytest.raises(UsageError, match="trained on these very rows"):
        ensemble(members, data=known)
    mixed = Dataset(MULTI, [*known[:100], *unseen])
    found = ensemble(members, data=mixed)
    assert set(found.oof.ids) == set(unseen.ids)
    assert "100 rows of --data were left out" in found.notes[0]
    # the same ids on other rows are no sign of anything
    strangers = Dataset(MULTI, [dataclasses.replace(e, id=f"r{i + 1}") for i, e in enumerate(unseen)])
    assert len(ensemble(members, data=strangers).oof.ids) == 60


def test_options_that_contradict_each_other(runs):
    members = open_members([runs / "a", runs / "b"])
    with pytest.raises(UsageError, match="exclude"):
        ensemble(members, weights=[1, 1], equal=True)
    with pytest.raises(UsageError, match="no --objective"):
        ensemble(members, vote="hard", objective="micro-f1")
    with pytest.raises(TaskMismatch, match="single"):
        ensemble(members, data=make_data(SINGLE))
    with pytest.raises(UsageError, match="no models"):
        ensemble([])


# -- folders ------------------------------------------------------------------------------------------------


def test_saved_and_loaded_is_the_same(both):
    texts = make_data(seed=4).texts
    analyzer = maeum.load(both)
    members = [maeum.load(both / "model" / "members" / str(i)) for i in range(2)]
    again = VotePredictor(MULTI, members, vote=analyzer.predictor.vote, weights=analyzer.predictor.weights)
    assert np.array_equal(analyzer.predictor.predict_proba([Input(t) for t in texts]), again.predict_proba(
        [Input(t) for t in texts]
    ))  # fmt: skip
    assert [member.prep.recipe for member in members] == ["default", "raw"]
    assert analyzer.prep == TextPrep.named("raw")
    assert {"report.json", "report.html", "README.md", "oof.safetensors"} <= {path.name for path in both.iterdir()}
    maeum.save(analyzer, both.parent / f"{both.name}-copy", overwrite=True)
    copy = maeum.load(both.parent / f"{both.name}-copy")
    assert np.array_equal(analyzer.predict_proba(texts), copy.predict_proba(texts))


def test_the_out_of_fold_table_is_what_the_members_say(both, runs):
    analyzer = maeum.load(both)
    oof = OutOfFold.load(both, MULTI)
    members = open_members([runs / "a", runs / "b"])
    tables = common_rows([m.oof for m in members], ["a", "b"])
    assert oof.ids == tables[0].ids
    probas = [m.analyzer.calibration.apply(t.proba) for m, t in zip(members, tables, strict=True)]
    assert np.array_equal(oof.proba, analyzer.predictor.scores(probas))


def test_thresholds_say_where_they_come_from(both):
    found = maeum.load(both).thresholds
    if both.name == "hard":
        assert found.values == (0.5,) * 3
        assert found.objective == "votes"
        assert found.empty == "none"
    else:
        assert found.objective == "macro-f1"
        assert "weights were fitted on the same rows" in found.tuned_on


def test_an_edited_member_is_refused(both, tmp_path):
    import shutil

    for name in ("thresholds.json", "manifest.json"):
        place = tmp_path / name
        shutil.copytree(both, place)
        inner = place / "model" / "members" / "1" / name
        inner.write_text(inner.read_text().replace("0", "1", 1)) if name != "manifest.json" else inner.unlink()
        with pytest.raises(FormatError):
            maeum.load(place)


def test_ensembles_nest_and_folds_are_members(both, runs, tmp_path):
    members = open_members([both, runs / "b" / "folds" / "0", runs / "a"])
    fold = members[1].oof
    assert fold is not None
    assert set(fold.fold) == {0}
    found = ensemble(members)
    assert found.weights.how == "fitted"
    assert set(found.oof.ids) == set(fold.ids)
    save_ensemble(found, tmp_path / "nest")
    texts = make_data(seed=5).texts
    analyzer = maeum.load(tmp_path / "nest")
    assert np.array_equal(analyzer.predict_proba(texts), found.analyzer.predict_proba(texts))
    assert isinstance(analyzer.predictor.members[0].predictor, VotePredictor)


def test_folds_of_one_run_share_no_rows(runs):
    found = ensemble(open_members([runs / "b" / "folds" / "0", runs / "b" / "folds" / "1"]))
    assert found.weights.how == "equal"
    assert "only 0 rows" in found.weights.why


def test_a_multiclass_ensemble_of_a_folder(runs, tmp_path):
    members = open_members([runs / "other"] * 2)
    for vote in ("soft", "hard"):
        found = ensemble(members, vote=vote)
        save_ensemble(found, tmp_path / vote)
        analyzer = maeum.load(tmp_path / vote)
        proba = analyzer.predict_proba(["신나고 기분 좋은 소식", "버스"])
        assert proba.sum(1) == pytest.approx([1, 1], abs=1e-5)
        assert analyzer.thresholds.is_argmax
        assert (analyzer.decide(proba).sum(1) == 1).all()


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=lambda t: t.kind)
def test_contract(task, tmp_path):
    model = vote_model(task)
    assert MODEL_KINDS["vote"] == "maeum.voting:VotePredictor"
    with pytest.raises(TypeError, match="str"):
        model.predict_proba("기쁘다")  # type: ignore[arg-type]
    assert model.predict_proba([]).shape == (0, 3)
    inputs = [*make_data(task, 20).inputs, Input(""), Input("가" * 3000), Input("\x00\ud800 이상한 글자")]
    whole = model.predict_proba(inputs)
    assert whole.dtype == np.float32
    single = np.concatenate([model.predict_proba([item]) for item in inputs])
    assert np.abs(whole - single).max() <= 1e-6
    model.save(tmp_path)
    again = load_predictor("vote", tmp_path, task)
    assert np.array_equal(whole, again.predict_proba(inputs))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}


# -- predictions files --------------------------------------------------------------------------------------


def write_file(path: Path, data: Dataset, proba: np.ndarray, labels: np.ndarray | None = None) -> Path:
    lines = []
    for row, example in enumerate(data):
        item: dict[str, object] = {"id": example.id, "text": example.text, "target": example.to_dict()["target"]}
        if labels is not None:
            item["labels"] = list(data.task.decode(labels[row]))
        item["scores"] = dict(zip(data.task.keys, map(float, proba[row]), strict=True))
        lines.append(json.dumps(item, ensure_ascii=False))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_predictions_are_averaged_row_by_row(tmp_path):
    data = make_data(n=80)
    first, second = noisy(data.y, 1.5, 1), noisy(data.y, 4, 2)
    a = write_file(tmp_path / "a.jsonl", data, first)
    turned = np.arange(80)[::-1]
    b = write_file(tmp_path / "b.jsonl", data.select(turned), second[turned])
    plain = vote_predictions([a, b], MULTI)
    assert plain.weights.how == "equal"
    assert [row.id for row in plain.rows] == data.ids
    found = np.array([list(row.scores.values()) for row in plain.rows])
    assert found == pytest.approx((first + second) / 2, abs=1e-6)
    fitted = vote_predictions([a, b], MULTI, data=data)
    assert fitted.weights.values[0] > 0.6
    assert fitted.score["macro_f1"] >= max(m.metrics["macro_f1"] for m in fitted.members) - 0.05
    assert data.fingerprint in fitted.thresholds.tuned_on


def test_the_labels_in_the_files_are_the_ballots(tmp_path):
    data = make_data(n=60)
    low = np.full((60, 3), 0.2)
    never = np.zeros((60, 3), np.uint8)
    files = [
        write_file(tmp_path / "a.jsonl", data, low, data.y),
        write_file(tmp_path / "b.jsonl", data, low, data.y),
        write_file(tmp_path / "c.jsonl", data, low, never),
    ]
    voted = vote_predictions(files, MULTI, vote="hard", data=data)
    assert [row.labels for row in voted.rows] == [example.labels for example in data]
    assert voted.score["micro_f1"] == 1
    assert voted.thresholds.objective == "votes"


def test_files_of_other_rows_are_refused(tmp_path):
    data, other = make_data(n=60), make_data(n=60, seed=9)
    a = write_file(tmp_path / "a.jsonl", data, noisy(data.y, 2, 1))
    b = write_file(tmp_path / "b.jsonl", other[:50], noisy(other[:50].y, 2, 1))
    with pytest.raises(DataError, match="cannot be matched"):
        vote_predictions([a, b], MULTI)


# -- the command line ---------------------------------------------------------------------------------------


def cli(capsys, *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in words])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_command_on_folders(runs, tmp_path, capsys):
    out = tmp_path / "both"
    code, text, err = cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--quiet")
    assert code == 0, err
    assert "vote" in text
    assert "weights: fitted" in text
    code, text, _ = cli(
        capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--json", "--vote", "hard", "--overwrite"
    )
    found = json.loads(text)
    assert code == 0
    assert found["weights"]["how"] == "equal"
    assert len(found["members"]) == 2
    assert 0 <= found["metrics"]["micro_f1"] <= 1
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out)[0] == 1
    write(make_data(seed=6), tmp_path / "new.jsonl", "jsonl")
    code, text, err = cli(capsys, "evaluate", out, tmp_path / "new.jsonl")
    assert code == 0, err
    code, text, err = cli(capsys, "thresholds", out, "--json")
    assert code == 0, err
    assert json.loads(text)["objective"] == "votes"


def test_command_on_predictions(tmp_path, capsys):
    data = maeum.read("sample:nikl-ea")[:80]
    a = write_file(tmp_path / "a.jsonl", data, noisy(data.y, 1.5, 1))
    rows = [
        {"text": e.text, "target": e.target.form, **dict(zip(data.task.keys, (p * 100).tolist(), strict=True))}
        for e, p in zip(data, noisy(data.y, 2, 2), strict=True)
    ]
    b = tmp_path / "b_predict.json"
    b.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    gold_file = tmp_path / "gold.jsonl"
    write(data, gold_file, "jsonl")
    out = tmp_path / "both.jsonl"
    words = ("ensemble", a, b, "-o", out, "--data", gold_file, "--task", "nikl-ea")
    code, text, err = cli(capsys, *words, "--json")
    assert code == 0, err
    found = json.loads(text)
    assert found["weights"]["how"] == "fitted"
    assert found["predictions"] == len(out.read_text(encoding="utf-8").splitlines()) == 80
    assert cli(capsys, *words)[0] == 1
    assert cli(capsys, *words, "--overwrite")[0] == 0
    code, text, _ = cli(capsys, "ensemble", a, b, "-o", tmp_path / "both.csv", "--weights", "0.6,0.4")
    assert code == 0
    assert "set by hand" in text
    code, text, _ = cli(capsys, "ensemble", a, b, "-o", "-", "--equal")
    assert code == 0
    assert len(text.splitlines()) == 80


def test_command_says_what_is_wrong(runs, tmp_path, capsys):
    file = write_file(tmp_path / "a.jsonl", make_data(n=5), gold(5))
    out = tmp_path / "out"
    code, _, err = cli(capsys, "ensemble", runs / "a", file, "-o", out)
    assert code == 1
    assert "maeum predict" in err
    assert cli(capsys, "ensemble", runs / "a", "-o", out)[0] == 2
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--weights", "x")[0] == 2
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--weights", "1,2", "--equal")[0] == 2
    code, _, err = cli(capsys, "ensemble", runs / "a", runs / "other", "-o", out)
    assert code == 1
    assert "same task" in err
    assert not out.exists()
