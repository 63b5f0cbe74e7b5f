"""One file for a saved model: safetensors, with everything that is not an array as JSON in its metadata.

No pickle: opening a file runs nothing that came with it. The header can be read without the arrays, and the arrays
of the contract without those of the network.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simvp.budget import BUDGET
from simvp.contract import FrameSpec, Known
from simvp.errors import Refusal, RegistryError
from simvp.networks import FURTHEST, GriddedConfig
from simvp.record import below, from_json

if TYPE_CHECKING:
    from simvp.inference.forecaster import Forecaster

FORMAT, FORMATS = 1, (1, 2, 3, 4)
"""That of a network alone, which earlier versions read too, and all that this version reads; 2 has a base forecast, 3
the errors of its forecasts too, 4 known inputs."""
# Parts of the header that the fingerprint covers; the provenance (who, when, which run) is not among them.
CONTENT = ("format", "spec", "network", "baselines", "base", "mixture", "calibration")
_KEY = "simvp"
HEADER = BUDGET // 64
"""Bytes of a header: those of the largest models here have some hundred thousand."""


def fingerprint(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """First 16 hex digits of the SHA-256 of the content: sizes, contract and arrays; no clock, path or run id."""
    digest = hashlib.sha256(json.dumps({key: header[key] for key in CONTENT if key in header}, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def content_of(model: "Forecaster") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header, without what is not content, and arrays of a model."""
    records = {name: getattr(model, name) for name in ("spec", "baselines", "base", "mixture", "calibration")}
    # Models without a base have the fingerprint that they had before there was one.
    header: dict[str, Any] = {name: record.to_header() for name, record in records.items() if record is not None}
    header["network"] = None if model.network is None else model.network.config.to_dict()
    arrays: dict[str, np.ndarray] = {} if model.correction is None else {"correction": model.correction}
    for name, record in records.items():
        arrays |= {} if record is None else record.arrays_under(name)
    if model.network is not None:
        weights = model.network.state_dict().items()
        arrays |= {f"network.{name}": value.detach().cpu().numpy() for name, value in weights}
    return header, arrays


def format_of(header: Mapping[str, Any]) -> int:
    """Format number of a file with this header."""
    if any(channel["role"] == Known.role for channel in header["spec"]["channels"]):
        return 4
    return 3 if "calibration" in header else 2 if "base" in header else FORMAT


def write(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a model file whole or not at all; a file that was there is replaced in one move.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    header
        JSON, with the parts of `CONTENT` but the format number and the fingerprint, which are added here.
    arrays
        By name; the part before the first dot says whose they are: "spec", "network", "baselines", "base",
        "correction", "mixture" or "calibration".
    """
    from safetensors.numpy import save_file

    path = Path(path)
    whole = {"format": format_of(header), **header}
    whole["fingerprint"] = fingerprint(whole, arrays)
    tensors = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = os.path.join(folder, "unfinished")
        save_file(tensors, temporary, metadata={_KEY: json.dumps(whole)})
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # whoever wrote it, others may read it
        os.replace(temporary, path)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Header of a model file, without reading one array.

    Raises
    ------
    RegistryError
        No such file; truncated; not a model of this project; a format number that this version does not know.
    """
    from safetensors import SafetensorError, safe_open

    subject = subject_of(path)
    if not Path(path).is_file():
        raise RegistryError(subject, ["expected a file, found none"], "check the path, or train a model first")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if HEADER < length <= Path(path).stat().st_size:
        reason = f"expected a header of {HEADER >> 20} MiB or less, got {length >> 20} MiB"
        raise RegistryError(subject, [reason], "it is damaged, or made to take memory: copy it again")
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        reason = f"expected a whole safetensors file, got one that cannot be read: {error}"
        remedy = "it is truncated or of another kind: copy it again, or load public checkpoints with from_pretrained"
        raise RegistryError(subject, [reason], remedy) from error
    if _KEY not in metadata:
        reason = f"expected a {_KEY!r} header, got a safetensors file with {', '.join(metadata) or 'no header'}"
        raise RegistryError(subject, [reason], "give a file that Forecaster.save wrote")
    try:
        header: dict[str, Any] = from_json(metadata[_KEY])
    except ValueError as error:
        raise RegistryError(subject, [f"expected JSON in its header: {error}"], "copy it again") from error
    if not isinstance(header, dict):
        raise RegistryError(subject, [f"expected an object in its header, got {header!r:.60}"], "copy it again")
    if header.get("format") not in FORMATS:
        reason = f"expected format {' or '.join(map(str, FORMATS))}, got {header.get('format')!r}"
        raise RegistryError(subject, [reason], "load it with the version of simvp that wrote it, or train again")
    parts = {"spec": dict, "network": dict | None, "baselines": dict, "provenance": dict, "fingerprint": str}
    if absent := [name for name, kind in parts.items() if name not in header or not isinstance(header[name], kind)]:
        reason = f"expected {', '.join(parts)} in its header; {', '.join(absent)} missing or of another type"
        raise RegistryError(subject, [reason], "it was not written by Forecaster.save, or changed since: copy it again")
    return header


@contextmanager
def as_written(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the records make of a header and of arrays that `Forecaster.save` did not write, as a refusal.

    Anybody may have made the file, with a fingerprint that fits: whatever it lets a record run into is its fault.
    """
    remedy = "it was not written by this version of simvp, or changed since: copy it again, or train again"
    try:
        yield
    except RegistryError:
        raise
    except Exception as error:
        said = f"{type(error).__name__} {error}" if isinstance(error, KeyError | IndexError) else str(error)
        said = "; ".join(error.reasons) if isinstance(error, Refusal) else said
        reason = f"its parts do not fit together: {said.strip()[:300] or type(error).__name__}"
        raise RegistryError(subject_of(path), [reason], remedy) from error


def refuse_misfits(model: "Forecaster") -> None:
    """Refuse parts of a file that are each what they should be, but not of one model."""
    spec, reasons = model.spec, []
    if not (0 < spec.frames_in <= FURTHEST and 0 < spec.frames_out <= FURTHEST):
        reasons.append(f"expected T and T' from 1 to {FURTHEST}, got {spec.frames_in} and {spec.frames_out}")
    if model.network is None and model.base is None:
        reasons.append("expected a network or a base forecast, got neither")
    if model.network is not None:
        config = model.network.config
        sizes = config.network if isinstance(config, GriddedConfig) else config
        got = (sizes.frames_in, sizes.frames_out, sizes.channels_in, sizes.channels_out)
        expected = (spec.frames_in, spec.frames_out, spec.n_channels, spec.n_states)
        if got != expected:
            reasons.append(f"expected a network of T, T', C, S = {expected}, as in its contract, got {got}")
    if model.base is not None and model.base.leads != spec.frames_out:
        reasons.append(f"expected a base forecast of {spec.frames_out} leads, got {model.base.leads}")
    if model.calibration is not None:
        reasons += model.calibration.faults(spec)
    if reasons:
        raise Refusal(subject_of(""), reasons)


def subject_of(path: str | os.PathLike[str]) -> str:
    """How a file is named in refusals."""
    return f"Model file {os.fspath(path)}"


def read_contract(path: str | os.PathLike[str]) -> FrameSpec:
    """The contract of a model file, without its network."""
    with as_written(path):
        return FrameSpec.from_header(read_header(path)["spec"], below(read_arrays(path, "spec"), "spec"))


def read_arrays(path: str | os.PathLike[str], owner: str = "") -> dict[str, np.ndarray]:
    """Arrays of a model file by name; those of one owner alone ("spec", "network", "baselines") if it is named."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        return {name: stream.get_tensor(name) for name in stream.keys() if name.startswith(owner)}  # noqa: SIM118
