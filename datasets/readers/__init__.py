"""Any file becomes one canonical Dataset: NetCDF, GRIB, Zarr and images, one file or many.

`source` opens, `formats` tells one format from another, `stored` opens NetCDF and Zarr as they are stored, `groups` finds
variables in groups, `expver` merges versions of ERA5, `grib` reads messages that `grib_messages` finds and `grib_series`
compares, `dates` decodes times, `combine` and `concat` put files together, `taxibj_years` reads one raw format.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
