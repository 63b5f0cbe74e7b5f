"""Spatiotemporal forecasting of gridded data with SimVP.

``simvp.predict(ds)`` makes a labelled forecast from a labelled Dataset; ``simvp.load(name)`` gives the model alone.
Everything is imported when it is first asked for, so that importing the package costs nothing.
"""

# The GRIB library's wheel carries an SQLite too old for MLflow, and whichever is loaded first serves the process.
import sqlite3  # noqa: F401
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simvp.contract import FrameSpec
    from simvp.forecaster import Forecaster
    from simvp.model import SimVP, SimVPConfig
    from simvp.prediction import load, predict
    from simvp.pretrained import from_pretrained

    __version__: str

__all__ = [
    "Forecaster",
    "FrameSpec",
    "SimVP",
    "SimVPConfig",
    "__version__",
    "from_pretrained",
    "load",
    "predict",
]

_HOMES = {
    "Forecaster": "forecaster",
    "FrameSpec": "contract",
    "SimVP": "model",
    "SimVPConfig": "model",
    "from_pretrained": "pretrained",
    "load": "prediction",
    "predict": "prediction",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found: Any = version("simvp")
        except PackageNotFoundError:  # a checkout that was not installed
            found = "0+unknown"
    elif name in _HOMES:
        from importlib import import_module

        found = getattr(import_module(f"simvp.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'simvp' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
