"""What the gridded pipeline trains: the best linear guess, and SimVP for what the guess does not know.

Frames are departures from a climatology over one standard deviation (`simvp.contract.frame_spec`). For each state and
lead the forecast is

    a * last frame + b * the frame one cycle before the valid time + residual scale * SimVP(all frames)

with `a` and `b` fitted to the training windows in closed form (`GriddedSimVP.fit_mix`) and the residual scale the
RMSE of that blend there. SimVP's readout starts at zero, so training starts at the blend and moves away from it only
where that pays. Why this generalises from a few hundred overlapping windows, which hold a few dozen independent ones:

* Persistence and yesterday's cycle are most of the skill, and two numbers a lead say them. A network that has to
  rebuild the fields from its own features spends its capacity, and its overfitting, on that.
* The residual scale is small at the first leads, where the blend is nearly right: there the network is bound to be
  careful, while one readout serves all leads with outputs of the same size.
* The climatology was estimated from the same few weeks, and the season moves on: later data may lie off it, as a
  whole and in its gradients, and clear spring days swing more than the mean day of a stormy month. In training every
  window therefore drifts, inputs and target alike: by a random offset, a random plane, and a random multiple of the
  climatology's own cycle. The network learns to read level and swing off its inputs, and to trust the climatology only
  as far as that held under such drifts. By how much is a question to the data: on hourly 2 m temperature (trained on 20
  days, validated on 4 others, one seed) a swing of 0, 0.25 and 0.5 gave an RMSE of 1.18, 1.14 and 1.10 K, and on
  traffic (35 days) windows that drift, tilt or swing only cost (`pipelines.windows.shifts` asks).

In training mode the forecast of a drifted window is shifted back inside `forward`, so that the loss sees the target
that it knows.

Shape letters: B batch, T frames in, T' frames out, C channels, S states (the first S channels), H rows, W columns.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from simvp.draws import drawn
from simvp.errors import ConfigError, ContractError
from simvp.networks.blend import BlendMoments, Moments, Shifts
from simvp.networks.config import SimVPConfig, Sizes
from simvp.networks.simvp import SimVP


class GriddedConfig(Sizes):
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
    drift, tilt
        Standard deviations of what shifts a training window: an offset, and at the grid's edge planes that slope
        along rows and along columns. In standard deviations of the departures.
    swing
        Standard deviation of the multiple of the climatology's seasonal cycle that is added to a training window.

    Raises
    ------
    ConfigError
        With every value that does not fit.
    """

    subject: ClassVar[str] = "Network for gridded data"

    network: SimVPConfig = Field(strict=False)  # plain values in JSON
    states: int
    lag: int | None = None
    drift: float = 0.5
    tilt: float = 0.3
    swing: float = 0.5

    @property
    def shifts(self) -> Shifts:
        """By how much windows shift in training."""
        return Shifts(drift=self.drift, tilt=self.tilt, swing=self.swing)

    @model_validator(mode="after")
    def _check(self) -> Self:
        network, reasons = self.network, []
        if not 1 <= self.states <= network.channels_in:
            most = f"channels_in = {network.channels_in}, the states being the first channels"
            reasons.append(f"states: expected 1 to {most}, got {self.states}")
        if network.channels_out != self.states:
            reasons.append(f"channels_out: expected one for each of {self.states} states, got {network.channels_out}")
        if network.frames_out > network.frames_in:
            reasons.append(f"frames_out: expected at most frames_in = {network.frames_in}, got {network.frames_out}")
        if self.lag is not None and not 1 <= self.lag <= network.frames_in:
            reasons.append(f"lag: expected 1 to frames_in = {network.frames_in} or None, got {self.lag}")
        reasons += [
            f"{name}: expected 0 or more, got {getattr(self, name)}"
            for name in ("drift", "tilt", "swing")
            if not 0 <= getattr(self, name) < float("inf")
        ]
        if reasons:
            raise ConfigError(self.subject, reasons)
        return self


class GriddedSimVP(nn.Module):
    """Blend of last frame and last cycle, corrected by SimVP: (B, T, C, H, W) -> (B, T', S, H, W).

    Both sides are normalised departures. New, it forecasts zero, the climatology; after `fit_mix` it is the best
    blend, exactly, until it is trained.

    Attributes
    ----------
    config : GriddedConfig
    mix : Parameter
        (K, T', S) weights of the K = 2 terms (1 without a lag): last frame, frame one cycle before the valid time.
    residual_scale : Tensor
        (T', S) size of the correction.
    """

    spread: Tensor  # the residual scale, under its name in saved models

    def __init__(self, config: GriddedConfig) -> None:
        super().__init__()
        self.config = config
        leads, terms = config.network.frames_out, 1 if config.lag is None else 2
        self.network = SimVP(config.network)
        # The correction begins at zero, whatever the readout reads: training starts at the blend.
        for parameter in self.network.decoder.readout.parameters():
            nn.init.zeros_(parameter)
        self.mix = nn.Parameter(torch.zeros(terms, leads, config.states))
        self.register_buffer("spread", torch.ones(leads, config.states))

    @property
    def residual_scale(self) -> Tensor:
        return self.spread

    def forward(self, x: Tensor, cycle: Tensor | None = None) -> Tensor:
        """Forecast of a batch.

        Parameters
        ----------
        x
            (B, T, C, H, W) departures and further channels.
        cycle
            (B, T + T', S, H, W), read in training mode only: the climatology at the times of inputs and targets
            less its mean over all its maps, in units of the departures, 0 where masked; None: it has no cycle.

        Returns
        -------
        Tensor
            (B, T', S, H, W) departures.

        Raises
        ------
        ContractError
            For another number of frames or channels.
        """
        network = self.config.network
        if x.ndim != 5 or tuple(x.shape[1:3]) != (network.frames_in, network.channels_in):
            expected = f"(B, {network.frames_in}, {network.channels_in}, H, W)"
            raise ContractError("Input", [f"shape: expected {expected}, got {tuple(x.shape)}"])
        if not self.training:
            return self._forecast(x)
        T, S = network.frames_in, self.config.states
        states = x[:, :, :S]  # (B, T, S, H, W)
        shift = self._shift(x, cycle)  # (B, T + T', S, H, W), or one frame for all
        shift = shift * (states != 0).any(dim=1, keepdim=True)  # masked points are 0 and stay it
        before, after = (shift, shift) if shift.shape[1] == 1 else (shift[:, :T], shift[:, T:])
        # Shifted there and back: the loss sees the target of the window as it was.
        return self._forecast(torch.cat([states + before, x[:, :, S:]], dim=2)) - after

    def _shift(self, x: Tensor, cycle: Tensor | None) -> Tensor:
        """How far each window drifts."""

        def normal() -> Tensor:
            shape = 1, self.config.states, 1, 1
            return drawn(len(x), lambda count: torch.randn(count, *shape, device=x.device, dtype=x.dtype))

        rows, columns = _planes(*x.shape[-2:])
        shift = self.config.drift * normal()
        shift = shift + self.config.tilt * (normal() * rows.to(x) + normal() * columns.to(x))
        return shift if cycle is None else shift + self.config.swing * normal() * cycle.to(x)

    def _forecast(self, x: Tensor) -> Tensor:
        blend = torch.einsum("kls,bklshw->blshw", self.mix, self._terms(x))
        return blend + self.residual_scale[:, :, None, None] * self.network(x)  # (B, T', S, H, W)

    def _terms(self, x: Tensor) -> Tensor:
        """What the blend is made of, (B, K, T', S, H, W)."""
        (L, S), T, lag = self.residual_scale.shape, self.config.network.frames_in, self.config.lag
        states = x[:, :, :S]
        terms = [states[:, -1:].expand(-1, L, -1, -1, -1)]  # (B, T', S, H, W), each lead the last frame
        if lag is not None:
            # A lead beyond one cycle takes the same phase of the last cycle.
            terms.append(states[:, [T - lag + lead % lag for lead in range(L)]])
        return torch.stack(terms, dim=1)

    @torch.no_grad()
    def fit_mix(self, batches: Iterable[Sequence[Tensor]], weights: Tensor) -> None:
        """Set `mix` to the least-squares blend of training windows, and the residual scale to its RMSE there.

        The normal equations are those of windows that shift (:mod:`simvp.networks.blend`).

        Parameters
        ----------
        batches
            (x (B, T, C, H, W), y (B, T', S, H, W), mask (S, H, W) or as y) and, where there is one, `cycle` as in
            `forward`; each window once. Points where the mask is 0 do not count.
        weights
            (H, W) area weights.

        Raises
        ------
        ConfigError
            If there is no window.
        """
        moments = self._moments(batches, weights).shifted(self.config.shifts)
        blend = moments.blend()  # (T', S, K)
        self.mix.copy_(torch.from_numpy(blend).movedim(-1, 0))
        self.residual_scale.copy_(torch.from_numpy(moments.error(blend)).sqrt())

    def _moments(self, batches: Iterable[Sequence[Tensor]], weights: Tensor) -> BlendMoments:
        T, leads, states, terms = self.config.network.frames_in, *self.residual_scale.shape, len(self.mix)
        shapes = (leads, states, terms, terms), (leads, states, terms), (leads, states)
        sums = [[torch.zeros(shape, dtype=torch.float64) for shape in shapes] for _ in range(2)]
        count = 0
        for x, y, mask, *cycle in batches:
            share = (mask * weights).double()
            share = (share / share.sum(dim=(-2, -1), keepdim=True)).cpu()  # sums to one over each map
            at = "shw" if share.ndim == 3 else "blshw"
            pairs = [(x, y), *((c[:, :T], c[:, T:]) for c in cycle)]
            for (products, with_target, squares), (inputs, target) in zip(sums, pairs, strict=False):
                z, y = self._terms(inputs).double().cpu(), target.double().cpu()
                products += torch.einsum(f"bklshw,bjlshw,{at}->lskj", z, z, share)
                with_target += torch.einsum(f"bklshw,blshw,{at}->lsk", z, y, share)
                squares += torch.einsum(f"blshw,blshw,{at}->ls", y, y, share)
            count += len(x)
        if not count:
            raise ConfigError("Fit of the blend", ["expected training windows, got none"])
        rows, columns = _planes(*x.shape[-2:])
        share = share.reshape(-1, *share.shape[-3:]).mean(0)  # of the last batch; (S, H, W)
        slopes = (share * (rows**2 + columns**2)).sum(dim=(-2, -1))  # (S,), mean square of both at tilt 1
        windows, swings = (Moments(*((total / count).numpy() for total in part)) for part in sums)
        return BlendMoments(windows=windows, cycle=swings, slopes=slopes.numpy())


def _planes(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Slopes along rows (H, 1) and along columns (1, W), from -1 to 1 (0 where there is one only)."""
    down = torch.linspace(-1, 1, rows) if rows > 1 else torch.zeros(1)
    along = torch.linspace(-1, 1, columns) if columns > 1 else torch.zeros(1)
    return down[:, None], along[None, :]
