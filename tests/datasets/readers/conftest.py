"""What every test of readers may ask for."""

from pathlib import Path
from typing import Any

import pytest

from datasets.readers import source


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened in full."""
    names: list[str] = []
    plain = source._open

    def recorded(file: Any, *rest: Any) -> Any:
        names.append(Path(file.name).name)
        return plain(file, *rest)

    monkeypatch.setattr(source, "_open", recorded)
    return names
