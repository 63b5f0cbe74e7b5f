"""Costs against counts by hand."""

import torch
from torch import nn

from pipelines.benchmark.costs import costs_of
from simvp.networks.config import SimVPConfig
from simvp.networks.simvp import SimVP


def mean_square(y: torch.Tensor) -> torch.Tensor:
    return (y**2).mean()


class Folded(nn.Module):
    """One convolution, normalisation and ReLU on frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x.flatten(0, 1)))).unflatten(0, x.shape[:2])


def test_counts_by_hand() -> None:
    network = Folded()
    costs = costs_of(network, torch.rand(1, 3, 2, 8, 10), mean_square)
    assert costs.parameters == 4 * 2 * 9 + 4 + 4 + 4
    assert costs.multiply_adds == 3 * (8 * 10) * 4 * 2 * 9
    # Kept for the way back: the input, the convolution's output, and ReLU's, of which the square is the last user.
    frame = 3 * 8 * 10 * 4
    assert costs.memory == frame * 2 + frame * 4 + frame * 4


def test_the_network_stays_as_it_was() -> None:
    network = Folded().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    costs_of(network, torch.rand(1, 3, 2, 8, 10), mean_square)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in network.parameters())


def test_multiply_adds_are_those_that_are_published() -> None:
    with torch.device("meta"):
        network = SimVP(SimVPConfig(hid_T=512))
        x = torch.empty(1, 10, 1, 64, 64)
    assert round(costs_of(network, x, mean_square).multiply_adds / 1e9, 1) == 19.4  # OpenSTL, model zoo
