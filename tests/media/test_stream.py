from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.media import BackgroundWriter, prefetch


@given(items=st.lists(st.integers(), max_size=40), depth=st.integers(1, 5))
def test_prefetch_keeps_order_and_loses_nothing(items, depth):
    assert list(prefetch(iter(items), depth)) == items


def test_prefetch_runs_in_another_thread_and_never_gets_far_ahead():
    produced, ahead, threads = [0], [0], set()

    def source() -> Iterator[int]:
        for number in range(200):
            threads.add(threading.get_ident())
            produced[0] += 1
            yield number

    for consumed, _ in enumerate(prefetch(source(), 3), start=1):
        ahead[0] = max(ahead[0], produced[0] - consumed)
    assert threading.get_ident() not in threads
    assert ahead[0] <= 3 + 2  # the queue, the one in the producer's hand, the one just taken


def test_prefetch_raises_the_sources_error_after_its_items():
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    got = []
    with pytest.raises(ValueError, match="broken"):
        got.extend(prefetch(source(), 1))
    stream = prefetch(source(), 1)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(stream)


@pytest.mark.parametrize("taken", [1, 5])
def test_abandoned_prefetch_closes_its_source_and_its_thread(taken):
    closed_in = []

    def source() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed_in.append(threading.current_thread().name)

    before = threading.active_count()
    stream = prefetch(source(), 2)
    for _ in range(taken):
        next(stream)
    stream.close()
    assert closed_in == ["lanecli-prefetch"]
    assert threading.active_count() == before


def test_prefetch_starts_nothing_before_the_first_item_is_asked_for():
    before = threading.active_count()
    prefetch(iter([1, 2]), 2).close()
    assert threading.active_count() == before


@given(items=st.lists(st.integers(), max_size=40), depth=st.integers(1, 5))
def test_sink_writes_everything_in_order(items, depth):
    out: list[int] = []
    with BackgroundWriter(out.append, depth) as sink:
        for item in items:
            sink.put(item)
    assert out == items


def test_sink_raises_what_write_raised_and_drops_the_rest():
    out = []

    def write(item: int) -> None:
        if item == 2:
            raise OSError("disk full")
        out.append(item)

    sink = BackgroundWriter(write, 1)

    def feed() -> None:
        for number in range(100):
            sink.put(number)

    with pytest.raises(OSError, match="disk full"):
        feed()
    assert out == [0, 1]
    with pytest.raises(OSError, match="disk full"):
        sink.close()
    sink.close()


def test_sink_error_on_the_last_item_is_raised_by_close():
    def write(item: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), BackgroundWriter(write) as sink:
        sink.put(1)


def test_sink_never_holds_more_than_its_depth():
    gate, put = threading.Event(), []

    def write(item: int) -> None:
        gate.wait(10)

    sink = BackgroundWriter(write, 2)

    def feed() -> None:
        for number in range(50):
            sink.put(number)
            put.append(number)

    feeder = threading.Thread(target=feed)
    feeder.start()
    feeder.join(0.2)
    assert feeder.is_alive()
    assert len(put) <= 3  # two waiting, one being written
    gate.set()
    feeder.join(10)
    sink.close()
    assert len(put) == 50


def test_interrupt_in_the_loop_drains_the_sink_and_stops_the_source():
    out, closed = [], []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    def run() -> None:
        with BackgroundWriter(out.append, 4) as sink:
            stream = prefetch(source(), 2)
            try:
                for number in stream:
                    sink.put(number)
                    if number == 9:
                        raise KeyboardInterrupt
            finally:
                stream.close()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert out == list(range(10))
    assert closed == [True]


def test_the_loops_own_error_wins_over_the_sinks():
    def write(item: int) -> None:
        raise OSError("disk full")

    def run() -> None:
        with BackgroundWriter(write) as sink:
            sink.put(1)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run()
