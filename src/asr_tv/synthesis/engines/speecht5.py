"""SpeechT5 with its HiFi-GAN vocoder through transformers: English, in the voice of an x-vector.

Its decoder needs dropout at inference; each clip draws it from its own random stream, whatever its batch.
"""

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
from asr_tv.models.hub import repository
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import Offer, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import FoundVoice
from asr_tv.synthesis.engines.arrays import Array, read_npz
from asr_tv.synthesis.engines.neural import ModelFolder, NeuralSynthesizer, find_model, generator, stream_seed, to_wave
from asr_tv.synthesis.engines.sentence_pieces import pieces

ANY = "any"
"""In place of a speaker: one is drawn for each clip, as in the SYN2REAL paper."""

_ADAPTER_VERSION = 1
_NEEDED = ("config.json", "spm_char.model")
_WORDS_AT_ONCE = 40
_FRAMES_PER_TOKEN = 20.0
"""Output limit that transformers sets the decoder, per token of the text."""
_WHERE = "synthesis.speecht5.embeddings"
Vectors = Mapping[str, Array]
"""Name or number of a speaker -> x-vector [dimensions]."""


@dataclass(frozen=True)
class _Voice(FoundVoice):
    model: ModelFolder
    speaker: str


class SpeechT5Synthesizer(NeuralSynthesizer[_Voice]):
    """The voices of `synthesis.voices`: a model, such as `microsoft/speecht5_tts` or a directory, `#` and a speaker.

    A speaker is a number or a name in `synthesis.speecht5.embeddings`, or `any` for a random one in each clip.

    Raises:
        ConfigError: weights or x-vectors are not found, or a voice names no speaker or an unknown one.
    """

    name = "speecht5"

    def __init__(self, config: SynthesisConfig) -> None:
        if util.find_spec("sentencepiece") is None:
            raise ConfigError("synthesis.engine: speecht5 needs the package sentencepiece (extra speecht5 of asr-tv)")
        self._config = config.speecht5
        self._device = choose_device(self._config.device)
        self._vocoder = find_model(self._config.vocoder, ("config.json",), "synthesis.speecht5.vocoder")
        self._vectors, self._vectors_digest = read_vectors(self._config.embeddings)
        super().__init__(config.voices, self._config.batch_size)
        self._loaded: dict[Path, _SpeechT5] = {}

    def _group(self, label: str) -> Path:
        return self._voices[label].model.path

    def _speak_group(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        model = self._speecht5(self._group(requests[0].voice))
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
        return [to_wave(torch.cat(clip)) if clip else np.zeros(0, np.float32) for clip in parts]

    def _vector(self, request: SpeechRequest) -> Array:
        speaker = self._voices[request.voice].speaker
        if speaker == ANY:
            names = sorted(self._vectors)
            speaker = names[stream_seed(request.seed, len(names)) % len(names)]
        return self._vectors[speaker]

    def _speecht5(self, model: Path) -> "_SpeechT5":
        if model not in self._loaded:
            self._loaded = {model: _SpeechT5(model, self._vocoder.path, self._device)}
        return self._loaded[model]

    def _find_voice(self, name: str) -> _Voice:
        repository, _, speaker = name.partition("#")
        where = f"synthesis.voices: {name}"
        if not speaker:
            raise ConfigError(
                f"{where}: names no speaker; add # and a number or a name of {self._config.embeddings}, "
                f"or #{ANY} for a random one in each clip"
            )
        if speaker != ANY and speaker not in self._vectors:
            some = ", ".join(list(self._vectors)[:6])
            raise ConfigError(f"{where}: unknown speaker; of the {len(self._vectors)}: {some}, {ANY}")
        model = find_model(repository, _NEEDED, where, also=("*.json",))
        label = f"{model.name}#{speaker}"
        version = (
            f"speecht5 {model.version}, vocoder {self._vocoder.version}, x-vectors {self._vectors_digest}, "
            f"transformers {metadata.version('transformers')}, torch {torch.__version__}, adapter {_ADAPTER_VERSION}"
        )
        return _Voice(VoiceInfo(label, version, _sampling_rate(self._vocoder.path), "en"), model, speaker)


def read_vectors(source: str) -> tuple[Vectors, str]:
    """X-vectors from an .npz file, a .parquet file or a dataset of the hub, and their digest.

    An .npz file holds one vector per name, or one array [speakers, dimensions]; a Parquet file has the columns
    `filename` and `xvector`, and its rows are known by number and by name.

    Raises:
        ConfigError: the files are not found, or do not hold x-vectors.
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
    return vectors, "sha256:" + "".join(cached_digest(file) for file in files)[:16]


def _npz_vectors(path: Path) -> dict[str, Array]:
    try:
        arrays = {name: np.asarray(array, np.float32) for name, array in read_npz(path).items()}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{_WHERE}: {path}: not an .npz of numbers ({error})") from error
    if len(arrays) == 1 and (table := next(iter(arrays.values()))).ndim == 2:
        return {str(number): row for number, row in enumerate(table)}
    return arrays


def _parquet_vectors(files: Sequence[Path]) -> dict[str, Array]:
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
    def __init__(self, folder: Path, vocoder: Path, device: torch.device) -> None:
        from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5Tokenizer

        loading: tuple[Any, Any, Any] = (SpeechT5Tokenizer, SpeechT5ForTextToSpeech, SpeechT5HifiGan)
        self._tokenizer = loading[0].from_pretrained(folder)
        self._model = loading[1].from_pretrained(folder).eval().to(device)
        self._vocoder = loading[2].from_pretrained(vocoder).eval().to(device)
        self._device = device
        self._streams: list[torch.Generator] = []
        self._model.speecht5.decoder.prenet._consistent_dropout = self._dropout

    def say(self, texts: Sequence[str], seeds: Sequence[int], vectors: Array) -> list[torch.Tensor]:
        """One wave per text; the vocoder gets each spectrogram without the padding of its batch."""
        self._streams = [generator(seed) for seed in seeds]
        encoded = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(self._device)
        spectrograms, lengths = self._model.generate(
            encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            speaker_embeddings=torch.from_numpy(vectors).to(self._device),
            maxlenratio=_FRAMES_PER_TOKEN,
            return_output_lengths=True,
        )
        waves = [self._vocoder(s[:length]).cpu() for s, length in zip(spectrograms, lengths, strict=True)]
        reduction = self._model.config.reduction_factor
        for n, tokens in enumerate(encoded["attention_mask"].sum(1).tolist()):
            # A clip that reaches its own limit was stopped by the batch's, which is the longest text's: speak it alone.
            if len(texts) > 1 and lengths[n] > int(tokens * _FRAMES_PER_TOKEN / reduction) * reduction:
                waves[n] = self.say(texts[n : n + 1], seeds[n : n + 1], vectors[n : n + 1])[0]
        return waves

    def _dropout(self, hidden: torch.Tensor, probability: float) -> torch.Tensor:
        """Dropout on the last of [clips, frames, units], the only frame used; each clip draws from its own stream."""
        drawn = torch.stack([torch.rand(hidden.shape[-1], generator=stream) for stream in self._streams])
        kept = (drawn < probability).to(hidden.device)
        last = torch.where(kept, hidden[:, -1], 0) / (1 - probability)
        return torch.cat([hidden[:, :-1], last[:, None]], dim=1)


def offers() -> list[Offer]:
    """Its model with any x-vector, as one pattern."""
    name = "microsoft/speecht5_tts#SPEAKER"
    return [Offer(name, "en", "MIT", needs="weights from the hub", pattern=True)]
