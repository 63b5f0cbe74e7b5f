"""Forecasts of a model from an archive, for a batch of init times: work that a dask worker may do as well."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from pipelines.evaluation import select_frames, stretch
from simvp.errors import ContractError
from simvp.inference import weighted

if TYPE_CHECKING:
    from simvp.inference import Adaptation, Forecaster


@dataclass(frozen=True)
class Setting:
    """A model on an archive.

    Parameters
    ----------
    forecaster, ds
        The model; the archive, lazily.
    leads
        How many.
    device
        Where the network runs.
    members, levels
        Beside each forecast (`simvp.Forecaster.predict`).
    """

    forecaster: "Forecaster"
    ds: xr.Dataset
    leads: int
    device: str | None
    members: int = 0
    levels: tuple[float, ...] = ()


class Made(NamedTuple):
    """What was made of a batch.

    Parameters
    ----------
    times
        Its init times.
    parts
        Forecasts, in order.
    refused
        Init times without one, each with the reason.
    """

    times: np.ndarray
    parts: list[xr.Dataset]
    refused: dict[object, str]


def made(setting: Setting, times: np.ndarray, adapted: "Adaptation | None") -> Made:
    """Forecasts of rising init times; where some cannot be made, those of the others, one by one.

    Parameters
    ----------
    adapted
        Weights of the experts, and error ratios.
    """
    forecaster, spec = setting.forecaster, setting.forecaster.spec
    wanted = [stretch(times, spec.step, before=spec.frames_in - 1, after=0)]
    if forecaster.base is not None:
        wanted += [forecaster.frame_times(times), forecaster.baselines.frame_times(times, setting.leads)]
    # Not loaded: `predict` reads what the histories need of it.
    known = [forecaster.known_times(times, setting.leads)]
    near = select_frames(setting.ds, spec.states, *wanted, known=known)
    try:
        forecast = forecaster.predict(
            near,
            init_time=times,
            horizon=setting.leads,
            device=setting.device,
            weights=None if adapted is None else adapted.weights,
            error_ratios=None if adapted is None else adapted.ratios,
            members=setting.members,
            levels=setting.levels,
        )
        part = forecast if "weights_digest" in forecast.coords else weighted(forecast, forecaster, None)
        return Made(times, [part], {})
    except ContractError as refusal:
        if len(times) == 1:
            return Made(times, [], {times[0]: "; ".join(refusal.reasons) or str(refusal)})
    single = (slice(number, number + 1) for number in range(len(times)))
    each = [made(setting, times[one], None if adapted is None else adapted.rows(one)) for one in single]
    refused = {time: reason for one in each for time, reason in one.refused.items()}
    return Made(times, [part for one in each for part in one.parts], refused)
