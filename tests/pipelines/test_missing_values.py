"""Missing pixels from the archive to the scores: what is filled, what does not count, and what is refused in words."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines import score_store
from pipelines.evaluation.evaluate import evaluate
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.train import TrainConfig, TrainReport, train
from pipelines.verify import verify
from simvp.coords.steps import Step
from simvp.errors import ConfigError, ContractError
from simvp.inference.forecaster import Forecaster
from tests.support.models import small_forecaster
from tests.support.wave_home import FRAMES_IN, FRAMES_OUT, forecaster, wave_home, world
from tests.support.worlds import coordinates, formula_world

SETTINGS = {
    "dataset": "specks", "frames_in": 4, "frames_out": 2, "size": "tiny", "epochs": 1, "epoch_updates": 2,
    "threads": 1, "precision": "float32", "device": "cpu",
}  # fmt: skip
INTERVAL = ("2020-01-12T00", "2020-01-13T23")


@pytest.fixture(autouse=True)
def own_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def series(name: str, values: np.ndarray, units: str, step: str) -> xr.Dataset:
    """Canonical Dataset of one variable, (N, H, W)."""
    dims, coords = coordinates((values.shape[1], values.shape[2]))
    coords["time"] = xr.Variable("time", xr.date_range("2020-01-01", periods=len(values), freq=step).to_numpy())
    return xr.Dataset({name: (("time", *dims), values.astype("f4"), {"units": units})}, coords=coords)


def radar(frames: int = 160) -> xr.Dataset:
    """Rain rates of 12 x 12 pixels every 5 minutes; in each frame another pixel is missing."""
    rng = np.random.default_rng(0)
    values = 5 + np.cumsum(rng.normal(0, 0.1, (frames, 12, 12)), axis=0)
    for frame in range(frames):
        values[frame, frame % 12, (5 * frame) % 12] = np.nan
    return series("rate", values, "mm h-1", "5min")


def sea_surface(cover: float, frames: int = 160) -> xr.Dataset:
    """Sea surface temperature of 16 x 16 points every day, with land along a side, under clouds that move."""
    rng = np.random.default_rng(1)
    values = 285 + np.cumsum(rng.normal(0, 0.1, (frames, 16, 16)), axis=0)
    column = np.arange(16)
    for frame in range(frames):
        clouds = (
            np.sin(0.7 * (column + frame)) + np.sin(1.1 * (column[:, None] - 2 * frame)) + rng.normal(0, 0.1, (16, 16))
        )
        sea = clouds[:, 4:]
        values[frame, :, 4:][sea > np.quantile(sea, 1 - cover)] = np.nan
    values[:, :, :4] = np.nan
    return series("sst", values, "K", "1D")


def sensors(frames: int = 240) -> xr.Dataset:
    """Counts of vehicles in 6 x 8 cells every hour; single sensors fail for a day at a time."""
    rng = np.random.default_rng(2)
    values = rng.poisson(20, (frames, 6, 8)).astype("f4")
    for cell in range(48):
        first = int(rng.integers(0, frames - 24))
        values[first : first + 24, cell // 8, cell % 8] = np.nan
    return series("flow", values, "1", "1h")


def home_with(path: Path, ds: xr.Dataset, database: Path) -> Home:
    home = Home(path)
    home.mlflow.mkdir(parents=True)
    shutil.copy(database, home.mlflow / "mlflow.db")
    Archive(home.archive("specks")).append(ds)
    return home


def trained(home: Home, **settings) -> tuple[TrainReport, Forecaster]:
    report = train(home, TrainConfig(**{**SETTINGS, **settings}))
    return report, Forecaster.load(next(home.artifacts.rglob("forecaster.safetensors")))


@pytest.mark.parametrize(
    ("ds", "settings"),
    [(radar(), {}), (sea_surface(0.03), {}), (sensors(), {"missing_share": 0.25})],
    ids=["radar", "sea surface", "sensors"],
)
def test_a_few_missing_pixels_in_nearly_every_frame_are_trained_on_and_forecast(ds, settings, tmp_path, empty_database):
    home = home_with(tmp_path, ds, empty_database)
    report, model = trained(home, **settings)
    assert [row["nan"] for row in report.audit] == [0, 0, 0]
    assert all(row["used"] for row in report.audit)
    (name,) = ds.data_vars
    (line,) = report.missing
    assert line.startswith(f"{name}: missing values in ")
    assert "; 0 of them lack more than " in line
    (row,) = report.validation.values()
    assert 0 < row["rmse"] < 3 * row["baseline_rmse"]
    made = model.predict(Archive(home.archive("specks")).dataset(), init_time=ds["time"].values[100])
    masked = np.isnan(ds[name].values).all(0)
    assert np.array_equal(np.isnan(made[name].values), np.broadcast_to(masked, made[name].shape))
    assert made.attrs["filled_input"].startswith(f"{name} ")


def test_more_than_a_few_are_refused_in_words_and_taken_on_request(tmp_path, empty_database):
    home = home_with(tmp_path, sea_surface(0.6), empty_database)
    with pytest.raises(ConfigError) as refused:
        train(home, TrainConfig(**SETTINGS))
    text = str(refused.value)

    assert "train: expected 16 or more, got 0; " in text
    assert " were dropped for missing values" in text
    assert "sst: missing values in 120 of 120 frames, 59.9 % of their points in the mean; 120 of them lack more" in text
    assert "than 10 % (missing_share) and are left out, the worst 2020-01-01T00:00:00 (59.9 %), " in text
    assert "To mend it: set missing_share to 0.6," in text
    assert not any(path.is_dir() for path in home.training("specks").iterdir())  # no checkpoint
    report, model = trained(home, missing_share=0.6)
    assert [row["nan"] for row in report.audit] == [0, 0, 0]
    assert model.spec.missing_share == 0.6


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_whole_missing_frame_stays_a_gap(share, tmp_path, empty_database):
    ds = radar()
    ds["rate"][60] = np.nan
    report, model = trained(home_with(tmp_path, ds, empty_database), missing_share=share)
    assert sum(row["gap"] + row["nan"] for row in report.audit) == 6  # a window of 4 + 2 frames for each place in it
    with pytest.raises(ContractError, match=r"rate: missing values: 1 of 4 frames lack more than .* the worst 100 %"):
        model.predict(ds, init_time=ds["time"].values[61])


def test_nothing_of_the_rule_runs_where_nothing_is_missing(tmp_path, empty_database, monkeypatch):
    def never(*_):
        raise AssertionError

    for place in ("windows.sequences.fill", "training.validation.filled_frames", "evaluation.evaluate.filled_frames"):
        monkeypatch.setattr(f"pipelines.{place}", never)
    ds = radar()
    ds["rate"][:] = ds["rate"].fillna(5.0)
    ds["rate"][:, 3, 3] = np.nan  # masked
    ds["rate"][60] = np.nan  # absent
    home = home_with(tmp_path, ds, empty_database)
    report, model = trained(home)
    assert report.missing == () or "100 % of their points" in report.missing[0]
    made = model.predict(Archive(home.archive("specks")).dataset())
    assert "filled_input" not in made.attrs
    evaluate(model, Archive(home.archive("specks")).dataset(), ds["time"].values[[100, 120]])


class TestPrediction:
    def test_it_is_that_of_the_filled_frames(self, caplog: pytest.LogCaptureFixture) -> None:
        ds = formula_world(("t2m",), frames=96, shape=(6, 7))
        model = small_forecaster(ds, frames_in=4, frames_out=3)
        assert model.spec.state_channels[0].climatology.period == "none"  # a departure kept is a value kept
        holed, filled = ds.copy(deep=True), ds.copy(deep=True)
        holed["t2m"][94, 2, 3] = holed["t2m"][95, 2, 3] = holed["t2m"][92, 0, 0] = np.nan
        filled["t2m"][94:, 2, 3] = ds["t2m"][93, 2, 3]
        filled["t2m"][92, 0, 0] = ds["t2m"][93, 0, 0]
        with caplog.at_level(logging.INFO, "simvp"):
            got = model.predict(holed, horizon=7)
        wanted = model.predict(filled, horizon=7)
        np.testing.assert_allclose(got["t2m"], wanted["t2m"], atol=1e-4)
        assert got["t2m"].notnull().all()
        told = "t2m 3 missing values in 3 of 4 input frames (at most 2.38 % of one)"
        assert got.attrs["filled_input"] == told
        assert f"filled input: {told}" in caplog.text
        assert "filled_input" not in wanted.attrs

    def test_several_init_times_are_filled_each_from_its_own_inputs(self) -> None:
        ds = formula_world(("t2m", "d2m"), frames=96, shape=(6, 7))
        model = small_forecaster(ds, frames_in=4, frames_out=3)
        holed = ds.copy(deep=True)
        rng = np.random.default_rng(0)
        for frame in range(60, 90):
            holed["t2m"].values[frame].flat[rng.choice(42, 4, replace=False)] = np.nan
        holed["d2m"].values[70].flat[:5] = np.nan  # 12 %
        together = model.predict(holed, init_time="all")
        left_out = set(ds["time"].values[3:]) - set(together["init_time"].values)
        assert left_out == set(ds["time"].values[70:74])
        for init in (59, 61, 69, 74, 95):
            alone = model.predict(holed, init_time=ds["time"].values[init])
            at = together.sel(init_time=ds["time"].values[[init]])
            for name in ("t2m", "d2m"):
                np.testing.assert_allclose(alone[name], at[name], atol=1e-4)
        whole = model.predict(ds, init_time=ds["time"].values[59])
        assert np.array_equal(whole["t2m"], model.predict(holed, init_time=ds["time"].values[59])["t2m"])


def speckled(days: float, *, first: int = 0) -> xr.Dataset:
    """The wave world, in which one point of every third frame is missing."""
    ds = world(days, first=first)
    for frame in range(0, ds.sizes["time"], 3):
        ds["t2m"].values[frame].flat[frame % 12] = np.nan
    return ds


class TestScores:
    def test_model_and_baselines_count_where_the_truth_was_observed(self) -> None:
        ds = speckled(14)
        ds = ds.assign_coords(present=("time", np.ones(ds.sizes["time"], bool)))
        inits = ds["time"].values[270:300]
        found = evaluate(forecaster(0.5), ds, inits)
        seen = np.isfinite(ds["t2m"].values).sum((1, 2))
        wanted = np.stack([seen[270 + lead : 300 + lead] for lead in range(1, FRAMES_OUT + 1)], axis=1)
        for system in found["system"].values:
            np.testing.assert_array_equal(found["points"].sel(system=system, variable="t2m"), wanted)
        whole = evaluate(forecaster(0.5), world(14), inits)
        # The mean map needs nothing that could be missing: the point that is left out is all that differs.
        weights = np.broadcast_to(np.cos(np.deg2rad(ds["latitude"].values))[:, None], (3, 4))
        for row, lead in ((0, 1), (1, 2), (4, 0)):
            truth = ds["t2m"].values[270 + row + lead + 1]
            known = np.isfinite(truth)
            normal = forecaster().spec.state_channels[0].climatology.values[0, 0]
            by_hand = np.average((normal - truth)[known] ** 2, weights=weights[known])
            got = found["squared_error"].sel(system="climatology", variable="t2m").values[row, lead]
            assert got == pytest.approx(by_hand, rel=1e-5)
        same = seen[270:300] == 12  # the last input lacks nothing, nor does a target
        rows = same[:, None] & (wanted == 12)
        for system in ("persistence", "climatology"):
            got, right = (one["squared_error"].sel(system=system, variable="t2m").values for one in (found, whole))
            np.testing.assert_allclose(got[rows], right[rows], rtol=1e-12)
            assert rows.sum() > 10
            assert np.isfinite(got).all()

    def test_persistence_keeps_what_was_last_seen(self) -> None:
        ds = world(14)
        ds["t2m"][270, 1, 2] = np.nan
        found = evaluate(forecaster(), ds, ds["time"].values[[270]])
        last = ds["t2m"].values[270].copy()
        last[1, 2] = ds["t2m"].values[269, 1, 2]
        weights = np.broadcast_to(np.cos(np.deg2rad(ds["latitude"].values))[:, None], (3, 4))
        by_hand = np.average((last - ds["t2m"].values[271]) ** 2, weights=weights)
        got = found["squared_error"].sel(system="persistence", variable="t2m").values[0, 0]
        assert got == pytest.approx(by_hand, rel=1e-4)

    def test_batches_do_not_change_a_digit(self) -> None:
        ds = speckled(14)
        inits = ds["time"].values[[270, 271, 272, 280, 281, 299, 320]]
        xr.testing.assert_identical(*(evaluate(forecaster(0.1), ds, inits, batch=size) for size in (2, 32)))


class TestStages:
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
        monkeypatch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())
        made = Home(tmp_path / "home")
        wave_home(made)
        return made

    def test_forecasts_are_whole_and_the_report_says_what_was_filled(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster())
        Archive(home.archive("waves")).append(speckled(1, first=14 * 24))
        report = forecast(home, "waves", model=forecaster())
        assert len(report.issued) == 4
        ((times, what),) = report.filled
        assert times == "2020-01-15T00:00:00 .. 2020-01-15T18:00:00"
        assert what.startswith("t2m 7 missing values in 7 of 16 input frames (at most 8.33 % of one)")
        assert f"Filled in the input of {times}: t2m 7 missing values" in report.summary
        ds = Store(report.path).dataset().load()
        assert ds["t2m"].notnull().all()
        assert "filled_input" not in ds.attrs

    def test_an_init_time_that_lacks_too_much_says_so(self, home: Home) -> None:
        day = world(1, first=14 * 24)
        day["t2m"][16:18, 0, :2] = np.nan
        Archive(home.archive("waves")).append(day)
        report = forecast(home, "waves", model=forecaster())
        assert report.skipped == (
            (
                "2020-01-15T18:00:00",
                f"2 of its {FRAMES_IN} input frames lack more than 10 % of their points (missing values), the first at "
                "2020-01-15T16:00:00",
            ),
        )

    def test_verification_scores_them_as_evaluation_does(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())
        home, model = Home(tmp_path / "other"), forecaster(0.5)
        Archive(home.archive("waves")).append(speckled(14), step=Step.parse("1h"))
        report = forecast(home, "waves", model=model, hindcast=INTERVAL, batch=10)
        assert len(report.issued) == 46
        assert len(report.filled) == 5
        assert report.summary.count("Filled in the input of") == 4
        verified = verify(home, "waves", kind="hindcasts", model=model, batch=20)
        ds = Archive(home.archive("waves")).dataset()
        wanted = evaluate(model, ds, Store(report.path).dataset()["init_time"].values)
        got = Store(verified.path).dataset().load()
        parts = got.sel(system=["unmixed", "base"])  # of a model that has none
        assert (parts["points"] == 0).all()
        got = got.sel(system=wanted["system"].values)
        for name in wanted.data_vars:
            np.testing.assert_allclose(got[name].transpose(*wanted[name].dims), wanted[name], rtol=1e-5, atol=1e-6)

    def test_a_hindcast_of_frames_that_all_lack_too_much_says_so(self, tmp_path: Path) -> None:
        home, ds = Home(tmp_path / "other"), world(14)
        ds["t2m"][250:, 0, :2] = np.nan
        Archive(home.archive("waves")).append(ds, step=Step.parse("1h"))
        with pytest.raises(ConfigError, match=r"46 dropped since a frame has more missing values than missing_share"):
            forecast(home, "waves", model=forecaster(), hindcast=INTERVAL)
