"""Random files read by the readers and by a slow decoder that knows the CF conventions alone: equal, or refused."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, settings

from datasets.readers import open_source
from simvp.errors import Refusal
from tests.support.files.cf_decoder import Decoded, decode
from tests.support.files.cf_files import Plan, plans

EXAMPLES = 200


def test_random_files_are_read_as_the_conventions_say_or_refused() -> None:
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(plans())
    def check(plan: Plan) -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths = plan.write(Path(folder))
            try:
                ds = open_source(paths)
            except Refusal as refusal:
                outcomes[f"refused: {refusal.reasons[0][:80]}"] += 1
                return
            outcomes["read"] += 1
            assert_equal(ds, decode(paths, "v"))

    check()
    assert outcomes["read"] > 0.9 * outcomes.total(), outcomes


def assert_equal(ds: xr.Dataset, expected: Decoded) -> None:
    """The canonical dataset holds the decoded values at their labels, bit for bit in its own type."""
    times = [moment(time) for time in ds["time"].values]
    assert times == expected.times
    ds = ds.sortby("latitude")
    np.testing.assert_array_equal(ds["latitude"], expected.latitudes)
    order = [int(np.argmin(np.abs(ds["longitude"].values % 360 - one % 360))) for one in expected.longitudes]
    assert sorted(order) == list(range(len(expected.longitudes)))
    got = ds["v"].transpose("time", "latitude", "longitude").values[:, :, order]
    np.testing.assert_array_equal(got, expected.values.astype(got.dtype))


def moment(time: Any) -> tuple[int, ...]:
    """Year .. second, rounded, of a datetime64 or a cftime date."""
    if isinstance(time, np.datetime64):
        time = (time + np.timedelta64(500, "ms")).astype("M8[s]").item()
    return (time.year, time.month, time.day, time.hour, time.minute, time.second)
