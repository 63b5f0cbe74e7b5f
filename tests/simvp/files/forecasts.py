"""Labelled forecasts whose every value tells its variable, init time, lead and point, without a model."""

import numpy as np
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from tests.support.worlds import Kind, address, address_world

HOUR = Step(seconds=3600)
CREATED = np.datetime64("2020-01-02T03:04:05", "ns")
SHAPE, LEADS = (6, 8), 4


def forecast(
    grid: Kind = "latlon",
    *,
    inits: int = 3,
    step: Step = HOUR,
    calendar: str = "standard",
    upwards: bool = False,
    masked: bool = False,
) -> xr.Dataset:
    """From hourly init times 2020-01-01T02 and later, of t2m and d2m.

    Parameters
    ----------
    upwards
        Latitude, or y, from south to north.
    masked
        Without values in the corner of row 1, column 2.
    """
    frequency = "MS" if step.months else f"{step.seconds}s"
    world = address_world(frames=12, grid=grid, step=frequency, calendar=calendar)
    if upwards:
        world = world.isel({world["t2m"].dims[1]: slice(None, None, -1)})
    shape = Grid.of(world)
    fields = {}
    for number, name in enumerate(map(str, world.data_vars)):
        values = address(number, np.arange(inits * LEADS), SHAPE).reshape(inits, LEADS, *SHAPE).astype("f4")
        if masked:
            values[:, :, 1, 2] = np.nan
        fields[name] = values
    origin = {
        "model_version": xr.Variable("init_time", np.full(inits, "simvp-small/1"), {"long_name": "version"}),
        "created": xr.Variable("init_time", np.full(inits, CREATED), {"long_name": "when it was made"}),
    }
    return label(
        fields,
        coordinates(world["time"].values[2 : 2 + inits], LEADS, step=step, grid=shape, more=origin),
        grid=shape,
        variable_attrs={str(name): world[name].attrs for name in world.data_vars},
        attrs={"title": "Forecast of t2m, d2m", "data_set": "small", "source": "SimVP"},
    )
