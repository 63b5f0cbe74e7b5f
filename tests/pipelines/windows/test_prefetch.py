"""Work prefetched by a thread: the same results in the same order, and nothing left behind."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pipelines.windows.prefetch import prefetched


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_results_come_in_order_from_one_thread_that_ends():
    names: set[str] = set()

    def call(number: int) -> int:
        names.add(threading.current_thread().name)
        return number

    assert list(prefetched(partial(call, number) for number in range(20))) == list(range(20))
    assert len(names) == 1
    assert threading.current_thread().name not in names
    assert threads() == []
    assert list(prefetched(iter([]))) == []


def test_no_more_is_begun_than_two_beyond_what_is_used():
    begun: list[int] = []

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(100):
            begun.append(number)
            yield lambda: 0

    results = prefetched(calls())
    for used in range(5):
        next(results)
        assert len(begun) == used + 3
    results.close()
    assert len(begun) == 7
    assert threads() == []


def test_what_a_call_raises_comes_in_its_place():
    def fail() -> int:
        raise ValueError("no such frame")

    results = prefetched([lambda: 1, lambda: 2, fail, lambda: 3])
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="no such frame"):
        next(results)
    assert threads() == []


def test_an_iterator_that_is_closed_ends_its_thread_and_begins_no_call():
    made: list[int] = []
    held = threading.Event()

    def call(number: int) -> int:
        made.append(number)
        if number == 1:
            held.wait(10)
        return number

    results = prefetched(partial(call, number) for number in range(50))
    assert next(results) == 0
    threading.Timer(0.05, held.set).start()
    results.close()
    assert max(made) <= 2
    assert threads() == []
