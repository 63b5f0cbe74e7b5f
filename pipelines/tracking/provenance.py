"""Which code made a thing: the commit of the checkout, versions of packages, and a digest of the modules that decide.

The digest is what makes a training "the same training". It is found from the imports, so that no list of files can
be forgotten, and it holds neither paths nor imports: a module that moves, with the imports that follow it, is the
same code.
"""

import ast
import hashlib
import os
import re
import subprocess
import tomllib
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CHECKOUT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
PACKAGES = ("numpy", "xarray", "cf_xarray", "torch", "safetensors")


def git_state(root: Path = CHECKOUT) -> dict[str, Any]:
    """Commit of the code, and whether files differ from it.

    Where there is no git checkout, the commit is that of `SIMVP_COMMIT` (an image has it), else "unknown".
    """
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": os.environ.get("SIMVP_COMMIT") or "unknown", "dirty": False}


def package_versions() -> dict[str, str]:
    """Versions of the packages that a forecast depends on."""
    versions = {}
    for name in ("simvp", *PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "checkout"
    return versions


def requirements(root: Path = CHECKOUT) -> list[str]:
    """Every package that the library asks for, as pip names it, at the version that is installed here.

    Without the part of a version that an index for one kind of machine adds ("+cpu"): others do not have it.
    """
    asked = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in asked]
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


@lru_cache(maxsize=8)
def code_digest(module: str, *, beside: Collection[str] = (), root: Path = CHECKOUT) -> str:
    """SHA-256 of the code of a module and of all of the checkout that it imports, directly or not.

    Comments, docstrings, imports, and where a module lies do not count.

    Parameters
    ----------
    module
        Where to begin ("pipelines.train").
    beside
        Modules and packages that are not followed, since they change nothing of what is made. Hashable: a tuple.
    root
        The checkout.
    """
    # Sorted by content: their names would tie the digest to the places where the modules lie.
    digests = sorted(_content(path) for path in modules_behind(module, beside=beside, root=root).values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def modules_behind(module: str, *, beside: Collection[str] = (), root: Path = CHECKOUT) -> dict[str, Path]:
    """A module and all of the checkout's modules that it imports, directly or not, with their files.

    An `__init__` is not among them: it hands on names, and a test holds that it does nothing else.

    Raises
    ------
    ModuleNotFoundError
        The module is not in the checkout.
    """
    files: dict[str, Path] = {}
    left = [module]
    while left:
        name = left.pop()
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        if name in files or any(name == one or name.startswith(f"{one}.") for one in beside):
            continue
        if not path.is_file():
            raise ModuleNotFoundError(f"{name}: expected a file {path}")
        files[name] = path
        left += imported(path, root)
    return files


def imported(path: Path, root: Path = CHECKOUT) -> Iterator[str]:
    """Modules of the checkout that the module in a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_module(alias.name, root))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if _is_module(node.module, root):
                yield node.module
                continue
            for alias in node.names:
                if home := _home_of(node.module, alias.name, root):
                    yield home


def _home_of(package: str, name: str, root: Path) -> str:
    """The module that a name of a package is or comes from, by the stubs of the packages; empty if it is none."""
    if _is_module(f"{package}.{name}", root):
        return f"{package}.{name}"
    handed_on = _handed_on(root.joinpath(*package.split("."), "__init__.pyi"))
    if name not in handed_on:
        return ""
    home = f"{package}.{handed_on[name]}"
    return home if _is_module(home, root) else _home_of(home, name, root)


def _handed_on(stub: Path) -> dict[str, str]:
    """Which module of a package each name comes from that its `__init__` hands on."""
    if not stub.is_file():
        return {}
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: str(node.module) for node in nodes for alias in node.names}


def _is_module(name: str, root: Path) -> bool:
    return root.joinpath(*name.split(".")).with_suffix(".py").is_file()


class _Bare(ast.NodeTransformer):
    """Takes imports and docstrings out of a module."""

    def visit_Import(self, node: ast.Import) -> None:
        """Leave it out."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Leave it out."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave it out if it is a text that nobody reads but people."""
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _content(path: Path) -> str:
    return hashlib.sha256(ast.dump(_Bare().visit(ast.parse(path.read_text()))).encode()).hexdigest()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
