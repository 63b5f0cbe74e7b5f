"""Pictures of members and bounds: what is drawn, from which numbers."""

import numpy as np
import pytest
import xarray as xr

from pipelines.pictures.ensembles import ensemble_panels, fan_chart
from pipelines.pictures.fields import png
from simvp.errors import ConfigError

HOURS = np.arange(1, 5) * np.timedelta64(3_600_000_000_000, "ns")


def summary() -> xr.Dataset:
    lines = {name: (("variable", "lead_time"), [[1.0, 2, 3, 4]]) for name in ("crps", "single_error", "spread")}
    lines["member_rmse"] = (("variable", "lead_time"), [[2.0, 3, 4, 5]])
    ranks = (("variable", "rank"), [[0.5, 0.25, 0.25]])
    below = (("variable", "quantile"), [[0.1, 0.5, 0.8]])
    coords = {"variable": ["t2m"], "lead_time": HOURS, "units": ("variable", ["K"]), "quantile": [0.05, 0.5, 0.95]}
    return xr.Dataset({**lines, "ranks_all": ranks, "below_all": below}, coords)


def test_four_panels() -> None:
    figure = ensemble_panels(summary(), title="waves")
    scores, spread, ranks, bounds = figure.axes
    assert [line.get_ydata().tolist() for line in spread.lines] == [[1, 2, 3, 4], [2, 3, 4, 5]]
    assert scores.get_ylabel() == "t2m (K)"
    assert scores.get_xlabel() == "lead time (h)"
    assert [bar.get_height() for bar in ranks.patches] == [1.5, 0.75, 0.75]
    assert bounds.lines[1].get_xydata().tolist() == [[0.05, 0.1], [0.5, 0.5], [0.95, 0.8]]
    assert png(figure).startswith(b"\x89PNG")


def place() -> xr.Dataset:
    one = xr.Dataset(
        {
            "t2m": (("init_time", "lead_time"), [[1.0, 2, 3, 4]], {"units": "K"}),
            "t2m_quantile": (("init_time", "lead_time", "quantile"), np.arange(12.0).reshape(1, 4, 3)),
            "t2m_member": (("init_time", "lead_time", "member"), np.ones((1, 4, 5))),
        },
        {"lead_time": HOURS, "quantile": [0.05, 0.5, 0.95], "init_time": [np.datetime64("2020-01-01", "ns")]},
    )
    return one


def test_a_fan_has_bands_members_forecast_and_truth() -> None:
    (axes,) = fan_chart(place(), "t2m", observed=xr.DataArray(np.zeros(4), dims="lead_time")).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0.05 to 0.95", "forecast", "observed"]
    assert len(axes.lines) == 5 + 2
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].max() == 11.0
    assert axes.get_ylabel() == "t2m (K)"


def test_a_fan_is_of_one_init_time() -> None:
    with pytest.raises(ConfigError, match="expected one init time at a place"):
        fan_chart(xr.concat([place()] * 2, "init_time"), "t2m")
