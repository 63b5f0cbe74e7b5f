"""The input frames of a forecast: those that are needed, what of them is missing, and whether they can be trusted."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract import percent

if TYPE_CHECKING:
    from simvp.contract import FrameSpec

logger = logging.getLogger("simvp.inference.forecaster")


def frames_of(ds: xr.Dataset, runs: np.ndarray) -> tuple[xr.Dataset, np.ndarray]:
    """The frames that the runs (I, T) need, not copied where none is left out, and the runs in their positions."""
    needed, inverse = np.unique(runs, return_inverse=True)
    if len(needed) == ds.sizes["time"]:
        return ds, runs
    first, last = int(needed[0]), int(needed[-1]) + 1
    chosen = slice(first, last) if last - first == len(needed) else needed
    return ds.isel(time=chosen), inverse.reshape(runs.shape)


def vetted(
    spec: "FrameSpec", ds: xr.Dataset, runs: np.ndarray, every: bool
) -> tuple[xr.Dataset, np.ndarray, np.ndarray, list[str]]:
    """The frames needed (loaded if they fit), the runs in their positions, and what is wrong with their values.

    Third, the share of the points of each that is missing, (N, S).
    """
    ds, runs = frames_of(ds, runs)
    count = ds.sizes["time"]
    size = fitting(ds.nbytes // count)
    if size >= count:
        ds = ds.load()
    shares = np.zeros((count, spec.n_states))
    faults: list[str] = []
    for start in range(0, count, size):
        block = ds if size >= count else ds.isel(time=slice(start, start + size)).load()
        shares[start : start + size] = spec.missing(block)
        usable = (shares[start : start + size] <= spec.missing_share).all(1)
        if every and not usable.all():
            block = block.isel(time=usable)
        faults += spec.value_faults(block) if block.sizes["time"] else []
    if every:
        whole = (shares <= spec.missing_share)[runs].all((1, 2))
        if not whole.any():
            faults.append(
                f"init_time: each of the {len(runs)} full histories has missing values: frames that lack more than "
                f"{percent(spec.missing_share)} of their points, up to {percent(shares.max())}"
            )
        elif not whole.all():
            logger.info("%d of %d init times left out: missing values", (~whole).sum(), len(runs))
        runs = runs[whole]
    return ds, runs, shares, faults


def filled_words(spec: "FrameSpec", shares: np.ndarray) -> str:
    """How much of the input frames was filled, from the missing shares (N, S), in words; empty for nothing."""
    texts = []
    for channel, share in zip(spec.state_channels, shares.T, strict=True):
        if share.any():
            texts.append(
                f"{channel.name} {round(share.sum() * channel.valid.sum())} missing values in "
                f"{np.count_nonzero(share)} of {len(share)} input frames (at most {percent(share.max())} of one)"
            )
    return "; ".join(texts)
