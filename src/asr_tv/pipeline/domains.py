"""The data of a leave-one-domain-out table: every domain split once, so that what one target trains another can use."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Dropped, Manifest, Utterance, concatenate, in_domain
from asr_tv.data.pairs import paired
from asr_tv.data.splits import Normalize, Shares, split_by_sentence
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.material import capped, joined, load, sentence_identity
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.store.results import Record


@dataclass(frozen=True)
class Domain:
    """One domain's real recordings by split; its train texts are spoken when it is the target."""

    name: str
    train: Manifest
    dev: Manifest
    test: Manifest

    @property
    def texts(self) -> Manifest:
        """The train sentences without their recordings."""
        rows = (replace(u, origin="text", audio=None, audio_digest=None, duration=None) for u in self.train)
        return Manifest(f"{self.name} texts", tuple(rows))


@dataclass(frozen=True)
class Ground:
    """Everything the table reads.

    Attributes:
        shared: train utterances whose sentence another domain's dev or test holds; left out unless
            `drop_shared_sentences` is off.
        general: recordings that adaptation must not lose; None where the configuration names none.
        corpora: a record each, source corpora first.
    """

    base: Record
    domains: Mapping[str, Domain]
    targets: tuple[str, ...]
    general: Manifest | None
    shared: tuple[Dropped, ...]
    corpora: tuple[Record, ...]

    def others(self, *without: str) -> tuple[str, ...]:
        """All domains but these, sorted."""
        return tuple(sorted(self.domains.keys() - {*without}))

    def most_dev_words(self, domains: Sequence[str], count: int) -> tuple[str, ...]:
        """The `count` domains with most dev words, which decide between recipes."""
        words = {d: sum(len(u.text.split()) for u in self.domains[d].dev) for d in domains}
        return tuple(sorted(domains, key=lambda d: (-words[d], d))[:count])


@dataclass(frozen=True)
class DomainSpeech:
    """One domain's train recordings, one clip for each, and all takes of its sentences."""

    real: Manifest
    clips: Manifest
    takes: Manifest


def ground(config: BenchmarkConfig, execute: Executor) -> Ground:
    """Loads model and corpora, splits every domain by sentence.

    Raises:
        ConfigError: a domain or target that is not there (names those that are), or too few domains.
        DataError: every domain with too few sentences.
    """
    normalize = sentence_identity(config.language)
    base, *records = load(config, execute)
    labelled = joined("corpus", records[: len(config.corpora)]).where("corpus", lambda u: u.origin == "real")
    names, targets = _chosen(config, labelled)
    taking_part = labelled.where("corpus", lambda u: u.domain in names)
    split = split_by_sentence(taking_part, Shares(config.splits.dev, config.splits.test), normalize, config.seed)
    shared = _shared(split, normalize)
    unusable = {d.id for d in shared} if config.drop_shared_sentences else set()
    rest = split.where("corpus", lambda u: u.id not in unusable)
    domains = {name: _domain(name, rest, config.max_source_utterances) for name in names}
    if empty := [name for name, domain in domains.items() if not len(domain.train)]:
        raise ConfigError(f"domain {name}: all its sentences are in other domains' tests" for name in empty)
    general = records[len(config.corpora) :]
    return Ground(base, domains, targets, _general(general, split, normalize), shared, tuple(records))


def _chosen(config: BenchmarkConfig, labelled: Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = labelled.domains if config.sources is None else config.sources
    targets = names if config.benchmark.targets is None else config.benchmark.targets
    problems = [f"sources: there is no domain {d!r}" for d in names if d not in labelled.domains]
    problems += [f"benchmark.targets: there is no domain {d!r}" for d in targets if d not in labelled.domains]
    least = 2 if config.selection.method == "fixed" else 3
    if len(names) < least and not problems:
        method = config.selection.method
        problems = [f"{len(names)} domain(s): with selection.method {method} a benchmark needs {least}"]
    if problems:
        raise ConfigError([*problems, f"domains: {', '.join(labelled.domains) or 'none'}"])
    return tuple(sorted(names)), tuple(sorted(targets))


def _shared(split: Manifest, normalize: Normalize) -> tuple[Dropped, ...]:
    """Train utterances whose sentence is in dev or test of another domain: no target may have seen its test."""
    asked: dict[str, set[str]] = {}
    for u in split:
        if u.split != "train":
            asked.setdefault(normalize(u.text), set()).add(u.domain)
    found = ((u, asked.get(normalize(u.text), set()) - {u.domain}) for u in split if u.split == "train")
    return tuple(Dropped(u.id, f"its sentence is in dev or test of {', '.join(sorted(d))}") for u, d in found if d)


def _domain(name: str, split: Manifest, most: int | None) -> Domain:
    own = split.where(name, in_domain(name))

    def part(kind: str) -> Manifest:
        return own.where(f"{name} {kind}", lambda u: u.split == kind)

    return Domain(name, capped(part("train"), most), part("dev"), part("test"))


def _general(records: Sequence[Record], split: Manifest, normalize: Normalize) -> Manifest | None:
    """General recordings of no sentence that any target trains on or is chosen by."""
    if not records:
        return None
    seen = {normalize(u.text) for u in split if u.split != "test"}
    return joined("general", records).where("general", lambda u: normalize(u.text) not in seen)


def kept_sets(config: BenchmarkConfig, material: Ground, target: str) -> dict[str, Manifest]:
    """What the models for a target must not lose: the other domains' tests, and general speech without the target's."""
    normalize = sentence_identity(config.language)
    own = material.domains[target]
    asked = {normalize(u.text) for part in (own.train, own.dev, own.test) for u in part}
    sets = {"source": concatenate("source", [material.domains[d].test for d in material.others(target)])}
    if material.general is not None:
        sets["general"] = material.general
    most = config.benchmark.max_kept_utterances
    chosen = {}
    for name, manifest in sets.items():
        foreign = (u for u in manifest if u.domain != target and normalize(u.text) not in asked)
        chosen[name] = Manifest(f"{name} without {target}", tuple(sorted(foreign, key=_rank)[:most]))
    return {name: manifest for name, manifest in chosen.items() if len(manifest)}


def _rank(utterance: Utterance) -> str:
    return hashlib.sha256(f"{utterance.audio_digest}\x1f{utterance.id}".encode()).hexdigest()


def speak(config: BenchmarkConfig, material: Ground, execute: Executor) -> tuple[dict[str, DomainSpeech], list[Record]]:
    """Every domain's sentences, domain by domain, so that another domain costs only its own clips."""
    once = config.synthesis.model_copy(update={"takes": 1, "voices": config.synthesis.voices[:1]})
    texts = {name: domain.texts for name, domain in material.domains.items()}
    calls = [synthesis_call(config, name, texts[name], once) for name in texts]
    calls += [synthesis_call(config, f"{name} as target", texts[name], config.synthesis) for name in texts]
    records = execute(calls)
    normalize = sentence_identity(config.language)
    spoken = {}
    for number, (name, domain) in enumerate(material.domains.items()):
        clips, takes = (stored_manifest(records[i]) for i in (number, number + len(texts)))
        spoken[name] = DomainSpeech(*paired(domain.train, clips, normalize), takes)
    return spoken, records


def other_engines(
    config: BenchmarkConfig, material: Ground, domains: Sequence[str], execute: Executor
) -> dict[str, Manifest]:
    """For each of benchmark.engines, one clip of every recording of these domains."""
    normalize = sentence_identity(config.language)
    clips: dict[str, Manifest] = {}
    for name, synthesis in config.benchmark.engines.items():
        once = synthesis.model_copy(update={"takes": 1, "voices": synthesis.voices[:1]})
        calls = [synthesis_call(config, f"{d} by {name}", material.domains[d].texts, once) for d in domains]
        made = [
            paired(material.domains[d].train, stored_manifest(record), normalize)[1]
            for d, record in zip(domains, execute(calls), strict=True)
        ]
        clips[name] = concatenate(f"clips by {name}", made)
    return clips
