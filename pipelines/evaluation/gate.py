"""The gate: is a challenger better than every baseline and the champion, by a test that small samples cannot fool?

Forecasts of neighbouring init times share frames and weather, so 157 hourly init times are not 157 pieces of
evidence. They are cut into blocks longer than T + T' steps, so that two blocks apart share no frame, and only the
blocks count. Per variable the squared error is averaged over the leads and paired by init time; the lower bound
of the mean improvement has to be above zero, and no single lead may be worse than the reference by more than a
margin.

The score may be another one (`Gate.score`), by the same test. With "crps" it is the CRPS of the members, beside the
absolute error of a reference that is a single forecast, which is its CRPS. With "csi" it is 1 - CSI at a threshold, of
the forecast that is meant for it (sharp, where something moves): a ratio of sums over init times, of which the test
takes the linearised value of each (`_csi_losses`), as for any ratio (Efron and Tibshirani 1993, chapter 21).

The bound is the lower of two: a studentised block bootstrap, and Student's t on the block means. With few blocks
the plain percentile bootstrap is far too generous. Where there are more blocks than the minimum, they are made
longer first (up to twice as long) and more numerous after that, since neighbouring blocks are not quite
independent either.

docs/gate.md measures by simulation how often it errs and what it finds, beside the stationary bootstrap, the tests of
Diebold and Mariano and equal-weighted cosines. Equal skill is called better in 8 to 12 % of cases where 10 % is
nominal, and nearer to 10 % in the mean than by any of those; at equal size none of them finds clearly more.

What is needed for a verdict and not there is said in days and as a date (`pipelines.evaluation.shortfall`).
"""

from typing import ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from pipelines.evaluation.bootstrap import MOST_BLOCKS, cut_blocks, lower_bound, missing_steps
from pipelines.evaluation.shortfall import shortfall
from pipelines.evaluation.verdict import PARTS, Beside, Comparison, Outcome, Verdict, percent, shown
from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.scoring import NAMES, outcomes
from simvp.settings import Settings

SHOWN = {"rmse": "RMSE", "crps": "CRPS", "csi": "1 - CSI"}
"""Scores as verdicts name them."""

_NO_RIVALS = ("model", *PARTS)


class Gate(Settings):
    """What a challenger has to show."""

    subject: ClassVar[str] = "Gate"

    score: Literal["rmse", "crps", "csi"] = Field(
        default="rmse",
        description="by what is judged: rmse; crps of the members beside the error of single forecasts; or csi at a "
        "threshold",
    )
    threshold: float | None = Field(
        default=None, description="of the score csi, one of the thresholds of each variable; the lowest by default"
    )
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0, description="level of the one-sided lower bound")
    margin: float = Field(
        default=0.05, ge=0.0, lt=1.0, description="share by which the RMSE at a single lead may exceed the reference's"
    )
    blocks: int = Field(default=5, ge=5, le=MOST_BLOCKS, description="fewest independent blocks that are judged")
    draws: int = Field(default=4000, ge=500, description="bootstrap draws")
    seed: int = Field(default=0, ge=0, description="seed of the draws: the same errors give the same verdict")


def decide(
    challenger: xr.Dataset,
    champion: xr.Dataset | None = None,
    *,
    step: Step,
    frames_in: int,
    frames_out: int,
    gate: Gate | None = None,
    archive: int | None = None,
) -> Verdict:
    """Judge a challenger by its errors.

    Parameters
    ----------
    challenger
        From `pipelines.evaluation.evaluate`: `squared_error` with dims (system, variable, init_time, lead_time),
        the systems being "model", the five baselines, further references if there are any, and any of `PARTS`.
    champion
        The same of the champion, for the same init times and leads; None where there is no champion yet. A
        variable that the champion does not forecast is compared with the baselines alone.
    step
        Step of the series: blocks are cut along time, not along the list of init times.
    frames_in, frames_out
        T and T', of the longer of the two models.
    gate
        What has to be shown.
    archive
        Frames that the archive spans, for what is said where the blocks are too few.

    Raises
    ------
    ConfigError
        If the two were scored on other init times, leads or variables, or no init time was scored.
    """
    gate = gate or Gate()
    length = frames_in + frames_out + 1
    faults = _faults(challenger, champion, gate)
    if faults:
        raise ConfigError("Gate", faults, "score both models on the same init times and leads")
    index = step.index(challenger["init_time"].values, challenger["init_time"].values[0])
    systems = [str(name) for name in challenger["system"].values]
    comparisons, beside = [], []
    for variable in challenger["variable"].values:
        errors = _losses(challenger, str(variable), gate).transpose("system", "init_time", "lead_time")
        model = errors.sel(system="model").values
        references = {n: errors.sel(system=n).values for n in errors["system"].values.tolist() if n not in _NO_RIVALS}
        parts = [name for name in systems if name in PARTS]
        squared = challenger["squared_error"].sel(variable=variable).transpose("system", "init_time", "lead_time")
        whole = squared.sel(system="model").values
        beside += [
            part for name in parts if (part := _beside(str(variable), name, whole, squared.sel(system=name).values))
        ]
        if champion is not None and variable in champion["variable"].values:
            rival = _losses(champion, str(variable), gate).sel(system="model")
            references["champion"] = rival.transpose("init_time", "lead_time").values
        comparisons += [
            _compare(str(variable), name, model, reference, index, length, gate)
            for name, reference in references.items()
        ]
    fewest = min(comparisons, key=lambda c: (c.blocks, c.n))
    needed, lacking = gate.blocks * length, None
    outcome: Outcome = "promote" if all(c.passed for c in comparisons) else "refuse"
    reasons = [c.reason for c in comparisons if c.passed == (outcome == "promote")]
    if fewest.blocks < gate.blocks:
        outcome = "insufficient"
        reasons = [
            f"{fewest.variable} against {shown(fewest.reference)}: {fewest.n} init times form {fewest.blocks} blocks "
            f"of {length} steps (longer than T + T'), {gate.blocks} are needed: {needed} consecutive init times"
        ]
        lacking = shortfall(
            max(c.missing for c in comparisons),
            challenger["init_time"].values,
            step=step,
            frames_in=frames_in,
            frames_out=frames_out,
            archive=archive,
        )
        reasons += lacking.reasons
    return Verdict(
        outcome=outcome,
        reasons=tuple(reasons),
        comparisons=tuple(comparisons),
        beside=tuple(beside),
        n=fewest.n,
        blocks=fewest.blocks,
        needed_blocks=gate.blocks,
        needed_init_times=needed,
        shortfall=lacking,
        block_steps=length,
        confidence=gate.confidence,
        margin=gate.margin,
        score=SHOWN[gate.score],
    )


def _compare(
    variable: str, name: str, model: np.ndarray, reference: np.ndarray, index: np.ndarray, length: int, gate: Gate
) -> Comparison:
    """Judge squared errors (I, L) against those of one reference."""
    paired = np.isfinite(model).all(1) & np.isfinite(reference).all(1)
    missing = missing_steps(index[paired], int(index[-1]), length, gate.blocks)
    model, reference, index = model[paired], reference[paired], index[paired]
    if not len(index):
        reason = f"{variable} against {shown(name)}: no init time has a score for both at every lead"
        return Comparison(variable=variable, reference=name, reason=reason, missing=missing)
    available, blocks = cut_blocks(index, length, gate.blocks)
    mse, rival = float(model.mean()), float(reference.mean())
    gains, bound = (reference - model).mean(1), -float("inf")
    if available >= 2:
        bound = lower_bound(gains, blocks, confidence=gate.confidence, draws=gate.draws, seed=gate.seed)
    power = 0.5 if gate.score == "rmse" else 1.0
    changes = [_change(one, other, power) for one, other in zip(model.mean(0), reference.mean(0), strict=True)]
    lead = int(np.argmax(changes))
    better, steady = bound > 0, changes[lead] <= 100.0 * gate.margin
    limit = _change(rival - bound, rival, power) if np.isfinite(bound) else float("inf")
    by = f"{SHOWN[gate.score]} {abs(_change(mse, rival, power)):.1f} % {'lower' if mse <= rival else 'higher'}"
    words = (
        f"{variable} against {shown(name)}: {by} ({percent(-limit)} % at least, with {gate.confidence:.0%} confidence; "
        f"{len(index)} init times in {available} blocks)"
    )
    if not better:
        words += "; the bound is not above zero"
    if not steady:
        words += f"; at lead {lead + 1} it is {changes[lead]:.1f} % worse, allowed are {100 * gate.margin:g} %"
    return Comparison(
        variable=variable,
        reference=name,
        n=len(index),
        blocks=available,
        rmse=mse**power,
        reference_rmse=rival**power,
        improvement=-_change(mse, rival, power),
        bound=-limit,
        lead=lead + 1,
        lead_change=changes[lead],
        passed=better and steady,
        reason=words,
        missing=missing,
    )


def _beside(variable: str, name: str, model: np.ndarray, part: np.ndarray) -> Beside | None:
    """Squared errors (I, L) of a part of the model; None where no init time has a score for both."""
    paired = np.isfinite(model).all(1) & np.isfinite(part).all(1)
    if not paired.any():
        return None
    rmse, own = (float(errors[paired].mean()) ** 0.5 for errors in (part, model))
    return Beside(variable=variable, system=name, n=int(paired.sum()), rmse=rmse, model_rmse=own)


def _change(loss: float, reference: float, power: float) -> float:
    """By how many percent the score, the power of a mean loss, is higher than the reference's."""
    if reference <= 0.0:
        return 0.0 if loss <= 0.0 else float("inf")
    return 100.0 * (float((max(loss, 0.0) / reference) ** power) - 1.0)


def _losses(errors: xr.Dataset, variable: str, gate: Gate) -> xr.DataArray:
    """What is averaged (system, init_time, lead_time): squared errors, the CRPS, or linearised 1 - CSI.

    The CRPS of a single forecast is its absolute error; the model has that of its members, if there are any.
    """
    if gate.score == "csi":
        return _csi_losses(errors["events"].sel(thresholded=variable), gate.threshold)
    errors = errors.sel(variable=variable)
    if gate.score == "rmse":
        return errors["squared_error"]
    single = errors["absolute_error"]
    return single if "crps" not in errors else single.where(single["system"] != "model", errors["crps"])


def _csi_losses(sums: xr.DataArray, threshold: float | None) -> xr.DataArray:
    """1 - CSI of each lead as the mean over init times of one value each, (system, init_time, lead_time).

    With hits h and all of hits, misses and false alarms e of an init time, C = sum h / sum e: the value is
    1 - C - (h - C e) / mean e, whose mean is 1 - C and whose deviations are those of the ratio to first order.
    """
    at = sums.isel(rank_of_threshold=_rank(sums["threshold"].values, threshold))
    hits, every, _, seen, points = outcomes(at)
    known = points > 0
    mean = every.where(known).mean("init_time")
    index = hits.where(known).mean("init_time") / mean
    # Where nothing was there to be hit, all that is right has no index.
    losses = (1 - index - (hits - index * every) / mean).where(known & (seen.sum("init_time") > 0))
    meant = "sharp" if "sharp" in losses["contender"] else "model"
    if "champion" in losses["contender"]:
        meant = "champion"
    names = [name for name in losses["contender"].values.tolist() if name not in ("model", "sharp") or name == meant]
    return (
        losses.sel(contender=names)
        .rename(contender="system")
        .assign_coords(system=["model" if name == meant else name for name in names])
    )


def _rank(thresholds: np.ndarray, wanted: float | None) -> int | None:
    """Which of some thresholds is meant, the lowest by default; None for another one."""
    if wanted is None:
        return int(np.nanargmin(thresholds))
    near = np.flatnonzero(np.isclose(thresholds, wanted, rtol=1e-6, atol=0.0))
    return int(near[0]) if near.size else None


def _csi_faults(challenger: xr.Dataset, threshold: float | None) -> list[str]:
    limits = challenger["events"]["threshold"] if "events" in challenger else None
    reasons = []
    for name in challenger["variable"].values.tolist():
        own = (
            np.empty(0) if limits is None or name not in limits["thresholded"] else limits.sel(thresholded=name).values
        )
        if not np.isfinite(own).any():
            reasons.append(f"score: expected thresholds of {name} for csi, got none: state them as [scores] thresholds")
        elif _rank(own, threshold) is None:
            listed = ", ".join(f"{value:g}" for value in own[np.isfinite(own)])
            reasons.append(f"threshold: expected one of {name}'s {listed}, got {threshold:g}")
    return reasons


def _faults(challenger: xr.Dataset, champion: xr.Dataset | None, gate: Gate) -> list[str]:
    reasons = _csi_faults(challenger, gate.threshold) if gate.score == "csi" else []
    if gate.score == "crps" and ("crps" not in challenger or not challenger["crps"].notnull().any()):
        reasons.append("score: expected a challenger with members for crps, got one without: train it again")
    if not challenger.sizes["init_time"]:
        reasons.append("no init time was scored")
    missing = [name for name in ("model", *NAMES) if name not in challenger["system"].values]
    if missing:
        reasons.append(f"challenger: expected the systems model and {', '.join(NAMES)}, missing: {', '.join(missing)}")
    if champion is None:
        return reasons
    lost = sorted(set(champion["variable"].values.tolist()) - set(challenger["variable"].values.tolist()))
    if lost:
        reasons.append(f"variables: the champion forecasts {', '.join(lost)}, which the challenger does not")
    for dim in ("init_time", "lead_time"):
        mine, theirs = challenger[dim].values, champion[dim].values
        if not np.array_equal(mine, theirs):
            reasons.append(f"{dim}: the challenger has {len(mine)} values, the champion {len(theirs)} or others")
    return reasons
