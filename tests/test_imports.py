"""The arrows between the rooms, read from the sources, and what importing the library costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.tracking.provenance import CHECKOUT
from simvp import moved

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
        "pyproj",
        "torch",
        "safetensors",
        "scipy",
        "skimage",
        "typer",
    ),
    "pytorch_msssim",
}
LATE = {
    "alembic",
    "mlflow",
    "sqlalchemy",
    "icechunk",
    "zarr",
}  # only inside functions
HEAVY = ("prefect", "dask", "distributed", "icechunk", "zarr", "mlflow", "torch", "pyproj", "scipy", "skimage")


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


# What each room of simvp may import of the others; the modules beside them (errors, settings, ...) are for all.
INSIDE_SIMVP = {
    "values": set(),
    "times": set(),
    "coords": {"times", "values"},
    "contract": {"coords", "times", "values"},
    "files": {"coords", "times"},
    "networks": set(),
    "motion": set(),
    "scoring": {"contract", "coords", "times", "values", "motion"},
    "base_forecast": {"scoring", "contract", "coords", "times", "values", "motion"},
    "mixture": set(),
    "uncertainty": {"contract", "coords", "times"},
    "inference": {
        *(
            "uncertainty",
            "base_forecast",
            "mixture",
            "scoring",
            "motion",
            "contract",
            "coords",
            "times",
            "values",
            "networks",
        ),
        "files",
    },
}


def packages() -> list[Path]:
    """Folders of modules below the rooms at the top: their rooms."""
    return [stub.parent for room in ROOMS for stub in sorted((CHECKOUT / room).glob("*/__init__.pyi"))]


def home_of(module: str) -> str:
    """The room that a module belongs to; itself where it lies beside the rooms."""
    folder = CHECKOUT.joinpath(*module.split("."))
    return module if folder.is_dir() or module.count(".") < 2 else module.rpartition(".")[0]


def own_imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Module, name and line of every import from the checkout's own packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in ROOMS:
            yield from ((str(node.module), alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            whole = [a.name for a in node.names if a.name.partition(".")[0] in ROOMS and "." in a.name]
            assert set(whole) <= {"simvp.moved", "simvp.c_libraries"}, path


def handed_on(package: Path) -> set[str]:
    """Names that the stub of a room lists."""
    nodes = [
        node for node in ast.parse((package / "__init__.pyi").read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    return {alias.name for node in nodes for alias in node.names}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


def test_other_rooms_use_only_what_a_room_hands_on() -> None:
    rooms = {".".join(package.relative_to(CHECKOUT).parts): handed_on(package) for package in packages()}
    assert len(rooms) > 15
    wrong = []
    for path in (path for room in ROOMS for path in sources(room)):
        own = home_of(module_of(path))
        for module, name, line in own_imports(path):
            other = home_of(module)
            if other in rooms and other != own and (module != other or name not in rooms[other]):
                wrong.append(f"{path.relative_to(CHECKOUT)}:{line} imports {name} from {module}")
    assert wrong == []


def test_a_room_hands_on_nothing_that_nobody_uses() -> None:
    users = [*(path for room in ROOMS for path in sources(room)), *sorted((CHECKOUT / "docs").rglob("*.py"))]
    used = {(module, name) for path in users for module, name, _ in own_imports(path)}
    pages = [*sorted((CHECKOUT / "docs").rglob("*.md")), CHECKOUT / "notebooks" / "forecast.ipynb"]
    words = "".join(page.read_text() for page in pages)
    for package in packages():
        room = ".".join(package.relative_to(CHECKOUT).parts)
        assert {name for name in handed_on(package) if (room, name) not in used and name not in words} == set(), room


def test_a_room_begins_with_what_is_in_it_and_holds_no_code() -> None:
    for package in [*packages(), CHECKOUT / "simvp"]:
        docstring, *rest = ast.parse((package / "__init__.py").read_text()).body
        assert ast.unparse(docstring).count(chr(10)) <= 10
        assert [type(node) for node in rest if not isinstance(node, ast.Import)] == [ast.Assign], package
        assert "lazy_loader.attach_stub(__name__, __file__)" in ast.unparse(rest[-1])


def test_arrows_between_rooms_run_one_way() -> None:
    arrows: dict[str, set[str]] = {}
    for path in (path for room in ROOMS for path in sources(room) if path.name != "__init__.py"):
        own = home_of(module_of(path))
        for module, name, _ in own_imports(path):
            whole = module if "." in module else f"{module}.{name}"
            arrows.setdefault(own, set()).add(home_of(whole))
    for room, allowed in INSIDE_SIMVP.items():
        reached = {name.removeprefix("simvp.") for name in arrows[f"simvp.{room}"]} & set(INSIDE_SIMVP) - {room}
        assert reached <= allowed, room
    # Rooms that nothing imports any more are taken away until none is left: what cannot be taken away is a circle.
    left = {room: {other for other in others if other != room and other in arrows} for room, others in arrows.items()}
    while left:
        free = [room for room, others in left.items() if not others & set(left)]
        assert free, f"circle among {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in free}


def test_no_folder_is_crowded() -> None:
    folders = [f for room in (*ROOMS, "tests") for f in (CHECKOUT / room, *(CHECKOUT / room).rglob("*")) if f.is_dir()]
    # Modules: how a package begins and how it is started are none.
    crowded = {str(f.relative_to(CHECKOUT)): len(list(f.glob("[!_]*.py"))) for f in folders}
    assert {name: count for name, count in crowded.items() if count > 12} == {}


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


def test_a_model_that_is_read_and_a_netcdf_file_that_is_opened_pull_in_what_they_take(tmp_path: Path) -> None:
    """SymPy came with tensors without memory, ecCodes with engines that were looked up by name."""
    code = f"""
import sys
import torch, xarray
from simvp.files.source import open_file
from simvp.networks import SimVP, SimVPConfig
from simvp.networks.saved import loaded
config = SimVPConfig(hid_S=32, hid_T=16, N_S=2, N_T=1)
network = loaded(config, SimVP(config).state_dict())
assert network.encoder.blocks[1].conv.weight.is_contiguous(memory_format=torch.channels_last)
xarray.Dataset({{"a": ("x", [1.0])}}).to_netcdf({str(tmp_path / "a.nc")!r}, engine="netcdf4")
before = set(sys.modules)
open_file({str(tmp_path / "a.nc")!r}, "test").load()
print(*sorted({{"sympy"}} & set(sys.modules)), *sorted({{"eccodes", "cfgrib"}} & (set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


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


@pytest.mark.parametrize("first", ["simvp, eccodes", "eccodes, simvp"])
def test_grib_opened_before_or_after_simvp_leaves_mlflow_its_sqlite(first: str):
    pytest.importorskip("eccodes")
    code = f"import {first}, sqlite3; print(sqlite3.sqlite_version_info >= (3, 31))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize(("old", "new"), moved.MOVED.items())
def test_a_module_that_moved_is_found_under_its_old_name_with_a_warning(old: str, new: str) -> None:
    code = f"import warnings; warnings.simplefilter('error'); import {old}"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert f"DeprecationWarning: {old} is {new} now" in done.stderr
    # Whichever way it is imported, it is the module in the new place, and knows its new name.
    code = f"import {old} as a, {new} as b; from simvp import {old.removeprefix('simvp.')} as c; "
    code += "print(a is b is c, b.__spec__.name, b.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", new, new]
