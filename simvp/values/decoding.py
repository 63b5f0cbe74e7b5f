"""Variables as they are stored, as values, lazily; and what xarray leaves undone of data that it has opened."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from simvp.errors import Refusal
from simvp.values.marks import LIMITS, MARKS, ON_TIME, PACKING, UNDETECT, Form, stored_as
from simvp.values.packing import Span, Stored

DEGREES = re.compile(r"degrees?_?(north|south|east|west|[nsew])", re.IGNORECASE)


def decode(
    name: str, variable: xr.Variable, *, form: Form = "none", fill: Any = None, coordinate: bool = False
) -> xr.Variable:
    """A variable as it is stored, as values, lazily; without the attributes that were applied.

    What is no number (texts, dates) is left as it is. Parameters as of `stored_as`.
    """
    if variable.dtype.kind not in "iuf":
        return variable
    how = stored_as(name, variable.dtype, variable.attrs, form=form, fill=fill, coordinate=coordinate)
    attrs = {key: value for key, value in variable.attrs.items() if not is_applied(key)}
    encoding = {key: value for key, value in variable.encoding.items() if not is_applied(key) and key != "dtype"}
    integers = coordinate and not how.packed and how.seen.kind in "iu" and how.dtype.kind == "f"
    if integers and variable.ndim < 2:  # whole numbers, a level or a member, stay what they are where none is missing
        whole = how.numbers(variable.values)
        data = how.values(variable.values) if how.marked(whole).any() else whole
        return xr.Variable(variable.dims, data, attrs, encoding)
    return xr.Variable(variable.dims, _lazily(variable, how), attrs, encoding)


def decode_all(ds: xr.Dataset, form: Form = "none", fills: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Every variable of a Dataset that was opened as it is stored, but for the dates of times.

    Parameters
    ----------
    fills
        Fill values of Zarr arrays by name.

    Returns
    -------
    xr.Dataset
        A field whose header cannot be read is left as it is, with the reason as ``encoding["fault"]``, which
        `canonicalise` raises where the variable is wanted.

    Raises
    ------
    Refusal
        A coordinate whose header cannot be read.
    """
    decoded = {}
    for key, variable in ds.variables.items():
        name = str(key)
        on_axis = variable.ndim < 2 or name in ds.coords or _labels(variable)
        try:
            decoded[key] = decode(name, variable, form=form, fill=(fills or {}).get(name), coordinate=on_axis)
        except Refusal as refusal:
            if on_axis:
                raise
            decoded[key] = variable.copy(deep=False)
            decoded[key].encoding = {**variable.encoding, "fault": refusal.reasons[0]}
    fields = {name: variable for name, variable in decoded.items() if name not in ds.coords}
    made = xr.Dataset(fields, {name: decoded[name] for name in ds.coords}, ds.attrs)
    made.encoding = ds.encoding
    made.set_close(ds.close)
    return made


def _labels(variable: xr.Variable) -> bool:
    """Whether a variable of two dims is a coordinate by what it says: times, latitudes or longitudes."""
    units, standard = (str(variable.attrs.get(key, "")).strip() for key in ("units", "standard_name"))
    return bool(ON_TIME.fullmatch(units) or DEGREES.fullmatch(units)) or standard in ("latitude", "longitude", "time")


def finish(name: str, variable: xr.Variable) -> xr.Variable:
    """A variable that xarray has opened, with what xarray left undone, lazily; itself where nothing is left.

    xarray applies ``_FillValue`` and ``missing_value`` of the type of the data and moves them into the encoding; what
    stands among the attributes it has not looked at, and marks of another type it may have compared in vain.

    Raises
    ------
    Refusal
        A header that cannot be read.
    """
    before = variable.encoding
    if "fault" in before:
        raise Refusal(name, [str(before["fault"])])
    if variable.dtype.kind not in "iuf":
        return variable
    if any(key in variable.attrs for key in PACKING):  # opened with mask_and_scale=False
        return decode(name, variable)
    # Arithmetic drops the encoding and keeps the attributes, of which limits hold no more then.
    opened = isinstance(before.get("dtype"), np.dtype | type)
    told = MARKS.fullmatch if not opened else is_applied
    mine = {str(key): value for key, value in variable.attrs.items() if told(str(key))}
    stored = np.dtype(before["dtype"]) if opened else variable.dtype
    stored = stored if stored.kind in "iuf" else variable.dtype
    vain = {key: value for key, value in before.items() if MARKS.fullmatch(key) and np.asarray(value).dtype != stored}
    # Of floats the default of the format is no value either, but that needs no header: see `simvp.contract.possible`.
    unwritten = stored.kind in "iu" and not any(map(MARKS.fullmatch, (*before, *mine)))
    unwritten = unwritten and bool({"contiguous", "chunksizes"} & set(before))
    if not mine and not vain and not unwritten:
        return variable
    packing = {key: before[key] for key in (*PACKING, "_Unsigned") if key in before}
    about = {key: variable.attrs[key] for key in ("units", "quantity") if key in variable.attrs}
    how = stored_as(name, stored, {**about, **mine, **packing, **vain}, form="netcdf" if unwritten else "none")
    how = how if variable.dtype == stored and stored.kind in "iu" else _as_values(how, variable.dtype)
    return xr.Variable(variable.dims, _lazily(variable, how), variable.attrs, before)


def is_applied(key: str) -> bool:
    """Whether an attribute is about how values are stored, and of no meaning once they are decoded."""
    named = bool(MARKS.fullmatch(key) or UNDETECT.fullmatch(key))
    return named or key in (*LIMITS, *PACKING, "_Unsigned")


class Decoded(BackendArray):
    """Values of a variable, made of its stored numbers where they are asked for.

    Parameters
    ----------
    variable, how
        As stored, and how it becomes values.
    """

    def __init__(self, variable: xr.Variable, how: Stored) -> None:
        self._variable, self._how = variable, how
        self.shape, self.dtype = variable.shape, how.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        return self._how.values(self._variable[key].values)


def _lazily(variable: xr.Variable, how: Stored) -> Any:
    if variable.chunks is not None:
        return variable.data.map_blocks(how.values, dtype=how.dtype)
    return indexing.LazilyIndexedArray(Decoded(variable, how))


def _as_values(how: Stored, dtype: np.dtype) -> Stored:
    """The same for data that is unpacked already, whose stored numbers are only known to half a step of the scale."""
    scale, offset = how.scale or 1.0, how.offset or 0.0
    half = abs(scale) / 2 if how.packed else 0.0

    def moved(span: Span) -> Span:
        low, high = sorted(end * scale + offset for end in span)
        return Span(low - half, high + half)

    kept = dtype if dtype.kind == "f" else how.dtype
    return Stored(
        stored=dtype.newbyteorder("="),
        seen=dtype.newbyteorder("="),
        missing=tuple(map(moved, how.missing)),
        undetected=tuple(map(moved, how.undetected)),
        valid=moved(how.valid) if how.packed else how.valid,
        allowed=how.allowed,
        work=kept,
        dtype=kept,
    )
