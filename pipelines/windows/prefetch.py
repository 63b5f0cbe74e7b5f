"""Work that is done by a thread while the work before it is still used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(calls: Iterable[Callable[[], T]], depth: int = 2) -> Generator[T, None, None]:
    """Results of the calls in their order; up to `depth` of them are made before they are needed.

    One thread makes them, one after the other, so that nothing they share needs a lock. What a call raises is raised
    where its result would have come. The thread has ended when the iterator is exhausted or closed.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        try:
            for call in calls:
                waiting.append(thread.submit(call))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
