"""Pictures of the shape of forecasts: what is drawn, from which numbers."""

import numpy as np
import xarray as xr

from pipelines.pictures.fields import png
from pipelines.pictures.shapes import scale_panels, spectra_panels, width_map

HOURS = np.arange(1, 6) * np.timedelta64(3_600_000_000_000, "ns")


def test_a_panel_for_each_threshold_that_there_is() -> None:
    skill = np.arange(12.0).reshape(2, 1, 2, 3) / 12
    table = xr.Dataset(
        {"fss_all": (("contender", "thresholded", "rank_of_threshold", "scale"), skill)},
        {
            "contender": ["model", "persistence"],
            "thresholded": ["rain"],
            "threshold": (("thresholded", "rank_of_threshold"), [[0.5, np.nan]]),
            "scale": [1, 3, 5],
            "variable": ["rain"],
            "units": ("variable", ["mm h-1"]),
        },
    )
    figure = scale_panels(table, title="waves")
    (axes,) = figure.axes
    assert axes.get_title() == "rain at least 0.5 mm h-1"
    assert [line.get_ydata().tolist() for line in axes.lines] == skill[:, 0, 0].tolist()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "3", "5"]
    assert png(figure).startswith(b"\x89PNG")


def test_energies_and_their_ratio_at_first_middle_and_last_lead() -> None:
    truth = np.full((5, 4), 2.0)
    made = truth * np.arange(1, 6)[:, None] / 10
    energy = xr.Dataset(
        {"energy": (("system", "variable", "lead_time", "band"), np.stack([truth, made])[:, None])},
        {
            "system": ["truth", "forecast"],
            "variable": ["t2m"],
            "units": ("variable", ["K"]),
            "lead_time": HOURS,
            "wavelength": ("band", [16.0, 8.0, 4.0, 2.0]),
        },
    )
    both, ratio = spectra_panels(energy).axes
    assert both.get_ylabel() == "energy of t2m (K²)"
    assert [line.get_ydata()[0] for line in both.lines[1:]] == [0.2, 0.6, 1.0]
    assert [line.get_ydata()[0] for line in ratio.lines[:3]] == [0.1, 0.3, 0.5]
    low, high = both.get_xlim()
    assert low > high  # long waves on the left


def test_a_map_of_widths_has_one_scale() -> None:
    width = xr.DataArray(
        np.arange(5.0)[:, None, None] * np.ones((5, 3, 4)), dims=("lead_time", "y", "x"), attrs={"units": "K"}
    ).assign_coords(lead_time=HOURS, y=np.arange(3), x=np.arange(4))
    *maps, bar = width_map(width).axes
    assert [axes.get_title() for axes in maps] == ["+1 h", "+3 h", "+5 h"]
    drawn = [axes.collections[0] for axes in maps]
    assert [one.get_array().max() for one in drawn] == [0.0, 2.0, 4.0]
    assert len({one.get_clim() for one in drawn}) == 1
    assert bar.get_ylabel() == "width (K)"
