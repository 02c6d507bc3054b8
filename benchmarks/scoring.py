"""Transcription: seconds per utterance and WER, against the usual programs.

    python benchmarks/scoring.py --utterances 100

All use one checkpoint, tuned on target speech in a short context with the demo's recipe. The reference is transformers'
generate with batch 1 at 30 s. openai-whisper and faster-whisper run if they are installed, with the same weights.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, show, wer

from asr_tv.audio.recordings import read_audio
from asr_tv.config.run import Engine
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.devices import choose_device, choose_precision
from asr_tv.models.whisper import load_model, load_tokenizer
from asr_tv.store.payload import MODEL
from asr_tv.training.trainer import Job, train

REFERENCE = "transformers, batch 1, 30 s"
Texts = dict[str, str]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="passes over the set; the median counts")
    parser.add_argument("--only", nargs="+", help="names of systems, as the table has them")
    options = parser.parse_args()
    bench = load(options.config, options.store)
    device = choose_device(options.device)
    test = _test(bench, options.utterances)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = _tuned(bench, device, Path(scratch))
        rows = []
        for name, open_system in SYSTEMS.items():
            if not options.only or name in options.only:
                rows += _measured(name, open_system, checkpoint, bench, device, test, options.repeats)
    reference = next((row["seconds/utterance"] for row in rows if row["system"] == REFERENCE), float("nan"))
    for row in rows:
        row["ratio"] = reference / row["seconds/utterance"]
    show(rows, options.json)


def _test(bench: Bench, most: int) -> Manifest:
    """Recordings that the checkpoint was not trained on: the target's test set, then the source dev set."""
    test = bench.material.target_test
    assert test is not None
    utterances = [*test, *bench.material.source_dev][:most]
    return Manifest("benchmark", tuple(utterances))


def _tuned(bench: Bench, device: torch.device, scratch: Path) -> Path:
    job = Job(bench.mixed, bench.config.training, choose_precision("auto", device), 17, bench.config.language)
    train(bench.material.base.path / MODEL, job, scratch, device)
    return scratch / MODEL


def _measured(
    name: str, open_system: Any, checkpoint: Path, bench: Bench, device: torch.device, test: Manifest, repeats: int
) -> Iterator[dict[str, Any]]:
    try:
        transcribe: Callable[[Sequence[Utterance]], Texts] = open_system(checkpoint, bench, device)
    except ImportError as error:
        print(f"{name}: left out: {error}")
        return
    transcribe(test.utterances[:8])
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        texts = transcribe(test.utterances)
        seconds.append((time.perf_counter() - started) / len(test))
    yield {
        "system": name,
        "utterances": len(test),
        "seconds/utterance": sorted(seconds)[len(seconds) // 2],
        "WER %": wer(test, texts),
    }


def _ours(context: Any, batch_size: int, engine: Engine = "torch") -> Any:
    def open_system(checkpoint: Path, bench: Bench, device: torch.device) -> Any:
        if engine != "torch":
            import ctranslate2  # noqa: F401 - without it there is no row
        decoding = decoding_for(context, bench.config.language, 200, device.type, engine=engine)
        recogniser = WhisperRecogniser(checkpoint, decoding, device)
        return lambda utterances: recogniser.transcribe(utterances, batch_size, lambda n: None)

    return open_system


def _transformers(batch_size: int) -> Any:
    def open_system(checkpoint: Path, bench: Bench, device: torch.device) -> Any:
        from transformers import WhisperFeatureExtractor

        model = load_model(checkpoint).to(device)
        extractor, tokenizer = WhisperFeatureExtractor.from_pretrained(checkpoint), load_tokenizer(checkpoint)

        @torch.inference_mode()
        def transcribe(utterances: Sequence[Utterance]) -> Texts:
            texts = {}
            for start in range(0, len(utterances), batch_size):
                batch = utterances[start : start + batch_size]
                waves = [read_audio(Path(u.audio or "")) for u in batch]
                features = extractor(waves, sampling_rate=16_000, return_tensors="pt").input_features.to(device)
                ids = model.generate(features, max_new_tokens=200, num_beams=1, do_sample=False)
                found = tokenizer.batch_decode(ids, skip_special_tokens=True)
                texts.update({u.id: text for u, text in zip(batch, found, strict=True)})
            return texts

        return transcribe

    return open_system


def _openai(checkpoint: Path, bench: Bench, device: torch.device) -> Any:
    import whisper

    from asr_tv.models.openai import transformers_name
    from asr_tv.models.tensors import open_tensors

    config, tensors = load_model(checkpoint).config, open_tensors(checkpoint)
    model = whisper.model.Whisper(_dimensions(config))
    names = {name: transformers_name(name) for name in model.state_dict()}
    model.load_state_dict({ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}, strict=False)
    model = model.to(device)
    options = whisper.DecodingOptions(
        language=bench.config.language, without_timestamps=True, fp16=device.type == "cuda"
    )

    def transcribe(utterances: Sequence[Utterance]) -> Texts:
        texts = {}
        for u in utterances:
            wave = whisper.pad_or_trim(torch.from_numpy(read_audio(Path(u.audio or ""))))
            mel = whisper.log_mel_spectrogram(wave.to(device), n_mels=model.dims.n_mels)
            texts[u.id] = whisper.decode(model, mel, options).text
        return texts

    return transcribe


def _dimensions(config: Any) -> Any:
    from whisper.model import ModelDimensions

    return ModelDimensions(
        config.num_mel_bins,
        config.max_source_positions,
        config.d_model,
        config.encoder_attention_heads,
        config.encoder_layers,
        config.vocab_size,
        config.max_target_positions,
        config.d_model,
        config.decoder_attention_heads,
        config.decoder_layers,
    )


def _faster_whisper(compute_type: str) -> Any:
    def open_system(checkpoint: Path, bench: Bench, device: torch.device) -> Any:
        from ctranslate2.converters import TransformersConverter
        from faster_whisper import WhisperModel

        folder = checkpoint.parent / f"ct2-{compute_type}"
        if not folder.exists():
            TransformersConverter(str(checkpoint), copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(
                str(folder), quantization=compute_type
            )
        kind = "cuda" if device.type == "cuda" else "cpu"
        model = WhisperModel(str(folder), device=kind, compute_type=compute_type)

        def transcribe(utterances: Sequence[Utterance]) -> Texts:
            texts = {}
            for u in utterances:
                wave = read_audio(Path(u.audio or ""))
                segments, _ = model.transcribe(
                    wave, language=bench.config.language, beam_size=1, temperature=0.0, without_timestamps=True,
                    condition_on_previous_text=False,
                )  # fmt: skip
                texts[u.id] = " ".join(segment.text for segment in segments)
            return texts

        return transcribe

    return open_system


SYSTEMS = {
    REFERENCE: _transformers(1),
    "transformers, batch 16, 30 s": _transformers(16),
    "openai-whisper, decode, 30 s": _openai,
    "faster-whisper fp32": _faster_whisper("float32"),
    "faster-whisper int8": _faster_whisper("int8"),
    "asr-tv, batch 16, 30 s": _ours("full", 16),
    "asr-tv, batch 16, short context": _ours("dynamic", 16),
    "asr-tv, batch 64, short context": _ours("dynamic", 64),
    "asr-tv, CTranslate2 fp32, batch 16, 30 s": _ours("full", 16, "ctranslate2"),
    "asr-tv, CTranslate2 fp32, batch 16, short context": _ours("dynamic", 16, "ctranslate2"),
    "asr-tv, CTranslate2 int8, batch 16, short context": _ours("dynamic", 16, "ctranslate2_int8"),
}


if __name__ == "__main__":
    main()
