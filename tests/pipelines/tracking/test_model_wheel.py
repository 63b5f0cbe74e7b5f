"""The wheel that is logged with every model, and what else a fresh environment needs."""

import os
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import mlflow
import numpy as np
import pytest
from packaging.requirements import Requirement

from pipelines.tracking.provenance import requirements
from pipelines.tracking.wheel import write_wheel
from tests.conftest import CHECKOUT
from tests.support.small_home import small_home
from tests.test_wheel import wheel  # noqa: F401  what pip builds


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_it_holds_what_pip_would_build(wheel: Path, tmp_path: Path) -> None:  # noqa: F811
    ours, theirs = contents(write_wheel(tmp_path)), contents(wheel)
    label = re.compile(r"\+code\.[0-9a-f]{12}")
    name = next(tmp_path.glob("*.whl")).name
    assert label.search(name)
    assert label.sub("", name) == wheel.name
    code = {name: content for name, content in ours.items() if name.startswith("simvp/")}
    assert len(code) > 50
    assert code == {name: content for name, content in theirs.items() if name.startswith("simvp/")}
    own, built = (
        Parser().parsestr(next(c.decode() for n, c in files.items() if n.endswith("METADATA")))
        for files in (ours, theirs)
    )
    for field in ("Name", "Requires-Python", "License-Expression", "Summary"):
        assert own[field] == built[field], field
    asked, theirs_too = (
        {Requirement(text) for text in metadata.get_all("Requires-Dist") or []} for metadata in (own, built)
    )
    # Extras of the checkout alone are left out.
    store = {"extra": "store"}
    assert asked == {one for one in theirs_too if one.marker is None or one.marker.evaluate(store)}
    scripts = [[c.strip() for n, c in files.items() if n.endswith("entry_points.txt")] for files in (ours, theirs)]
    assert scripts[0] == scripts[1]


def test_the_same_code_makes_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write_wheel(folder)
    assert [file.read_bytes() for file in first.iterdir()] == [file.read_bytes() for file in second.iterdir()]


def test_pip_installs_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    made = write_wheel(tmp_path)
    subprocess.run([*command, "--target", str(tmp_path / "site"), str(made)], check=True, capture_output=True)
    listed = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert {name for name in listed if name.startswith("simvp/")} == {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "simvp").rglob("*")
        if path.is_file() and (path.suffix in (".py", ".pyi") or path.name == "py.typed")
    }


def test_requirements_are_pins_that_any_index_has() -> None:
    pins = dict(line.split("==") for line in requirements())
    assert {"torch", "xarray", "numpy", "pandas", "safetensors", "lazy-loader"} <= set(pins)
    assert not [number for number in pins.values() if "+" in number]


@pytest.mark.slow
def test_a_fresh_environment_makes_the_same_forecast(tmp_path: Path) -> None:
    """From the index and the files of the version alone: minutes, most of them for PyTorch."""
    home, _folder = small_home()
    (model,) = home.artifacts.rglob("MLmodel")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    asked = model.parent / "requirements.txt"
    done = subprocess.run([*pip, "-r", str(asked)], cwd=tmp_path, capture_output=True, text=True)
    if "No matching distribution" in done.stderr:
        pytest.skip(f"no index here that has them: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    code = f"""
import mlflow, numpy
model = mlflow.pyfunc.load_model({str(model.parent)!r})
made = model.predict(model.input_example, params={{"horizon": "2"}})
numpy.savez("made.npz", **{{name: values for name, values in made.items() if name != "model_version"}})
import simvp
print(simvp.__file__)
"""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(venv))
    here = mlflow.pyfunc.load_model(str(model.parent))
    expected = here.predict(here.input_example, params={"horizon": "2"})
    with np.load(tmp_path / "made.npz") as made:
        for name in made.files:
            np.testing.assert_array_equal(made[name], expected[name])
