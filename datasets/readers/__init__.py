"""Any file becomes one canonical Dataset: NetCDF, GRIB, Zarr and images, one file or many.

`source` opens, `files` lists the files of a source, `formats` tells one format from another, `stored` opens NetCDF and
Zarr as they are stored, `hdf5` refuses what only looks like NetCDF-4, `groups` finds variables in groups, `expver`
merges the versions of ERA5, `grib` reads messages, `dates` decodes times, `combine` and `concat` put files together,
`taxibj_years` reads one raw format.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
