"""GRIB through cfgrib: every field of a file is in what comes out, told apart from every other, or named in a refusal.

cfgrib sorts fields by a few keys, keeps the last of those that agree in them, and leaves out what does not fit with a
line in its log. So what there is comes from `grib_messages`, is compared in `grib_series`, and is handed to cfgrib in
portions that are whole cubes of each variable; cfgrib reads their values.
"""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from datasets.readers.grib.messages import KEYS, Field, Place, read_fields, read_keys
from datasets.readers.grib.series import (
    CURVED,
    REGULAR,
    cubes_of,
    faults_of,
    in_words,
    labels_of,
    lead_of,
    period_of,
    scanning_mode,
)
from datasets.sizes import refuse_maps
from simvp.coords import axis_names, select_values
from simvp.errors import Refusal, SourceError

# ecCodes' stepType as a method of CF conventions, appendix E; "instant" is none.
METHODS = {
    "accum": "sum",
    "avg": "mean",
    "max": "maximum",
    "min": "minimum",
    "rms": "root_mean_square",
    "sd": "standard_deviation",
}


def open_grib(path: str, select: Mapping[str, Any], variables: Sequence[str] | None = None) -> list[xr.Dataset]:
    """Messages of one file as one dataset, or as many as there are cubes of other levels, times or grids among them.

    Variables that ecCodes has no name for are called by their numbers, as ``unknown_kwbc_0_20_201``. A variable that is
    a sum, a mean or an extreme says so, and over which period, in ``cell_methods``.

    Parameters
    ----------
    path
        Of a local file.
    select
        Of which the keys of a message (`KEYS`) choose among the messages; a list of values chooses any of them. A step
        and a member leave out the messages of all others.
    variables
        Those that are looked at, where the file has any of them.

    Raises
    ------
    SourceError
        A damaged file; no message is left; messages of one variable that share their place or differ in what they
        mean; a grid, a scanning mode or a bitmap that cannot be read.
    """
    keys = {key: value for key, value in select.items() if key in KEYS}
    fields = [field for field in read_fields(path, tuple(keys)) if _meets(field, keys)]
    if not fields:
        raise SourceError(path, [f"no GRIB message with {keys}" if keys else "no GRIB message that can be read"])
    named = _by_name(path, fields)
    wanted = {name: named[name] for name in variables or () if name in named}
    named = {name: _chosen(fields, select) for name, fields in (wanted or named).items()}
    maps = {(name, field.get("numberOfPoints") or 0) for name, fields in (wanted or named).items() for field in fields}
    refuse_maps(path, [(name, (points,), 4) for name, points in sorted(maps)])
    if wanted or variables is None:
        reasons = [] if wanted else _to_be_named(named)
        reasons += [reason for name, fields in named.items() for reason in faults_of(path, name, fields)]
        if reasons:
            raise SourceError(path, reasons)
    together: dict[Hashable, dict[str, list[Field]]] = defaultdict(dict)
    for name, fields in named.items():
        for key, cube in cubes_of(fields).items():
            together[key, name if name.startswith("unknown_") else ""][name] = cube
    return [_dataset(path, variables) for variables in together.values()]


class Messages(Mapping[Place, Any]):
    """Fields of a file as cfgrib asks for them: what they say out of `read_fields`, their values out of the file.

    Parameters
    ----------
    fields
        Of one grid and scanning mode.
    """

    def __init__(self, path: str, fields: Sequence[Field]) -> None:
        import cfgrib.messages

        self.path, self._fields = path, {field.at: field for field in fields}
        self._stream = cfgrib.messages.FileStream(path)
        self._mode = scanning_mode(fields[0])

    def __getitem__(self, at: Place) -> Any:
        return _Message(self._stream[at], self._mode, f"{self.path}, message at byte {at}")

    def __iter__(self) -> Iterator[Place]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def items(self) -> Any:
        """Headers alone, of which cfgrib makes its index."""
        return self._fields.items()

    def __dask_tokenize__(self) -> object:
        state = os.stat(self.path)
        return type(self).__name__, self.path, state.st_mtime_ns, state.st_size, list(self._fields)


class _Message:
    """A message whose values are listed row by row, each in the direction of the first (code table 3.4, bits 3 and 4).

    cfgrib takes columns for rows, and turns back every second row, not every second column, where these alternate.
    """

    def __init__(self, message: Any, mode: int, name: str) -> None:
        self._message, self._mode, self._name = message, mode, name

    def __getitem__(self, key: str) -> Any:
        if key == "alternativeRowScanning":
            return 0
        if key != "values":
            return self._message[key]
        try:
            return self._values()
        except Exception as error:  # ecCodes has many, and cfgrib makes KeyErrors of some
            raise SourceError(self._name, [f"its values cannot be read: {error}"]) from error

    def _values(self) -> np.ndarray:
        values, by_column = self._message["values"], bool(self._mode & 0x20)
        if not self._mode & 0x30:
            return np.asarray(values)
        rows, columns = self._message["Ny"], self._message["Nx"]
        lines = values.reshape((columns, rows) if by_column else (rows, columns)).copy()
        if self._mode & 0x10:
            lines[1::2] = lines[1::2, ::-1]
        return np.ravel(lines.T if by_column else lines)


def _meets(field: Field, keys: Mapping[str, Any]) -> bool:
    """Whether a field has, of every key, one of the values that are asked for, as a number or as a text."""
    return all(
        any(_same(field.get(key), value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted]))
        for key, wanted in keys.items()
    )


def _same(stated: Any, wanted: Any) -> bool:
    try:
        return stated is not None and (str(stated) == str(wanted) or float(stated) == float(wanted))
    except (TypeError, ValueError):
        return False


def _by_name(path: str, fields: Sequence[Field]) -> dict[str, list[Field]]:
    """Fields by the name of their variable, which is cfgrib's where ecCodes has one."""
    names: dict[Hashable, str] = {}
    named: dict[str, list[Field]] = defaultdict(list)
    for field in fields:
        nameless = not field.get("paramId")
        parameter = ("unknown", field.get("centre"), *_numbers(field)) if nameless else field.get("paramId")
        if parameter not in names:
            names[parameter] = "_".join(map(str, parameter)) if nameless else _name(path, field)
        named[names[parameter]].append(field)
    return dict(named)


def _numbers(field: Field) -> tuple[Any, ...]:
    """Of what parameter a field is, as it is coded."""
    keys = ("table2Version", "indicatorOfParameter")
    return tuple(
        map(field.get, keys if field.get("edition") == 1 else ("discipline", "parameterCategory", "parameterNumber"))
    )


def _name(path: str, field: Field) -> str:
    names = read_keys(path, field, ("cfVarName", "shortName"))
    return next(
        (str(name) for name in names.values() if name not in ("undef", "unknown", "~")), f"paramId_{field['paramId']}"
    )


def _to_be_named(named: Mapping[str, Sequence[Field]]) -> list[str]:
    """Variables that whoever does not name them may not know of: several without a name, and one in several ways.

    What ecCodes calls a mean depends on its version: `2t` as the field at the instant, or `avg_2t`.
    """
    reasons = []
    nameless = [name for name in named if name.startswith("unknown_")]
    if len(nameless) > 1:
        keys = "discipline, parameterCategory and parameterNumber, or table2Version and indicatorOfParameter"
        what = f"ecCodes calls {len(nameless)} parameters 'unknown': {', '.join(nameless)}"
        reasons.append(f"{what}; name those to be read as variables, or choose with select by {keys}")
    ways: dict[Hashable, dict[str, str]] = defaultdict(dict)
    for name, (first, *_) in named.items():
        ways[first.get("typeOfLevel"), first.get("level:float"), _numbers(first)][name] = str(first.get("stepType"))
    for names in ways.values():
        if len(set(names.values())) > 1:
            listed = ", ".join(f"{name} (stepType {kind})" for name, kind in names.items())
            choice = f"or choose with select={{'stepType': {next(iter(names.values()))!r}}}"
            reasons.append(f"one parameter in several ways: {listed}; name those to be read as variables, {choice}")
    return reasons


def _chosen(fields: list[Field], select: Mapping[str, Any]) -> list[Field]:
    """Fields of the step and of the member that `select` names, by its rule for axes; all, where there is none such."""
    for name, role, units, value_of in (
        ("step", "forecast_period", "hours", lead_of),
        ("number", "realization", "1", _member),
    ):
        values, places = np.unique([value_of(field) for field in fields], return_inverse=True)
        labels = {name: (name, values, {"standard_name": role, "units": units})}
        axis = xr.Dataset({"place": (name, np.arange(len(values)))}, labels)
        for key in (key for key in select if axis_names(axis, key)):
            try:
                chosen = int(select_values(axis, {key: select[key]})["place"])
            except Refusal:  # said with all that the axis has, once it is one
                continue
            fields = [field for field, place in zip(fields, places, strict=True) if place == chosen]
            break
    return fields


def _member(field: Field) -> float:
    return float("nan") if field.get("number") is None else float(field["number"])


def _dataset(path: str, variables: Mapping[str, Sequence[Field]]) -> xr.Dataset:
    """Variables of one cube, under their names, with what tells them from others of the name as scalar coordinates."""
    fields = [field for of_one in variables.values() for field in of_one]
    opening: dict[str, Any] = {"chunks": "auto", "decode_timedelta": False, "backend_kwargs": {"errors": "raise"}}
    ds = xr.open_dataset(Messages(path, fields), engine="cfgrib", **opening)  # type: ignore[arg-type]
    names = {of_one[0].get("paramId"): name for name, of_one in variables.items()}
    ds = ds.rename({name: names[var.attrs["GRIB_paramId"]] for name, var in ds.data_vars.items()})
    ds.attrs.pop("history", None)  # made by cfgrib at each opening, with the clock
    labels = labels_of(fields)
    ds = ds.assign_coords({label: ((), value, {"units": unit}) for label, (value, unit) in labels.items()})
    for name, of_one in variables.items():
        ds[name].encoding["coordinates"] = " ".join([str(ds[name].encoding.get("coordinates", "")), *labels]).strip()
        ds[name].attrs.pop("GRIB_jPointsAreConsecutive", None)  # no longer, see `_Message`
        if method := METHODS.get(of_one[0].get("stepType")):
            over = f" (comment: over {in_words(period_of(of_one[0]))})" if "period" in labels else ""
            ds[name].attrs["cell_methods"] = f"time: {method}{over}"
    return _with_longitudes(_with_planes(_with_seconds(ds, fields), fields))


def _with_seconds(ds: xr.Dataset, fields: Sequence[Field]) -> xr.Dataset:
    """Times to the second, as of radar; cfgrib leaves seconds out."""
    seconds = np.timedelta64(fields[0].get("second") or 0, "s")
    return ds.assign_coords(
        {name: ds[name] + seconds for name in ("time", "valid_time") if seconds and name in ds.coords}
    )


def _with_planes(ds: xr.Dataset, fields: Sequence[Field]) -> xr.Dataset:
    """Latitude and longitude of each point where ecCodes lists them column by column: cfgrib takes these for rows."""
    if fields[0].get("gridType") not in CURVED or not scanning_mode(fields[0]) & 0x20:
        return ds
    planes = {name: ds[name] for name in ("latitude", "longitude")}
    turned = {n: (c.dims, c.values.reshape(c.shape[::-1]).T, c.attrs) for n, c in planes.items()}
    return ds.assign_coords(turned)


def _with_longitudes(ds: xr.Dataset) -> xr.Dataset:
    """Longitudes in the order of the values.

    ecCodes lists the distinct ones in rising order, and cfgrib labels the columns with that list, also where a region
    crosses Greenwich (358, 359, 0, 1) and the values do not begin with the least: github.com/ecmwf/cfgrib/issues/402.
    """
    if "longitude" not in ds.dims or ds.sizes["longitude"] < 2:
        return ds
    attrs = next(iter(ds.data_vars.values())).attrs
    first, last = (attrs.get(f"GRIB_longitudeOf{end}GridPointInDegrees") for end in ("First", "Last"))
    if first is None or last is None or attrs.get("GRIB_gridType") not in REGULAR:
        return ds
    sign = -1.0 if attrs.get("GRIB_iScansNegatively") else 1.0
    span = (sign * (last - first)) % 360.0 or 360.0
    step = sign * span / (ds.sizes["longitude"] - 1)
    longitudes = first + step * np.arange(ds.sizes["longitude"])
    off = (ds["longitude"].values - longitudes + 180.0) % 360.0 - 180.0
    if (np.abs(off) < 1e-2 * abs(step)).all():
        return ds
    if longitudes.max() > 360.0:
        longitudes -= 360.0
    return ds.assign_coords(longitude=("longitude", longitudes, ds["longitude"].attrs))
