"""Scores of one forecast by itself."""

from typing import Any

import xarray as xr

from simvp.scoring import compare


def errors(forecast: xr.Dataset, truth: xr.Dataset, **options: Any) -> xr.Dataset:
    """As `simvp.scoring.compare`, without the dim `system`."""
    return compare({"": forecast}, truth, **options).isel(system=0, drop=True)
