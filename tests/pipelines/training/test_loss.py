"""Losses by hand, and what does not count in them."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from pipelines.training.loss import differential_divergence, masked_loss


def test_loss_by_hand():
    # One state, maps of 2 x 2, weights 2 and 0 by row, the point (0, 1) masked: only (0, 0) counts.
    weights, mask = torch.tensor([[2.0, 2.0], [0.0, 0.0]]), torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    target = torch.zeros(1, 1, 1, 2, 2)
    predicted = torch.tensor([[[[[3.0, 100.0], [100.0, 100.0]]]]])
    assert float(masked_loss(predicted, target, mask, weights)) == 9.0
    # Two states of equal error count alike though one has a single valid point; 4 and 16: the mean is 10.
    mask = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    predicted = torch.stack([torch.full((2, 2), 2.0), torch.full((2, 2), 4.0)])[None, None]
    assert float(masked_loss(predicted, torch.zeros_like(predicted), mask, torch.ones(2, 2))) == 10.0


def test_a_target_that_is_not_there_does_not_count_in_the_loss():
    predicted = torch.tensor([3.0, 1.0]).expand(2, 1, 1, 1, 2).clone().requires_grad_()
    target, mask = torch.zeros(2, 1, 1, 1, 2), torch.ones(2, 1, 1, 1, 2)
    mask[0, ..., 0] = 0
    # Errors 1 and 5 of the two maps: (1 + (9 + 1) / 2) / 2.
    loss = masked_loss(predicted, target, mask, torch.ones(1, 2))
    assert float(loss.detach()) == 3.0
    loss.backward()
    assert predicted.grad[0, 0, 0, 0].tolist() == [0, 1]
    predicted = predicted.detach()
    whole = masked_loss(predicted, target, torch.ones_like(mask), torch.ones(1, 2))
    assert float(whole) == float(masked_loss(predicted, target, torch.ones(1, 1, 2), torch.ones(1, 2))) == 5.0


def test_a_target_that_counts_more_does_so_across_maps():
    # Errors 1 and 2 in the first map, 3 and 100 in the second, where the last one is not known: (3 * 1 + 1 * 4) / 2 and
    # 0.5 * 9 over the one point that is. A busy map outweighs a quiet one; the mean over maps is taken of both alike.
    predicted = torch.tensor([[1.0, 2.0], [3.0, 100.0]]).reshape(2, 1, 1, 1, 2)
    mask = torch.tensor([[3.0, 1.0], [0.5, 0.0]]).reshape(2, 1, 1, 1, 2)
    assert float(masked_loss(predicted, torch.zeros_like(predicted), mask, torch.ones(1, 2))) == (3.5 + 4.5) / 2


def test_changes_from_and_to_what_is_not_there_do_not_diverge():
    predicted, target = (torch.rand(2, 4, 1, 3, 3, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    known = torch.ones(2, 4, 1, 3, 3)
    assert torch.equal(differential_divergence(predicted, target, known), differential_divergence(predicted, target))
    known[1, 2, 0, 1, 1] = 0
    values = []
    for value in (0.0, 9.0):
        target[1, 2, 0, 1, 1] = value
        values.append(float(differential_divergence(predicted, target, known)))
    assert values[0] == values[1] > 0
    assert float(differential_divergence(predicted, target, known * 0)) == 0


def test_loss_does_not_grow_with_the_grid():
    for size in (3, 30):
        zero = torch.zeros(2, 3, 1, size, size)
        assert float(masked_loss(zero + 2, zero, torch.ones(1, size, size), torch.ones(size, size))) == pytest.approx(4)


def test_divergence_is_that_of_the_changes_as_distributions():
    random = np.random.default_rng(3)
    predicted, target = (random.normal(size=(2, 4, 2, 3, 3)) for _ in range(2))
    expected = []
    for sample in range(2):
        for frame in range(3):
            p, q = (
                special.softmax((y[sample, frame + 1] - y[sample, frame]).ravel() / 0.1) for y in (predicted, target)
            )
            expected.append(stats.entropy(p, q) / p.size)
    found = differential_divergence(torch.from_numpy(predicted), torch.from_numpy(target))
    assert float(found) == pytest.approx(np.mean(expected))


def test_divergence_sees_changes_and_not_levels():
    y = torch.rand(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(differential_divergence(y + 0.3, y)) == pytest.approx(0.0, abs=1e-6)
    assert float(differential_divergence(y.flip(1), y)) > 0.01
    assert float(differential_divergence(y[:, :2] * 2, y[:, :2])) == 0.0  # two frames have one change: as published
