"""How long describing takes: 200 recordings of the demo's corpus, with pitch, in processes, then from the store.

    python benchmarks/describe.py [--clips 200] [--workers 2]

The corpus is loaded first and the store of the measurements is a new one, so that nothing is found in it.
"""

import argparse
import tempfile
import time
from pathlib import Path

from demo_material import machine

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.describing.stage import describe, sampled
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    arguments = parser.parse_args()
    corpus = load_corpus(Runtime(Store(arguments.store)), CorpusConfig(kind="asterisk", language="en"))
    clips = sampled(stored_manifest(corpus), arguments.clips)
    rest = clips.where("rest", lambda u: u.id != clips.utterances[0].id)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(Store(Path(folder)), workers=arguments.workers)
        for what, manifest in (("measured", clips), ("all but one, again", rest)):
            start = time.perf_counter()
            describe(runtime, manifest)
            seconds = time.perf_counter() - start
            print(f"{what}: {len(manifest)} clips, {manifest.seconds:.0f} s of sound: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
