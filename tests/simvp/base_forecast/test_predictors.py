"""Predictors against a loop written from the table of the module, and the five baselines as special cases of them."""

from itertools import product

import numpy as np
import pytest

from simvp.base_forecast.predictors import Design, baseline_coefficients, neighbours, recent_frames
from simvp.scoring.baselines import NAMES
from tests.simvp.base_forecast.worlds import KINDS, World, world


class Loop:
    """Predictors of one init slot, value by value."""

    def __init__(self, made: World, design: Design, init: int) -> None:
        self.made, self.design, self.init = made, design, init
        self.points = [(int(r), int(c)) for r, c in np.argwhere(made.valid)]
        slots = made.series.slots(made.ds["time"].values).tolist()
        self.frames = dict(zip(slots, made.ds["x"].values.astype("f8"), strict=True))
        self.maps: dict[int, np.ndarray] = {}
        every = made.climatology.values.astype("f8").reshape(-1, *made.valid.shape)
        self.mean, self.every = every.mean(0), every

    def m(self, slot: int, p: tuple[int, int]) -> float:
        if slot not in self.maps:
            self.maps[slot] = self.made.climatology.at(self.made.series.times(np.array([slot])))[0].astype("f8")
        return float(self.maps[slot][p])

    def raw(self, slot: int, p: tuple[int, int]) -> float:
        return float(self.frames[slot][p]) - self.m(slot, p) if slot in self.frames else np.nan

    def d(self, slot: int, p: tuple[int, int]) -> float:
        """Departure of one of the T frames, filled from those before it among them."""
        known = [self.raw(s, p) for s in range(slot, self.init - self.design.frames_in, -1)]
        return next((value for value in known if np.isfinite(value)), 0.0)

    def far(self, slot: int, p: tuple[int, int]) -> float:
        if not np.isfinite([self.raw(slot, q) for q in self.points]).any():
            return np.nan
        value = self.raw(slot, p)
        return value if np.isfinite(value) else 0.0

    def mean_of(self, count: int, p: tuple[int, int]) -> float:
        seen = [v for s in range(self.init - count + 1, self.init + 1) if np.isfinite(v := self.raw(s, p))]
        return sum(seen) / len(seen) if seen else 0.0

    def course(self, value: float, p: tuple[int, int]) -> float:
        return value if self.design.amount else value - self.mean[p]

    def swing(self, count: int) -> float:
        over = under = usual = 0.0
        for area, p in zip(self.made.area, self.points, strict=True):
            usual += area * np.mean([self.course(value, p) ** 2 for value in self.every[:, *p]])
            for slot in range(self.init - count + 1, self.init + 1):
                if np.isfinite(value := self.raw(slot, p)):
                    over += area * value * self.course(self.m(slot, p), p)
                    under += area * self.course(self.m(slot, p), p) ** 2
        return over / max(under, 0.05 * count * usual, 1e-12)

    def predictors(self, lead: int, p: tuple[int, int]) -> dict[str, float]:
        init, valid, T = self.init, self.init + lead, self.design.frames_in
        m = self.m(valid, p)
        around = [(p[0] + r, p[1] + c) for r, c in product((-1, 0, 1), repeat=2)]
        near = [self.d(init, q) for q in around if q in self.points]
        z = {
            "last": self.d(init, p),
            "trend": self.d(init, p) - self.d(init - 1, p),
            "neighbours": sum(near) / len(near),
            "domain": sum(a * self.d(init, q) for a, q in zip(self.made.area, self.points, strict=True)),
            "recent": self.mean_of(recent_frames(T), p),
            "window": self.mean_of(T, p),
            "activity_recent": self.swing(recent_frames(T)) * self.course(m, p),
            "activity_window": self.swing(T) * self.course(m, p),
            "other_none": float(self.made.statistics["x"][1].mean.values[0, 0][p]) - m,
            "initial_normal": self.m(init, p) - m,
            "normal": m,
        }
        for n in self.design.cycles:
            then = valid - n
            while then > init:
                then -= n
            z[f"cycle_{n}"] = self.d(then, p) if n <= T else self.far(then, p)
            z[f"cycle_normal_{n}"] = self.m(then, p) - m
        return {name: z[name] for name in self.design.names}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("amount", "holes"), [(False, False), (True, True), (False, True)])
def test_they_are_what_the_table_says(name: str, amount: bool, holes: bool) -> None:
    made = world(name, 5, masked=True, gaps=True, holes=holes)
    design = made.design(amount=amount, active=True, others=("none",))
    inits = made.series.slots(made.init_times())
    inits = inits[[0, 1, 2, len(inits) // 2, len(inits) // 2 + 1, -1]]
    block = made.block(inits, design)
    spread = float(np.nanstd(made.ds["x"].values))
    for lead in (1, made.kind.leads // 2, made.kind.leads):
        z = block.predictors(lead).copy()
        for number, init in enumerate(inits.tolist()):
            loop = Loop(made, design, init)
            for place, p in enumerate(loop.points):
                expected = np.array(list(loop.predictors(lead, p).values()))
                np.testing.assert_allclose(z[place, :, number], expected, atol=2e-5 * spread, err_msg=f"{init} {lead}")


def test_where_the_climatology_hardly_moves_little_is_told_of_it() -> None:
    made = world("day", 6)
    made.climatology.values[:] = np.array([0.1, 0.1, 0.1, 10.0], "f4")[:, None, None]
    design, init = made.design(amount=True, active=True), 41  # two recent frames, the slots 0 and 1 of a day
    z = made.block(np.array([init]), design).predictors(2)
    d = made.ds["x"].values[init - 1 : init + 1].reshape(2, -1) - 0.1
    usual = (3 * 0.1**2 + 10.0**2) / 4
    swing = 0.1 * (d @ made.area).sum() / (0.05 * 2 * usual)
    np.testing.assert_allclose(z[:, design.names.index("activity_recent"), 0], swing * 10.0, rtol=1e-5)


def test_names_follow_the_design() -> None:
    short = Design(frames_in=1, cycles=(4,))
    assert short.names == ("last", "neighbours", "domain", "cycle_4", "initial_normal", "cycle_normal_4")
    assert short.far == (4,)
    assert [n for n, w in zip(short.names, short.within, strict=True) if not w] == ["cycle_4", "cycle_normal_4"]
    assert short.history == 4
    assert Design(frames_in=6, cycles=(4,)).history == 6
    assert Design(frames_in=6, cycles=(4,)).far == ()
    assert "normal" in Design(frames_in=2, amount=True).names
    assert "normal" not in Design(frames_in=2, active=True).names


@pytest.mark.parametrize(("frames_in", "recent"), [(1, 1), (2, 2), (4, 2), (12, 3), (16, 4), (48, 4)])
def test_recent_frames(frames_in: int, recent: int) -> None:
    assert recent_frames(frames_in) == recent


def test_neighbours_at_edges_and_masks_by_hand() -> None:
    valid = np.ones((3, 3), bool)
    valid[0, 1] = False
    maps = np.arange(1.0, 10.0).reshape(3, 3)  # 1 . 3 / 4 5 6 / 7 8 9
    mean = neighbours(np.stack([maps[valid], -maps[valid]], axis=1).astype("f4"), valid)
    corner, centre, edge = (1 + 4 + 5) / 3, (1 + 3 + 4 + 5 + 6 + 7 + 8 + 9) / 8, (4 + 5 + 7 + 8) / 4
    np.testing.assert_allclose(mean[[0, 3, 5], 0], [corner, centre, edge], rtol=1e-6)
    np.testing.assert_allclose(mean[:, 1], -mean[:, 0])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_each_baseline_is_a_special_case(name: str, seed: int) -> None:
    made = world(name, seed, masked=seed > 0, gaps=seed > 1)
    design, times = made.design(), made.init_times()
    forecasts = made.baselines.predict(made.ds, times)
    inits = made.series.slots(times)
    block = made.block(inits, design)
    spread, compared = float(np.nanstd(made.ds["x"].values)), 0
    for lead in range(1, made.kind.leads + 1):
        z, normal = block.predictors(lead), block.reference(lead)
        special = baseline_coefficients(design, made.kind.cycle, float(made.baselines.damping[0, lead - 1]))
        assert tuple(special) == NAMES
        for baseline, q in special.items():
            # Zero times a frame that is not there is nothing in numbers.
            got = normal + np.einsum("pkn,k->pn", z[:, q != 0], q[q != 0])
            expected = forecasts[baseline]["x"].values[:, lead - 1][:, made.valid].T
            np.testing.assert_allclose(got, expected, atol=2e-6 * (10 + 5 * spread), err_msg=f"{baseline} {lead}")
            compared += int(np.isfinite(expected).sum())
    assert compared > 0.6 * 5 * made.kind.leads * len(inits) * len(made.area)


@pytest.mark.parametrize("name", KINDS)
def test_nothing_after_an_init_time_has_a_part(name: str) -> None:
    made = world(name, 7, gaps=True, holes=True)
    times = made.init_times()
    inits = made.series.slots(times)
    middle = len(inits) // 2
    later = made.ds["time"].values > times[middle]
    other = World(made.ds.copy(deep=True), made.kind)
    other.ds["x"].values[later] = 1e6
    # Climatology, mask and area of the one for both: what is looked at is the question, not what is fitted.
    design = made.design(active=True, others=("none",))
    block = made.block(inits, design)
    vars(other).update(statistics=made.statistics, baselines=made.baselines)
    same = other.block(inits, design)
    for lead in range(1, made.kind.leads + 1):
        one, two = block.predictors(lead)[..., : middle + 1], same.predictors(lead)[..., : middle + 1]
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(block.predictors(lead)[..., -1], same.predictors(lead)[..., -1])


@pytest.mark.parametrize("name", KINDS)
def test_an_init_time_does_not_depend_on_those_beside_it(name: str) -> None:
    made = world(name, 8, gaps=True, holes=True)
    inits = made.series.slots(made.init_times())
    design = made.design(active=True, amount=True, others=("none",))
    block = made.block(inits, design)
    for number in range(0, len(inits), 9):
        alone = made.block(inits[number : number + 1], design)
        for lead in (1, made.kind.leads):
            np.testing.assert_allclose(
                alone.predictors(lead)[..., 0], block.predictors(lead)[..., number], atol=1e-4, rtol=1e-5
            )


def test_an_init_time_without_its_frames_has_no_predictors_and_the_next_ones_have() -> None:
    made = world("day")
    made.ds["x"].values[20] = np.nan
    block = made.block(np.arange(10, 40), made.design(active=True))
    lacking = np.isnan(block.predictors(1)).any((0, 1))
    np.testing.assert_array_equal(np.arange(10, 40)[lacking], np.arange(20, 20 + made.kind.frames_in))


def test_targets_are_departures_at_the_valid_times() -> None:
    made = world("week", masked=True, holes=True)
    inits = np.r_[5:30, 40]
    block = made.block(inits, made.design(), ahead=True)
    for lead in (1, 17):
        normal = made.climatology.at(made.series.times(inits + lead))
        expected = (made.ds["x"].values[inits + lead] - normal)[:, made.valid].T
        np.testing.assert_array_equal(block.targets(lead), expected)
        assert np.isnan(expected).any()
        np.testing.assert_array_equal(block.reference(lead), normal[:, made.valid].T)


def test_a_point_whose_climatology_is_unknown_does_not_count() -> None:
    made = world("day")
    made.climatology.values[..., 1, 1] = np.nan
    block = made.block(np.arange(10, 30), made.design(active=True), ahead=True)
    assert np.isfinite(block.predictors(2)).all()
    unknown = np.isnan(block.targets(2))
    assert unknown[5].all()
    assert not np.delete(unknown, 5, axis=0).any()
