"""A forecast at a place: which cells, how far, and the bias of earlier ones."""

import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.errors import Refusal
from simvp.scoring.point import at

HOUR = Step(seconds=3600)


def forecast_of(values: np.ndarray, *, rows: list[float], columns: list[float], inits: int = 1) -> xr.Dataset:
    """The same map at two leads of some init times, every two hours."""
    grid = Grid(kind="latlon", dims=("latitude", "longitude"), rows=np.array(rows), columns=np.array(columns))
    times = np.datetime64("2020-01-01", "ns") + 2 * np.arange(inits) * np.timedelta64(1, "h")
    return label(
        {"t2m": np.broadcast_to(values, (inits, 2, *values.shape)).astype("f4")},
        coordinates(times, 2, step=HOUR, grid=grid),
        grid=grid,
        variable_attrs={"t2m": {"units": "K", "long_name": "temperature"}},
    )


MAP = np.array([[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]])


def test_the_nearest_cell_and_its_distance() -> None:
    found = at(forecast_of(MAP, rows=[50.0, 51.0], columns=[0.0, 1.0, 2.0]), 50.2, 361.1)
    assert found["t2m"].dims == ("init_time", "lead_time")
    assert found["t2m"].values.ravel().tolist() == [2.0, 2.0]
    # 0.2 degrees of latitude, 0.1 of longitude at 50.1: 22.24 and 7.13 km.
    assert float(found["distance"]) == pytest.approx(np.hypot(22.239, 7.133), rel=1e-3)
    assert found["t2m"].attrs["units"] == "K"


def test_a_cell_without_values_is_none() -> None:
    sea = np.where(MAP == 2.0, np.nan, MAP)
    found = at(forecast_of(sea, rows=[50.0, 51.0], columns=[0.0, 1.0, 2.0]), 50.1, 1.1)
    assert found["t2m"].values[0, 0] == 3.0
    assert float(found["distance"]) > 60


@pytest.mark.parametrize(("rows", "turn"), [([50.0, 51.0], 1), ([51.0, 50.0], -1)])
def test_between_four_cells(rows: list[float], turn: int) -> None:
    forecast = forecast_of(MAP[::turn], rows=rows, columns=[0.0, 1.0, 2.0])
    # 1 + 10 * 0.3 + 1.25
    assert at(forecast, 50.3, 1.25, method="bilinear")["t2m"].values[0, 0] == pytest.approx(5.25)
    assert at(forecast, 50.0, 2.0, method="bilinear")["t2m"].values[0, 0] == pytest.approx(3.0)


def test_names_of_the_callers_and_members() -> None:
    forecast = forecast_of(MAP, rows=[50.0, 51.0], columns=[0.0, 1.0, 2.0])
    forecast["t2m_member"] = (forecast["t2m"] + xr.DataArray([-1.0, 1.0], dims="member")).transpose(
        "init_time", "lead_time", "member", ...
    )
    found = at(forecast.rename(latitude="lat", longitude="lon"), 51.0, 0.0)
    assert found["t2m_member"].values[0, 0].tolist() == [10.0, 12.0]


def test_the_bias_of_earlier_forecasts_is_taken_off_where_it_is_no_chance() -> None:
    axes = {"rows": [50.0, 51.0], "columns": [0.0, 1.0, 2.0]}
    past = forecast_of(MAP, **axes, inits=40)
    hours = np.arange(90)
    times = np.datetime64("2020-01-01", "ns") + hours * np.timedelta64(1, "h")
    # 1.5 K colder than the cell, give or take, at odd hours (lead 1); as the cell, give or take, at even ones.
    noise = np.random.default_rng(0).normal(0, 0.3, 90)
    values = np.where(hours % 2 == 1, 2.0 - 1.5, 2.0) + noise - noise[hours % 2 == 0].mean() * (hours % 2 == 0)
    observed = xr.Dataset({"t2m": ("time", values)}, {"time": times})
    found = at(forecast_of(MAP, **axes), 50.0, 1.0, past=past, observed=observed)
    wanted = 2.0 - values[1:80:2].mean()
    np.testing.assert_allclose(found["t2m_bias"], [wanted, 0.0], atol=1e-5)
    np.testing.assert_allclose(found["t2m"].values[0], [2.0 - wanted, 2.0], atol=1e-5)
    few = at(forecast_of(MAP, **axes), 50.0, 1.0, past=past.isel(init_time=slice(9)), observed=observed)
    np.testing.assert_array_equal(few["t2m_bias"], [0.0, 0.0])


@pytest.mark.parametrize(
    ("place", "method", "text"),
    [
        ((40.0, 1.0), "nearest", "expected a place on the grid, got one 111"),
        ((49.9, 1.0), "bilinear", "expected a place between cells of latitude 50 .. 51"),
        ((50.1, 1.5), "bilinear", "expected values in the cells around, 1 have none"),
    ],
)
def test_refusals(place: tuple[float, float], method: str, text: str) -> None:
    sea = np.where(MAP == 13.0, np.nan, MAP)
    with pytest.raises(Refusal) as caught:
        at(forecast_of(sea, rows=[50.0, 51.0], columns=[0.0, 1.0, 2.0]), *place, method=method)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_a_grid_without_places_is_refused() -> None:
    grid = Grid(kind="index", dims=("y", "x"), rows=np.arange(2), columns=np.arange(3))
    ds = label(
        {"n": np.zeros((1, 1, 2, 3))},
        coordinates(np.array(["2020-01-01"], "M8[ns]"), 1, step=HOUR, grid=grid),
        grid=grid,
        variable_attrs={},
    )
    with pytest.raises(Refusal, match="expected a grid with latitude and longitude, got one that is index"):
        at(ds, 1.0, 1.0)
    with pytest.raises(Refusal, match="expected past and observed together"):
        at(ds, 1.0, 1.0, past=ds)
