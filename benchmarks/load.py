"""Peak memory, open files and progress when very many clips are spoken and scored with fakes, within 2 GB.

    python benchmarks/load.py --clips 2000 20000

Each number of clips runs in a process of its own. Exit code 1 if progress was wrong or files stayed open.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from asr_tv.testing.load import loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[2000, 20000])
    options = parser.parse_args()
    print("| clips | peak at start MB | after speaking | after scoring | open files | clips/s | scored/s | lies |")
    print("|" + " --: |" * 8)
    bad = False
    for clips in options.clips:
        folder = Path(tempfile.mkdtemp(prefix="asr-tv-load-"))
        try:
            took = loaded(clips, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        peaks = [f"{p / 1e6:.0f}" for p in (took.start_peak, took.speaking_peak, took.scoring_peak)]
        files = f"{took.fewest_open_files} to {took.most_open_files}"
        paces = [f"{clips / seconds:.0f}" for seconds in (took.speaking_seconds, took.scoring_seconds)]
        print(f"| {' | '.join([str(clips), *peaks, files, *paces, str(len(took.lies))])} |", flush=True)
        bad |= bool(took.lies) or took.most_open_files > took.fewest_open_files + 1
    sys.exit(bad)


if __name__ == "__main__":
    main()
