"""Pages of the reference, made from what the rooms hand on: one for each `__init__.pyi`, written before Sphinx reads.

A name is described under the room that hands it on, which is where others import it from; links to the module in which
it is written lead there too.
"""

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from pipelines.tracking.provenance import CHECKOUT

FOLDER = Path("reference", "api")
# Modules beside the rooms that are called by hand; all that is public in them.
MODULES = (
    *("simvp.errors", "simvp.stores", "simvp.mlflow_model", "simvp.settings"),
    *("datasets.benchmarks", "pipelines.home", "pipelines.progress"),
    *("pipelines.ingest", "pipelines.train", "pipelines.promote", "pipelines.forecast", "pipelines.verify"),
    *("pipelines.forecast_store", "pipelines.score_store"),
)
_places: dict[str, str] = {}


def setup(app: Sphinx) -> dict[str, Any]:
    """Hook into Sphinx: pages before it reads, links after."""
    app.connect("builder-inited", _write)
    app.connect("missing-reference", _find)
    return {"parallel_read_safe": True, "version": "1"}


def rooms(root: Path = CHECKOUT) -> dict[str, list[str]]:
    """Public names by room or module, in the order of the library, the data sets and the stages."""
    found = {}
    for top in ("simvp", "datasets", "pipelines"):
        for stub in sorted((root / top).rglob("__init__.pyi")):
            tree = ast.parse(stub.read_text())
            names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
            found[".".join(stub.parent.relative_to(root).parts)] = sorted(names, key=str.lower)
        found |= {module: public(module) for module in MODULES if module.startswith(top)}
    return found


def public(module: str) -> list[str]:
    """Classes and functions that a module defines for others."""
    items = vars(import_module(module)).items()
    return [n for n, one in items if not n.startswith("_") and getattr(one, "__module__", "") == module]


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pages = {room: _page(room, names) for room, names in rooms().items()}
    for old in set(folder.glob("*.rst")) - {folder / f"{room}.rst" for room in pages}:
        old.unlink()
    for room, text in pages.items():
        path = folder / f"{room}.rst"
        if not path.exists() or path.read_text() != text:  # what did not change is not read again
            path.write_text(text)


def _page(room: str, names: list[str]) -> str:
    module = import_module(room)
    described, elsewhere, constants = [], [], []
    for name in names:
        one = getattr(module, name)
        if inspect.ismodule(one):
            continue
        place = f"{getattr(one, '__module__', '')}.{getattr(one, '__qualname__', name)}"
        if _places.setdefault(place, f"{room}.{name}") != f"{room}.{name}":
            elsewhere.append(name)
        elif inspect.isclass(one):
            kind = "autoexception" if issubclass(one, BaseException) else "autoclass"
            described.append(f".. {kind}:: {name}\n   :members:\n")
        elif callable(one) and hasattr(one, "__qualname__"):
            described.append(f".. autofunction:: {name}\n")
        else:
            constants.append(name)
    about = inspect.getdoc(module) or ""
    lines = [room, "=" * len(room), "", about, "", f".. currentmodule:: {room}", "", *described]
    if elsewhere:
        lines += ["Described elsewhere: " + ", ".join(f"``{name}``" for name in elsewhere) + ".", ""]
    if constants:
        lines += ["Constants and types: " + ", ".join(f"``{name}``" for name in constants) + "."]
    return "\n".join(lines) + "\n"


def _find(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """The entry of a name that is referred to by the module in which it is written; plain text where it is private."""
    target = str(node.get("reftarget", ""))
    module, _, name = target.rpartition(".")
    if node.get("refdomain") != "py" or target.partition(".")[0] not in ("simvp", "datasets", "pipelines", "flows"):
        return None
    if place := _places.get(target):
        found = env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, node["reftype"], place, node, content)
        if found is not None:
            return found
    try:
        getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return content
