"""What a classifier can say of a speaker or a room; asr-tv ships none, another package can offer one."""

from collections.abc import Mapping
from importlib import metadata
from typing import Protocol

from asr_tv.audio.recordings import Wave
from asr_tv.errors import ConfigError

ENTRY_POINTS = "asr_tv.describers"
"""Entry-point group in which another package registers a callable without arguments that returns a `Describer`."""
UNKNOWN = "unknown"
CLASSIFIED = ("gender", "age", "accent", "emotion", "intent", "c50")
"""Attributes of DeSTA2 (arXiv 2409.20007) that no measurement gives: unknown unless a describer says them."""


class Describer(Protocol):
    """A classifier of clips; its version is part of the keys of what it says."""

    @property
    def version(self) -> str: ...

    def describe(self, wave: Wave, sampling_rate: int) -> Mapping[str, str]:
        """Attribute -> what it is, for those of `CLASSIFIED` that it knows of a clip [samples]."""


Describers = Mapping[str, Describer]
"""By the name of their entry point."""


def installed() -> dict[str, Describer]:
    """The describers of all installed packages, by name.

    Raises:
        ConfigError: one cannot be loaded.
    """
    found: dict[str, Describer] = {}
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda p: p.name):
        try:
            found[point.name] = point.load()()
        except Exception as error:  # another package may raise anything when it is imported
            raise ConfigError(f"describer {point.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return found


def classify(describers: Describers, wave: Wave, sampling_rate: int) -> dict[str, str]:
    """All that is said of a clip [samples]; "unknown" where nobody says anything, the first describer's word counts."""
    said = dict.fromkeys(CLASSIFIED, UNKNOWN)
    for name in sorted(describers, reverse=True):
        told = describers[name].describe(wave, sampling_rate)
        said |= {key: str(value) for key, value in told.items() if key in said and value}
    return said
