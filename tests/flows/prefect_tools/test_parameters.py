"""A flow that is called in Python is not begun with a password among its parameters."""

import pytest

from simvp.errors import SourceError

SECRET = "hunter2-of-a-source"


@pytest.mark.parametrize("source", [f"https://user:{SECRET}@files/a.nc", ["a.nc", f"https://files/a.nc?sig={SECRET}"]])
def test_a_run_with_a_password_is_never_made(server: None, source: str | list[str]) -> None:
    from prefect import get_client

    from flows.ingest import ingest

    with get_client(sync_client=True) as client:
        before = len(client.read_flow_runs())
        with pytest.raises(SourceError, match="expected no user, password or query in the address") as refused:
            ingest("own", source=source)
        assert SECRET not in str(refused.value)
        assert len(client.read_flow_runs()) == before
