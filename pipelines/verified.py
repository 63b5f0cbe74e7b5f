"""How the experts of a model did at init times that are over, and the weights that follow for those that are due.

The errors count that are honest: of targets after everything that the model was fitted on. Those of init times whose
last target lies within the archive are computed once, and lie in a store of the model, by its fingerprint, beside its
forecasts. Where frames that they rest on are filled or replaced afterwards, which the archive's log tells, they are
computed again: weights do not rest on a truth that was taken back. What was issued stays as it was issued.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.store import Store
from datasets.workers import Shared
from pipelines.evaluation import chunks, lies_in, select_frames, stretch
from pipelines.issuing import Setting, missing_history
from simvp.scoring import positions_of
from simvp.times import encode_times

if TYPE_CHECKING:
    from simvp.inference import Adaptation, Forecaster, Replay

BATCH = 32
_DIMS = ("init_time", "lead_time", "variable", "expert", "other_expert")


def due_adaptation(
    forecaster: "Forecaster",
    ds: xr.Dataset,
    init_times: np.ndarray,
    earlier: np.ndarray,
    leads: int,
    *,
    kept: tuple[Path | str, Archive] | None = None,
    shared: Shared[Setting] | None = None,
) -> "Adaptation | None":
    """Weights and error ratios of rising init times by what was verified by each of them; None without a mixture.

    Parameters
    ----------
    ds
        Of the archive.
    init_times
        (I,).
    earlier
        Rising times, some of `init_times` among them, whose forecasts are learned from where they are honest.
    leads
        L.
    kept
        Where the store of what has been computed lies, and the archive that `ds` is of, which knows what has changed
        since; None: nothing has been computed, and nothing is kept.
    shared
        The model on `ds`, and who computes; None: this process.
    """
    if forecaster.mixture is None or not len(init_times):
        return None
    from simvp.inference import Replay, honest

    shared = shared or Shared(Setting(forecaster, ds, leads, None), None)
    replay = Replay(forecaster, leads)
    before = earlier[encode_times(earlier)[0] < encode_times(init_times[-1:])[0]]
    learned = before[honest(forecaster, before)]
    store = None if kept is None else Store(kept[0])
    if kept is not None and store is not None and store.exists:
        _refresh(store, kept[1], replay, ds, shared)
    known, grams = _known(store, learned)
    if known.any():
        replay.take(learned[known], grams)
    batches = list(chunks(learned[~known], forecaster.spec.step, BATCH))
    for chosen, own in zip(batches, shared.each(_grams, ((batch,) for batch in batches)), strict=True):
        replay.take(chosen, own)
        if store is not None:
            over = _valid(replay, chosen)[:, -1] <= ds["time"].values[-1]
            _keep(store, replay, ds, chosen[over], own[over])
    return replay.adapted(init_times)


def _refresh(store: Store, archive: Archive, replay: "Replay", ds: xr.Dataset, shared: Shared[Setting]) -> None:
    """Compute again what was kept of init times whose targets or inputs have been filled or replaced since.

    Where nobody knows which these are, all of it is. The commit of the archive is put down
    with the last of them, so that a run that is cut off begins again.
    """
    with store.lock():
        before = store.state.get("archive_commit", "")
        if before == ds.attrs["archive_commit"]:
            return
        spans = archive.changed_since(before)
        forecaster, old = replay.forecaster, store.dataset()
        times = old["init_time"].values
        behind = forecaster.frame_times(times), forecaster.baselines.times_behind(times, replay.leads)
        touched = (
            slice(None) if spans is None else lies_in(spans, forecaster.spec.calendar, _valid(replay, times), *behind)
        )
        stale = times[touched]
        batches = list(chunks(stale, forecaster.spec.step, BATCH))
        for chosen, grams in zip(batches, shared.each(_grams, ((batch,) for batch in batches)), strict=True):
            rows = np.flatnonzero(np.isin(times, chosen))
            for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) > 1) + 1):
                last = chosen[run[-1]] == stale[-1]
                part = _labelled(forecaster, chosen[run], grams[run])
                store.rewrite(part, int(rows[run[0]]), _state(forecaster, ds) if last else store.state)


def _valid(replay: "Replay", times: np.ndarray) -> np.ndarray:
    """Valid times (I, L)."""
    return replay.forecaster.spec.step.shift(times[:, None], np.arange(1, replay.leads + 1))


def _grams(setting: Setting, times: np.ndarray) -> np.ndarray:
    """Gram matrices (I, L, S, E, E) of the experts' errors; NaN where the history is not there, or the truth."""
    from simvp.inference import Replay

    forecaster, ds, leads = setting.forecaster, setting.ds, setting.leads
    spec, mixture = forecaster.spec, forecaster.mixture
    assert mixture is not None
    found = np.full((len(times), leads, spec.n_states, *[len(mixture.experts)] * 2), np.nan)
    there = np.delete(np.arange(len(times)), list(missing_history(ds, spec, times, leads)))
    if len(there):
        chosen = times[there]
        near = stretch(chosen, spec.step, before=spec.frames_in - 1, after=leads)
        wanted = (near, forecaster.frame_times(chosen), forecaster.baselines.frame_times(chosen, leads))
        known = [forecaster.known_times(chosen, leads)]
        frames = spec.grid.align(select_frames(ds, spec.states, *wanted, known=known).load())
        found[there] = Replay(forecaster, leads, setting.device).grams(frames, chosen)
    return found


def _known(store: Store | None, honest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the init times have been kept, (I,) bool, and the Gram matrices of these."""
    if store is None or not store.exists or not len(honest):
        return np.zeros(len(honest), bool), np.empty((0, 0, 0, 0, 0))
    found = store.dataset()
    rows = positions_of(encode_times(honest)[0], encode_times(found["init_time"].values)[0])
    return rows >= 0, found["gram"].values[rows[rows >= 0]]


def _keep(store: Store, replay: "Replay", ds: xr.Dataset, times: np.ndarray, grams: np.ndarray) -> None:
    """Append what comes after the last init time kept; others, of hours that are new, are computed each time."""
    with store.lock():
        if store.exists:
            later = encode_times(times)[0] > encode_times(store.ends()[-1:])[0]
            times, grams = times[later], grams[later]
        if not len(times):
            return
        part, state = _labelled(replay.forecaster, times, grams), _state(replay.forecaster, ds)
        if store.exists:
            store.append(part, state)
        else:
            store.create(part, axis="init_time", chunks={"init_time": 64}, state=state)


def _labelled(forecaster: "Forecaster", times: np.ndarray, grams: np.ndarray) -> xr.Dataset:
    assert forecaster.mixture is not None
    experts = np.array(forecaster.mixture.experts)
    coords: dict[str, Any] = {
        "init_time": ("init_time", times),
        "variable": np.array(forecaster.spec.states),
        "expert": experts,
        "other_expert": experts,
    }
    text = {"long_name": "area-weighted mean product of the errors of two experts"}
    return xr.Dataset({"gram": (_DIMS, grams, text)}, coords)


def _state(forecaster: "Forecaster", ds: xr.Dataset) -> dict[str, Any]:
    commit = ds.attrs["archive_commit"]
    return {"kind": "verified", "fingerprint": forecaster.fingerprint, "archive_commit": commit}
