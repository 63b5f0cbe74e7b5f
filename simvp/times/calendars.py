"""Times in a calendar: counted in seconds since 1970, read from words and named in them, taken apart into fields.

Times are arrays of ``datetime64[ns]``, or of ``cftime`` objects where the calendar needs it.
"""

from typing import Any

import numpy as np
import pandas as pd

from simvp.errors import Refusal

DAY = 86_400
EPOCH = "seconds since 1970-01-01"
STANDARD = ("proleptic_gregorian", "standard", "gregorian")
NANOSECOND_YEARS = 9_223_372_036  # seconds from 1970 that datetime64[ns] reaches, 1677 to 2262


def calendar_of(times: np.ndarray) -> str:
    """CF name of the calendar."""
    times = np.asarray(times)
    if times.dtype != object:
        return "proleptic_gregorian"
    return str(times.reshape(-1)[0].calendar)


def encode_times(times: np.ndarray) -> tuple[np.ndarray, str]:
    """Seconds since 1970-01-01 (int64, rounded) in the calendar of `times`, and that calendar."""
    times = np.asarray(times)
    if times.dtype != object:
        nanoseconds = times.astype("M8[ns]").astype(np.int64)
        return (nanoseconds + 500_000_000) // 1_000_000_000, "proleptic_gregorian"
    import cftime

    calendar = calendar_of(times)
    seconds = np.asarray(cftime.date2num(times.reshape(-1), EPOCH, calendar), "f8").reshape(times.shape)
    return np.rint(seconds).astype(np.int64), calendar


def decode_times(seconds: np.ndarray, calendar: str) -> np.ndarray:
    """Inverse of `encode_times`: datetime64[ns] for the standard calendars within its years, else cftime."""
    seconds = np.asarray(seconds, np.int64)
    if calendar in STANDARD and (np.abs(seconds) < NANOSECOND_YEARS).all():
        return seconds.astype("M8[s]").astype("M8[ns]")
    import cftime

    return np.asarray(cftime.num2date(seconds, EPOCH, calendar), dtype=object)


def parse_times(values: Any, calendar: str = "proleptic_gregorian") -> np.ndarray:
    """One time or several, given as text, datetime, datetime64 or cftime, as a (N,) array in `calendar`.

    Raises
    ------
    Refusal
        Text that is no time, or a cftime of another calendar.
    """
    listed = [values] if np.ndim(values) == 0 else list(values)
    standard = calendar in STANDARD
    times = []
    for value in listed:
        try:
            if hasattr(value, "calendar") and hasattr(value, "timetuple"):
                if standard or value.calendar != calendar:
                    raise ValueError(f"its calendar is {value.calendar}")
                times.append(value)
            elif standard:
                times.append(np.datetime64(pd.Timestamp(value)).astype("M8[ns]"))
            else:
                times.append(_parse_cftime(str(value), calendar))
        except (ValueError, TypeError) as error:
            raise Refusal("Time", [f"expected a time in the {calendar} calendar, got {value!r}: {error}"]) from error
    return np.array(times, dtype="M8[ns]" if standard else object)


def name_time(time: Any) -> str:
    """A time in words that `parse_times` reads back; fractions of a second only where there are some."""
    text = str(time.astype("M8[ns]")) if isinstance(time, np.datetime64) else str(time)
    return text.removesuffix(".000000000")


def show_time(time: Any) -> str:
    """A time for a title, "2020-01-01 06:00"; seconds only where there are some."""
    return name_time(time).replace("T", " ").removesuffix(":00")


def fields_of(times: np.ndarray) -> dict[str, np.ndarray]:
    """Calendar fields of each time: year, month, day, second of the day, days in the month, weekday."""
    times = np.asarray(times)
    if times.dtype != object:
        flat = times.reshape(-1)
        day, month = flat.astype("M8[D]"), flat.astype("M8[M]")
        number = month.astype(np.int64)
        first = month.astype("M8[D]")
        columns = [
            number // 12 + 1970,
            number % 12 + 1,
            (day - first).astype(np.int64) + 1,
            (flat - day) // np.timedelta64(1, "s"),
            ((month + 1).astype("M8[D]") - first).astype(np.int64),
            (day.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        ]
    else:
        rows = [
            (t.year, t.month, t.day, (t.hour * 60 + t.minute) * 60 + t.second, t.daysinmonth, t.dayofwk)
            for t in times.reshape(-1)
        ]
        columns = list(np.array(rows, dtype=np.int64).reshape(-1, 6).T)
    names = ("year", "month", "day", "second", "days", "weekday")
    return {name: np.asarray(part, np.int64).reshape(times.shape) for name, part in zip(names, columns, strict=True)}


def month_start(number: np.ndarray, calendar: str) -> np.ndarray:
    """Seconds since 1970-01-01 at which the months begin."""
    if calendar in STANDARD:
        return (number - 1970 * 12).astype("M8[M]").astype("M8[s]").astype(np.int64)
    import cftime

    flat = [cftime.datetime(int(n // 12), int(n % 12) + 1, 1, calendar=calendar) for n in number.reshape(-1)]
    return encode_times(np.array(flat, dtype=object))[0].reshape(number.shape)


def _parse_cftime(text: str, calendar: str) -> Any:
    import cftime

    date, _, clock = text.strip().replace("T", " ").partition(" ")
    year, month, day = (int(part) for part in f"{date}-1-1".split("-")[:3])
    hour, minute, second = (int(float(part)) for part in f"{clock or 0}:0:0".split(":")[:3])
    return cftime.datetime(year, month, day, hour, minute, second, calendar=calendar)
