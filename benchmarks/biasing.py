"""What words alone buy on real speech, and what they cost in time.

    python benchmarks/biasing.py table --json biasing.json [--ocean MANIFEST] [--adapted]
    python benchmarks/biasing.py cost

`table`: pretrained (and with --adapted a model tuned on synthetic speech) with a prompt, boosted terms, terms among 100
distractors, and an n-gram, at the strengths that are used where there are no recordings to choose on. `cost`: greedy
decoding plain, with 200 terms, and with a 4-gram, alternating in one run.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from demo_material import machine

from asr_tv.config.run import AugmentationConfig, CorpusConfig, LineConfig, SynthesisConfig, TrainingConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.data.splits import Shares, split_by_sentence
from asr_tv.decoding.biasing.bias import SAFE_ALPHA, SAFE_BOOST, Bias
from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.decoding.biasing.stages import ngram_stage
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import load_recogniser
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import resolve_model
from asr_tv.models.whisper import load_tokenizer
from asr_tv.pipeline.material import as_texts
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation, compare
from asr_tv.scoring.listed import listed_score
from asr_tv.scoring.score import evaluate
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.text.domain_terms import domain_terms, general_frequency, rarest_first
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.rare_words import is_known
from asr_tv.training.finetune import finetune

BOOTSTRAP = Bootstrap(2000, 0.95, 17)
SEED = 17


@dataclass(frozen=True)
class Domain:
    """A target: its texts, the texts of the others, and its test recordings."""

    name: str
    texts: Manifest
    others: Manifest
    test: Manifest


def main() -> None:
    """Prints one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("table", "cost"))
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--domains", nargs="*", default=["voicemail", "conference", "services"])
    parser.add_argument("--ocean", type=Path, help="a manifest of read English of many speakers, with a train split")
    parser.add_argument("--most", type=int, default=120, help="test recordings of a domain, at most")
    parser.add_argument("--repeats", type=int, default=5, help="of the cost")
    parser.add_argument("--adapted", action="store_true", help="also tune a model on synthetic speech for each domain")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    store = Store(options.store)
    base = resolve_model("openai/whisper-tiny.en", store)
    domains = list(_domains(store, options))
    rows = (
        _cost(base, domains[0], store, options.repeats)
        if options.what == "cost"
        else _table(base, domains, store, options)
    )
    print(f"\n{machine()}\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def _domains(store: Store, options: argparse.Namespace) -> Iterator[Domain]:
    line = LineConfig(codec="gsm", snr_db=10)
    corpus = load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en", line=line))
    speech = stored_manifest(corpus)
    normalize = get_normalizer("english")
    for name in options.domains:
        own = split_by_sentence(speech.where(name, in_domain(name)), Shares(0.0, 0.5), normalize, SEED)
        yield _domain(name, own, speech.where("others", lambda u, n=name: u.domain != n), options.most)
    if options.ocean:
        read = read_manifest(options.ocean)
        yield _domain("adult readers", read.where("adult readers", in_domain("adult")), speech, options.most)


def _domain(name: str, recordings: Manifest, others: Manifest, most: int) -> Domain:
    texts = as_texts(recordings.where(f"{name} texts", lambda u: u.split == "train"))
    test = recordings.where(f"{name} test", lambda u: u.split == "test")
    kept = sorted(test, key=lambda u: u.audio_digest or u.id)[:most]
    return Domain(name, texts, as_texts(others), Manifest(test.name, tuple(kept)))


def _biases(base: Record, domain: Domain, store: Store) -> tuple[dict[str, Bias | None], list[str]]:
    """Bias by row, and the listed terms; the distractors are terms of the other domains."""
    known, frequency = is_known(load_tokenizer(base.path / MODEL)), general_frequency("en")
    sentences = [u.text for u in domain.texts]
    terms = domain_terms(sentences, known, frequency, most=100)
    spoken = " ".join(u.text.lower() for u in (*domain.texts, *domain.test))
    foreign = [t for t in domain_terms([u.text for u in domain.others], known, frequency) if t.lower() not in spoken]
    ngram = ngram_stage(Runtime(store), base, domain.texts, domain.others, 4, 0.1)
    own = tuple(map(Phrase, terms))
    rarest = rarest_first(terms, known, frequency)
    listed = tuple(map(Phrase, (*terms, *foreign[:100])))
    rows: dict[str, Bias | None] = {
        "": None,
        " + prompt": Bias(prompt=", ".join(rarest[:30])) if rarest else None,
        " + prompt, 5 sentences": Bias(prompt=" ".join(sentences[:5])),
        " + boost 1": Bias(phrases=own, boost=SAFE_BOOST) if own else None,
        " + boost 2": Bias(phrases=own, boost=2.0) if own else None,
        f" + boost 1, {len(listed) - len(own)} distractors": Bias(phrases=listed, boost=SAFE_BOOST),
        f" + boost 2, {len(listed) - len(own)} distractors": Bias(phrases=listed, boost=2.0),
        " + ngram 0.1": Bias(ngram=ngram, alpha=SAFE_ALPHA),
        " + ngram 0.3": Bias(ngram=ngram, alpha=0.3),
        " + boost 1 + ngram 0.1": Bias(phrases=own, boost=SAFE_BOOST, ngram=ngram, alpha=SAFE_ALPHA),
    }
    return rows, [phrase.text for phrase in listed]


def _table(base: Record, domains: Sequence[Domain], store: Store, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for domain in domains:
        biases, listed = _biases(base, domain, store)
        models = {"pretrained": (base, "full")}
        if options.adapted:
            models["tuned"] = (_tuned(base, domain, store), "dynamic")
        for name, (model, context) in models.items():
            plain: Evaluation | None = None
            for row, bias in biases.items():
                decoding = Decoding(context, "en", bias=bias)  # type: ignore[arg-type]
                evaluation, seconds = _heard(model, domain.test, decoding, store)
                plain = plain or evaluation
                rows.append(_row(domain, f"{name}{row}", evaluation, plain, listed, seconds))
                print(rows[-1], flush=True)
    return rows


def _tuned(base: Record, domain: Domain, store: Store) -> Record:
    clips = stored_manifest(synthesize(Runtime(store), domain.texts, SynthesisConfig(takes=2), seed=SEED))
    training = TrainingConfig(epochs=3, learning_rate=3e-5)
    return finetune(Runtime(store), base, clips, training, SEED, augmentation=AugmentationConfig())


def _heard(model: Record, test: Manifest, decoding: Decoding, store: Store) -> tuple[Evaluation, float]:
    begun = time.perf_counter()
    record = transcribe(Runtime(store, label="bench"), model, test, decoding)
    seconds = record.seconds or time.perf_counter() - begun
    texts = read_hypotheses(record.path / hypotheses_file())
    return evaluate(test, texts, "english", decoding=decoding.options), seconds / len(test)


def _row(
    domain: Domain, name: str, evaluation: Evaluation, plain: Evaluation, listed: Sequence[str], seconds: float
) -> dict[str, Any]:
    normalize = get_normalizer("english")
    score = listed_score(evaluation, [normalize(term) for term in listed], domain.test.seconds, BOOTSTRAP)
    own, change = evaluation.interval(**asdict(BOOTSTRAP)), compare(evaluation, plain, **asdict(BOOTSTRAP))
    return {
        "domain": domain.name,
        "system": name,
        "utterances": len(domain.test),
        "WER %": f"{100 * evaluation.wer:.1f} [{100 * own.low:.1f}, {100 * own.high:.1f}]",
        "minus plain, points": f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]",
        "listed WER %": "-" if score.listed_wer is None else f"{100 * score.listed_wer:.1f}",
        "other WER %": "-" if score.other_wer is None else f"{100 * score.other_wer:.1f}",
        "recall %": "-" if score.terms.recall is None else f"{100 * score.terms.recall:.0f}",
        "false alarms": score.false_alarms,
        "an hour": f"{score.false_alarms_per_hour or 0:.0f}",
        "s/utterance": f"{seconds:.2f}",
    }


def _cost(base: Record, domain: Domain, store: Store, repeats: int) -> list[dict[str, Any]]:
    """The median of each row's ratio to plain decoding in the same repeat."""
    terms = tuple(Phrase(f"{first} {second}") for first in _SYLLABLES for second in _SYLLABLES)[:200]
    ngram = ngram_stage(Runtime(store), base, domain.texts, domain.others, 4, 0.1)
    rows: dict[str, Bias | None] = {"plain": None, "200 terms": Bias(phrases=terms), "4-gram": Bias(ngram=ngram)}
    rows["both"] = Bias(phrases=terms, ngram=ngram)
    test = domain.test.utterances
    with tempfile.TemporaryDirectory() as folder:
        loaded = {
            name: load_recogniser(
                base.path / MODEL,
                "whisper",
                Decoding("full", "en", bias=bias),
                torch.device("cpu"),
                Path(folder) / name,
            )
            for name, bias in rows.items()
        }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, recogniser in loaded.items():
            begun = time.process_time()
            recogniser.transcribe(test, 16, lambda n: None)
            seconds[name].append(time.process_time() - begun)
    ratios = {name: [a / b for a, b in zip(own, seconds["plain"], strict=True)] for name, own in seconds.items()}
    return [
        {
            "decoding": name,
            "processor s/utterance": f"{statistics.median(seconds[name]) / len(test):.3f}",
            "ratio": f"{statistics.median(ratios[name]):.3f}",
            "of repeats": f"{min(ratios[name]):.3f} to {max(ratios[name]):.3f}",
        }
        for name in rows
    ]


_SYLLABLES = ("Bara", "Cortez", "Dulan", "Ferrim", "Galvo", "Hestia", "Jorun", "Kalmar", "Lindow", "Mirvo", "Nestor",
              "Ostara", "Pelham", "Quorum", "Rasmus")  # fmt: skip


if __name__ == "__main__":
    main()
