"""Whether a home can be used at all, looked at before a server is started and before anything is written."""

import os
import shutil
from pathlib import Path

from pipelines.home import Home
from simvp.errors import ConfigError
from simvp.places import is_address

LEAST_MIB = 16  # an empty home with its databases


def refuse_unusable(home: Home) -> None:
    """Refuse a home in which nothing can be written; nothing is written to find out.

    Raises
    ------
    ConfigError
        It lies below a file, on a disk that is full or may only be read, or where this user has no right to write.
    """
    places = {"SIMVP_HOME": home.path}
    if home.store != home.path and not is_address(home.store):
        places["SIMVP_STORE"] = Path(home.store)
    for name, place in places.items():
        if reasons := _faults(place, home if name == "SIMVP_HOME" else None):
            raise ConfigError(f"{name} {place}", reasons, f"mend that, or set {name} to a folder of your own")


def _faults(place: Path, home: Home | None) -> list[str]:
    nearest = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
    if not os.path.isdir(nearest):
        what = "a file" if os.path.exists(nearest) else "a link to nowhere"
        return [f"expected a folder, and {nearest} is {what}"]
    kept = [] if home is None else [home.mlflow, home.mlflow / "mlflow.db", home.prefect, home.prefect / "prefect.db"]
    reasons = []
    closed = [path for path in (nearest, *filter(os.path.exists, kept)) if not _may_write(path)]
    if closed:
        only_read = os.statvfs(closed[0]).f_flag & os.ST_RDONLY
        why = "its file system may only be read" if only_read else f"this user ({_user()}) has no permission"
        more = f", nor to {len(closed) - 1} places in it" if len(closed) > 1 else ""
        reasons.append(f"expected to write to {closed[0]}{more}, but {why}")
    free = shutil.disk_usage(nearest).free >> 20
    if free < LEAST_MIB:
        reasons.append(f"expected {LEAST_MIB} MiB and more of space on its disk, got {free} MiB")
    return reasons


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK | (os.X_OK if os.path.isdir(path) else 0))


def _user() -> str:
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else os.environ.get("USERNAME", "unknown")
