"""The simulated sources: the same world however it is read, and one worth forecasting."""

from itertools import pairwise

import dask
import numpy as np
import pytest
import xarray as xr

from datasets.simulated.worlds import SimulatedTraffic, SimulatedWeather, Simulation
from simvp.coords.grid import Grid
from simvp.errors import ConfigError

DAY = np.timedelta64(1, "D")
SMALL = (12, 16)
LEADS = 12
BOTH = pytest.mark.parametrize("kind", [SimulatedWeather, SimulatedTraffic])


def values(ds: xr.Dataset) -> np.ndarray:
    """(N, C, H, W)."""
    return ds.to_dataarray().to_numpy().swapaxes(0, 1)


@pytest.fixture(scope="module")
def weather() -> xr.Dataset:
    return SimulatedWeather().dataset().compute()


@pytest.fixture(scope="module")
def calm() -> xr.Dataset:
    return SimulatedWeather(noise_std=0.0).dataset().compute()


@pytest.fixture(scope="module")
def traffic() -> xr.Dataset:
    return SimulatedTraffic().dataset().compute()


# --- one world, however it is read


@BOTH
def test_the_default_is_a_canonical_dataset(kind: type[Simulation]) -> None:
    source = kind()
    ds = source.dataset()
    assert ds.sizes["time"] == source.initial_frames == source.initial_days * source.frames_per_day
    assert Grid.of(ds).shape == (32, 32)
    assert (np.diff(ds["time"]) == source.step.timedelta).all()
    assert ds["time"][0] == source.first
    for variable in ds.data_vars.values():
        assert variable.dims[0] == "time"
        assert variable.dtype == np.float32
        assert {"units", "long_name", "unpredictable_std"} <= set(variable.attrs)


def test_labels_of_both() -> None:
    weather, traffic = SimulatedWeather().dataset(), SimulatedTraffic().dataset()
    assert list(weather) == ["t2m"]
    assert weather["t2m"].attrs["units"] == "K"
    assert weather["t2m"].attrs["standard_name"] == "air_temperature"
    assert Grid.of(weather).kind == "latlon"
    assert weather["latitude"].attrs["units"] == "degrees_north"
    assert (np.diff(weather["latitude"]) < 0).all()
    assert list(traffic) == ["inflow", "outflow"]
    assert Grid.of(traffic).kind == "index"


@BOTH
def test_nothing_is_computed_before_it_is_asked_for(kind: type[Simulation], monkeypatch: pytest.MonkeyPatch) -> None:
    days: list[int] = []
    real = kind._day

    def counted(self: Simulation, day: int) -> np.ndarray:
        days.append(day)
        return real(self, day)

    monkeypatch.setattr(kind, "_day", counted)
    ds = kind(shape=SMALL).dataset(frames=50_000)
    assert repr(ds)
    assert days == []
    ds.isel(time=[40_000]).compute(scheduler="synchronous")
    assert 0 < len(set(days)) <= 5  # one chunk of the series


@BOTH
def test_same_seed_same_bits_other_seed_other_world(kind: type[Simulation]) -> None:
    first, again, other = (kind(seed=s, shape=SMALL).dataset(frames=100) for s in (3, 3, 4))
    assert first.compute().identical(again.compute())
    assert np.std(values(first) - values(other)) > np.std(values(first)) / 4


@BOTH
def test_any_stretch_is_the_same_as_in_the_whole(kind: type[Simulation]) -> None:
    source = kind(seed=1, shape=SMALL)
    begin = source.first - 3 * DAY
    whole = source.dataset(begin, 12 * source.frames_per_day).compute()
    random = np.random.default_rng(0)
    for _ in range(12):
        at = int(random.integers(0, whole.sizes["time"] - 1))
        frames = int(random.integers(1, min(130, whole.sizes["time"] - at) + 1))
        part = source.dataset(whole["time"].values[at], frames)
        assert part.compute().identical(whole.isel(time=slice(at, at + frames)))


@BOTH
def test_chunks_and_schedulers_change_no_bit(kind: type[Simulation], monkeypatch: pytest.MonkeyPatch) -> None:
    source = kind(shape=SMALL)
    frames = 4 * source.frames_per_day + 5
    with dask.config.set(scheduler="synchronous"):
        once = values(source.dataset(frames=frames))
        parts = [values(source.dataset(frames=frames).isel(time=slice(i, i + 7))) for i in range(0, frames, 7)]
        monkeypatch.setattr("datasets.simulated.worlds.CHUNK_DAYS", 1)
        daily = source.dataset(frames=frames)
        assert len(daily.chunks["time"]) == 5
        assert np.array_equal(once, values(daily))
    assert np.array_equal(once, np.concatenate(parts))
    assert np.array_equal(once, values(source.dataset(frames=frames).chunk(time=11)))


@BOTH
def test_each_further_day_goes_on_without_a_seam(kind: type[Simulation]) -> None:
    source = kind(shape=SMALL, noise_std=0.0)
    days = [source.dataset(source.first + d * DAY, source.frames_per_day) for d in range(15)]
    for before, after in pairwise(days):
        assert after["time"][0] - before["time"][-1] == source.step.timedelta
    jumps = np.abs(np.diff(values(xr.concat(days, "time")), axis=0)).max(axis=(1, 2, 3))
    midnight = np.arange(1, len(jumps) + 1) % source.frames_per_day == 0
    assert jumps[midnight].max() <= jumps[~midnight].max()


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (200, 12), (8, 720)])
@BOTH
def test_any_size(kind: type[Simulation], shape: tuple[int, int]) -> None:
    ds = kind(shape=shape).dataset(frames=2)
    assert np.isfinite(values(ds)).all()
    assert Grid.of(ds).shape == shape
    if kind is SimulatedWeather:
        assert np.abs(ds["latitude"]).max() < 90
        assert np.ptp(ds["longitude"].to_numpy()) < 360


# --- the share that nobody can predict


@BOTH
def test_noise_has_the_stated_size_and_no_memory(kind: type[Simulation]) -> None:
    begin = kind.first - 3 * DAY  # days before the first one have noise of their own
    clean, noisy = kind(noise_std=0.0).dataset(begin, 480), kind().dataset(begin, 480)
    noise = (values(noisy) - values(clean)).astype("f8")
    for channel, variable in enumerate(noisy.data_vars.values()):
        stated = variable.attrs["unpredictable_std"]
        assert stated == kind().noise_std > 0
        assert noise[:, channel].std() == pytest.approx(stated, rel=0.01)
        assert abs(noise[:, channel].mean()) < 0.01 * stated
        assert 3.9 * stated < np.abs(noise[:, channel]).max() < 4.01 * stated  # cut off at four
    day = kind().frames_per_day
    for axis, apart in ((0, 1), (0, day), (0, 2 * day), (2, 1), (3, 1)):
        size = noise.shape[axis]
        early, late = np.take(noise, range(size - apart), axis), np.take(noise, range(apart, size), axis)
        assert abs(np.corrcoef(early.ravel(), late.ravel())[0, 1]) < 0.01
    if noise.shape[1] == 2:
        assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.01
    assert all(v.attrs["unpredictable_std"] == 0 for v in clean.data_vars.values())


def baseline_errors(x: np.ndarray, cycle: int, reference: int, first: int) -> dict[str, np.ndarray]:
    """RMSE by lead of the five baselines, init frames `first` to the end; climatology of the first `reference`."""
    x = x.astype("f8")
    mean_day = x[:reference].reshape(-1, cycle, *x.shape[1:]).mean(axis=0)[np.arange(len(x)) % cycle]
    departure, init = x - mean_day, np.arange(first, len(x) - LEADS)
    errors: dict[str, list[float]] = {}
    for lead in range(1, LEADS + 1):
        early, late = departure[: reference - lead], departure[lead:reference]
        damping = (early * late).sum() / (early**2).sum()
        guesses = {
            "persistence": x[init],
            "seasonal_persistence": x[init + lead - cycle],
            "climatology": mean_day[init + lead],
            "anomaly_persistence": mean_day[init + lead] + departure[init],
            "damped_anomaly": mean_day[init + lead] + damping * departure[init],
        }
        for name, guess in guesses.items():
            errors.setdefault(name, []).append(float(np.sqrt(np.mean((guess - x[init + lead]) ** 2))))
    return {name: np.array(by_lead) for name, by_lead in errors.items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_no_baseline_comes_near_the_noise_in_the_weather(seed: int) -> None:
    x = SimulatedWeather(seed=seed).dataset()["t2m"].to_numpy()
    errors = baseline_errors(x, cycle=24, reference=90 * 24, first=100 * 24)
    rmse = {name: np.sqrt((by_lead**2).mean()) for name, by_lead in errors.items()}
    assert min(rmse.values()) == rmse["damped_anomaly"]
    assert 1.5 < rmse["damped_anomaly"] < 2.5  # five times the noise and more
    assert rmse["climatology"] < rmse["seasonal_persistence"]
    assert errors["damped_anomaly"][-1] > 0.9 * errors["climatology"][-1]  # after half a day nothing is left of it


def test_no_baseline_comes_near_the_noise_in_the_traffic(traffic: xr.Dataset) -> None:
    week = 7 * 48
    for name, variable in traffic.data_vars.items():
        errors = baseline_errors(variable.to_numpy(), cycle=week, reference=6 * week, first=7 * week)
        rmse = {b: np.sqrt((by_lead**2).mean()) for b, by_lead in errors.items()}
        assert min(rmse.values()) > 2 * variable.attrs["unpredictable_std"], name
        assert rmse["climatology"] < rmse["seasonal_persistence"] < rmse["persistence"], name


# --- weather


def test_land_warms_and_cools_more_than_the_sea(weather: xr.Dataset) -> None:
    days = weather["t2m"].to_numpy().reshape(-1, 24, 32, 32).mean(axis=0)
    spread = np.ptp(days, axis=0)
    land = SimulatedWeather().land
    assert ((land > 0.95).mean(), (land < 0.05).mean()) > (0.2, 0.2)
    assert 6.5 < spread[land > 0.95].mean() < 10
    assert spread[land < 0.05].mean() < 2.5


def test_noon_moves_with_the_sun() -> None:
    """Over 64 degrees of longitude the warmest hour comes 64/15 = 4.3 hours earlier in the east."""
    source = SimulatedWeather(shape=(8, 129), noise_std=0.0)
    days = source.dataset(frames=60 * 24)["t2m"].to_numpy().reshape(-1, 24, 8, 129).mean(axis=0)
    angle = 2 * np.pi * np.arange(24)[:, None, None] / 24
    warmest = np.angle((days * np.exp(1j * angle)).sum(axis=0)) * 24 / (2 * np.pi)
    inland = source.land > 0.95
    slope = np.polyfit(np.broadcast_to(source.longitude, (8, 129))[inland], warmest[inland], 1)[0]
    assert slope == pytest.approx(-1 / 15, rel=0.15)


def test_summer_is_warmer_and_has_longer_days_than_winter() -> None:
    source = SimulatedWeather(noise_std=0.0)
    june, december = (
        source.dataset(start, 20 * 24)["t2m"].to_numpy().reshape(20, 24, 32, 32)
        for start in ("2021-06-15", "2021-12-15")
    )
    assert june.mean() > december.mean() + 2
    assert np.ptp(june.mean(axis=0), axis=0).mean() > 2 * np.ptp(december.mean(axis=0), axis=0).mean()


def motion(past: np.ndarray, now: np.ndarray, reach: int = 9) -> tuple[int, int]:
    """Shift in cells, found by trying all, that carries `past` best onto `now`; far corners left out."""
    inner = slice(reach, -reach)
    shifts = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    return min(shifts, key=lambda s: float(((np.roll(past, s, (0, 1)) - now)[inner, inner] ** 2).mean()))


def test_motion_shows_in_the_frames_and_changes(weather: xr.Dataset) -> None:
    """Shifting the last frame on, by how the last 6 hours moved, beats every baseline where nothing new enters."""
    x = weather["t2m"].to_numpy().astype("f8")
    mean_day = x[: 90 * 24].reshape(-1, 24, 32, 32).mean(axis=0)[np.arange(len(x)) % 24]
    departure, lead, inner = x - mean_day, 6, slice(9, -9)
    moves, squared = [], []
    for init in range(96 * 24, len(x) - LEADS, 17):
        shift = motion(departure[init - lead], departure[init])
        moves.append(shift)
        guess = np.roll(departure[init], shift, (0, 1))
        squared.append(((guess - departure[init + lead])[inner, inner] ** 2).mean())
    errors = baseline_errors(x[:, inner, inner], cycle=24, reference=90 * 24, first=96 * 24)
    best = min(by_lead[lead - 1] for by_lead in errors.values())
    assert np.sqrt(np.mean(squared)) < 0.7 * best
    assert np.mean(moves, axis=0)[1] > 2  # eastwards on the whole
    assert np.std(moves, axis=0).min() > 0.7  # but now this way, now that: cells in 6 hours


def test_features_are_several_cells_wide(calm: xr.Dataset) -> None:
    x = calm["t2m"].to_numpy()
    departure = x - x.reshape(-1, 24, 32, 32).mean(axis=0)[np.arange(len(x)) % 24]
    for axis in (1, 2):
        step = np.diff(departure, axis=axis).std()
        assert step < 0.25 * departure.std()


# --- traffic


def test_counts_are_never_negative_even_with_the_most_noise() -> None:
    source = SimulatedTraffic(noise_std=6.0)
    assert values(source.dataset(frames=14 * 48)).min() >= 0


def test_the_week_has_its_rhythm(traffic: xr.Dataset) -> None:
    slots = {name: v.to_numpy().reshape(-1, 7, 48, 32, 32).mean(axis=(0, 3, 4)) for name, v in traffic.items()}
    for by_slot in slots.values():
        work, weekend = by_slot[:5].mean(axis=0), by_slot[5:].mean(axis=0)
        assert work[16] > 1.3 * weekend[16]  # 8 o'clock
        assert work[3 * 2] < 0.7 * work.max()  # 3 o'clock
        assert np.allclose(by_slot[:5], work, rtol=0.15)


def test_how_much_is_on_the_move_differs_from_day_to_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedTraffic, "EVENTS_A_DAY", 0.0)
    moving = values(SimulatedTraffic(noise_std=0.0).dataset()) - SimulatedTraffic.QUIETEST
    mondays = moving.mean(axis=(1, 2, 3)).reshape(8, 7, 48)[:, 0, 16]
    assert 0.03 < mondays.std() / mondays.mean() < 0.2


def test_in_the_morning_to_work_in_the_evening_home(traffic: xr.Dataset) -> None:
    source = SimulatedTraffic()
    _, level, work = source._city
    centre, homes = (work > 0.8), (work < 0.2) & (level > np.median(level))
    net = (traffic["inflow"] - traffic["outflow"]).to_numpy().reshape(-1, 7, 48, 32, 32)[:, :5].mean(axis=(0, 1))
    morning, evening = net[16], net[36]
    assert morning[centre].mean() > 20 > -20 > evening[centre].mean()
    assert morning[homes].mean() < -10 < 10 < evening[homes].mean()


def test_events_gather_spread_and_leave_two_hours_later(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SimulatedTraffic(noise_std=0.0)
    frames = 10 * 48
    with_events = values(source.dataset(frames=frames))
    monkeypatch.setattr(SimulatedTraffic, "EVENTS_A_DAY", 0.0)
    events = with_events - values(source.dataset(frames=frames))
    assert events.min() > -1e-3
    assert 100 < events.max() < 500
    assert np.allclose(events[:-4, 0], events[4:, 1], atol=1e-3)  # four half-hours
    quiet = (events[:, 0] < 1).all(axis=(1, 2)).reshape(10, 48)
    assert quiet[:, 8:14].all()  # none begins before seven, and the night sees the last of them off
    assert not quiet[:, 30:40].all(axis=1).all()
    at, row, column = np.unravel_index(events[:, 0].argmax(), events[:, 0].shape)
    share = [(events[at + k, 0] > 0.5 * events[at + k, 0].max()).sum() for k in (0, 6)]
    assert share[1] > share[0]
    assert events[at + 6, 0, row, column] < 0.5 * events[at, 0, row, column]


# --- refusals


@BOTH
def test_every_wrong_value_is_named_at_once(kind: type[Simulation]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(seed=-1, shape=(4, 32), noise_std=-0.5)
    assert [reason.split(":")[0] for reason in caught.value.reasons] == ["seed", "shape", "noise_std"]
    assert "expected rows and columns, 8 or more each, got (4, 32)" in str(caught.value)


def test_noise_that_could_make_counts_negative_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise_std: expected 0 to 6, got 7"):
        SimulatedTraffic(noise_std=7.0)


@BOTH
def test_a_start_between_two_steps_and_no_frames_are_refused(kind: type[Simulation]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind().dataset("2021-07-01T00:10", 0)
    assert "start: expected a multiple of" in str(caught.value)
    assert "got 2021-07-01T00:10" in str(caught.value)
    assert "frames: expected 1 or more, got 0" in str(caught.value)
