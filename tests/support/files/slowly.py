"""Reading files without what is made of them where they are alike."""

from typing import Any

import pytest
import xarray as xr

from datasets.readers.concat import alone
from datasets.readers.source import open_source


def one_by_one(source: Any, **options: Any) -> xr.Dataset:
    """As `open_source`, every file opened in full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.readers.source.families", lambda files, _: alone(files))
        return open_source(source, **options)
