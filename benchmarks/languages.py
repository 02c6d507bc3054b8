"""How well a recogniser hears each engine's voices in other languages: CER of Asterisk's texts, beside real recordings.

    python benchmarks/languages.py [--languages it es fr] [--sentences 40] [--store .store]

Needs the extras `kokoro`, `espeak` and `multilingual`. The same sentences of five words or more are spoken by
Kokoro, in all of its voices by turns, and by espeak-ng, one take; the recordings are their Asterisk prompts.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from demo_material import machine

from asr_tv.config.run import CorpusConfig, ScoringConfig, SynthesisConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import checkpoint_stage
from asr_tv.pipeline.material import as_texts
from asr_tv.scoring.stage import read_score, score
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.catalogue import with_voices
from asr_tv.synthesis.synthesize import synthesize

LEAST_WORDS = 5
ESPEAK = {"it": "it", "es": "es-419", "fr": "fr-fr"}


def sentences(runtime: Runtime, language: str, count: int) -> Manifest:
    """So many recorded prompts of different sentences, by id."""
    corpus = stored_manifest(load_corpus(runtime, CorpusConfig(kind="asterisk", language=language)))
    first = {u.text: u for u in sorted(corpus, key=lambda u: u.id) if len(u.text.split()) >= LEAST_WORDS}
    return Manifest(f"{language} prompts", tuple(first.values())[:count])


def spoken(runtime: Runtime, recorded: Manifest, language: str) -> Iterator[tuple[str, Manifest]]:
    """The recordings, then each engine's clips of their sentences."""
    yield "recordings", recorded
    for voices in (("kokoro:all",), (f"espeak:{ESPEAK[language]}",)):
        config = with_voices(SynthesisConfig(voices=voices, takes=1, voices_per_text=1, language=language), language)
        clips = synthesize(replace(runtime, label=f"speak {language}"), as_texts(recorded), config, 17)
        yield f"{voices[0].partition(':')[0]}, {', '.join(config.voices)}", stored_manifest(clips)


def heard(runtime: Runtime, model: Record, clips: Manifest, language: str) -> str:
    """Clips, CER and WER as cells of Markdown."""
    decoding = decoding_for("full", language, 200, "auto")
    scoring = ScoringConfig(normalizer="basic")
    scored = read_score(score(runtime, clips, transcribe(runtime, model, clips, decoding), model, decoding, scoring))
    return f"{len(clips)} | {100 * scored.cer:.1f} | {100 * scored.wer:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs="+", choices=ESPEAK, default=list(ESPEAK))
    parser.add_argument("--sentences", type=int, default=40)
    parser.add_argument("--model", default="openai/whisper-base")
    parser.add_argument("--store", type=Path, default=Path(".store"))
    asked = parser.parse_args()
    runtime = Runtime(Store(asked.store))
    model = checkpoint_stage(runtime, asked.model)
    print(f"{machine()}\n\n| language | speech | clips | CER % | WER % |\n|---|---|--:|--:|--:|")
    for language in asked.languages:
        for name, clips in spoken(runtime, sentences(runtime, language, asked.sentences), language):
            print(f"| {language} | {name} | {heard(runtime, model, clips, language)} |", flush=True)


if __name__ == "__main__":
    main()
