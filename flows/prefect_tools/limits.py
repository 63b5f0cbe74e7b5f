"""One writer of a store at a time, also among runs that different workers execute."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect import get_client, runtime
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

__all__ = ["one_writer"]

LEASE_SECONDS = 60  # after which a run that was killed gives its place back; Prefect would wait 300


@contextmanager
def one_writer(dataset: str, store: str) -> Iterator[None]:
    """Wait until no other run of a deployment writes this store ("archive", "forecasts", ...) of the data set.

    It saves a second run from being refused. What keeps the store whole is the file lock around the write itself,
    which also guards plain calls; those, and runs on the temporary server of the demo, where nothing would take back
    the place of a run that was killed, do not wait here.
    """
    if not runtime.deployment.id:
        yield
        return
    name = f"{dataset}-{store}"
    # Two first runs may both find it missing; the second to make it is told that it exists.
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, 1)
    # A server that is away for a moment must not end a run: the file lock still holds.
    with concurrency(name, strict=True, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False):
        yield
