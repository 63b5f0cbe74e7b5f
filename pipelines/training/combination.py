"""What a training makes of base, network and baselines: how much the network corrects, and the weights of the mixture.

Everything here is decided on the validation blocks, by a base and baselines that were fitted on the training pieces
alone, as the network was. What is saved is fitted once more, on the whole reference, with the choices kept.

Letters: S states, L leads, N init times of validation, E experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from pipelines.progress import Progress, silent
from simvp.contract import FrameSpec
from simvp.coords import lead_times
from simvp.inference import BASE, CORRECTED, NETWORK, Forecaster, blended, labelled, truth_maps
from simvp.mixture import Mixture, gram_matrices, left_out_errors
from simvp.scoring import EXTRAPOLATION, SAYS, chosen_say, event_sums, rain_limits, sharpened

BATCH = 16  # init times at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Combination:
    """Correction and mixture, and what the validation says of them.

    Parameters
    ----------
    correction
        (S, L) part of the network's difference from the base that is taken, 0 to 1; None without a network.
    mixture
        None where it is switched off.
    rmse
        By state and system ("base", "network", "unmixed", "model" and each baseline), over all leads, every one of
        blocks that its coefficients, factors and weights were not fitted on. What is one choice for all (the strength
        of the ridge, whether a correction helps, how fast weights follow) is made on all blocks.
    correction_error
        (S, L) standard error of the correction over the blocks; None without a network.
    by_lead
        As `rmse`, for each lead: (S, L) by system.
    maps
        (S, L) that each of them is the mean of.
    sharp
        Of variables that are rain: how much say the model has in the order of its sharp forecast (`choose_says`).
    """

    correction: np.ndarray | None
    mixture: Mixture | None
    rmse: Mapping[str, Mapping[str, float]]
    correction_error: np.ndarray | None
    by_lead: Mapping[str, np.ndarray]
    maps: np.ndarray
    sharp: Mapping[str, float] = field(default_factory=dict)

    def table(self, spec: FrameSpec) -> xr.Dataset:
        """RMSE by lead and over all leads, as `pipelines.evaluation.skill_table` has it; without the bare network."""
        systems = ["model", *(name for name in self.by_lead if name not in ("model", NETWORK))]
        rmse = np.stack([self.by_lead[name] for name in systems])
        overall = [[self.rmse[state][name] for state in spec.states] for name in systems]
        dims = ("system", "variable", "lead_time")
        return xr.Dataset(
            {
                "rmse": (dims, rmse),
                "n": (dims, np.broadcast_to(self.maps[None, :, :], rmse.shape)),
                "rmse_all": (dims[:2], overall),
            },
            {
                "system": systems,
                "variable": list(spec.states),
                "units": ("variable", [channel.units for channel in spec.state_channels]),
                "lead_time": lead_times(spec.step, spec.frames_out),
            },
        )

    def to_json(self) -> dict[str, Any]:
        """What it says, rounded, as JSON."""
        maps = {"correction": self.correction, "correction_error": self.correction_error}
        found: dict[str, Any] = {n: np.round(values, 4).tolist() for n, values in maps.items() if values is not None}
        if self.mixture is not None:
            found["experts"] = list(self.mixture.experts)
            found["aggregation"] = self.mixture.aggregation.to_header()
            found["weights"] = np.round(self.mixture.prior, 4).tolist()
        if self.sharp:
            found["sharp"] = dict(self.sharp)
        found["rmse"] = {state: dict(scores) for state, scores in self.rmse.items()}
        found["rmse_by_lead"] = {
            state: {name: [float(f"{value:.4g}") for value in rows[number]] for name, rows in self.by_lead.items()}
            for number, state in enumerate(self.rmse)
        }
        return found


def validation_grams(
    forecaster: Forecaster, ds: xr.Dataset, init_times: np.ndarray, progress: Progress = silent
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of base, network and baselines, and the Gram matrices (S, L, N, E, E) of their errors.

    Parameters
    ----------
    forecaster
        Fitted without the validation blocks, and without a correction.
    ds
        The archive as far as it may be looked at.
    init_times
        (N,) rising.
    """
    spec, parts = forecaster.spec, []
    leads = spec.frames_out
    for start in range(0, len(init_times), BATCH):
        chosen = init_times[start : start + BATCH]
        _, maps = forecaster.experts(ds, chosen, leads)
        truth = truth_maps(spec, ds, chosen, leads)
        parts.append(gram_matrices(maps, truth, spec.weights, spec.mask))
        progress("combining", start + len(chosen), len(init_times))
    return tuple(maps), np.concatenate(parts).transpose(2, 1, 0, 3, 4)


def combine(
    names: tuple[str, ...],
    states: tuple[str, ...],
    grams: np.ndarray,
    inits: np.ndarray,
    blocks: np.ndarray,
    *,
    judged: np.ndarray | None = None,
    mixed: bool = True,
) -> Combination:
    """Correction and mixture from the errors on the validation blocks.

    Parameters
    ----------
    names, grams
        From `validation_grams`.
    states
        Names of the S states.
    inits, blocks
        (N,) init times in steps, and the block of each.
    judged
        (S, N, L) maps that count in the RMSE.
    mixed
        Whether there is a mixture.
    """
    correction = error = None
    if NETWORK in names:
        correction, error, left_out = _correction(grams, names.index(BASE), names.index(NETWORK), blocks)
        names, grams = _with_corrected(names, grams, left_out)
    mixture = Mixture.fit(names, grams, inits, blocks) if mixed else None
    losses = {name: grams[..., number, number] for number, name in enumerate(names) if name != CORRECTED}
    unmixed = names.index(CORRECTED if NETWORK in names else BASE)
    losses["unmixed"] = grams[..., unmixed, unmixed]
    losses["model"] = losses["unmixed"] if mixture is None else left_out_errors(mixture, grams, inits, blocks)
    count = np.ones(grams.shape[:3], bool) if judged is None else judged.transpose(0, 2, 1)
    rmse = {
        state: {name: _root_mean(loss[number][count[number]]) for name, loss in losses.items()}
        for number, state in enumerate(states)
    }
    by_lead = {
        name: np.array(
            [[_root_mean(loss[s, lead][count[s, lead]]) for lead in range(count.shape[1])] for s in range(len(loss))]
        )
        for name, loss in losses.items()
    }
    return Combination(
        correction=correction, mixture=mixture, rmse=rmse, correction_error=error, by_lead=by_lead, maps=count.sum(2)
    )


def choose_without(
    names: tuple[str, ...], grams: np.ndarray, inits: np.ndarray, blocks: np.ndarray, block: int, *, mixed: bool = True
) -> tuple[np.ndarray | None, Mixture | None]:
    """Correction (S, L) and mixture that all blocks but one would have chosen; None where there is none.

    Parameters
    ----------
    names, grams, inits, blocks, mixed
        As in `combine`; `block` is the one that has no part in it. Where one other is left its factor is taken as it
        is, since nothing can say whether it helps.
    """
    others = blocks != block
    grams, inits, blocks = grams[:, :, others], inits[others], blocks[others]
    correction = None
    if NETWORK in names:
        base, network = names.index(BASE), names.index(NETWORK)
        if len(np.unique(blocks)) > 1:
            correction, _, left_out = _correction(grams, base, network, blocks)
        else:
            correction = _factor(*(np.nansum(part, -1) for part in _products(grams, base, network)))
            left_out = np.broadcast_to(correction[..., None], grams.shape[:3])
        names, grams = _with_corrected(names, grams, left_out)
    return correction, Mixture.fit(names, grams, inits, blocks) if mixed else None


def choose_says(
    forecaster: Forecaster, ds: xr.Dataset, init_times: np.ndarray, blocks: np.ndarray, progress: Progress = silent
) -> dict[str, float]:
    """How much say the model has in the order of its sharp forecast, for each variable that is rain (`chosen_say`).

    Parameters
    ----------
    forecaster
        Fitted without the validation blocks, with correction and mixture.
    ds, init_times
        As in `validation_grams`.
    blocks
        (N,) block of each.
    """
    leads, moving, parts = forecaster.spec.frames_out, forecaster.baselines.moving, []
    for start in range(0, len(init_times), BATCH):
        chosen = init_times[start : start + BATCH]
        template, maps = forecaster.experts(ds, chosen, leads)
        weights = None if forecaster.mixture is None else forecaster.mixture.weights(len(chosen), leads)
        issued, moved = (
            labelled(template, values) for values in (blended(forecaster, maps, weights)[0], maps[EXTRAPOLATION])
        )
        rain = rain_limits(template, moving, forecaster.spec.step)
        contenders = {str(say): sharpened(issued, moved, dict.fromkeys(rain, say)) for say in SAYS}
        parts.append(event_sums(contenders, ds, rain, scales=(1,)).sum("lead_time"))
        progress("combining", start + len(chosen), len(init_times))
    counts = xr.concat(parts, "init_time").assign_coords(block=("init_time", blocks)).groupby("block").sum()
    return {str(name): chosen_say(counts.sel(thresholded=name)) for name in counts["thresholded"].values}


def _root_mean(squares: np.ndarray) -> float:
    """Root of the mean; NaN where some are not known, so that no two are of different maps."""
    return float(np.sqrt(squares.mean())) if squares.size else float("nan")


def _correction(
    grams: np.ndarray, base: int, network: int, blocks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors (S, L), their standard errors (S, L), and those that each init time's block had no part in, (S, L, N).

    Least squares of the truth less the base on the network less the base.
    """
    together, squares = _products(grams, base, network)
    names = np.unique(blocks)
    sums = [
        np.stack([np.nansum(part[..., blocks == b], -1) for b in names]) for part in (together, squares)
    ]  # (B, S, L)

    def factor(rows: np.ndarray) -> np.ndarray:
        return _factor(*(part[rows].sum(0) for part in sums))

    every = np.ones(len(names), bool)
    if len(names) < 2:
        none = np.zeros_like(sums[0][0])
        return none, none, np.zeros(together.shape)
    without = np.stack([factor(every & (np.arange(len(names)) != b)) for b in range(len(names))])  # (B, S, L)
    gains = 2 * without * sums[0] - without**2 * sums[1]
    helps = gains.sum(0) > 0
    error = np.sqrt((len(names) - 1) * without.var(0))  # jackknife over the blocks
    left_out = (without * helps)[np.searchsorted(names, blocks)]  # (N, S, L)
    return factor(every) * helps, error, left_out.transpose(1, 2, 0)


def _products(grams: np.ndarray, base: int, network: int) -> tuple[np.ndarray, np.ndarray]:
    """Of truth less base and network less base, and of the latter with itself, (S, L, N) both.

    All in Gram matrices: with errors e, y - b = -e_b and n - b = e_n - e_b.
    """
    together = grams[..., base, base] - grams[..., base, network]
    return together, together + grams[..., network, network] - grams[..., base, network]


def _factor(product: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Least squares, 0 to 1."""
    return np.clip(np.divide(product, square, out=np.zeros_like(square), where=square > 0), 0.0, 1.0)


def _with_corrected(
    names: tuple[str, ...], grams: np.ndarray, factor: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and Gram matrices with the corrected base beside the base: e_c = e_b + factor (e_n - e_b)."""
    base, network = names.index(BASE), names.index(NETWORK)
    rows = np.insert(np.eye(len(names)), base + 1, 0.0, axis=0)
    step = np.broadcast_to(rows, (*grams.shape[:-2], *rows.shape)).copy()
    step[..., base + 1, base], step[..., base + 1, network] = 1 - factor, factor
    made = step @ np.where(np.isfinite(grams), grams, 0.0) @ step.swapaxes(-1, -2)
    absent = np.insert(~np.isfinite(np.einsum("...ee->...e", grams)), base + 1, False, axis=-1)
    absent[..., base + 1] = absent[..., base] | absent[..., names.index(NETWORK) + 1]
    made[absent[..., :, None] | absent[..., None, :]] = np.nan
    return (*names[: base + 1], CORRECTED, *names[base + 1 :]), made
