"""Reads a run's YAML file, with `--set section.key=value` on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from asr_tv.config.parsing import parse_section, with_overrides
from asr_tv.config.run import AdaptConfig, Section
from asr_tv.errors import ConfigError

Kind = TypeVar("Kind", bound=Section)


def load_config(path: Path, overrides: Sequence[str] = (), *, target_texts: Path | None = None) -> AdaptConfig:
    """The configuration in a YAML file.

    Args:
        overrides: `section.key=value`, the value in YAML.
        target_texts: the new domain's sentences; takes the place of the file's target.

    Raises:
        ConfigError: every problem of file, overrides and values at once.
    """
    chosen = {} if target_texts is None else {"target.texts": str(target_texts), "target.domain": None}
    return _configured(AdaptConfig, path, overrides, chosen)


def read_config(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """As `load_config`, for a configuration of another kind."""
    return _configured(kind, path, overrides, {})


def section_of(kind: type[Kind], overrides: Sequence[str], given: Mapping[str, Any] = MappingProxyType({})) -> Kind:
    """A section's defaults with what is `given` and then `key=value` on top.

    Raises:
        ConfigError: every problem of the overrides at once.
    """
    settings, problems = _settings(overrides)
    return _checked(kind, dict(given), settings, "--set", problems)


def _configured(kind: type[Kind], path: Path, overrides: Sequence[str], chosen: dict[str, Any]) -> Kind:
    settings, problems = _settings(overrides)
    try:
        values = _read(path)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    return _checked(kind, values, settings | chosen, path.name, problems)


def _checked(
    kind: type[Kind], values: dict[str, Any], settings: Mapping[str, Any], source: str, problems: Sequence[str]
) -> Kind:
    try:
        section = parse_section(kind, with_overrides(values, settings), source)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    if problems:
        raise ConfigError(problems)
    return section


def _settings(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """`key=value` strings as a dictionary, values read as YAML, and what is wrong with those that are not so."""
    settings: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not (equals and key.strip()):
            problems.append(f"--set {override!r}: expected section.key=value")
            continue
        try:
            settings[key.strip()] = _parse(value)
        except (yaml.YAMLError, RecursionError):
            problems.append(f"--set {override!r}: the value is not YAML")
    return settings, problems


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: more than {_MAX_BYTES} bytes, which no configuration has")
        values = _parse(content.decode("utf-8-sig"))
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ConfigError(f"{path}: there is no such file{where}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    return values


_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000
"""Keys and values with every alias written out: a few lines of aliases of aliases stand for billions."""


class _Loader(yaml.SafeLoader):
    """Plain YAML in which no key may stand twice; the standard loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} stands twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > _MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"aliases stand for more than {_MAX_NODES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Number of nodes below and with this one, an alias counted as what it stands for."""
    if (size := known.get(id(node), 0)) is None:
        raise yaml.MarkedYAMLError(problem="an alias stands for what it is part of", problem_mark=node.start_mark)
    if not size:
        known[id(node)] = None
        value = node.value
        inner = [n for pair in value for n in pair] if isinstance(node, yaml.MappingNode) else value
        size = 1 + sum(_written_out(n, known) for n in inner) if isinstance(inner, list) else 1
        known[id(node)] = size
    return size
