"""Windows: against an obvious oracle on random series, and by addresses that show any shift."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from pipelines.windows.frames import RUNS, Frames, surely_fits
from pipelines.windows.sequences import Sequences
from pipelines.windows.windows import REASONS, audit_table, find_windows
from simvp.contract.frame_spec import FrameSpec
from simvp.coords.steps import Step
from simvp.errors import ConfigError
from tests.support.worlds import address_world, addresses

HOUR = Step(seconds=3600)


def hours(index: list[int]) -> np.ndarray:
    return np.datetime64("2020-01-01", "ns") + np.array(index) * np.timedelta64(1, "h")


def oracle(index, present, complete, t_in, t_out, pieces):
    """The first reason that holds, slot by slot, with sets and loops."""
    listed = dict(zip(index, zip(present, complete, strict=True), strict=True))
    last_slot = index[-1]
    part = {slot for a, b in pieces for slot in range(a, b + 1)}
    inits, dropped, offered = [], dict.fromkeys(REASONS, 0), 0
    for target in range(last_slot + 1):
        if target not in part:
            continue
        offered += 1
        frames = range(target - t_in, target + t_out)
        if frames[0] < 0 or frames[-1] > last_slot:
            dropped["series_edge"] += 1
        elif any(slot not in part for slot in range(target, target + t_out)):
            dropped["split_edge"] += 1
        elif any(slot not in listed or not listed[slot][0] for slot in frames):
            dropped["gap"] += 1
        elif any(not listed[slot][1] for slot in frames):
            dropped["nan"] += 1
        else:
            inits.append(index.index(target - 1))
    return inits, dropped, offered


@st.composite
def series(draw):
    count = draw(st.integers(1, 30))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 1, 2, 4]), min_size=count - 1, max_size=count - 1))
    index = np.concatenate([[0], np.cumsum(steps)]).astype(int).tolist()
    flags = st.lists(st.sampled_from([True] * 9 + [False]), min_size=count, max_size=count)
    edges = sorted(
        draw(st.lists(st.integers(-3, index[-1] + 3), min_size=2, max_size=6).filter(lambda e: len(e) % 2 == 0))
    )
    pieces = list(zip(edges[::2], edges[1::2], strict=True))
    return index, draw(flags), draw(flags), draw(st.integers(1, 5)), draw(st.integers(1, 4)), pieces


@settings(max_examples=200, deadline=None)
@given(series())
def test_windows_and_audit_agree_with_the_oracle(case):
    index, present, complete, t_in, t_out, pieces = case
    spans = [tuple(hours([a, b])) for a, b in pieces]
    inits, audit = find_windows(
        hours(index), np.array(present), HOUR, t_in, t_out, spans, "train", complete=np.array(complete)
    )
    expected, dropped, offered = oracle(index, present, complete, t_in, t_out, pieces)
    assert inits.tolist() == expected
    assert dict(audit.dropped) == dropped
    assert (audit.offered, audit.used) == (offered, len(expected))
    assert audit.offered == audit.used + sum(audit.dropped.values())


def test_two_hour_hole_costs_every_window_that_touches_it():
    # Frames 0 1 2 3 . . 6 7 8 9; T = T' = 1: the pairs (3, 4) (4, 5) (5, 6) are gone, 6 of 9 are left.
    index = [0, 1, 2, 3, 6, 7, 8, 9]
    inits, audit = find_windows(hours(index), np.ones(8, bool), HOUR, 1, 1, [tuple(hours([0, 9]))], "all")
    assert inits.tolist() == [0, 1, 2, 4, 5, 6]
    assert audit.row() == {
        "part": "all", "offered": 10, "used": 6, "series_edge": 1, "split_edge": 0, "gap": 3, "nan": 0,
    }  # fmt: skip


def test_inputs_reach_back_into_another_part_and_targets_do_not():
    inits, _ = find_windows(hours(list(range(20))), np.ones(20, bool), HOUR, 4, 2, [tuple(hours([10, 14]))], "held_out")
    assert inits.tolist() == [9, 10, 11, 12]  # targets 10-11 .. 13-14; inputs from 6 on


def test_months_of_unequal_length_are_neighbours():
    times = xr.date_range("2001-01-31", periods=8, freq="ME").to_numpy().astype("M8[ns]")
    step = Step.infer(times)
    inits, audit = find_windows(times, np.ones(8, bool), step, 3, 2, [(times[0], times[-1])], "all")
    assert inits.tolist() == [2, 3, 4, 5]
    assert audit.dropped["gap"] == 0


def test_calendar_of_360_days():
    times = xr.date_range("2001-02-28", periods=6, freq="D", calendar="360_day", use_cftime=True).to_numpy()
    inits, _ = find_windows(times, np.ones(6, bool), Step(seconds=86400), 2, 1, [(times[0], times[-1])], "all")
    assert inits.tolist() == [1, 2, 3, 4]


def test_repeated_time_is_refused():
    with pytest.raises(ConfigError, match=r"expected rising times, got .*T01.* followed by .*T01"):
        find_windows(hours([0, 1, 1, 2]), np.ones(4, bool), HOUR, 1, 1, [tuple(hours([0, 2]))], "all")


def test_empty_series_offers_nothing():
    inits, audit = find_windows(hours([]).astype("M8[ns]"), np.ones(0, bool), HOUR, 1, 1, [], "train")
    assert (len(inits), audit.offered) == (0, 0)


def test_table_states_every_reason():
    _, audit = find_windows(hours([0, 1, 2]), np.ones(3, bool), HOUR, 1, 1, [tuple(hours([0, 2]))], "train")
    lines = audit_table([audit]).splitlines()
    assert lines[0] == "| part | offered | used | series_edge | split_edge | gap | nan |"
    assert lines[2] == "| train | 3 | 2 | 1 | 0 | 0 | 0 |"
    assert [line.split(":")[0] for line in lines[4:]] == [f"* {reason}" for reason in REASONS]


@pytest.fixture
def world() -> tuple[xr.Dataset, FrameSpec]:
    ds = address_world(frames=60, shape=(3, 4))
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    return ds, FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=())


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["in memory", "read per batch"])
def test_batch_holds_the_frames_that_its_windows_name(world, memory, monkeypatch):
    ds, spec = world
    monkeypatch.setattr("pipelines.windows.frames.BLOCK", 7)
    frames = Frames(ds, spec, memory=memory)
    assert (frames.run is None) == (memory > 0)
    assert frames.whole.all()
    assert frames.usable.all()
    x, y, m = Sequences(frames, np.array([3, 10, 57]), spec).batch(np.array([2, 0]))
    assert x.shape == (2, 4, spec.n_channels, 3, 4)
    assert y.shape == (2, 2, 2, 3, 4)
    assert m.tolist() == np.ones((2, 3, 4)).tolist()
    for row, init in enumerate([57, 3]):
        shown = np.concatenate([x[row][:, :2], y[row]])
        for number in range(2):
            channel = spec.channels[number]
            times = ds["time"].values[init - 3 : init + 3]
            values = channel.denormalise(shown[:, number], times)
            variable, time, _, column = addresses(np.rint(values), (3, 4))
            assert (variable == number).all()
            assert time[:, 0, 0].tolist() == list(range(init - 3, init + 3))
            assert column[0, 0].tolist() == [0, 1, 2, 3]


def test_frames_lack_what_is_missing_and_not_what_is_masked(world, monkeypatch):
    monkeypatch.setattr("pipelines.windows.frames.BLOCK", 16)
    ds, _ = world
    ds = ds.copy(deep=True)
    ds["t2m"][:, 0, 0] = np.nan  # the mask: never there
    ds["d2m"][17, 1, 1] = np.nan  # 1 of 12
    ds["t2m"][30, 1, :2] = np.nan  # 2 of 11
    ds["t2m"][40] = ds["d2m"][40] = np.nan
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=())
    frames = Frames(ds, spec)
    assert np.flatnonzero(~frames.whole).tolist() == [17, 30, 40]
    assert np.flatnonzero(~frames.usable).tolist() == [30, 40]
    assert frames.missing[[16, 17, 30, 40]].tolist() == [[0, 0], [0, 1 / 12], [2 / 11, 0], [1, 1]]
    strict = Frames(ds, FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=(), missing_share=0))
    assert np.flatnonzero(~strict.usable).tolist() == [17, 30, 40]
    windows = Sequences(frames, np.array([5]), spec)
    assert windows.specks
    _, _, m = windows.batch(np.array([0]))
    assert m.sum(axis=(1, 2)).tolist() == [11, 12]
    gap = ds.isel(time=slice(32, 60))  # a frame that is not there at all has nothing to be filled
    assert not Sequences(Frames(gap, spec), np.array([3]), spec).specks


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["in memory", "read per batch"])
def test_missing_points_are_filled_in_inputs_and_do_not_count_in_targets(world, memory):
    ds, spec = world
    holed = ds.copy(deep=True)
    holed["t2m"][10, 1, 2] = np.nan
    holed["d2m"][11, 0, 0] = np.nan
    whole = Sequences(Frames(ds, spec, memory=memory), np.array([8, 10, 11, 20]), spec)
    windows = Sequences(Frames(holed, spec, memory=memory), np.array([8, 10, 11, 20]), spec)
    for ours, theirs in zip(windows.batch(np.array([3])), whole.batch(np.array([3])), strict=True):
        assert np.array_equal(ours, theirs)  # a window without them is as it was
    x, y, m = windows.batch(np.array([0, 1, 2, 3]))
    right_x, right_y, mask = whole.batch(np.array([0, 1, 2, 3]))
    assert m.shape == y.shape
    # Window 0 has t2m's frame as a target, window 1 as its last input and d2m's as a target, window 2 both as inputs.
    counts = np.ones(y.shape)
    counts[0, 1, 0, 1, 2] = counts[1, 0, 1, 0, 0] = 0
    assert np.array_equal(m, counts * mask)
    assert np.array_equal(y, np.where(counts > 0, right_y, 0))
    right_x = right_x.copy()
    right_x[1, 3, 0, 1, 2] = right_x[1, 2, 0, 1, 2]
    right_x[2, 2, 0, 1, 2] = right_x[2, 1, 0, 1, 2]
    right_x[2, 3, 1, 0, 0] = right_x[2, 2, 1, 0, 0]
    assert np.array_equal(x, right_x)


def test_what_is_filled_follows_from_the_inputs_alone(world):
    ds, spec = world
    holed = ds.copy(deep=True)
    holed["t2m"][10, 1, 2] = np.nan
    other = holed.copy(deep=True)
    other["t2m"][11:] += 5
    x, other_x = (Sequences(Frames(one, spec), np.array([10]), spec).batch(np.array([0]))[0] for one in (holed, other))
    assert np.array_equal(x, other_x)


def test_seasonal_cycle_is_the_climatology_about_its_mean_at_the_times_of_the_window():
    hours = np.arange(240)
    ds = address_world(frames=240, shape=(2, 3))
    noise = np.random.default_rng(0).normal(0, 0.1, (240, 2, 3))
    values = (280 + 5 * np.cos(2 * np.pi * hours / 24))[:, None, None] + noise
    ds = ds[["t2m"]].copy(data={"t2m": values.astype("f4")})
    ds["t2m"][:, 0, 0] = np.nan
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=())
    assert spec.channels[0].climatology.period == "day"
    cycle = Sequences(Frames(ds, spec), np.array([30, 40]), spec).seasonal_cycle(np.array([1, 0]))
    assert cycle.shape == (2, 6, 1, 2, 3)
    for row, init in enumerate([40, 30]):
        expected = 5 * np.cos(2 * np.pi * np.arange(init - 3, init + 3) / 24) / spec.channels[0].scale
        assert cycle[row, :, 0, 1, 2] == pytest.approx(expected, abs=0.2 / spec.channels[0].scale)
        assert (cycle[row, :, 0, 0, 0] == 0).all()
    flat = ds.copy(data={"t2m": (280 + noise).astype("f4")})
    still = FrameSpec.fit(flat, frames_in=4, frames_out=2, train=train, log1p=(), cycle=None)
    assert still.channels[0].climatology.period == "none"
    assert Sequences(Frames(flat, still), np.array([30]), still).seasonal_cycle(np.array([0])) is None


def test_targets_of_a_logarithm_count_by_the_level_of_their_place_and_hour():
    hours = np.arange(240)
    ds = address_world(frames=240, shape=(2, 3)).rename(d2m="taxis")
    level = 20 + 15 * np.cos(2 * np.pi * hours / 24)[:, None, None] * np.linspace(0.1, 1, 6).reshape(2, 3)
    noise = np.random.default_rng(0).gamma(50, 1 / 50, (240, 2, 3))
    ds["taxis"] = ds["taxis"].copy(data=(level * noise).astype("f4")).assign_attrs(units="1")
    ds["taxis"][:, 0, 0] = np.nan  # masked
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=["taxis"])
    number = spec.states.index("taxis")
    state = spec.state_channels[number]
    assert state.climatology.period == "day"
    holed = ds.copy(deep=True)
    holed["taxis"][41, 1, 1] = np.nan
    plain = np.float32([[1, 1, 1], [1, 1, 1]])
    for data, lost in ((ds, False), (holed, True)):
        _, y, m = Sequences(Frames(data, spec), np.array([30, 40]), spec).batch(np.array([1, 0]))
        assert m.shape == y.shape
        assert np.array_equal(m[:, :, 1 - number], np.broadcast_to(plain, (2, 2, 2, 3)))  # no logarithm: all alike
        for row, init in enumerate([40, 30]):
            for lead in (1, 2):
                # 1 + x / s of the climatology, whose logarithm it holds, over its mean over hours and points.
                means = np.exp(state.climatology.values[0][:, state.valid])
                expected = np.exp(state.climatology.values[0, (init + lead) % 24]) / means.mean()
                expected[0, 0] = 0.0
                if lost and init + lead == 41:
                    expected[1, 1] = 0.0
                assert m[row, lead - 1, number] == pytest.approx(expected, rel=1e-5)
    # At noon, when there are few, an error of the logarithm counts less than at midnight.
    weights = state.loss_weights()
    assert weights is not None
    assert weights.values[0, 0, 1, 2] > 2 * weights.values[0, 12, 1, 2] > 0
    assert weights.values[..., state.valid].mean() == pytest.approx(1, rel=1e-5)


def test_order_depends_on_seed_and_number_alone(world):
    ds, spec = world
    windows = Sequences(Frames(ds, spec), np.arange(3, 57), spec)  # 54 windows
    batches = [b.tolist() for b in windows.shuffled(8, seed=1, first=0, count=27)]
    assert [b.tolist() for b in windows.shuffled(8, seed=1, first=5, count=9)] == batches[5:14]
    drawn = [i for b in batches for i in b]
    for start in range(0, 216, 54):
        assert sorted(drawn[start : start + 54]) == list(range(54))
    assert drawn[:54] != drawn[54:108]
    assert [b.tolist() for b in windows.shuffled(8, seed=2, first=0, count=27)] != batches
    assert len(next(windows.shuffled(100, seed=1, first=0, count=1))) == 100


def test_ordered_visits_every_window_once(world):
    ds, spec = world
    windows = Sequences(Frames(ds, spec), np.arange(3, 57), spec)
    assert np.concatenate(list(windows.ordered(20))).tolist() == list(range(54))


@pytest.fixture
def long_world() -> tuple[xr.Dataset, FrameSpec]:
    ds = address_world(("t2m",), frames=400, shape=(2, 3))
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    return ds, FrameSpec.fit(ds, frames_in=4, frames_out=2, train=train, log1p=())


def in_runs(ds: xr.Dataset, spec: FrameSpec, inits: np.ndarray) -> tuple[Sequences, Frames, list[tuple[int, int]], int]:
    """Windows of frames held in runs of 20, the frames, what is read from now on, and the bytes allowed."""
    frame = 4 * spec.n_channels * 6
    memory = RUNS * (20 + 6) * frame
    frames = Frames(ds, spec, memory=memory)
    reads: list[tuple[int, int]] = []
    plain = frames._read

    def recorded(start: int, stop: int) -> np.ndarray:
        reads.append((start, stop))
        made = plain(start, stop)
        assert sum(run.nbytes for run in frames._runs.values()) + made.nbytes <= memory
        return made

    frames._read = recorded  # type: ignore[method-assign]
    return Sequences(frames, inits, spec), frames, reads, memory


def test_windows_held_in_runs_are_those_in_memory_and_each_run_is_read_once_a_pass(long_world):
    ds, spec = long_world
    inits = np.array([p for p in range(3, 398) if not 100 <= p < 190])  # five runs of 20 have no window, or few
    windows, frames, reads, _ = in_runs(ds, spec, inits)
    assert frames.run == 20
    held = Sequences(Frames(ds, spec), inits, spec)
    order = list(windows.shuffled(8, seed=3, first=0, count=len(inits) // 8))
    for indices in order:
        for ours, theirs in zip(windows.batch(indices), held.batch(indices), strict=True):
            assert np.array_equal(ours, theirs)
    drawn = np.concatenate(order)
    assert len(set(drawn)) == len(drawn)
    assert len(reads) == len(set(reads)) == len(np.unique(inits // 20))
    # Runs are read as the pass goes on, not all at once, and batches mix several.
    assert np.mean([len(set(inits[indices] // 20)) for indices in order]) > 3
    reads.clear()
    for indices in windows.ordered(16):
        assert np.array_equal(windows.batch(indices)[0], held.batch(indices)[0])
    assert len(reads) == len(set(reads))


@pytest.mark.parametrize(("frames", "most"), [(1_000_000, 256), (RUNS * 26, 26), (1, 6), (0, 256)])
def test_no_more_is_read_at_a_time_than_the_memory_allows(long_world, monkeypatch, frames, most):
    ds, spec = long_world
    frame = 4 * spec.n_channels * 6
    reads: list[int] = []
    plain = Frames._read
    monkeypatch.setattr(Frames, "_read", lambda self, a, b: reads.append(b - a) or plain(self, a, b))
    assert Frames(ds, spec, memory=frames * frame).whole.all()
    assert max(reads) == most
    # Frames that are only looked through come in blocks of a sixteenth of the budget.
    monkeypatch.setattr("simvp.budget.BUDGET", 16 * 10 * frame)
    reads.clear()
    Frames(ds, spec, memory=0)
    assert max(reads) == 10


def test_order_of_runs_depends_on_seed_and_number_alone(long_world):
    ds, spec = long_world
    windows = in_runs(ds, spec, np.arange(3, 398))[0]
    batches = [b.tolist() for b in windows.shuffled(8, seed=1, first=0, count=150)]
    assert [b.tolist() for b in windows.shuffled(8, seed=1, first=70, count=5)] == batches[70:75]
    drawn = [i for b in batches for i in b]
    for start in (0, 395, 790):
        assert sorted(drawn[start : start + 395]) == list(range(395))
    assert [b.tolist() for b in windows.shuffled(8, seed=2, first=0, count=150)] != batches


@pytest.mark.parametrize(("runs", "mixed"), [(0.5, 1), (1, 1), (3, 1), (4, 2), (7.9, 5)])
def test_fewer_runs_are_held_where_the_memory_is_little_and_each_is_still_read_once(long_world, runs, mixed):
    ds, spec = long_world
    frame = 4 * spec.n_channels * 6
    frames = Frames(ds, spec, memory=int(runs * 12 * frame))  # the shortest run is that of 6 windows: 12 frames at most
    assert (frames.run, frames.runs) == (6, max(1, int(runs)))
    reads: list[int] = []
    plain = frames._blocks
    frames._blocks = lambda start, stop: reads.append(start) or plain(start, stop)  # type: ignore[method-assign]
    windows, held = (Sequences(one, np.arange(3, 398), spec) for one in (frames, Frames(ds, spec)))
    order = list(windows.shuffled(5, seed=3, first=0, count=79))
    for indices in order:
        assert np.array_equal(windows.batch(indices)[0], held.batch(indices)[0])
        assert len(frames._runs) <= frames.runs
    assert sorted(np.concatenate(order).tolist()) == list(range(395))
    assert len(reads) == len(set(reads)) == 67
    assert max(len(set((indices + 3) // 6)) for indices in order) <= mixed + 2


def test_a_few_windows_from_all_over_are_read_alone(long_world):
    ds, spec = long_world
    windows, _, reads, _ = in_runs(ds, spec, np.array([10, 100, 200, 390]))
    windows.batch(np.array([1, 3]))
    assert reads == [(97, 103), (387, 393)]


def test_what_surely_fits_is_held(long_world):
    ds, spec = long_world
    least = next(m for m in range(0, 1 << 20, 64) if surely_fits(ds, m))
    assert Frames(ds, spec, memory=least).run is None
    assert not surely_fits(ds, 4 * 400 * 6 * spec.n_channels - 1)
