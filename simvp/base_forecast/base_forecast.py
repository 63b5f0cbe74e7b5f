"""The base forecast: per variable and lead the best linear forecast made of what the baselines are made of.

It is m(v) + sum over k of beta_k z_k, with the predictors z of `simvp.base_forecast.predictors` and coefficients from
`simvp.base_forecast.ridge`: the five baselines are special cases, and where left-out folds do not show more it is the
best of them. Fitted in physical units, so that what is least is the squared error that is scored; of what never goes
below zero in roots or logarithms, where left-out folds say that the error in physical units is smaller then.

Where the frames that a cycle beyond the T input frames needs are not there (last week, of half-hourly data), a second
set of coefficients without them is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from simvp.base_forecast.fit import fit_variable
from simvp.base_forecast.linear_forecast import LinearForecast
from simvp.base_forecast.ridge import Choices
from simvp.base_forecast.series import Series
from simvp.contract import Climatology, Known, KnownInputs, Statistics
from simvp.coords import Step
from simvp.errors import ConfigError, Refusal
from simvp.record import Record, below
from simvp.scoring import Baselines


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseForecast(Record):
    """The base forecast of all variables of a contract.

    Parameters
    ----------
    step
        Between frames.
    parts
        By variable.
    cross_validated
        By variable: RMSE by lead of the base, and of the best baseline, in the folds that were left out; empty where
        there were not two.
    """

    step: Step
    parts: tuple[LinearForecast, ...]
    cross_validated: Mapping[str, Mapping[str, Any]]

    @classmethod
    def fit(
        cls,
        ds: xr.Dataset,
        *,
        baselines: Baselines,
        statistics: Statistics,
        init_times: np.ndarray,
        frames_in: int,
        weights: np.ndarray,
        choices: Mapping[str, Choices] | None = None,
        known: Sequence[Known] = (),
    ) -> "BaseForecast":
        """Fit on windows of the period that `baselines` were fitted on.

        Parameters
        ----------
        ds
            Canonical Dataset, lazy or not.
        baselines
            Fitted on the same period: their climatology is the one that departures are from.
        statistics
            Of the same period as its reference.
        init_times
            (N,) rising init times whose T input frames and L targets all lie in the period.
        frames_in
            T.
        weights
            (H, W) area weights.
        choices
            By variable, where they have been made on other data: then they are not made again.
        known
            Channels of the known inputs, which `ds` carries.

        Raises
        ------
        ConfigError
            No init time.
        """
        if not len(init_times):
            raise ConfigError("Base forecast", ["expected windows to fit on, got none"])
        fitted = [
            fit_variable(
                ds[name],
                name=name,
                baselines=baselines,
                statistics=statistics,
                init_times=init_times,
                frames_in=frames_in,
                weights=weights,
                choices=None if choices is None else choices[name],
                known=KnownInputs(ds, tuple(known)),
            )
            for name in baselines.variables
        ]
        return cls(
            step=baselines.step,
            parts=tuple(part for part, _ in fitted),
            cross_validated={part.name: scores for part, scores in fitted},
        )

    @property
    def leads(self) -> int:
        """L."""
        return self.parts[0].leads

    @property
    def history(self) -> int:
        """Frames up to the init time that are looked at where they are there; of which T have to be."""
        return max(part.design.history for part in self.parts)

    def steps_back(self) -> np.ndarray:
        """Steps from the init time to all frames before the T input frames that are looked at, negative."""
        back = [np.arange(1, self.leads + 1) - n for part in self.parts for n in part.design.far]
        steps = np.unique(np.concatenate([np.empty(0, np.int64), *back]))
        return steps[steps <= -min(part.design.frames_in for part in self.parts)]

    @property
    def choices(self) -> dict[str, Choices]:
        """By variable."""
        return {part.name: part.choices for part in self.parts}

    def predict(
        self, ds: xr.Dataset, init_times: np.ndarray, leads: int | None = None, known: Sequence[Known] = ()
    ) -> np.ndarray:
        """Physical forecasts (I, leads, S, H, W) float32, not kept inside any bounds.

        Beyond the L leads of the fit it is rolled out: what it has forecast stands for frames that were observed.

        Parameters
        ----------
        ds
            Canonical Dataset with the T frames up to each init time, and as many of the `history` as there are.
        init_times
            (I,) in any order.
        leads
            Leads 1 .. `leads`; L by default.
        known
            Channels of the known inputs that it was fitted with; `ds` carries them, for the valid times too.
        """
        init_times = np.asarray(init_times)
        missing = [part.name for part in self.parts if part.name not in ds]
        if missing:
            raise Refusal("Base forecast", [f"{name}: the variable is missing" for name in missing])
        leads = self.leads if leads is None else leads
        order = np.argsort(self.step.index(init_times, ds["time"].values[0]), kind="stable")
        inputs = KnownInputs(ds, tuple(known))
        maps = [self._predict(part, ds[part.name], init_times[order], leads, inputs) for part in self.parts]
        return np.stack(maps, axis=2)[np.argsort(order, kind="stable")]

    def _predict(
        self, part: LinearForecast, field: xr.DataArray, init_times: np.ndarray, leads: int, known: KnownInputs
    ) -> np.ndarray:
        """Maps (I, leads, H, W) of a variable for rising init times."""
        series = Series(field=field, step=self.step, valid=part.valid, known=known)
        inits = series.slots(init_times)
        maps = part.predict(series, inits)[:, :leads]
        if leads <= self.leads:
            return maps
        whole = np.full((len(inits), leads, *part.valid.shape), np.nan, np.float32)
        whole[:, : self.leads] = maps
        history = part.design.history
        for number, init in enumerate(inits):
            # Each init time goes on from forecasts of its own, so that no two share a series.
            near = series.read(int(init) - history + 1, int(init)).T
            for done in range(self.leads, leads, self.leads):
                frames = np.full((history, *part.valid.shape), np.nan, np.float32)
                frames[:, part.valid] = np.concatenate([near, whole[number, :done][:, part.valid]])[-history:]
                times = series.times(init + done - np.arange(history)[::-1])
                own = xr.DataArray(frames, dims=("time", "row", "column"), coords={"time": times})
                made = part.predict(replace(series, field=own), np.array([history - 1]))[0]
                whole[number, done : done + self.leads] = made[: leads - done]
        return whole

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, to be saved beside the header."""
        arrays: dict[str, np.ndarray] = {}
        for number, part in enumerate(self.parts):
            arrays |= part.arrays_under(f"part.{number}")
            for period, climatology in part.others.items():
                arrays |= climatology.arrays_under(f"part.{number}.others.{period}")
        return arrays

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> "BaseForecast":
        """Inverse of `to_header` and `arrays`."""
        arrays = arrays or {}
        parts = []
        for number, record in enumerate(header["parts"]):
            own = below(arrays, f"part.{number}")
            others = {
                period: Climatology.from_header(other, below(own, f"others.{period}"))
                for period, other in record["others"].items()
            }
            parts.append(LinearForecast.from_header({**record, "others": others}, own))
        return cls(
            step=Step.from_header(header["step"]),
            parts=tuple(parts),
            cross_validated=header["cross_validated"],
        )
