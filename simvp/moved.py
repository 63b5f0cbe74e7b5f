"""Modules that have moved are found under their old names for one more version, with a warning."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "simvp.forecaster": "simvp.inference.forecaster",
    "simvp.layout": "simvp.coords.forecast_layout",
    "simvp.metrics": "simvp.scoring.metrics",
    "simvp.model_file": "simvp.inference.model_file",
}


class _OldNames(MetaPathFinder, Loader):
    """Gives the module in its new place to whoever imports the old one; Python asks it after all others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} is {new} now; the old name goes with the next version", DeprecationWarning, 2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just told the module that its name is the old one.
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(_OldNames())
