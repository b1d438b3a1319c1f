"""The bars of the linear model on the real data, thresholds from out-of-fold rows, judged on rows nobody tuned to."""

from __future__ import annotations

import pytest

import maeum

pytestmark = [pytest.mark.slow, pytest.mark.data]


@pytest.mark.parametrize(("name", "bar"), [("kote", 0.47), ("goemotions_ko", 0.44)])
def test_macro_f1(data_dir, name, bar):
    format = {"kote": "kote", "goemotions_ko": "goemotions"}[name]
    train = maeum.read(data_dir / name / "train.tsv", format=format)
    dev = maeum.read(data_dir / name / "dev.tsv", format=format)
    result = maeum.train(train, valid=dev)
    assert result.report.metrics["macro_f1"] >= bar


def test_nsmc_accuracy(data_dir):
    result = maeum.train(maeum.read(data_dir / "nsmc" / "train.tsv", format="nsmc"), valid=0.1)
    assert result.report.metrics["accuracy"] >= 0.882
