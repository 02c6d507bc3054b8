"""A CTC model that writes words, trained here on real and synthetic speech, and adapted at test time.

    python benchmarks/ctc_words.py [--epochs 20] [--only clean "10 dB"]

The Conformer of hama with a new layer of letters (`hama-letters`) is tuned on Asterisk's prompts, all but 60 drawn for
the test, and on the same sentences in Piper's voice, two takes. WER on the 60 prompts in noise and on the demo's
simulated line, plain and with each way to adapt. Needs the extra `hama`. A stopped training goes on where it was.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from demo_material import machine
from test_time import BOOTSTRAP, CONDITIONS, METHODS, SHORT, changed, drawn, told

from asr_tv.config.run import AugmentationConfig, CorpusConfig, SynthesisConfig, TrainingConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Manifest, Utterance, concatenate
from asr_tv.models.locate import checkpoint_stage
from asr_tv.pipeline.material import as_texts
from asr_tv.pipeline.unlabelled.table import adaptation_table, hearing_with
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.spoken_form import spoken_form
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune

SEED = 17


def divided(store: Store, count: int) -> tuple[Manifest, Manifest]:
    """Prompts to train on, and so many of 3 to 12 words for the test; no sentence is in both."""
    corpus = stored_manifest(load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en")))
    spoken = Manifest("prompts", tuple(replace(u, text=spoken_form(u.text, "en")) for u in corpus))
    test = Manifest("test", tuple(drawn(spoken, count)))
    same = get_normalizer("english")
    tested = {same(u.text) for u in test}
    return spoken.where("train", lambda u: same(u.text) not in tested and _is_spelled(u)), test


def _is_spelled(utterance: Utterance) -> bool:
    """Whether a text has letters alone, and enough sound for each of them twice."""
    letters = "".join(c for c in utterance.text.lower() if c.isalnum())
    return letters.isascii() and letters.isalpha() and (utterance.duration or 0) * 50 > 2 * len(utterance.text)


def tuned(train: Manifest, epochs: int, runtime: Runtime) -> Record:
    """The Conformer, tuned to write letters on the recordings and on their sentences in Piper's voice."""
    spoken = replace(runtime, label="speak the sentences")
    clips = stored_manifest(synthesize(spoken, as_texts(train), SynthesisConfig(takes=2), SEED))
    enough = clips.where("clips", _is_spelled)
    data = TrainingData(concatenate("both", [train, enough]), AugmentationConfig())
    training = TrainingConfig(epochs=epochs, learning_rate=1e-3, batch_size=16, full_context_share=0)
    return finetune(runtime, checkpoint_stage(runtime, "hama-letters"), data, training, SEED)


def rows(model: Record, test: Manifest, names: list[str], runtime: Runtime, folder: Path) -> Iterator[str]:
    """Markdown rows: each condition, plain and with every way to adapt."""
    for name in names:
        heard = changed(test, name, CONDITIONS[name], folder)
        chosen = {method: METHODS[method] for method in SHORT}
        hearing = hearing_with(replace(runtime, label=name), model)
        for row in adaptation_table(hearing, heard, chosen, get_normalizer("english"), BOOTSTRAP, orders=1):
            yield told(name, row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--only", nargs="*", choices=CONDITIONS, default=list(CONDITIONS), help="conditions")
    parser.add_argument("--count", type=int, default=60, help="recordings of the test")
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    runtime = Runtime(Store(asked.store), device="cpu")
    train, test = divided(runtime.store, asked.count)
    print(f"{machine()}; {len(train)} recordings to train on, {sum(len(u.text.split()) for u in test)} test words\n")
    model = tuned(train, asked.epochs, runtime)
    for row in rows(model, test, asked.only, runtime, asked.store / "ctc_words_audio"):
        print(row, flush=True)


if __name__ == "__main__":
    main()
