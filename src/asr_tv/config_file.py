"""Reads a run's YAML file, with `--set section.key=value` on top."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from asr_tv.config import AdaptConfig, parse_config, with_overrides
from asr_tv.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = (), *, target_texts: Path | None = None) -> AdaptConfig:
    """The configuration in a YAML file.

    Args:
        overrides: `section.key=value`, the value in YAML.
        target_texts: the new domain's sentences; takes the place of the file's target.

    Raises:
        ConfigError: every problem of file, overrides and values at once.
    """
    settings = settings_of(overrides)
    if target_texts is not None:
        settings |= {"target.texts": str(target_texts), "target.domain": None}
    return parse_config(with_overrides(_read(path), settings), path.name)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    return values


def settings_of(overrides: Sequence[str]) -> dict[str, Any]:
    """`key=value` strings as a dictionary, values read as YAML.

    Raises:
        ConfigError: every one that is not of that form.
    """
    settings: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not (equals and key.strip()):
            problems.append(f"--set {override!r}: expected section.key=value")
            continue
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(f"--set {override!r}: the value is not YAML")
    if problems:
        raise ConfigError(problems)
    return settings
