"""What a MODEL argument may be, and the settings that asr-tv keeps beside a model's weights."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_tv.errors import ConfigError, DataError
from asr_tv.store.payload import MODEL

if TYPE_CHECKING:
    from asr_tv.store.records import Record

SETTINGS = "asr_tv.json"
_OPENAI_FILE = "model.pt"


def model_path(model: str) -> str:
    """A run's model, the file of an export for openai-whisper, or else the argument itself."""
    path = Path(model)
    if (path / "report.json").is_file() and (path / "model").is_dir():
        return str(path / "model")
    if (path / _OPENAI_FILE).is_file() and not (path / "config.json").exists():
        return str(path / _OPENAI_FILE)
    return model


def model_settings(model: str) -> dict[str, Any]:
    """How to decode a model that asr-tv made; for any other, the full context and no language.

    Raises:
        DataError: the file beside the weights is not what asr-tv writes.
        ConfigError: its audio context is invalid.
    """
    path = Path(model)
    file = (path.parent if path.is_file() else path) / SETTINGS
    try:
        settings: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise DataError(f"{file}: not JSON: {error}") from error
    if not (isinstance(settings, dict) and isinstance(settings.get("language", "en"), str)):
        raise DataError(f"{file}: not what asr-tv writes beside a model")
    context = settings.get("audio_context", "full")
    return settings | {"audio_context": parsed_context(context, f"{file}: audio_context")}


def parsed_context(value: object, where: str) -> Any:
    """An audio context from an option or a file.

    Raises:
        ConfigError: it is invalid.
    """
    from asr_tv.config.parsing import parse_section
    from asr_tv.config.run import TrainingConfig

    try:
        return parse_section(TrainingConfig, {"audio_context": value}, where).audio_context
    except ConfigError:
        raise ConfigError(f"{where} {value!r}: full, dynamic, or a number of seconds up to 30") from None


def write_model(record: "Record", settings: dict[str, Any], out: Path) -> None:
    """The record's model as a folder, with the settings to decode it."""
    shutil.copytree(record.path / MODEL, out, dirs_exist_ok=True)
    (out / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
