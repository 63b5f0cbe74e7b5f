"""Known inputs and static maps through the stages: ingest, train, forecast, hindcasts, verify."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from datasets.archive import Archive
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.known import with_known
from pipelines.tracking import open_registry
from pipelines.train import TrainConfig, train
from pipelines.verify import verify
from pipelines.verify_archive import verify_archive
from simvp.contract import carried
from simvp.errors import ConfigError, SourceError
from simvp.inference.forecaster import Forecaster
from tests.support.damage import chunk_of, flip
from tests.support.known_world import KnownWorld
from tests.support.small_home import crown

FLAG = {"units": {"holiday": "1"}}
NAME, WORLD = "held", KnownWorld(days=20)
SETTINGS = {
    "dataset": NAME,
    "frames_in": 8,
    "frames_out": 6,
    "size": "tiny",
    "epochs": 1,
    "threads": 1,
    "epoch_updates": 4,
}
SETTINGS["validation_windows"] = 48


def write_calendar(path: Path, days: int = WORLD.days) -> dict[str, Any]:
    """A CSV of holidays, and the settings of its source."""
    flags = np.resize(WORLD.flags, days).astype(int)
    pd.DataFrame({"day": pd.date_range("2024-01-01", periods=days), "holiday": flags}).to_csv(path, index=False)
    return {"source": str(path), **FLAG}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Frames, a calendar that ends with them, maps of wind that go on for a day; a model of both and a land mask."""
    root = tmp_path_factory.mktemp("known")
    WORLD.ds.to_netcdf(root / "frames.nc")
    wind = xr.concat([WORLD.ds["x"] * 0, WORLD.ds["x"][-24:] * 0], "time").rename("wind").assign_attrs(units="m s-1")
    wind = wind + np.random.default_rng(0).standard_normal(wind.shape).astype("f4")
    hours = WORLD.times[0] + np.arange(len(wind)) * (WORLD.times[1] - WORLD.times[0])
    wind.assign_coords(time=hours).assign_attrs(units="m s-1").to_netcdf(root / "wind.nc")
    land = WORLD.ds["x"][0].drop_vars("time").rename("land").assign_attrs(units="1")
    land.to_netcdf(root / "land.nc")
    made = Home(root / "home")
    sources = {"calendar": write_calendar(root / "days.csv"), "nwp": {"source": str(root / "wind.nc")}}
    report = ingest(made, NAME, source=str(root / "frames.nc"), known=sources)
    assert report.known["calendar"].startswith("holiday: 2024-01-01T00:00:00 .. 2024-01-20T00:00:00, every 1 d; 20 new")
    static = {"source": str(root / "land.nc")}
    trained = train(made, TrainConfig(**SETTINGS, static=static))
    crown(made, NAME, trained.version)
    yield made
    shutil.rmtree(root)


def champion(home: Home) -> Forecaster:
    registry = open_registry(home)
    return registry.load(registry.resolve(f"simvp-{NAME}"))


def test_ingest_keeps_each_source_in_an_archive_and_frames_carry_them(home: Home) -> None:
    ds = with_known(home, NAME, Archive(home.archive(NAME)).dataset())
    assert carried(ds) == ["holiday", "wind"]
    assert ds.coords["known_holiday"].dims == ("known_holiday_time",)
    np.testing.assert_array_equal(ds.coords["known_holiday"], WORLD.flags)
    assert ds.coords["known_wind"].dims == ("known_wind_time", "latitude", "longitude")
    assert ds.attrs["known_commits"].keys() == {"calendar", "nwp"}
    assert list(ds.data_vars) == ["x"]


def test_the_contract_names_them_and_their_sources(home: Home) -> None:
    spec = champion(home).spec
    assert [(c.name, c.units, c.source) for c in spec.known_channels] == [
        ("holiday", "1", "calendar"),
        ("wind", "m s-1", "nwp"),
    ]
    assert spec.known_channels[0].climatology.values.shape[-2:] == (1, 1)
    assert [c.name for c in spec.static_channels] == ["land"]
    assert spec.static_channels[0].values.std() == pytest.approx(1, abs=1e-5)
    assert champion(home).base is not None
    assert champion(home).calibration is not None


def test_an_init_time_whose_known_inputs_are_not_there_yet_waits_for_them(home: Home, tmp_path: Path) -> None:
    report = forecast(home, NAME, init_hours=[12, 23])
    assert report.issued == ("2024-01-20T12:00:00",)
    ((time, reason),) = report.skipped
    assert time == "2024-01-20T23:00:00"
    assert reason == (
        "known input holiday (source calendar): missing, or NaN, at 6 (2024-01-21T00:00:00 .. 2024-01-21T05:00:00) of "
        "14 times needed; hand it over: known=Dataset with holiday, or ingest newer values from the source "
        "[ingest.known.calendar]"
    )
    longer = write_calendar(tmp_path / "days.csv", WORLD.days + 1)
    assert "; 1 new, 0 filled, 0 replaced" in ingest(home, NAME, known={"calendar": longer}).known["calendar"]
    assert forecast(home, NAME, init_hours=[12, 23]).issued == ("2024-01-20T23:00:00",)


def test_hindcasts_use_them_and_are_verified(home: Home) -> None:
    report = forecast(home, NAME, hindcast=("2024-01-18T00:00:00", "2024-01-18T23:00:00"))
    assert len(report.issued) == 19
    assert not report.skipped
    checked = verify(home, NAME, kind="hindcasts")
    assert checked.scored == 19
    skill = checked.skill["rmse_all"].sel(variable="x")
    assert np.isfinite(skill.sel(system=["model", "base"])).all()


def test_what_a_source_says_anew_takes_the_place_of_what_it_said(home: Home, tmp_path: Path) -> None:
    other = write_calendar(tmp_path / "days.csv", WORLD.days + 1)
    table = pd.read_csv(tmp_path / "days.csv")
    table.loc[3, "holiday"] = 1 - table.loc[3, "holiday"]
    table.to_csv(tmp_path / "days.csv", index=False)
    report = ingest(home, NAME, known={"calendar": other})
    assert "; 0 new, 0 filled, 1 replaced" in report.known["calendar"]
    assert {row["what"] for row in report.table} >= {"known input calendar"}


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"nwp": {"source": "moved.nc"}}, SourceError, r"latitude differs by up to 0\.3"),
        ({"twice": {"source": "days.csv", **FLAG}}, ConfigError, "holiday: the source calendar has a variable of that"),
        ({"No!": {"source": "days.csv", **FLAG}}, ConfigError, "expected lower case letters"),
        ({"other": {"source": "absent.csv"}}, SourceError, "there is no such file"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_taken_are_refused(
    home: Home, tmp_path: Path, change: dict[str, dict[str, Any]], error: type[Exception], reason: str
) -> None:
    write_calendar(tmp_path / "days.csv")
    moved = WORLD.ds.assign_coords(latitude=WORLD.ds["latitude"] + 0.3).rename(x="wind")
    moved["wind"].attrs["units"] = "m s-1"
    moved.to_netcdf(tmp_path / "moved.nc")
    sources = {n: {**one, "source": str(tmp_path / one["source"])} for n, one in change.items()}
    with pytest.raises(error, match=reason):
        ingest(home, NAME, known=sources)


def test_a_known_input_that_does_not_reach_back_to_the_first_frame_is_refused(home: Home, tmp_path: Path) -> None:
    short = xr.open_dataset(home.path.parent / "wind.nc").rename(wind="gust").isel(time=slice(48, None))
    short.to_netcdf(tmp_path / "gust.nc")
    ingest(home, NAME, known={"late": {"source": str(tmp_path / "gust.nc")}})
    try:
        with pytest.raises(ConfigError) as refusal:
            train(home, TrainConfig(**SETTINGS, known=("gust",)))
        (reason,) = refusal.value.reasons
        assert reason.startswith("known input gust (source late): missing, or NaN, at 48 (2024-01-01T00:00:00 .. ")
        assert "train on what it covers (periods), or without it (known)" in reason
        with pytest.raises(ConfigError, match="known nothing: expected one of gust, holiday, wind"):
            train(home, TrainConfig(**SETTINGS, known=("nothing",)))
    finally:
        shutil.rmtree(home.known(NAME, "late"))


def test_a_file_of_the_model_says_of_which_commits_it_learned(home: Home) -> None:
    assert champion(home).provenance["known_commits"].keys() == {"calendar", "nwp"}


def test_a_damaged_archive_of_a_known_input_is_found_and_read_again_from_its_source(home: Home) -> None:
    place = Path(home.known(NAME, "nwp"))
    wind = Archive(place).dataset()["wind"].load()
    flip(chunk_of(place, wind.values[:1]))
    found = {one.name: one for one in verify_archive(home, NAME).stores}
    assert found["known input calendar"].whole
    assert not found["known input nwp"].whole
    healed = {one.name: one for one in verify_archive(home, NAME, heal=True).stores}["known input nwp"]
    assert healed.healed
    xr.testing.assert_equal(Archive(place).dataset()["wind"].load(), wind)
    assert verify_archive(home, NAME).whole
