"""Known future inputs from the fit to the forecast: what they gain, what is never looked at, files, and refusals."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from simvp.errors import ConfigError, ContractError
from simvp.inference.forecaster import Forecaster
from simvp.inference.model_file import read_header
from simvp.inference.predict import predict
from simvp.networks.config import SimVPConfig
from simvp.networks.gridded import GriddedConfig, GriddedSimVP
from tests.support.known_world import EFFECT, HOUR, LEADS, RHO, KnownWorld, T

HAND = "hand it over: known=Dataset with holiday"
BEST = np.sqrt(1 - RHO ** (2 * np.arange(1, LEADS + 1)))


@cache
def world(maps: bool) -> KnownWorld:
    return KnownWorld(maps=maps)


@cache
def fitted(maps: bool) -> Forecaster:
    return world(maps).forecaster()


@cache
def with_network() -> Forecaster:
    """A network of random weights beside the base."""
    base = fitted(False)
    sizes = SimVPConfig(
        frames_in=T, frames_out=LEADS, channels_in=base.spec.n_channels, channels_out=1, hid_S=4, hid_T=8, N_S=2, N_T=2,
        groups=1, kernels=(3, 5),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = GriddedSimVP(GriddedConfig(network=sizes, states=1, lag=base.spec.lag))
        with torch.no_grad():
            for weights in network.parameters():
                weights.normal_(0.0, 0.2)
    return Forecaster(spec=base.spec, network=network.eval(), baselines=base.baselines)


def given(maps: bool = False) -> xr.Dataset:
    return world(maps).known.copy(deep=True).to_dataset()


def until(ds: xr.Dataset, number: int) -> xr.Dataset:
    return ds.isel(time=slice(0, number))


@pytest.mark.parametrize("maps", [False, True])
def test_a_planted_effect_is_used_to_nearly_all_that_can_be_known(maps: bool) -> None:
    made = world(maps)
    known = made.rmse(fitted(maps), given(maps))
    # Its climatology has the mean of the effect in it, hour by hour, as far as 60 days tell it.
    assert (known < 1.15 * BEST).all()
    blind = made.rmse(made.forecaster(known=False), None)
    # Without it, jumps of the effect within the lead time are errors: of the series every 24th init time and lead has
    # one half of the time, of the maps the share that is new.
    assert blind[-1] > 1.15 * known[-1]
    if maps:
        new = EFFECT * np.sqrt(1 - 0.8 ** (2 * LEADS))
        assert blind[-1] == pytest.approx(np.hypot(BEST[-1], new), rel=0.15)


def test_the_future_of_a_state_is_never_read_and_that_of_a_known_input_is() -> None:
    made, init = world(False), world(False).times[-30]
    for forecaster in (fitted(False), with_network()):
        before = forecaster.predict(made.ds, init_time=init, known=given())["x"]
        other = made.ds.copy(deep=True)
        other["x"].values[-29:] += 5.0
        np.testing.assert_array_equal(forecaster.predict(other, init_time=init, known=given())["x"], before)
        np.testing.assert_array_equal(forecaster.predict(until(made.ds, -29), known=given())["x"], before)
        changed = given()
        changed["holiday"].values[-2:] = 1 - changed["holiday"].values[-2:]
        after = forecaster.predict(made.ds, init_time=init, known=changed)["x"]
        here = np.asarray(np.abs(after - before).max(("latitude", "longitude"))[0] > 1e-3)
        valid = (init + np.arange(1, LEADS + 1) * HOUR) >= made.times[-48]
        assert here[valid].all()
        if forecaster.network is None:
            np.testing.assert_array_equal(here, valid)  # the base looks at the valid time alone


def test_what_it_forecasts_of_a_lead_does_not_hang_on_how_many_are_asked_for() -> None:
    made, forecaster = world(False), with_network()
    short, long = (
        forecaster.predict(made.ds, init_time=made.times[-30], horizon=n, known=given())["x"] for n in (2, 14)
    )
    np.testing.assert_array_equal(short.values, long.values[:, :2])


def test_rolled_out_the_network_sees_the_inputs_of_each_block_at_its_valid_times() -> None:
    made, forecaster, spec = world(False), with_network(), fitted(False).spec
    init = 24 * int(np.flatnonzero(np.diff(made.flags))[-2]) + 20  # the flag changes four hours later
    forecast = forecaster.predict(made.ds, init_time=made.times[init], horizon=2 * LEADS, known=given())["x"]
    frames = spec.to_frames(made.carrying.isel(time=slice(init - T + 1, init + 1)))
    # The last T' frames hold the inputs of the valid times.
    flags = np.repeat(made.flags, 24)[init + 1 : init + LEADS + 1]
    channel, number = spec.known_channels[0], spec.n_states + len(spec.forcing_channels)
    mean = channel.climatology.at(made.times[init + 1 : init + LEADS + 1])
    expected = np.broadcast_to((flags[:, None, None] - mean) / channel.scale, (LEADS, 5, 4))
    np.testing.assert_allclose(frames[-LEADS:, number], expected, rtol=1e-5)
    with torch.inference_mode():
        first = forecaster.network(torch.from_numpy(frames[None])).numpy()
        own = spec.forcings(made.times[init + 1 : init + LEADS + 1], made.carrying)
        block = np.concatenate([first[0], own], axis=1)
        second = forecaster.network(torch.from_numpy(np.concatenate([frames[LEADS:], block])[None])).numpy()
    both = spec.to_dataset(np.concatenate([first, second], axis=1), spec.coordinates(made.times[init : init + 1], 12))
    np.testing.assert_allclose(forecast, both["x"], rtol=1e-5)


def test_beyond_the_leads_of_the_fit_the_base_goes_on_with_known_inputs() -> None:
    made, init = world(False), -54  # at 18 hours
    changed = given()
    changed["holiday"].values[-1] = 1 - changed["holiday"].values[-1]
    both = [
        fitted(False).predict(made.ds, init_time=made.times[init], horizon=36, known=known)["x"]
        for known in (given(), changed)
    ]
    before, after = (one.mean(("latitude", "longitude"))[0] for one in both)
    gap = np.abs((after - before).values)
    assert gap[:29].max() < 1e-4
    assert gap[29:] == pytest.approx(EFFECT, rel=0.1)


def test_a_saved_model_forecasts_the_same_and_says_its_format(tmp_path: Path) -> None:
    made, forecaster = world(False), fitted(False)
    forecaster.save(tmp_path / "m.safetensors")
    assert read_header(tmp_path / "m.safetensors")["format"] == 4
    loaded = Forecaster.load(tmp_path / "m.safetensors")
    assert loaded.fingerprint == forecaster.fingerprint
    expected = forecaster.predict(made.ds, init_time=made.times[-30], known=given())
    found = predict(made.ds, loaded, init_time=made.times[-30], known=given())
    np.testing.assert_array_equal(found["x"], expected["x"])


def test_a_model_without_known_inputs_is_saved_as_before_there_were_any(tmp_path: Path) -> None:
    forecaster = world(False).forecaster(known=False)
    forecaster.save(tmp_path / "m.safetensors")
    header = read_header(tmp_path / "m.safetensors")
    assert header["format"] == 2
    assert "known" not in {channel["role"] for channel in header["spec"]["channels"]}
    assert "known" not in header["base"]["parts"][0]["design"]
    # What is handed over beside it changes nothing.
    made = world(False)
    plain = forecaster.predict(made.ds)["x"]
    np.testing.assert_array_equal(forecaster.predict(made.ds, known=given())["x"], plain)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, f"it is missing, and needed for 2024-03-10T16:00:00 .. 2024-03-11T05:00:00; {HAND}"),
        ("short", f"missing, or NaN, at 6 (2024-03-11T00:00:00 .. 2024-03-11T05:00:00) of 14 times needed; {HAND}"),
        ("nan", f"missing, or NaN, at 8 (2024-03-10T16:00:00 .. 2024-03-10T23:00:00) of 14 times needed; {HAND}"),
        ("kelvin", "expected units '1', got 'K'; convert the data"),
        ("bare", "units are missing, expected '1'; set its attribute units"),
        ("timeless", "expected a dim with times, got ('row',)"),
        ("maps", "expected a series (time), got maps of 5 x 4"),
    ],
)  # fmt: skip
def test_refusals_say_which_input_which_times_and_what_to_do(known: str | None, reason: str) -> None:
    made, ds = world(False), given()
    last = 24 * 70 - 1  # an init time at 23 hours, of frames that reach so far and no further
    flags = ds["holiday"].pad(time=(0, 1), constant_values=1.0).assign_coords(time=hours_of(71))
    ds = flags.to_dataset()
    if known == "short":
        ds = ds.isel(time=slice(0, -1))
    elif known == "nan":
        ds["holiday"] = ds["holiday"].where(ds["time"] != made.times[last - 23])
    elif known == "kelvin":
        ds["holiday"].attrs["units"] = "K"
    elif known == "bare":
        del ds["holiday"].attrs["units"]
    elif known == "timeless":
        ds = xr.Dataset({"holiday": ("row", [0.0, 1.0], {"units": "1"})})
    elif known == "maps":
        shape = made.ds["x"][:, :, :]
        ds = xr.zeros_like(shape).assign_attrs(units="1").rename("holiday").to_dataset()
        ds = xr.concat([ds, ds.isel(time=slice(-12, None)).assign_coords(time=made.times[-12:] + 12 * HOUR)], "time")
    with pytest.raises(ContractError) as refusal:
        fitted(False).predict(made.ds, known=None if known is None else ds)
    assert f"known input holiday: {reason}" in refusal.value.reasons


def hours_of(days: int) -> np.ndarray:
    return np.datetime64("2024-01-01", "ns") + np.arange(days) * 24 * HOUR


def test_maps_on_another_grid_are_refused_and_in_another_order_are_taken() -> None:
    made, init = world(True), world(True).times[-30]
    expected = fitted(True).predict(made.ds, init_time=init, known=given(True))["x"]
    turned = given(True).isel(latitude=slice(None, None, -1)).transpose("longitude", "time", "latitude")
    np.testing.assert_array_equal(fitted(True).predict(made.ds, init_time=init, known=turned)["x"], expected)
    moved = given(True).assign_coords(latitude=given(True)["latitude"] + 0.3)
    with pytest.raises(ContractError, match=r"known input wind: grid: latitude differs by up to 0\.3"):
        fitted(True).predict(made.ds, init_time=init, known=moved)


def test_an_input_that_never_changes_or_has_no_units_is_not_learned_from() -> None:
    made = KnownWorld(days=40)
    known = made.known.copy()
    known.values[:30] = 0
    for attrs, reason in (
        ({"units": "1"}, "it never changes in the training period"),
        ({}, "units are missing; state them at ingest"),
    ):
        other = same_frames(made, known.drop_attrs().assign_attrs(attrs))
        with pytest.raises(ConfigError, match=reason):
            other.forecaster()


def same_frames(made: KnownWorld, known: xr.DataArray) -> KnownWorld:
    """The same frames with another known input."""
    other = KnownWorld(days=made.days)
    other.__dict__["known"] = known
    other.__dict__["ds"] = made.ds
    return other
