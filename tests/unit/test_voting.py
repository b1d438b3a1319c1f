"""Ensembles of model folders: the model that votes, rows in common, folders inside folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from voting_kit import MULTI, SINGLE, gold, make_data, noisy, rule, table, tiny

import maeum
from maeum._files import read_json
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Input
from maeum.errors import DataError, FormatError, TaskMismatch, UsageError
from maeum.experiment import TrainSettings, train
from maeum.models.base import MODEL_KINDS
from maeum.text import TextPrep
from maeum.thresholds import ABOVE_ALL, Thresholds
from maeum.voting import (
    MIN_ROWS,
    Member,
    VotePredictor,
    common_rows,
    ensemble,
    open_members,
    save_ensemble,
)


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
    saved = analyzer.predictor
    again = VotePredictor(MULTI, members, vote=saved.vote, weights=saved.weights, pool=saved.pool)
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


def test_a_model_trained_once_beside_one_with_folds(tmp_path):
    """The first has out-of-fold rows of its held tenth alone: those are the rows in common, in the same order."""
    data = make_data(n=600)
    train(data, output=tmp_path / "linear")
    linear = OutOfFold.load(tmp_path / "linear", MULTI)
    held = np.arange(7, 600, 10)[::-1]
    once = OutOfFold(MULTI, tuple(linear.ids[i] for i in held), linear.y[held], linear.proba[held], np.zeros(60, int))
    analyzer = tiny(MULTI, about={"train": {"rows": 600, "fingerprint": "elsewhere"}})
    (member,) = open_members([tmp_path / "linear"])
    members = [member, Member("once", analyzer, once)]
    for order in (members, members[::-1]):
        found = ensemble(order)
        assert found.weights.how == "fitted"
        assert found.oof.ids == tuple(sorted(once.ids))
        assert set(found.oof.fold) == set(range(5))
        rows = [data.ids.index(row_id) for row_id in found.oof.ids]
        assert np.array_equal(found.oof.y, data.y[rows])
    # its table is of rows it has not seen, so that they are no reason to leave rows of --data out
    known = data.select(sorted(held.tolist()))
    assert set(ensemble([members[1]] * 2, data=known).oof.ids) == set(once.ids)
    with pytest.raises(UsageError, match="linear' was trained on these"):
        ensemble(members, data=known)


def test_rows_that_tuned_are_not_said_to_have_judged(runs, tmp_path):
    unseen = make_data(n=60, seed=8, prefix="u")
    for vote in ("soft", "hard"):
        place = tmp_path / vote
        made = maeum.ensemble([runs / "a", runs / "b"], data=unseen, vote=vote, output=place)
        about = read_json(place / "settings.json")
        said = {"source": "made up", "rows": 60, "fingerprint": unseen.fingerprint}
        assert about["tuned" if vote == "soft" else "valid"] == said
        assert about["valid" if vote == "soft" else "tuned"] is None
        assert made.to_dict()["rows"] == "made up (60 rows)"
        assert f"| {runs / 'a'} | linear | 0." in made.report.to_markdown() + made.report.to_html()


def test_an_ensemble_that_nothing_was_measured_for(runs, tmp_path):
    from maeum.runs import collect

    found = maeum.ensemble([runs / "b" / "folds" / name for name in "012"], output=tmp_path / "unmeasured")
    assert found.report is None
    assert {path.name for path in (tmp_path / "unmeasured").iterdir()}.isdisjoint({"report.json", "oof.safetensors"})
    assert "Nothing was measured" in (tmp_path / "unmeasured" / "README.md").read_text(encoding="utf-8")
    maeum.ensemble([str(runs / "a"), str(runs / "b")], output=tmp_path / "both")
    first, last = collect(tmp_path)
    assert (first["run"], first["judged_on"], first["rows"]) == ("both", "out-of-fold", 150)
    assert last["run"] == "unmeasured"
    assert "micro_f1" not in last
    assert not last.get("problem")


def test_the_kind_in_a_folder_finds_the_class():
    assert MODEL_KINDS["vote"] == f"{VotePredictor.__module__.rpartition('.')[0]}:{VotePredictor.__name__}"
    with pytest.raises(UsageError, match="no models"):
        VotePredictor(MULTI, [])
