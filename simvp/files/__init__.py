"""Labelled data and forecasts in files: NetCDF, Zarr, GRIB.

`source` opens what `simvp.predict` is given; `export` writes forecasts for other tools, `netcdf` one file for each init
time, `whole` a file or a folder that is there in full or not at all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
