"""Pocket TTS (100M, six languages): models from the hub or a folder, in their voices or in cloned ones."""

import difflib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.config.synthesis import PocketConfig
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.hub import repository
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import NOT_STATED, Offer, Sex, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import (
    FoundVoice,
    OneByOne,
    files_digest,
    open_voices,
    package_folders,
    scale_to_peak,
)

REPOSITORIES = {False: "kyutai/pocket-tts-without-voice-cloning", True: "kyutai/pocket-tts"}
"""On the hub, by whether the weights can clone; those that can ask for consent to their terms."""
LANGUAGES = {
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "spanish": "es",
}
"""Model -> the language that it speaks."""
SAMPLING_RATE = 24_000
_ADAPTER_VERSION = 1
_MODEL, _TOKENIZER, _CONFIG = "model.safetensors", "tokenizer.json", "config.yaml"
_HUB_PATH = re.compile(r'"?hf://[\w./-]+/([\w.-]+)(@\w+)?"?')
_CC0, _BY, _NC = "CC0", "CC BY 4.0", "CC BY-NC 4.0"


@dataclass(frozen=True)
class Preset:
    """A voice that comes with the models."""

    language: str
    sex: Sex
    licence: str


def _presets(language: str, licence: str, **sexes: str) -> dict[str, Preset]:
    names = [(name, sex) for sex, listed in sexes.items() for name in listed.split()]
    return {name: Preset(language, "female" if sex == "female" else "male", licence) for name, sex in names}


PRESETS = {
    **_presets("english", _CC0, male="marius javert bill_boerst peter_yearsley stuart_bell", female="caro_davy"),
    **_presets("english", _BY, female="alba anna vera fantine eponine azelma mary jane eve"),
    **_presets("english", _BY, male="charles paul george michael"),
    **_presets("english", _NC, female="cosette", male="jean"),
    **_presets("italian", NOT_STATED, male="giovanni"),
    **_presets("spanish", NOT_STATED, female="lola"),
    **_presets("german", NOT_STATED, male="juergen"),
    **_presets("portuguese", NOT_STATED, male="rafael"),
    **_presets("french", NOT_STATED, female="estelle"),
}
"""Voices with the licences of kyutai/tts-voices: donated and LibriVox recordings are CC0, VCTK's and Alba Mackenna's
CC BY 4.0, Expresso's and EARS's CC BY-NC 4.0; the others' folder states none."""


@dataclass(frozen=True)
class _Voice(FoundVoice):
    model: Path
    config: Path
    prompt: Path


class PocketSynthesizer(OneByOne[_Voice]):
    """The voices of `synthesis.voices`: a model and a voice, such as `english#alba`.

    A model is a language, from the hub, or a folder with config.yaml, model.safetensors, tokenizer.json and
    embeddings/NAME.safetensors. A voice that is a path of a recording is cloned, where `synthesis.pocket.clone` is on.

    Raises:
        ConfigError: pocket-tts is not installed, weights cannot be had, a voice is unknown, or cloning is off.
    """

    name = "pocket"
    clips_worth_a_process = 8

    def __init__(self, config: SynthesisConfig) -> None:
        if util.find_spec("pocket_tts") is None:
            raise ConfigError("synthesis.engine: pocket needs the package pocket-tts (extra pocket of asr-tv)")
        self._config = config.pocket
        self._voices = open_voices(config.voices, lambda name: _find(name, config.pocket))
        self._models: dict[Path, Any] = {}
        self._states: dict[str, Any] = {}

    def settings(self, seed: int) -> Mapping[str, float]:  # noqa: ARG002  (a clip's random draws are the model's)
        return {}

    def _clip(self, request: SpeechRequest) -> Wave:
        import torch

        voice = self._voices[request.voice]
        with _one_thread(), torch.random.fork_rng(devices=[]):
            model = self._model(voice)
            if request.voice not in self._states:
                self._states[request.voice] = model.get_state_for_audio_prompt(voice.prompt, truncate=True)
            torch.manual_seed(request.seed % 2**63)
            wave = model.generate_audio(self._states[request.voice], request.text)
        return scale_to_peak(wave.detach().float().cpu().numpy().reshape(-1))

    def _model(self, voice: _Voice) -> Any:
        if voice.model not in self._models:
            from pocket_tts import TTSModel

            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
                file.write(local_config(voice.config.read_text(encoding="utf-8"), voice.model))
                file.flush()
                model: Any = TTSModel.load_model(config=file.name, temp=self._config.temperature)
            model.max_decoder_frames_per_call = 1  # else as many as happen to wait, which rounds differently
            self._models[voice.model] = model
        return self._models[voice.model]


def local_config(text: str, folder: Path) -> str:
    """A model's configuration with its files in a folder instead of on the hub."""
    return _HUB_PATH.sub(lambda found: json.dumps(str(folder / found[1])), text)


def offers() -> list[Offer]:
    """The voices that come with the models; their weights are on the hub."""
    needs = "weights from the hub" if util.find_spec("pocket_tts") else "pip install pocket-tts"
    listed = [
        Offer(f"{preset.language}#{name}", LANGUAGES[preset.language], preset.licence, preset.sex, needs)
        for name, preset in PRESETS.items()
    ]
    return [*listed, Offer("MODEL#RECORDING.wav", None, "its speaker's consent", needs=needs, pattern=True)]


def voice_licence(voice: str) -> str:
    """The licence of a voice; a cloned one has that of its recording, which is not known here."""
    preset = PRESETS.get(voice.rpartition("#")[2])
    return preset.licence if preset else NOT_STATED


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums in any number of processes; the package also sets the number when it is imported."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _find(name: str, config: PocketConfig) -> _Voice:
    model, _, voice = name.partition("#")
    where = f"synthesis.voices: pocket:{name}"
    if not voice:
        raise ConfigError(f"{where}: names no voice: write MODEL#VOICE, such as english#alba")
    cloned = Path(voice).expanduser() if "." in Path(voice).name else None
    if cloned is not None and not config.clone:
        raise ConfigError(f"{where}: would clone a speaker: with their consent, set synthesis.pocket.clone to true")
    if cloned is not None and not cloned.is_file():
        raise ConfigError(f"{where}: no file {cloned}")
    local = Path(model).expanduser()
    found = (
        (local, local / _CONFIG)
        if local.is_dir()
        else (_from_hub(model, None if cloned else voice, where, config), _packaged_config(model, where))
    )
    prompt = cloned or found[0] / "embeddings" / f"{voice}.safetensors"
    if missing := [file for file in (found[0] / _MODEL, found[1], prompt) if not file.is_file()]:
        raise ConfigError(f"{where}: no file {', no file '.join(map(str, missing))}")
    preset = PRESETS.get(voice)
    info = VoiceInfo(
        f"{local.name}#{prompt.stem}",
        _version(*found, prompt, config),
        SAMPLING_RATE,
        LANGUAGES.get(model),
        sex=preset.sex if preset else None,
        licence=voice_licence(name),
    )
    return _Voice(info, found[0], found[1], prompt)


def _version(model: Path, config: Path, prompt: Path, settings: PocketConfig) -> str:
    weights = files_digest(model, [model / _MODEL, model / _TOKENIZER])
    temperature = "" if settings.temperature is None else f", temperature {settings.temperature:g}"
    heard = cached_digest(prompt)[:16]
    return (
        f"pocket-tts {metadata.version('pocket-tts')}, model sha256:{weights}, config sha256:"
        f"{cached_digest(config)[:16]}, voice sha256:{heard}{temperature}, adapter {_ADAPTER_VERSION}"
    )


def _from_hub(model: str, voice: str | None, where: str, config: PocketConfig) -> Path:
    """The folder of a language's model, with the voice in it.

    Raises:
        ConfigError: an unknown language or voice, or the hub does not give them.
    """
    if model not in LANGUAGES:
        near = difflib.get_close_matches(model, LANGUAGES, n=3, cutoff=0.3) or list(LANGUAGES)
        raise ConfigError(f"{where}: no folder, and pocket-tts has no model {model!r}; models: {', '.join(near)}")
    if voice is not None and voice not in PRESETS:
        near = difflib.get_close_matches(voice, PRESETS, n=5, cutoff=0.3) or list(PRESETS)[:8]
        raise ConfigError(f"{where}: pocket-tts has no voice {voice!r}; of its {len(PRESETS)}: {', '.join(near)}")
    files = [f"languages/{model}/{file}" for file in (_MODEL, _TOKENIZER)]
    if voice is not None:
        files.append(f"languages/{model}/embeddings/{voice}.safetensors")
    try:
        return repository(REPOSITORIES[config.clone], files) / "languages" / model
    except DataError as error:
        raise ConfigError(f"{where}: {problem}" for problem in error.problems) from error


def _packaged_config(model: str, where: str) -> Path:
    file = package_folders("pocket_tts")[0] / "config" / f"{model}.yaml"
    if not file.is_file():
        raise ConfigError(f"{where}: this release of pocket-tts has no model {model!r}")
    return file
