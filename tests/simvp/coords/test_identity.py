"""What a variable is beyond its name: levels and members are kept and told apart; the same in other words is one."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simvp.coords import canonicalise
from simvp.coords.identity import FIXED, differences, unsaid
from simvp.errors import Refusal


def world(frames: int = 3, **coords: Any) -> xr.Dataset:
    hours = np.datetime64("2020-01-01", "ns") + np.arange(frames) * np.timedelta64(1, "h")
    return xr.Dataset(
        {n: (("time", "lat", "lon"), np.zeros((frames, 2, 3), "f4"), {"units": "K"}) for n in ("t", "u")},
        coords={"time": hours, "lat": [51.0, 50.0], "lon": [0.0, 1.0, 2.0], **coords},
    )


def fixed(ds: xr.Dataset, name: str = "t", **options: Any) -> dict[str, str]:
    return json.loads(canonicalise(ds, **options)[0][name].attrs.get(FIXED, "{}"))


PLEV = {"units": "hPa", "standard_name": "air_pressure"}


@pytest.mark.parametrize(
    ("coord", "expected"),
    [
        (("plev", ((), 850.0, PLEV)), "850 hPa"),
        (("depth", ((), np.float32(0.494025), {"units": "m"})), "0.494025 m"),
        (("sigma", ((), np.float32(0.995), {"units": "1"})), "0.995"),
        (("number", ((), 3)), "3"),
        (("realization", ((), np.int16(12), {"standard_name": "realization"})), "12"),
        (("station", ((), "De Bilt")), "De Bilt"),
        (("experiment", ((), b"ssp585")), "ssp585"),
    ],
)
def test_a_scalar_and_an_axis_of_one_value_and_one_chosen_say_the_same(coord: Any, expected: str) -> None:
    name, (_, value, *attrs) = coord
    assert fixed(world(**{name: ((), value, *attrs)})) == {name: expected}
    scalar = world()
    alone = scalar.expand_dims({name: [value]}).assign_coords({name: ((name,), [value], *attrs)})
    assert fixed(alone) == {name: expected}
    if not isinstance(value, bytes):
        values = np.array([value, "another" if isinstance(value, str) else 77], np.asarray(value).dtype)
        both = scalar.expand_dims({name: 2}).assign_coords({name: ((name,), values, *attrs)})
        assert fixed(both, select={name: value}) == {name: expected}


def test_what_follows_from_time_and_place_is_no_label() -> None:
    ds = world(
        month=((), 1),
        forecast_period=((), 6.0, {"standard_name": "forecast_period", "units": "hours"}),
        step=((), np.timedelta64(6, "h")),
        forecast_reference_time=((), np.datetime64("2019-12-31T18", "ns")),
        spatial_ref=((), 0),
        orbit_number=((), 20113),
        season=("time", ["djf"] * 3),
    )
    ds["time"].attrs["standard_name"] = "time"  # else the lead, which does not grow, contradicts it
    assert fixed(ds) == {}
    one = ds.isel(time=[0]).assign_coords(quality=("time", [3]))
    assert fixed(one) == {}


def test_final_and_preliminary_values_of_era5_are_one_series() -> None:
    labels = [fixed(world(expver=((), version))) for version in ("0001", "0005", 1, 5.0)]
    assert labels == [{"expver": "final or preliminary"}] * 4
    assert fixed(world(expver=((), "0011"))) == {"expver": "0011"}


def test_a_scalar_belongs_to_the_variables_that_name_it() -> None:
    ds = world(height=((), 2.0, {"units": "m"}), number=((), 0))
    assert fixed(ds, "u") == {"height": "2 m", "number": "0"}
    ds["t"].encoding["coordinates"] = "height number"
    ds["u"].encoding["coordinates"] = "number"
    assert fixed(ds, "t") == {"height": "2 m", "number": "0"}
    assert fixed(ds, "u") == {"number": "0"}


def test_a_level_that_is_no_coordinate_and_a_member_of_the_whole_file() -> None:
    assert fixed(world().assign(level=((), 500.0, {"units": "hPa"}))) == {"level": "500 hPa"}
    assert fixed(world().assign_attrs(variant_label="r2i1p1f1")) == {"variant_label": "r2i1p1f1"}
    assert fixed(world(number=((), 2)).assign_attrs(realization=1)) == {"number": "2"}


def test_a_level_along_time_is_one_value_or_refused() -> None:
    assert fixed(world(plev=("time", [850.0] * 3, PLEV))) == {"plev": "850 hPa"}
    with pytest.raises(Refusal, match="t: plev changes along time: 850 hPa, 500 hPa; expected one value"):
        canonicalise(world(plev=("time", [850.0, 850.0, 500.0], PLEV)))


def test_labels_survive_a_second_reading() -> None:
    once, _ = canonicalise(world(plev=((), 850.0, PLEV)))
    assert fixed(once) == {"plev": "850 hPa"}
    assert fixed(once.assign_coords(number=2)) == {"plev": "850 hPa", "number": "2"}


def at(**labels: str) -> dict[str, str]:
    return {FIXED: json.dumps(labels)}


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (at(plev="850 hPa"), at(plev="500 hPa"), [("plev", "850 hPa", "500 hPa")]),
        (at(plev="850 hPa"), at(plev="85000 Pa"), []),
        (at(plev="850 hPa"), at(plev="850 mb"), []),
        (at(plev="850 hPa"), at(plev="850"), []),
        (at(plev="850 hPa"), at(isobaricInhPa="850 hPa"), []),
        (
            at(plev="850 hPa"),
            at(level="500 millibars"),
            [("level or member", "plev 850 hPa", "level 500 millibars")],
        ),
        (at(plev="850 hPa"), at(height="2 m"), [("level or member", "plev 850 hPa", "height 2 m")]),
        (at(height="2 m"), at(heightAboveGround="2 m"), []),
        (at(depth="0.494025 m"), at(depth="0.49402499 m"), []),
        (at(depth="0.5 m"), at(depth="50 cm"), []),
        (at(number="1"), at(number="2"), [("number", "1", "2")]),
        (at(number="1"), at(realization="2"), [("level or member", "number 1", "realization 2")]),
        (at(number="1"), at(realization="1"), []),
        (at(station="De Bilt"), at(station="DE BILT"), []),
        (at(experiment="historical"), at(experiment="ssp585"), [("experiment", "historical", "ssp585")]),
        (at(variant_label="r1i1p1f1"), at(variant_label="r2i1p1f1"), [("variant_label", "r1i1p1f1", "r2i1p1f1")]),
        ({"level_desc": "850 mb"}, {"level_desc": "500 mb"}, [("level_desc", "850 mb", "500 mb")]),
        ({"level": "850 mb"}, at(level="500 hPa"), [("level", "850 mb", "500 hPa")]),
        (at(plev="850 hPa"), {}, []),
        ({}, at(plev="850 hPa"), []),
        ({"standard_name": "air_temperature"}, {"standard_name": "Air_Temperature"}, []),
        ({"standard_name": "rainfall_rate"}, {}, []),
        ({"cell_methods": "time: mean"}, {"cell_methods": "area: mean time: mean (interval: 1 hour)"}, []),
        ({"cell_methods": "time: mean"}, {"cell_methods": "valid_time:  Mean"}, []),
        ({"cell_methods": "time: lat: lon: mean"}, {"cell_methods": "time: mean"}, []),
        (
            {"cell_methods": "area: mean time: sum"},
            {"cell_methods": "time: point"},
            [("cell_methods", "area: mean time: sum", "time: point")],
        ),
        (
            {"cell_methods": "time: maximum within days time: mean over days"},
            {"cell_methods": "time: minimum within days time: mean over days"},
            [
                (
                    "cell_methods",
                    "time: maximum within days time: mean over days",
                    "time: minimum within days time: mean over days",
                )
            ],
        ),
        ({FIXED: "not ours"}, at(plev="850 hPa"), []),
    ],
)
def test_one_quantity_or_two(
    mine: dict[str, str], theirs: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    assert [tuple(found) for found in differences(mine, theirs)] == expected
    assert len(differences(theirs, mine)) == len(expected)


def test_what_the_other_does_not_say() -> None:
    assert unsaid(at(plev="850 hPa", number="1"), at(number="1")) == ["plev 850 hPa"]
    assert unsaid(at(plev="850 hPa"), at(isobaricInhPa="850 hPa")) == []
    assert unsaid({}, at(plev="850 hPa")) == []
