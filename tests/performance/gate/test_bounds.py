"""The tests that the gate is compared with, each against its formula written out, or what it is known to give."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from performance.gate import bounds
from performance.gate.series import BLOCK
from pipelines.evaluation.bootstrap import cut_blocks, lower_bound


def drifting(rows: int, n: int, seed: int = 0) -> np.ndarray:
    """Series that wander, some of them above zero."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((rows, n + 5))
    return np.lib.stride_tricks.sliding_window_view(steps, 6, axis=1).mean(-1) + rng.normal(0.1, 0.1, (rows, 1))


@pytest.mark.parametrize("blocks", [5, 7, 20])
def test_the_gates_p_value_says_what_its_bound_says(blocks: int) -> None:
    gains = drifting(60, blocks * BLOCK)
    _, judged = cut_blocks(np.arange(gains.shape[1]), BLOCK, 5)
    bound = [lower_bound(series, judged, confidence=0.9, draws=bounds.DRAWS) for series in gains]
    passed = bounds.gate(gains) < 0.1
    assert 10 < passed.sum() < 50
    assert np.array_equal(passed, np.array(bound) > 0)
    if blocks == 5:  # of one length, so that the mean of all values is that of the blocks
        assert (bounds.student(gains) <= bounds.gate(gains) + 1e-12).all()


def test_students_t_by_hand() -> None:
    # Block means 1 .. 5: mean 3, standard error sqrt(2.5 / 5); t = 4.243 with 4 degrees of freedom.
    gains = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], BLOCK)[None]
    assert bounds.student(gains) == pytest.approx(student_t.sf(3 / 0.5**0.5, 4))


def test_bartletts_weights_term_by_term() -> None:
    series = drifting(1, 30)[0]
    departures = series - series.mean()
    covariance = [sum(departures[i] * departures[i + lag] for i in range(30 - lag)) / 30 for lag in range(4)]
    # Bandwidth 4: weights 1, 3/4, 1/2, 1/4.
    variance = covariance[0] + 2 * (0.75 * covariance[1] + 0.5 * covariance[2] + 0.25 * covariance[3])
    assert bounds._ratio(series[None], 4) == pytest.approx(series.mean() / (variance / 30) ** 0.5)


def test_the_correction_of_diebold_and_mariano_by_hand() -> None:
    gains = drifting(3, 185)
    # (185 + 1 - 72 + 36 * 35 / 185) / 185 = 0.6530
    ratio = bounds._ratio(gains, 36) * 0.6530**0.5
    assert bounds.diebold_mariano(gains) == pytest.approx(student_t.sf(ratio, 184), rel=1e-3)


def test_fixed_b_has_the_published_critical_values() -> None:
    """Kiefer and Vogelsang (2005), table 1, Bartlett: 1.6449 + 2.1859 b + 0.3142 b^2 - 0.3427 b^3 at 95 %."""
    for b in (0.1, 0.4):
        null = bounds._fixed_b_null(185, round(185 * b))
        published = 1.6449 + 2.1859 * b + 0.3142 * b**2 - 0.3427 * b**3
        assert np.quantile(null, 0.95) == pytest.approx(published, rel=0.03)
    gains = drifting(50, 185)
    by_ratio = np.argsort(-bounds._ratio(gains, 2 * BLOCK))
    assert (np.diff(bounds.fixed_b(gains)[by_ratio]) >= 0).all()


def test_cosines_written_out() -> None:
    gains = drifting(2, 40)
    i = np.arange(40)
    for row, series in enumerate(gains):
        c = [(2 / 40) ** 0.5 * (series * np.cos(np.pi * j * (i + 0.5) / 40)).sum() for j in (1, 2, 3)]
        ratio = series.mean() / (np.mean(np.square(c)) / 40) ** 0.5
        assert bounds._cosines(gains, 3)[row] == pytest.approx(student_t.sf(ratio, 3))


@pytest.mark.parametrize(
    "name", ["Student's t on its blocks", "cosines, as many as blocks", "Diebold-Mariano, fixed-b"]
)
def test_of_independent_values_one_in_ten_is_below_a_tenth(name: str) -> None:
    share = (bounds.TESTS[name](np.random.default_rng(5).standard_normal((4000, 185))) < 0.1).mean()
    assert share == pytest.approx(0.1, abs=0.0145)  # three standard errors


def test_a_draw_of_the_stationary_bootstrap_holds_n_values_in_runs_on_a_circle() -> None:
    counts = bounds._multiplicity(50, 5)
    assert counts.shape == (bounds.DRAWS, 50)
    assert set(counts.sum(1)) == {50}
    # Politis and Romano (1994), equation 9: the variance of the mean of a draw, from the circular autocovariances.
    series = drifting(1, 50)[0]
    departures = series - series.mean()
    circular = np.array([(departures * np.roll(departures, -lag)).mean() for lag in range(50)])
    keep = (1 - 1 / 5) ** np.arange(50)
    weights = 2 * (1 - np.arange(50) / 50) * keep
    weights[0] = 1
    drawn = counts @ departures / 50
    assert drawn.var() == pytest.approx(weights @ circular / 50, rel=0.15)
    assert abs(drawn.mean()) < 4 * drawn.std() / bounds.DRAWS**0.5


def test_the_automatic_length_grows_with_the_memory_as_theory_says() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((20, 20_000))
    assert np.median([bounds.automatic_length(series) for series in noise]) < 12
    for i in range(1, noise.shape[1]):
        noise[:, i] += 0.8 * noise[:, i - 1]
    # AR(1): (2 phi / (1 - phi^2))^(2/3) n^(1/3) = 2.703 * 27.14
    found = [bounds.automatic_length(series) for series in noise]
    assert np.median(found) == pytest.approx(73.4, rel=0.15)
