"""Speech synthesis set after the source recordings: speaking rate, level and band, and the augmentation's noise."""

from collections.abc import Sequence
from typing import Any

from asr_tv.config.run import AdaptConfig, SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.describing.description import Description
from asr_tv.describing.stage import describe, read_described, sampled
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.likeness.gaps import gaps_between, snr_range, suggestions
from asr_tv.pipeline.material import Material, bootstrap_of, sentence_identity
from asr_tv.pipeline.speech import synthesis_call

_ESPEAK_RATES = (80.0, 450.0)


def matched(config: AdaptConfig, material: Material, execute: Executor, run: str = "") -> AdaptConfig:
    """The configuration with what `synthesis.match` asks for put in: the same one where it asks for nothing.

    The source recordings of the training split decide, and nothing of the target. The texts of a sample of them are
    spoken once as the configuration has it; what is then measured of both gives the settings, which enter the keys.
    """
    if config.synthesis.match is None or not len(material.source_train):
        return config
    sample = sampled(material.source_train)
    once = config.synthesis.model_copy(update={"takes": 1, "voices": config.synthesis.voices[:1]})
    (record,) = execute([synthesis_call(config, "source as configured", sample, once, run=run)])
    real, clips = described(config, sample, stored_manifest(record), execute, run, pitch=False)
    return _with_settings(config, real, clips)


def described(
    config: AdaptConfig, real: Manifest, clips: Manifest, execute: Executor, run: str = "", *, pitch: bool = True
) -> tuple[tuple[Description, ...], tuple[Description, ...]]:
    """Both sets described; reading the source recordings serves the model where their pitch is left out."""
    purpose: Any = "scoring" if pitch else "model"
    calls = []
    for what, manifest in (("source recordings", real), ("source clips", clips)):
        for_match = "" if pitch else " to match"
        step = Step("describe", f"{what}{for_match}", run=run, purpose=purpose, options=config.run, alone=True)
        calls.append(call(step, describe, manifest, config.language, pitch=pitch))
    first, second = (read_described(record) for record in execute(calls))
    return first, second


def _with_settings(config: AdaptConfig, real: Sequence[Description], clips: Sequence[Description]) -> AdaptConfig:
    bootstrap = bootstrap_of(config)
    gaps = gaps_between(real, clips, sentence_identity(config.language), bootstrap)
    found = suggestions(gaps, real, {})
    changes: dict[str, Any] = {}
    if "letters_a_second" in found:
        changes |= _slower(config.synthesis, found["letters_a_second"].value)
    if "level_dbfs" in found:
        changes["gain_db"] = found["level_dbfs"].value
    if "band_edge_hz" in found:
        changes["high_hz"] = found["band_edge_hz"].value
    noise = snr_range(real)
    augmentation = config.augmentation.model_copy(update={} if noise is None else {"snr_db": noise})
    synthesis = config.synthesis.model_copy(update=changes)
    return config.model_copy(update={"synthesis": synthesis, "augmentation": augmentation})


def _slower(synthesis: SynthesisConfig, ratio: Any) -> dict[str, Any]:
    """The speaking rates of the engines that have a setting for it, divided by the ratio; other engines keep theirs."""
    low, high = synthesis.length_scale
    slowest, fastest = _ESPEAK_RATES
    rates = tuple(min(max(rate / ratio, slowest), fastest) for rate in synthesis.espeak.words_per_minute)
    return {
        "length_scale": (round(low * ratio, 4), round(high * ratio, 4)),
        "espeak": synthesis.espeak.model_copy(update={"words_per_minute": rates}),
    }
