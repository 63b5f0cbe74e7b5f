"""By how much windows shift: the rule against a slow one, and worlds of which one knows what shifts them."""

import numpy as np
import pytest
import xarray as xr

from pipelines.windows.shifts import STILL, candidates, choose_shifts
from simvp.contract.frame_spec import FrameSpec
from simvp.contract.statistics import Statistics
from simvp.networks.blend import Shifts
from tests.support.worlds import formula_world

DAYS = 40
HOURS = np.arange(24 * DAYS)
CYCLE = 6 * np.sin(2 * np.pi * HOURS / 24)[:, None, None]


def world(values: np.ndarray) -> xr.Dataset:
    """Hourly temperature of these values (N, H, W)."""
    ds = formula_world(("t2m",), frames=len(values), shape=values.shape[1:])
    return ds.assign(t2m=(ds.t2m.dims, (280 + values).astype("f4"), {"units": "K"}))


def fitted(ds: xr.Dataset, **given) -> tuple[FrameSpec, Statistics]:
    period = [(ds["time"].values[0], ds["time"].values[-1])]
    settings = {"frames_in": 24, "frames_out": 6, "cycle": 24, **given}
    step = FrameSpec.fit(ds, train=period, **settings).step
    statistics = Statistics(ds, step, train=period, reference=period)
    return FrameSpec.fit(ds, train=period, statistics=statistics, **settings), statistics


def red(*shape: int, memory: float = 0.8, seed: int = 0) -> np.ndarray:
    """Noise that remembers."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=shape)
    for n in range(1, len(noise)):
        noise[n] = memory * noise[n - 1] + noise[n]
    return noise


def by_pieces(days: int) -> np.ndarray:
    """A number for each hour that stays for some days, and is another for the next ones; mean 0, size 1."""
    numbers = np.random.default_rng(5).normal(size=DAYS // days)
    return np.repeat((numbers - numbers.mean()) / numbers.std(), 24 * days)[:, None, None]


def test_where_the_climatology_holds_windows_shift_by_what_costs_next_to_nothing(monkeypatch):
    spec, statistics = fitted(world(CYCLE + red(len(HOURS), 4, 5, memory=0.3)))
    choice = choose_shifts(spec, statistics)
    assert choice.shifts == Shifts(0.0, 0.0, 0.1)
    assert choice.folds == 8
    assert choice.still < choice.error < 1.005 * choice.still
    monkeypatch.setattr("pipelines.windows.shifts.MARGIN", 0.0)
    assert choose_shifts(spec, statistics).error <= choice.still


def test_where_days_swing_more_and_less_windows_swing():
    choice = choose_shifts(*fitted(world(CYCLE * (1 + 0.5 * by_pieces(5)) + red(len(HOURS), 4, 5, memory=0.3))))
    assert choice.shifts.swing == 0.5
    assert choice.error < 0.97 * choice.still


def test_where_the_level_moves_windows_drift():
    # Of the memory of the noise inside a piece, the fit knows: of the level of another piece it does not.
    values = CYCLE + red(len(HOURS), 4, 5, memory=0.9) + np.where(HOURS < 24 * 35, 0.0, 8.0)[:, None, None]
    choice = choose_shifts(*fitted(world(values)))
    assert choice.shifts.drift > 0
    assert choice.shifts.swing <= 0.1
    assert choice.error < choice.still


def test_a_given_drift_stays():
    spec, statistics = fitted(world(CYCLE + red(len(HOURS), 4, 5, memory=0.3)))
    assert choose_shifts(spec, statistics, drift=0.7).shifts.drift == 0.7
    assert {shifts.drift for shifts in candidates(0.7)} == {0.7}
    assert {shifts.drift for shifts in candidates()} == {0.0, 0.25, 0.5}


def test_a_series_too_short_for_two_pieces_is_left_as_it_is():
    choice = choose_shifts(*fitted(world(red(30, 4, 5)), frames_in=12, frames_out=10, cycle=None))
    assert (choice.shifts, choice.folds) == (STILL, 0)
    assert choice.text == "drift 0, tilt 0, swing 0: the series is too short to tell"


def test_the_words_say_both_errors():
    choice = choose_shifts(*fitted(world(CYCLE * (1 + 0.5 * by_pieces(5)) + red(len(HOURS), 4, 5, memory=0.3))))
    assert choice.text == (
        f"drift {choice.shifts.drift:g}, tilt {choice.shifts.tilt:g}, swing 0.5: error of the blend of last frame and "
        f"last cycle {choice.error:.4g} standard deviations, {choice.still:.4g} without, over 8 pieces that it was not "
        "fitted on"
    )


@pytest.mark.parametrize("shifts", [STILL, Shifts(0.5, 0.3, 0.25)])
def test_the_error_is_that_of_blends_fitted_without_the_piece(shifts, monkeypatch):
    values = CYCLE[: 24 * 6] + red(24 * 6, 2, 3, seed=2)
    values[30, 1, 1] = np.nan
    spec, statistics = fitted(world(values), frames_out=3)
    monkeypatch.setattr("pipelines.windows.shifts.candidates", lambda drift: [shifts])
    found = choose_shifts(spec, statistics)
    assert found.folds == 5  # whole days, and no window has its targets in the first
    errors = [
        slow_error(spec, np.asarray(280 + values, "f4").astype("f8"), shifts, piece, lead)
        for piece in range(1, 6)
        for lead in (1, 2, 3)
    ]
    assert found.error == pytest.approx(np.sqrt(np.mean(errors)), rel=1e-4)


def slow_error(spec: FrameSpec, values: np.ndarray, shifts: Shifts, piece: int, lead: int) -> float:
    """Mean squared error on one day of a blend fitted to windows of the others that are shifted one by one."""
    inside = np.arange(len(values)) // 24 == piece
    mean = np.stack([np.nanmean(values[~inside][hour::24], axis=0) for hour in range(24)])
    normal = mean[np.arange(len(values)) % 24]
    scale, weights = spec.state_channels[0].scale, spec.weights
    departure, cycle = (values - normal) / scale, (normal - mean.mean(0)) / scale
    fits: list[tuple[np.ndarray, float, float]] = []
    tests = []
    # Shifts of independent sizes with mean 0 and the stated deviations: each at plus and minus one, which is enough.
    plane = np.linspace(-1, 1, 2)[:, None] * np.ones(3), np.ones((2, 1)) * np.linspace(-1, 1, 3)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    for target in range(lead + 23, len(values)):
        at = [target - lead, target - 24, target]
        if inside[target]:
            tests.append([departure[n] for n in at])
            continue
        for offset, row, column, swing in signs:
            moved = [
                departure[n]
                + shifts.drift * offset
                + shifts.tilt * (row * plane[0] + column * plane[1])
                + shifts.swing * swing * cycle[n]
                for n in at
            ]
            fits.append(moved)

    def flat(windows: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        stacked = np.array(windows).transpose(1, 0, 2, 3).reshape(3, -1)
        area = np.broadcast_to(weights, (len(windows), *weights.shape)).reshape(-1)
        known = np.isfinite(stacked).all(0)
        return stacked[:2, known], stacked[2, known], area[known]

    z, y, area = flat(fits)
    blend = np.linalg.solve((z * area) @ z.T, (z * area) @ y)
    z, y, area = flat(tests)
    return float(np.average((y - blend @ z) ** 2, weights=area))
