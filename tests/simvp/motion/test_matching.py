"""Matching hands out the values of the reference, the highest where the mean is highest, and nothing else."""

import numpy as np
from hypothesis import given, strategies as st

from simvp.motion import probability_matched


def test_by_hand():
    mean = np.array([[0.1, 0.4, 0.3], [0.0, 0.2, 0.5]])
    reference = np.array([[0.0, 0.0, 9.0], [0.0, 2.0, 4.0]])
    # In rising order of the mean: 0.0, 0.1, 0.2, 0.3, 0.4, 0.5 get 0, 0, 0, 2, 4, 9.
    assert probability_matched(mean, reference).tolist() == [[0, 4, 2], [0, 0, 9]]


def test_among_equal_means_the_order_is_that_of_the_reference():
    mean = np.array([[0.0, 0.0, 0.0, 1.0]])
    reference = np.array([[0.0, 3.0, 1.0, 0.0]])
    assert probability_matched(mean, reference).tolist() == [[0, 1, 0, 3]]
    # A forecast without any opinion is the reference.
    assert probability_matched(np.zeros((1, 4)), reference).tolist() == reference.tolist()


def test_points_that_one_does_not_know_take_no_part():
    mean = np.array([[np.nan, 0.1, 0.2, 0.3]])
    reference = np.array([[7.0, 5.0, np.nan, 1.0]])
    np.testing.assert_array_equal(probability_matched(mean, reference), np.float32([[np.nan, 1, 0.2, 5]]))


@given(st.integers(0, 2**32 - 1))
def test_every_map_gets_the_values_of_its_own_reference_in_its_own_order(seed: int):
    draws = np.random.default_rng(seed)
    mean = draws.gamma(0.5, size=(2, 3, 4, 5)).round(1).astype("f4")
    reference = (draws.gamma(0.3, size=mean.shape) * (draws.random(mean.shape) < 0.5)).astype("f4")
    before = mean.copy()
    made = probability_matched(mean, reference)
    assert np.array_equal(mean, before)
    for i, j in np.ndindex(2, 3):
        assert np.array_equal(np.sort(made[i, j], axis=None), np.sort(reference[i, j], axis=None))
        higher = mean[i, j][:, :, None, None] > mean[i, j][None, None]
        assert (made[i, j][:, :, None, None] >= made[i, j][None, None])[higher].all()
