"""What words alone buy on real speech, and what they cost in time.

    python benchmarks/biasing.py table --json biasing.json [--ocean MANIFEST] [--adapted]
    python benchmarks/biasing.py cost

`table`: pretrained with a prompt, boosted terms, terms among 100 distractors, and an n-gram, at the strengths that are
used where there are no recordings to choose on, and a decoder tuned on texts; with --adapted also the model that
configs/text_only.yaml makes of the texts, plain and steered. All is decoded in 30 s. A stopped table goes on where it
was. `cost`: what 200 terms and a 4-gram add to greedy decoding's time.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from biasing_cost import cost
from demo_material import machine
from encoded_once import EncodedOnce

from asr_tv.config.biasing import BiasingConfig, TextOnlyConfig
from asr_tv.config.file import load_config
from asr_tv.config.run import AdaptConfig, CorpusConfig, LineConfig, RunOptions
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.data.splits import Shares, split_by_sentence, without_sentences
from asr_tv.decoding.biasing.bias import SAFE_ALPHA, SAFE_BOOST, Bias
from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.decoding.biasing.stages import ngram_stage
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import resolve_model
from asr_tv.models.whisper import load_tokenizer
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import choose, make_adapted, settled
from asr_tv.pipeline.material import Material, as_texts, rehearsed_texts
from asr_tv.pipeline.misheard import with_variants
from asr_tv.report.systems import ADAPTED, PRETRAINED, TEXT_ONLY_DECODER
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation, compare
from asr_tv.scoring.listed import listed_score
from asr_tv.scoring.score import evaluate
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record, Store, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.text.domain_terms import domain_terms, general_frequency, rarest_first
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.rare_words import Known, is_known
from asr_tv.training.text_only import text_only_stage

BOOTSTRAP = Bootstrap(2000, 0.95, 17)
SEED = 17
MISHEARD_TAKES = 2
"""Of each term in each of two carriers."""
NORMALIZE = get_normalizer("english")
STEERED = ("", " + prompt", " + boost 1", " + boost 1, distractors", " + ngram 0.1", " + boost 1 + ngram 0.1")
"""What is tried on the adapted model, of all that is tried on the pretrained one."""


@dataclass(frozen=True)
class Domain:
    """A target: its texts, the texts of the others, and its test recordings."""

    name: str
    texts: Manifest
    others: Manifest
    test: Manifest


@dataclass(frozen=True)
class Words:
    """What a domain's texts give to steer by.

    Attributes:
        terms: found in the texts; `distractors` are terms of the other domains that nobody says.
        ngram: a 4-gram of the texts, with a tenth of one of the others.
    """

    terms: tuple[str, ...]
    rarest: tuple[str, ...]
    distractors: tuple[str, ...]
    ngram: Record
    known: Known


@dataclass(frozen=True)
class Scored:
    """A row's evaluation, and its processor seconds an utterance where they are known."""

    system: str
    evaluation: Evaluation
    seconds: float | None


def main() -> None:
    """Prints one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("table", "cost"))
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--domains", nargs="*", default=["voicemail", "conference"])
    parser.add_argument("--ocean", type=Path, help="a manifest of read English of many speakers, with a train split")
    parser.add_argument("--most", type=int, default=120, help="test recordings of a domain, at most")
    parser.add_argument("--texts", type=int, default=100, help="sentences of a domain, at most")
    parser.add_argument("--repeats", type=int, default=5, help="of the cost")
    parser.add_argument("--adapted", action="store_true", help="also tune a model on synthetic speech for each domain")
    parser.add_argument("--json", type=Path, help="is written after each model of each domain")
    options = parser.parse_args()
    store = Store(options.store)
    base = resolve_model("openai/whisper-tiny.en", store)
    domains = list(_domains(store, options))
    if options.what == "cost":
        ngram = _words(base, domains[0], store).ngram
        rows = cost(base, ngram, domains[0].test.utterances, options.repeats)
    else:
        with EncodedOnce() as encoded:
            rows = _table(base, domains, store, options, encoded)
    print(f"\n{machine()}")
    for title, own in groupby(rows, _title):
        part = [{name: cell for name, cell in row.items() if name not in ("domain", "utterances")} for row in own]
        print(f"\n### {title}\n" if title else "")
        print("| " + " | ".join(part[0]) + " |\n|" + "---|" * len(part[0]))
        print("\n".join("| " + " | ".join(map(str, row.values())) + " |" for row in part))
    _write(options.json, rows)


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['domain']}, {row['utterances']} recordings" if "domain" in row else ""


def _write(file: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    if file is not None:
        write_atomically(file.absolute(), json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def _domains(store: Store, options: argparse.Namespace) -> Iterator[Domain]:
    line = LineConfig(codec="gsm", snr_db=10)
    corpus = load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en", line=line))
    speech = stored_manifest(corpus)
    for name in options.domains:
        own = split_by_sentence(speech.where(name, in_domain(name)), Shares(0.0, 0.5), NORMALIZE, SEED)
        yield _domain(name, own, speech.where("others", lambda u, n=name: u.domain != n), options)
    if options.ocean:
        read = read_manifest(options.ocean)
        yield _domain("adult readers", read.where("adult readers", in_domain("adult")), speech, options)


def _domain(name: str, recordings: Manifest, others: Manifest, options: argparse.Namespace) -> Domain:
    test = recordings.where(f"{name} test", lambda u: u.split == "test")
    kept = sorted(test, key=lambda u: u.audio_digest or u.id)[: options.most]
    spoken = {NORMALIZE(u.text) for u in test}
    unspoken, _ = without_sentences(recordings, spoken, NORMALIZE, "")
    texts = {u.text: u for u in sorted(unspoken, key=lambda u: u.id) if u.split == "train"}
    own = Manifest(f"{name} texts", tuple(texts.values())[: options.texts])
    return Domain(name, as_texts(own), as_texts(others), Manifest(test.name, tuple(kept)))


def _words(base: Record, domain: Domain, store: Store) -> Words:
    known, frequency = is_known(load_tokenizer(base.path / MODEL)), general_frequency("en")
    terms = domain_terms([u.text for u in domain.texts], known, frequency, most=100)
    spoken = " ".join(u.text.lower() for u in (*domain.texts, *domain.test))
    foreign = [t for t in domain_terms([u.text for u in domain.others], known, frequency) if t.lower() not in spoken]
    ngram = ngram_stage(Runtime(store), base, domain.texts, domain.others, 4, 0.1)
    return Words(terms, rarest_first(terms, known, frequency), tuple(foreign[:100]), ngram, known)


def _biases(domain: Domain, words: Words) -> dict[str, Bias | None]:
    """Bias by what it adds to a model's name; nothing for terms where none was found."""
    own = tuple(map(Phrase, words.terms))
    listed = (*own, *map(Phrase, words.distractors))
    sentences = " ".join(u.text for u in domain.texts.utterances[:5])
    rows: dict[str, Bias | None] = {
        "": None,
        " + prompt": Bias(prompt=", ".join(words.rarest[:30])),
        " + prompt, 5 sentences": Bias(prompt=sentences),
        " + boost 1": Bias(phrases=own, boost=SAFE_BOOST),
        " + boost 2": Bias(phrases=own, boost=2.0),
        " + boost 1, distractors": Bias(phrases=listed, boost=SAFE_BOOST),
        " + boost 2, distractors": Bias(phrases=listed, boost=2.0),
        " + ngram 0.1": Bias(ngram=words.ngram, alpha=SAFE_ALPHA),
        " + ngram 0.3": Bias(ngram=words.ngram, alpha=0.3),
        " + boost 1 + ngram 0.1": Bias(phrases=own, boost=SAFE_BOOST, ngram=words.ngram, alpha=SAFE_ALPHA),
    }
    return rows if own else {row: bias for row, bias in rows.items() if bias is None or bias.prompt or bias.ngram}


def _misheard(base: Record, domain: Domain, words: Words, store: Store) -> Bias:
    """The terms with what the pretrained model mishears for them."""
    config = _config().model_copy(update={"biasing": BiasingConfig(misheard_takes=MISHEARD_TAKES)})
    ordinary = [u.text for u in domain.others]
    phrases = with_variants(config, base, domain.name, words.terms, ordinary, words.known, InProcess(store))
    print(f"{domain.name}: {sum(len(p.misheard) for p in phrases)} variants of {len(phrases)} terms", flush=True)
    return Bias(phrases=phrases, boost=SAFE_BOOST)


def _config() -> AdaptConfig:
    config = load_config(Path(__file__).parents[1] / "configs" / "text_only.yaml")
    return config.model_copy(update={"run": RunOptions(workers=1)})


def _adapted(base: Record, domain: Domain, store: Store) -> Record:
    """What `asr-tv adapt configs/text_only.yaml` makes of the texts.

    No general speech chooses, so that the least share of the pretrained weights is averaged in.
    """
    nothing = Manifest("none", ())
    scored = [u.text for u in (*domain.texts, *domain.test)]
    material = Material(
        base=base,
        target_domain=domain.name,
        target_texts=domain.texts,
        target_train=None,
        target_test=None,
        source_train=nothing,
        source_dev=nothing,
        source_test=nothing,
        general_dev=None,
        general=None,
        general_texts=rehearsed_texts(_config(), scored, NORMALIZE),
        dropped=(),
        corpora=(),
    )
    execute = InProcess(store)
    config = settled(_config(), material)
    chosen = choose(config, material, execute)
    weight, context = chosen.recipe.pretrained_weight, config.training.audio_context
    print(f"{domain.name}: tuned in context {context}, {weight:g} of the pretrained weights", flush=True)
    return make_adapted(chosen, execute)


def _systems(
    base: Record, domain: Domain, words: Words, store: Store, kind: str
) -> Iterator[tuple[str, Record, Bias | None]]:
    """Rows in their order: name, model, bias. What takes a training or a voice is made when its turn comes."""
    biases = _biases(domain, words)
    if kind == ADAPTED:
        model = _adapted(base, domain, store)
        yield from ((f"{ADAPTED}{row}", model, biases[row]) for row in STEERED if row in biases)
        return
    yield from ((f"{PRETRAINED}{row}", base, bias) for row, bias in biases.items())
    if words.terms:
        yield f"{PRETRAINED} + boost 1, misheard variants", base, _misheard(base, domain, words, store)
    rho = max(TextOnlyConfig().rhos)
    yield (
        TEXT_ONLY_DECODER,
        text_only_stage(Runtime(store), base, domain.texts, TextOnlyConfig(), rho, SEED, "en"),
        None,
    )


def _table(
    base: Record, domains: Sequence[Domain], store: Store, options: argparse.Namespace, encoded: EncodedOnce
) -> list[dict[str, Any]]:
    """All rows of all domains; those that need no training come first."""
    begun = time.monotonic()
    words = {domain.name: _words(base, domain, store) for domain in domains}
    watch = Stopwatch(options.store.absolute().with_name(f"{options.store.name}.seconds.json"), encoded)
    scored: dict[str, list[Scored]] = {domain.name: [] for domain in domains}
    kinds = (PRETRAINED, ADAPTED) if options.adapted else (PRETRAINED,)
    total = sum(_number(_biases(domain, words[domain.name]), options.adapted) for domain in domains)
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        for domain in domains:
            for name, model, bias in _systems(base, domain, words[domain.name], store, kind):
                own = _heard(name, model, domain.test, Decoding("full", "en", bias=bias), store, watch)
                scored[domain.name].append(own)
                done = sum(map(len, scored.values()))
                told = f"{100 * own.evaluation.wer:.1f} %, {time.monotonic() - begun:.0f} s"
                print(f"{done} of {total}: {domain.name}, {name}: {told}", flush=True)
            rows = [row for d in domains for row in _shown(d, words[d.name], scored[d.name])]
            _write(options.json, rows)
    return rows


def _number(biases: Mapping[str, Bias | None], adapted: bool) -> int:
    """Of a domain's rows."""
    return len(biases) + 1 + (" + boost 1" in biases) + adapted * sum(row in biases for row in STEERED)


class Stopwatch:
    """Processor seconds of each decoding by key, in a file beside the store, so that a table that goes on has them.

    Rows of one model share the encoder's states; the seconds that those took count in every row.
    """

    def __init__(self, file: Path, encoded: EncodedOnce) -> None:
        self._file, self._encoded = file, encoded
        self._known: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}

    def of(self, key: str) -> float | None:
        return self._known.get(key)

    def time(self, decode: Callable[[], Record]) -> Record:
        """Decodes; what was in the store already keeps the seconds that it took."""
        begun, encoded = time.process_time(), self._encoded.done
        self._encoded.seconds = 0.0
        record = decode()
        if not record.cached:
            others = time.process_time() - begun - (self._encoded.done - encoded)
            self._known[record.key] = others + self._encoded.seconds
            write_atomically(self._file, json.dumps(self._known, indent=1) + "\n")
        return record


def _heard(name: str, model: Record, test: Manifest, decoding: Decoding, store: Store, watch: Stopwatch) -> Scored:
    record = watch.time(partial(transcribe, Runtime(store, label="bench"), model, test, decoding))
    texts = read_hypotheses(record.path / hypotheses_file())
    seconds = watch.of(record.key)
    evaluation = evaluate(test, texts, "english", decoding=decoding.options)
    return Scored(name, evaluation, seconds and seconds / len(test))


def _shown(domain: Domain, words: Words, rows: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """A domain's part of the table.

    Each row stands against its own model as it is; then without training against the adapted model, and steered adapted
    against pretrained steered alike.
    """
    listed = [NORMALIZE(term) for term in (*words.terms, *words.distractors)]
    by_name = {row.system: row.evaluation for row in rows}
    for row in rows:
        score = listed_score(row.evaluation, listed, domain.test.seconds, BOOTSTRAP)
        own = row.evaluation.interval(**asdict(BOOTSTRAP))
        model, alike = PRETRAINED, None
        if row.system.startswith(ADAPTED):
            model, alike = ADAPTED, by_name[row.system.replace(ADAPTED, PRETRAINED)]
        yield {
            "domain": domain.name,
            "system": row.system,
            "utterances": len(domain.test),
            "WER %": f"{100 * row.evaluation.wer:.1f} [{100 * own.low:.1f}, {100 * own.high:.1f}]",
            "minus plain": _difference(row.evaluation, by_name[model]),
            "minus adapted": "-" if alike else _difference(row.evaluation, by_name.get(ADAPTED)),
            "minus pretrained with the same words": _difference(row.evaluation, alike),
            "listed WER %": _percent(score.listed_wer),
            "other WER %": _percent(score.other_wer),
            "listed, said": score.terms.expected,
            "recall %": _percent(score.terms.recall, 0),
            "precision %": _percent(score.terms.precision, 0),
            "false alarms": score.false_alarms,
            "an hour": f"{score.false_alarms_per_hour or 0:.0f}",
            "s/utterance": "-" if row.seconds is None else f"{row.seconds:.2f}",
        }


def _difference(one: Evaluation, other: Evaluation | None) -> str:
    if other is None or one is other:
        return "-"
    change = compare(one, other, **asdict(BOOTSTRAP))
    return f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def _percent(rate: float | None, digits: int = 1) -> str:
    return "-" if rate is None else f"{100 * rate:.{digits}f}"


if __name__ == "__main__":
    main()
