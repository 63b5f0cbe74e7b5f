"""Small models with random weights, for the tests of what surrounds a network."""

from typing import Any, cast

import torch
import xarray as xr

from simvp.contract.frame_spec import FrameSpec
from simvp.inference.forecaster import Forecaster
from simvp.networks.config import SimVPConfig
from simvp.networks.gridded import GriddedConfig, GriddedSimVP
from simvp.scoring.baselines import Baselines


def spec_of(ds: xr.Dataset, frames_in: int, frames_out: int) -> FrameSpec:
    """Contract fitted on all of a world."""
    times = ds["time"].values
    return FrameSpec.fit(ds, frames_in=frames_in, frames_out=frames_out, train=[(times[0], times[-1])])


def with_network(spec: FrameSpec, network: torch.nn.Module, ds: xr.Dataset, **provenance: str) -> Forecaster:
    """Forecaster around any network, its baselines fitted on all of a world."""
    times = ds["time"].values
    baselines = Baselines.fit(
        ds,
        variables=spec.states,
        step=spec.step,
        cycle=spec.cycle,
        leads=3,
        period=[(times[0], times[-1])],
        weights=spec.weights,
    )
    return Forecaster(spec=spec, network=cast(Any, network), baselines=baselines, provenance=provenance)


def small_forecaster(
    ds: xr.Dataset, *, frames_in: int = 8, frames_out: int = 3, seed: int = 0, **provenance: str
) -> Forecaster:
    """The gridded network, as small as it gets, with random weights that depend on the seed alone."""
    spec = spec_of(ds, frames_in, frames_out)
    sizes = SimVPConfig(
        frames_in=frames_in,
        frames_out=frames_out,
        channels_in=spec.n_channels,
        channels_out=spec.n_states,
        hid_S=4,
        hid_T=8,
        N_S=2,
        N_T=2,
        groups=1,
        kernels=(3, 5),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GriddedSimVP(GriddedConfig(network=sizes, states=spec.n_states, lag=spec.lag))
        with torch.no_grad():  # a new one forecasts zero, whatever its input
            for weights in network.parameters():
                weights.normal_(0.0, 0.2)
            network.residual_scale.fill_(0.1)
    return with_network(spec, network, ds, **provenance)
