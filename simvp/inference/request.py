"""What a caller of `predict` requests: how many steps, and from which init times."""

from datetime import timedelta
from typing import Any

import numpy as np

from simvp.coords import Step, history
from simvp.errors import Refusal
from simvp.times import calendar_of, encode_times, name_time, parse_times


def steps_of(horizon: Any, step: Step, default: int) -> int:
    """Number of steps of a horizon.

    Parameters
    ----------
    horizon
        None (the default), a number of steps, a timedelta of any kind, or words such as "24h" or "6 months".
    step
        Time from one frame to the next.
    default
        Number of steps without a horizon.

    Raises
    ------
    Refusal
        Not positive, not a multiple of the step, or nothing of the kind.
    """
    if horizon is None:
        return default
    # A timedelta64 is an np.integer too, and a bool an int.
    if isinstance(horizon, int | np.integer) and not isinstance(horizon, bool | np.timedelta64):
        if horizon < 1:
            raise Refusal("horizon", [f"expected one step or more, got {horizon}"])
        return int(horizon)
    if isinstance(horizon, str):
        duration = Step.parse(horizon)
        if bool(duration.months) != bool(step.months):
            raise Refusal("horizon", [f"expected multiples of the step, {step}, got {horizon!r}"])
        length, unit = (duration.months, step.months) if step.months else (duration.seconds, step.seconds)
    elif isinstance(horizon, timedelta | np.timedelta64):
        if step.timedelta is None:
            reason = f"expected steps or words such as '6 months' for a step of {step}, got {horizon}"
            raise Refusal("horizon", [reason])
        length = int(np.timedelta64(horizon).astype("m8[ns]").astype(np.int64))
        unit = int(step.timedelta.astype(np.int64))
    else:
        raise Refusal("horizon", [f"expected steps, a timedelta or words such as '24h', got {horizon!r}"])
    if length <= 0 or length % unit:
        possible = f"{length // unit} or {length // unit + 1} steps" if length > unit else "1 step"
        raise Refusal("horizon", [f"expected a multiple of the step, {step}, got {horizon}; {possible} would do"])
    return length // unit


def runs_of(init_time: Any, times: np.ndarray, step: Step, frames: int) -> np.ndarray:
    """Positions of the input frames of every init time requested.

    Parameters
    ----------
    init_time
        None (the last frame), "all" (every init time with a full history), one time or several.
    times
        (N,) rising times of the data.
    step, frames
        Time from one frame to the next, and number of input frames T.

    Returns
    -------
    np.ndarray
        (I, T) int64; the last column is the position of the init time.

    Raises
    ------
    Refusal
        With every init time that has no full history, and what it lacks.
    """
    if not len(times):
        raise Refusal("init_time", ["expected frames, got a time axis of length 0"])
    runs = history(times, step, frames)
    if isinstance(init_time, str) and init_time == "all":
        if not len(runs):
            raise Refusal("init_time", [_lacking(len(times) - 1, times, step, frames)])
        return runs
    init_times = times[-1:] if init_time is None else parse_times(init_time, calendar_of(times))
    if not len(init_times):
        raise Refusal("init_time", ["expected one time or several, got an empty list"])
    row_of = {int(run[-1]): row for row, run in enumerate(runs)}
    rows, reasons = [], []
    for time in init_times:
        position = int(np.searchsorted(times, time))
        if position == len(times) or times[position] != time:
            span = f"{name_time(times[0])} .. {name_time(times[-1])}"
            reasons.append(f"init_time {name_time(time)}: there is no such frame; the data has {span}")
        elif position not in row_of:
            reasons.append(_lacking(position, times, step, frames))
        else:
            rows.append(row_of[position])
    repeated = len(init_times) - len(set(init_times.tolist()))
    if repeated:
        reasons.append(f"init_time: expected distinct times, got {repeated} repeated")
    if reasons:
        raise Refusal("init_time", reasons)
    return runs[rows]


def _lacking(position: int, times: np.ndarray, step: Step, frames: int) -> str:
    """Which of the `frames` up to a position are not there."""
    wanted = step.shift(times[position], np.arange(1 - frames, 1))
    absent = wanted[~np.isin(encode_times(wanted)[0], encode_times(times)[0])]
    span = f"{name_time(wanted[0])} .. {name_time(wanted[-1])}"
    return (
        f"init_time {name_time(times[position])}: expected {frames} frames {span}, every {step}; "
        f"{len(absent)} are missing, first {name_time(absent[0])}"
    )
