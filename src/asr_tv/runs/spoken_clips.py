"""Clips to check an export on where there are no recordings: everyday English sentences in an installed voice."""

from asr_tv.config.synthesis import SynthesisConfig
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError
from asr_tv.pipeline.material import GENERAL_ENGLISH
from asr_tv.runs.export import drawn
from asr_tv.store.payload import MANIFEST
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.synthesis.voices import open_engines

LANGUAGE = "en"
"""Every Whisper knows English, and an export that is broken in any language is broken in this one."""
VOICES = (SynthesisConfig(takes=1), SynthesisConfig(engine="espeak", voices=(LANGUAGE,), takes=1))
"""The first that is installed speaks."""
_WORDS = range(4, 16)


def spoken_clips(runtime: Runtime, count: int) -> Manifest:
    """At most `count` clips with their texts, the same ones each time; spoken once for each store.

    Raises:
        ConfigError: no voice is installed.
    """
    sentences = [u for u in read_texts(GENERAL_ENGLISH, "everyday English") if len(u.text.split()) in _WORDS]
    chosen = Manifest("everyday English, by TTS", tuple(drawn(sentences, count)))
    record = synthesize(runtime, chosen, _installed_voice(), seed=0)
    return Manifest(chosen.name, read_manifest(record.path / MANIFEST, outside=True).utterances)


def _installed_voice() -> SynthesisConfig:
    problems: list[str] = []
    for config in VOICES:
        try:
            open_engines(config)
        except ConfigError as error:
            problems += error.problems
        else:
            return config
    none = "no voice is installed to speak clips in, on which the export would be checked"
    raise ConfigError([f"{none}: --manifest names recordings, --clips 0 exports without a check", *problems])
