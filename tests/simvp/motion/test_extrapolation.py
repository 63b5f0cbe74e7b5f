"""Motion is known in worlds that are moved by a formula: what is upstream must come, and nothing else may."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from simvp.motion import FRAMES, extrapolate

SHAPE = (48, 64)


def blob(row: float, column: float, *, radius: float = 3.0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Rain of 5 in the middle, nothing below 0.05."""
    rows, columns = np.indices(shape)
    rain = 5 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    return np.where(rain < 0.05, 0, rain).astype("f4")


def moving(by: tuple[float, float], start: tuple[float, float] = (14, 40), frames: int = FRAMES) -> np.ndarray:
    return np.stack([blob(start[0] + by[0] * t, start[1] + by[1] * t) for t in range(frames)])[None]


def test_a_blob_is_where_it_must_be_at_each_lead():
    made = extrapolate(moving((2, -1)), 6)
    assert made.shape == (1, 6, *SHAPE)
    assert made.dtype == np.float32
    for lead in range(1, 7):
        np.testing.assert_allclose(made[0, lead - 1], blob(18 + 2 * lead, 38 - lead), atol=0.15)


def test_motion_is_the_same_on_blocks_of_a_large_grid():
    large = moving((2, -1)).repeat(4, 2).repeat(4, 3)  # 192 x 256: blocks of 4 x 4
    made = extrapolate(large, 3)
    np.testing.assert_allclose(made, extrapolate(moving((2, -1)), 3).repeat(4, 2).repeat(4, 3), atol=0.8)
    peak = np.unravel_index(made[0, 2].argmax(), made.shape[2:])
    np.testing.assert_allclose(peak, (4 * 24 + 1.5, 4 * 35 + 1.5), atol=2)


def test_rain_turns_with_a_rotation():
    """A ring of three blobs that turns by 4 degrees a frame about the middle of the grid."""
    middle, radius = 31.5, 16.0

    def ring(t: int) -> np.ndarray:
        angles = np.deg2rad(4 * t + np.array([0.0, 120.0, 240.0]))
        spots = zip(middle + radius * np.sin(angles), middle + radius * np.cos(angles), strict=True)
        return np.sum([blob(r, c, shape=(64, 64)) for r, c in spots], axis=0)

    made = extrapolate(np.stack([ring(t) for t in range(FRAMES)])[None], 5)[0, -1]
    expected, last = ring(FRAMES + 4), ring(FRAMES - 1)
    assert np.square(made - expected).mean() < 0.1 * np.square(last - expected).mean()


def test_what_does_not_move_stays_and_nothing_stays_nothing():
    still = np.repeat(blob(20, 30)[None, None], FRAMES, 1)
    np.testing.assert_allclose(extrapolate(still, 8), still[:, -1:].repeat(8, 1), atol=1e-3)
    empty = np.zeros((2, FRAMES, *SHAPE), "f4")
    assert np.array_equal(extrapolate(empty, 4), empty[:, :1].repeat(4, 1))


def test_rain_reaches_places_that_were_dry():
    """The motion of dry places is that of the rain nearby: a flow of 0 there would stop the rain at its own edge."""
    made = extrapolate(moving((0, 4), start=(24, 10)), 8)[0]
    assert [int(field[24].argmax()) for field in made] == [18 + 4 * lead for lead in range(1, 9)]


def test_units_do_not_matter():
    frames = moving((1, 2))
    np.testing.assert_allclose(extrapolate(frames * 1e-3, 3), extrapolate(frames, 3) * 1e-3, atol=2e-5)


def test_the_edge_value_comes_in():
    """A wavy front that fills the left side and moves to the right."""
    rows, columns = np.indices(SHAPE)

    def front(t: int) -> np.ndarray:
        return np.clip((20 + 2 * t - columns + 4 * np.sin(rows / 4)) / 4, 0, 1)

    made = extrapolate(np.stack([front(t) for t in range(FRAMES)])[None], 4)[0]
    assert np.isfinite(made).all()
    assert made[..., 0].min() == 1.0
    persistence = np.abs(front(FRAMES - 1) - front(FRAMES + 3)).mean()
    assert np.abs(made[-1] - front(FRAMES + 3)).mean() < 0.2 * persistence


def test_missing_points_are_bridged_and_what_nobody_knows_stays_missing():
    frames = moving((2, -1))
    holed = frames.copy()
    holed[:, :, :, 60:] = np.nan  # out of reach of the radar
    holed[0, -1, 18, 38] = np.nan  # the middle of the blob, in the last frame alone
    made, whole = extrapolate(holed, 3), extrapolate(frames, 3)
    assert np.isnan(made[..., 60:]).all()
    assert np.isfinite(made[..., :60]).all()
    np.testing.assert_allclose(made[..., :60], whole[..., :60], atol=0.6)


def test_a_frame_that_is_not_there_is_stepped_over():
    frames = moving((1, 2), frames=4)
    holed = frames.copy()
    holed[:, 2] = np.nan
    np.testing.assert_allclose(extrapolate(holed, 3), extrapolate(frames, 3), atol=0.2)
    # With a single frame nothing is known to move; without the last one nothing is known.
    alone = frames.copy()
    alone[:, :3] = np.nan
    assert np.array_equal(extrapolate(alone, 2), frames[:, -1:].repeat(2, 1))
    ended = frames.copy()
    ended[:, -1] = np.nan
    assert np.isnan(extrapolate(ended, 2)).all()


def test_each_series_is_its_own_however_many_there_are():
    """Series that overlap share pairs of frames; the result is that of each alone."""
    draws = np.random.default_rng(0)
    day = np.stack([blob(10 + t, 50 - 2 * t) + blob(30, 10 + 3 * t, radius=2) for t in range(8)])
    day[draws.random(day.shape) < 0.02] = np.nan
    windows = np.lib.stride_tricks.sliding_window_view(day, FRAMES, axis=0).transpose(0, 3, 1, 2)
    together = extrapolate(windows, 2)
    assert np.array_equal(together, np.concatenate([extrapolate(w[None], 2) for w in windows]), equal_nan=True)
    assert np.array_equal(together, extrapolate(windows, 2), equal_nan=True)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 40), (6, 8), (3, 3), (9, 300), (65, 129)])
def test_any_grid(shape: tuple[int, int]):
    frames = np.random.default_rng(0).gamma(0.3, 2.0, (2, FRAMES, *shape)).astype("f4")
    made = extrapolate(frames, 2)
    assert made.shape == (2, 2, *shape)
    # Interpolation between values of the last frame: no new extremes.
    assert made.min() >= frames.min()
    assert made.max() <= frames.max()


def test_against_the_same_trajectories_followed_in_small_steps():
    """Brute force: a vortex with a known motion, followed backwards in a hundred steps a lead."""
    from simvp.motion.extrapolation import _carried

    rows, columns = np.indices((40, 40), np.float64)
    turn = 0.08 * np.exp(-((rows - 19.5) ** 2 + (columns - 19.5) ** 2) / 200)
    flow = np.stack([turn * (columns - 19.5), -turn * (rows - 19.5)])
    field = blob(12, 15, radius=4, shape=(40, 40))
    back = np.stack([rows, columns])
    for _ in range(4 * 100):
        back = back - np.stack([map_coordinates(part, back, order=1, mode="nearest") for part in flow]) / 100
    expected = map_coordinates(field, back, order=1, mode="nearest")
    np.testing.assert_allclose(_carried(field, flow.astype("f4"), 4)[-1], expected, atol=0.05)
