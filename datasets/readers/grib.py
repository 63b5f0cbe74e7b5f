"""GRIB through cfgrib: nothing written beside the data, nothing left out silently, longitudes that cross Greenwich."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from simvp.errors import SourceError

# Keys of a message; everything else that `select` names is an axis of what cfgrib makes of the messages.
KEYS = ("typeOfLevel", "shortName", "paramId", "dataType", "stepType", "gridType", "numberOfPoints", "edition")


def open_grib(path: str, select: Mapping[str, Any]) -> list[xr.Dataset]:
    """Messages of one file as one dataset, or as many as there are kinds of level and of step among them.

    Parameters
    ----------
    path
        Of a local file.
    select
        Of which the keys of a message (`KEYS`) choose among the messages.

    Raises
    ------
    SourceError
        No message is left.
    """
    import cfgrib

    keys = {key: value for key, value in select.items() if key in KEYS}
    # By default cfgrib writes an index beside the data, and leaves out what does not fit, with a line in the log.
    options = {"indexpath": "", "errors": "raise", "filter_by_keys": keys}
    opening: dict[str, Any] = {"chunks": "auto", "decode_timedelta": False, "backend_kwargs": options}
    try:
        datasets = [xr.open_dataset(path, engine="cfgrib", **opening)]
    except cfgrib.DatasetBuildError:
        options.pop("errors")
        datasets = cfgrib.open_datasets(path, **opening)
    datasets = [ds for ds in datasets if ds.data_vars]
    if not datasets:
        raise SourceError(path, [f"no GRIB message with {keys}" if keys else "no GRIB message that can be read"])
    for ds in datasets:
        ds.attrs.pop("history", None)  # made by cfgrib at each opening, with the clock
    return [_with_longitudes(ds) for ds in datasets]


def _with_longitudes(ds: xr.Dataset) -> xr.Dataset:
    """Longitudes in the order of the values.

    ecCodes lists the distinct ones in rising order, and cfgrib labels the columns with that list, also where a region
    crosses Greenwich (358, 359, 0, 1) and the values do not begin with the least: github.com/ecmwf/cfgrib/issues/402.
    """
    if "longitude" not in ds.dims or ds.sizes["longitude"] < 2:
        return ds
    attrs = next(iter(ds.data_vars.values())).attrs
    first, last = (attrs.get(f"GRIB_longitudeOf{end}GridPointInDegrees") for end in ("First", "Last"))
    if first is None or last is None or attrs.get("GRIB_gridType") not in ("regular_ll", "regular_gg"):
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
