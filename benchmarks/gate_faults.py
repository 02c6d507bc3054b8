"""How many planted faults the quality gate catches, and how many good clips it loses, on real clips of any engine.

    python benchmarks/gate_faults.py configs/demo.yaml --store .store [--set 'synthesis.voices=["hibari:heart"]']

Speaks the demo's target and fold texts (two takes each; found in the store after `make demo`), spoils one take in
nine in one way at a time, and lets the gate judge. The gate is not told about the faults.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr_tv.audio.recordings import Wave, read_audio, write_audio
from asr_tv.config.file import load_config
from asr_tv.config.run import GateConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance, concatenate, in_domain
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import resolve_model
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.material import prepare
from asr_tv.seeds import generator
from asr_tv.store.results import Record, Store, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.catalogue import with_voices
from asr_tv.synthesis.gate.gate import VERDICTS, Round, gate
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.faults import FAULTS

ONE_IN = 9
"""Every ninth clip, and never two takes of one text, is spoilt."""


def main() -> None:
    """Prints a table and, with --out, writes it as JSON."""
    options = _options()
    config = load_config(options.config, options.set)
    store = Store(options.store)
    clips = _clips(config, store, options.sets)
    judge = resolve_model(options.judge or config.model, store)
    heard = {m.name: _heard(judge, m, store) for m in clips}
    whole = concatenate("clips", clips)
    rows = [_good(clips, heard, judge, store)]
    rows += [_spoilt(name, spoil, clips, whole, heard, judge, store, options) for name, spoil in FAULTS.items()]
    rows.append(_spoilt("swapped labels", None, clips, whole, heard, judge, store, options))
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--judge", help="default: the configuration's model")
    sets = ["target", "conference", "services"]
    parser.add_argument("--sets", nargs="+", default=sets, help="target, or source domains")
    parser.add_argument("--scratch", type=Path, default=Path("build/gate_faults"), help="for the spoilt clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the configuration")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _clips(config: object, store: Store, sets: list[str]) -> list[Manifest]:
    material = prepare(config, InProcess(store))  # type: ignore[arg-type]
    source = material.source_train
    texts = [material.target_texts if name == "target" else source.where(name, in_domain(name)) for name in sets]
    speech = with_voices(config.synthesis, config.language)  # type: ignore[attr-defined]
    records = [synthesize(Runtime(store), t, speech, seed=config.seed) for t in texts]  # type: ignore[attr-defined]
    return [replace(stored_manifest(r), name=t.name) for t, r in zip(texts, records, strict=True)]


def _heard(judge: Record, manifest: Manifest, store: Store) -> Record:
    return transcribe(Runtime(store), judge, manifest, decoding_for("full", "en", 200, "auto"))


def _judged(rounds: list[Round], judge: Record, store: Store) -> dict[str, dict]:
    record = gate(Runtime(store), rounds, GateConfig(), judge, engine="any")
    rows = map(json.loads, (record.path / VERDICTS).read_text(encoding="utf-8").splitlines())
    return {row["id"]: row for row in rows}


def _good(clips: list[Manifest], heard: dict[str, Record], judge: Record, store: Store) -> dict:
    verdicts = _judged([Round(m, heard[m.name]) for m in clips], judge, store)
    lost = [v for v in verdicts.values() if not v["kept"]]
    return {
        "fault": "none",
        "good": len(verdicts),
        "good_lost": len(lost),
        "lost": [(v["text"], v["heard"], v["reasons"]) for v in lost],
    }


def _spoilt(
    name: str,
    spoil: Callable[[Wave, np.random.Generator], Wave] | None,
    clips: list[Manifest],
    whole: Manifest,
    heard: dict[str, Record],
    judge: Record,
    store: Store,
    options: argparse.Namespace,
) -> dict:
    rng = generator(name, options.seed)
    texts = sorted({(u.domain, u.text) for u in whole})
    chosen = {texts[i] for i in rng.permutation(len(texts))[: len(whole) // ONE_IN]}
    victims: list[Utterance] = []
    for u in whole:
        if (u.domain, u.text) in chosen:
            chosen.remove((u.domain, u.text))
            victims.append(u)
    faulty = (
        _swapped(victims, rng) if spoil is None else [_written(u, spoil, rng, options.scratch / name) for u in victims]
    )
    bad = Manifest(name, tuple(faulty))
    hit = {u.id for u in bad}
    rounds = [Round(m.where(m.name, lambda u: u.id not in hit), heard[m.name]) for m in clips]
    verdicts = _judged([*rounds, Round(bad, _heard(judge, bad, store))], judge, store)
    caught = [v for i, v in verdicts.items() if i in hit and not v["kept"]]
    trimmed = [v for i, v in verdicts.items() if i in hit and v["kept"] and v["trim"]]
    lost = [v for i, v in verdicts.items() if i not in hit and not v["kept"]]
    return {
        "fault": name,
        "faulty": len(hit),
        "caught": len(caught),
        "trimmed": len(trimmed),
        "reasons": Counter(r for v in caught for r in v["reasons"]),
        "missed": [(v["text"], v["heard"]) for i, v in verdicts.items() if i in hit and v["kept"] and not v["trim"]],
        "good": len(verdicts) - len(hit),
        "good_lost": len(lost),
        "lost": [(v["text"], v["heard"], v["reasons"]) for v in lost],
    }


def _swapped(victims: list[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """Each clip with the text of the next one, and so among that text's takes."""
    order = [victims[i] for i in rng.permutation(len(victims))]
    return [
        replace(clip, id=label.id, text=label.text, domain=label.domain)
        for label, clip in zip(order, [*order[1:], order[0]], strict=True)
    ]


def _written(
    clip: Utterance, spoil: Callable[[Wave, np.random.Generator], Wave], rng: np.random.Generator, folder: Path
) -> Utterance:
    wave = spoil(read_audio(Path(clip.audio or "")), rng)
    path = folder.absolute() / f"{clip.id}.flac"
    write_audio(path, wave, 16_000)
    return replace(clip, audio=str(path), duration=round(wave.size / 16_000, 6), audio_digest=file_digest(path))


if __name__ == "__main__":
    main()
