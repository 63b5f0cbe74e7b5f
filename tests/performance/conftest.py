"""What every test of the measurements may ask for."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The commands silence warnings for their process, which here goes on."""
    yield
    logging.disable(logging.NOTSET)
