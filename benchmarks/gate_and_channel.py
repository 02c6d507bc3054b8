"""Effect of the quality gate and of channel augmentation on the target's WER, on the demo's corpus.

    make demo && python benchmarks/gate_and_channel.py configs/demo.yaml --store .store

The demo's own trainings are taken from its store; nine fine-tunings are new, eight minutes on two cores.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr_tv.audio.recordings import read_audio, write_audio
from asr_tv.config.file import load_config
from asr_tv.config.run import AdaptConfig, AugmentationConfig, ChannelConfig, GateConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.pipeline.execution.executor import InProcess, Step
from asr_tv.pipeline.graph import Chosen, adapt
from asr_tv.pipeline.scoring import System, TestSet, score_systems
from asr_tv.pipeline.speech import ClipSet, gated
from asr_tv.pipeline.trainings import finetune_call, target_tuning
from asr_tv.scoring.evaluation import Evaluation, compare
from asr_tv.seeds import generator
from asr_tv.store.results import Store, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.gate.gate import Round, gate
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.faults import half_silent, said_twice
from asr_tv.training.data import TrainingData

SPOILT = 0.2
"""Share of the clips that are spoilt in the rows "spoilt": a third each swapped, half silent and said twice.

Two engines: one take each of Piper and espeak-ng instead of two of Piper, so the same number of clips.
"""


@dataclass(frozen=True)
class Row:
    """One row of the table: clips, start and augmentation."""

    start: str
    clips: str
    augmentation: str


ROWS = (
    Row("pretrained", "all", "none"),
    Row("pretrained", "gated", "none"),
    Row("pretrained", "all", "simple"),
    Row("pretrained", "gated", "simple"),
    Row("pretrained", "all", "simple and channel"),
    Row("pretrained", "two engines", "none"),
    Row("pretrained", "two engines", "simple"),
    Row("pretrained", "spoilt", "none"),
    Row("pretrained", "spoilt, gated", "none"),
    Row("source_mixed", "all", "none"),
    Row("source_mixed", "all", "simple"),
    Row("source_mixed", "gated", "simple"),
    Row("source_mixed", "all", "simple and channel"),
)
AUGMENTATIONS = {
    "none": None,
    "simple": AugmentationConfig(),
    "simple and channel": AugmentationConfig(channel=ChannelConfig()),
}


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--scratch", type=Path, default=Path("build/gate_and_channel"), help="for the spoilt clips")
    options = parser.parse_args()
    config, store = load_config(options.config), Store(options.store)
    execute = InProcess(store)
    chosen = adapt(config, execute).chosen
    clips = _clips(config, chosen, store, execute, options.scratch)
    starts = {"pretrained": chosen.material.base, **chosen.trained.sources}
    training = target_tuning(config)
    slow = target_tuning(config, config.second_stage_learning_rate)
    calls = [
        finetune_call(
            config,
            Step("finetune", str(row), options=config.run),
            starts[row.start],
            TrainingData(clips[row.clips], AUGMENTATIONS[row.augmentation]),
            training if row.start == "pretrained" else slow,
        )
        for row in ROWS
    ]
    checkpoints = execute(calls)
    test = chosen.material.target_test
    assert test is not None
    systems = [System(str(row), r, config.training.audio_context) for row, r in zip(ROWS, checkpoints, strict=True)]
    scores = score_systems(config, systems, [TestSet("target", test)], execute)
    _print(config, {row: scores[str(row), "target"] for row in ROWS}, {name: len(m) for name, m in clips.items()})


def _clips(config: AdaptConfig, chosen: Chosen, store: Store, execute: InProcess, scratch: Path) -> dict[str, Manifest]:
    target = chosen.speech.spoken[0]
    manifest, base = stored_manifest(target), chosen.material.base
    with_gate = config.model_copy(update={"gate": GateConfig()})
    (kept,) = gated(
        with_gate, base, [ClipSet("target", chosen.material.target_texts, config.synthesis)], [target], execute
    )
    spoilt = _spoilt(manifest, config.seed, scratch.absolute())
    heard = transcribe(Runtime(store), base, spoilt, decoding_for("full", config.language, 200, "auto"))
    sifted = gate(Runtime(store), [Round(spoilt, heard)], GateConfig(), base, engine=config.synthesis.engine)
    for name, record in (("gate", kept), ("gate on spoilt clips", sifted)):
        print(name, json.dumps({k: v for k, v in record.details.items() if k != "lost_texts"}))
    two = config.synthesis.model_copy(update={"voices": (*config.synthesis.voices, "espeak:en-us"), "takes": 1})
    both = synthesize(Runtime(store), chosen.material.target_texts, two, seed=config.seed)
    return {
        "all": manifest,
        "two engines": stored_manifest(both),
        "gated": stored_manifest(kept),
        "spoilt": spoilt,
        "spoilt, gated": stored_manifest(sifted),
    }


def _spoilt(manifest: Manifest, seed: int, folder: Path) -> Manifest:
    rng = generator("spoilt", seed)
    victims = rng.permutation(len(manifest))[: round(SPOILT * len(manifest))].tolist()
    third = len(victims) // 3
    rows = list(manifest.utterances)
    swapped = victims[:third]
    for place, other in zip(swapped, [*swapped[1:], swapped[0]], strict=True):
        rows[place] = replace(manifest.utterances[place], text=manifest.utterances[other].text)
    for number, place in enumerate(victims[third:]):
        rows[place] = _written(rows[place], rng, folder, twice=number >= third)
    return Manifest("spoilt", tuple(rows))


def _written(clip: Utterance, rng: np.random.Generator, folder: Path, *, twice: bool) -> Utterance:
    wave = read_audio(Path(clip.audio or ""))
    wave = said_twice(wave, rng) if twice else half_silent(wave, rng)
    path = folder / f"{clip.id}.flac"
    write_audio(path, wave, 16_000)
    return replace(clip, audio=str(path), duration=round(wave.size / 16_000, 6), audio_digest=file_digest(path))


def _print(config: AdaptConfig, scores: dict[Row, Evaluation], sizes: dict[str, int]) -> None:
    how = {"resamples": config.scoring.resamples, "confidence": config.scoring.confidence, "seed": config.seed}
    print("| start | clips | augmentation | WER % | interval | minus the start's first row, points |")
    print("|---|---|---|--:|---|---|")
    for row, evaluation in scores.items():
        first = next(other for other in scores if other.start == row.start)
        interval = evaluation.interval(**how)
        against = compare(evaluation, scores[first], **how)
        apart = (
            ""
            if row == first
            else f"{100 * against.difference:+.1f} [{100 * against.low:+.1f}, {100 * against.high:+.1f}]"
        )
        print(
            f"| {row.start} | {row.clips} ({sizes[row.clips]}) | {row.augmentation} | {100 * evaluation.wer:.1f} "
            f"| {100 * interval.low:.1f} to {100 * interval.high:.1f} | {apart} |"
        )


if __name__ == "__main__":
    main()
