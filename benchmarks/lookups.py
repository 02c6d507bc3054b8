"""Store look-ups among few and many records: the time of one must not grow with their number.

    python benchmarks/lookups.py --records 100000

At each size the same number of records, drawn at random, is looked up. Each is looked up once beforehand, because the
first look-up after a result was made reads its files once more.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from asr_tv.store.results import Identity, Produced, Store


def main() -> None:
    """Fills a temporary store and times hits and misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--distinct", type=int, default=100, help="records that are looked up")
    parser.add_argument("--lookups", type=int, default=2_000)
    options = parser.parse_args()
    print("| records | hit, microseconds | miss, microseconds |\n| --- | --- | --- |")
    medians = {}
    with tempfile.TemporaryDirectory() as folder:
        store, made = Store(Path(folder)), 0
        for count in (100, 1_000, 10_000, options.records):
            for number in range(made, count):
                store.build(_identity(number), _produce)
            made = max(made, count)
            drawn = random.Random(made).sample(range(made), options.distinct)
            time.sleep(0.1)
            _median(store, [_identity(n) for n in drawn])
            hit = _median(store, [_identity(n) for n in random.Random(0).choices(drawn, k=options.lookups)])
            miss = _median(store, [_identity(-n) for n in range(1, options.lookups)])
            medians[made] = hit
            print(f"| {made:,} | {hit * 1e6:.0f} | {miss * 1e6:.0f} |", flush=True)
    print(f"\nhit among {made:,} against among 100: {medians[made] / medians[100]:.2f}")


def _identity(number: int) -> Identity:
    return Identity("bench", 1, {"number": number}, {})


def _produce(scratch: Path) -> Produced:
    (scratch / "payload.txt").write_text("x")
    return Produced()


def _median(store: Store, identities: list[Identity]) -> float:
    seconds = []
    for identity in identities:
        started = time.perf_counter()
        store.find(identity)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
