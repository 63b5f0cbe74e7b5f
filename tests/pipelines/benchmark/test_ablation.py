"""The ablation: each run changes one thing, and the table says by how much it matters."""

import shutil
from pathlib import Path

import pytest
import torch

from pipelines.benchmark.ablation import SWITCHES, ablation_table, plan_ablation, run_ablation
from pipelines.benchmark.rows import Row
from pipelines.home import Home
from simvp.networks.simvp import SimVP
from tests.pipelines.benchmark.test_run import SMALL


def test_every_run_changes_one_field_of_the_network_and_nothing_else() -> None:
    configs = plan_ablation("moving-mnist", preset="full", changes={"seed": 3})
    whole = configs.pop("whole network")
    fields = []
    for name, config in configs.items():
        changed = {field for field, value in config.network.items() if value != whole.network[field]}
        assert len(changed) == 1, name
        fields += changed
        assert config.model_copy(update={"network": whole.network}) == whole
        with torch.device("meta"):
            SimVP(config.sizes)
    switches = {"spatial_shortcut", "temporal_shortcuts", "group_norm", "group_conv", "kernels", "hid_S", "hid_T"}
    assert set(fields) == switches
    assert whole.seed == 3
    assert configs["hid_T 256 instead of 512"].sizes.hid_T == 256


def test_the_paper_s_switches_come_in_its_order() -> None:
    assert list(SWITCHES)[:5] == [
        "whole network",
        "no spatial shortcut",
        "no temporal shortcuts",
        "no group normalisation",
        "no group convolution",
    ]


def row(mse: float) -> Row:
    return Row(
        data="moving-mnist", horizon=10, method="SimVP", selected_on="validation", train="digits", test="clips",
        comparable=True, published=False, source="run a", epochs=3, updates_per_epoch=5, seconds_per_epoch=1.5, seed=0,
        scores={"mse_per_frame": mse, "ssim_paper": 0.9, "psnr": 20.0}, parameters=1_000_000, multiply_adds=2 * 10**9,
    )  # fmt: skip


def test_the_table_sets_each_run_against_the_whole_network() -> None:
    lines = ablation_table({"whole network": row(50.0), "no group convolution": row(60.0)}).splitlines()
    assert "| whole network | 50 | +0.0 % | 0.9000 | 20 | 1 M | 2 G | 1.5 |" in lines
    assert "| no group convolution | 60 | +20.0 % | 0.9000 | 20 | 1 M | 2 G | 1.5 |" in lines
    assert "One seed does not tell small differences from chance." in " ".join(lines)
    assert any("trained on digits; tested on clips" in line.lower() for line in lines)


def test_runs_are_made_once_and_none_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    home = Home(tmp_path)
    home.mlflow.mkdir()
    shutil.copy(empty_database, home.mlflow / "mlflow.db")
    changes = {**SMALL, "epochs": 1, "epoch_updates": 1, "validation_clips": 2, "test_clips": 2}
    configs = plan_ablation(
        "moving-mnist", preset="quick", changes={k: v for k, v in changes.items() if k != "kernels"}
    )
    chosen = {name: configs[name] for name in ("whole network", "no spatial shortcut")}
    told: list[str] = []
    made = run_ablation(home, chosen, progress=lambda what, done, total: told.append(what))
    assert made.path == tmp_path / "benchmarks" / "ablation-moving-mnist.md"
    assert "| no spatial shortcut |" in made.path.read_text()
    assert made.rows["no spatial shortcut"].parameters < made.rows["whole network"].parameters
    assert told[0].startswith("1/2 whole network: ")
    assert told[-1].startswith("2/2 no spatial shortcut: ")
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    assert client.search_registered_models() == []
    again = run_ablation(home, chosen, progress=lambda *event: pytest.fail(str(event)))
    assert again.rows == made.rows
