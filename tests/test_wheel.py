"""The wheel: only the library, and enough to predict with a file."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.conftest import CHECKOUT
from tests.small_home import FRAMES_OUT, archive, small_home

# What pip would not have installed with the wheel.
ABSENT = ("prefect", "dask", "distributed", "zarr", "mlflow", "netCDF4", "cfgrib", "pydantic", "matplotlib", "rich")
HERE = ("datasets", "pipelines", "flows")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building leaves `build` and an egg-info beside the sources.
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((CHECKOUT / name).read_bytes())
    for room in ("simvp", "datasets", "pipelines", "flows"):
        (copy / room).mkdir()
        for file in (CHECKOUT / room).glob("*.py"):
            (copy / room / file.name).write_bytes(file.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(copy)], check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_the_library_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"simvp"}
    assert any(name.endswith("LICENSE") for name in names)
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {f"simvp/{file.name}" for file in (CHECKOUT / "simvp").glob("*.py")}


def test_wheel_predicts_with_a_file_and_nothing_of_the_pipeline(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _folder = small_home()
    model = next(home.artifacts.rglob("*.safetensors"))
    ds = archive(home).load()
    ds.drop_vars("present").to_netcdf(tmp_path / "input.nc", engine="scipy", format="NETCDF3_64BIT")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = f"""
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {ABSENT + HERE}:
                    raise ModuleNotFoundError(name, name=name)

        sys.meta_path.insert(0, Absent())
        import xarray as xr
        import simvp
        assert simvp.__file__.startswith({str(site)!r}), simvp.__file__
        forecast = simvp.predict(xr.load_dataset("input.nc", engine="scipy"), model={str(model)!r})
        forecast.reset_coords(drop=True).to_netcdf("output.nc", engine="scipy", format="NETCDF3_64BIT")
    """
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = xr.load_dataset(tmp_path / "output.nc", engine="scipy")
    name = next(iter(made.data_vars))
    assert made.sizes["lead_time"] == FRAMES_OUT
    assert np.isfinite(made[name]).all()
    assert made[name].attrs["units"] == ds[name].attrs["units"]
