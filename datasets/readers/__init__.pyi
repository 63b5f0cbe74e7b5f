from .files import checksums as checksums, source_files as source_files
from .hdf5 import refuse_pointers as refuse_pointers
from .series import open_series as open_series
from .source import file_of as file_of, open_source as open_source
from .static_maps import open_maps as open_maps
from .taxibj_years import (
    HALF_HOUR as HALF_HOUR,
    SIZE as SIZE,
    SLOTS as SLOTS,
    SOURCE as SOURCE,
    VARIABLES as VARIABLES,
    YEARS as YEARS,
    open_years as open_years,
    year_files as year_files,
)
