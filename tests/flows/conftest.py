"""A Prefect server for all tests of the flows that need one."""

import os
import tempfile
from collections.abc import Iterator

import pytest

# Read once, when prefect is first imported, which the tests do after this: they leave no trace in the checkout.
PREFECT_FOLDER = tempfile.TemporaryDirectory(prefix="simvp-prefect-")
os.environ["PREFECT_HOME"] = PREFECT_FOLDER.name
os.environ["PREFECT_PROFILES_PATH"] = f"{PREFECT_FOLDER.name}/profiles.toml"  # not that of the checkout's own home


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """A Prefect server for this session; without heartbeats, whose thread costs a second per flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield
