import dataclasses
import hashlib
import sys

import pytest

from asr_tv.errors import DataError
from asr_tv.models.packaged import PACKAGED, PackagedModel, install_hint, packages_of

PARTS = {
    "fake_part1": {"data/model.bin.part1": b"first", "data/config.json": b"{}"},
    "fake_part2": {"model": b"second"},
}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages whose import would fail: only their files may be read."""
    for package, files in PARTS.items():
        for name, content in {"__init__.py": b"raise RuntimeError", **files}.items():
            (tmp_path / package / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / package / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def model(**changes):
    fake = PackagedModel(
        name="x/y",
        extra="demo",
        parts=(("fake_part1", "data/model.bin.part1"), ("fake_part2", "model")),
        config=("fake_part1", "data/config.json"),
        sha256=hashlib.sha256(b"firstsecond").hexdigest(),
        config_sha256=hashlib.sha256(b"{}").hexdigest(),
    )
    return dataclasses.replace(fake, **changes)


def test_parts_are_found_without_importing_their_packages(packages):
    parts, config = model().verified_files()
    assert [part.read_bytes() for part in parts] == [b"first", b"second"]
    assert config == packages / "fake_part1" / "data" / "config.json"
    assert not {"fake_part1", "fake_part2"} & set(sys.modules)
    assert model().source == "fake_part1 + fake_part2"


def test_other_bytes_than_pinned_are_refused(packages):
    with pytest.raises(DataError, match=r"part1 \+ .*model: sha256 is .*, expected 0123; reinstall fake_part1"):
        model(sha256="0123").verified_files()
    (packages / "fake_part1" / "data" / "config.json").write_text("{ }")
    with pytest.raises(DataError, match=r"config\.json: sha256 is"):
        model().verified_files()
    with pytest.raises(DataError, match="sha256 is"):
        model(parts=tuple(reversed(model().parts))).verified_files()


def test_a_missing_part_is_a_missing_model(packages):
    (packages / "fake_part2" / "model").unlink()
    assert model().files() is None
    assert model(parts=(("no_such_package", "x"),)).files() is None
    with pytest.raises(DataError, match=r"fake_part1 \+ fake_part2: is not installed"):
        model().verified_files()


def test_the_models_that_come_as_packages():
    assert [p.extra for p in packages_of("openai/whisper-tiny.en")] == ["demo"]
    assert [p.extra for p in packages_of("openai/whisper-base")] == ["multilingual", None]
    assert packages_of("openai/whisper-small") == []
    assert all(len(p.sha256) == len(p.config_sha256) == 64 for p in PACKAGED)
    assert install_hint("openai/whisper-base").endswith('pip install "asr-tv[multilingual]"')
    assert 'openai/whisper-tiny.en (pip install "asr-tv[demo]")' in install_hint("openai/whisper-small")
