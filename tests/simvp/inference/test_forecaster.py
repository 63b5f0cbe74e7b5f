"""The saved model and its rollout: proved on worlds whose every frame is known, and file by file."""

import json
import logging
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch._subclasses.fake_tensor import FakeTensor

from simvp.contract.channel import State
from simvp.contract.frame_spec import FrameSpec
from simvp.coords.forecast_layout import faults
from simvp.coords.steps import Step
from simvp.errors import ContractError, Refusal, RegistryError
from simvp.inference import model_file
from simvp.inference.forecaster import Forecaster
from simvp.inference.model_file import read_header
from simvp.inference.request import runs_of, steps_of
from simvp.networks.gridded import GriddedConfig, GriddedSimVP
from tests.support.models import small_forecaster, spec_of, with_network
from tests.support.worlds import WAVE, Kind, formula_world

HOUR = Step(seconds=3600)
MONTH = Step(months=1, anchor="day", day=1)
SHAPE = (3, 4)


class Wave(torch.nn.Module):
    """Knows the formula world: d(t + 1) = 2 cos(2 pi / 7) d(t) - d(t - 1), for `frames_out` steps."""

    def __init__(self, states: int, frames_out: int) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2 * math.cos(2 * math.pi / WAVE), dtype=torch.float64))
        self.states, self.frames_out = states, frames_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = [x[:, -2, : self.states].double(), x[:, -1, : self.states].double()]
        for _ in range(self.frames_out):
            frames.append(self.factor * frames[-1] - frames[-2])
        return torch.stack(frames[2:], dim=1).float()


class Witness(torch.nn.Module):
    """Every output depends on every input frame, its place, and on the forcings: any mistake in order shows."""

    def __init__(self, states: int, frames_out: int) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))
        self.states, self.frames_out = states, frames_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        place = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[None, :, None, None, None]
        known = x[:, :, self.states :].sum(2, keepdim=True)
        mixed = (place * (0.1 * x[:, :, : self.states] + 0.3 * known)).sum(1) / x.shape[1] ** 2
        return torch.stack([mixed + 0.01 * k for k in range(self.frames_out)], dim=1)


class Known(Forecaster):
    """A forecaster whose network is a toy: it has no sizes to save, and so a fingerprint of its own."""

    @property
    def fingerprint(self) -> str:
        return "0" * 16


def toy(spec: FrameSpec, network: torch.nn.Module, ds: xr.Dataset) -> Forecaster:
    made = with_network(spec, network, ds)
    return Known(spec=made.spec, network=made.network, baselines=made.baselines)


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(frames=14 * 24, shape=SHAPE)


@pytest.fixture(scope="module")
def waves(world: xr.Dataset) -> Forecaster:
    return toy(spec_of(world, 4, 3), Wave(2, 3), world)


@pytest.fixture(scope="module")
def small(world: xr.Dataset) -> Forecaster:
    return small_forecaster(world, dataset="worlds")


class TestRollout:
    @pytest.mark.parametrize("frames_in", [2, 3, 5])
    @pytest.mark.parametrize("frames_out", [1, 2, 3, 5, 7])
    def test_a_network_that_knows_the_formula_is_right_at_any_horizon(
        self, world: xr.Dataset, frames_in: int, frames_out: int
    ) -> None:
        forecaster = toy(spec_of(world, frames_in, frames_out), Wave(2, frames_out), world)
        later = formula_world(frames=60, first=14 * 24 - 30, shape=SHAPE)
        past = later.isel(time=slice(0, 30))
        for horizon in (1, 2, 3, 4, 7, 11):
            forecast = forecaster.predict(past, horizon=horizon)
            assert forecast.sizes["lead_time"] == horizon
            for name in later.data_vars:
                truth = later[name].values[30 : 30 + horizon]
                np.testing.assert_allclose(forecast[name].values[0], truth, atol=2e-3)  # of 280 K in float32

    @pytest.mark.parametrize("frames_in", [1, 2, 3, 5])
    @pytest.mark.parametrize("frames_out", [1, 2, 3, 5, 7])
    def test_inputs_of_every_block_are_those_of_a_plain_loop(
        self, world: xr.Dataset, frames_in: int, frames_out: int
    ) -> None:
        spec = spec_of(world, frames_in, frames_out)
        forecaster = toy(spec, Witness(2, frames_out), world)
        inits = world["time"].values[[40, 45]]
        z = np.stack([spec.to_frames(world.isel(time=slice(i + 1 - frames_in, i + 1))) for i in (40, 45)])
        got = forecaster.forecast(z, inits, 11)
        assert got.shape == (2, 11, 2, *SHAPE)
        assert got.dtype == np.float32
        for b, i in enumerate((40, 45)):
            frames = [(z[b, t, :2], world["time"].values[i + 1 - frames_in + t]) for t in range(frames_in)]
            made: list[np.ndarray] = []
            while len(made) < 11:
                mixed = np.zeros((2, *SHAPE))
                for place, (state, time) in enumerate(frames[-frames_in:], 1):
                    known = spec.forcings(np.array([time]))[0].sum(0)
                    mixed += place * (0.1 * state + 0.3 * known) / frames_in**2
                for k in range(frames_out):
                    made.append(mixed + 0.01 * k)
                    frames.append((made[-1], frames[-1][1] + np.timedelta64(1, "h")))
            np.testing.assert_allclose(got[b], np.stack(made[:11]), atol=1e-5)

    def test_masked_points_stay_zero_in_the_input(self, world: xr.Dataset) -> None:
        masked = world.copy(deep=True)
        masked["t2m"][:, 1, 2] = np.nan
        spec = spec_of(masked, 2, 1)
        seen: list[torch.Tensor] = []

        class Spy(Witness):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                seen.append(x)
                return super().forward(x) + 5

        forecast = toy(spec, Spy(2, 1), masked).predict(masked, horizon=4)
        assert len(seen) == 4
        assert all((x[:, :, 0, 1, 2] == 0).all() for x in seen)
        assert all((x[:, -1, 1] != 0).all() for x in seen[1:])
        assert np.isnan(forecast["t2m"].values[:, :, 1, 2]).all()
        assert np.isfinite(forecast["d2m"].values).all()

    def test_training_flag_and_random_state_are_left_alone(self, world: xr.Dataset, waves: Forecaster) -> None:
        waves.network.train()
        state = torch.get_rng_state()
        waves.predict(world)
        assert waves.network.training
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.is_grad_enabled()
        waves.network.eval()
        waves.predict(world)
        assert not waves.network.training

    def test_every_part_of_the_network_has_its_own_mode_again(self, world: xr.Dataset, small: Forecaster) -> None:
        encoder = small.network.eval().network.encoder.train()
        small.predict(world)
        assert encoder.training
        assert not small.network.training
        encoder.eval()

    def test_months_roll_out_too(self) -> None:
        ds = formula_world(["t2m"], frames=120, shape=SHAPE, start="2000-01-01", step="MS")
        spec = spec_of(ds, 12, 3)
        forecast = toy(spec, Witness(1, 3), ds).predict(ds, horizon="6 months")
        assert forecast["lead_time"].values.tolist() == [1, 2, 3, 4, 5, 6]
        assert forecast["lead_time"].attrs["units"] == "month"
        assert forecast["valid_time"].values[0, 5] == np.datetime64("2010-06-01")


class TestInitTimes:
    def test_the_last_frame_is_the_default(self, world: xr.Dataset, waves: Forecaster) -> None:
        forecast = waves.predict(world)
        np.testing.assert_array_equal(forecast["init_time"], world["time"][-1:])
        assert forecast.sizes["lead_time"] == 3
        assert forecast["valid_time"].values[0, 0] == world["time"].values[-1] + np.timedelta64(1, "h")

    def test_one_a_list_and_all(self, world: xr.Dataset, waves: Forecaster) -> None:
        short = world.isel(time=slice(0, 20))
        every = waves.predict(short, init_time="all", horizon=2)
        np.testing.assert_array_equal(every["init_time"], short["time"][3:])
        one = waves.predict(short, init_time="2020-01-01T07:00", horizon=2)
        two = waves.predict(short, init_time=["2020-01-01T11", np.datetime64("2020-01-01T05")], horizon=2)
        chosen = [np.datetime64("2020-01-01T11"), np.datetime64("2020-01-01T05")]
        np.testing.assert_array_equal(two["init_time"], np.array(chosen, "M8[ns]"))
        for part in (one, two):
            same = every.sel(init_time=part["init_time"])
            np.testing.assert_allclose(part["t2m"].values, same["t2m"].values, atol=1e-4)

    # Frames read five at a time and forecasts made one by one; all frames at once, but several batches.
    @pytest.mark.parametrize("bytes_", [5 * 4 * 2 * 12, 64 * 4 * 7 * 4 * 4 * 12])
    def test_batches_do_not_show(
        self, world: xr.Dataset, waves: Forecaster, monkeypatch: pytest.MonkeyPatch, bytes_: int
    ) -> None:
        past = world.isel(time=slice(0, 60))
        whole = waves.predict(past, init_time="all")
        monkeypatch.setattr("simvp.budget.BUDGET", bytes_)
        batched = waves.predict(past.chunk(time=25), init_time="all")
        xr.testing.assert_identical(
            batched.drop_vars("created"), whole.drop_vars("created").assign_attrs(batched.attrs)
        )

    def test_frames_that_histories_share_are_scaled_once(
        self, world: xr.Dataset, waves: Forecaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[np.datetime64] = []
        scale = State.normalise
        monkeypatch.setattr(State, "normalise", lambda c, v, times: seen.extend(times) or scale(c, v, times))
        waves.predict(world.isel(time=slice(0, 30)), init_time="all")
        assert sorted(seen) == sorted([*world["time"].values[:30]] * 2)  # two states

    def test_a_large_map_is_scaled_a_few_frames_at_a_time(
        self, world: xr.Dataset, waves: Forecaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        past = world.isel(time=slice(0, 30))
        whole = waves.predict(past, init_time="all").drop_vars("created")
        sizes: list[int] = []
        for name in ("normalise", "denormalise"):
            way = getattr(State, name)
            monkeypatch.setattr(
                State, name, lambda c, v, t, *more, way=way: sizes.append(len(v)) or way(c, v, t, *more)
            )
        monkeypatch.setattr("simvp.contract.frame_spec.fitting", lambda item, share: 4)
        parts = waves.predict(past, init_time="all").drop_vars("created")
        xr.testing.assert_identical(parts.assign_attrs(whole.attrs), whole)
        assert max(sizes) == 4

    def test_all_leaves_out_what_lacks_history(
        self, world: xr.Dataset, waves: Forecaster, caplog: pytest.LogCaptureFixture
    ) -> None:
        holed = world.isel(time=slice(0, 40)).copy(deep=True)
        for name in holed.data_vars:
            holed[name][10] = np.nan  # an absent slot: init times 10 .. 13 need it
        holed = holed.drop_isel(time=[20])  # a gap: init times 21 .. 23 lack it
        with caplog.at_level(logging.INFO, "simvp"):
            forecast = waves.predict(holed, init_time="all")
        expected = [i for i in range(3, 40) if i not in (*range(10, 14), *range(20, 24))]
        np.testing.assert_array_equal(forecast["init_time"], world["time"].values[expected])
        assert "4 of 33 init times left out: missing values" in caplog.text
        assert forecast["t2m"].notnull().all()


class TestLabels:
    @pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear", "index"])
    def test_layout_of_every_kind_of_grid(self, grid: Kind) -> None:
        ds = formula_world(frames=14 * 24, shape=SHAPE, grid=grid)
        forecast = toy(spec_of(ds, 4, 3), Wave(2, 3), ds).predict(ds)
        assert faults(forecast) == []
        assert list(forecast.data_vars) == ["t2m", "d2m"]
        assert forecast["t2m"].attrs["units"] == "K"
        for name in ("latitude", "longitude", "x", "y"):
            assert (name in forecast.coords) == (name in ds.coords)

    def test_provenance_stands_on_the_init_time(self, world: xr.Dataset, waves: Forecaster) -> None:
        forecast = waves.predict(world.assign_attrs(archive_commit="abc"), init_time="all")
        for name, value in {
            "model_version": "unregistered",
            "model_fingerprint": waves.fingerprint,
            "archive_commit": "abc",
        }.items():
            assert forecast[name].dims == ("init_time",)
            assert set(forecast[name].values) == {value}
        age = np.datetime64("now") - forecast["created"].values[0]
        assert np.timedelta64(-2, "s") < age < np.timedelta64(60, "s")
        assert forecast.attrs["Conventions"].startswith("CF-")
        assert {"title", "source", "history", "references", "code_version"} <= set(forecast.attrs)

    def test_a_data_array_is_the_dataset_of_its_one_variable(self) -> None:
        ds = formula_world(("t2m",), frames=14 * 24, shape=SHAPE)
        model = small_forecaster(ds)
        forecast = model.predict(ds["t2m"])
        xr.testing.assert_equal(forecast.drop_vars("created"), model.predict(ds)["t2m"].drop_vars("created"))

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (lambda ds: ds["t2m"].rename(None), "with the name of a variable, got one called None"),
            (lambda ds: ds["t2m"].rename("latitude"), "got one called 'latitude'"),
            (lambda ds: ds["t2m"].values, "a DataArray or a path of files, got numpy.ndarray"),
            (lambda ds: None, "expected an xarray Dataset, a DataArray or a path of files, got NoneType"),
        ],
    )
    def test_anything_else_is_refused(self, world: xr.Dataset, waves: Forecaster, given: Any, text: str) -> None:
        with pytest.raises(ContractError, match=text):
            waves.predict(given(world))

    @pytest.mark.parametrize("as_dim", [False, True])
    def test_the_level_and_the_member_that_the_data_is_of_stay(
        self, world: xr.Dataset, waves: Forecaster, as_dim: bool
    ) -> None:
        level = xr.Variable((), 850.0, {"units": "hPa", "standard_name": "air_pressure", "positive": "down"})
        given = world.assign_coords(level=level, number=3, expver="0001")
        given = given.expand_dims("level") if as_dim else given
        forecast = waves.predict(given)
        assert forecast["level"].dims == ()
        assert (float(forecast["level"]), int(forecast["number"])) == (850.0, 3)
        assert forecast["level"].attrs == level.attrs
        assert faults(forecast) == []

    def test_no_coordinate_of_the_callers_is_written_with_a_fill_value(
        self, world: xr.Dataset, waves: Forecaster, tmp_path: Path
    ) -> None:
        given = world.rename(latitude="lat", longitude="lon").astype("f4")
        for name in ("lat", "lon"):
            given[name].encoding = {
                "_FillValue": np.float32(-999.0),
                "missing_value": np.float32(-999.0),
                "dtype": "f4",
            }
        before = {name: dict(given[name].encoding) for name in given.variables}
        waves.predict(given, init_time="all").to_netcdf(tmp_path / "a.nc")
        with xr.open_dataset(tmp_path / "a.nc", decode_cf=False) as file:
            marked = {name for name in file.variables if {"_FillValue", "missing_value"} & set(file[name].attrs)}
        assert marked == {"t2m", "d2m"}
        assert {name: dict(given[name].encoding) for name in given.variables} == before

    def test_callers_names_order_and_direction(self, world: xr.Dataset, waves: Forecaster) -> None:
        plain = waves.predict(world)
        renamed = world.rename(latitude="lat", longitude="lon", time="t")
        theirs = renamed.isel(lat=slice(None, None, -1)).transpose("lon", "t", "lat").chunk(t=24)
        forecast = waves.predict(theirs)
        assert forecast["t2m"].dims == ("lon", "init_time", "lead_time", "lat")
        np.testing.assert_array_equal(forecast["lat"], theirs["lat"])
        back = forecast.rename(lat="latitude", lon="longitude").sel(latitude=plain["latitude"])
        back = back.transpose(*plain["t2m"].dims)
        np.testing.assert_array_equal(back["t2m"].values, plain["t2m"].values)

    def test_other_variables_are_ignored_and_logged(
        self, world: xr.Dataset, waves: Forecaster, caplog: pytest.LogCaptureFixture
    ) -> None:
        more = world.assign(tp=world["t2m"] * 0, name=("station", ["a"]))
        with caplog.at_level(logging.INFO, "simvp"):
            forecast = waves.predict(more)
        assert list(forecast.data_vars) == ["t2m", "d2m"]
        assert "not used by the model: name, tp" in caplog.text

    def test_the_callers_data_is_left_as_it_is(self, world: xr.Dataset, waves: Forecaster) -> None:
        lazy = world.chunk(time=24)
        before = world.copy(deep=True)
        waves.predict(lazy, init_time="all")
        assert lazy["t2m"].chunks is not None
        xr.testing.assert_identical(world, before)

    def test_files_keep_a_forecast(self, world: xr.Dataset, waves: Forecaster, tmp_path: Path) -> None:
        forecast = waves.predict(world, init_time="all")
        forecast.to_netcdf(tmp_path / "forecast.nc")
        with xr.open_dataset(tmp_path / "forecast.nc", decode_timedelta=True) as back:
            np.testing.assert_array_equal(back["t2m"], forecast["t2m"])
            for name in forecast.coords:
                np.testing.assert_array_equal(back[name], forecast[name])


class TestHorizon:
    @pytest.mark.parametrize(
        ("horizon", "expected"),
        [
            (None, 12),
            (5, 5),
            (np.int64(7), 7),
            ("24h", 24),
            ("1 day", 24),
            (timedelta(hours=3), 3),
            (np.timedelta64(2, "D"), 48),
        ],
    )
    def test_words_and_durations(self, horizon: Any, expected: int) -> None:
        assert steps_of(horizon, HOUR, 12) == expected

    @pytest.mark.parametrize(
        ("horizon", "text"),
        [
            (0, "expected one step or more, got 0"),
            (True, "expected steps, a timedelta or words such as '24h', got True"),
            (1.5, "expected steps, a timedelta or words such as '24h', got 1.5"),
            ("90min", "expected a multiple of the step, 1 h, got 90min; 1 or 2 steps would do"),
            (timedelta(minutes=20), "expected a multiple of the step, 1 h, got 0:20:00; 1 step would do"),
            (timedelta(0), "expected a multiple of the step"),
            ("soon", "expected words like 1h"),
            ("1 month", "expected multiples of the step, 1 h, got '1 month'"),
        ],
    )
    def test_refusals(self, horizon: Any, text: str) -> None:
        with pytest.raises(Refusal) as caught:
            steps_of(horizon, HOUR, 12)
        assert text in str(caught.value)

    def test_months_have_no_duration(self) -> None:
        assert steps_of("1 year", MONTH, 3) == 12
        with pytest.raises(Refusal, match="expected steps or words such as '6 months' for a step of 1 month"):
            steps_of(timedelta(days=30), MONTH, 3)
        with pytest.raises(Refusal, match="expected multiples of the step, 1 month, got '24h'"):
            steps_of("24h", MONTH, 3)


class TestRefusals:
    def refused(self, forecaster: Forecaster, ds: xr.Dataset, **asked: Any) -> str:
        with pytest.raises(ContractError) as caught:
            forecaster.predict(ds, **asked)
        return str(caught.value)

    def test_all_reasons_at_once(self, world: xr.Dataset, waves: Forecaster) -> None:
        wrong = world.copy(deep=True)
        wrong["d2m"].attrs["units"] = "degC"
        del wrong["t2m"].attrs["units"]
        wrong["t2m"][-2, 1, 1] = np.nan
        text = self.refused(
            waves, wrong, horizon="90min", init_time=["2020-01-01T01", "1999-01-01", world["time"].values[-1]]
        )
        assert "t2m: units are missing" in text
        assert "d2m: expected units 'K', got 'degC'" in text
        assert "horizon: expected a multiple of the step" in text
        assert "init_time 2020-01-01T01" in text
        assert "2 are missing, first 2019-12-31T22" in text
        assert "init_time 1999-01-01" in text
        assert "there is no such frame; the data has 2020-01-01T00" in text

    def test_values_that_cannot_be_in_these_units(self, world: xr.Dataset, waves: Forecaster) -> None:
        celsius = world.copy(deep=True)
        celsius["t2m"] = world["t2m"] - 273.15
        celsius["t2m"].attrs["units"] = "K"
        assert "t2m" in self.refused(waves, celsius)

    def test_missing_values_in_the_history(self, world: xr.Dataset, waves: Forecaster) -> None:
        holed = world.copy(deep=True)
        holed["t2m"][-2, 1, :2] = np.nan  # 2 of 12
        text = self.refused(waves, holed, horizon="90min")
        assert "t2m: missing values: 1 of 4 frames lack more than 10 % of the points where training had values" in text
        assert "the worst 16.7 % at 2020-01-" in text
        assert "horizon:" in text
        waves.predict(holed, init_time=world["time"].values[-4])  # not in this history

    def test_too_short_and_gappy_histories(self, world: xr.Dataset, waves: Forecaster) -> None:
        short = world.isel(time=slice(0, 3))
        assert "expected 4 frames 2019-12-31T23" in self.refused(waves, short)
        assert "expected 4 frames" in self.refused(waves, short, init_time="all")
        gappy = world.drop_isel(time=[-2])
        assert "1 are missing" in self.refused(waves, gappy)
        assert "got a time axis of length 0" in self.refused(waves, world.isel(time=slice(0, 0)))

    def test_shifted_grid_and_missing_variable(self, world: xr.Dataset, waves: Forecaster) -> None:
        text = self.refused(waves, world.assign_coords(latitude=world["latitude"] + 0.1))
        assert "latitude differs by up to 0.1" in text
        assert "d2m: the variable is missing" in self.refused(waves, world.drop_vars("d2m"), horizon=-1)

    def test_another_step(self, world: xr.Dataset, waves: Forecaster) -> None:
        assert "expected a step of 1 h, got 2 h" in self.refused(waves, world.isel(time=slice(None, None, 2)))

    def test_a_domain_that_the_memory_does_not_hold(self, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        class Never(Wave):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                assert isinstance(x, FakeTensor)
                return super().forward(x)

        monkeypatch.setattr("simvp.networks.footprint.LARGE", 0)
        monkeypatch.setattr("simvp.networks.footprint.available", lambda device: 1000)
        with pytest.raises(
            Refusal,
            match=r"^Forecast of 1 init times and 3 steps on 3 x 4 points: memory: .* GiB are needed on cpu, "
            "0.0 are available",
        ):
            toy(spec_of(world, 4, 3), Never(2, 3), world).predict(world)

    def test_histories_that_all_have_holes(self, world: xr.Dataset, waves: Forecaster) -> None:
        holed = world.isel(time=slice(0, 8)).copy(deep=True)
        holed["t2m"][[3, 7]] = np.nan
        text = self.refused(waves, holed, init_time="all")
        assert "each of the 5 full histories has missing values" in text

    def test_repeated_and_no_init_times(self, world: xr.Dataset, waves: Forecaster) -> None:
        last = world["time"].values[-1]
        assert "expected distinct times, got 1 repeated" in self.refused(waves, world, init_time=[last, last])
        assert "got an empty list" in self.refused(waves, world, init_time=[])
        assert "expected a time" in self.refused(waves, world, init_time="noon")

    def test_a_device_that_is_not_there(self, world: xr.Dataset, waves: Forecaster) -> None:
        text = self.refused(waves, world, device="abacus", horizon=0)
        assert "device: expected one of cpu" in text
        assert "got 'abacus'" in text
        assert "horizon:" in text


def test_runs_equal_a_plain_search() -> None:
    times = np.datetime64("2020-01-01", "ns") + np.array([0, 1, 2, 4, 5, 6, 7, 9]) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(runs_of("all", times, HOUR, 3), [[0, 1, 2], [3, 4, 5], [4, 5, 6]])
    np.testing.assert_array_equal(runs_of(times[6], times, HOUR, 3), [[4, 5, 6]])


class TestFile:
    @pytest.fixture
    def path(self, small: Forecaster, tmp_path: Path) -> Path:
        small.save(tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    def test_there_and_back(self, small: Forecaster, path: Path, world: xr.Dataset) -> None:
        back = Forecaster.load(path)
        assert back.fingerprint == small.fingerprint
        assert dict(back.provenance) == {"dataset": "worlds"}
        assert not back.network.training
        past = world.isel(time=slice(0, 40))
        ours, theirs = (f.predict(past, init_time="all", horizon=7) for f in (small, back))
        xr.testing.assert_identical(ours.drop_vars("created"), theirs.drop_vars("created").assign_attrs(ours.attrs))
        made = small.baselines.predict(world, world["time"].values[[50]])
        again = back.baselines.predict(world, world["time"].values[[50]])
        for name, forecast in made.items():
            xr.testing.assert_identical(again[name], forecast)

    def test_the_header_is_read_without_an_array(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model_file, "read_arrays", None)
        header = read_header(path)
        assert header["format"] == 1
        assert [c["name"] for c in header["spec"]["channels"][:2]] == ["t2m", "d2m"]
        assert header["provenance"] == {"dataset": "worlds"}
        assert header["fingerprint"]

    def test_the_fingerprint_is_of_the_content_alone(
        self, small: Forecaster, path: Path, world: xr.Dataset, tmp_path: Path
    ) -> None:
        other = replace(small, provenance={"run_id": "x", "created": "now"}, version="simvp-a/2")
        assert other.fingerprint == small.fingerprint
        other.save(tmp_path / "other.safetensors")
        assert read_header(tmp_path / "other.safetensors")["fingerprint"] == read_header(path)["fingerprint"]
        moved = Forecaster.load(path)
        with torch.no_grad():
            next(iter(moved.network.parameters())).view(-1)[0] += 1e-6
        assert moved.fingerprint != small.fingerprint
        assert replace(small, spec=spec_of(world.isel(time=slice(0, 300)), 8, 3)).fingerprint != small.fingerprint
        shorter = replace(small.baselines, damping=small.baselines.damping[:, :2])
        assert replace(small, baselines=shorter).fingerprint != small.fingerprint

    def test_weights_are_hashed_again_only_when_they_were_written_to(
        self, path: Path, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[int] = []
        way = model_file.fingerprint
        monkeypatch.setattr(model_file, "fingerprint", lambda *given: hashed.append(1) or way(*given))
        model = Forecaster.load(path)
        assert len(hashed) == 1
        prints = {str(model.predict(world)["model_fingerprint"].values[0]) for _ in range(2)}
        assert prints == {read_header(path)["fingerprint"]}
        assert len(hashed) == 1
        weights = next(model.network.parameters())
        with torch.no_grad():
            weights.add_(1.0)
        prints |= {model.fingerprint, model.fingerprint}
        weights.grad = torch.ones_like(weights)
        torch.optim.SGD([weights], lr=0.1).step()
        prints |= {model.fingerprint}
        model.network.load_state_dict({name: value + 1 for name, value in model.network.state_dict().items()})
        prints |= {model.fingerprint}
        weights.data = torch.zeros_like(weights)
        prints |= {model.fingerprint}
        assert len(prints) == len(hashed) == 5

    def test_weights_that_nobody_watches_are_hashed_every_time(self, path: Path) -> None:
        model = Forecaster.load(path)
        with torch.inference_mode():
            unwatched = replace(model, network=GriddedSimVP(GriddedConfig.from_dict(read_header(path)["network"])))
            first = unwatched.fingerprint
            next(unwatched.network.parameters()).add_(1.0)
            assert unwatched.fingerprint != first

    def test_one_copy_of_the_scaling(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as stream:
            owners = {name.partition(".")[0] for name in stream.keys()}  # noqa: SIM118  no mapping
        assert owners == {"spec", "network", "baselines"}
        header = json.dumps({k: v for k, v in read_header(path).items() if k != "spec"})
        assert '"scale"' not in header

    def test_a_failed_write_leaves_the_old_file(
        self, small: Forecaster, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = path.read_bytes()

        def broken(*_: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr("os.replace", broken)
        with pytest.raises(OSError, match="disk full"):
            replace(small, provenance={"dataset": "other"}).save(path)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]

    def test_loading_does_not_move_the_random_state(self, path: Path) -> None:
        state = torch.get_rng_state()
        Forecaster.load(path)
        assert torch.equal(torch.get_rng_state(), state)

    def refused(self, path: Path) -> str:
        with pytest.raises(RegistryError) as caught:
            Forecaster.load(path)
        return str(caught.value)

    def test_no_file(self, tmp_path: Path) -> None:
        assert "none.safetensors: expected a file, found none" in self.refused(tmp_path / "none.safetensors")

    @pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
    def test_truncated_files(self, path: Path, share: float) -> None:
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        text = self.refused(path)
        assert "expected a whole safetensors file" in text
        assert "truncated or of another kind" in text

    def test_foreign_files(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3)}, path, metadata={"format": "pt"})
        assert "expected a 'simvp' header, got a safetensors file with format" in self.refused(path)
        torch.save({"state_dict": {}}, path)
        assert "expected a whole safetensors file" in self.refused(path)

    def test_files_of_another_format(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model_file, "FORMATS", (7,))
        text = self.refused(path)
        assert "expected format 7, got 1" in text
        assert "load it with the version of simvp that wrote it" in text

    def test_changed_content(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert "it was changed after it was written" in self.refused(path)

    def test_weights_that_do_not_fit(self, small: Forecaster, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        header, arrays = model_file.content_of(small)
        first = next(name for name in arrays if name.startswith("network."))
        header |= {"provenance": {}}
        model_file.write(path, header, {name: v for name, v in arrays.items() if name != first})
        assert "its parts do not fit together" in self.refused(path)


@pytest.mark.cuda
def test_cuda_gives_the_same(world: xr.Dataset) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    small = small_forecaster(world)
    cpu, gpu = (small.predict(world, horizon=7, device=device) for device in ("cpu", "cuda"))
    assert small.device.type == "cuda"
    span = float(world["t2m"].max() - world["t2m"].min())
    np.testing.assert_allclose(gpu["t2m"], cpu["t2m"], atol=2e-3 * span)
