"""The wheel: only the library, and enough to predict with a file."""

import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import CHECKOUT
from tests.support.small_home import FRAMES_OUT, archive, small_home


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building leaves `build` and an egg-info beside the sources.
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((CHECKOUT / name).read_bytes())
    for room in ("simvp", "datasets", "pipelines", "flows"):
        shutil.copytree(CHECKOUT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(copy)], check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_the_library_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"simvp"}
    assert any(name.endswith("LICENSE") for name in names)
    # The stubs are read at run time: they say where each name comes from.
    modules = {name for name in names if name.endswith((".py", ".pyi"))}
    assert modules == {
        str(file.relative_to(CHECKOUT))
        for file in (CHECKOUT / "simvp").rglob("*.py*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `pip install` of the wheel would bring, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    (metadata,) = folder.glob("simvp-*.dist-info")
    left = list(PathDistribution(metadata).requires or [])
    seen: set[str] = set()
    while left:
        requirement = Requirement(left.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = distribution(name)
        left += found.requires or []
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))
    return folder


def test_wheel_predicts_with_a_file_and_nothing_of_the_pipeline(site: Path, tmp_path: Path) -> None:
    assert not {"prefect", "mlflow", "dask", "zarr"} & {path.name for path in site.iterdir()}
    home, _folder = small_home()
    model = next(home.artifacts.rglob("*.safetensors"))
    ds = archive(home).drop_vars("present").load()
    (tmp_path / "input.pickle").write_bytes(pickle.dumps(ds.to_dict(data="array")))
    code = f"""
        import pickle, sys
        sys.path[:] = [{str(site)!r}] + [place for place in sys.path if "-packages" not in place and place]
        import simvp, xarray as xr
        assert simvp.__file__.startswith({str(site)!r}), simvp.__file__
        ds = xr.Dataset.from_dict(pickle.load(open("input.pickle", "rb")))
        forecast = simvp.predict(ds, model={str(model)!r})
        pickle.dump(forecast.to_dict(data="array"), open("output.pickle", "wb"))
    """
    environment = {"PATH": os.environ["PATH"], "SIMVP_HOME": str(tmp_path / "none")}
    command = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = xr.Dataset.from_dict(pickle.loads((tmp_path / "output.pickle").read_bytes()))
    (name,) = made.data_vars
    assert dict(made[name].sizes) == {
        "init_time": 1,
        "lead_time": FRAMES_OUT,
        **{d: ds.sizes[d] for d in ds[name].dims[1:]},
    }
    assert np.isfinite(made[name]).all()
    assert made[name].attrs["units"] == ds[name].attrs["units"]
    assert made.init_time.values[0] == ds.time.values[-1]
