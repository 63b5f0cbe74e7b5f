"""The project itself: what it asks for, the lock, the two commands, the way from the README to CI."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import CHECKOUT

ROOMS = ("simvp", "datasets", "pipelines", "flows")
MODULES = {
    "ipython": "IPython",
    "netcdf4": "netCDF4",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}  # where the two names differ
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def lock() -> dict[str, str]:
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version for name, version in pins.items()}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["pipeline"], *extras["test"]]
    return [Requirement(text) for text in texts]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_imported_is_asked_for(room: str) -> None:
    asked = list(PROJECT["dependencies"])
    if room == "simvp":
        # Imported when a registered model is named, which only those who have it do; the others come with it.
        asked += ["mlflow", "sqlalchemy", "alembic"]
        asked += PROJECT["optional-dependencies"]["store"]  # when a store is opened
    else:
        asked += [
            *PROJECT["optional-dependencies"]["pipeline"],
            "sqlalchemy",
            "alembic",
        ]  # the last two come with MLflow
    if room == "flows":
        # Imported inside a notebook, where it is always there; and what comes with Prefect.
        asked += ["ipython", "asyncpg", "packaging", "starlette", "uvicorn", "toml"]
    packages = [canonicalize_name(Requirement(text).name) for text in asked]
    names = {MODULES.get(package, package.replace("-", "_")) for package in packages}
    allowed = names | {*ROOMS} | set(sys.stdlib_module_names)
    for module in sorted((CHECKOUT / room).rglob("*.py")):
        assert not imports(module) - allowed, module


def test_the_lock_pins_and_nothing_else() -> None:
    text = (CHECKOUT / "requirements.lock").read_text()
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line
    assert "://" not in text


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    pins = lock()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{requirement} is not in the lock: make lock"
        assert requirement.specifier.contains(pins[name]), f"{requirement}: the lock has {pins[name]}"


def test_the_lock_keeps_the_two_traps_out() -> None:
    pins = lock()
    assert pins["torch"] == "2.13.0"
    assert not [name for name in pins if name.startswith(("nvidia", "triton", "torchvision"))]
    major, minor = (int(part) for part in pins["fastapi"].split(".")[:2])
    assert (major, minor) < (0, 151)


def test_conda_and_pip_agree() -> None:
    other_names = {
        "torch": "pytorch",
        "eccodes": "python-eccodes",
        "matplotlib": "matplotlib-base",
    }
    dependencies = yaml.safe_load((CHECKOUT / "environment.yml").read_text())["dependencies"]
    conda = {re.split(r"[=<>]", text)[0].replace("_", "-"): text for text in dependencies}
    pins = lock()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        text = conda[other_names.get(name, name)]
        if (exact := re.fullmatch(r"[^=<>]+=([0-9.]+)", text)) is not None:
            assert f"{pins[name]}.".startswith(f"{exact[1]}."), f"{text}: the lock has {pins[name]}"
        else:
            assert str(Requirement(text).specifier) == str(requirement.specifier)


def test_only_simvp_is_packaged() -> None:
    tool = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
    assert tool["setuptools"]["packages"]["find"]["include"] == ["simvp*"]
    assert not [text for text in PROJECT["dependencies"] if "mlflow" in text or "prefect" in text]


def make(*arguments: str, **environment: str) -> str:
    # Under `make test`, make would hand on its own flags and say which directory it enters.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "-n", *arguments],
        cwd=CHECKOUT,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def demo_arguments(*arguments: str, target: str = "demo", **environment: str) -> list[str]:
    line = make(target, *arguments, **environment).splitlines()[-1]
    words = shlex.split(line)
    assert words[0].endswith("/bin/simvp")
    assert words[1] == target
    return words[2:]


def test_make_demo_passes_on_what_was_typed() -> None:
    assert demo_arguments() == []
    assert demo_arguments("DATA=era5-uk") == ["era5-uk"]
    assert demo_arguments("SOURCE=my files/*.nc", "VARIABLES=a,b", "UNITS=a:K") == [
        *("--source", "my files/*.nc"),
        *("--variables", "a,b"),
        *("--units", "a:K"),
    ]
    assert demo_arguments("SOURCE=it's here.nc", "NAME=here") == ["--source", "it's here.nc", "--name", "here"]
    assert demo_arguments("FRAMES_IN=8", "SOURCE=a") == ["--source", "a", "--frames-in", "8"]


def test_other_targets_pass_on_what_was_typed() -> None:
    assert demo_arguments("NAME=kth", target="catalog") == ["kth"]
    assert demo_arguments("DATA=kth", "SET=a=1; b=[2]", target="benchmark") == ["kth", "--set", "a=1; b=[2]"]
    assert demo_arguments("DATA=kth", "EPOCHS=2", target="ablation") == ["kth", "--epochs", "2"]
    assert demo_arguments("NAME=rain", "HEAL=yes", target="verify-archive") == ["rain", "--heal"]
    assert demo_arguments("HEAL=no", target="verify-archive") == []


def test_make_demo_ignores_variables_that_mean_something_else() -> None:
    assert demo_arguments(NAME="a-laptop", SOURCE="elsewhere", DATA="/data") == []
    assert demo_arguments(target="catalog", NAME="a-laptop") == []
    assert demo_arguments(target="verify-archive", NAME="a-laptop", HEAL="yes") == []


def test_both_commands_make_the_environment_themselves(tmp_path: Path) -> None:
    for command in ("demo", "test", "lint", "up"):
        text = make(command, f"VENV={tmp_path}/fresh")
        assert "venv" in text, command
        assert "--requirement requirements.lock" in text
        assert "--no-deps" in text  # nothing may be resolved a second time: that is how another torch comes in
        assert text.index("--requirement requirements.lock") < text.index("--no-deps")


def test_ci_runs_what_the_readme_names() -> None:
    script = CHECKOUT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -eu" in lines
    commands = [line for line in lines if line.startswith("make")]
    assert "make test" in commands
    readme = (CHECKOUT / "README.md").read_text()
    for command in commands:
        assert f"`{command}`" in readme or f"\n{command}" in readme, command


def test_readme_names_only_targets_and_files_that_exist() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^|`)make ([a-z-]+)\b", readme, re.MULTILINE):
        assert target in targets, f"make {target}"
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (CHECKOUT / path).exists(), path


def test_versions_agree() -> None:
    changelog = (CHECKOUT / "CHANGELOG.md").read_text()
    assert f"## {PROJECT['version']}" in changelog
