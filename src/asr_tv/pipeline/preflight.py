"""What can be known to be wrong before a run starts: cheap to check, and all of it told at once."""

from functools import partial
from pathlib import Path
from typing import TypeVar

from asr_tv.audio.vad import SpeechDetector
from asr_tv.config.run import AdaptConfig, CorpusConfig, TargetConfig
from asr_tv.data.corpora.asterisk import prompt_set
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.corpora.slurp import slurp_source
from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.text_files import looked_in
from asr_tv.decoding.options import check_engine
from asr_tv.devices import choose_device
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.models.directory import CONFIG
from asr_tv.models.family import family_of
from asr_tv.pipeline.proxy.voices import proxy_speech
from asr_tv.pipeline.writing.written import read_request
from asr_tv.synthesis.catalogue import check_language, with_voices
from asr_tv.synthesis.voices import open_engines
from asr_tv.training.settings import settings_for
from asr_tv.vectors.published.folder import read_card, require_whole

Run = TypeVar("Run", bound=AdaptConfig)


def check(config: AdaptConfig) -> None:
    """Looks at model, target, engine, voices, device and corpora without decoding a recording.

    Raises:
        ConfigError, DataError: every problem of all of them.
    """
    proxy = [partial(_check_proxy, config)] if config.proxy else []
    gathered(partial(_check_target, config), partial(check_material, config), *proxy)


def check_material(config: AdaptConfig) -> None:
    """All but the target.

    Raises:
        ConfigError, DataError: every problem of all of them.
    """
    corpora = {corpus.model_dump_json(): corpus for corpus in (*config.corpora, *config.general)}
    terms = config.scoring.terms
    gathered(
        partial(_check_model, config),
        *([partial(read_texts, Path(terms).expanduser(), "terms")] if isinstance(terms, str) else []),
        *([partial(read_texts, Path(config.rehearsal.texts), "general")] if config.rehearsal.texts else []),
        partial(_check_voices, config),
        partial(choose_device, config.run.device),
        *([SpeechDetector] if config.gate else []),
        *([partial(_check_published, config.vector.published)] if config.vector.published else []),
        *(partial(_check_corpus, corpus) for corpus in corpora.values()),
    )


def named_voices(config: Run) -> Run:
    """The configuration with the names of voices in place of `all` and numbers.

    Raises:
        ConfigError: there are not so many.
    """
    synthesis = with_voices(config.synthesis, config.language)
    return config if synthesis is config.synthesis else config.model_copy(update={"synthesis": synthesis})


def _check_voices(config: AdaptConfig) -> None:
    check_language(open_engines(config.synthesis), config.language)


def _check_proxy(config: AdaptConfig) -> None:
    check_language(open_engines(proxy_speech(config)), config.language)


def _check_model(config: AdaptConfig) -> None:
    """Settings that its kind does not know, where the model is a directory here; others are known once they are had."""
    family = family_of(Path(config.model)) if (Path(config.model) / CONFIG).is_file() else None
    gathered(
        *([partial(settings_for, config.training, family)] if family else []),
        partial(check_engine, config.scoring.engine, family or "whisper", config.run.device),
    )


def required_target(config: AdaptConfig) -> TargetConfig:
    """The target.

    Raises:
        ConfigError: there is none.
    """
    if config.target is None:
        raise ConfigError("no target: set target.domain, or give the new domain's sentences with --target-text FILE")
    return config.target


def _check_target(config: AdaptConfig) -> None:
    target = required_target(config)
    if target.texts is not None:
        read_texts(Path(target.texts).expanduser(), "target")
    elif config.texts is not None:
        read_request(config.texts, target.domain or "", config.language)


def _check_published(folder: str) -> None:
    path = Path(folder).expanduser()
    require_whole(path, read_card(path))


def _check_corpus(corpus: CorpusConfig) -> None:
    """A corpus of huggingface is known by its name alone."""
    path = Path(corpus.path or "")
    if corpus.kind == "asterisk":
        prompt_set(corpus.language)
    elif corpus.kind == "manifest":
        read_manifest(path.expanduser(), need_audio=False)
    elif corpus.kind == "slurp":
        slurp_source(corpus)
    elif corpus.kind in ("nemo", "lhotse") and not path.expanduser().is_file():
        raise DataError(f"{corpus.path}: no such file{looked_in(path)}")
    elif corpus.kind in ("audiofolder", "kaldi", "openslr") and not path.expanduser().is_dir():
        raise DataError(f"{corpus.path}: no such folder{looked_in(path)}")
