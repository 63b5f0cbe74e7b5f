"""Fields that are published larger than they are forecast: a part of them, or means over blocks of their cells."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from datasets.readers import open_source

BLOCK = 8  # cells of the radar in a row of a block: 0.5 km, and so 4 km
PACIFIC = {"latitude": (-30.0, 30.0), "longitude": (120.0, 290.0)}  # degrees north and east


def read_pacific(files: Sequence[Path]) -> xr.Dataset:
    """Sea surface temperature from 30 S to 30 N and from 120 E to 70 W, from 2010 to August 2020."""
    return within(open_source(list(files))[["sst"]], PACIFIC)


def read_radar(files: Sequence[Path]) -> xr.Dataset:
    """Rain of a radar, a frame a file, on cells of 4 km.

    Amounts below 0 are missing: the files declare -1 as that (stored numbers), and have some -2 beside it.
    """
    ds = open_source(list(files))[["precipitation"]]
    with xr.set_options(keep_attrs=True):
        return block_means(ds.where(ds["precipitation"] >= 0), BLOCK)


def within(ds: xr.Dataset, box: dict[str, tuple[float, float]]) -> xr.Dataset:
    """The part of a Dataset whose coordinates lie in the box, ends included, in the order in which it has them."""
    for name, (lowest, highest) in box.items():
        values = ds[name].values
        ds = ds.isel({name: (values >= lowest) & (values <= highest)})
    return ds


def block_means(ds: xr.Dataset, size: int) -> xr.Dataset:
    """Means over blocks of size x size cells of a projected grid (time, y, x), of the values that are there.

    The last rows and columns that fill no block are left out. Of amounts over cells of one area this is the amount over
    the block.
    """
    with xr.set_options(keep_attrs=True):
        means = ds.coarsen(y=size, x=size, boundary="trim").mean()
    for variable in means.data_vars.values():
        variable.attrs["cell_methods"] = "area: mean"
    return means
