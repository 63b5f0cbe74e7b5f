"""What every test of traps may ask for."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

MORE = 600 << 20  # bytes; the smallest bomb here would take a GiB


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more memory than is taken already, and a little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
