"""Random numbers that a network draws for each window of a batch, the same however many processes share the batch.

Each of the processes draws for the whole batch and takes its own: generators that began alike stay alike, and a
training that is resumed by another number of processes goes on with the same numbers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_shared: ContextVar[tuple[int, slice] | None] = ContextVar("shared", default=None)


@contextmanager
def shared_batch(count: int, own: slice) -> Iterator[None]:
    """For a while, what is computed is the part `own` of a batch of `count` windows."""
    token = _shared.set((count, own))
    try:
        yield
    finally:
        _shared.reset(token)


def drawn(count: int, draw: Callable[[int], Tensor]) -> Tensor:
    """What `draw` draws for each of `count` windows, (count, ...): all of a batch, or this process's part of one."""
    shared = _shared.get()
    if shared is None:
        return draw(count)
    whole, own = shared
    part = draw(whole)[own]
    assert len(part) == count, (len(part), count)
    return part
