"""Convolution by way of spectra: the convolution of torch, with its gradients, where it pays."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from simvp.networks import fourier
from simvp.networks.fourier import convolved, pays

PUBLISHED = {"groups": 8, "i": 32, "o": 64}


def layer(kernel: int, groups: int = 2, i: int = 3, o: int = 4, dtype: torch.dtype = torch.float64) -> nn.Conv2d:
    made = nn.Conv2d(groups * i, groups * o, kernel, padding=kernel // 2, groups=groups, dtype=dtype)
    return made.to(memory_format=torch.channels_last)


def by_spectra(conv: nn.Conv2d, x: Tensor) -> Tensor:
    with mock.patch.object(fourier, "pays", return_value=True):
        return convolved(conv, x)


def results(way, conv: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """Output, and gradients of input, kernels and bias for a loss that weighs every value differently."""
    leaf = x.clone().requires_grad_()
    conv.zero_grad()
    y = way(conv, leaf)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), leaf.grad, conv.weight.grad.clone(), conv.bias.grad.clone()]


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    kernel=st.sampled_from([1, 3, 5, 7, 11]),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    at_once=st.sampled_from([1, 6, 1 << 10]),
)
def test_values_and_gradients_are_those_of_a_convolution(batch, rows, columns, kernel, groups, channels, at_once):
    torch.manual_seed(0)
    conv = layer(kernel, groups, *channels)
    x = torch.randn(batch, groups * channels[0], rows, columns, dtype=torch.float64)
    ways = (by_spectra, lambda conv, x: conv(x))
    with mock.patch.object(fourier, "AT_ONCE", at_once):
        made = [results(way, conv, x) for way in ways]
    for ours, theirs in zip(*made, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_a_kernel_of_one_tap_shifts_the_map_and_nothing_comes_round():
    # The corner tap of a 5 x 5 kernel looks two rows up and two columns left, where above the map there is nothing.
    conv = layer(5, groups=1, i=1, o=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] = 1
    x = torch.arange(1.0, 13.0, dtype=torch.float64).view(1, 1, 3, 4)
    expected = torch.tensor([[0.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2]], dtype=torch.float64)
    torch.testing.assert_close(by_spectra(conv, x)[0, 0], expected, rtol=0, atol=1e-12)


def test_gradients_are_slopes():
    torch.manual_seed(1)
    conv = layer(5, groups=2, i=1, o=2)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: fourier._FourierConvolution.apply(x, weight, 2), (x, conv.weight))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-6), (torch.bfloat16, 0.01)])
def test_rounding_is_small_beside_the_values(dtype, most):
    torch.manual_seed(2)
    exact_layer = layer(11, **PUBLISHED)
    low = layer(11, **PUBLISHED, dtype=torch.float32)
    low.load_state_dict(exact_layer.state_dict())
    x = torch.randn(2, 256, 16, 16).add(0.3).to(dtype)
    exact = results(lambda conv, x: conv(x), exact_layer, x.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        made = results(by_spectra, low, x)
    assert [one.dtype for one in made] == [dtype, dtype, torch.float32, torch.float32]
    for ours, theirs in zip(made, exact, strict=True):
        assert float((ours.double() - theirs).norm() / theirs.norm()) < most


def channels_of(k: int, i: int, o: int, groups: int = 8) -> nn.Conv2d:
    return nn.Conv2d(groups * i, groups * o, k, padding=k // 2, groups=groups, device="meta")


@pytest.mark.parametrize(
    ("kernel", "i", "o", "batch", "size", "expected"),
    [
        # The published network: 4 * 256 * 121 = 124e3 against 441 * (120 + 4 * (1 / 32 + 1 / 64) * 544) = 98e3.
        (11, 32, 64, 4, (16, 16), True),
        (11, 32, 64, 2, (16, 16), False),
        (7, 32, 64, 16, (16, 16), True),
        (7, 32, 64, 8, (16, 16), False),
        (5, 32, 64, 16, (16, 16), False),
        # Small groups are mostly transforms of maps: 496e3 against 441 * (120 + 16 * (1 / 8 + 1 / 16) * 544) = 773e3.
        (11, 8, 16, 16, (16, 16), False),
        (11, 64, 128, 16, (32, 32), True),
        # Large maps take longer: 4 * 96**2 * 121 = 4.5e6 against 101**2 * (120 + 4 * (1 / 16 + 1 / 32) * 864) = 4.5e6.
        (11, 16, 32, 4, (96, 96), False),
        (11, 16, 32, 4, (48, 48), True),
    ],
)
def test_it_is_taken_where_it_was_measured_to_pay(kernel, i, o, batch, size, expected):
    conv, x = channels_of(kernel, i, o), torch.empty(1).expand(batch, 8 * i, *size)
    assert pays(conv, x) is expected
    with torch.no_grad():
        assert not pays(conv, x)


def test_a_forecast_does_not_depend_on_how_many_are_made_at_once():
    torch.manual_seed(3)
    conv = layer(11, **PUBLISHED, dtype=torch.float32)
    x = torch.randn(8, 256, 16, 16)
    with torch.no_grad():
        assert torch.equal(convolved(conv, x), conv(x))
    assert not torch.equal(convolved(conv, x), conv(x))  # in training it is the other way
