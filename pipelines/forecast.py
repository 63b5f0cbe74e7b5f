"""Forecasts from the archive into a store: each init time issued once, or computed afterwards.

The operational store of a data set and horizon only grows. An init time that is in it is never rewritten, not even by
a better model: what was believed at the time stays. An init time whose history has a gap is left out with the reason,
does not hold up later ones, and is tried again until a later one has been issued; after that it belongs to the
hindcasts, like everything that is computed later for older times.

A hindcast store belongs to one model, one interval and one commit of the archive. Another one is made beside it and
takes its place when it is whole; one that was cut off goes on where it ended.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.store import Conflict, Store, refuse_unseen
from datasets.workers import Shared, workers
from pipelines.evaluation import batch_size, chunks, scorable
from pipelines.forecast_store import as_stored, refuse_other_variables
from pipelines.home import Home
from pipelines.integrity import refuse_damaged, refuse_missing
from pipelines.issuing import ForecastReport, Kind, Setting, due, made, missing_history, on_hours
from pipelines.known import with_known
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.tracking import load_champion, open_registry, resolve_version
from pipelines.verified import due_adaptation
from pipelines.windows import dropped_words
from simvp.coords import Step
from simvp.errors import ConfigError, ContractError
from simvp.inference import CHAMPION, steps_of
from simvp.stores import open_forecasts
from simvp.times import name_time
from simvp.uncertainty import request_faults

if TYPE_CHECKING:
    from simvp.inference import Adaptation, Forecaster

# Attributes of a store are written once, with its first init time; these are of that run and that model alone.
_OF_ONE_RUN = ("history", "code_version")
_SOURCE_ATTRS = {"long_name": "where the model was read: the registry, a file, or a copy of an earlier reading"}
_CHUNK_BYTES, _CHUNK_INITS = 2 * 2**20, 64


@stage
def forecast(
    home: Home,
    dataset: str,
    *,
    model: "str | int | Path | Forecaster | None" = None,
    init_hours: Sequence[int] | None = None,
    horizon: Any = None,
    max_catch_up: int = 56,
    first_days: int = 1,
    members: int = 0,
    levels: Sequence[float] = (),
    export: str | Path | None = None,
    hindcast: tuple[Any, Any] | None = None,
    batch: int = 32,
    device: str | None = None,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> ForecastReport:
    """Issue every init time since the last one issued, in order; or forecast an interval afterwards.

    Parameters
    ----------
    model
        The champion by default; "challenger", the number of a version, the path of a model file, or a Forecaster.
    init_hours
        Hours of the day whose frames start a forecast. By default, for steps below a day, those of 0, 6, 12 and 18
        at which there are frames, else the first frame of each day; for longer steps every frame. A hindcast takes
        every init time by default.
    horizon
        Steps, or words such as "48h"; T' steps by default. Longer rolls out.
    max_catch_up
        Most init times to issue in one run: the newest; the others are reported and left to the hindcasts.
    first_days
        How many days back the first run of all goes.
    members, levels
        Members of an ensemble, and quantiles of bounds, that are issued beside each forecast, as in
        `simvp.Forecaster.predict`; a store of forecasts has the same ones from its first init time on.
    export
        Folder for NetCDF files, one for each init time, as `simvp.export` writes them: of the `max_catch_up` newest
        init times of the operational store those that are not there yet, so that a run that failed is made up for.
    hindcast
        First and last time of the targets, both included: every init time whose targets all lie in it and whose
        inputs and targets are all in the archive goes into the hindcast store.
    batch
        Init times at a time; fewer where their maps are large.
    scheduler
        Address of the dask scheduler whose workers make the forecasts, batch by batch; this process writes them. See
        `datasets.workers.workers`.
    progress
        Called as progress("forecast", init times done, init times).

    Where the registry is away, the last champion that this home knows is taken; log, report and forecasts say so.

    Raises
    ------
    Unavailable
        The registry is away, and another model than the champion was named, or none is known here.
    Refusal
        No archive, no such model, data that the model does not accept, hours or a horizon that do not fit the step,
        a store that holds other variables, an interval without an init time, a scheduler that does not answer.
        Nothing is written.
    """
    if max_catch_up < 1 or first_days < 1:
        raise ConfigError("Forecast", [f"expected 1 or more, got max_catch_up {max_catch_up}, first_days {first_days}"])
    archive = Archive(home.archive(dataset))
    ds = with_known(home, dataset, archive.dataset())
    forecaster, model_source = _model(home, dataset, model, device)
    forecaster.spec.check(ds)
    leads = steps_of(horizon, forecaster.spec.step, forecaster.spec.frames_out)
    spec = forecaster.spec
    if faults := request_faults(forecaster.calibration, members, levels, leads * spec.mask.size):
        raise ConfigError(f"Forecast of {dataset}", faults)
    with workers(scheduler) as team:
        if team is not None:
            team.everywhere(refuse_unseen, archive.path)
        setting = Setting(forecaster, ds, leads, device, members, tuple(levels))
        run = _Run(dataset, model_source, archive, setting, Shared(setting, team), batch, progress)
        if hindcast is not None:
            return _hindcast(run, home.hindcasts(dataset, run.horizon), hindcast, init_hours)
        kept = home.verified(dataset, run.horizon, forecaster.fingerprint), archive
        store = Store(home.forecasts(dataset, run.horizon))
        refuse_missing(store, Store(home.scores(dataset, f"forecasts-{run.horizon}")))
        report = _operational(run, store, kept, init_hours, max_catch_up, first_days)
    return report if export is None else replace(report, exported=_exported(report, Path(export), max_catch_up))


@dataclass(frozen=True)
class _Run:
    """One model on one archive, one horizon."""

    dataset: str
    model_source: str
    archive: Archive
    setting: Setting
    shared: Shared[Setting]
    batch: int
    progress: Progress
    filled: list[tuple[str, str]] = field(default_factory=list)

    @property
    def forecaster(self) -> "Forecaster":
        return self.setting.forecaster

    @property
    def ds(self) -> xr.Dataset:
        return self.setting.ds

    @property
    def leads(self) -> int:
        return self.setting.leads

    @property
    def step(self) -> Step:
        return self.forecaster.spec.step

    @property
    def horizon(self) -> str:
        return self.step.horizon(self.leads)

    @property
    def chunk(self) -> int:
        """Init times in a chunk of hindcasts, which may be many and small."""
        rows, columns = self.forecaster.spec.shape
        return min(max(1, _CHUNK_BYTES // (4 * self.leads * rows * columns)), _CHUNK_INITS)

    def issue(
        self,
        store: Store,
        times: np.ndarray,
        state: Mapping[str, Any],
        adapted: "Adaptation | None" = None,
        chunk: int = 1,
    ) -> tuple[list[Any], dict[Any, str]]:
        """Forecast and append; returns the init times issued, and those refused with the reason.

        `adapted` are weights of the experts and error ratios. One init time a chunk, unless told otherwise: what was
        issued is never written again, by no later append.
        """
        issued: list[Any] = []
        refused: dict[Any, str] = {}
        done = 0
        beside = self.setting.members + len(self.setting.levels)
        size = max(1, batch_size(self.forecaster.spec, self.leads, self.batch * (1 + beside)) // (1 + beside))
        batches = list(chunks(times, self.step, size))
        ends = np.cumsum([len(chosen) for chosen in batches])
        parts = np.split(np.arange(len(times)), ends[:-1])
        own = [None] * len(batches) if adapted is None else [adapted.rows(rows) for rows in parts]
        for batch in self.shared.each(made, zip(batches, own, strict=True)):
            refused |= batch.refused
            for part in batch.parts:
                # Of these init times alone: attributes of a store hold for all that will ever be in it.
                what = part.attrs.pop("filled_input", None)
                source = np.full(part.sizes["init_time"], self.model_source)
                part = part.assign_coords(model_source=("init_time", source, _SOURCE_ATTRS))
                if what is not None:
                    first, last = (name_time(part["init_time"].values[n]) for n in (0, -1))
                    self.filled.append((first if first == last else f"{first} .. {last}", what))
                if store.exists:
                    if store.ends()[-1] >= part["init_time"].values[0]:  # in a bucket nothing is locked
                        raise Conflict(store.path)
                    store.append(as_stored(store, part), state)
                else:
                    common = part.copy(deep=False)
                    common.attrs = {name: text for name, text in part.attrs.items() if name not in _OF_ONE_RUN}
                    store.create(common, axis="init_time", chunks={"init_time": chunk}, state=state)
                issued += list(part["init_time"].values)
            done += len(batch.times)
            self.progress("forecast", done, len(times))
        return issued, refused

    def report(
        self, kind: Kind, store: Store, issued: Iterable[Any], skipped: Mapping[Any, str], **counts: Any
    ) -> ForecastReport:
        return ForecastReport(
            dataset=self.dataset,
            kind=kind,
            horizon=self.horizon,
            path=store.path,
            model_version=self.forecaster.version,
            fingerprint=self.forecaster.fingerprint,
            archive_commit=self.ds.attrs["archive_commit"],
            issued=tuple(map(name_time, issued)),
            skipped=tuple((name_time(time), skipped[time]) for time in sorted(skipped)),
            length=store.length if store.exists else 0,
            filled=tuple(self.filled),
            model_source=self.model_source,
            **counts,
        )


def _operational(
    run: _Run,
    store: Store,
    kept: tuple[Path | str, Archive],
    init_hours: Sequence[int] | None,
    max_catch_up: int,
    first_days: int,
) -> ForecastReport:
    times = run.ds["time"].values
    on_hours(times, run.step, init_hours)  # refuses wrong hours before anything is written
    with store.lock():  # held while forecasting: a second run waits, and then finds nothing left to do
        last = None
        if store.exists:
            refuse_damaged(store)
            refuse_other_variables(store, run.forecaster.spec, run.setting.members, run.setting.levels)
            last = store.ends()[-1]
        chosen = due(times, run.step, last=last, init_hours=init_hours, most=max_catch_up, first_days=first_days)
        gaps = missing_history(run.ds, run.forecaster.spec, chosen.times, run.leads)
        whole = np.delete(chosen.times, list(gaps))
        earlier = times[on_hours(times, run.step, init_hours)]
        adapted = due_adaptation(run.forecaster, run.ds, whole, earlier, run.leads, kept=kept, shared=run.shared)
        if len(whole):
            run.archive.keep(run.ds)  # what they name has to stay
        issued, refused = run.issue(store, whole, {"kind": "forecasts", "dataset": run.dataset}, adapted)
    skipped = {chosen.times[n]: reason for n, reason in gaps.items()} | refused
    return run.report("forecasts", store, issued, skipped, beyond_cap=chosen.beyond_cap)


def _exported(report: ForecastReport, folder: Path, most: int) -> tuple[Path, ...]:
    """NetCDF files of the newest init times of a store that were not in the folder."""
    from simvp import export
    from simvp.files import files_of

    if not report.length:
        return ()
    with open_forecasts(report.path) as ds:
        newest = ds.isel(init_time=slice(-most, None))
        absent = [number for number, file in enumerate(files_of(newest, folder)) if not file.exists()]
        return export(newest.isel(init_time=absent), folder) if absent else ()


def _hindcast(
    run: _Run, path: Path | str, interval: tuple[Any, Any], init_hours: Sequence[int] | None
) -> ForecastReport:
    times, audit = scorable(run.ds, [run.forecaster.spec], interval, leads=run.leads, part="hindcast")
    if init_hours is not None and len(times):
        on_hours(run.ds["time"].values, run.step, init_hours)  # refuses hours that the archive does not have
        times = times[on_hours(times, run.step, init_hours)]
    dropped = {reason: count for reason, count in audit.dropped.items() if count}
    if not len(times):
        listed = dropped_words(dropped) or "none lies in it"
        raise ConfigError(
            f"Hindcast {interval[0]} .. {interval[1]}",
            [f"no init time has its {run.forecaster.spec.frames_in} inputs and {run.leads} targets ({listed})"],
            f"choose an interval within {name_time(run.ds['time'].values[0])} .. "
            f"{name_time(run.ds['time'].values[-1])} that is longer than the horizon",
        )
    key = {
        "fingerprint": run.forecaster.fingerprint,
        "model_version": run.forecaster.version,
        "archive_commit": run.ds.attrs["archive_commit"],
        "first": name_time(times[0]),
        "last": name_time(times[-1]),
        "count": len(times),
    }
    if run.setting.members or run.setting.levels:
        key |= {"members": run.setting.members, "levels": list(run.setting.levels)}
    state = {"kind": "hindcasts", "dataset": run.dataset, "key": key}
    final = Store(path)
    building = final.building()
    issued: list[Any] = []
    refused: dict[Any, str] = {}
    with final.lock():
        if not (final.exists and final.state.get("key") == key):
            if building.exists and building.state.get("key") != key:
                building.discard()
            left = times[times > building.ends()[-1]] if building.exists else times
            adapted = due_adaptation(run.forecaster, run.ds, left, times, run.leads, shared=run.shared)
            issued, refused = run.issue(building, left, state, adapted, run.chunk)
            if not building.exists:
                raise ContractError(
                    "Hindcast: every init time was refused", list(dict.fromkeys(refused.values())), "check the archive"
                )
            building.publish()
    return run.report("hindcasts", final, issued, refused, dropped=dropped)


def _model(home: Home, dataset: str, model: Any, device: str | None) -> tuple["Forecaster", str]:
    """The model, and where it was read."""
    from simvp.inference import Forecaster

    if isinstance(model, Forecaster):
        return model, "file"
    if isinstance(model, os.PathLike) or (isinstance(model, str) and Path(model).suffix == ".safetensors"):
        return Forecaster.load(model, device), "file"
    if model is None or str(model).removeprefix("@") == CHAMPION:
        return load_champion(home, dataset, device)
    return open_registry(home).load(resolve_version(home, dataset, model), device), "registry"
