"""SpeechT5 with its HiFi-GAN vocoder through transformers: English, in the voice of an x-vector.

Its decoder needs dropout when it speaks; each clip's comes from a stream of its own, whatever stands beside it.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.devices import choose_device
from asr_tv.errors import ConfigError, DataError
from asr_tv.memory import memory_errors
from asr_tv.models.hub import repository
from asr_tv.store.results import file_digest
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.arrays import read_npz
from asr_tv.synthesis.engines.neural import ModelFolder, each_voice, find_model, generator, levelled, stream_seed
from asr_tv.synthesis.engines.sentence_pieces import pieces

ANY = "any"
"""In a speaker's place: one drawn for each clip, as in the SYN2REAL paper."""

_ADAPTER_VERSION = 1
_NEEDED = ("config.json", "spm_char.model")
_WORDS_AT_ONCE = 40
_FRAMES_A_TOKEN = 20.0
"""The longest that transformers lets the decoder go on, for each token of the text."""
_WHERE = "synthesis.speecht5.embeddings"
Vectors = Mapping[str, np.ndarray[Any, Any]]
"""Name or number of a speaker -> x-vector [dimensions]."""


@dataclass(frozen=True)
class _Voice:
    info: VoiceInfo
    model: ModelFolder
    speaker: str


class SpeechT5Synthesizer:
    """The voices of `synthesis.voices`: a model, such as `microsoft/speecht5_tts` or a directory, `#` and a speaker.

    A speaker is a number or a name in `synthesis.speecht5.embeddings`, or `any` for another one in each clip.
    """

    name = "speecht5"
    alone = True

    def __init__(self, config: SynthesisConfig) -> None:
        """Finds weights and x-vectors; loads no weights.

        Raises:
            ConfigError: they cannot be had, a voice names no speaker, or an unknown one.
        """
        if util.find_spec("sentencepiece") is None:
            raise ConfigError("synthesis.engine: speecht5 needs the package sentencepiece (extra speecht5 of asr-tv)")
        self._config = config.speecht5
        self._device = choose_device(self._config.device)
        self._vocoder = find_model(self._config.vocoder, ("config.json",), "synthesis.speecht5.vocoder")
        self._vectors, self._vectors_digest = read_vectors(self._config.embeddings)
        self._voices = dict(each_voice(config.voices, self._voice))
        self._loaded: dict[Path, _SpeechT5] = {}

    @property
    def batch_size(self) -> int:
        return self._config.batch_size

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(voice.info for voice in self._voices.values())

    def settings(self, seed: int) -> Mapping[str, float]:  # noqa: ARG002  (the draws of a clip are its dropout)
        return {}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave a request at the vocoder's sampling rate.

        Raises:
            MemoryError: the device's memory does not suffice for so many.
        """
        waves: dict[int, Wave] = {}
        with memory_errors(), torch.no_grad():
            for model in dict.fromkeys(self._voices[request.voice].model.path for request in requests):
                places = [n for n, r in enumerate(requests) if self._voices[r.voice].model.path == model]
                spoken = self._of_one_model(self._speecht5(model), [requests[n] for n in places])
                waves |= dict(zip(places, spoken, strict=True))
        return [waves[n] for n in range(len(requests))]

    def _of_one_model(self, model: "_SpeechT5", requests: Sequence[SpeechRequest]) -> list[Wave]:
        texts = [pieces(request.text, _WORDS_AT_ONCE) for request in requests]
        parts: list[list[torch.Tensor]] = [[] for _ in requests]
        for number in range(max(map(len, texts), default=0)):
            turn = [n for n, of_clip in enumerate(texts) if number < len(of_clip)]
            said = model.say(
                [texts[n][number] for n in turn],
                [stream_seed(requests[n].seed, number) for n in turn],
                np.stack([self._vector(requests[n]) for n in turn]),
            )
            for n, wave in zip(turn, said, strict=True):
                parts[n].append(wave)
        return [levelled(torch.cat(clip)) if clip else np.zeros(0, np.float32) for clip in parts]

    def _vector(self, request: SpeechRequest) -> np.ndarray[Any, Any]:
        speaker = self._voices[request.voice].speaker
        if speaker == ANY:
            names = sorted(self._vectors)
            speaker = names[stream_seed(request.seed, len(names)) % len(names)]
        return self._vectors[speaker]

    def _speecht5(self, model: Path) -> "_SpeechT5":
        if model not in self._loaded:
            self._loaded = {model: _SpeechT5(model, self._vocoder.path, self._device)}
        return self._loaded[model]

    def _voice(self, voice: str) -> tuple[str, _Voice]:
        name, _, speaker = voice.partition("#")
        if not speaker:
            raise ConfigError(
                f"synthesis.voices: {voice}: names no speaker; add # and a number or a name of "
                f"{self._config.embeddings}, or #{ANY} for another one in each clip"
            )
        if speaker != ANY and speaker not in self._vectors:
            some = ", ".join(list(self._vectors)[:6])
            raise ConfigError(f"synthesis.voices: {voice}: unknown speaker; of the {len(self._vectors)}: {some}, {ANY}")
        model = find_model(name, _NEEDED, f"synthesis.voices: {voice}", also=("*.json",))
        label = f"{model.name}#{speaker}"
        version = (
            f"speecht5 {model.version}, vocoder {self._vocoder.version}, x-vectors {self._vectors_digest}, "
            f"transformers {metadata.version('transformers')}, torch {torch.__version__}, adapter {_ADAPTER_VERSION}"
        )
        return label, _Voice(VoiceInfo(label, version, _sampling_rate(self._vocoder.path), "en"), model, speaker)


def read_vectors(source: str) -> tuple[Vectors, str]:
    """X-vectors from an .npz, a .parquet or a dataset of the hub, and their digest.

    An .npz holds one vector a name, or one array [speakers, dimensions]; a Parquet file the columns `filename` and
    `xvector`. Those of a table are known by their number and by their name.

    Raises:
        ConfigError: they cannot be had or are not x-vectors.
    """
    path = Path(source).expanduser()
    if path.suffix in (".npz", ".parquet"):
        files = [path]
    else:
        try:
            files = sorted(repository(source, ("**/*.parquet",), dataset=True).rglob("*.parquet"))
        except DataError as error:
            raise ConfigError(f"{_WHERE}: {source}: {problem}" for problem in error.problems) from error
    if missing := [file for file in files if not file.is_file()]:
        raise ConfigError(f"{_WHERE}: {missing[0]}: no such file")
    vectors = _npz_vectors(path) if path.suffix == ".npz" else _parquet_vectors(files)
    sizes = {vector.shape for vector in vectors.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or not all(np.isfinite(v).all() for v in vectors.values()):
        raise ConfigError(f"{_WHERE}: {source}: holds no x-vectors of one length, only {sorted(sizes)[:5]}")
    return vectors, "sha256:" + "".join(_digest(file) for file in files)[:16]


@functools.cache
def _digest(path: Path) -> str:
    return file_digest(path)


def _npz_vectors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        arrays = {name: np.asarray(array, np.float32) for name, array in read_npz(path).items()}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{_WHERE}: {path}: not an .npz of numbers ({error})") from error
    if len(arrays) == 1 and (table := next(iter(arrays.values()))).ndim == 2:
        return {str(number): row for number, row in enumerate(table)}
    return arrays


def _parquet_vectors(files: Sequence[Path]) -> dict[str, np.ndarray[Any, Any]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(f"{_WHERE}: Parquet needs the package pyarrow (extra speecht5 of asr-tv)") from None
    try:
        rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
        vectors = [np.asarray(row["xvector"], np.float32) for row in rows]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{_WHERE}: {files[0]}: no column xvector ({error})") from error
    numbered = {str(number): vector for number, vector in enumerate(vectors)}
    named = {str(row["filename"]): vector for row, vector in zip(rows, vectors, strict=True) if row.get("filename")}
    return numbered | named


def _sampling_rate(vocoder: Path) -> int:
    from transformers import SpeechT5HifiGanConfig

    config: Any = SpeechT5HifiGanConfig.from_pretrained(vocoder)  # nosec B615 - a local folder
    return int(config.sampling_rate)


class _SpeechT5:
    """The loaded model and vocoder."""

    def __init__(self, folder: Path, vocoder: Path, device: torch.device) -> None:
        from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5Tokenizer

        loading: tuple[Any, Any, Any] = (SpeechT5Tokenizer, SpeechT5ForTextToSpeech, SpeechT5HifiGan)
        self._tokenizer = loading[0].from_pretrained(folder)
        self._model = loading[1].from_pretrained(folder).eval().to(device)
        self._vocoder = loading[2].from_pretrained(vocoder).eval().to(device)
        self._device = device
        self._streams: list[torch.Generator] = []
        self._model.speecht5.decoder.prenet._consistent_dropout = self._dropout

    def say(self, texts: Sequence[str], seeds: Sequence[int], vectors: np.ndarray[Any, Any]) -> list[torch.Tensor]:
        """One wave a text; the vocoder hears each spectrogram without the padding that a batch gives it."""
        self._streams = [generator(seed) for seed in seeds]
        encoded = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(self._device)
        spectrograms, lengths = self._model.generate(
            encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            speaker_embeddings=torch.from_numpy(vectors).to(self._device),
            maxlenratio=_FRAMES_A_TOKEN,
            return_output_lengths=True,
        )
        waves = [self._vocoder(s[:length]).cpu() for s, length in zip(spectrograms, lengths, strict=True)]
        reduction = self._model.config.reduction_factor
        for n, tokens in enumerate(encoded["attention_mask"].sum(1).tolist()):
            # A clip that does not end by itself ends with the longest text of its batch: spoken again, alone.
            if len(texts) > 1 and lengths[n] > int(tokens * _FRAMES_A_TOKEN / reduction) * reduction:
                waves[n] = self.say(texts[n : n + 1], seeds[n : n + 1], vectors[n : n + 1])[0]
        return waves

    def _dropout(self, hidden: torch.Tensor, probability: float) -> torch.Tensor:
        """Of the last frame [clips, frames, units], which alone is looked at; each clip's from its own stream."""
        drawn = torch.stack([torch.rand(hidden.shape[-1], generator=stream) for stream in self._streams])
        kept = (drawn < probability).to(hidden.device)
        last = torch.where(kept, hidden[:, -1], 0) / (1 - probability)
        return torch.cat([hidden[:, :-1], last[:, None]], dim=1)
