"""From the content of a YAML file to a configuration, with all problems at once."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from asr_tv.config.run import AdaptConfig, AnySection
from asr_tv.errors import ConfigError
from asr_tv.safe_text import holds_secret


def parse_config(values: Any, source: str) -> AdaptConfig:
    """The configuration in `values`, the content of a YAML file.

    Args:
        source: the file's name, for messages.

    Raises:
        ConfigError: every problem at once, each with its path; for an unknown key, the keys that exist there.
    """
    return parse_section(AdaptConfig, values, source)


def parse_section(kind: type[AnySection], values: Any, source: str) -> AnySection:
    """One section, or the whole configuration; as `parse_config`."""
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: expected keys and values, found {type(values).__name__}")
    secrets = [f"{source}: {path}: {_REFUSED}" for path in _secrets_in(values)]
    try:
        section = kind.model_validate(values)
    except ValidationError as error:
        problems = (_problems(kind, e["loc"], e["type"], e["msg"], e["input"]) for e in error.errors())
        found = [f"{source}: {problem}" for group in problems for problem in group]
        raise ConfigError([*secrets, *found]) from None
    if secrets:
        raise ConfigError(secrets)
    return section


_REFUSED = (
    "an address with a password or token in it, which records and reports would show: leave it to the environment"
)


def _secrets_in(values: Any, path: str = "") -> Iterator[str]:
    """Dotted paths of the texts that hold a password."""
    if isinstance(values, str):
        if holds_secret(values):
            yield path
        return
    if isinstance(values, list | tuple):
        values = dict(enumerate(values))
    for key, inner in values.items() if isinstance(values, dict) else ():
        yield from _secrets_in(inner, f"{path}.{key}" if path else str(key))


_SWITCHES = {False: "no, off and false", True: "yes, on and true"}
_PLAINER = {"model_type": "expected keys and values", "tuple_type": "expected a list"}


def _problems(kind: type[BaseModel], loc: tuple[int | str, ...], error: str, message: str, value: Any) -> Iterable[str]:
    path, section = _walked(kind, loc)
    if error == "extra_forbidden":
        return [f"unknown key {'.'.join([*path, str(loc[-1])])}; keys here: {', '.join(sorted(section.model_fields))}"]
    if error == "missing":
        return [f"{'.'.join(path)} is missing"]
    if isinstance(value, bool) and error == "string_type":
        return [f"{'.'.join(path)}: YAML reads {_SWITCHES[value]} as {str(value).lower()}: write it in quotes"]
    message = _PLAINER.get(error, message.removeprefix("Value error, "))
    if not loc:  # of _sections_agree: each line has its path
        return message.split("\n")
    return [f"{'.'.join(path or map(str, loc))}: {message} (found {value!r:.60})"]


def _walked(section: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """The part of a pydantic location that a YAML file knows, without names of types, and the section it ends in."""
    path = []
    for part in loc:
        if isinstance(part, int):
            path.append(str(part))
        elif part in section.model_fields:
            path.append(part)
            section = _section_in(section.model_fields[part].annotation) or section
    return path, section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((section for section in inner if section is not None), None)


def with_overrides(values: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with dotted paths replaced, as `--set training.epochs=2` asks; the input is not changed.

    A number in a path is a place in a list: `corpora.0.line.snr_db`.
    """
    result: Any = values
    for path, value in settings.items():
        result = _replaced(result, path.split("."), value)
    return dict(result)


def _replaced(inner: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(inner, list | tuple) and head.isdecimal() and int(head) < len(inner):
        place = int(head)
        return [*inner[:place], _replaced(inner[place], rest, value), *inner[place + 1 :]]
    keys = inner if isinstance(inner, dict) else {}
    return {**keys, head: _replaced(keys.get(head), rest, value)}
