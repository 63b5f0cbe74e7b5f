"""Sums of products against explicit design matrices, and the groups of points that they are kept by."""

import numpy as np
import pytest

from simvp.base_forecast import normal_equations
from simvp.base_forecast.normal_equations import NormalEquations, group_points, most_groups
from simvp.base_forecast.predictors import Design
from simvp.base_forecast.ridge import Ridge

FOLDS, LEADS, K, P, N = 3, 2, 4, 12, 20


def drawn(seed: int, holes: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictors (F, L, P, K, N), targets (F, L, P, N) and area (P,)."""
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(FOLDS, LEADS, P, K, N)).astype("f4"), rng.normal(size=(FOLDS, LEADS, P, N)).astype("f4")
    if holes:
        y[rng.random(y.shape) < 0.3] = np.nan
    area = rng.uniform(0.5, 2.0, P)
    return z, y, (area / area.sum()).astype("f4")


def summed(z: np.ndarray, y: np.ndarray, area: np.ndarray, group: np.ndarray, size: int = 7) -> NormalEquations:
    sums = NormalEquations.empty(FOLDS, LEADS, group, K, area)
    for fold in range(FOLDS):
        for lead in range(LEADS):
            for start in range(0, N, size):
                part = slice(start, start + size)
                sums.add(fold, lead + 1, z[fold, lead][..., part], y[fold, lead][..., part])
    return sums


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("chunk", [5, 128])
def test_sums_are_those_of_the_design_matrix(
    monkeypatch: pytest.MonkeyPatch, holes: bool, groups: int, chunk: int
) -> None:
    monkeypatch.setattr(normal_equations, "CHUNK", chunk)
    z, y, area = drawn(1, holes)
    group = np.random.default_rng(2).permutation(np.arange(P) % groups)
    sums = summed(z, y, area, group)
    for fold in range(FOLDS):
        for lead in range(LEADS):
            for g in range(groups):
                known = np.isfinite(y[fold, lead]) & (group == g)[:, None]
                rows = z[fold, lead].transpose(0, 2, 1)[known].astype("f8")  # (rows, K)
                right = y[fold, lead][known].astype("f8")
                weight = np.broadcast_to(area[:, None], known.shape)[known]
                where = fold, lead, g
                np.testing.assert_allclose(sums.products[where], (rows.T * weight) @ rows, rtol=2e-5, atol=1e-5)
                np.testing.assert_allclose(sums.targets[where], (rows.T * weight) @ right, rtol=2e-5, atol=1e-5)
                np.testing.assert_allclose(sums.squares[where], weight @ right**2, rtol=2e-5)
            share = np.isfinite(y[fold, lead]).sum(1) @ area
            np.testing.assert_allclose(sums.counts[fold, lead], share, rtol=1e-6)


def test_values_at_missing_targets_do_not_count_whatever_they_are() -> None:
    z, y, area = drawn(3, holes=True)
    wild = np.where(np.isnan(y)[:, :, :, None], np.float32(1e9), z)
    for part in ("products", "targets", "squares"):
        one, two = (summed(any_z, y, area, np.arange(P)) for any_z in (z, wild))
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


def test_no_init_times_change_nothing() -> None:
    z, y, area = drawn(4)
    sums = NormalEquations.empty(FOLDS, LEADS, np.arange(P), K, area)
    sums.add(0, 1, z[0, 0][..., :0], y[0, 0][..., :0])
    assert not sums.products.any()
    assert not sums.counts.any()


def test_pooled_solution_is_weighted_least_squares() -> None:
    z, y, area = drawn(5, holes=True)
    sums = summed(z, y, area, np.arange(P))
    design = Design(frames_in=1, cycles=(), others=())  # last, neighbours, domain, initial_normal
    ridge = Ridge(sums, design, None, np.ones(K, bool))
    for lead in range(LEADS):
        known = np.isfinite(y[:2, lead])
        root = np.sqrt(np.broadcast_to(area[:, None], known.shape)[known].astype("f8"))
        rows = z[:2, lead].transpose(0, 1, 3, 2)[known].astype("f8")
        expected = np.linalg.lstsq(rows * root[:, None], y[:2, lead][known] * root, rcond=None)[0]
        found = ridge.pooled([0, 1], lead, 0.0, np.zeros(K))
        np.testing.assert_allclose(found, expected, atol=1e-5)
        left = root**2 @ (y[:2, lead][known] - rows @ found) ** 2
        assert ridge.error([0, 1], lead, found) == pytest.approx(left, rel=1e-5)


class TestGroups:
    def test_each_point_is_one_where_there_is_room(self) -> None:
        valid = np.ones((3, 4), bool)
        valid[1, 2] = False
        group, number = group_points(valid, 11)
        assert number == 11
        np.testing.assert_array_equal(group, np.arange(11))

    def test_else_they_are_square_tiles(self) -> None:
        group, number = group_points(np.ones((4, 6), bool), 6)
        expected = np.repeat(np.repeat(np.arange(6).reshape(2, 3), 2, axis=0), 2, axis=1)
        np.testing.assert_array_equal(group.reshape(4, 6), expected)
        assert number == 6

    @pytest.mark.parametrize("seed", range(5))
    def test_never_more_than_asked_for_and_always_neighbours(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        valid = rng.random((17, 23)) < 0.6
        for size in (1, 2, 7, 50, 390):
            group, number = group_points(valid, size)
            assert number <= size
            assert sorted(set(group.tolist())) == list(range(number))
            points = np.argwhere(valid)
            spans = [np.ptp(points[group == g], axis=0).max() for g in range(number)]
            side = max(spans) + 1
            assert number == 1 or side**2 * size < 6 * valid.size  # tiles are no larger than they have to be

    def test_sums_fit_into_their_share(self) -> None:
        folds, leads, k = 8, 48, 15
        number = most_groups(folds, leads, k)
        sums = NormalEquations.empty(folds, leads, np.arange(number), k, np.ones(number))
        assert sums.products.nbytes + sums.targets.nbytes + sums.squares.nbytes <= 1 << 28
