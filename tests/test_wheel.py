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
from tests.support.small_home import DATASET, FRAMES_OUT, archive, small_home


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
    assert "simvp/py.typed" in names  # type checkers believe no annotation without it
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
    return _with(folder, list(PathDistribution(metadata).requires or []))


@pytest.fixture(scope="module")
def site_with_stores(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the extra `store`."""
    folder = tmp_path_factory.mktemp("stores") / "site"
    shutil.copytree(site, folder, symlinks=True)
    (metadata,) = folder.glob("simvp-*.dist-info")
    requires = [Requirement(text) for text in PathDistribution(metadata).requires or []]
    return _with(folder, [f"{r.name}" for r in requires if r.marker and r.marker.evaluate({"extra": "store"})])


def _with(folder: Path, left: list[str]) -> Path:
    """Links to what is required, and what that requires."""
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


def test_stores_are_read_by_the_wheel_and_by_icechunk_alone(site_with_stores: Path, tmp_path: Path) -> None:
    home, _folder = small_home()
    assert not {"prefect", "mlflow", "dask"} & {path.name for path in site_with_stores.iterdir()}
    place = str(home.archive(DATASET))
    ours = (
        f"import simvp; ds = simvp.open_archive({place!r}); assert simvp.__file__.startswith({str(site_with_stores)!r})"
    )
    theirs = (
        "import icechunk, xarray as xr\n"
        f"repository = icechunk.Repository.open(icechunk.local_filesystem_storage({place!r}))\n"
        "ds = xr.open_zarr(repository.readonly_session('main').store, consolidated=False, chunks=None)\n"
        "assert 'simvp' not in sys.modules"
    )
    made = []
    for number, code in enumerate((ours, theirs)):
        end = f"pickle.dump(ds.drop_attrs().load().to_dict(data='array'), open('{number}.pickle', 'wb'))"
        lines = [
            f"sys.path[:] = [{str(site_with_stores)!r}] + [p for p in sys.path if '-packages' not in p and p]",
            code,
        ]
        command = [sys.executable, "-I", "-S", "-c", "\n".join(["import pickle, sys", *lines, end])]
        done = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.append(xr.Dataset.from_dict(pickle.loads((tmp_path / f"{number}.pickle").read_bytes())))
    whole = archive(home).load().drop_attrs()
    for ds in made:
        xr.testing.assert_equal(ds, whole)


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
