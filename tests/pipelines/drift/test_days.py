"""Statistics of days against brute force, with points that are missing and a day that is not whole."""

import numpy as np
import pytest

from pipelines.drift import days
from pipelines.drift.days import daily
from tests.support.wave_home import forecaster, world


@pytest.mark.parametrize("budget", [1 << 30, 4 * 12 * 16 * 30])
def test_days_are_those_of_brute_force(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one day and a quarter fit into the memory of a piece."""
    monkeypatch.setattr(days, "fitting", lambda size, share=1: max(1, budget // share // size))
    spec = forecaster().spec
    ds = world(5.5).load()
    random = np.random.default_rng(0)
    values = ds["t2m"].values + random.standard_normal(ds["t2m"].shape).astype("f4")
    values[30, 1, 2] = np.nan
    values[72:96] = np.nan
    ds = ds.assign(t2m=ds["t2m"].copy(data=values))
    found = daily(ds, spec)
    (state,) = spec.state_channels
    departures = state.normalise(values, ds["time"].values).astype("f8")
    begin = int(np.datetime64("2020-01-01", "s").astype(int))
    assert found.length == 1
    if budget == 1 << 30:
        assert found.seconds.tolist() == [begin + 86400 * day for day in range(5)]  # half a day is none
    for seconds, (level, spread, pattern, missing) in zip(found.seconds, found.values[:, 0], strict=True):
        day = (int(seconds) - begin) // 86400
        own = departures[24 * day : 24 * day + 24]
        if day == 3:
            assert missing == 1
            assert np.isnan([level, spread, pattern]).all()
            continue
        assert level == pytest.approx(np.nanmean(own))
        assert spread == pytest.approx(np.log(np.nanstd(own)))
        assert pattern == pytest.approx(np.log(np.nanmean(own, axis=0).std()))
        assert missing == pytest.approx(0.003 if day == 1 else 0)  # one of 288 points


def test_of_a_large_archive_the_same_hours_of_each_day_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, ds = forecaster().spec, world(4).load()
    monkeypatch.setattr(days, "BUDGET", ds["t2m"].nbytes // 3)
    thinned = daily(ds, spec)
    monkeypatch.undo()
    departures = spec.state_channels[0].normalise(ds["t2m"].values, ds["time"].values)
    assert len(thinned.seconds) == 4
    np.testing.assert_allclose(
        thinned.values[:, 0, 0], departures.reshape(4, 24, -1)[:, ::3].mean((1, 2)), rtol=1e-6, atol=1e-6
    )
