"""The library of this checkout as a wheel, which is logged with every model: nobody else has the code that made it.

Written here and not built: `pip wheel` takes seconds in every new home, and needs setuptools there. A test compares it
with what pip builds.
"""

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from pipelines.tracking.provenance import CHECKOUT

_DATE = (1980, 1, 1, 0, 0, 0)  # the same code makes the same bytes


def write_wheel(folder: Path, root: Path = CHECKOUT) -> Path:
    """Write the wheel of `simvp` into a folder; returns the file.

    Of the form of packaging.python.org/specifications/binary-distribution-format, version 1.0. Its version is that of
    the project with a digest of the code as a local label (PEP 440): a public index takes none of those, and pip
    prefers it to an unlabelled one, so that asking for the project's version gives this file.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    files = {str(path.relative_to(root)): path.read_bytes() for path in _sources(root)}
    digest = hashlib.sha256(b"".join(file.encode() + content for file, content in files.items())).hexdigest()
    project["version"] += f"+code.{digest[:12]}"
    name = f"{project['name']}-{project['version']}"
    about = {
        "METADATA": _metadata(project),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: simvp\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": _scripts(project),
        "licenses/LICENSE": (root / "LICENSE").read_text(),
    }
    files |= {f"{name}.dist-info/{file}": text.encode() for file, text in about.items() if text}
    record = f"{name}.dist-info/RECORD"
    lines = [f"{file},sha256={_digest(content)},{len(content)}" for file, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file, _DATE), content, zipfile.ZIP_DEFLATED)
    return wheel


def pin_of(wheel: Path) -> str:
    """What asks pip for a wheel of ours: without its label, since MLflow compares it with what is installed."""
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version.partition('+')[0]}"


def _sources(root: Path) -> list[Path]:
    """Modules, stubs and the mark of typed packages, in order."""
    found = [*(root / "simvp").rglob("*.py*"), *(root / "simvp").rglob("py.typed")]
    return sorted({path for path in found if path.is_file() and path.suffix != ".pyc"})


def _metadata(project: dict[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {text}" for text in project["dependencies"]),
    ]
    # Those of the checkout alone stay out: whoever has the wheel has none of it.
    for text in project["optional-dependencies"]["store"]:
        lines += [f'Requires-Dist: {text}; extra == "store"']
    return "\n".join([*lines, "Provides-Extra: store", ""])


def _scripts(project: dict[str, Any]) -> str:
    """Commands that the library brings along, and those that it says of where they live; empty where there are none."""
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    return "\n".join(
        "\n".join([f"[{group}]", *(f"{name} = {where}" for name, where in sorted(entries.items())), ""])
        for group, entries in groups.items()
        if entries
    )


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
