"""Results come in order, at most a few ahead of their use, and an error where its result is asked for."""

import threading

import pytest

from asr_tv.workers import prefetch


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_are_those_of_map(threads: int) -> None:
    assert list(prefetch(lambda n: n * n, range(50), threads)) == [n * n for n in range(50)]


def test_no_more_is_made_ahead_than_asked_for() -> None:
    made: list[int] = []
    results = prefetch(lambda n: made.append(n) or n, range(100), 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(made) <= 5


def test_without_threads_nothing_leaves_this_one() -> None:
    assert list(prefetch(lambda _: threading.current_thread(), range(2), 0)) == [threading.current_thread()] * 2


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_where_its_result_is_asked_for(threads: int) -> None:
    def failing(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    results = prefetch(failing, range(10), threads)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
