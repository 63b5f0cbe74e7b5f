"""The champion that this home has forecast with last: what is left to forecast with while the registry is away."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.store import disk
from pipelines.home import Home
from pipelines.tracking.versions import open_registry, resolve_version
from simvp.errors import RegistryError, Unavailable

if TYPE_CHECKING:
    from simvp.inference import Forecaster

_log = logging.getLogger(__name__)


def load_champion(home: Home, dataset: str, device: str | None = None) -> tuple["Forecaster", str]:
    """The champion of a data set, and where it was read: "registry", or "copy of ..." where that is away.

    A copy of every champion that is read stays in the home until the next one is.

    Raises
    ------
    Unavailable
        The registry is away, and no champion of it was read here before.
    RegistryError
        The registry has none.
    """
    try:
        version = resolve_version(home, dataset)
        champion = open_registry(home).load(version, device)
    except Unavailable as away:
        known = _known(home, dataset, device, away)
        _log.warning("%s\nForecasting with %s, %s", away, known[0].version, known[1])
        return known
    note = {"version": champion.version, "created": version.created, "fingerprint": champion.fingerprint}
    _keep(home.champion(dataset), champion, note)
    return champion, "registry"


def _keep(folder: Path, champion: "Forecaster", note: dict[str, object]) -> None:
    """Put the model into the folder, then the note that names it; what the note does not name goes."""
    if _noted(folder).items() >= note.items():
        return
    file = folder / f"{note['fingerprint']}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    champion.save(file)
    seen = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    disk.write(folder / "known.json", json.dumps({**note, "seen": seen}).encode())
    for other in folder.glob("*.safetensors"):
        if other != file:
            other.unlink()


def _known(home: Home, dataset: str, device: str | None, away: Unavailable) -> tuple["Forecaster", str]:
    from simvp.inference import Forecaster

    folder = home.champion(dataset)
    note = _noted(folder)
    try:
        if not note:
            raise RegistryError(f"no champion of {dataset} was read here before")
        champion = Forecaster.load(folder / f"{note['fingerprint']}.safetensors", device, version=str(note["version"]))
    except RegistryError as none:
        raise Unavailable(away.subject, [*away.reasons, str(none)], away.remedy) from away
    return champion, f"copy of {note['seen']}, registry away"


def _noted(folder: Path) -> dict[str, object]:
    """What is noted of the champion that is kept; empty where none is, or where the note is damaged."""
    try:
        note = json.loads((folder / "known.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    whole = isinstance(note, dict) and {"version", "created", "fingerprint", "seen"} <= set(note)
    return note if whole else {}
