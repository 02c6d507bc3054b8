"""The data of a run: corpora loaded, split by sentence, and freed of sentences that the target's test will ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from asr_tv.config.run import AdaptConfig, CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.manifest import Dropped, Manifest, concatenate
from asr_tv.data.splits import Normalize, Shares, split_by_sentence, without_sentences
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.locate import checkpoint_stage
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.preflight import required_target
from asr_tv.pipeline.proxy.sentences import keep_out
from asr_tv.pipeline.writing.written import written_texts
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.results import Record
from asr_tv.text.normalize import get_normalizer, sentence_normalizer

_GENERAL = "general_text"
_LEAST_GENERAL = 4
GENERAL_ENGLISH = Path(str(files("asr_tv").joinpath("text/general/en.txt")))
"""Everyday English sentences, written for this package."""
TEXT_DOMAIN = "target_text"
"""The domain of sentences that come as a text file, whatever the file is called."""


@dataclass(frozen=True)
class Material:
    """Everything a run reads.

    Attributes:
        target_texts: sentences to speak; no audio.
        target_train: real recordings of the same sentences, for the topline only; None without recordings.
        target_test: real recordings that only the final scoring reads; None without recordings.
        general_dev: recordings that adaptation must not lose, which decide how much of the pretrained weights is kept.
        general: such recordings that only the final scoring reads; both are None where the configuration names none.
        general_texts: sentences to rehearse; none of them is in a recording that anything is scored on.
        corpora: a record each, source corpora first.
        proxy_texts: the target's sentences that are kept out of training for the synthetic proxy.
    """

    base: Record
    target_domain: str
    target_texts: Manifest
    target_train: Manifest | None
    target_test: Manifest | None
    source_train: Manifest
    source_dev: Manifest
    source_test: Manifest
    general_dev: Manifest | None
    general: Manifest | None
    general_texts: Manifest
    dropped: tuple[Dropped, ...]
    corpora: tuple[Record, ...]
    proxy_texts: Manifest | None = None


def sentence_identity(language: str) -> Normalize:
    """What makes two texts one sentence, in splits and pairs; whatever the scores are normalised by."""
    return get_normalizer(sentence_normalizer(language))


def bootstrap_of(config: AdaptConfig) -> Bootstrap:
    """How the configuration's intervals are computed."""
    return Bootstrap(config.scoring.resamples, config.scoring.confidence, config.seed)


def prepare(config: AdaptConfig, execute: Executor) -> Material:
    """Loads the model and the corpora and splits them.

    Raises:
        ConfigError: the target or a source domain is not in the corpora.
    """
    normalize = sentence_identity(config.language)
    base, *records = load(config, execute)
    sources = records[: len(config.corpora)]
    labelled = joined("corpus", sources)
    target_domain, target = _target(config, labelled, normalize, execute)
    source = _sources(config, labelled, target_domain, normalize)
    tested = {normalize(u.text) for u in target if u.split == "test"}
    dropped: tuple[Dropped, ...] = ()
    if config.drop_shared_sentences:
        source, dropped = without_sentences(source, tested, normalize, "its sentence is in the target's test")
    train = source.where("source train", lambda u: u.split == "train")
    general, shared = _general(records[len(sources) :], target_domain, source, target, normalize)
    dev, test = split_general(config, general, normalize)
    scored = [u.text for u in (*labelled, *(general or ()), *target)]
    texts = as_texts(target.where("target texts", lambda u: u.split == "train"))
    texts, proxy = keep_out(config, texts, normalize)
    return Material(
        base=base,
        target_domain=target_domain,
        target_texts=texts,
        target_train=_recorded(target.where("target train", lambda u: u.split == "train")),
        target_test=_recorded(target.where("target test", lambda u: u.split == "test")),
        source_train=capped(train, config.max_source_utterances),
        source_dev=source.where("source dev", lambda u: u.split == "dev"),
        source_test=source.where("source test", lambda u: u.split == "test"),
        general_dev=dev,
        general=test,
        general_texts=rehearsed_texts(config, scored, normalize),
        dropped=(*dropped, *shared),
        corpora=tuple(records),
        proxy_texts=proxy,
    )


def load(config: AdaptConfig, execute: Executor) -> list[Record]:
    """The pretrained model, then the corpora, then the general ones."""
    model = call(Step("checkpoint", config.model, alone=True), checkpoint_stage, config.model)
    corpora = (*config.corpora, *config.general)
    return execute([model, *(call(Step("corpus", _name(c)), load_corpus, c) for c in corpora)])


def _name(config: CorpusConfig) -> str:
    what = config.language if config.kind == "asterisk" else Path(config.path or "").name
    return f"{config.kind} {what}{' simulated line' if config.line else ''}"


def joined(name: str, records: Sequence[Record]) -> Manifest:
    """All corpora as one; ids carry their corpus's number where there are several, since corpora may share ids."""
    manifests = [stored_manifest(record) for record in records]
    if len(manifests) == 1:
        return replace(manifests[0], name=name)
    renamed = (Manifest(name, tuple(replace(u, id=f"{n}/{u.id}") for u in m)) for n, m in enumerate(manifests))
    return concatenate(name, renamed)


def _target(config: AdaptConfig, labelled: Manifest, normalize: Normalize, execute: Executor) -> tuple[str, Manifest]:
    target = required_target(config)
    if target.texts is not None or config.texts is not None:
        name = target.domain or TEXT_DOMAIN
        if target.texts is not None:
            texts = read_texts(Path(target.texts).expanduser(), name)
        else:
            recorded = frozenset(u.text for u in labelled if u.domain == name)
            texts = written_texts(config, name, recorded, execute)
        tests = tuple(replace(u, split="test") for u in labelled if u.domain == name)
        return name, concatenate("target", [texts, Manifest(name, tests)])
    if target.domain is None or target.domain not in labelled.domains:
        raise ConfigError(
            f"target.domain: there is no domain {target.domain!r}; domains: {', '.join(labelled.domains) or 'none'}"
        )
    recordings = labelled.where("target", lambda u: u.domain == target.domain)
    return target.domain, split_by_sentence(recordings, Shares(0.0, target.test_fraction), normalize, config.seed)


def _sources(config: AdaptConfig, labelled: Manifest, target_domain: str, normalize: Normalize) -> Manifest:
    wanted = [d for d in labelled.domains if d != target_domain] if config.sources is None else list(config.sources)
    problems = [f"sources: there is no domain {d!r}" for d in wanted if d not in labelled.domains]
    problems += [f"sources: {d!r} is the target" for d in wanted if d == target_domain]
    if problems:
        raise ConfigError([*problems, f"domains: {', '.join(labelled.domains)}"])
    manifest = labelled.where("source", lambda u: u.domain in wanted)
    return split_by_sentence(manifest, Shares(config.splits.dev, config.splits.test), normalize, config.seed)


def as_texts(manifest: Manifest) -> Manifest:
    """The sentences without their recordings."""
    texts = tuple(replace(u, origin="text", audio=None, audio_digest=None, duration=None) for u in manifest)
    if not texts:
        raise DataError("the target has no sentence to speak: target.test_fraction leaves none")
    return Manifest(manifest.name, texts)


def _recorded(manifest: Manifest) -> Manifest | None:
    recorded = manifest.where(manifest.name, lambda u: u.audio is not None)
    return recorded if len(recorded) else None


def _general(
    records: Sequence[Record], target_domain: str, source: Manifest, target: Manifest, normalize: Normalize
) -> tuple[Manifest | None, tuple[Dropped, ...]]:
    """General recordings: not of the target, and of no sentence that was spoken, trained on or chosen by."""
    if not records:
        return None, ()
    recordings = joined("general", records).where("general", lambda u: u.domain != target_domain)
    seen = {normalize(u.text) for u in source if u.split != "test"} | {normalize(u.text) for u in target}
    manifest, dropped = without_sentences(
        recordings, seen, normalize, "general: its sentence is the target's, or was used for training or selection"
    )
    return (manifest if len(manifest) else None), dropped


def split_general(
    config: AdaptConfig, general: Manifest | None, normalize: Normalize
) -> tuple[Manifest | None, Manifest | None]:
    """General recordings that choose and those that are reported, by sentence; all are reported if none has to choose.

    Raises:
        ConfigError: the share for dev leaves none of one kind.
    """
    if general is None or not len(general):
        return None, None
    share, selection = config.forgetting.dev, config.selection
    if not share or (selection.method == "fixed" and selection.fixed.pretrained_weight is not None):
        return None, general
    if len({normalize(u.text) for u in general}) < _LEAST_GENERAL:
        raise ConfigError(
            f"general: {len(general)} recordings of fewer than {_LEAST_GENERAL} sentences cannot be split into dev and "
            "test: give more, or set forgetting.dev to 0, which reports on all and chooses by none"
        )
    whole = tuple(replace(u, domain=_GENERAL, split="train") for u in general)  # drawn anew, over all domains
    drawn = split_by_sentence(replace(general, utterances=whole), Shares(0.0, 1 - share), normalize, config.seed)
    kind = {u.id: u.split for u in drawn}
    dev = general.where("general dev", lambda u: kind[u.id] == "train")
    return dev, general.where("general", lambda u: kind[u.id] == "test")


def rehearsed_texts(config: AdaptConfig, scored: Iterable[str], normalize: Normalize) -> Manifest:
    """The sentences to rehearse, without those that anything is scored on; none in a language without a list."""
    settings = config.rehearsal
    nothing = Manifest("general texts", ())
    if not settings.share or (settings.texts is None and config.language != "en"):
        return nothing
    path = Path(settings.texts) if settings.texts else GENERAL_ENGLISH
    taken = {normalize(text) for text in scored}
    return read_texts(path, _GENERAL).where(nothing.name, lambda u: normalize(u.text) not in taken)


def capped(manifest: Manifest, most: int | None) -> Manifest:
    """At most so many utterances of each domain: the first by the digest of the recording, whatever their order."""
    if most is None:
        return manifest
    kept: set[str] = set()
    for domain in manifest.domains:
        ids = sorted((u.audio_digest or "", u.id) for u in manifest if u.domain == domain)
        kept |= {name for _, name in ids[:most]}
    return manifest.where(manifest.name, lambda u: u.id in kept)


def given_terms(config: AdaptConfig) -> tuple[str, ...]:
    """The user's terms as they are spelled, from the configuration or its file; empty where they are to be found."""
    given = config.scoring.terms
    if given is None:
        return ()
    return given if isinstance(given, tuple) else tuple(u.text for u in read_texts(Path(given).expanduser(), "terms"))
