"""Texts of the source domains that are spoken to be replayed: their own sentences, or what a text model writes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import AdaptConfig, ReplayConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, concatenate, in_domain
from asr_tv.data.replay import SPOKEN_ANEW, drawn_texts, even_shares
from asr_tv.data.splits import Normalize
from asr_tv.data.text_models import kept_text_model, text_model_stage, written_like_stage, written_sentences
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Done, Executor, Step, call
from asr_tv.pipeline.material import Material, sentence_identity
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.pipeline.trainings import Scope, training_seed
from asr_tv.store.records import Purpose
from asr_tv.store.results import Record
from asr_tv.text.normalize import sentence_normalizer


def with_replayed(config: AdaptConfig, material: Material, scopes: Sequence[Scope], execute: Executor) -> list[Scope]:
    """The scopes with clips of the texts that each of them replays, where the configuration asks for such.

    ceil(share x the target's sentences) texts, divided evenly over the scope's source domains, in the run's voices and
    takes. None of them is a sentence that anything chooses or scores by.
    """
    replay = config.replay
    if not replay.share or replay.origin not in SPOKEN_ANEW:
        return list(scopes)
    scored = _scored(material)
    spoken = []
    for scope in scopes:
        texts = _texts(config, scope, scored, execute)
        what = " ".join(("replay", scope.fold)).strip()
        spoken.append(synthesis_call(config, what, texts, config.synthesis, run=scope.run))
    records = execute(spoken)
    return [replace(s, replayed=stored_manifest(record)) for s, record in zip(scopes, records, strict=True)]


def _scored(material: Material) -> frozenset[str]:
    """Every sentence that a choice or a score rests on."""
    sets = (material.source_dev, material.source_test, material.target_test, material.general_dev, material.general)
    return frozenset(u.text for manifest in sets for u in manifest or ())


def _texts(config: AdaptConfig, scope: Scope, scored: frozenset[str], execute: Executor) -> Manifest:
    """The texts that one scope replays.

    Raises:
        ConfigError: there is no source domain to replay.
    """
    kept = {domain: Path(path) for domain, path in config.replay.writers if domain != scope.fold}
    wanted = math.ceil(config.replay.share * len({u.text for u in scope.target_clips}))
    others = scope.source_real.where("source texts", lambda u: u.domain not in kept)
    purpose: Purpose = "choice" if scope.fold else "model"
    memory = Memory(config.replay, config.language, training_seed(config), scope.fold, purpose, scope.run)
    return replayed_texts(memory, others, kept, wanted, scored, execute)


@dataclass(frozen=True)
class Memory:
    """How texts of earlier domains are remembered: the settings, and what the steps of a run are called.

    Attributes:
        seed: of the texts that are drawn or written.
        fold, purpose, run: as in `Step`.
    """

    replay: ReplayConfig
    language: str
    seed: int
    fold: str = ""
    purpose: Purpose = "model"
    run: str = ""

    @property
    def normalizer(self) -> str:
        """Says which sentences are the same."""
        return sentence_normalizer(self.language)

    @property
    def identity(self) -> Normalize:
        return sentence_identity(self.language)

    def step(self, subject: str) -> Step:
        return Step("write", subject, fold=self.fold, run=self.run, purpose=self.purpose)


def replayed_texts(
    memory: Memory,
    texts: Manifest,
    kept: Mapping[str, Path],
    wanted: int,
    scored: frozenset[str],
    execute: Executor,
) -> Manifest:
    """So many texts of earlier domains, evenly over these, without sentences that anything is scored by.

    Args:
        texts: of earlier domains, with or without recordings.
        kept: domain -> file of a text model.

    Raises:
        ConfigError: there is no earlier domain.
    """
    domains = tuple(sorted({*texts.domains, *kept}))
    if not domains:
        raise ConfigError("replay.share: there is no source domain to replay")
    shares = even_shares(wanted, domains)
    unheard = {memory.identity(text) for text in scored}
    if memory.replay.origin == "texts":
        allowed = texts.where(texts.name, lambda u: memory.identity(u.text) not in unheard)
        return _as_texts(drawn_texts(allowed, shares, memory.seed))
    models = text_models(memory, texts, kept, execute)
    how = (memory.normalizer, memory.replay.novel)
    calls = [
        call(memory.step(f"like {domain}"), written_like_stage, models[domain], domain, 2 * n + 20, memory.seed, how)
        for domain, n in shares.items()
    ]
    found = []
    for (domain, n), record in zip(shares.items(), execute(calls), strict=True):
        written = written_sentences(record, domain)
        found += [u for u in written if memory.identity(u.text) not in unheard][:n]
    return Manifest("replayed texts", tuple(found))


def text_models(memory: Memory, texts: Manifest, kept: Mapping[str, Path], execute: Executor) -> dict[str, Record]:
    """A text model of each domain: from its texts, or as it was kept."""
    order = memory.replay.order
    calls = {}
    for domain in texts.domains:
        own = _as_texts(texts.where(f"{domain} texts", in_domain(domain)))
        step = memory.step(f"text model of {domain}")
        calls[domain] = call(step, text_model_stage, own, order, memory.normalizer)
    for domain, path in kept.items():
        calls[domain] = call(memory.step(f"text model of {domain}"), kept_text_model, path.expanduser())
    return dict(zip(calls, execute([*calls.values()]), strict=True))


def _as_texts(manifest: Manifest) -> Manifest:
    """Without recordings, each sentence of a domain once."""
    seen: dict[tuple[str, str], None] = {}
    kept = []
    for u in manifest:
        if (u.domain, u.text) not in seen:
            seen[u.domain, u.text] = None
            kept.append(replace(u, origin="text", audio=None, audio_digest=None, duration=None, speaker=None))
    return concatenate(manifest.name, [Manifest(manifest.name, tuple(kept))])


def recited(done: Sequence[Done]) -> list[dict[str, Any]]:
    """What was written like each domain: the largest request of each, with the size of what is kept of the domain."""
    sizes = {d.step.subject: d.record.details["bytes"] for d in done if d.record.stage == "text_model"}
    largest: dict[str, dict[str, Any]] = {}
    for d in done:
        if d.record.stage == "written" and "verbatim" in d.record.details:
            row = dict(d.record.details)
            if row["distinct"] > largest.get(row["domain"], {"distinct": -1})["distinct"]:
                largest[row["domain"]] = row | {"bytes": sizes.get(f"text model of {row['domain']}", 0)}
    return [largest[domain] for domain in sorted(largest)]
