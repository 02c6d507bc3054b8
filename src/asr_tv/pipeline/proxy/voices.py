"""Who speaks the synthetic proxy: engines that training has not heard."""

from asr_tv.config.run import AdaptConfig, SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.catalogue import with_voices
from asr_tv.synthesis.engines import voices_by_engine


def proxy_speech(config: AdaptConfig) -> SynthesisConfig:
    """How the proxy's sentences are spoken: each once, by one of its voices.

    Raises:
        ConfigError: an engine speaks the training's clips as well.
    """
    assert config.proxy is not None  # nosec B101 - for the type checker
    changed = {"voices": config.proxy.voices, "takes": 1, "voices_per_text": 1}
    speech = with_voices(config.synthesis.model_copy(update=changed), config.language)
    if heard := sorted({*voices_by_engine(speech)} & {*voices_by_engine(config.synthesis)}):
        raise ConfigError(
            f"proxy.voices: {', '.join(heard)} speaks the training's clips, too: a proxy needs an engine that training "
            "has not heard"
        )
    return speech
