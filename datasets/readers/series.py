"""Series: values by time alone, the same at every point, from a CSV or a file that xarray opens."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from simvp.coords import Step
from simvp.errors import Refusal, SourceError
from simvp.files import opened
from simvp.times import encode_times, name_time
from simvp.values import is_unit

CSV = ".csv"
COLUMNS = "write a column of times, in UTC, and one of numbers for each variable"
POINT = ("y", "x")


def open_series(
    source: str | Path | Sequence[str | Path],
    *,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset | None:
    """A source of series as a Dataset of maps of a single point, (time, y, x); None where it holds something else.

    Parameters
    ----------
    source
        A CSV with a header line, its first column times (UTC) and each other one a variable; or a file whose variables
        have a dim of time alone.
    variables
        To keep; all by default.
    units
        Of variables whose file states none, as a CSV does; "1" for a pure number.

    Raises
    ------
    SourceError
        Times that cannot be read, that repeat, or that no step divides; variables that are not there; text instead of
        numbers; no units.
    """
    if isinstance(source, str | Path) and str(source).endswith(CSV):
        ds = _of_csv(str(source))
    else:
        try:
            with opened(source if isinstance(source, str | Path) else list(source)) as found:
                if not _are_series(found, variables):
                    return None
                ds = found.load()
        except Refusal:
            return None  # what reads maps says what is wrong
    names = [str(name) for name in (variables or ds.data_vars)]
    here = ", ".join(map(str, ds.data_vars))
    if reasons := [f"{name}: there is no such variable, but {here}" for name in names if name not in ds]:
        raise SourceError(f"source {source}", reasons, "name those to keep: variables")
    return _maps(ds[names], f"source {source}", units or {})


def _are_series(ds: xr.Dataset, variables: Sequence[str] | None) -> bool:
    names = list(variables or ds.data_vars)
    return bool(names) and all(name in ds and ds[name].ndim == 1 for name in names)


def _of_csv(path: str) -> xr.Dataset:
    import pandas as pd

    title = f"source {path}"
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except FileNotFoundError:
        raise SourceError(title, ["there is no such file"], "check the path") from None
    except (OSError, ValueError) as error:
        raise SourceError(title, [f"expected a CSV with a header line: {error}"], COLUMNS) from None
    if len(table.columns) < 2:
        raise SourceError(title, [f"expected two columns or more, got {', '.join(table.columns)}"], COLUMNS)
    first = str(table.columns[0])
    try:
        times = pd.to_datetime(table[first], utc=True).dt.tz_localize(None).to_numpy("M8[ns]")
    except (ValueError, TypeError) as error:
        reason = f"{first}: expected times as 2024-03-01 or 2024-03-01T06:00: {error}"
        raise SourceError(title, [reason], COLUMNS) from None
    wrong = [str(name) for name in table.columns[1:] if table[name].dtype.kind not in "biuf"]
    if wrong:
        raise SourceError(title, [f"{name}: expected numbers" for name in wrong], "write 0 and 1 for no and yes")
    fields = {str(name): ("time", table[name].to_numpy("f4")) for name in table.columns[1:]}
    return xr.Dataset(fields, {"time": times})


def _maps(ds: xr.Dataset, title: str, units: Mapping[str, str]) -> xr.Dataset:
    """Series on a grid of one point."""
    dims = {dim for name in ds.data_vars for dim in ds[name].dims}
    if len(dims) != 1 or not set(dims) <= set(ds.coords):
        raise SourceError(title, [f"expected one dim, with times, got {', '.join(map(str, dims))}"], COLUMNS)
    dim = dims.pop()
    times = ds[dim].values
    try:
        if times.dtype.kind not in "MO":  # datetime64, or objects of cftime
            raise TypeError
        seconds = encode_times(times)[0]
    except (TypeError, ValueError, AttributeError):
        raise SourceError(title, [f"{dim}: expected times, got {times.dtype}"], COLUMNS) from None
    reasons = []
    if (np.diff(seconds) <= 0).any():
        at = int(np.argmax(np.diff(seconds) <= 0))
        reasons.append(f"expected rising times, got {name_time(times[at])} followed by {name_time(times[at + 1])}")
    elif len(times) > 1:
        try:
            Step.infer(times)
        except Refusal as refusal:
            reasons += refusal.reasons
    fields = {}
    for name in map(str, ds.data_vars):
        stated = str(ds[name].attrs.get("units", "")) or units.get(name, "")
        if not stated or not is_unit(stated):
            reasons.append(f'{name}: units are missing, or none; state them: units.{name} = "1" for a pure number')
        values = np.asarray(ds[name].values, np.float32)[:, None, None]
        fields[name] = (("time", *POINT), values, {**ds[name].attrs, "units": stated})
    if reasons:
        raise SourceError(title, reasons, "give each step from the first to the last a value, and each variable units")
    return xr.Dataset(fields, {"time": ("time", times, {"standard_name": "time", "axis": "T"})})
