"""Languages by name, tag or code; what YAML makes of "no"; and paths from home and from other folders."""

from pathlib import Path

import pytest

from asr_tv.config.corpora import CorpusConfig
from asr_tv.config.file import load_config, section_of
from asr_tv.config.language import language_code
from asr_tv.config.synthesis import SynthesisConfig, default_voices
from asr_tv.data.corpora.texts import read_texts
from asr_tv.errors import ConfigError, DataError

FIXED = "selection: {method: fixed, fixed: {start: pretrained, augmentation: false, scaling_coef: 0}}\n"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"),
        ("english", "en"),
        ("English", "en"),
        ("en-US", "en"),
        ("en_GB", "en"),
        ("zh-TW", "zh"),
        ("zh-Hant-HK", "zh"),
        ("cmn", "zh"),
        ("Chinese", "zh"),
        ("German", "de"),
        ("pt-BR", "pt"),
        ("sr-Latn", "sr"),
        ("nb", "no"),
        ("yue", "yue"),
        (" fr ", "fr"),
        ("Haitian Creole", "ht"),
    ],
)
def test_codes_tags_and_names(written: str, code: str) -> None:
    assert language_code(written) == code
    assert CorpusConfig(kind="asterisk", language=written).language == code


@pytest.mark.parametrize("written", ["", "qqqqqqqq", "1", "?"])
def test_what_is_no_language(written: str) -> None:
    with pytest.raises(ValueError, match="not a language: write its code, such as en"):
        language_code(written)


@pytest.mark.parametrize(
    ("line", "told"), [("language: no", "language"), ("name: yes", "name"), ("model: off", "model")]
)
def test_what_yaml_reads_as_a_switch(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{'' if told == 'name' else 'name: n'}\n{line}\n{FIXED}")
    with pytest.raises(ConfigError, match=rf"{told}: YAML reads (no, off|yes, on) .*: write it in quotes"):
        load_config(path)


def test_a_language_without_spaces_is_scored_by_characters(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for normalizer in ("english", "basic", "none"):
        path.write_text(f"name: n\nmodel: m\nlanguage: zh\nscoring: {{normalizer: {normalizer}}}\n{FIXED}")
        with pytest.raises(ConfigError, match="use characters"):
            load_config(path)
    path.write_text(f"name: n\nmodel: m\nlanguage: zh-CN\nscoring: {{normalizer: characters}}\n{FIXED}")
    assert load_config(path).language == "zh"


def test_home_is_home_everywhere_and_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.txt").write_text("A sentence to say.\n")
    assert len(read_texts(Path("~/my.txt"), "d")) == 1
    (tmp_path / "c.yaml").write_text(f"name: n\n{FIXED}")
    assert load_config(Path("~/c.yaml")).name == "n"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^other\.txt: no such file in {tmp_path}$"):
        read_texts(Path("other.txt"), "d")
    with pytest.raises(ConfigError, match=rf"other\.yaml: there is no such file in {tmp_path}"):
        load_config(Path("other.yaml"))


def test_each_engine_has_its_own_voice() -> None:
    assert default_voices("espeak-ng", "it") == {"voices": ["it"]}
    assert default_voices("piper", "en") == default_voices("another", "it") == {}
    for engine, language in (("bark", "en"), ("piper", "it")):
        with pytest.raises(ConfigError, match=f"--voice: the engine {engine} has no default voice for {language}"):
            default_voices(engine, language)
    assert SynthesisConfig(engine="espeak-ng", voices=("en-us",)).engine == "espeak"
    with pytest.raises(ConfigError, match="voices: the default is Piper's, and engine is espeak"):
        section_of(SynthesisConfig, ["engine=espeak-ng"])
    config = section_of(SynthesisConfig, ["bark.temperature=0.6", "takes=3"], {"engine": "piper", "takes": 1})
    assert (config.bark.temperature, config.takes) == (0.6, 3)
