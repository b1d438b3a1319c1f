"""``--set report_to=mlflow`` with a store in a file: what a training run leaves in it."""

from __future__ import annotations

import pytest

from maeum.data import Dataset
from maeum.experiment import TrainSettings, train
from maeum.formats import read

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.mark.filterwarnings("default")
def test_each_fold_is_a_run_with_metrics_and_parameters(tiny_base, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_NESTED_RUN", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    data = read("sample:nikl-ea")
    options = {
        "report_to": "mlflow",
        "epochs": 1.0,
        "max_length": 24,
        "device": "cpu",
        "learning_rate": 1e-3,
        "batch_size": 32,
    }
    settings = TrainSettings(model=f"encoder:{tiny_base('klue-bert')}", folds=2, model_options=options)
    train(Dataset(data.task, data[:60], source="rows"), settings=settings, output=tmp_path / "model")

    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("maeum")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"model fold 1/2", "model fold 2/2"}
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert {"loss", "eval_loss", "eval_micro_f1", "eval_macro_f1"} <= set(run.data.metrics)
        assert float(run.data.params["learning_rate"]) == 1e-3
        assert run.data.params["per_device_train_batch_size"] == "32"
        assert [point.step for point in client.get_metric_history(run.info.run_id, "eval_loss")] == [1]
    assert mlflow.active_run() is None
