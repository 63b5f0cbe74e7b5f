"""Which init times are due: hours of the day, what was issued already, a cap, and complete histories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pipelines.windows import Frames
from simvp.contract import known_faults, percent
from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.times import DAY, encode_times, fields_of, name_time

if TYPE_CHECKING:
    from simvp.contract import FrameSpec

SYNOPTIC_HOURS = (0, 6, 12, 18)  # the main synoptic hours


@dataclass(frozen=True, kw_only=True)
class Due:
    """Init times to issue now (I,), oldest first, and how many older ones the cap leaves out for good."""

    times: np.ndarray
    beyond_cap: int


def due(
    times: np.ndarray,
    step: Step,
    *,
    last: Any = None,
    init_hours: Sequence[int] | None = None,
    most: int = 56,
    first_days: int = 1,
) -> Due:
    """Init times after the last one issued, of the hours that issue a forecast.

    Parameters
    ----------
    times
        (N,) slots of the archive.
    step
        Of the archive.
    last
        Last init time issued; None for a store that does not exist yet. Then only the newest `first_days` days are
        due, since what lies before is past; of steps of a day or more, the newest `first_days` frames.
    init_hours
        As in `on_hours`.
    most
        At most so many, the newest.

    Raises
    ------
    ConfigError
        Hours at which the series has no frame.
    """
    chosen = np.flatnonzero(on_hours(times, step, init_hours))
    seconds, _ = encode_times(times)
    if last is not None:
        after, _ = encode_times(np.array([last], dtype=times.dtype))
        chosen = chosen[seconds[chosen] > after[0]]
    else:
        recent = chosen[seconds[chosen] > seconds[-1] - first_days * DAY] if _sub_daily(step) else chosen[:0]
        chosen = recent if len(recent) else chosen[-first_days:]
    kept = chosen[max(len(chosen) - most, 0) :]
    return Due(times=times[kept], beyond_cap=len(chosen) - len(kept))


def on_hours(times: np.ndarray, step: Step, init_hours: Sequence[int] | None = None) -> np.ndarray:
    """Which times issue a forecast, (N,) bool.

    Parameters
    ----------
    init_hours
        Hours of the day. By default, for steps below a day, those of 0, 6, 12 and 18 at which the series has frames,
        and the first frame of every day where it has none at any of them; for longer steps every frame.

    Raises
    ------
    ConfigError
        Hours at which the series has no frame; hours that are no hours.
    """
    second = fields_of(times)["second"]
    if init_hours is not None:
        here = sorted({int(s) // 3600 for s in np.unique(second) if s % 3600 == 0})
        wrong = [hour for hour in init_hours if hour not in here]
        if wrong or not len(init_hours):
            listed = ", ".join(map(str, here)) or "none"
            reason = f"expected hours at which the series has frames ({listed}), got {list(init_hours)}"
            raise ConfigError("init_hours", [reason], "leave init_hours out for those of 0, 6, 12 and 18")
        return np.isin(second, [hour * 3600 for hour in init_hours])
    if not _sub_daily(step):
        return np.ones(len(times), bool)
    synoptic = np.isin(second, [hour * 3600 for hour in SYNOPTIC_HOURS])
    if synoptic.any():
        return synoptic
    fields = fields_of(times)
    date = (fields["year"] * 12 + fields["month"]) * 31 + fields["day"]
    return np.concatenate([[True], date[1:] != date[:-1]])


def missing_history(ds: xr.Dataset, spec: "FrameSpec", init_times: np.ndarray, leads: int) -> dict[int, str]:
    """Why init times cannot be issued, by their position: frames of their history that are absent or lack too much.

    Or known inputs that are not there, of the history or of the valid times.

    Parameters
    ----------
    ds
        The archive, lazy, with the coordinate `present` (time), and with its known inputs.
    leads
        L.
    """
    if not len(init_times):
        return {}
    times, step = ds["time"].values, spec.step
    index = step.index(times, times[0])
    ends = step.index(init_times, times[0])
    start = max(int(ends[0]) - spec.frames_in + 1, 0)
    rows = np.flatnonzero((index >= start) & (index <= ends[-1]))
    near = ds.isel(time=slice(int(rows[0]), int(rows[-1]) + 1))
    slots = int(ends[-1]) - start + 1
    here, whole = np.zeros(slots, bool), np.zeros(slots, bool)
    here[index[rows] - start] = near["present"].values
    whole[index[rows] - start] = Frames(spec.check(near), spec, memory=0).usable
    lack = f"lack more than {percent(spec.missing_share)} of their points (missing values)"
    reasons = {}
    for number, end in enumerate(ends):
        first = int(end) - spec.frames_in + 1
        if first < 0:
            reasons[number] = f"the archive begins {-first} frames after the first of its {spec.frames_in} inputs"
            continue
        run = slice(first - start, int(end) - start + 1)
        for good, what in ((here, "are absent"), (whole, lack)):
            bad = np.flatnonzero(~good[run])
            if len(bad):
                at = name_time(step.shift(times[:1], first + int(bad[0]))[0])
                reasons[number] = f"{len(bad)} of its {spec.frames_in} input frames {what}, the first at {at}"
                break
    return _missing_known(ds, spec, init_times, leads) | reasons


def _missing_known(ds: xr.Dataset, spec: "FrameSpec", init_times: np.ndarray, leads: int) -> dict[int, str]:
    needed = spec.known_times(init_times, leads)
    if not known_faults(spec.known_channels, ds, needed):
        return {}
    each = (known_faults(spec.known_channels, ds, times) for times in needed)
    return {number: "; ".join(faults) for number, faults in enumerate(each) if faults}


def _sub_daily(step: Step) -> bool:
    return 0 < step.seconds < DAY
