"""The voices that can be had: listed with their licences, and chosen where `voices` is `all` or a number."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import zip_longest

from asr_tv.config.language import language_code
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import ENGINES, FETCHED, Offer, split_voice
from asr_tv.synthesis.engines.licences import forbids_commerce
from asr_tv.synthesis.voices import Engines

ALL = "all"


def all_offers() -> Mapping[str, Sequence[Offer]]:
    """What each engine of the table offers on this machine, by engine; loads no weights and fetches nothing."""
    return {name: _offers(name) for name in ENGINES}


def with_voices(config: SynthesisConfig, language: str) -> SynthesisConfig:
    """The configuration with names in place of `all` and numbers, alone or behind an engine's name.

    Raises:
        ConfigError: an engine offers no voice of the language, or fewer than asked for.
    """
    if not any(_asks(split_voice(voice, config.engine)[1]) for voice in config.voices):
        return config
    names: list[str] = []
    for voice in config.voices:
        engine, name = split_voice(voice, config.engine)
        prefix = "" if engine == config.engine else f"{engine}:"
        names += [f"{prefix}{one}" for one in _chosen(engine, name, language, config)] if _asks(name) else [voice]
    voices = tuple(dict.fromkeys(names))
    return config.model_copy(update={"voices": voices, "voices_per_text": config.voices_per_text or 1})


def check_language(engines: Engines, language: str) -> None:
    """Refuses voices that speak another language than the texts.

    Raises:
        ConfigError: every such voice.
    """
    wrong = [
        (name, voice)
        for name, engine in engines.items()
        for voice in engine.voices
        if voice.language is not None and not _speaks(voice.language, language)
    ]
    if wrong:
        raise ConfigError(
            f"synthesis.voices: {name}:{voice.label} speaks {voice.language}, and the texts are in {language}"
            for name, voice in wrong
        )


def spread(offers: Sequence[Offer], count: int) -> list[Offer]:
    """The first offers of each sex and accent by turns, in their order."""
    groups: dict[tuple[str, str], list[Offer]] = {}
    for offer in offers:
        groups.setdefault((offer.language or "", offer.sex or ""), []).append(offer)
    rounds = zip_longest(*groups.values())
    return [offer for turn in rounds for offer in turn if offer is not None][:count]


def _asks(name: str) -> bool:
    return name == ALL or name.isdecimal()


def _offers(engine: str) -> Sequence[Offer]:
    """None of an engine of another package, whose module need not list any."""
    row = ENGINES.get(engine)
    listed = row and getattr(import_module(row.module), "offers", None)
    found: Sequence[Offer] = listed() if listed else ()
    return found


def _chosen(engine: str, name: str, language: str, config: SynthesisConfig) -> list[str]:
    offered = [offer for offer in _offers(engine) if not offer.pattern]
    spoken = [offer for offer in offered if offer.language is not None and _speaks(offer.language, language)]
    # What was fetched before must not decide which voices are drawn.
    here = [o for o in spoken if o.needs in ("", FETCHED)]
    free = [o for o in here if config.allow_noncommercial or not forbids_commerce(o.licence)]
    wanted = len(free) if name == ALL else int(name)
    if not free or not 0 < wanted <= len(free):
        needs = ", ".join(sorted({offer.needs for offer in spoken} - {"", FETCHED})[:3])
        raise ConfigError(
            f"synthesis.voices: {engine}:{name}: {engine} offers {len(free)} voices of {language} here"
            f"{f'; others need: {needs}' if needs else ''}: asr-tv doctor lists what can be named"
        )
    return [offer.name for offer in spread(free, wanted)]


def _speaks(voice: str, language: str) -> bool:
    try:
        return language_code(voice) == language_code(language)
    except ValueError:
        return True  # a name of the voice's makers, which says nothing
