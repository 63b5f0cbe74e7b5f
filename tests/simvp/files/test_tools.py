"""What the tools read that a forecaster uses next: CDO, GDAL, and the checkers of CF."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import simvp
from datasets.store.store import Store
from tests.simvp.files.forecasts import forecast
from tests.support.worlds import Kind

GRIDS: tuple[Kind, ...] = ("latlon", "projected", "curvilinear", "index")
STANDARD_NAMES = {
    **{"air_temperature": "K", "dew_point_temperature": "K", "time": "s", "forecast_period": "s"},
    **{"forecast_reference_time": "s", "latitude": "degree_north", "longitude": "degree_east"},
    **{"projection_x_coordinate": "m", "projection_y_coordinate": "m"},
}


def said(tool: str, *arguments: Any, well: bool = True) -> str:
    """Everything that a tool says; it has to be there, and to end well."""
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"no {tool} on this machine")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    text = done.stdout + done.stderr
    assert done.returncode == 0 or not well, text
    return text


class TestCDO:
    """Of Debian: ``apt-get install cdo``."""

    @pytest.mark.parametrize("calendar", ["standard", "360_day"])
    @pytest.mark.parametrize("upwards", [False, True])
    def test_times_and_grid(self, calendar: str, upwards: bool, tmp_path: Path) -> None:
        ds = forecast(calendar=calendar, upwards=upwards)
        (path,) = simvp.export(ds, tmp_path / "a.nc", init_time=ds["init_time"].values[0])
        text = " ".join(said("cdo", "-s", "sinfo", path).split())
        assert "2020-01-01 03:00:00 2020-01-01 04:00:00 2020-01-01 05:00:00 2020-01-01 06:00:00" in text
        assert f"Units = hours Calendar = {calendar}" in text
        assert "longitude : -10 to -6.5 by 0.5 degrees_east" in text
        latitudes = "56.75 to 58 by 0.25" if upwards else "58 to 56.75 by -0.25"
        assert f"latitude : {latitudes} degrees_north" in text

    @pytest.mark.parametrize("grid", GRIDS)
    def test_means_over_the_leads(self, grid: Kind, tmp_path: Path) -> None:
        ds = forecast(grid, inits=1, masked=True)
        (path,) = simvp.export(ds, tmp_path / "a.nc")
        said("cdo", "-s", "timmean", path, tmp_path / "mean.nc")
        with xr.open_dataset(tmp_path / "mean.nc") as mean:
            for name in ds.data_vars:
                expected = ds[name].mean("lead_time")[0]
                np.testing.assert_allclose(mean[name].squeeze().values, expected, rtol=1e-6)
                assert np.isnan(mean[name].values[0, 1, 2])

    def test_a_projection(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast("projected", inits=1), tmp_path / "a.nc")
        text = " ".join(said("cdo", "-s", "sinfo", path).split())
        assert "mapping : lambert_azimuthal_equal_area x : -50000 to -43000 by 1000 m" in text


class TestGDAL:
    """Of Debian: ``apt-get install gdal-bin``."""

    @pytest.mark.parametrize("upwards", [False, True])
    def test_latitude_and_longitude(self, upwards: bool, tmp_path: Path) -> None:
        info = self.info(forecast(inits=1, upwards=upwards, masked=True)[["t2m"]], tmp_path)
        assert info["geoTransform"] == [-10.25, 0.5, 0.0, 58.125, 0.0, -0.25]  # from the north, whatever the order
        assert 'GEOGCRS["' in info["coordinateSystem"]["wkt"]
        assert len(info["bands"]) == 4
        assert info["bands"][0]["unit"] == "K"
        assert info["bands"][0]["noDataValue"] == pytest.approx(9.96921e36, rel=1e-5)

    def test_a_projection(self, tmp_path: Path) -> None:
        info = self.info(forecast("projected", inits=1)[["t2m"]], tmp_path)
        assert info["geoTransform"] == [-50500.0, 1000.0, 0.0, 901000.0, 0.0, -2000.0]
        assert "Lambert Azimuthal Equal Area" in info["coordinateSystem"]["wkt"]
        assert '"Latitude of natural origin",52' in info["coordinateSystem"]["wkt"]

    def test_values_lie_at_their_places(self, tmp_path: Path) -> None:
        ds = forecast(inits=1)
        (path,) = simvp.export(ds[["d2m"]], tmp_path / "a.nc")
        text = said("gdallocationinfo", "-valonly", "-b", 3, "-geoloc", path, -8.0, 57.5)
        assert float(text) == ds["d2m"].isel(init_time=0, lead_time=2).sel(latitude=57.5, longitude=-8.0)

    def test_several_variables(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(inits=1), tmp_path / "a.nc")
        info = json.loads(said("gdalinfo", "-json", f'NETCDF:"{path}":d2m'))
        assert info["geoTransform"] == [-10.25, 0.5, 0.0, 58.125, 0.0, -0.25]

    def info(self, ds: xr.Dataset, folder: Path) -> dict[str, Any]:
        (path,) = simvp.export(ds, folder / "a.nc")
        return json.loads(said("gdalinfo", "-json", path))  # type: ignore[no-any-return]


class TestCF:
    """``pip install compliance-checker cfchecker`` into an environment of their own, on the PATH; UDUNITS of Debian."""

    @pytest.mark.parametrize("grid", GRIDS)
    def test_what_is_exported_has_no_error(self, grid: Kind, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(grid, inits=1, masked=True), tmp_path / "a.nc")
        self.complies(path, "1.8")
        names = "".join(
            f'<entry id="{n}"><canonical_units>{u}</canonical_units></entry>' for n, u in STANDARD_NAMES.items()
        )
        date = "<version_number>1</version_number><last_modified>2020</last_modified><date>2020</date>"
        tables: list[Any] = []
        for option, root, entries in (
            ("s", "standard_name_table", names),
            ("a", "area_types", ""),
            ("r", "regions", ""),
        ):
            table = tmp_path / f"{root}.xml"
            table.write_text(f"<{root}>{date}{entries}</{root}>")
            tables += [f"-{option}", table]
        text = said("cfchecks", "-v", "auto", *tables, path, well=False)  # as many as it has warnings
        assert "Checking against CF Version CF-1.8" in text
        assert "ERRORS detected: 0" in text

    @pytest.mark.parametrize("grid", GRIDS)
    def test_a_forecast_as_it_is_has_no_error(self, grid: Kind, tmp_path: Path) -> None:
        ds = forecast(grid)
        ds.to_netcdf(tmp_path / "memory.nc")
        self.complies(tmp_path / "memory.nc", "1.11")

    def test_a_store_has_no_error(self, tmp_path: Path) -> None:
        Store(tmp_path / "s").create(forecast("projected"), axis="init_time", chunks={}, state={"kind": "forecasts"})
        simvp.open_forecasts(tmp_path / "s").to_netcdf(tmp_path / "store.nc")
        self.complies(tmp_path / "store.nc", "1.11")

    def complies(self, path: Path, version: str) -> None:
        text = said("compliance-checker", f"--test=cf:{version}", path, well=False)  # it ends so after a warning too
        assert "Corrective Actions" in text
        assert " Errors " not in text, text
