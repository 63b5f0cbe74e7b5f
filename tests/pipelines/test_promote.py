"""The registry on a real MLflow database: versions, aliases, promotion, rollback, and hands that move aliases."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xarray as xr

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.gate import Gate
from pipelines.evaluation.pictures import draw
from pipelines.home import Home
from pipelines.promote import Promotion, promote, rollback
from pipelines.tracking.runs import open_run
from pipelines.tracking.versions import (
    find_version,
    list_versions,
    model_name,
    open_registry,
    register_version,
    resolve_version,
    set_challenger,
)
from simvp.errors import ContractError, RegistryError
from simvp.inference.forecaster import Forecaster
from simvp.inference.registry import Registry, Version
from tests.support.small_home import DATASET, small_home
from tests.support.wave_home import HELD_OUT, TRAIN, forecaster, wave_home

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

GATE = Gate(draws=500)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One database for all tests; each takes a data set of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield Home(tmp_path_factory.mktemp("registry"))


@functools.cache
def logged_model(home: Home) -> tuple[str, str]:
    """Address and run of a model that was really logged, once for all versions."""
    file = home.path / "model.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not read in these tests")
    with open_run(home, "toys", "a training") as run:
        return run.log_model(file, forecaster().spec), run.run_id


class Models:
    """Models of one data set: registered with a real run and file, and looked up here when they are loaded.

    The toys that forecast exactly have no file of their own; `test_forecaster.py` and the training's tests load real
    files.
    """

    def __init__(self, home: Home, dataset: str, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.home, self.dataset, self.folder = home, dataset, folder
        self.forecasters: dict[str, Forecaster] = {}
        wave_home(home, dataset)
        patch.setattr(Registry, "load", lambda registry, version, device=None: self.forecasters[version.version])

    def add(self, error: float, key: str = "", **settings: object) -> Version:
        key = key or f"key {len(self.forecasters)} of {self.dataset}"
        source, run_id = logged_model(self.home)
        tags = {"training_key": key, "fingerprint": f"{len(self.forecasters):016x}"}
        made = register_version(self.home, self.dataset, source=source, run_id=run_id, tags=tags)
        self.forecasters[made.version] = forecaster(error, version=made.label, **settings)  # type: ignore[arg-type]
        return made

    def promote(self, version: str | int | None = None) -> Promotion:
        return promote(self.home, self.dataset, version, gate=GATE, batch=128)

    def champion(self) -> str:
        return resolve_version(self.home, self.dataset).version

    def move_by_hand(self, version: str) -> None:
        client = self._client()
        client.set_registered_model_alias(model_name(self.dataset), "champion", version)

    def history(self) -> list[str]:
        found = self._client().get_registered_model(model_name(self.dataset))
        return json.loads(found.tags["champions"])

    def artifact(self, version: Version, path: str) -> str:
        client = self._client()
        return Path(client.download_artifacts(version.run_id, path, str(self.folder))).read_text()

    def _client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.home.tracking_uri, registry_uri=self.home.tracking_uri)


@pytest.fixture
def models(home: Home, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Models:
    logged_model(home)
    monkeypatch.setattr("pipelines.promote.draw", lambda *arguments, **named: {})  # each takes as long as a judgement
    dataset = request.node.name.replace("_", "-").replace("test-", "")[:50]
    return Models(home, dataset, monkeypatch, tmp_path)


def test_asking_makes_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    empty = Home(tmp_path / "home")
    assert find_version(empty, "waves", "key") is None
    assert list_versions(empty, "waves") == ()
    for ask in (resolve_version, promote, rollback):
        with pytest.raises(
            RegistryError,
            match=r"Model registry sqlite[^\n]*there is no such database\nTo mend it: train a model first",
        ):
            ask(empty, "waves")
    assert not (tmp_path / "home").exists()


def test_a_training_is_registered_once_and_is_the_challenger(models: Models) -> None:
    first = models.add(0.5, key="first")
    assert (first.name, first.version, first.aliases) == (f"simvp-{models.dataset}", "1", ("challenger",))
    assert (first.training_key, first.fingerprint) == ("first", "0" * 16)
    second = models.add(0.3, key="second")
    assert resolve_version(models.home, models.dataset, "challenger").version == "2"
    # The same training again: its version, no third one, and it is the challenger.
    tags = {"training_key": "first", "fingerprint": "0" * 16}
    again = register_version(models.home, models.dataset, source=first.source, run_id=first.run_id, tags=tags)
    assert (again.version, again.aliases) == ("1", ("challenger",))
    assert [v.version for v in list_versions(models.home, models.dataset)] == ["1", "2"]
    found = find_version(models.home, models.dataset, "second")
    assert found is not None
    assert found == second
    assert (found.aliases, found.tags) == ((), second.tags)
    assert find_version(models.home, models.dataset, "third") is None
    assert set_challenger(models.home, found).aliases == ("challenger",)
    with pytest.raises(RegistryError, match="tags: fingerprint is missing"):
        register_version(models.home, models.dataset, source="", run_id="", tags={"training_key": "x"})


def test_an_unknown_version_is_refused_with_the_list(models: Models) -> None:
    with pytest.raises(RegistryError, match="no version is registered"):
        models.promote()
    models.add(0.5)
    with pytest.raises(RegistryError, match=r"expected the version '7', got versions 1 \(challenger\)"):
        models.promote(7)
    with pytest.raises(RegistryError, match=r"alias 'champion'.*\n?.*promote one"):
        resolve_version(models.home, models.dataset)


def test_the_networks_run_where_they_are_told_to(models: Models) -> None:
    models.add(0.2)
    with pytest.raises(ContractError, match=r"device: expected one of .*, got 'nowhere'"):
        promote(models.home, models.dataset, gate=GATE, device="nowhere")


def test_the_first_champion_has_to_beat_the_baselines_only(models: Models) -> None:
    models.add(0.2)
    done = models.promote()
    assert done.outcome == "promote"
    assert done.before is None
    assert done.champion is not None
    assert models.champion() == "1"
    assert {c.reference for c in done.judgement.verdict.comparisons} == {
        "persistence", "seasonal_persistence", "climatology", "anomaly_persistence", "damped_anomaly",
    }  # fmt: skip
    # 72 hours of targets, T' = 3: 70 init times, blocks of 4 + 3 + 1 steps.
    assert (done.judgement.verdict.n, done.judgement.verdict.blocks) == (70, 8)
    assert done.judgement.held_out == HELD_OUT
    assert "no champion (there is none yet)" in done.summary
    assert done.summary.endswith(f"The champion is now simvp-{models.dataset}/1.")
    tags = done.candidate.tags
    assert (tags["gate"], tags["gate_champion"], tags["gate_n"], tags["gate_blocks"]) == (
        "promote",
        "none",
        "70",
        "8 of 5",
    )
    assert tags["gate_missing"] == "nothing"
    assert json.loads(tags["gate_rmse"])["t2m"]["model"] == pytest.approx(0.2, abs=1e-3)
    assert json.loads(models.artifact(done.candidate, "gate/verdict.json"))["outcome"] == "promote"
    assert models.artifact(done.candidate, "gate/scores.csv").startswith("variable,lead_hours,n,weighting,model,")
    assert "| t2m | persistence | 70 |" in models.artifact(done.candidate, "gate/verdict.md")
    assert models.history() == ["1"]


def test_a_judgement_stands_on_the_page_of_the_version(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.promote.draw", draw)
    models.add(0.2)
    models.promote()
    models.add(0.21)
    client = models._client()
    client.update_model_version(model_name(models.dataset), "2", description="### Notes\n\nAsk Ada.")
    done = models.promote()
    text = (
        client.get_model_version(model_name(models.dataset), "2")
        .description.replace("&emsp;", "")
        .replace("&nbsp;", " ")
    )
    assert "Gate: **Refuse: not shown to be better than every reference.** (" in text
    assert f"70 init times in 8 blocks, against the baselines and simvp-{models.dataset}/1)" in text
    assert "* t2m against champion: RMSE 5.0 % higher" in text
    assert f"](get-artifact?path=gate/skill.png&run_uuid={done.candidate.run_id})" in text
    assert "| RMSE | lead | model | persistence |" in text
    assert "climatology | champion |" in text.replace("damped anomaly | ", "").replace("anomaly persistence | ", "")
    assert text.endswith("### Notes\n\nAsk Ada.")
    run = client.get_run(done.candidate.run_id)
    assert run.data.tags["mlflow.note.content"].replace("&emsp;", "").replace("&nbsp;", " ") == text
    # All versions of this file come from one run: the last point is that of the last judgement.
    metrics = run.data.metrics
    assert metrics["gate/rmse_t2m_model"] == pytest.approx(0.21, abs=1e-3)
    assert metrics["gate/improvement_percent_t2m_champion"] == pytest.approx(-5.0, abs=0.1)
    assert metrics["gate/promote"] == 0.0
    assert metrics["gate/bound_percent_t2m_persistence"] > 0
    points = client.get_metric_history(done.candidate.run_id, "gate/promote")
    assert [point.value for point in points][-2:] == [1.0, 0.0]
    assert len({point.step for point in points}) == len(points)
    kept = {file.path for file in client.list_artifacts(done.candidate.run_id, "gate")}
    assert {"gate/skill.png", "gate/gains.png", "gate/error_map_t2m.png"} <= kept


def test_promoting_twice_changes_nothing(models: Models) -> None:
    models.add(0.2)
    models.promote()
    tags = resolve_version(models.home, models.dataset).tags
    again = models.promote()
    assert again.outcome == "already"
    assert again.table() == ""
    assert "is the champion already; nothing was judged, nothing moved" in again.summary
    assert resolve_version(models.home, models.dataset).tags == tags
    assert models.history() == ["1"]


def test_a_challenger_that_is_not_better_than_the_champion_is_refused(models: Models) -> None:
    models.add(0.2)
    models.promote()
    models.add(0.21)
    done = models.promote()
    assert done.outcome == "refuse"
    assert models.champion() == "1"
    assert [c.reference for c in done.judgement.verdict.comparisons if not c.passed] == ["champion"]
    assert "t2m against champion: RMSE 5.0 % higher" in done.summary
    assert done.summary.endswith(f"The champion is still simvp-{models.dataset}/1.")
    assert done.candidate.tags["gate"] == "refuse"
    assert "t2m against champion" in done.candidate.tags["gate_reasons"]
    models.add(0.1)
    better = models.promote()
    assert (better.outcome, models.champion()) == ("promote", "3")
    assert better.candidate.tags["gate_champion"] == "1"
    assert models.history() == ["1", "3"]


def test_too_little_to_judge_moves_nothing(models: Models) -> None:
    models.add(0.0, held_out=("2020-01-14T00:00:00", "2020-01-14T23:00:00"))
    done = models.promote()
    assert done.outcome == "insufficient"
    assert "22 init times form 2 blocks of 8 steps" in done.summary
    assert "40 consecutive init times" in done.summary
    assert done.summary.endswith("There is no champion.")
    assert done.candidate.tags["gate"] == "insufficient"
    # 18 init times more than 22, the last of three targets at 17 h of the next day: 42 hours. A quarter of 100 hours is
    # more than a day, of which whole days make 48.
    enough = "enough would be 0.8 days more of held-out data: targets up to 2020-01-15T17:00:00, 1.8 days in all"
    assert enough in done.summary
    archive = (
        "the archive spans 14 days, and so much is held out by itself of 4.2 days or more: train again on it as it is"
    )
    assert archive in done.summary
    assert done.candidate.tags["gate_missing"] == "0.8 days more, targets up to 2020-01-15T17:00:00"


def test_parts_that_are_scored_beside_a_model_are_reported(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_parts(*arguments: object, **named: object) -> xr.Dataset:
        scores = evaluate(*arguments, **named)  # type: ignore[arg-type]
        parts = scores.sel(system=["model", "climatology"]).assign_coords(system=["unmixed", "base"])
        # A part that lacks maps takes none from the table of the others.
        return xr.concat([scores, parts.where(parts["init_time"] > parts["init_time"][9])], "system")

    models.add(0.3)
    assert models.promote().outcome == "promote"
    models.add(0.2)
    monkeypatch.setattr("pipelines.evaluation.judgement.evaluate", with_parts)
    done = models.promote()
    assert done.outcome == "promote"
    assert {c.reference for c in done.judgement.verdict.comparisons}.isdisjoint({"unmixed", "base"})
    assert "beside it: t2m, without the mixture: RMSE 0.2, the model's 0.2 (60 init times)" in done.summary
    assert "beside it: t2m, the base forecast alone: RMSE " in models.artifact(done.candidate, "gate/verdict.md")
    rmse = json.loads(done.candidate.tags["gate_rmse"])["t2m"]
    assert list(rmse)[-2:] == ["unmixed", "base"]
    assert rmse["unmixed"] == pytest.approx(0.2, abs=1e-3)
    assert set(done.judgement.skill["n_all"].values.ravel()) == {210}  # 70 init times, three leads


def test_a_period_that_a_model_has_seen_is_no_test(models: Models) -> None:
    models.add(0.2)
    models.promote()
    models.add(0.0, held_out=("2020-01-07T00:00:00", "2020-01-13T00:00:00"))
    with pytest.raises(RegistryError) as refusal:
        models.promote()
    text = str(refusal.value)
    assert f"simvp-{models.dataset}/2 has seen some of it: its train period is {TRAIN[0]} .. {TRAIN[1]}" in text
    assert f"the champion simvp-{models.dataset}/1 has seen some of it" in text
    assert "a held-out period that no model has seen" in text
    models.add(0.0, held_out=None)
    with pytest.raises(RegistryError, match="expected a held-out period in its file, got none"):
        models.promote()
    models.add(0.0, held_out=("2021-01-07T00:00:00", "2021-01-13T00:00:00"))
    with pytest.raises(RegistryError, match="no init time has all its inputs and targets"):
        models.promote()
    assert models.champion() == "1"


def test_a_champion_of_other_windows_is_compared_on_the_same_init_times(models: Models) -> None:
    models.add(0.3, frames_in=6, frames_out=2)
    first = models.promote()
    assert first.outcome == "promote", first.summary
    models.add(0.2)
    done = models.promote()
    assert done.outcome == "promote"
    row = done.judgement.verdict.comparisons[-1]
    # The champion rolls out to the third lead. Blocks are longer than its T, 6, and the challenger's T', 3.
    assert (row.reference, row.n, done.judgement.verdict.block_steps) == ("champion", 70, 10)


def test_rollback_goes_back_through_the_champions(models: Models) -> None:
    for error in (0.4, 0.3, 0.2):
        models.add(error)
        assert models.promote().outcome == "promote"
    back = rollback(models.home, models.dataset)
    assert (back.champion.version, models.champion()) == ("2", "2")
    assert back.summary == (
        f"The champion is now simvp-{models.dataset}/2 (it was simvp-{models.dataset}/3): it was the champion before."
    )
    assert rollback(models.home, models.dataset).champion.version == "1"
    with pytest.raises(
        RegistryError, match=r"no other version was ever promoted; the champion is .*/1, versions are 1, 2, 3"
    ):
        rollback(models.home, models.dataset)
    assert models.champion() == "1"
    # What was rolled back can be promoted again, and rolled back again.
    assert models.promote(3).outcome == "promote"
    assert rollback(models.home, models.dataset).champion.version == "1"


def test_a_hand_on_the_alias_counts_and_can_be_taken_back(models: Models) -> None:
    for error in (0.4, 0.3):
        models.add(error)
    models.move_by_hand("1")
    assert models.champion() == "1"
    assert models.promote().outcome == "promote"
    # The champion by hand was replaced by promotion: that is written down.
    assert models.history() == ["1", "2"]
    models.add(0.9)
    models.move_by_hand("3")
    back = rollback(models.home, models.dataset)
    assert (back.champion.version, models.champion()) == ("2", "2")
    assert "moved by hand" in back.summary
    assert rollback(models.home, models.dataset).champion.version == "1"


def test_a_kill_between_alias_and_history_loses_no_champion(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    models.add(0.4)
    models.promote()
    models.add(0.3)

    def killed(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_tag", killed)
        with pytest.raises(KeyboardInterrupt):
            models.promote()
    assert models.champion() == "2"
    assert models.promote().outcome == "already"
    assert rollback(models.home, models.dataset).champion.version == "1"


def test_rollback_passes_over_what_cannot_be_loaded(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (0.4, 0.3, 0.2):
        models.add(error)
        models.promote()
    gone = {"2"}

    def load(registry: Registry, version: Version, device: object = None) -> Forecaster:
        if version.version in gone:
            raise RegistryError(f"Model {version.label} cannot be loaded", ["its file is gone"])
        return models.forecasters[version.version]

    monkeypatch.setattr(Registry, "load", load)
    back = rollback(models.home, models.dataset)
    assert (back.champion.version, models.champion(), models.history()) == ("1", "1", ["1"])
    passed = f"passed over: Model simvp-{models.dataset}/2 cannot be loaded: its file is gone."
    assert back.summary.endswith(f"it was the champion before; {passed}")
    models.promote(3)
    gone.add("1")
    with pytest.raises(RegistryError) as refused:
        rollback(models.home, models.dataset)
    assert "no other version that can be loaded was ever promoted; the champion is" in str(refused.value)
    assert f"Model simvp-{models.dataset}/1 cannot be loaded: its file is gone" in str(refused.value)
    assert (models.champion(), models.history()) == ("3", ["1", "3"])


def test_a_version_that_is_lost_while_it_is_judged_is_not_promoted(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.add(0.4)
    models.promote()
    made = models.add(0.2)
    loaded = []

    def load(registry: Registry, version: Version, device: object = None) -> Forecaster:
        loaded.append(version.version)
        if loaded.count(made.version) > 1:
            raise RegistryError(f"Model {version.label} cannot be loaded", ["its file is gone"])
        return models.forecasters[version.version]

    monkeypatch.setattr(Registry, "load", load)
    with pytest.raises(RegistryError, match="/2 cannot be loaded: its file is gone"):
        models.promote()
    assert models.champion() == "1"
    assert "gate" not in resolve_version(models.home, models.dataset, "challenger").tags


def test_a_trained_model_is_loaded_from_its_version() -> None:
    home, _ = small_home()
    champion = resolve_version(home, DATASET)
    model = open_registry(home).load(champion)
    assert model.fingerprint == champion.fingerprint
    assert model.version == champion.label == f"simvp-{DATASET}/1"
    assert champion.aliases == ("challenger", "champion")
    assert champion.label == f"simvp-{DATASET}/1"
