"""Forecasts of a model init time after init time, with the weights that its verified errors give at each of them.

Letters: I init times, L leads, S states, E experts, H rows, W columns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from simvp.coords import RATIO_OF, history
from simvp.inference import inputs
from simvp.inference.experts import BASE, CORRECTED, blended, weighted
from simvp.mixture import Recursion, gram_matrices
from simvp.scoring import frames_of, positions_of
from simvp.times import encode_times, parse_times

if TYPE_CHECKING:
    from simvp.contract import FrameSpec
    from simvp.inference.forecaster import Forecaster

UNMIXED = "unmixed"
BATCH = 32


class Adaptation(NamedTuple):
    """What follows for init times from the errors that are verified by each of them.

    Parameters
    ----------
    weights
        (I, L, S, E) of the experts.
    ratios
        (I, L, S) how much larger errors of late were than on validation; None of a model without its errors.
    """

    weights: np.ndarray
    ratios: np.ndarray | None

    def rows(self, rows: Any) -> "Adaptation":
        """Those of some init times."""
        return Adaptation(self.weights[rows], None if self.ratios is None else self.ratios[rows])


class Replay:
    """Issues init times in order, and learns from each as far as the data verify it.

    Parameters
    ----------
    forecaster
        With a base forecast.
    leads
        L.
    device
        Where the network runs.
    """

    def __init__(self, forecaster: "Forecaster", leads: int, device: Any = None) -> None:
        self.forecaster, self.leads, self.device = forecaster, leads, device
        self._recursion = None if forecaster.mixture is None else Recursion(forecaster.mixture)
        self._origin: Any = None

    def forecasts(self, ds: xr.Dataset, init_times: np.ndarray) -> dict[str, xr.Dataset]:
        """Labelled forecasts "model", "unmixed" and "base" of rising init times after all before.

        Parameters
        ----------
        ds
            Canonical Dataset with their histories, and the truth as far as it is known; nothing that comes after an
            init time has a part in its forecast.
        init_times
            (I,).
        """
        forecaster = self.forecaster
        template, maps = forecaster.experts(ds, init_times, self.leads, self.device)
        made = {UNMIXED: maps.get(CORRECTED, maps[BASE]), BASE: maps[BASE]}
        model, used, ratios = made[UNMIXED], None, None
        if self._recursion is not None:
            self.take(init_times, self._grams(ds, init_times, maps))
            weights, ratios = self.adapted(init_times)
            model, used = blended(forecaster, maps, weights)
        forecasts = {name: labelled(template, field) for name, field in {"model": model, **made}.items()}
        forecasts["model"] = with_ratios(weighted(forecasts["model"], forecaster, used), forecaster.spec.states, ratios)
        return forecasts

    def adapted(self, init_times: np.ndarray) -> Adaptation:
        """What follows for rising init times after all before, by what is verified by then."""
        assert self._recursion is not None
        calibration, weights, ratios = self.forecaster.calibration, [], []
        for step in self._steps(init_times):
            weights.append(self._recursion.weights(int(step), self.leads))
            if calibration is not None:
                ratios.append(calibration.ratios(*self._recursion.of_late(self.leads)))
        return Adaptation(np.stack(weights), np.stack(ratios) if ratios else None)

    def grams(self, ds: xr.Dataset, init_times: np.ndarray) -> np.ndarray:
        """Gram matrices (I, L, S, E, E) of the experts' errors, as far as `ds`, as in `forecasts`, has the truth."""
        return self._grams(ds, init_times, self.forecaster.experts(ds, init_times, self.leads, self.device)[1])

    def take(self, init_times: np.ndarray, grams: np.ndarray) -> None:
        """Learn from the errors of init times; each counts for the weights of those by which it is verified."""
        assert self._recursion is not None
        for step, gram in zip(self._steps(init_times), grams, strict=True):
            self._recursion.learn(int(step), gram)

    def learn_all(self, ds: xr.Dataset, before: Any) -> None:
        """Learn from every honest init time before a time for which `ds` has a history that the contract takes."""
        spec, times = self.forecaster.spec, ds["time"].values
        runs = history(times, spec.step, spec.frames_in)
        runs = runs[(times[runs[:, -1]] < before) & honest(self.forecaster, times[runs[:, -1]])]
        for start in range(0, len(runs), BATCH):
            frames, part = inputs.frames_of(ds, runs[start : start + BATCH])
            usable = np.all(spec.missing(frames.load()) <= spec.missing_share, axis=1)
            chosen = times[runs[start : start + BATCH, -1]][usable[part].all(1)]
            if len(chosen):
                self.take(chosen, self.grams(ds, chosen))

    def _grams(self, ds: xr.Dataset, init_times: np.ndarray, maps: dict[str, np.ndarray]) -> np.ndarray:
        spec, mixture = self.forecaster.spec, self.forecaster.mixture
        assert mixture is not None
        truth = truth_maps(spec, ds, init_times, self.leads)
        return gram_matrices({name: maps[name] for name in mixture.experts}, truth, spec.weights, spec.mask)

    def _steps(self, times: np.ndarray) -> np.ndarray:
        """Steps since the first time that was asked for."""
        if self._origin is None:
            self._origin = times[0]
        return self.forecaster.spec.step.index(times, self._origin)


def honest(forecaster: "Forecaster", times: np.ndarray) -> np.ndarray:
    """Which init times (N,) have their first target after everything that a model was fitted or chosen on, (N,) bool.

    None of them where the model does not say what that was.
    """
    periods = forecaster.provenance.get("periods", {})
    pieces = [piece for part in ("train", "validation", "reference") for piece in periods.get(part, ())]
    if not pieces or not len(times):
        return np.zeros(len(times), bool)
    ends = encode_times(parse_times([piece[1] for piece in pieces], forecaster.spec.calendar))[0]
    return np.asarray(encode_times(times)[0] >= ends.max())


def truth_maps(spec: "FrameSpec", ds: xr.Dataset, init_times: np.ndarray, leads: int) -> np.ndarray:
    """What was observed at the valid times of init times (I,), (I, L, S, H, W); NaN where it is not known."""
    valid = spec.step.shift(init_times[:, None], np.arange(1, leads + 1))
    positions = positions_of(encode_times(valid)[0], encode_times(ds["time"].values)[0])
    return np.stack([frames_of(ds[state], positions, np.float32) for state in spec.states], axis=2)


def with_ratios(forecast: xr.Dataset, states: Sequence[str], ratios: np.ndarray | None) -> xr.Dataset:
    """The forecast with the ratios (I, L, S) of errors of late and of the validation, as coordinates."""
    if ratios is None:
        return forecast
    text = "errors verified of late, in units of those of the validation, for {}"
    coords = {
        name + RATIO_OF: (("init_time", "lead_time"), ratios[:, :, s], {"long_name": text.format(name), "units": "1"})
        for s, name in enumerate(states)
    }
    return forecast.assign_coords(coords)


def adapted(
    forecaster: "Forecaster", ds: xr.Dataset, init_times: np.ndarray, leads: int, device: Any = None
) -> Adaptation | None:
    """Of init times in any order, by what of `ds` is verified by each; None without a mixture."""
    if forecaster.mixture is None:
        return None
    order = np.argsort(encode_times(init_times)[0], kind="stable")
    replay = Replay(forecaster, leads, device)
    replay.learn_all(ds, init_times[order[-1]])
    return replay.adapted(init_times[order]).rows(np.argsort(order, kind="stable"))


def labelled(template: xr.Dataset, field: np.ndarray) -> xr.Dataset:
    """The labels of a forecast with the values (I, L, S, H, W) of another."""
    names = list(template.data_vars)
    return template.assign({n: template[n].copy(data=field[:, :, number]) for number, n in enumerate(names)})
