"""Normalisation and activation as one step: the values and gradients of two steps, with less kept in between."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.benchmark.costs import costs_of
from simvp.networks.config import SimVPConfig
from simvp.networks.normalisation import LEAK, leaky_group_norm
from simvp.networks.simvp import SimVP


def two_steps(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    return functional.leaky_relu(norm(x), LEAK)


def random_norm(groups: int, channels: int, dtype: torch.dtype = torch.float32) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels).to(dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("shape", "groups"), [((2, 6, 5, 3), 3), ((1, 4, 1, 7), 1), ((3, 8, 4, 4), 8)])
def test_values_and_gradients_are_those_of_two_steps(shape, groups, memory_format):
    torch.manual_seed(0)
    norm = random_norm(groups, shape[1], torch.float64)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=memory_format)
    results = []
    for way in (leaky_group_norm, two_steps):
        leaf = x.clone().requires_grad_()
        norm.zero_grad()
        made = way(leaf, norm)
        (made * torch.arange(made.numel(), dtype=torch.float64).view_as(made)).sum().backward()
        results.append([made.detach(), leaf.grad, norm.weight.grad.clone(), norm.bias.grad.clone()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-9)


def test_gradients_are_slopes():
    torch.manual_seed(1)
    norm = random_norm(2, 4, torch.float64)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weight, bias = (p.detach().clone().requires_grad_() for p in norm.parameters())

    def of(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        held = nn.GroupNorm(2, 4).double()
        del held.weight, held.bias
        held.weight, held.bias = weight, bias
        return leaky_group_norm(x, held)

    assert torch.autograd.gradcheck(of, (x, weight, bias))


def test_bfloat16_stays_bfloat16_with_float32_weights_and_their_gradients():
    torch.manual_seed(2)
    norm = random_norm(2, 8)
    x = torch.randn(2, 8, 6, 6).bfloat16().requires_grad_()
    made = leaky_group_norm(x, norm)
    made.float().square().sum().backward()
    assert made.dtype == x.grad.dtype == torch.bfloat16
    assert norm.weight.grad.dtype == norm.bias.grad.dtype == torch.float32
    exact = two_steps(x.detach().float(), norm)
    torch.testing.assert_close(made.float(), exact, rtol=2**-7, atol=2**-7)


def test_weights_that_are_not_trained_get_no_gradient():
    norm = random_norm(1, 2).requires_grad_(False)
    x = torch.randn(1, 2, 3, 3, requires_grad=True)
    leaky_group_norm(x, norm).sum().backward()
    assert x.grad is not None
    assert norm.weight.grad is None


def kept(groups_norm: bool, kernels: tuple[int, ...]) -> int:
    config = SimVPConfig(
        frames_in=2, frames_out=2, hid_S=4, hid_T=16, N_S=2, N_T=1, groups=1, kernels=kernels, group_norm=groups_norm
    )
    return costs_of(SimVP(config), torch.rand(1, 2, 1, 16, 16), lambda y: y.square().mean()).memory


def test_a_branch_keeps_one_map_and_its_moments():
    # One more branch in each of the two blocks: what its convolution made, of 16 and of 8 channels at 8 x 8, and mean
    # and deviation of its one group.
    assert kept(True, (3, 5, 7)) - kept(True, (3, 5)) == 4 * ((16 + 8) * 8 * 8 + 2 * 2)


def test_without_normalisation_branches_are_summed_and_trained_too():
    torch.manual_seed(3)
    config = SimVPConfig(frames_in=2, frames_out=2, hid_S=4, hid_T=8, N_S=2, N_T=2, kernels=(3, 5, 7), group_norm=False)
    network = SimVP(config)
    network(torch.rand(2, 2, 1, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
