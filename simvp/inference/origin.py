"""Where a forecast comes from: which model made it, from what data and when."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.times import EPOCH, name_time
from simvp.version import __version__

if TYPE_CHECKING:
    from simvp.inference.forecaster import Forecaster


def origin_of(forecaster: "Forecaster", ds: xr.Dataset, count: int) -> tuple[dict[str, xr.Variable], dict[str, str]]:
    """Who made a forecast, from what and when: coordinates on `count` init times, and attributes."""
    created = np.datetime64("now", "s").astype("M8[ns]")
    own = {
        "model_version": (forecaster.version, "registered version of the model"),
        "model_fingerprint": (forecaster.fingerprint, "digest of the content of the model"),
        "archive_commit": (commit_of(ds), "commit of the archive that was read"),
        "archive_snapshot": (
            str(ds.attrs.get("archive_snapshot", "")),
            "name of that commit in the archive's repository",
        ),
        "created": (created, "when the forecast was computed, UTC"),
    }
    coords = {
        name: xr.Variable(("init_time",), np.full(count, value), {"long_name": text})
        for name, (value, text) in own.items()
    }
    coords["created"].encoding = {"units": EPOCH, "dtype": "int64", "calendar": "proleptic_gregorian"}
    names = ", ".join(forecaster.spec.states)
    attrs = {
        "title": forecaster.provenance.get("title", f"Forecast of {names}"),
        "institution": forecaster.provenance.get("institution", ds.attrs.get("institution", "")),
        # Not the version: init times of several models lie in one store, and coordinates tell which made which.
        "source": forecaster.provenance.get("source", "SimVP; model_version and model_fingerprint name the model"),
        "history": f"{name_time(created)}Z simvp.predict",
        "references": "Gao, Tan, Wu, Li: SimVP, CVPR 2022, arXiv 2206.05099",
        "data_set": forecaster.provenance.get("dataset", ""),
        "code_version": forecaster.provenance.get("code_version", __version__),
    }
    return coords, {name: str(value) for name, value in attrs.items() if value != ""}


def commit_of(ds: xr.Dataset) -> str:
    """Commit of the archive that the data was read from; empty where it does not say."""
    return str(ds.attrs.get("archive_commit") or "")
