"""Issuing forecasts: which init times, once each, past gaps, and again after a kill."""

import json
from pathlib import Path

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import icechunk
import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.issuing.init_times import due, on_hours
from simvp.coords.forecast_layout import VOLATILE, faults
from simvp.coords.steps import Step
from simvp.errors import ArchiveError, ConfigError, ContractError, RegistryError
from tests.support.counting import counted
from tests.support.files.repositories import plain, repository
from tests.support.killing import kill_everywhere
from tests.support.wave_home import FRAMES_IN, forecaster, truth, wave_home, world

HOUR = Step.parse("1h")
VOLATILE_NAMES = [name for name in VOLATILE if name != "history"]


def hourly(days: float, start: str = "2020-01-01") -> np.ndarray:
    return np.datetime64(start, "ns") + np.arange(round(24 * days)) * np.timedelta64(1, "h")


def texts(*times: str) -> tuple[str, ...]:
    return tuple(f"{time}:00:00" for time in times)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    wave_home(made)
    return made


def stored(home: Home, kind: str = "forecasts", horizon: str = "3h") -> xr.Dataset:
    path = home.forecasts("waves", horizon) if kind == "forecasts" else home.hindcasts("waves", horizon)
    return Store(path).dataset().load()


def same(first: xr.Dataset, second: xr.Dataset) -> None:
    """Equal but for when they were made."""
    drop = [name for name in VOLATILE_NAMES if name in first.coords]
    first, second = (ds.drop_vars(drop).drop_attrs(deep=False) for ds in (first, second))
    xr.testing.assert_identical(first, second)


class TestWhichInitTimesAreDue:
    def test_hourly_data_issues_at_0_6_12_and_18(self) -> None:
        times = hourly(2)
        chosen = times[on_hours(times, HOUR)]
        assert [str(t)[8:13] for t in chosen] == [f"{d}T{h:02}" for d in ("01", "02") for h in (0, 6, 12, 18)]
        assert [str(t)[11:13] for t in times[on_hours(times, HOUR, [3, 21])]] == ["03", "21"] * 2

    def test_other_steps_issue_at_those_hours_that_they_have(self) -> None:
        eight = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(8, "h")
        assert on_hours(eight, Step.parse("8h")).tolist() == [True, False, False] * 2
        # Frames at 01:30, 04:30, ...: none of the synoptic hours, so the first of each day.
        odd = np.datetime64("2020-01-01T01:30", "ns") + np.arange(16) * np.timedelta64(3, "h")
        assert np.flatnonzero(on_hours(odd, Step.parse("3h"))).tolist() == [0, 8]
        daily = np.datetime64("2020-01-01T12", "ns") + np.arange(5) * np.timedelta64(1, "D")
        assert on_hours(daily, Step.parse("1D")).all()
        months = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "M8[ns]")
        assert on_hours(months, Step.parse("1 month")).all()

    def test_hours_without_frames_are_refused(self) -> None:
        six = np.datetime64("2020-01-01", "ns") + np.arange(8) * np.timedelta64(6, "h")
        with pytest.raises(ConfigError, match=r"has frames \(0, 6, 12, 18\), got \[3, 6\]"):
            on_hours(six, Step.parse("6h"), [3, 6])
        with pytest.raises(ConfigError, match=r"got \[\]"):
            on_hours(six, Step.parse("6h"), [])

    def test_the_first_run_of_all_goes_back_one_day(self) -> None:
        found = due(hourly(10), HOUR)
        assert [str(t)[5:13] for t in found.times] == ["01-10T00", "01-10T06", "01-10T12", "01-10T18"]
        assert len(due(hourly(10), HOUR, first_days=3).times) == 12
        daily = np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(1, "D")
        assert due(daily, Step.parse("1D")).times.tolist() == daily[-1:].tolist()
        # Nothing on its hours within the last day: the newest there is.
        assert [str(t)[5:13] for t in due(hourly(10), HOUR, init_hours=[23]).times] == ["01-10T23"]

    def test_later_runs_catch_up_oldest_first_and_the_cap_keeps_the_newest(self) -> None:
        last = np.datetime64("2020-01-03T06", "ns")
        found = due(hourly(5), HOUR, last=last)
        assert [str(t)[8:13] for t in found.times] == [
            "03T12", "03T18", "04T00", "04T06", "04T12", "04T18", "05T00", "05T06", "05T12", "05T18",
        ]  # fmt: skip
        capped = due(hourly(5), HOUR, last=last, most=3)
        assert [str(t)[8:13] for t in capped.times] == ["05T06", "05T12", "05T18"]
        assert capped.beyond_cap == 7
        assert due(hourly(5), HOUR, last=hourly(5)[-1]).times.size == 0


class TestOperation:
    def test_only_the_histories_of_the_models_variables_are_read(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ds = Archive(home.archive("waves")).dataset()
        lazy, arrays = counted(ds.assign(rain=ds["t2m"], wind=ds["t2m"]))
        monkeypatch.setattr(Archive, "dataset", lambda self: lazy)
        forecast(home, "waves", model=forecaster(), init_hours=[0, 12])
        first, last = 13 * 24 - FRAMES_IN + 1, 13 * 24 + 12
        histories = [*range(first, first + FRAMES_IN), *range(last - FRAMES_IN + 1, last + 1)]
        # Once to see whether they are complete, all that lies between the first and the last, and once to forecast.
        assert sorted(arrays["t2m"].read) == sorted([*range(first, last + 1), *histories])
        assert (arrays["rain"].read, arrays["wind"].read) == ([], [])

    def test_the_first_run_issues_the_last_day_and_the_forecasts_are_right(self, home: Home) -> None:
        report = forecast(home, "waves", model=forecaster(0.25))
        assert report.issued == texts("2020-01-14T00", "2020-01-14T06", "2020-01-14T12", "2020-01-14T18")
        assert (report.kind, report.horizon, report.length, report.skipped) == ("forecasts", "3h", 4, ())
        assert report.summary.startswith("waves: 4 forecasts of 3h issued (2020-01-14T00:00:00 .. ")
        ds = stored(home)
        assert faults(ds) == []
        assert ds["t2m"].dims == ("init_time", "lead_time", "latitude", "longitude")
        for init in range(4):
            wanted = truth(ds["valid_time"].values[init])
            np.testing.assert_allclose(ds["t2m"].values[init], wanted + 0.25, atol=2e-3)
        assert set(ds["model_fingerprint"].values) == {forecaster(0.25).fingerprint}
        commit = Archive(home.archive("waves")).head
        assert set(ds["archive_commit"].values) == {commit.id}
        assert set(ds["archive_snapshot"].values) == {commit.snapshot}
        assert repository(home.archive("waves")).list_tags() == {f"commit-{commit.id}"}  # so that it never expires
        assert set(ds["model_version"].values) == {"unregistered"}
        assert ds["created"].dtype.kind == "M"
        # Anybody's xarray reads it.
        issued = plain(home.forecasts("waves", "3h"))
        assert issued["t2m"].encoding["chunks"] == (1, 3, 3, 4)

    def test_attributes_of_the_store_hold_for_every_model_that_is_in_it(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster(0.25, version="simvp-waves/1"))
        Archive(home.archive("waves")).append(world(1, first=14 * 24))
        forecast(home, "waves", model=forecaster(0.5, version="simvp-waves/12"))
        issued = plain(home.forecasts("waves", "3h"))
        assert issued["model_version"].values.tolist() == ["simvp-waves/1"] * 4 + ["simvp-waves/12"] * 4
        assert (
            len(set(issued["model_fingerprint"].values.tolist()))
            == len(set(issued["archive_commit"].values.tolist()))
            == 2
        )
        assert {"history", "code_version"} & set(issued.attrs) == set()
        assert "simvp-waves/1" not in json.dumps(issued.attrs)
        assert issued.chunks["init_time"] == (1,) * 8
        assert issued.cf["time"].name == "valid_time"

    def test_a_forecast_from_the_archive_says_its_commit_however_it_was_opened(self, home: Home) -> None:
        archive = Archive(home.archive("waves"))
        opened = [plain(archive.path), archive.dataset(), archive.dataset().isel(time=slice(-30, None)).load()]
        for ds in opened:
            made = forecaster().predict(ds)
            assert set(made["archive_commit"].values) == {archive.head.id}
            assert "simvp_store" not in made.attrs
        made = forecaster().predict(archive.dataset().assign_attrs(archive_commit=""))
        assert set(made["archive_commit"].values) == {""}

    def test_asked_twice_it_issues_nothing_not_even_by_another_model(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster(0.25))
        before = stored(home)
        again = forecast(home, "waves", model=forecaster(0.0))
        assert (again.issued, again.length) == ((), 4)
        assert "no new forecasts" in again.summary
        xr.testing.assert_identical(stored(home), before)

    def test_files_for_other_tools_are_written_and_made_up_for(self, home: Home, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        model = forecaster()
        first = forecast(home, "waves", model=model, export=folder)
        assert [path.name for path in first.exported] == sorted(path.name for path in folder.iterdir())
        assert len(first.exported) == len(first.issued) == 4
        assert f"4 NetCDF files written into {folder}." in first.summary
        with xr.open_dataset(first.exported[-1]) as file:
            assert file.sizes["time"] == 3
            np.testing.assert_array_equal(file["t2m"].values, stored(home)["t2m"].values[-1])
        first.exported[1].unlink()  # as where the disk was full
        again = forecast(home, "waves", model=model, export=folder)
        assert again.issued == ()
        assert again.exported == (first.exported[1],)
        assert forecast(home, "waves", model=model, export=folder).exported == ()
        assert forecast(home, "waves", model=model, export=folder, max_catch_up=1).exported == ()
        first.exported[0].unlink()
        assert forecast(home, "waves", model=model, export=folder, max_catch_up=1).exported == ()

    def test_a_new_day_is_appended_by_the_model_of_that_day(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster(0.25))
        before = stored(home)
        Archive(home.archive("waves")).append(world(1, first=14 * 24))
        report = forecast(home, "waves", model=forecaster(0.0), batch=3)
        assert report.issued == texts("2020-01-15T00", "2020-01-15T06", "2020-01-15T12", "2020-01-15T18")
        after = stored(home)
        xr.testing.assert_identical(after.isel(init_time=slice(0, 4)), before)
        prints = after["model_fingerprint"].values
        assert set(prints[:4]) == {forecaster(0.25).fingerprint}
        assert set(prints[4:]) == {forecaster(0.0).fingerprint}
        assert len(set(after["archive_commit"].values)) == 2

    def test_missed_days_are_caught_up_and_the_cap_is_reported(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster())
        Archive(home.archive("waves")).append(world(3, first=14 * 24))
        report = forecast(home, "waves", model=forecaster(), max_catch_up=5)
        assert report.issued[0] == "2020-01-16T18:00:00"
        assert (len(report.issued), report.beyond_cap, report.length) == (5, 7, 9)
        assert "7 older init times were missed" in report.summary

    def test_a_gap_in_one_history_is_reported_and_holds_up_no_later_one(self, home: Home) -> None:
        day = world(1, first=14 * 24).isel(time=[h for h in range(24) if h not in (4, 5)])
        Archive(home.archive("waves")).append(day)
        forecast(home, "waves", model=forecaster())
        ds = stored(home)
        assert [str(t)[8:13] for t in ds["init_time"].values] == ["15T00", "15T12", "15T18"]
        report = forecast(home, "waves", model=forecaster())
        assert (report.issued, report.skipped) == ((), ())

    def test_the_reason_names_the_frames(self, home: Home) -> None:
        day = world(1, first=14 * 24).isel(time=[h for h in range(24) if h not in (16, 17)])
        Archive(home.archive("waves")).append(day)
        report = forecast(home, "waves", model=forecaster())
        assert report.skipped == (
            ("2020-01-15T18:00:00", f"2 of its {FRAMES_IN} input frames are absent, the first at 2020-01-15T16:00:00"),
        )
        assert "Left out 2020-01-15T18:00:00: 2 of its 4 input frames are absent" in report.summary
        assert "| 2020-01-15T18:00:00 | left out: 2 of its 4" in report.table()
        # The frames arrive before a later init time was issued: now it can be.
        Archive(home.archive("waves")).append(world(1, first=14 * 24).isel(time=[16, 17]))
        assert forecast(home, "waves", model=forecaster()).issued == texts("2020-01-15T18")

    def test_values_that_cannot_be_hold_up_only_the_init_times_that_need_them(self, home: Home) -> None:
        wrong = world(1, first=14 * 24)
        wrong["t2m"][4:7] -= 250
        Archive(home.archive("waves")).append(wrong)
        report = forecast(home, "waves", model=forecaster())
        assert report.issued == texts("2020-01-15T00", "2020-01-15T12", "2020-01-15T18")
        ((time, reason),) = report.skipped
        assert time == "2020-01-15T06:00:00"
        assert "t2m" in reason

    def test_a_longer_horizon_has_a_store_of_its_own(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster())
        report = forecast(home, "waves", model=forecaster(), horizon="8h")
        assert (report.horizon, report.length) == ("8h", 4)
        ds = stored(home, horizon="8h")
        np.testing.assert_allclose(ds["t2m"].values[0], truth(ds["valid_time"].values[0]), atol=2e-3)
        assert stored(home).sizes["lead_time"] == 3

    def test_progress_is_told(self, home: Home) -> None:
        told: list[tuple[str, int, int]] = []
        forecast(home, "waves", model=forecaster(), batch=3, progress=lambda *row: told.append(row))
        assert told == [("forecast", 3, 4), ("forecast", 4, 4)]


class TestRefusals:
    def test_nothing_is_written(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        before = sorted(home.path.rglob("*"))
        with pytest.raises(ArchiveError, match="ingest first"):
            forecast(home, "other", model=forecaster())
        with pytest.raises(RegistryError, match="train a model first"):
            forecast(home, "waves")
        with pytest.raises(RegistryError, match="no-such"):
            forecast(home, "waves", model="no-such.safetensors")
        with pytest.raises(ConfigError, match=r"got \[25\]"):
            forecast(home, "waves", model=forecaster(), init_hours=[25])
        with pytest.raises(ValueError, match="multiple of the step"):
            forecast(home, "waves", model=forecaster(), horizon="90min")
        with pytest.raises(ConfigError, match="max_catch_up 0"):
            forecast(home, "waves", model=forecaster(), max_catch_up=0)
        with pytest.raises(ConfigError, match=r"no init time has its 4 inputs and 3 targets.*\n?.*choose an interval"):
            forecast(home, "waves", model=forecaster(), hindcast=("2021-01-01", "2021-01-02"))
        assert sorted(home.path.rglob("*")) == before

    def test_data_that_the_model_does_not_know(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        celsius = world()
        celsius["t2m"].attrs["units"] = "degC"
        Archive(home.archive("waves")).append(celsius)
        with pytest.raises(ContractError, match="expected units 'K', got 'degC'"):
            forecast(home, "waves", model=forecaster())
        assert not home.forecasts("waves", "3h").exists()

    def test_a_store_of_other_variables(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster())
        path = home.forecasts("waves", "3h")
        held = Store(path).dataset().load()
        import shutil

        shutil.rmtree(path)
        Store(path).create(held.rename(t2m="rain"), axis="init_time", chunks={"init_time": 1}, state={})
        with pytest.raises(ConfigError, match="the store holds rain, the model forecasts t2m"):
            forecast(home, "waves", model=forecaster())


class TestHindcast:
    INTERVAL = ("2020-01-12T00", "2020-01-13T23")

    def test_every_init_time_whose_targets_lie_in_the_interval(self, home: Home) -> None:
        report = forecast(home, "waves", model=forecaster(0.5), hindcast=self.INTERVAL)
        # 48 hours of targets, 3 leads.
        assert (report.kind, len(report.issued), report.length) == ("hindcasts", 46, 46)
        assert (report.issued[0], report.issued[-1]) == texts("2020-01-11T23", "2020-01-13T20")
        assert not home.forecasts("waves", "3h").exists()
        ds = stored(home, "hindcasts")
        np.testing.assert_allclose(ds["t2m"].values[7], truth(ds["valid_time"].values[7]) + 0.5, atol=2e-3)
        some = forecast(home, "waves", model=forecaster(), horizon=4, hindcast=self.INTERVAL, init_hours=[0, 12])
        assert some.issued == texts("2020-01-12T00", "2020-01-12T12", "2020-01-13T00", "2020-01-13T12")

    def test_asked_again_it_stays_and_another_model_replaces_it_whole(self, home: Home) -> None:
        forecast(home, "waves", model=forecaster(0.5), hindcast=self.INTERVAL)
        first = stored(home, "hindcasts")
        assert forecast(home, "waves", model=forecaster(0.5), hindcast=self.INTERVAL).issued == ()
        xr.testing.assert_identical(stored(home, "hindcasts"), first)
        other = forecast(home, "waves", model=forecaster(0.1), hindcast=("2020-01-12T00", "2020-01-12T12"))
        assert (len(other.issued), other.length) == (11, 11)
        assert set(stored(home, "hindcasts")["model_fingerprint"].values) == {forecaster(0.1).fingerprint}
        beside = sorted(p.name for p in home.hindcasts("waves", "3h").parent.iterdir() if p.is_dir())
        assert beside == ["3h.zarr"]

    def test_a_gap_costs_its_windows_and_is_counted(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        ds = world()
        hole = ds["time"].values == np.datetime64("2020-01-12T10")
        Archive(home.archive("waves")).append(ds.isel(time=~hole))
        report = forecast(home, "waves", model=forecaster(), hindcast=self.INTERVAL)
        assert len(report.issued) == 46 - 7
        assert report.dropped["gap"] == 7
        assert "Left out 7 init times: a frame is absent." in report.summary


def issue(folder: Path) -> None:
    forecast(Home(folder / "home"), "waves", model=forecaster(), batch=1)


def compute(folder: Path) -> None:
    forecast(Home(folder / "home"), "waves", model=forecaster(), hindcast=TestHindcast.INTERVAL, batch=16)


def look(folder: Path) -> None:
    """What is there is whole: operational forecasts one by one, hindcasts all at once."""
    home = Home(folder / "home")
    for path, counts in ((home.forecasts("waves", "3h"), (1, 2, 3, 4)), (home.hindcasts("waves", "3h"), (46,))):
        if Store(path).exists:
            ds = plain(path).load()
            assert ds.sizes["init_time"] in counts
            assert np.isfinite(ds["t2m"]).all()


@pytest.mark.parametrize(
    ("work", "kind"), [("issue", "forecasts"), pytest.param("compute", "hindcasts", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("stride", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_and_started_again_it_leaves_the_same_store(tmp_path: Path, work: str, kind: str, stride: int) -> None:
    wave_home(Home(tmp_path / "start" / "home"))
    here = "tests.pipelines.test_forecast"
    folders = kill_everywhere(f"{here}:{work}", f"{here}:look", tmp_path, stride=stride)
    assert len(folders) > 2
    for folder in folders[:-1]:
        same(stored(Home(folder / "home"), kind), stored(Home(folders[-1] / "home"), kind))


def test_cut_off_when_a_hindcast_has_taken_its_place_it_is_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(home, "waves", model=forecaster(0.5), hindcast=TestHindcast.INTERVAL)
    drop = icechunk.Repository.delete_branch

    def cut_off(self: icechunk.Repository, branch: str) -> None:
        if branch == "building":
            raise KeyboardInterrupt
        drop(self, branch)

    with monkeypatch.context() as patch:
        patch.setattr(icechunk.Repository, "delete_branch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            forecast(home, "waves", model=forecaster(0.1), hindcast=TestHindcast.INTERVAL)
    for error in (0.1, 0.5):  # the second time, what is left of the first is no beginning of it
        report = forecast(home, "waves", model=forecaster(error), hindcast=TestHindcast.INTERVAL)
        assert (len(report.issued), report.length) == (0 if error == 0.1 else 46, 46)
        assert set(stored(home, "hindcasts")["model_fingerprint"].values) == {forecaster(error).fingerprint}
