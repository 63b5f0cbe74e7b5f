"""Dates and durations however a file writes them: texts, numbers such as 20190101, counts since a date, calendars."""

import re
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

CALENDARS = (
    *("standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "360_day", "julian"),
    *("all_leap", "366_day"),
)
ALIASES = {
    **{"": "standard", "no_leap": "noleap", "allleap": "all_leap"},
    **{f"{n}{word}": f"{n}_day" for n in (360, 365, 366) for word in ("", "day", "days", "_days", "d")},
}
# Seconds in the units of time of CF and UDUNITS; months and years have no fixed length.
SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("week", "weeks"), 604_800.0),
    **{prefix + "seconds": scale for prefix, scale in (("milli", 1e-3), ("micro", 1e-6), ("nano", 1e-9))},
}
AMOUNT = re.compile(r"([+-]?\d+(?:\.\d*)?)\s*([A-Za-z]+)")
CLOCK = re.compile(r"(?:(\d+) days?,?\s+)?(\d+):(\d\d)(?::(\d\d))?")  # as a timedelta is printed
ISO_AMOUNT = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")

SINCE = re.compile(r"(\w+)\s+since\s+(\S.*)", re.IGNORECASE)
ZONE = r"(?P<zone>Z|(?:UTC|GMT)?\s*[+-]\d{1,2}(?::?\d\d)?|UTC|GMT|0{1,2}:00)?"
REFERENCE = re.compile(
    r"(?P<year>[+-]?\d{1,5})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?"
    r"(?:[T\s]\s*(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}(?:\.\d*)?))?)?)?(?P<blank>\s*)" + ZONE,
    re.IGNORECASE,
)
# What xarray and cftime read as it is meant: in every calendar, and in the common one.
PLAIN = re.compile(
    r"\w+ since \d{1,4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?: ?Z| UTC| ?[+-]\d\d:\d\d)?)?"
)
PLAIN_COMMON = re.compile(r"\w+ since \d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d\d")
COMMON = ("", "standard", "gregorian", "proleptic_gregorian")

COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?(Z?)")
MIDNIGHT = re.compile(r"(.*[T ])24((?::?00(?:\.0*)?)*(?:Z|[+-].*)?)")
# "day as %Y%m%d.%f" is the absolute time of CDO; others write YYYYMMDD, yyyymmddhh and the like.
WRITTEN = re.compile(r"(?:\w+ as )?%?y+[-/]?%?m+[-/]?%?d+(?:%?h+(?:%?m+(?:%?s+)?)?)?(?:\.%?f+)?|1|", re.IGNORECASE)


def dates_of(values: np.ndarray, units: str = "", calendar: str = "") -> np.ndarray:
    """Dates that `values` are or write, as datetime64[ns], or as cftime where the calendar needs it.

    Parameters
    ----------
    values
        (N,) datetime64, datetime or cftime objects; texts such as "2019-01-01T24:00", "2019010106" or
        "2019-01-01_06:00:00 +09:00", which come out in UTC; or numbers that write dates: yyyymmdd, with a fraction of
        the day if any, yyyymmddhh, yyyymmddhhmm and yyyymmddhhmmss.
    units, calendar
        Of numbers.

    Raises
    ------
    ValueError
        Anything else, or years that datetime64[ns] does not reach.
    """
    if values.dtype.kind in "iuf":
        return _numbers(values, units, calendar)
    if values.dtype.kind in "SU" or (values.dtype == object and isinstance(values.flat[0], str | bytes)):
        return _texts(values)
    if values.dtype == object and not hasattr(values.flat[0], "calendar"):
        values = pd.to_datetime(values, utc=True).tz_localize(None).to_numpy()
    if values.dtype == object:  # cftime: plain dates where the calendar is the common one
        values = np.array([_whole_second(v) for v in values], dtype=object)
        if all(v.calendar in COMMON and 1700 < v.year < 2200 for v in values):
            return _whole(np.array([v.isoformat() for v in values], dtype="datetime64[ns]"))
        return values
    return _whole(_nanoseconds(values))


def writes_dates(values: np.ndarray, units: str = "") -> bool:
    """Whether numbers write dates, as 20190101 does; those of a unit that says otherwise never do."""
    if values.dtype.kind not in "iuf" or not values.size or WRITTEN.fullmatch(units.strip()) is None:
        return False
    try:
        _numbers(np.ravel(values), units, "")
    except ValueError:
        # Where the unit is that of dates, what is wrong with them is for `dates_of` to say.
        return len(units.strip()) > 1
    return True


def durations_of(values: np.ndarray, units: str = "") -> np.ndarray:
    """Durations, such as leads of a forecast, as timedelta64[ns].

    Raises
    ------
    ValueError
        Numbers without a unit of time, or of months and years, which have no fixed length.
    """
    if values.dtype.kind == "m":
        return values.astype("m8[ns]")
    scale = SECONDS.get(units.strip().lower())
    if scale is None or values.dtype.kind not in "iuf":
        raise ValueError(f"expected a unit of time such as hours, got {units.strip() or 'none'!r}")
    if not np.isfinite(values.astype("f8")).all():
        raise ValueError("values are missing")
    return np.rint(values.astype("f8") * scale * 1e3).astype("m8[ms]").astype("m8[ns]")


def parse_duration(text: str) -> np.timedelta64 | None:
    """A duration in words such as "12h", "12 hours", "90min", "PT12H" or "0 days 12:00:00"; None where it is none."""
    if match := AMOUNT.fullmatch(text.strip()):
        scale = SECONDS.get(match[2].lower())
        return None if scale is None else np.timedelta64(round(float(match[1]) * scale * 1e9), "ns")
    match = CLOCK.fullmatch(text.strip()) or ISO_AMOUNT.fullmatch(text.strip().upper())
    if match is None or not any(match.groups()):
        return None
    parts = dict(zip(("days", "hours", "minutes", "seconds"), (int(part or 0) for part in match.groups()), strict=True))
    return np.timedelta64(timedelta(**parts)).astype("m8[ns]")


def duration_words(duration: np.timedelta64) -> str:
    """A duration as `parse_duration` reads it, in the largest unit that counts it whole: "12 h", "1.5 s"."""
    seconds = duration / np.timedelta64(1, "s")
    size, unit = next(((n, u) for n, u in ((86_400, "d"), (3600, "h"), (60, "min")) if seconds % n == 0), (1, "s"))
    return "0 s" if seconds == 0 else f"{seconds / size:g} {unit}"


def calendar_name(text: str) -> str:
    """CF's name of a calendar that a file writes with blanks, capitals or in another spelling.

    Raises
    ------
    ValueError
        No calendar of CF.
    """
    name = re.sub(r"[\s-]+", "_", str(text).strip(" \x00").lower())
    name = ALIASES.get(name, name)
    if name not in CALENDARS:
        raise ValueError(f"calendar {text!r} is none of CF's: {', '.join(CALENDARS)}")
    return name


def is_plain(units: str, calendar: str) -> bool:
    """Whether libraries read a count since a date, in this calendar, as it is meant."""
    forms = (PLAIN, PLAIN_COMMON) if calendar in COMMON else (PLAIN,)
    return calendar in ("", *CALENDARS) and any(form.fullmatch(units) for form in forms)


def count_units(units: str, calendar: str) -> str:
    """A count since a date, such as "Hours since 2020-1-1 09:00 +9", in the one form that every library reads.

    xarray and cftime pass over what they do not know: a zone in letters ("JST"), and in calendars other than the common
    one also "+9", "-6:00", and an hour without minutes (Unidata/cftime#204 and pydata/xarray#2649 are of that kind).

    Parameters
    ----------
    calendar
        CF's name of it.

    Returns
    -------
    str
        In UTC, without zone.

    Raises
    ------
    ValueError
        A date that is none, or a zone that is no offset.
    """
    since = SINCE.fullmatch(units.strip(" \x00"))
    if since is None:
        raise ValueError(f"expected units such as 'hours since 2019-01-01', got {units!r}")
    written = since[2].strip().replace("/", "-") if re.match(r"\d{3,4}/", since[2]) else since[2].strip()
    written = re.sub(r"^(\d{4})(\d\d)(\d\d)(?=\D|$)", r"\1-\2-\3", written)
    match = REFERENCE.fullmatch(written)
    if since[1].lower() in ("week", "weeks", "fortnight", "fortnights"):
        raise ValueError(f"expected seconds, minutes, hours or days since a date, got {units!r}")
    if match is None or (match["zone"] and match["hour"] is None and not match["blank"]):
        known = re.fullmatch(r"([\d\s:.TZ/-]*\d)\s*([A-Za-z]\S*)", written)
        zone = f"time zone {known[2]!r} is no offset such as +09:00" if known else "expected a date such as 2019-01-31"
        raise ValueError(f"{zone}, got {units!r}")
    year, month, day, hour, minute = (int(match[name] or first) for name, first in _FIELDS)
    shift = timedelta(days=int(hour == 24)) - _zone(match["zone"] or "")
    if hour == 24 or shift:
        import cftime

        start = cftime.datetime(year, month, day, hour % 24, minute, calendar=calendar) + shift
        year, month, day, hour, minute = start.year, start.month, start.day, start.hour, start.minute
    second = f"{float(match['second'] or 0):09.6f}".removesuffix(".000000")
    return f"{since[1].lower()} since {year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second}"


_FIELDS = (("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0))


def _zone(text: str) -> timedelta:
    digits = re.sub(r"[^\d+-]", "", text)
    if not digits.strip("+-"):
        return timedelta()
    sign, digits = -1 if digits[0] == "-" else 1, digits.strip("+-")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return sign * timedelta(hours=int(hours), minutes=int(minutes))


def _texts(values: np.ndarray) -> np.ndarray:
    texts = [str(v, "ascii") if isinstance(v, bytes) else str(v) for v in values]
    plain, days = [], []
    for text in texts:
        line, day = _iso(text.strip(" \x00"))
        plain.append(line)
        days.append(day)
    try:
        dates = pd.to_datetime(plain, format="ISO8601", utc=True).tz_localize(None).to_numpy()
    except ValueError:
        raise ValueError(f"{_not_a_date(plain, texts)!r} is no date such as 2019-01-31T06:00") from None
    return _whole(_nanoseconds(dates) + np.array(days, "m8[D]"))


def _iso(text: str) -> tuple[str, int]:
    """A text in the form of ISO 8601, and days to be added: 24:00 is the midnight that ends a day."""
    text = re.sub(r"\s*(UTC|GMT)$", "Z", text.replace("_", "T"), flags=re.IGNORECASE)
    text = text.replace("/", "-") if re.match(r"\d{4}/", text) else text
    if match := COMPACT.fullmatch(text):
        year, month, day, *clock = match.groups()[:-1]
        text = f"{year}-{month}-{day}T" + ":".join([part or "00" for part in clock]) + match[7]
    if match := MIDNIGHT.fullmatch(text):
        return f"{match[1]}00{match[2]}", 1
    return text, 0


def _not_a_date(plain: list[str], texts: list[str]) -> str:
    for line, text in zip(plain, texts, strict=True):
        try:
            pd.to_datetime([line], format="ISO8601", utc=True)
        except ValueError:
            return text
    return texts[0]


def _numbers(values: np.ndarray, units: str, calendar: str) -> np.ndarray:
    """Dates written as numbers: the digits say up to where they are written."""
    if WRITTEN.fullmatch(units.strip()) is None:
        raise ValueError(f"they are numbers in {units!r}")
    whole = np.floor(values.astype("f8"))
    digits = {len(f"{v:.0f}") for v in whole.tolist()} if np.isfinite(whole).all() else set()
    if len(digits) != 1 or (count := digits.pop()) not in (8, 10, 12, 14):
        raise ValueError(f"expected numbers such as 20190131, got {values[0]} .. {values[-1]}")
    if values.dtype.itemsize <= 4 and values.dtype.kind == "f":
        raise ValueError(f"float32 does not hold {values[0]:.0f}: above 16777216 it has no odd numbers")
    date, clock = np.divmod(whole.astype(np.int64), 10 ** (count - 8))
    clock = clock * 10 ** (14 - count)  # hhmmss
    seconds = (clock // 10_000 * 60 + clock // 100 % 100) * 60 + clock % 100
    # float64 holds the minute of a fraction of a day, not the second.
    fraction = np.rint((values.astype("f8") - whole) * 1440.0).astype(np.int64) * 60 if count == 8 else 0
    if (seconds > 86_400).any() or (date // 10_000 < 1000).any():
        raise ValueError(f"expected numbers such as 20190131, got {values[0]} .. {values[-1]}")
    return _stamps(date, (seconds + fraction).astype("m8[s]"), calendar_name(calendar))


def _stamps(dates: np.ndarray, clock: np.ndarray, calendar: str) -> np.ndarray:
    parts = [(n // 10_000, n // 100 % 100, n % 100) for n in dates.tolist()]
    if calendar in COMMON:
        texts = [f"{year:04d}-{month:02d}-{day:02d}" for year, month, day in parts]
        return _nanoseconds(np.array(texts, dtype="M8[s]") + clock)
    import cftime

    return np.array([cftime.datetime(*date, calendar=calendar) for date in parts], dtype=object) + clock.astype(object)


def _nanoseconds(values: np.ndarray) -> np.ndarray:
    """datetime64[ns], which reaches from 1677 to 2262; a cast from beyond wraps around without a word."""
    if values.dtype == "datetime64[ns]" or not values.size:
        return values.astype("M8[ns]")
    years = values.astype("datetime64[Y]").astype(np.int64) + 1970
    years = years[~np.isnat(values)]
    if (np.abs(years - 1970) > 290).any():
        raise ValueError(f"years {years.min()} to {years.max()}; expected 1680 to 2260, or cftime dates")
    return values.astype("M8[ns]")


def _whole_second(time: Any) -> Any:
    off = (time.microsecond + 500_000) % 1_000_000 - 500_000
    return time - timedelta(microseconds=off) if off and abs(off) < 10_000 else time


def _whole(times: np.ndarray) -> np.ndarray:
    """Whole seconds, where floating-point days or hours missed one by less than a hundredth."""
    seconds = (times + np.timedelta64(500_000_000, "ns")).astype("datetime64[s]").astype("datetime64[ns]")
    near = np.abs(times - seconds) < np.timedelta64(10_000_000, "ns")
    return np.where(near, seconds, times)
