"""What is made again for the backward pass: the same gradients to the bit, and nothing held in between."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipelines.benchmark.costs import costs_of
from simvp.networks.config import SimVPConfig
from simvp.networks.normalisation import leaky_group_norm
from simvp.networks.recompute import applied, first, joined
from simvp.networks.simvp import SimVP

LAYERS = {
    "convolution": lambda c: nn.Conv2d(c, 5, 3, padding=1),
    "strided": lambda c: nn.Conv2d(c, 5, 3, stride=2, padding=1),
    "transposed": lambda c: nn.ConvTranspose2d(c, 5, 3, stride=2, padding=1, output_padding=1),
}


def activated(seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    x = torch.randn(3, 4, 6, 7, requires_grad=True)
    norm = nn.GroupNorm(2, 4)
    nn.init.normal_(norm.weight)
    return x, leaky_group_norm(x, norm)


def forgotten(x: Tensor) -> Tensor:
    """The same tensor to autograd, without what recomputes it."""
    return x.view_as(x)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("low", [False, True])
def test_gradients_are_the_same_to_the_bit(name: str, low: bool):
    results = []
    for way in (lambda x: x, forgotten):
        (one, made), (other, beside) = activated(0), activated(1)
        layer = LAYERS[name](8)
        torch.manual_seed(2)
        nn.init.normal_(layer.weight)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            x = joined([way(first(made, 2)), way(first(beside, 2))])
            y = applied(layer, way(x))
        y.float().pow(3).sum().backward()
        results.append([y.detach(), one.grad, other.grad, layer.weight.grad])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.abs().max() > 0


@pytest.mark.parametrize("makes", [lambda x: x, lambda x: first(x, 2), lambda x: joined([x, x])])
def test_a_convolution_does_not_hold_what_can_be_made_again(makes: Callable[[Tensor], Tensor]):
    _, made = activated(0)
    x = makes(made)
    layer = nn.Conv2d(x.shape[1], 5, 3)
    held = layer(x)
    gone = weakref.ref(x)
    del x, made
    assert gone() is not None, "a plain convolution holds its input: else this test says nothing"
    del held

    _, made = activated(0)
    x = makes(made)
    y = applied(layer, x)
    gone = weakref.ref(x)
    del x, made
    assert gone() is None
    y.sum().backward()
    assert layer.weight.grad.abs().max() > 0


def test_without_a_gradient_nothing_is_remembered():
    with torch.no_grad():
        _, made = activated(0)
        again = joined([made, first(made, 3)])
    assert not made.__dict__
    assert not again.__dict__


def test_a_map_that_was_written_to_is_kept_itself():
    _, made = activated(0)
    made += 1
    layer = nn.Conv2d(4, 5, 3)
    applied(layer, made).pow(2).sum().backward()
    ours = layer.weight.grad.clone()
    layer.zero_grad()
    layer(forgotten(activated(0)[1] + 1)).pow(2).sum().backward()
    assert torch.equal(ours, layer.weight.grad)


def test_every_block_keeps_one_map():
    """By hand: two frames of 16 x 16, four channels, so 1,024 values a map at full size and 256 at half."""
    sizes = {"frames_in": 2, "frames_out": 2, "hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 1, "groups": 1}
    network = SimVP(SimVPConfig(**sizes, kernels=(3,)))
    encoder = 2 * (256 + 1024 + 256)  # input, what the two convolutions make
    translator = 2 * 256 + (8 + 16) * 64 + (8 + 8) * 64  # input; squeezed and branch, down and up
    decoder = 2 * (256 + 1024 + 1024)  # input, what the two convolutions make
    moments = 4 * 2 * (2 + 2) + 2 * (1 + 1)
    memory = costs_of(network, torch.rand(1, 2, 1, 16, 16), torch.sum).memory
    assert memory == 4 * (encoder + translator + decoder + moments)
