"""Test-time adaptation on real weights and real speech: hama's phoneme recogniser on Asterisk's prompts in noise.

    python benchmarks/test_time.py [--only NAME ...] [--json FILE]

Phone error against the phonemes of hama's own G2P of the text. A stopped table goes on where it was. Needs the extra
`hama`. Rows marked "authors' code" repeat slips of the reference implementations: parameters stepped once per enclosing
module, and log-probabilities over time instead of over classes.
"""

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demo_material import machine

from asr_tv.audio.channel import add_noise, simulate_line
from asr_tv.audio.recordings import Wave, audio_duration, limit_peak, resample, write_audio
from asr_tv.config.run import CorpusConfig, LineConfig
from asr_tv.config.test_time import Adaptation
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.test_time import methods as hearing
from asr_tv.decoding.test_time.adapting import Adapter
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.models.locate import resolve_model
from asr_tv.pipeline.unlabelled.table import adaptation_table, hearing_with
from asr_tv.scoring.adapted import AdaptedScore, adapted_score
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.spoken_form import spoken_form

BOOTSTRAP = Bootstrap(2000, 0.95, 17)
DOMAINS = frozenset({"voicemail", "conference", "calls", "services"})
RATE = 16_000
METHODS = {
    "pseudo_label": Adaptation(method="pseudo_label"),
    "suta": Adaptation(method="suta"),
    "suta, lr 1e-4": Adaptation(method="suta", learning_rate=1e-4),
    "suta, norms only, lr 1e-4": Adaptation(method="suta", learning_rate=1e-4, tuned="norms"),
    "continual": Adaptation(method="continual"),
    "fast_slow, no reset": Adaptation(method="fast_slow", reset="never"),
    "fast_slow, reset at drift": Adaptation(method="fast_slow", window=40),
}
SHORT = ("pseudo_label", "suta", "continual", "fast_slow, no reset")


def white(snr_db: float) -> Callable[[Wave, str], Wave]:
    """White noise, drawn from the recording's id."""

    def change(wave: Wave, name: str) -> Wave:
        rng = np.random.default_rng([0, *name.encode()])
        return limit_peak(add_noise(wave, snr_db, rng))

    return change


def line(wave: Wave, name: str) -> Wave:
    """The demo's simulated line."""
    heard = simulate_line(wave, RATE, LineConfig(codec="gsm", snr_db=10), name)
    return limit_peak(resample(heard, 8000, RATE))


def muffled(wave: Wave, name: str) -> Wave:
    """Nothing above 1.8 kHz, then white noise at 2 dB."""
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / RATE) > 1800] = 0
    return white(2)(np.fft.irfft(spectrum, len(wave)).astype(np.float32), name)


CONDITIONS: Mapping[str, Callable[[Wave, str], Wave]] = {
    "clean": lambda wave, _: wave,
    "20 dB": white(20),
    "10 dB": white(10),
    "5 dB": white(5),
    "line": line,
}


def prompts(store: Store, count: int) -> Manifest:
    """So many prompts of 3 to 12 words, drawn once, with phonemes for texts."""
    import hama

    corpus = stored_manifest(load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en")))
    g2p = hama.G2PModel()
    return Manifest("prompts", tuple(replace(u, text=phonemes(g2p, u.text)) for u in drawn(corpus, count)))


def drawn(corpus: Manifest, count: int) -> list[Utterance]:
    """So many prompts of 3 to 12 words, in a random order that is always the same."""
    rows = [u for u in corpus if u.domain in DOMAINS and 3 <= len(u.text.split()) <= 12]
    random.Random(0).shuffle(rows)
    return rows[:count]


def phonemes(g2p: Any, text: str) -> str:
    """Of a text in lower case without punctuation: of anything else the package's G2P makes Chinese."""
    said = " ".join(re.findall(r"[a-z']+", spoken_form(text, "en").lower()))
    return " ".join(a.phoneme for a in g2p.predict(said).alignments if a.phoneme.strip())


def changed(manifest: Manifest, name: str, change: Callable[[Wave, str], Wave], folder: Path) -> Manifest:
    """The recordings as a condition delivers them, written to a folder."""

    def rows() -> Iterator[object]:
        for u in manifest:
            path = folder / name.replace(" ", "_") / f"{u.id.replace('/', '_')}.wav"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_audio(path, change(read_wave(u), u.id), RATE)
            yield replace(
                u, audio=str(path), audio_digest=file_digest(path), duration=audio_duration(path, utterance=u.id)
            )

    return Manifest(name, tuple(rows()))  # type: ignore[arg-type]


def shifting(manifest: Manifest, folder: Path) -> Manifest:
    """A stream whose line gets worse in its middle."""
    half = len(manifest) // 2
    first = changed(Manifest("a", manifest.utterances[:half]), "10 dB", white(10), folder)
    second = changed(Manifest("b", manifest.utterances[half:]), "muffled", muffled, folder)
    return Manifest("shift", (*first, *second))


def slipped(model: Path, manifest: Manifest, plain: Mapping[str, str], told: str) -> AdaptedScore:
    """A row of the reference code's slips."""
    how = METHODS["pseudo_label" if "time" in told else "suta"]
    adaptable = AdaptableCtc(model, torch.device("cpu"))
    right_loss, right_fresh = hearing.pseudo_label_loss, Adapter._fresh
    twice = sum(1 for name in adaptable.parameters("norms_and_front") if name.startswith("feature_extractor"))

    def over_time(logits: torch.Tensor, labels: torch.Tensor, blank: int) -> torch.Tensor:
        lengths = torch.tensor([len(logits)]), torch.tensor([len(labels)])
        return torch.nn.functional.ctc_loss(logits.log_softmax(0)[:, None], labels[None], *lengths, blank=blank)

    def doubled(self: Adapter) -> torch.optim.Optimizer:
        parameters = [*self._parameters.values(), *list(self._parameters.values())[:twice]]
        return torch.optim.AdamW(parameters, lr=self._learning_rate, weight_decay=0.0)

    try:
        if "time" in told:
            hearing.pseudo_label_loss = over_time  # type: ignore[assignment]
        else:
            Adapter._fresh = doubled  # type: ignore[method-assign]
        turns = list(hearing.adapted_texts(adaptable, ((u.id, read_wave(u)) for u in manifest), how))
    finally:
        hearing.pseudo_label_loss, Adapter._fresh = right_loss, right_fresh  # type: ignore[method-assign]
    texts = {turn.id: turn.text for turn in turns}
    references = {u.id: u.text for u in manifest}
    return adapted_score(told, references, plain, [(turns, texts)], manifest.seconds, BOOTSTRAP)


def told(condition: str, row: AdaptedScore) -> str:
    """A row of Markdown."""
    d = row.difference
    change = f"{100 * d.difference:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]" if d else ""
    moved = f"{row.better} / {row.equal} / {row.worse}" if d else ""
    means = " -> ".join(f"{row.told[k]:.3f}" for k in ("entropy_before", "entropy_after")) if d else ""
    cost = f"{row.seconds:.2f}" if row.seconds is not None else ""
    orders = ", ".join(f"{100 * rate:.1f}" for rate in row.rates[1:])
    low, high = row.interval
    rate = f"{100 * row.wer:.1f} | {100 * low:.1f} to {100 * high:.1f}"
    return f"| {condition} | {row.method} | {rate} | {change} | {moved} | {means} | {cost} | {orders} |"


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--only", nargs="*", help=f"of {', '.join(CONDITIONS)}, shift")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    store = Store(asked.store)
    checkpoint, folder = resolve_model("hama", store), asked.store / "test_time_audio"
    material = prompts(store, max(asked.count, 100))
    few = Manifest("prompts", material.utterances[: asked.count])
    rows = []
    print(machine(), "\n")
    for name in asked.only or [*CONDITIONS, "shift"]:
        heard = shifting(material, folder) if name == "shift" else changed(few, name, CONDITIONS[name], folder)
        chosen = METHODS if name in ("10 dB", "shift") else {method: METHODS[method] for method in SHORT}
        runtime = Runtime(store, device="cpu", label=name)
        table = adaptation_table(
            hearing_with(runtime, checkpoint),
            heard,
            chosen,
            get_normalizer("none"),
            BOOTSTRAP,
            orders=3 if name == "10 dB" else 1,
        )
        if name == "10 dB":
            adaptable = AdaptableCtc(checkpoint.path / MODEL, torch.device("cpu"))
            plain = {u.id: adaptable.text(adaptable.logits(read_wave(u)).detach()) for u in heard}
            slips = ("suta, authors' code: doubled parameters", "pseudo_label, authors' code: over time")
            table += [slipped(checkpoint.path / MODEL, heard, plain, slip) for slip in slips]
        for row in table:
            rows.append({"condition": name, **asdict(row)})
            print(told(name, row), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
