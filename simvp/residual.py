"""What the gridded pipeline trains: the best linear guess, and SimVP for what the guess does not know.

Frames are departures from a climatology over one standard deviation (`simvp.contract`). For each state and lead
the forecast is

    a * last frame + b * the frame one cycle before the valid time + spread * SimVP(all frames)

with `a` and `b` fitted to the training windows in closed form (`GriddedSimVP.fit_mix`) and `spread` the RMSE which
that blend has there. SimVP's readout starts at zero, so training starts at the blend and moves away from it only
where that pays. Why this generalises from a few hundred overlapping windows, which hold a few dozen independent ones:

* Persistence and yesterday's rhythm are most of the skill, and two numbers a lead say them. A network that has to
  rebuild the fields from its own features spends its capacity, and its overfitting, on that.
* `spread` is small at the first leads, where the blend is nearly right: there the network is bound to be careful,
  while one readout serves all leads with outputs of the same size.
* The climatology was estimated from the same few weeks and the season moves on, so later data lie off it, as a
  whole, by about as much as they vary inside the training period. In training every window is therefore shifted by
  a random offset, inputs and target alike (`drift`): the network learns to take the level from its inputs, and to
  fall back on the climatology only as far as that held under such shifts. In training mode the forecast of a shifted
  window is shifted back inside `forward`, so that the loss sees the target it knows.

Shape letters: B batch, T frames in, T' frames out, C channels, S states (the first S channels), H rows, W columns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from simvp.errors import ConfigError, ContractError
from simvp.model import SimVP, SimVPConfig, refuse_unknown_keys

# Widths and depths of the correction. A few hundred windows feed "small"; "paper" is for years of frames.
SIZES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {"hid_S": 8, "hid_T": 32, "N_S": 4, "N_T": 2, "kernels": (3, 5)},
    "small": {"hid_S": 8, "hid_T": 64, "N_S": 4, "N_T": 2, "kernels": (3, 5, 7)},
    "base": {"hid_S": 16, "hid_T": 128, "N_S": 4, "N_T": 3, "kernels": (3, 5, 7, 11)},
    "paper": {"hid_S": 64, "hid_T": 256, "N_S": 4, "N_T": 8, "kernels": (3, 5, 7, 11)},
}


@dataclass(frozen=True, kw_only=True)
class GriddedConfig:
    """Sizes of :class:`GriddedSimVP`.

    Parameters
    ----------
    network
        Of the correction: channels_in is C, channels_out S, frames_out at most frames_in (a longer forecast is
        rolled out by the forecaster, which knows the forcings of the valid times).
    states
        S.
    lag
        Frames of the cycle whose last turn enters the blend, at most T; None: no such term.
    drift
        Standard deviation of the offset that shifts a training window, in standard deviations of the departures.

    Raises
    ------
    ConfigError
        With every value that does not fit.
    """

    network: SimVPConfig
    states: int
    lag: int | None = None
    drift: float = 0.5

    def __post_init__(self) -> None:
        network, reasons = self.network, []
        if not 1 <= self.states <= network.channels_in:
            reasons.append(
                f"states: expected 1 to channels_in = {network.channels_in}, the states being the first channels, "
                f"got {self.states}"
            )
        if network.channels_out != self.states:
            reasons.append(f"channels_out: expected one for each of {self.states} states, got {network.channels_out}")
        if network.frames_out > network.frames_in:
            reasons.append(f"frames_out: expected at most frames_in = {network.frames_in}, got {network.frames_out}")
        if self.lag is not None and not 1 <= self.lag <= network.frames_in:
            reasons.append(f"lag: expected 1 to frames_in = {network.frames_in} or None, got {self.lag}")
        if not 0 <= self.drift < float("inf"):
            reasons.append(f"drift: expected 0 or more, got {self.drift}")
        if reasons:
            raise ConfigError("Network for gridded data", reasons, "change the named sizes")

    @classmethod
    def sized(
        cls, size: str, *, frames_in: int, frames_out: int, channels: int, states: int, lag: int | None
    ) -> "GriddedConfig":
        """Config of one of `SIZES` for the frames of a contract; ConfigError for another size."""
        if size not in SIZES:
            raise ConfigError("Network for gridded data", [f"size: expected one of {', '.join(SIZES)}, got {size!r}"])
        network = SimVPConfig(
            frames_in=frames_in, frames_out=frames_out, channels_in=channels, channels_out=states, **SIZES[size]
        )
        return cls(network=network, states=states, lag=lag)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` gives the equal config back."""
        return {
            "network": self.network.to_dict(),
            "states": self.states,
            "lag": self.lag,
            "drift": self.drift,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GriddedConfig":
        """Config of plain values; an unknown key raises ConfigError."""
        refuse_unknown_keys("Network for gridded data", cls, values)
        return cls(**{**values, "network": SimVPConfig.from_dict(values["network"])})


class GriddedSimVP(nn.Module):
    """Blend of last frame and last cycle, corrected by SimVP: (B, T, C, H, W) -> (B, T', S, H, W).

    Both sides are normalised departures. New, it forecasts zero, the climatology; after `fit_mix` it is the best
    blend, exactly, until it is trained.

    Attributes
    ----------
    config : GriddedConfig
    mix : Parameter
        (K, T', S) weights of the K = 2 terms (1 without a lag): last frame, frame one cycle before the valid time.
    spread : Tensor
        (T', S) size of the correction.
    """

    spread: Tensor

    def __init__(self, config: GriddedConfig) -> None:
        super().__init__()
        self.config = config
        leads, terms = config.network.frames_out, 1 if config.lag is None else 2
        self.network = SimVP(config.network)
        nn.init.zeros_(self.network.decoder.readout.weight)
        if self.network.decoder.readout.bias is not None:
            nn.init.zeros_(self.network.decoder.readout.bias)
        self.mix = nn.Parameter(torch.zeros(terms, leads, config.states))
        self.register_buffer("spread", torch.ones(leads, config.states))

    def forward(self, x: Tensor) -> Tensor:
        """Forecast of departures x (B, T, C, H, W): (B, T', S, H, W); ContractError for another T or C."""
        network = self.config.network
        if x.ndim != 5 or tuple(x.shape[1:3]) != (network.frames_in, network.channels_in):
            expected = f"(B, {network.frames_in}, {network.channels_in}, H, W)"
            raise ContractError("Input", [f"shape: expected {expected}, got {tuple(x.shape)}"])
        if not (self.training and self.config.drift):
            return self._forecast(x)
        S = self.config.states
        offset = self.config.drift * torch.randn(len(x), 1, S, 1, 1, device=x.device, dtype=x.dtype)
        offset = offset * (x[:, :, :S] != 0).any(dim=1, keepdim=True)  # masked points are 0 and stay it
        return self._forecast(torch.cat([x[:, :, :S] + offset, x[:, :, S:]], dim=2)) - offset

    def _forecast(self, x: Tensor) -> Tensor:
        blend = torch.einsum("kls,bklshw->blshw", self.mix, self._terms(x))
        return blend + self.spread[:, :, None, None] * self.network(x)  # (B, T', S, H, W)

    def _terms(self, x: Tensor) -> Tensor:
        """What the blend is made of, (B, K, T', S, H, W)."""
        T, L, S, lag = self.config.network.frames_in, len(self.spread), self.config.states, self.config.lag
        states = x[:, :, :S]
        terms = [states[:, -1:].expand(-1, L, -1, -1, -1)]
        if lag is not None:
            # A lead beyond one cycle takes the same phase of the last cycle.
            terms.append(states[:, [T - lag + lead % lag for lead in range(L)]])
        return torch.stack(terms, dim=1)

    @torch.no_grad()
    def fit_mix(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]], weights: Tensor) -> None:
        """Set `mix` to the least-squares blend of training windows, and `spread` to its RMSE there.

        The normal equations are those of windows that drift: a shift by an offset o of variance drift**2 adds
        drift**2 to each product of two terms and of a term with the target. So the weights sum to nearly one where
        drift is large, and are free where it is zero.

        Parameters
        ----------
        batches
            (x (B, T, C, H, W), y (B, T', S, H, W), mask (S, H, W)), normalised departures; each window once. Points
            where the mask is 0 do not count.
        weights
            (H, W) area weights.

        Raises
        ------
        ConfigError
            If there is no window.
        """
        leads, states, terms = *self.spread.shape, len(self.mix)
        products = torch.zeros(leads, states, terms, terms, dtype=torch.float64)
        with_target = torch.zeros(leads, states, terms, dtype=torch.float64)
        squares = torch.zeros(leads, states, dtype=torch.float64)
        count = 0
        for x, y, mask in batches:
            share = (mask * weights).double()
            share = (share / share.sum(dim=(-2, -1), keepdim=True)).cpu()  # (S, H, W), sums to one over each map
            z, y = self._terms(x).double().cpu(), y.double().cpu()
            products += torch.einsum("bklshw,bjlshw,shw->lskj", z, z, share)
            with_target += torch.einsum("bklshw,blshw,shw->lsk", z, y, share)
            squares += torch.einsum("blshw,blshw,shw->ls", y, y, share)
            count += len(x)
        if not count:
            raise ConfigError("Fit of the blend", ["expected training windows, got none"])
        shift = self.config.drift**2
        products, with_target, squares = products / count + shift, with_target / count + shift, squares / count + shift
        # A state that never departs from its climatology has no unique weights; the smallest are zero.
        mix = torch.linalg.pinv(products, hermitian=True) @ with_target[..., None]  # (T', S, K, 1)
        error = squares - (mix[..., 0] * with_target).sum(-1)
        self.mix.copy_(mix[..., 0].movedim(-1, 0))
        self.spread.copy_(error.clamp(min=0.0).sqrt())
