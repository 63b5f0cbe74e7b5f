"""Pictures of a judgement: what they show, read off the figures."""

import numpy as np
import xarray as xr

from pipelines.pictures.comparisons import error_map, gains
from pipelines.pictures.fields import png

ROWS = [("t2m", "persistence", 12.0, 8.0, True), ("t2m", "champion", -3.0, -float("inf"), False)]


def test_every_reference_has_its_gain_and_its_bound() -> None:
    figure = gains(ROWS, confidence=0.9, title="simvp-waves/2: refuse")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["t2m against persistence", "t2m against champion"]
    drawn = [
        (line.get_xdata().tolist(), line.get_color())
        for line in axes.lines
        if len(line.get_xdata()) and line.get_marker() != "None"
    ]
    # A bound that could not be computed is not drawn; what did not pass has a colour of its own.
    assert [x for x, _ in drawn] == [[8.0, 12.0], [12.0], [-3.0]]
    assert drawn[0][1] == drawn[1][1] != drawn[2][1]
    assert "lower 90% bound" in axes.get_xlabel()
    assert png(figure)[:4] == b"\x89PNG"


def test_maps_of_two_systems_have_one_scale_and_their_difference_is_first_less_second() -> None:
    values = np.stack([np.full((3, 4), 1.0), np.full((3, 4), 3.0)])
    values[:, 0, 0] = np.nan
    maps = xr.DataArray(
        values,
        coords={
            "system": ["challenger", "damped_anomaly"],
            "latitude": ("latitude", [50.0, 51.0, 52.0], {"units": "degrees_north"}),
            "longitude": ("longitude", [0.0, 1.0, 2.0, 3.0], {"units": "degrees_east"}),
        },
        dims=("system", "latitude", "longitude"),
        attrs={"units": "K"},
    )
    figure = error_map(maps, title="t2m")
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["challenger", "damped anomaly", "challenger − damped anomaly"]
    meshes = [axes.collections[0] for axes in panels]
    assert meshes[0].get_clim() == meshes[1].get_clim() == (0.0, 3.0)
    assert meshes[2].get_clim() == (-2.0, 2.0)
    assert np.nanmax(np.ma.filled(meshes[2].get_array().astype(float), np.nan)) == -2.0
    assert panels[0].get_ylabel() == "latitude (°N)"
    assert [axes.get_ylabel() for axes in figure.axes[3:]] == ["RMSE (K)", "difference (K)"]
    assert png(figure)[:4] == b"\x89PNG"
