"""The voices that a command line asks for, and the list of all that can be had."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asr_tv.errors import ConfigError

if TYPE_CHECKING:
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.synthesis.engines import Offer


def voices_asked(engine: str, named: list[str] | None, count: str | None, language: str | None) -> dict[str, Any]:
    """--voice and --voices as settings; the engine's default where neither is given.

    Raises:
        ConfigError: both are given, or --voices is neither `all` nor a number.
    """
    from asr_tv.config.synthesis import default_voices

    if count is None:
        return {"voices": named} if named else default_voices(engine, language or "en")
    if named:
        raise ConfigError("--voice and --voices: give names, or all or a number")
    if count != "all" and not (count.isdecimal() and int(count)):
        raise ConfigError(f"--voices {count}: give all or a number; --voice names one voice")
    return {"voices": count}


def checked_voices(config: "SynthesisConfig", language: str | None) -> "SynthesisConfig":
    """The configuration with its voices named; where a language is given, all of them speak it.

    Raises:
        ConfigError: voices that are not there, or speak another language.
    """
    from asr_tv.synthesis.catalogue import check_language, with_voices
    from asr_tv.synthesis.voices import open_engines

    named = with_voices(config, language or "en")
    if language is not None:
        check_language(open_engines(named), language)
    return named


def voice_rows() -> list[dict[str, Any]]:
    """Every voice that can be had, with its licence and what it needs."""
    from asr_tv.synthesis.catalogue import all_offers

    return list(_rows(all_offers()))


def _rows(offers: Mapping[str, Sequence["Offer"]]) -> Iterator[dict[str, Any]]:
    for engine, own in sorted(offers.items()):
        for offer in own:
            yield {
                "voice": f"{engine}:{offer.name}",
                "language": offer.language,
                "sex": offer.sex,
                "licence": offer.licence,
                "needs": offer.needs,
            }


def voice_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as aligned lines."""
    cells = [[r["voice"], r["language"] or "", r["sex"] or "", r["licence"], r["needs"] or "ready"] for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]) for row in cells]
