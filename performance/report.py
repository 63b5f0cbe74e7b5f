"""A page of sections that were measured one by one, each with where and when: BENCHMARKS.md, docs/skill.md."""

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from performance.section import load

PACKAGES = ("torch", "xarray", "zarr", "dask", "netCDF4", "prefect", "mlflow", "xbatcher")
# What decides how fast a CPU multiplies; the rest of its flags does not matter here.
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")

HEAD = """# Benchmarks

Written by `make bench`, which measures everything below side by side in one run on one machine; `make bench
ONLY=ingest` measures a section again. A figure is the median of several alternating repetitions after a warm-up, with
the smallest and the largest in brackets; a ratio is taken round by round. Before anything is timed, the ways that are
compared are checked to give the same result. These are figures of one machine: where yours differs, run it there.
"""


def where(code: Mapping[str, Any]) -> dict[str, Any]:
    """Machine, versions, commit and time, of code in the state `pipelines.tracking.provenance.git_state`."""
    return {
        "machine": _machine(),
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in PACKAGES)]),
        "commit": f"{str(code['commit'])[:12]}{' with changes' if code['dirty'] else ''}",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def write(path: Path, sections: Sequence[Path], head: str = HEAD) -> None:
    """Put the page together from the sections that have been measured, in this order, their summaries in one table."""
    found = [load(file) for file in sections]
    if not found:
        return
    summaries = [section.summary for section, _ in found if section.summary is not None]
    together = [replace(summaries[0], rows=tuple(row for one in summaries for row in one.rows))] if summaries else []
    parts = [head, *(table.markdown() for table in together)]
    for section, measured in found:
        line = "; ".join(measured[name] for name in ("date", "commit", "machine", "versions"))
        parts.append(section.markdown() + f"\n\n<sub>Measured {line}.</sub>")
    path.write_text("\n".join(part if part.endswith("\n") else part + "\n" for part in parts))


def _machine() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", text, re.MULTILINE)
    features = set(flags[1].split()) if flags else set()
    has = ", ".join(flag for flag in FLAGS if flag in features) or "none of note"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{name[1] if name else platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, "
        f"{memory:.0f} GiB, CPU flags {has}, {device}"
    )
