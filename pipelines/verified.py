"""How the experts of a model did at init times that are over, and the weights that follow for those that are due.

The errors count that are honest: of targets after everything that the model was fitted on. Those of init times whose
targets are all observed are computed once, and lie in a store of the model, by its fingerprint, beside its forecasts.
Frames that come late, or are replaced, do not change what has been kept.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from datasets.store import Store
from pipelines.evaluation import chunks, select_frames, stretch
from pipelines.init_times import missing_history
from simvp.coords import encode_times
from simvp.scoring import positions_of

if TYPE_CHECKING:
    from simvp.inference import Forecaster

BATCH = 32
_DIMS = ("init_time", "lead_time", "variable", "expert", "other_expert")


def due_weights(
    forecaster: "Forecaster",
    ds: xr.Dataset,
    init_times: np.ndarray,
    earlier: np.ndarray,
    leads: int,
    *,
    path: Path | str | None = None,
    device: str | None = None,
) -> np.ndarray | None:
    """Weights (I, L, S, E) of rising init times by what was verified by each of them; None without a mixture.

    Parameters
    ----------
    ds
        The archive.
    init_times
        (I,).
    earlier
        Rising times, some of `init_times` among them, whose forecasts are learned from where they are honest.
    leads
        L.
    path
        Store of what has been computed; None: of nothing, and nothing is kept.
    device
        Where the network runs.
    """
    if forecaster.mixture is None or not len(init_times):
        return None
    from simvp.inference import Replay, honest

    spec, replay = forecaster.spec, Replay(forecaster, leads, device)
    before = earlier[encode_times(earlier)[0] < encode_times(init_times[-1:])[0]]
    learned = before[honest(forecaster, before)]
    store = None if path is None else Store(path)
    kept, grams = _kept(store, learned)
    if kept.any():
        replay.take(learned[kept], grams)
    for chosen in chunks(learned[~kept], spec.step, BATCH):
        chosen = np.delete(chosen, list(missing_history(ds, spec, chosen)))
        if not len(chosen):
            continue
        own = replay.grams(_near(forecaster, ds, chosen, leads), chosen)
        replay.take(chosen, own)
        if store is not None:
            # Where a target is absent, its frame may still come.
            over = np.isfinite(np.einsum("...ee->...e", own)).any(-1).all((1, 2))
            _keep(store, forecaster, chosen[over], own[over])
    return replay.weights(init_times)


def _near(forecaster: "Forecaster", ds: xr.Dataset, times: np.ndarray, leads: int) -> xr.Dataset:
    """The frames that forecasts and truth of some init times need, loaded, on the grid of the contract."""
    spec = forecaster.spec
    near = stretch(times, spec.step, before=spec.frames_in - 1, after=leads)
    wanted = (near, forecaster.frame_times(times), forecaster.baselines.frame_times(times, leads))
    return spec.grid.align(select_frames(ds, spec.states, *wanted).load())


def _kept(store: Store | None, honest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the init times have been kept, (I,) bool, and the Gram matrices of these."""
    if store is None or not store.exists or not len(honest):
        return np.zeros(len(honest), bool), np.empty((0, 0, 0, 0, 0))
    found = store.dataset()
    rows = positions_of(encode_times(honest)[0], encode_times(found["init_time"].values)[0])
    return rows >= 0, found["gram"].values[rows[rows >= 0]]


def _keep(store: Store, forecaster: "Forecaster", times: np.ndarray, grams: np.ndarray) -> None:
    """Append what comes after the last init time kept; one whose history came late is computed each time."""
    assert forecaster.mixture is not None
    with store.lock():
        if store.exists:
            later = encode_times(times)[0] > encode_times(store.ends()[-1:])[0]
            times, grams = times[later], grams[later]
        if not len(times):
            return
        experts = np.array(forecaster.mixture.experts)
        coords: dict[str, Any] = {
            "init_time": ("init_time", times),
            "variable": np.array(forecaster.spec.states),
            "expert": experts,
            "other_expert": experts,
        }
        text = {"long_name": "area-weighted mean product of the errors of two experts"}
        part = xr.Dataset({"gram": (_DIMS, grams, text)}, coords)
        state = {"kind": "verified", "fingerprint": forecaster.fingerprint}
        if store.exists:
            store.append(part, state)
        else:
            store.create(part, axis="init_time", chunks={"init_time": 64}, state=state)
