"""What a type checker sees of the library in somebody's own script: every public name has its type."""

import re
import subprocess
import sys
from pathlib import Path

import simvp
from tests.conftest import CHECKOUT

# An expression, and the type that mypy has to find for it.
SEEN = {
    "simvp.predict(ds)": "Dataset",
    'simvp.predict(ds["t2m"])': "DataArray",
    'simvp.predict("a.nc", "model.safetensors", init_time="2024-01-01", horizon="2D")': "Dataset",
    'simvp.predict([Path("a.nc"), Path("b.nc")], units={"t2m": "K"}, device="cpu")': "Dataset",
    'simvp.load("simvp-rain")': "Forecaster",
    'simvp.Forecaster.load("model.safetensors")': "Forecaster",
    "model.predict(ds)": "Dataset",
    'model.predict(ds["t2m"])': "DataArray",
    "model.spec": "FrameSpec",
    "model.spec.states": "tuple[str, ...]",
    "model.spec.frames_in": "int",
    "model.fingerprint": "str",
    'simvp.export(ds, "tomorrow.nc", overwrite=True)': "tuple[Path, ...]",
    'simvp.export("12h.zarr", Path("out"), format="zarr2")': "tuple[Path, ...]",
    'simvp.open_archive("archive.zarr")': "Dataset",
    'simvp.open_forecasts(Path("12h.zarr"))': "Dataset",
    "simvp.score(ds, ds)": "Dataset",
    "simvp.at(ds, 50.0, 0.0)": "Dataset",
    'simvp.from_pretrained("checkpoint.pth")': "SimVP",
    "simvp.SimVP(simvp.SimVPConfig(frames_in=4, kernels=(3, 5)))": "SimVP",
    "simvp.__version__": "str",
    "ContractError('data', ['why']).reasons": "tuple[str, ...]",
}
# A mistake, and what has to be said of it.
WRONG = {
    "simvp.predict(3)": "call-overload",
    "simvp.predict(ds, horizn=3)": "call-overload",
    'simvp.export(ds, "x", format="zip")': "arg-type",
    "simvp.forecast(ds)": "attr-defined",
    "model.spec.frames": "attr-defined",
}
SCRIPT = """\
from pathlib import Path
import simvp
import xarray as xr
from simvp.errors import ContractError
ds: xr.Dataset = xr.open_dataset("yesterday.nc")
model: simvp.Forecaster = simvp.load("simvp-rain@champion")
"""
# Torch and others take a minute to be read, and no type here is theirs.
SETTINGS = f"""\
[mypy]
strict = true
follow_imports = silent
mypy_path = {CHECKOUT}
[mypy-{",".join(f"{name}.*" for name in ("torch", "pandas", "scipy", "dask", "pyproj", "skimage", "pint", "mlflow"))}]
follow_imports = skip
follow_imports_for_stubs = true
"""


def test_a_script_is_checked_strictly_and_mistakes_in_it_are_found(tmp_path: Path) -> None:
    lines = [*(f"reveal_type({expression})" for expression in SEEN), *WRONG]
    (tmp_path / "script.py").write_text(SCRIPT + "\n".join(lines) + "\n")
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "script.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    first = len(SCRIPT.splitlines()) + 1
    types, faults = {}, {}
    for number, text in re.findall(r"^script\.py:(\d+): note: Revealed type is \"(.*)\"$", said, re.MULTILINE):
        types[lines[int(number) - first]] = re.sub(r"\b[a-z_]+\.(?:\w+\.)*(?=[A-Z])", "", text)  # without modules
    for place, number, text in re.findall(r"^(\S+):(\d+): error: .*\[(.*)\]$", said, re.MULTILINE):
        assert place == "script.py", said
        faults[lines[int(number) - first]] = text
    assert types == {f"reveal_type({expression})": kind for expression, kind in SEEN.items()}, said
    assert faults == WRONG, said


def test_every_public_name_is_in_the_script() -> None:
    text = SCRIPT + "".join([*SEEN, *SEEN.values(), *WRONG])
    assert {name for name in simvp.__all__ if name not in text} == set()
