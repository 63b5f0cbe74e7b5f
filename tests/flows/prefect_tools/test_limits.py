"""One writer of a store at a time, with a real Prefect server."""

from uuid import uuid4

import pytest


@pytest.mark.slow
def test_one_writer_holds_the_place_only_in_runs_of_a_deployment(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.prefect_tools.limits import one_writer

    name = f"set{uuid4().hex[:8]}"
    with get_client(sync_client=True) as client:
        with one_writer(name, "archive"), pytest.raises(ObjectNotFound):
            client.read_global_concurrency_limit_by_name(f"{name}-archive")
        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))
        for _ in range(2):
            with one_writer(name, "archive"):
                limit = client.read_global_concurrency_limit_by_name(f"{name}-archive")
                assert (limit.limit, limit.active_slots) == (1, 1)
        assert client.read_global_concurrency_limit_by_name(f"{name}-archive").active_slots == 0
