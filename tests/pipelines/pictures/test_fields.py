"""Pictures: what is drawn, in which colours and on which axes."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from pipelines.evaluation.evaluate import SYSTEMS
from pipelines.evaluation.skill import OWN
from pipelines.pictures.fields import learning_curve, png, sample_strip, skill_curve
from simvp.errors import ConfigError

HOURS = np.arange(1, 7) * np.timedelta64(3_600_000_000_000, "ns")


def summary(
    variables: tuple[str, ...] = ("t2m",), systems: Sequence[str] = ("model", "persistence", "climatology")
) -> xr.Dataset:
    rmse = np.arange(1.0, 1.0 + len(systems) * len(variables) * 6).reshape(len(systems), len(variables), 6)
    return xr.Dataset(
        {
            "rmse": (("system", "variable", "lead_time"), rmse),
            "rmse_all": (("system", "variable"), np.sqrt((rmse**2).mean(2))),
            "n": (("system", "variable", "lead_time"), np.full(rmse.shape, 157)),
        },
        coords={
            "system": list(systems),
            "variable": list(variables),
            "lead_time": HOURS,
            "units": ("variable", ["K"] * len(variables)),
        },
    )


def field(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("lead_time", "latitude", "longitude"),
        coords={
            "lead_time": HOURS[: len(values)],
            "latitude": ("latitude", np.linspace(58, 50, values.shape[1]), {"units": "degrees_north"}),
            "longitude": ("longitude", np.linspace(-10, 2, values.shape[2]), {"units": "degrees_east"}),
            "init_time": np.datetime64("2019-03-24T06", "ns"),
        },
        attrs={"units": "K", "long_name": "2 metre temperature"},
    )


def test_the_skill_curve_draws_every_method_on_hours() -> None:
    figure = skill_curve(summary(), title="simulated-weather")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "lead time (h)"
    assert axes.get_ylabel() == "RMSE (K)"
    assert axes.get_title() == "simulated-weather\nt2m, n = 157"
    drawn = {line.get_label().split("  ")[0]: line for line in axes.get_lines()}
    assert set(drawn) == {"model", "persistence", "climatology"}
    np.testing.assert_array_equal(drawn["persistence"].get_ydata(), np.arange(7.0, 13.0))
    np.testing.assert_array_equal(drawn["model"].get_xdata(), np.arange(1.0, 7.0))
    # sqrt((1 + 4 + 9 + 16 + 25 + 36) / 6) = 3.894
    assert drawn["model"].get_label() == "model  3.89"
    assert len({line.get_color() for line in drawn.values()}) == 3
    assert len({line.get_marker() for line in drawn.values()}) == 3


def test_no_two_systems_are_drawn_alike() -> None:
    systems = (*SYSTEMS, "extrapolation", *OWN)
    (axes,) = skill_curve(summary(systems=systems)).axes
    drawn = [(line.get_color(), line.get_marker()) for line in axes.get_lines()]
    assert len(drawn) == len(set(drawn)) == 9


def test_one_panel_per_variable_and_long_leads_in_days_or_months() -> None:
    assert [a.get_title() for a in skill_curve(summary(("t2m", "u10"))).axes] == [
        "t2m, n = 157",
        "u10, n = 157",
    ]
    days = summary().assign_coords(lead_time=HOURS * 24)
    assert skill_curve(days).axes[0].get_xlabel() == "lead time (d)"
    months = summary().assign_coords(lead_time=np.arange(1, 7))
    assert skill_curve(months).axes[0].get_xlabel() == "lead time (months)"
    np.testing.assert_array_equal(skill_curve(months).axes[0].get_lines()[0].get_xdata(), np.arange(1, 7))


def test_the_map_strip_shows_truth_forecast_and_a_symmetric_difference() -> None:
    truth = field(280 + np.random.default_rng(0).normal(size=(6, 9, 13)))
    figure = sample_strip(truth, truth + np.linspace(-1, 3, 13), leads=[0, 5])
    maps = [axes for axes in figure.axes if axes.collections and axes.get_label() != "<colorbar>"]
    assert len(maps) == 6
    meshes = [axes.collections[0] for axes in maps]
    np.testing.assert_allclose(meshes[1].get_array(), truth[5])
    np.testing.assert_allclose(meshes[4].get_array(), np.broadcast_to(np.linspace(-1, 3, 13), (9, 13)))
    # Truth and forecast share one scale, and zero is the middle of the difference's.
    assert len({(m.norm.vmin, m.norm.vmax) for m in meshes[:4]}) == 1
    assert meshes[4].norm.vmin == -meshes[4].norm.vmax
    assert (meshes[0].cmap.name, meshes[4].cmap.name) == ("viridis", "RdBu_r")
    assert [axes.get_title() for axes in maps[:2]] == ["+1 h", "+6 h"]
    assert maps[4].get_xlabel() == "longitude (°E)"
    assert maps[0].get_ylabel() == "truth\nlatitude (°N)"
    assert figure.get_suptitle() == "forecast of 2019-03-24 06:00"
    labels = {axes.get_ylabel() for axes in figure.axes} - {axes.get_ylabel() for axes in maps}
    assert labels == {"2 metre temperature (K)", "difference (K)"}


def test_north_is_up_whatever_the_order_and_rows_count_from_the_top() -> None:
    north_first = sample_strip(field(np.ones((1, 9, 13))), field(np.zeros((1, 9, 13))))
    bottom, top = north_first.axes[0].get_ylim()
    assert bottom < top
    rows = xr.DataArray(np.ones((1, 4, 5)), dims=("lead_time", "y", "x"), coords={"lead_time": HOURS[:1]})
    bottom, top = sample_strip(rows, rows).axes[0].get_ylim()
    assert bottom > top


def test_absent_points_and_a_perfect_forecast_can_be_drawn() -> None:
    values = np.ones((2, 9, 13))
    values[:, :3] = np.nan
    assert png(sample_strip(field(values), field(values))).startswith(b"\x89PNG")
    assert png(sample_strip(field(values * np.nan), field(values * np.nan))).startswith(b"\x89PNG")


def test_truth_on_other_axes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected truth on .*\(2, 9, 13\), got .*\(1, 9, 13\)"):
        sample_strip(field(np.ones((1, 9, 13))), field(np.ones((2, 9, 13))))


def test_the_learning_curve_marks_the_epoch_that_was_kept() -> None:
    figure = learning_curve([1, 2, 3], {"training": [3.0, 2.0, 1.0], "validation": [3.0, 2.5, np.nan]}, best=2)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {"training", "validation", "kept: epoch 2"}
    np.testing.assert_array_equal(lines["training"].get_ydata(), [3, 2, 1])
    assert axes.get_yscale() == "linear"
    steep = learning_curve([1, 2], {"training": [100.0, 1.0]})
    assert steep.axes[0].get_yscale() == "log"
    assert png(learning_curve([], {"training": []})).startswith(b"\x89PNG")


def test_no_global_figure_is_made() -> None:
    png(skill_curve(summary()))
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
