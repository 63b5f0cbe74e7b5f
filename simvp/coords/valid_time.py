"""The valid time, which is the time of a field: told from the time of a run, and made of it and a lead.

The standard names of CF: `time` is the valid time, `forecast_reference_time` the time of the run, `forecast_period` the
lead between them. Many files name them otherwise, or call the time of the run `time`.
"""

import logging
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from simvp.coords.roles import Candidate, analyses
from simvp.times import calendar_name, count_units, dates_of, durations_of, encode_times, is_plain, writes_dates

if TYPE_CHECKING:
    from simvp.coords.planes import Axes

logger = logging.getLogger(__name__)

DAY = np.timedelta64(1, "D")
YEARS = np.timedelta64(366, "D")  # a climatology takes in more than the one year that any period of a series may last

Times = tuple[str | None, str | None, list[str]]
"""Variable of times, that of the leads to add to them (None: they are valid times), and what is wrong."""


def is_dates(var: xr.Variable) -> bool:
    """Whether a variable of at most one dim holds times: datetime64, datetime or cftime objects, texts, or 20190101."""
    if var.dtype.kind in "MSUT":
        return True
    if var.dtype.kind in "iuf":
        return var.size > 0 and writes_dates(var.values, str(var.attrs.get("units", "")))
    if var.dtype != object or var.size == 0:
        return False
    first = np.asarray(var[(0,) * var.ndim].values).item()  # the only value that is read
    return hasattr(first, "timetuple") or isinstance(first, str)


def times_and_lead(ds: xr.Dataset, ranked: Sequence[Candidate], used: Mapping[str, int]) -> Times:
    """Which variables the valid times of fields come from.

    Parameters
    ----------
    ranked
        As from `simvp.coords.roles.candidates`.
    used
        Dims of the fields, and how many fields have each.
    """
    named = [c for c in ranked if c.role in ("time", "init") and len(c.dims) < 2]
    if empty := next((c.name for c in named if not ds.variables[c.name].size and c.dims[0] in used), None):
        return None, None, [f"no frames: expected times along {empty}, got a time axis of length 0"]
    dated = [c for c in named if is_dates(ds.variables[c.name])]
    on_data = [c for c in dated if not c.dims or c.dims[0] in used]
    # Of several axes of time that are said equally well, that of most fields, then the longest.
    on_data.sort(key=lambda c: (c.rank, [(-used[dim], -ds.sizes[dim]) for dim in c.dims]))
    runs = [c.name for c in ranked if c.role == "init"]
    init = next((c.name for c in on_data if c.role == "init"), None)
    valid = next((c.name for c in on_data if c.role == "time"), None)
    lead, unknown = _lead(ds, ranked, used)
    if valid is not None and init is not None and lead is not None:
        meant = _meaning(ds, valid, init, lead)
        if meant != "valid":
            return _unlike(ds, valid, init, lead, meant)
    if valid is None:
        labels = {str(dim): ds.variables[dim] for dim in ds.dims if dim in used and dim in ds.variables}
        by_type = [name for name, var in labels.items() if var.dtype.kind not in "iuf" and is_dates(var)]
        apart = [c.name for c in dated if c.role == "time"]
        valid = next((n for n in (*by_type, *(apart if init is None or lead is None else ())) if n not in runs), None)
    if valid is not None and (lead is None or runs or said_valid(ds, valid)):
        return _checked(ds, valid, lead, runs, unknown, used)
    if valid is not None and lead is not None:
        return _beside_lead(ds, valid, lead)
    if init is not None and lead is not None:
        return init, lead, []
    if init is not None and analyses(ds, used):
        logger.warning("time: %s, the init time, is taken for the valid time: GRIB calls the fields no forecasts", init)
        return init, None, []
    if init is not None:
        remedy = "give files with the lead (forecast_period), or set standard_name to time if it is the valid time"
        return None, None, [unknown or f"no valid time: {init} is the init time of a forecast; {remedy}"]
    return None, None, [_timeless(ds, ranked)]


def said_valid(ds: xr.Dataset, name: str) -> bool:
    """Whether a variable of times says of itself that they are valid times."""
    attrs = ds.variables[name].attrs
    words = f"{name} {attrs.get('long_name', '')}".lower()
    return attrs.get("standard_name") == "time" or "valid" in words or "verif" in words


def time_dim(ds: xr.Dataset, times: str, lead: str | None, used: Container[str]) -> str:
    """The dim along which fields follow each other: of the times, or of the leads of one run; else `times`."""
    own = [(str(d), ds.sizes[d]) for name in (times, lead) if name is not None for d in ds.variables[name].dims]
    on_data = sorted((dim for dim in own if dim[0] in used), key=lambda dim: dim[1] < 2)
    apart = [dim for dim in own if dim[1] > 1]
    return next(iter((*on_data, *apart)), (times, 1))[0]


def valid_times(ds: xr.Dataset, axes: "Axes", names: Sequence[str]) -> tuple[np.ndarray, str, list[str]]:
    """Valid times of the fields `names` in the order of the source, a remark on them, and what is wrong.

    A time at the end of a period of a day or more is moved to its start, for the mean of January lies in January. Which
    period it is say the bounds (CF 7.1); periods of hours end at their time by custom, as amounts of rain do.
    """
    coord = ds.variables[axes.times]
    try:
        times = _dates(coord)
        if axes.lead is not None:
            var = ds.variables[axes.lead]
            leads = durations_of(np.ravel(var.values), str(var.attrs.get("units", "")))
            return _sum(times, leads), f"valid times: {axes.times} + {axes.lead}", _missing(axes.times, times)
    except (ValueError, TypeError) as error:
        return np.ravel(coord.values), "", [f"time: {axes.times} cannot be read as dates: {error}"]
    if faults := _missing(axes.times, times):
        return times, "", faults
    return *_in_period(ds, axes.times, times, names), _climatology(ds, coord, names)


def period_bounds(ds: xr.Dataset, times: str) -> str | None:
    """Name of the bounds of a variable of times, if they are there: as its attribute says, or by custom."""
    var = ds.variables[times]
    said = str(var.attrs.get("bounds") or var.encoding.get("bounds") or "")
    names = (said, f"{times}_bnds", f"{times}_bounds", f"{times}_bound")
    return next((name for name in names if name in ds.variables and _is_pair(ds.variables[name], var)), None)


def _is_pair(bounds: xr.Variable, times: xr.Variable) -> bool:
    return bounds.dims[:-1] == times.dims and bounds.shape[-1:] == (2,) and bounds.dtype.kind in "MOiuf"


def _edges(ds: xr.Dataset, times: xr.Variable, bounds: str) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of periods. xarray decodes bounds that the attribute `bounds` names, and no others.

    Raises
    ------
    ValueError
        They cannot be decoded.
    """
    var = ds.variables[bounds]
    if var.dtype.kind in "iuf" and "since" in str(times.encoding.get("units", "")):
        attrs = {key: times.encoding[key] for key in ("units", "calendar") if key in times.encoding}
        var = xr.coders.CFDatetimeCoder().decode(xr.Variable(var.dims, var.values, attrs))
    starts, ends = np.sort(_dates(var).reshape(-1, 2), axis=1).T  # some files name the end first
    return starts, ends


def _lead(ds: xr.Dataset, ranked: Sequence[Candidate], used: Container[str]) -> tuple[str | None, str]:
    """The variable of leads, and why there is none where one is called so."""
    unknown = ""
    # Beside the time of a run, a time in hours is the lead.
    roles = ("lead", "time") if any(c.role == "init" for c in ranked) else ("lead",)
    for c in sorted(ranked, key=lambda c: c.role != "lead"):
        var = ds.variables[c.name]
        if c.role not in roles or len(c.dims) > 1 or is_dates(var) or not (not c.dims or c.dims[0] in used):
            continue
        try:
            durations_of(np.ravel(var.values), str(var.attrs.get("units", "")))
        except ValueError as error:
            if c.role == "lead" and (c.said or c.name.lower() != "step"):  # which may be a number of steps
                counted = "month" in f"{c.name} {var.attrs.get('units', '')}".lower()
                why = (
                    "in months, and from which month on is not told" if counted else f"that no time is told of: {error}"
                )
                remedy = "give files with the valid time, under standard_name time"
                unknown = unknown or f"no valid time: {c.name} counts leads {why}; {remedy}"
            continue
        return c.name, ""
    return None, unknown


def _checked(
    ds: xr.Dataset, valid: str, lead: str | None, runs: Sequence[str], unknown: str, used: Container[str]
) -> Times:
    """Valid times, unless the fields have an axis of leads that makes them times of runs."""
    across = lead is not None and bool(ds.variables[lead].ndim) and ds.variables[lead].dims[0] in used
    if lead is not None and across and not runs and (fault := two_meanings(ds, valid, lead)):
        return None, None, [fault]
    if unknown and not runs and not said_valid(ds, valid):
        return None, None, [unknown]
    return valid, None, []


def _meaning(ds: xr.Dataset, times: str, init: str, lead: str) -> Literal["valid", "init", "aside", "neither"]:
    """What times are beside runs and leads: their sums, the runs again, one date of something else, or neither."""
    own, run, ahead = (ds.variables[name] for name in (times, init, lead))
    if not own.ndim and (run.ndim or ahead.ndim):
        return "aside"
    try:
        dates, runs = _dates(own), _dates(run)
        leads = durations_of(np.ravel(ahead.values), str(ahead.attrs.get("units", "")))
    except ValueError:  # what is wrong with them is said where they are read
        return "valid"
    within = set(run.dims) <= set(own.dims)
    if within and set(ahead.dims) <= set(own.dims) and (_sum(runs, leads) == dates).all():
        return "valid"
    return "init" if within and (runs == dates).all() else "neither"


def _unlike(ds: xr.Dataset, times: str, init: str, lead: str, meant: str) -> Times:
    if meant == "aside":
        return init, lead, []
    if not said_valid(ds, times):
        remedy = f"set the standard_name of {times} to time or to forecast_reference_time"
        fault = f"{times}: init times or valid times? They are neither {init} nor {init} + {lead}; {remedy}"
        return (init, lead, []) if meant == "init" else (None, None, [fault])
    if meant == "neither":  # as of means, whose time is the middle of their period
        return times, None, []
    return None, None, [f"{times}: its standard_name says valid time, but it is {init} without the lead, {lead}"]


def two_meanings(ds: xr.Dataset, valid: str, lead: str) -> str:
    """What is wrong with valid times beside an axis of several leads, where no time of the run says what they are."""
    own = ds.variables[lead]
    if own.size < 2 or own.dims == ds.variables[valid].dims:
        return ""
    text = f"{valid}: its standard_name says valid time, but the fields have an axis of leads too, {lead}"
    return f"{text}; if it is the init time, as beside most such axes, set standard_name to forecast_reference_time"


def _beside_lead(ds: xr.Dataset, times: str, lead: str) -> Times:
    """Bare times beside leads: times of runs, unless leads on the same dim grow as they do."""
    own = ds.variables[lead]
    if not own.ndim or own.dims != ds.variables[times].dims:
        return times, lead, []
    leads = durations_of(own.values, str(own.attrs.get("units", "")))
    if (leads == leads[0]).all():
        return times, lead, []
    try:
        dates = _dates(ds.variables[times])
    except ValueError:  # what is wrong with them is said where they are read
        return times, None, []
    grown = np.array([np.timedelta64(date - dates[0]) for date in dates], "m8[ns]")
    if (grown == leads - leads[0]).all():
        return times, None, []
    remedy = f"set the standard_name of {times} to time or to forecast_reference_time"
    return None, None, [f"{times}: init times or valid times? {lead} lies on the same axis; {remedy}"]


def _timeless(ds: xr.Dataset, ranked: Sequence[Candidate]) -> str:
    undated = [c.name for c in ranked if c.role in ("time", "init") and len(c.dims) < 2]
    if undated:
        var = ds.variables[undated[0]]
        return (
            f"no time axis: {undated[0]} holds numbers without dates; expected units such as 'hours since 2019-01-01', "
            f"got {var.attrs.get('units')!r}: {_undated(var)}"
        )
    undecided = [c.name for c in ranked if c.role in ("time", "init")]
    points = [set(c.dims) for c in ranked if c.role == "latitude" and len(c.dims) == 2]
    if undecided and set(ds[undecided[0]].dims) in points:
        swath = f"{undecided[0]} has dims {ds[undecided[0]].dims}, as latitude has: a swath"
        return f"no single time axis: {swath}; interpolate it to rows and columns first"
    if undecided:
        dim = next((c.name for c in ranked if c.role == "lead"), ds[undecided[0]].dims[-1])
        remedy = f"choose one lead with select={{{str(dim)!r}: ...}}"
        return f"no single time axis: {undecided[0]} has dims {ds[undecided[0]].dims}; {remedy}"
    sizes = ", ".join(f"{name}: {size}" for name, size in ds.sizes.items())
    return f"no time axis: expected a coordinate or a scalar variable with standard_name 'time'; got dims ({sizes})"


def _undated(var: xr.Variable) -> str:
    """Why a variable of times is no dates."""
    units = str(var.attrs.get("units", ""))
    try:
        if "since" in units.lower():
            count_units(units, calendar_name(str(var.attrs.get("calendar", ""))))
        elif var.size:
            _dates(var)
    except ValueError as error:
        return str(error)
    return "they cannot be decoded"


def _dates(var: xr.Variable) -> np.ndarray:
    """Dates of a variable of any form.

    Raises
    ------
    ValueError
        They are none, or the units of which they were made are of the kind that is misread (see `count_units`).
    """
    units = str(var.encoding.get("units", ""))
    calendar = str(var.encoding.get("calendar", ""))
    if "since" in units and not is_plain(units, calendar):
        # Decoded by others, as for `predict`: what they took the date to be is compared with what it is.
        plain = {"units": count_units(units, calendar_name(calendar)), "calendar": calendar_name(calendar)}
        said = {"units": units, "calendar": calendar or "standard"}
        decode = xr.coders.CFDatetimeCoder().decode
        theirs, ours = (decode(xr.Variable("t", np.zeros(1), attrs)) for attrs in (said, plain))
        if (theirs.values != ours.values).any():
            raise ValueError(f"{units!r} was decoded as {theirs.values[0]}, but is {ours.values[0]} UTC")
    return dates_of(np.ravel(var.values), str(var.attrs.get("units", "")), str(var.attrs.get("calendar", "")))


def _missing(name: str, times: np.ndarray) -> list[str]:
    absent = int(np.isnat(times).sum()) if times.dtype.kind == "M" else 0
    return [f"time: {absent} of {len(times)} times are missing in {name}"] if absent else []


def _sum(times: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Times of runs and leads, (N,) or (1,) each; of axes of which one value is still to be chosen, the first lead."""
    leads = leads[:1] if len(leads) != len(times) and min(len(leads), len(times)) > 1 else leads
    if times.dtype != object:
        return times + leads
    return np.asarray(times + leads.astype("m8[us]").astype(object), dtype=object)


def _climatology(ds: xr.Dataset, coord: xr.Variable, names: Sequence[str]) -> list[str]:
    """CF 7.4: the times of a climatology stand for many years each, and are no series."""
    said = str(coord.attrs.get("climatology") or coord.encoding.get("climatology") or "")
    if not said:
        return []
    span = ""
    try:
        starts, ends = _edges(ds, coord, said)
        over_years = any("over years" in str(ds.variables[name].attrs.get("cell_methods", "")) for name in names)
        if not over_years and not (ends - starts > YEARS).any():
            return []  # a mean day of each month, say
        span = ", " + " .. ".join(str(time)[:10] for time in (starts.min(), ends.max()))
    except (KeyError, ValueError):  # bounds that are absent, or numbers of no unit
        pass
    return [f"time: a climatology (attribute climatology: {said}{span}): statistics of many years, which are no series"]


def _in_period(ds: xr.Dataset, name: str, times: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, str]:
    """Times of periods of a day or more, moved from their end to their start; and the remark that says so."""
    bounds = period_bounds(ds, name)
    said = ds.variables[name].attrs.get("bounds")
    if bounds is None and said and said not in ds.variables and not (encode_times(times)[0] % 86_400).any():
        logger.warning("time: whether %s begins or ends each period is not told, for %s is absent", name, said)
    methods = [str(ds.variables[n].attrs.get("cell_methods", "")) for n in names]
    if bounds is None or (methods and all("time: point" in method for method in methods)):
        return times, ""
    try:
        starts, ends = _edges(ds, ds.variables[name], bounds)
        late = (times == ends) & (ends - starts >= DAY)
    except (ValueError, TypeError):  # numbers of no unit, or another calendar: they say nothing
        return times, ""
    if not late.any():
        return times, ""
    moved = np.where(late, starts, times)
    remark = f"labelled at the start of each period, of which the source names the end (bounds: {bounds})"
    old, new = (str(of[late][0])[:19] for of in (times, moved))
    logger.warning("time: %d of %d fields are %s; first %s, which was %s", late.sum(), len(times), remark, new, old)
    return moved, remark
