"""The loader that MLflow calls for a registered model (`loader_module="simvp.mlflow_model"`), and what it gives back.

MLflow's own clients know arrays and JSON, not labels: `Generic` takes both, and gives each back what it brought.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from simvp.contract import FrameSpec
from simvp.coords import BOUNDS_OF, MEMBERS_OF
from simvp.errors import ContractError, Refusal
from simvp.inference import Forecaster, model_file_in
from simvp.times import name_time, parse_times

__all__ = ["Generic"]

_META = "registered_model_meta"  # what MLflow writes beside a model that it fetches from a registry


class Generic:
    """What stands behind `mlflow.pyfunc.load_model(...)` and `mlflow models serve`.

    Parameters
    ----------
    forecaster
        With the name of the registered version, where it was loaded as one.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster

    def predict(
        self,
        data: xr.Dataset | xr.DataArray | pd.DataFrame | Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Forecast of the last frame, or as `params` say.

        Parameters
        ----------
        data
            Dataset or DataArray: as `Forecaster.predict`. DataFrame: a row for each time and place, as
            ``ds.to_dataframe().reset_index()`` makes it, in the units of the contract. Else arrays, or lists as JSON
            has them, by name: each variable (N, H, W) in the units of the contract, missing
            points NaN or null; "time" (N,), as ISO 8601 texts or datetime64; rows and columns of the grid.
        params
            "horizon": words such as "24h", or a number of steps, also as a text. "init_time": a time, or "all".
            "adapt", "members", "levels": as `Forecaster.predict`. What is None is left to the model.

        Returns
        -------
        Any
            What `Forecaster.predict` gives, of labelled data. Of a table, a table with the columns init_time,
            valid_time, the axes, the variables and model_version, and for each variable a column "<name>_member_0" and
            so on for every member, "<name>_quantile_0.05" and so on for every level. Of arrays, arrays by name: each
            variable (I, L, H, W), "<name>_member" (I, L, M, H, W), "<name>_quantile" (I, L, Q, H, W) with "quantile"
            (Q,), "init_time" (I,) and "valid_time" (I, L) as ISO 8601 texts, rows and columns, and "model_version"; of
            lists, and of arrays with None in them, missing points are None.

        Raises
        ------
        ContractError
            Data that does not fit the contract, arrays that are missing or of another shape, or a table
            with two rows for one time and place.
        """
        settings = {name: value for name, value in (params or {}).items() if value is not None}
        horizon = settings.get("horizon")
        if isinstance(horizon, str) and horizon.isdecimal():
            settings["horizon"] = int(horizon)
        spec = self._forecaster.spec
        if isinstance(data, pd.DataFrame):
            return _table(spec, self._forecaster.predict(_spread(spec, data), **settings))
        if not isinstance(data, Mapping) or isinstance(data, xr.Dataset):
            return self._forecaster.predict(data, **settings)
        forecast = self._forecaster.predict(_labelled(spec, data), **settings)
        # MLflow's server hands on JSON as arrays: of objects where there was a null.
        plain = any(isinstance(values, list) or np.asarray(values).dtype == object for values in data.values())
        return _bare(spec, forecast, plain=plain)

    def get_raw_model(self) -> Forecaster:
        """The Forecaster itself, as MLflow's `PyFuncModel.get_raw_model` hands it on."""
        return self._forecaster


def _load_pyfunc(path: str) -> Generic:
    """The model behind `mlflow.pyfunc.load_model(...)`.

    Parameters
    ----------
    path
        The model file, or a folder with one.
    """
    file = model_file_in(path)
    return Generic(Forecaster.load(file, version=_version_beside(file)))


def _version_beside(file: Path) -> str:
    """The version by which MLflow fetched a model, as forecasts name it; "unregistered" where it was no version."""
    from mlflow.utils.yaml_utils import read_yaml

    root = next((folder for folder in file.parents if (folder / "MLmodel").is_file()), None)
    meta = read_yaml(str(root), _META) if root is not None and (root / _META).is_file() else {}
    # Of a logged model that was asked for by its own id MLflow writes that it has neither.
    named = meta.get("model_name") and meta.get("model_version")
    return f"{meta['model_name']}/{meta['model_version']}" if named else "unregistered"


def axes_of(spec: FrameSpec) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Dims and values of the coordinates that say where the points of a contract's grid lie; none of bare rows."""
    grid = spec.grid
    if grid.kind == "curvilinear":
        planes = {"latitude": grid.latitude, "longitude": grid.longitude}
        return {name: (grid.dims, values) for name, values in planes.items() if values is not None}
    return {} if grid.kind == "index" else {dim: ((dim,), values) for dim, values in grid.axes.items()}


def _spread(spec: FrameSpec, table: pd.DataFrame) -> xr.Dataset:
    """A table with a row for each time and place as the Dataset that it stands for, in the units of the contract."""
    states = [name for name in spec.states if name in table]
    axes = [name for name in table.columns if name not in spec.states and table[name].nunique() > 1]
    table = table.assign(**{name: pd.to_datetime(table[name]) for name in axes if str(name) == "time"})
    try:
        ds = table.set_index(axes)[states].to_xarray()
    except ValueError as error:
        reason = f"expected one row for each {', '.join(map(str, axes)) or 'time and place'}: {error}"
        remedy = "give the table that ds.to_dataframe().reset_index() makes, or the Dataset itself"
        raise ContractError("A table to forecast from", [reason], remedy) from error
    for channel in spec.state_channels:
        if channel.name in ds:
            ds[channel.name].attrs["units"] = channel.units
    return ds


def _table(spec: FrameSpec, forecast: xr.Dataset) -> pd.DataFrame:
    """A forecast as a table, a row for each valid time and place."""
    fields = forecast[list(spec.states)]
    for name in spec.states:
        for suffix, dim in ((MEMBERS_OF, "member"), (BOUNDS_OF, "quantile")):
            if name + suffix in forecast:
                apart = forecast[name + suffix].to_dataset(dim)
                fields = fields.assign({f"{name}{suffix}_{label}": one for label, one in apart.data_vars.items()})
    rows = fields.drop_vars(["member", "quantile"], errors="ignore").to_dataframe().reset_index()
    axes = [name for name in forecast[spec.states[0]].dims if name not in ("init_time", "lead_time")]
    return rows[["init_time", "valid_time", *axes, *map(str, fields.data_vars), "model_version"]]


def _labelled(spec: FrameSpec, arrays: Mapping[str, Any]) -> xr.Dataset:
    """Arrays by name as the Dataset that they stand for, on the places and in the units that the contract names."""
    axes = axes_of(spec)
    names = [*spec.states, "time", *axes]
    faults = [f"{name}: missing" for name in names if name not in arrays]
    try:
        times = parse_times(np.asarray(arrays.get("time", []), object), spec.calendar)
    except Refusal as refusal:
        faults += [f"time: {reason}" for reason in refusal.reasons]
        times = np.empty(0, "M8[ns]")
    shapes = {name: (len(times), *spec.shape) for name in spec.states}
    shapes |= {name: values.shape for name, (_, values) in axes.items()}
    found: dict[str, np.ndarray] = {}
    for name in shapes.keys() & arrays.keys():
        try:
            found[name] = np.asarray(arrays[name], np.float64 if name in axes else np.float32)
        except (TypeError, ValueError) as error:
            faults.append(f"{name}: expected numbers, got {error}")
            continue
        if found[name].shape != shapes[name]:
            faults.append(f"{name}: expected the shape {shapes[name]}, got {found[name].shape}")
    if faults:
        raise ContractError(
            "Arrays to forecast from",
            sorted(faults),
            f"give {', '.join(names)} by name, as the model card says, or an xarray Dataset",
        )
    grid, mapping = spec.grid, spec.grid.mapping
    attrs = {"grid_mapping": mapping[0]} if mapping else {}
    coords: dict[str, Any] = {"time": times}
    coords |= {name: (dims, found[name], dict(grid.attrs.get(name, {}))) for name, (dims, _) in axes.items()}
    coords |= {mapping[0]: ((), 0, dict(mapping[1]))} if mapping else {}
    return xr.Dataset(
        {
            state.name: (("time", *grid.dims), found[state.name], {"units": state.units} | attrs)
            for state in spec.state_channels
        },
        coords,
    )


def _bare(spec: FrameSpec, forecast: xr.Dataset, *, plain: bool) -> dict[str, Any]:
    """A forecast as arrays by name; `plain` for JSON, which has no NaN."""
    made: dict[str, Any] = {}
    beside = {"": (), MEMBERS_OF: ("member",), BOUNDS_OF: ("quantile",)}
    fields = {
        state + suffix: dims for state in spec.states for suffix, dims in beside.items() if state + suffix in forecast
    }
    for name, dims in fields.items():
        values = forecast[name].transpose("init_time", "lead_time", *dims, *spec.grid.dims).values
        if plain and (missing := np.isnan(values)).any():
            values = values.astype(object)
            values[missing] = None
        made[name] = values
    if "quantile" in forecast.dims:
        made["quantile"] = forecast["quantile"].values
    for name in ("init_time", "valid_time"):
        times = forecast[name].values
        made[name] = np.array([name_time(time) for time in times.ravel()]).reshape(times.shape)
    made |= {name: values for name, (_, values) in axes_of(spec).items()}
    made["model_version"] = str(forecast["model_version"].values[0])
    return made
