"""The data of a leave-one-domain-out table: every domain split once, so that what one target trains another can use."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.data.manifest import Dropped, Manifest, concatenate, in_domain
from asr_tv.data.splits import Normalize, Shares, split_by_sentence
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.material import (
    Material,
    as_texts,
    capped,
    joined,
    load,
    rehearsed_texts,
    sentence_identity,
    split_general,
)
from asr_tv.store.results import Record


@dataclass(frozen=True)
class Domain:
    """One domain's real recordings by split; its train texts are spoken when it is the target."""

    name: str
    train: Manifest
    dev: Manifest
    test: Manifest


@dataclass(frozen=True)
class Domains:
    """Everything the table reads; `corpora` has a record each, source corpora first.

    Attributes:
        shared: train utterances whose sentence another domain's dev or test holds; left out unless
            `drop_shared_sentences` is off.
        general: recordings that adaptation must not lose; None where the configuration names none.
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


def split_domains(config: BenchmarkConfig, execute: Executor) -> Domains:
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
    general = None
    if config.general:
        seen = {normalize(u.text) for u in split if u.split != "test"}  # what any target trains on or is chosen by
        speech = joined("general", records[len(config.corpora) :])
        general = speech.where("general", lambda u: normalize(u.text) not in seen)
    return Domains(base, domains, targets, general, shared, tuple(records))


def _chosen(config: BenchmarkConfig, labelled: Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = labelled.domains if config.sources is None else config.sources
    targets = names if config.benchmark.targets is None else config.benchmark.targets
    problems = [f"sources: there is no domain {d!r}" for d in names if d not in labelled.domains]
    problems += [f"benchmark.targets: there is no domain {d!r}" for d in targets if d not in labelled.domains]
    method = config.selection.method
    least = 2 if method == "fixed" else 3
    if len(names) < least and not problems:
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


def kept_sets(config: BenchmarkConfig, material: Domains, target: str) -> dict[str, Manifest]:
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
        foreign = [u for u in manifest if u.domain != target and normalize(u.text) not in asked]
        foreign.sort(key=lambda u: hashlib.sha256(f"{u.audio_digest}\x1f{u.id}".encode()).hexdigest())
        chosen[name] = Manifest(f"{name} without {target}", tuple(foreign[:most]))
    return {name: manifest for name, manifest in chosen.items() if len(manifest)}


def material_of(config: BenchmarkConfig, domains: Domains, target: str) -> Material:
    """What a run reads when this domain is the target and all others are its sources."""
    own, others = domains.domains[target], [domains.domains[d] for d in domains.others(target)]
    kept = kept_sets(config, domains, target)
    normalize = sentence_identity(config.language)
    dev, test = split_general(config, kept.get("general"), normalize)
    parts = [part for d in domains.domains.values() for part in (d.train, d.dev, d.test)]
    scored = [u.text for part in (*parts, *([domains.general] if domains.general else [])) for u in part]
    return Material(
        base=domains.base,
        target_domain=target,
        target_texts=as_texts(replace(own.train, name="target texts")),
        target_train=own.train,
        target_test=own.test,
        source_train=concatenate("source train", [d.train for d in others]),
        source_dev=concatenate("source dev", [d.dev for d in others]),
        source_test=kept.get("source", Manifest("source", ())),
        general_dev=dev,
        general=test,
        general_texts=rehearsed_texts(config, scored, normalize),
        dropped=(),
        corpora=domains.corpora,
    )
