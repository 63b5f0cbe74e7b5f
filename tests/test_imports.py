"""The arrows between the rooms, read from the sources, and what importing the library costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.tracking.provenance import CHECKOUT

ROOMS = ("simvp", "datasets", "pipelines", "flows", "performance")  # each may import itself and those before it
# What the wheel depends on; pandas and cftime are what xarray's own time axes are made of.
LIBRARY = {
    *(
        "simvp",
        "lazy_loader",
        "numpy",
        "pandas",
        "xarray",
        "cf_xarray",
        "cftime",
        "pint",
        "pydantic",
        "torch",
        "safetensors",
    ),
    "pytorch_msssim",
}
LATE = {"mlflow"}  # only inside functions: when a registered name is resolved
HEAVY = ("prefect", "dask", "distributed", "zarr", "mlflow", "torch")


def imports(source: str) -> Iterator[tuple[str, bool, int]]:
    """Top-level package, whether the import runs with the module, and the line, of every import in a source."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name.partition(".")[0], at_import, child.lineno
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"relative import in line {child.lineno}"
                yield str(child.module).partition(".")[0], at_import, child.lineno
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            types_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from walk(child, at_import and not inner and not types_only)

    return walk(ast.parse(source), True)


def sources(room: str) -> list[Path]:
    found = sorted((CHECKOUT / room).rglob("*.py"))
    assert found, f"no sources in {room}"
    return found


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import a.b, c
from d.e import f
if TYPE_CHECKING:
    import g
def h():
    from i import j
class K:
    import l
try:
    import m
except ImportError:
    pass
"""
    found = {(name, at_import) for name, at_import, _ in imports(source)}
    assert found == {(n, True) for n in "acdlm"} | {("g", False), ("i", False)}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_run_one_way(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :]) | {"tests"}
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in sources(room)
        for name, _, line in imports(path.read_text())
        if name in above
    ]
    assert wrong == []


def test_pipelines_know_no_prefect() -> None:
    names = {n for room in ("datasets", "pipelines") for p in sources(room) for n, _, _ in imports(p.read_text())}
    assert "prefect" not in names


def test_the_library_imports_only_what_the_wheel_depends_on() -> None:
    allowed = LIBRARY | set(sys.stdlib_module_names)
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in sources("simvp")
        for name, at_import, line in imports(path.read_text())
        if name not in allowed and not (name in LATE and not at_import)
    ]
    assert wrong == []


def loaded_after(statement: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_pulls_in_nothing_heavy() -> None:
    assert loaded_after("import simvp") == set()


def test_asking_for_the_notebooks_door_pulls_in_torch_alone() -> None:
    assert loaded_after("from simvp import predict, load, Forecaster, FrameSpec, SimVP, from_pretrained") == {"torch"}


def test_flows_that_need_no_network_load_none() -> None:
    # PyTorch and MLflow take longer to import than a small forecast to make.
    loaded = loaded_after("import flows.ingest, flows.forecast, flows.promote, flows.verify")
    assert not {"torch", "mlflow"} & loaded


def test_every_exported_name_is_there_and_no_other() -> None:
    import simvp

    for name in simvp.__all__:
        assert getattr(simvp, name) is not None
        assert name in dir(simvp)
    assert callable(simvp.predict)
    assert simvp.__version__
    with pytest.raises(AttributeError, match="No simvp attribute forecast"):
        simvp.forecast  # noqa: B018


def test_grib_opened_after_simvp_leaves_mlflow_its_sqlite():
    pytest.importorskip("eccodes")
    code = "import simvp, eccodes, sqlite3; print(sqlite3.sqlite_version_info >= (3, 31))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
