"""Which voices earn their place: WER on a new domain and on general speech by engine, voices and takes, with intervals.

    python benchmarks/voices.py --ocean MANIFEST [--seeds 17 18] [--sentences 40] [--only kokoro_4 piper_1]

Each condition speaks the same sentences, tunes the pretrained model's decoder on them for the same number of updates,
alone or together with source recordings, and is scored on real recordings. Targets: Asterisk's voicemail prompts on the
simulated line, and the sentences that children read in speechocean762 (a manifest with the domains adult and child);
general speech: sentences read by its adults. Nothing is rehearsed. A stopped table goes on where it was.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from demo_material import machine

from asr_tv.config.run import AugmentationConfig, CorpusConfig, ScoringConfig, SynthesisConfig, TrainingConfig
from asr_tv.config.trainable import parse_trainable
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Manifest, concatenate
from asr_tv.data.splits import Shares, split_by_sentence
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import checkpoint_stage
from asr_tv.pipeline.material import as_texts, capped, sentence_identity
from asr_tv.scoring.bootstrap import Bootstrap, paired_difference
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.stage import read_score, score
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.catalogue import with_voices
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune

MODEL = "openai/whisper-tiny.en"
SPEECH_SEED = 17
BOOTSTRAP = Bootstrap(2000, 0.95, 17)
ESPEAK = tuple(f"{a}+{v}" for v in ("m3", "f2", "m7", "f4", "m1", "f5", "m5", "f3") for a in ("en-us", "en-gb"))
JOE = "piper:en_US-joe-medium"


@dataclass(frozen=True)
class Condition:
    """One row: voices, takes, and whether source recordings are trained on as well; epochs make updates equal."""

    voices: tuple[str, ...]
    takes: int = 1
    source: bool = False

    @property
    def epochs(self) -> int:
        return 2 // self.takes


CONDITIONS = {
    "piper_1": Condition((JOE,)),
    "hibari_1": Condition(("hibari:heart",)),
    "kokoro_1": Condition(("kokoro:1",)),
    "kokoro_16": Condition(("kokoro:16",)),
    "kokoro_4": Condition(("kokoro:4",)),
    "espeak_1": Condition(tuple(f"espeak:{v}" for v in ESPEAK[:1])),
    "espeak_16": Condition(tuple(f"espeak:{v}" for v in ESPEAK)),
    "espeak_4": Condition(tuple(f"espeak:{v}" for v in ESPEAK[:4])),
    "piper_hibari": Condition((JOE, "hibari:heart")),
    "piper_1_two_takes": Condition((JOE,), takes=2),
    "piper_hibari_two_takes": Condition((JOE, "hibari:heart"), takes=2),
    "piper_1_source": Condition((JOE,), source=True),
    "kokoro_16_source": Condition(("kokoro:16",), source=True),
}


@dataclass(frozen=True)
class Target:
    """A target's sentences, its test recordings, and source recordings of other sentences and speakers."""

    texts: Manifest
    test: Manifest
    source: Manifest


class Ablation:
    """Material and models, each made once and kept in the store."""

    def __init__(self, ocean: str, sentences: int, tests: int, runtime: Runtime) -> None:
        self._ocean, self._sentences, self._tests, self._runtime = ocean, sentences, tests, runtime
        self.base = checkpoint_stage(runtime, MODEL)
        adults = self._corpus(kind="manifest", path=ocean, domains=("adult",))
        self.general = capped(adults.where("general", lambda u: u.split == "train"), tests)
        self.targets = {name: self._target(name) for name in ("voicemail", "child")}

    def _corpus(self, **settings: object) -> Manifest:
        return stored_manifest(load_corpus(self._runtime, CorpusConfig(**settings)))  # type: ignore[arg-type]

    def _target(self, name: str) -> Target:
        if name == "voicemail":
            line = {"codec": "gsm", "snr_db": 10}
            own, other = (
                self._corpus(kind="asterisk", language="en", line=line, domains=(d,)) for d in (name, "conference")
            )
        else:
            own, other = (self._corpus(kind="manifest", path=self._ocean, domains=(d,)) for d in (name, "adult"))
            other = other.where("source", lambda u: u.split == "test")  # general speech has the other speakers
        halves = split_by_sentence(own, Shares(0, 0.5), sentence_identity("en"), SPEECH_SEED)
        texts, test = (halves.where(name, lambda u, k=kind: u.split == k) for kind in ("train", "test"))
        return Target(
            as_texts(capped(texts, self._sentences)),
            capped(test, self._tests),
            capped(other, self._sentences),
        )

    def clips(self, target: str, condition: Condition) -> Manifest:
        """The target's sentences, each in one voice and the condition's takes."""
        config = SynthesisConfig(voices=condition.voices, takes=condition.takes, voices_per_text=1)
        runtime = replace(self._runtime, label=f"speak {target} {' '.join(condition.voices[:2])}")
        texts = self.targets[target].texts
        return stored_manifest(synthesize(runtime, texts, with_voices(config, "en"), SPEECH_SEED))

    def tuned(self, target: str, condition: Condition, seed: int) -> Record:
        """The pretrained model, tuned on the condition's clips."""
        clips = self.clips(target, condition)
        if condition.source:
            clips = concatenate("clips and source", [clips, self.targets[target].source])
        training = TrainingConfig(
            epochs=condition.epochs,
            learning_rate=5e-5,
            batch_size=4,
            full_context_share=0.15,
            trainable=parse_trainable("freeze_encoder"),
        )
        return finetune(self._runtime, self.base, TrainingData(clips, AugmentationConfig()), training, seed)

    def scored(self, model: Record, test: Manifest) -> Evaluation:
        """The model's transcripts of recordings, in 30 s."""
        decoding = decoding_for("full", "en", 200, "auto", "whisper", "ctranslate2")
        heard = transcribe(self._runtime, model, test, decoding)
        return read_score(score(self._runtime, test, heard, model, decoding, ScoringConfig()))


def row(ablation: Ablation, target: str, name: str, seeds: Sequence[int]) -> str:
    """Mean WER over the seeds, and tuned minus pretrained in points with an interval over sentences."""
    test = ablation.targets[target].test
    cells = [target, name, str(len(ablation.clips(target, CONDITIONS[name])))]
    models = [ablation.tuned(target, CONDITIONS[name], seed) for seed in seeds]
    for recordings in (test, ablation.general):
        own = [ablation.scored(model, recordings) for model in models]
        cells.append(f"{100 * sum(e.wer for e in own) / len(own):.1f}")
        cells.append(_difference(own, ablation.scored(ablation.base, recordings)))
    return f"| {' | '.join(cells)} |"


def _difference(own: Sequence[Evaluation], pretrained: Evaluation) -> str:
    """Tuned minus pretrained in points; what all seeds heard of a sentence is resampled together."""
    others = {u.id: u for u in pretrained.utterances}
    pairs = [(u, others[u.id]) for evaluation in own for u in evaluation.utterances]
    found = paired_difference(
        [u.word_counts.errors for u, _ in pairs],
        [other.word_counts.errors for _, other in pairs],
        [u.word_counts.words for u, _ in pairs],
        [u.sentence for u, _ in pairs],
        **asdict(BOOTSTRAP),
    )
    return f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def rows(ablation: Ablation, targets: Sequence[str], names: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    for target in targets:
        test, general = ablation.targets[target].test, ablation.general
        wers = [f"{100 * ablation.scored(ablation.base, r).wer:.1f}" for r in (test, general)]
        yield f"| {target} | pretrained | 0 | {wers[0]} | | {wers[1]} | |"
        for name in names:
            yield row(ablation, target, name, seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocean", required=True, help="manifest of speechocean762, with the domains adult and child")
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18], help="of the trainings")
    parser.add_argument("--sentences", type=int, default=40, help="of each target, and as many source recordings")
    parser.add_argument("--tests", type=int, default=60, help="test recordings of each set, at most")
    parser.add_argument("--targets", nargs="+", default=["voicemail", "child"])
    parser.add_argument("--only", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="conditions")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--speak-only", action="store_true", help="make the clips, and train nothing")
    arguments = parser.parse_args()
    runtime = Runtime(Store(arguments.store), workers=arguments.workers)
    ablation = Ablation(arguments.ocean, arguments.sentences, arguments.tests, runtime)
    if arguments.speak_only:
        for target in arguments.targets:
            for name in arguments.only:
                print(target, name, len(ablation.clips(target, CONDITIONS[name])), flush=True)
        return
    heading = "| target | condition | clips | target WER % | minus pretrained | general WER % | minus pretrained |"
    print(f"{machine()}\n\n{heading}\n|---|---|{'--:|' * 5}")
    for line in rows(ablation, arguments.targets, arguments.only, arguments.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
