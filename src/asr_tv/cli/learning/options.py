"""Options of test-time adaptation, as `asr-tv transcribe` and `asr-tv test-time` have them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.errors import ConfigError

if TYPE_CHECKING:
    from asr_tv.config.test_time import Adaptation


class Adapt(StrEnum):
    """Names on the command line; `none` decodes as without the option."""

    none = "none"
    pseudo_label = "pseudo-label"
    suta = "suta"
    continual = "continual"
    fast_slow = "fast-slow"


AdaptOption = Annotated[Adapt, typer.Option(help="Adapt a CTC model to each recording before it is decoded")]
AdaptSetOption = Annotated[
    list[str] | None,
    typer.Option("--adapt-set", help="key=value of the adaptation, such as steps=5 or reset=drift; repeatable"),
]


def adaptation_of(adapt: Adapt, settings: list[str] | None, *, listed: bool) -> "Adaptation | None":
    """The adaptation that the options ask for.

    Args:
        listed: the recordings stand in a manifest, which has an order.

    Raises:
        ConfigError: every setting that is unknown or invalid; settings without a method; no manifest.
    """
    if adapt is not Adapt.none and not listed:
        raise ConfigError("--adapt: is for a JSONL manifest, whose order is taken for time")
    if adapt is Adapt.none:
        if settings:
            raise ConfigError("--adapt-set: sets something of a method; choose one with --adapt")
        return None
    return parsed_adaptation(adapt.value, settings or [])


def parsed_adaptation(method: str, settings: list[str]) -> "Adaptation":
    """A method with its settings; a ConfigError lists all problems."""
    from asr_tv.config.file import section_of
    from asr_tv.config.test_time import Adaptation

    return section_of(Adaptation, settings, {"method": method.replace("-", "_")})


def tell_adapted(told: Mapping[str, Any]) -> None:
    """Says on standard error what adaptation did, and what it could not adapt to."""
    if "loss_before" in told:
        losses = f"loss {told['loss_before']:.3f} to {told['loss_after']:.3f}"
        entropy = f"entropy {told['entropy_before']:.3f} to {told['entropy_after']:.3f}"
        typer.echo(f"adapted: {told['changed']} of {told['recordings']} texts changed, {losses}, {entropy}", err=True)
    counts = {**told["plain"], "nothing but blanks": told["all_blank"], "resets": told["resets"]}
    for what, count in counts.items():
        if count:
            typer.echo(f"adapted: {what}: {count}{' decoded unadapted' if what in told['plain'] else ''}", err=True)
