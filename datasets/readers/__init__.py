"""Any file becomes one canonical Dataset: NetCDF, GRIB, Zarr and images, one file or many.

`source` opens, `formats` tells one format from another, `stored` opens NetCDF and Zarr as they are stored, `grib` reads
messages, `dates` finds times in file names, `combine` and `concat` put files together, `taxibj_years` reads one raw
format.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
