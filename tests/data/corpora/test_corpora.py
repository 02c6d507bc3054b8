import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asr_tv.data.corpora as corpora
from asr_tv.config.run import CorpusConfig, LineConfig
from asr_tv.data.corpora import corpus_statistics, load_corpus, stored_manifest
from asr_tv.data.corpora.selection import select
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError, DataError
from asr_tv.store.results import Store, result_problems
from asr_tv.store.runtime import Runtime

RATE = 11_025


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A manifest of eight utterances of 0.5 to 4 s in the domains a and b; odd ids, stereo, 16 bit."""
    rows = []
    rng = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for n in range(1, 9):
        wave = rng.integers(-3000, 3000, (round(n * 0.5 * RATE), 1)).astype(np.int16).repeat(2, axis=1)
        soundfile.write(tmp_path / "clips" / f"{n}.wav", wave, RATE)
        rows.append({"id": f"../x y/{n}", "audio": f"clips/{n}.wav", "text": f"word {n % 3}", "domain": "ab"[n % 2]})
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(path: Path, **values: object) -> CorpusConfig:
    return CorpusConfig.model_validate({"kind": "manifest", "path": str(path), **values})


def test_a_corpus_is_stored_whole_and_found_again(speech: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    record = load_corpus(Runtime(store), config(speech))
    assert not record.cached
    assert result_problems(record.path) == []
    manifest = stored_manifest(record)
    assert manifest.name == "m"
    assert record.details["utterances"] == 8
    assert record.details["seconds"] == pytest.approx(18.0, abs=0.01)
    assert record.details["domains"] == {"a": 4, "b": 4}
    assert record.details["simulated_line"] is None
    assert record.reads == ()
    for utterance in manifest:
        path = Path(utterance.audio or "")
        assert path.parent == record.path / "audio"
        source = speech.parent / "clips" / f"{utterance.id[-1]}.wav"
        stored, rate = soundfile.read(path, dtype="int16")
        assert rate == RATE
        assert np.array_equal(stored, soundfile.read(source, dtype="int16")[0][:, 0])
    assert load_corpus(Runtime(store), config(speech)).cached
    (tmp_path / "elsewhere").mkdir()
    speech.rename(tmp_path / "elsewhere" / "renamed.jsonl")
    (tmp_path / "clips").rename(tmp_path / "elsewhere" / "clips")
    assert load_corpus(Runtime(store), config(tmp_path / "elsewhere" / "renamed.jsonl")).cached, (
        "a moved corpus is the same"
    )


def test_the_simulated_line_is_applied_and_named(speech: Path, tmp_path: Path) -> None:
    record = load_corpus(Runtime(Store(tmp_path / "store")), config(speech, line=LineConfig(snr_db=7)))
    assert record.details["simulated_line"] == {"codec": "gsm", "snr_db": 7.0, "seed": 0}
    for utterance in stored_manifest(record):
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
        assert info.duration == pytest.approx(int(utterance.id[-1]) * 0.5, abs=0.01)


def test_what_is_left_out_is_listed_and_counted(speech: Path, tmp_path: Path) -> None:
    record = load_corpus(
        Runtime(Store(tmp_path / "store")), config(speech, domains=("a",), max_seconds=3.5, max_per_domain=2)
    )
    assert record.details["dropped"] == {
        "another domain": 4,
        "longer than 3.5 s": 1,
        "more than 2 in its domain": 1,
    }
    listed = json.loads((record.path / "dropped.json").read_text())
    assert {row["id"] for row in listed} == {f"../x y/{n}" for n in range(1, 9)} - stored_manifest(record).by_id.keys()


def test_unknown_domains_and_nothing_left(speech: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ConfigError, match="unknown domain c, d; domains here: a, b"):
        load_corpus(Runtime(store), config(speech, domains=("a", "d", "c")))
    with pytest.raises(DataError, match=r"no utterance is left of 8: \{'longer than 0.1 s': 8\}"):
        load_corpus(Runtime(store), config(speech, max_seconds=0.1))


def test_recordings_that_decode_to_nonsense_are_all_named(speech: Path, tmp_path: Path) -> None:
    for name in ("2", "5"):
        soundfile.write(tmp_path / "clips" / f"{name}.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(DataError) as error:
        load_corpus(Runtime(Store(tmp_path / "store")), config(speech))
    assert [problem.split(":")[0] for problem in error.value.problems] == [f"utterance '../x y/{n}'" for n in (2, 5)]


def test_an_interrupted_load_goes_on_and_gives_the_same(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_corpus(Runtime(Store(tmp_path / "whole")), config(speech, line={}))
    write, written = corpora.write_audio, []

    def failing(path: Path, *rest: object) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(corpora, "write_audio", failing)
    with pytest.raises(KeyboardInterrupt):
        load_corpus(Runtime(Store(tmp_path / "store")), config(speech, line={}))
    finished = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(corpora, "write_audio", lambda path, *rest: (written.append(path), write(path, *rest)))
    record = load_corpus(Runtime(Store(tmp_path / "store")), config(speech, line={}))
    assert len(written) == len(set(written)) == 8
    assert record.digest == whole.digest
    for path, stamp in finished.items():
        assert (record.path / "audio" / path.name).stat().st_mtime_ns == stamp


def test_the_choice_among_too_many_depends_on_ids_alone() -> None:
    utterances = tuple(Utterance(id=f"u{n}", text="x", duration=1.0, domain="ab"[n % 2]) for n in range(40))
    limit = CorpusConfig(kind="asterisk", max_per_domain=5)
    kept, dropped = select(Manifest("m", utterances), limit)
    again, _ = select(Manifest("m", utterances[::-1]), limit)
    assert kept.by_id == again.by_id
    assert len(kept) == 10
    assert len(dropped) == 30
    assert [u.id for u in kept] == [u.id for u in utterances if u.id in kept.by_id]
    fewer, _ = select(Manifest("m", tuple(u for u in utterances if u.domain == "a")), limit)
    assert fewer.by_id.items() <= kept.by_id.items()


def test_statistics() -> None:
    utterances = (
        Utterance(id="1", text="good bye", domain="a", duration=1.25),
        Utterance(id="2", text="good bye", domain="a"),
        Utterance(id="3", text="one", domain="b", duration=0.5),
    )
    assert corpus_statistics(Manifest("m", utterances)) == {
        "a": {"utterances": 2, "sentences": 1, "words": 4, "seconds": None},
        "b": {"utterances": 1, "sentences": 1, "words": 1, "seconds": 0.5},
    }


@pytest.mark.real
def test_the_english_asterisk_prompts(tmp_path: Path) -> None:
    """569 entries: 10 silences, 7 tones and beeps, 1 without a recording; the other 551 are speech."""
    store = Store(tmp_path / "store")
    everything = CorpusConfig(kind="asterisk", max_seconds=600)
    record = load_corpus(Runtime(store), everything)
    assert record.details["package_as_pinned"]
    assert record.details["utterances"] == 551
    assert record.details["dropped"] == {"a sound, not speech": 17, "no recording": 1}
    assert record.details["domains"] == {
        "calls": 66,
        "conference": 85,
        "digits": 94,
        "phrases": 46,
        "services": 58,
        "spelling": 88,
        "voicemail": 114,
    }
    assert record.details["seconds"] == pytest.approx(1455.6, abs=0.1)
    manifest = stored_manifest(record)
    assert manifest.by_id["vm-goodbye"].text == "Goodbye"
    start = time.perf_counter()
    assert load_corpus(Runtime(store), everything).cached
    assert time.perf_counter() - start < 0.5
