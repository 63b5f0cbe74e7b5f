"""The plan: the written rule on many kinds of series, and every refusal."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from pipelines.training.plan import MINIMUM, Plan, derive_plan, independent_windows, network_pays
from pipelines.windows.periods import Choice
from simvp.coords.steps import Step
from simvp.errors import ConfigError


def archive(frames: int, freq: str = "1h", *, start: str = "2019-03-01", calendar: str = "standard") -> xr.Dataset:
    cftime = None if calendar == "standard" else True
    times = xr.date_range(start, periods=frames, freq=freq, calendar=calendar, use_cftime=cftime).to_numpy()
    times = times.astype("M8[ns]") if times.dtype.kind == "M" else times
    return xr.Dataset(coords={"time": times, "present": ("time", np.ones(frames, bool))})


def plan(ds: xr.Dataset, **given) -> Plan:
    return derive_plan(ds, Step.infer(ds["time"].values), **given)


@pytest.mark.parametrize(
    ("freq", "frames", "expected"),
    [
        ("1h", 2160, (24, 12)),
        ("30min", 2880, (48, 24)),
        ("3h", 1000, (8, 4)),
        ("6h", 1000, (8, 4)),
        ("12h", 1000, (8, 4)),
        ("15min", 4000, (12, 6)),
        ("D", 1461, (12, 6)),
        ("MS", 240, (12, 6)),
        ("YS", 240, (12, 6)),
    ],
)
def test_lengths_follow_the_step(freq, frames, expected):
    found = plan(archive(frames, freq, start="1850-01-01"))
    assert (found.frames_in, found.frames_out) == expected
    assert "derived from the step" in found.text


def test_march_with_the_last_week_held_out():
    found = plan(archive(744), choice=Choice(held_out_days=7))
    assert found.periods.held_out == ("2019-03-25T00:00:00", "2019-03-31T23:00:00")
    assert found.counts["held_out"] == 157  # 168 - 12 + 1; inputs reach back
    assert found.periods.reference == (("2019-03-01T00:00:00", "2019-03-24T23:00:00"),)
    assert [a for a, _ in found.periods.validation] == [f"2019-03-{d:02}T00:00:00" for d in (3, 9, 15, 21)]
    # Days before the held-out period: 24; validation 4 blocks of a day (2 T'), so the rest is 5 pieces of 20 days:
    # 20 x 24 targets, less 11 at the end of each piece, less 24 at the start of the series, which has no inputs.
    assert found.counts["train"] == 20 * 24 - 5 * 11 - 24
    assert found.counts["validation"] == 4 * 13
    for part, least in MINIMUM.items():
        assert f"{found.counts[part]} windows (at least {least})" in found.text
    assert "held_out    given, 157 windows" in found.text


def test_gate_gets_its_blocks_where_the_data_allow_it():
    found = plan(archive(60 * 48, "30min"))
    assert found.counts["held_out"] >= 8 * (48 + 24 + 1)


def test_held_out_is_thirty_days_at_most_below_a_day():
    start, end = (np.datetime64(t) for t in plan(archive(8760)).periods.held_out)
    assert end - start + np.timedelta64(1, "h") == np.timedelta64(30, "D")


@pytest.mark.parametrize(("freq", "frames"), [("1D", 1461), ("1D", 1827), ("6h", 1461 * 4), ("1D", 3653)])
def test_validation_lies_in_different_seasons(freq, frames):
    found = plan(archive(frames, freq, start="2013-01-01"))
    quarters = {(np.datetime64(a[:10]).astype("M8[M]").astype(int) % 12) // 3 for a, _ in found.periods.validation}
    assert len(quarters) >= 3


@pytest.mark.parametrize(
    ("freq", "frames", "calendar"),
    [("MS", 132, "standard"), ("ME", 132, "standard"), ("YS-JUN", 240, "360_day"), ("D", 800, "noleap")],
)
def test_calendars_and_months(freq, frames, calendar):
    found = plan(archive(frames, freq, start="1900-01-01", calendar=calendar))
    assert all(found.counts[part] >= least for part, least in MINIMUM.items())
    spans = [*found.intervals("train"), *found.intervals("validation"), *found.intervals("held_out")]
    times = archive(frames, freq, start="1900-01-01", calendar=calendar)["time"].values
    covered = sum(((times >= a) & (times <= b)).astype(int) for a, b in spans)
    assert covered.tolist() == [1] * frames


def test_small_archive_shrinks_both_lengths_and_says_so():
    found = plan(archive(36, "MS", start="1980-09-01", calendar="noleap"))
    assert (found.frames_in, found.frames_out) == (3, 1)
    assert "T           3 (halved: T = 12, T' = 6 leave too few windows (train " in found.text


def test_given_lengths_are_not_shrunk():
    with pytest.raises(ConfigError, match=r"T = 24, T' = 1\)"):
        plan(archive(45), frames_in=24)
    found = plan(archive(200), frames_in=5, frames_out=4, cycle=24)
    assert (found.frames_in, found.frames_out, found.cycle) == (5, 4, 24)
    assert "T           5 (given)" in found.text
    assert "cycle       24 (given)" in found.text


def test_inputs_are_at_least_as_many_as_targets():
    assert plan(archive(2000), frames_out=30).frames_in == 30
    with pytest.raises(ConfigError, match=r"frames_out: expected 5 \(frames_in\) at most, got 7; longer forecasts"):
        plan(archive(200), frames_in=5, frames_out=7)


def test_too_few_windows_are_refused_with_the_three_counts():
    with pytest.raises(ConfigError) as caught:
        plan(archive(10))
    text = str(caught.value)
    assert "Too few windows to train on (10 frames, T = 2, T' = 1)" in text
    assert "train: expected 16 or more, got 3" in text
    assert "validation: expected 4 or more, got 3" in text
    assert "held_out: expected 4 or more, got 2" in text
    assert "To mend it: ingest more frames" in text


def test_gaps_count():
    ds = archive(300)
    ds["present"][100:] = False
    with pytest.raises(ConfigError, match=r"held_out: expected 4 or more, got 0"):
        plan(ds)


def test_every_fault_of_the_given_periods_at_once():
    choice = Choice(
        held_out=("2019-03-20", "2019-03-25"),
        held_out_days=3,
        validation=(("2019-03-18", "2019-03-21"), ("2020-01-01", "2020-01-02"), ("soon", "2019-03-02")),
        reference=(("2019-03-01", "2019-03-10"), ("2019-03-09", "2019-03-12")),
    )
    with pytest.raises(ConfigError) as caught:
        plan(archive(744), choice=choice, frames_in=0, cycle=1)
    assert len(caught.value.reasons) == 7
    text = str(caught.value)
    assert "frames_in: expected 1 or more, got 0" in text
    assert "cycle: expected 2 steps or more, or none, got 1" in text
    assert "held_out and held_out_days: expected one of them, got both" in text
    assert "validation[0]: expected an end before the held-out period, which begins at 2019-03-20T00:00:00" in text
    assert (
        "validation[1]: expected frames of the archive (2019-03-01T00:00:00 .. 2019-03-31T23:00:00), got none" in text
    )
    assert "validation[2]: expected a time in the proleptic_gregorian calendar, got 'soon'" in text
    assert "reference: expected pieces apart from each other, got one up to 2019-03-10T00:00:00" in text


def test_held_out_longer_than_the_archive_is_refused():
    with pytest.raises(ConfigError, match=r"got 31 days, which are 744 frames"):
        plan(archive(744), choice=Choice(held_out_days=31))


def test_frames_after_a_fixed_held_out_period_stay_unused():
    choice = Choice(held_out=("2019-03-15", "2019-03-20T23:00"))
    found = plan(archive(744), choice=choice)
    assert max(end for _, end in found.periods.train) == "2019-03-14T23:00:00"
    assert found.counts["held_out"] == 6 * 24 - 11


def test_operations_is_named_and_measured_from_the_newest_frame():
    first, later = (plan(archive(n), mode="operations", choice=Choice(held_out_days=10)) for n in (1440, 1464))
    assert first.periods.mode == "operations"
    assert np.datetime64(later.periods.held_out[0]) - np.datetime64(first.periods.held_out[0]) == np.timedelta64(1, "D")


def test_plan_survives_json():
    found = plan(archive(36, "MS", start="1980-09-01", calendar="360_day"))
    assert Plan.model_validate_json(found.model_dump_json()) == found


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match="test_period"):
        Choice(test_period=("2019-03-01", "2019-03-02"))  # type: ignore[call-arg]


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 900), st.sampled_from(["1h", "6h", "1D", "MS", "30min", "7h"]))
def test_parts_are_disjoint_in_order_and_cover_the_series(frames, freq):
    ds = archive(frames, freq)
    try:
        found = plan(ds)
    except ConfigError:
        assert frames < 60
        return
    times = ds["time"].values
    part_of = np.zeros(frames, int)
    for number, part in enumerate(("train", "validation", "held_out"), start=1):
        for start, end in found.intervals(part):
            inside = (times >= start) & (times <= end)
            assert not part_of[inside].any()
            part_of[inside] = number
    assert (part_of > 0).all()
    held = np.flatnonzero(part_of == 3)
    assert held.tolist() == list(range(held[0], frames))
    assert len(found.periods.validation) >= 2
    assert (part_of == 2).sum() <= 0.5 * (frames + 1)  # two whole days of 191 half-hours


def test_independent_windows_share_no_frame():
    # Of March 24 days before the held-out week, 20 days in pieces of their own train: 480 hours, of which a window
    # takes 36.
    found = plan(archive(744), choice=Choice(held_out_days=7))
    assert independent_windows(found) == 480 // 36
    assert network_pays(found)
    assert "network     pays: 13 independent windows of T + T' = 36 frames to train on (at least 6)" in found.text


def test_where_there_are_few_independent_windows_the_plan_says_that_no_network_is_trained():
    # Overlapping windows are many all the same: 128 months, 26 held out (a fifth), two validation blocks of 15.
    found = plan(archive(128, "MS", start="2010-01-01"))
    assert found.counts["train"] == 47
    assert independent_windows(found) == 72 // 18
    assert not network_pays(found)
    assert "network     no network: 4 independent windows of T + T' = 18 frames to train on, 6 are needed" in found.text


@pytest.mark.parametrize(("frames", "pays"), [(6 * 3, True), (6 * 3 - 1, False)])
def test_a_network_takes_as_many_independent_windows_as_the_rule_says(frames, pays):
    choice = Choice(held_out_days=20, validation=(("2001-01-01", "2001-01-10"),))
    # Daily frames from the first of January 2001: ten validate, then come those that train, then 20 are held out.
    found = plan(archive(10 + frames + 20, "1D", start="2001-01-01"), frames_in=2, frames_out=1, choice=choice)
    assert network_pays(found) is pays
