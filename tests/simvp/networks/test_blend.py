"""The normal equations of the blend: errors of any weights, and what shifts add."""

import numpy as np
import pytest

from simvp.networks.blend import BlendMoments, Moments, Shifts


def moments(z: np.ndarray, y: np.ndarray) -> Moments:
    """Of windows with terms (N, K) and targets (N,), for one lead and one state."""
    parts = z.T @ z, z.T @ y, y @ y
    return Moments(*(np.asarray(part / len(y))[None, None] for part in parts))


def test_the_error_of_any_weights_is_the_mean_of_the_squares():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    found = moments(z, y)
    for blend in (np.array([0.3, -0.2]), np.array([1.0, 1.0])):
        assert found.error(blend[None, None]).item() == pytest.approx(((y - z @ blend) ** 2).mean())
    best = np.linalg.lstsq(z, y, rcond=None)[0]
    np.testing.assert_allclose(found.blend()[0, 0], best, atol=1e-12)


def test_what_can_be_said_exactly_has_no_negative_error():
    z = np.array([[1.0], [3.0]])
    found = moments(z, 0.1 * z[:, 0])
    assert found.error(found.blend()).item() == pytest.approx(0.0, abs=1e-15)
    assert found.error(found.blend()).item() >= 0


def test_shifts_add_their_squares_to_every_product():
    one = moments(np.array([[1.0, 2.0]]), np.array([3.0]))
    cycle = moments(np.array([[5.0, 7.0]]), np.array([11.0]))
    shifted = BlendMoments(windows=one, cycle=cycle, slopes=np.array([0.5])).shifted(Shifts(2.0, 3.0, 4.0))
    more = 2**2 + 3**2 * 0.5  # of the offset and of the planes
    np.testing.assert_allclose(
        shifted.products[0, 0],
        [[1 + 16 * 25 + more, 2 + 16 * 35 + more]] * 1 + [[2 + 16 * 35 + more, 4 + 16 * 49 + more]],
    )
    np.testing.assert_allclose(shifted.with_target[0, 0], [3 + 16 * 55 + more, 6 + 16 * 77 + more])
    np.testing.assert_allclose(shifted.squares[0, 0], 9 + 16 * 121 + more)
