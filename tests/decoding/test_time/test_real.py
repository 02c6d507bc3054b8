"""SUTA on real weights and real speech: hama's phoneme recogniser on Asterisk's prompts, in noise and on a line."""

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.audio.channel import add_noise, simulate_line
from asr_tv.audio.recordings import Wave, limit_peak, resample
from asr_tv.config.run import CorpusConfig, LineConfig
from asr_tv.config.test_time import Adaptation
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.test_time.methods import adapted_texts
from asr_tv.models.locate import resolve_model
from asr_tv.scoring.adapted import AdaptedScore, adapted_score
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.text.spoken_form import spoken_form

pytestmark = pytest.mark.real
DOMAINS = frozenset({"voicemail", "conference", "calls", "services"})


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(Path(".store"))


@pytest.fixture(scope="module")
def model(store: Store) -> AdaptableCtc:
    pytest.importorskip("hama")
    return AdaptableCtc(resolve_model("hama", store).path / MODEL, torch.device("cpu"))


@pytest.fixture(scope="module")
def prompts(store: Store) -> list[Utterance]:
    """Sixty of 3 to 12 words, with phonemes of the package's own G2P for texts."""
    hama = pytest.importorskip("hama")
    corpus = stored_manifest(load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en")))
    rows = [u for u in corpus if u.domain in DOMAINS and 3 <= len(u.text.split()) <= 12]
    random.Random(0).shuffle(rows)
    g2p = hama.G2PModel()

    def phonemes(text: str) -> str:
        said = " ".join(re.findall(r"[a-z']+", spoken_form(text, "en").lower()))
        return " ".join(a.phoneme for a in g2p.predict(said).alignments if a.phoneme.strip())

    return [replace(u, text=phonemes(u.text)) for u in rows[:60]]


def score(model: AdaptableCtc, waves: dict[str, Wave], rows: list[Utterance], how: Adaptation) -> AdaptedScore:
    turns = list(adapted_texts(model, waves.items(), how))
    plain, own = {t.id: t.text_before for t in turns}, {t.id: t.text for t in turns}
    return adapted_score("x", {u.id: u.text for u in rows}, plain, [(turns, own)], 1.0, Bootstrap(1000, 0.95, 17))


def test_white_noise_at_10_db(model: AdaptableCtc, prompts: list[Utterance]) -> None:
    waves = {u.id: limit_peak(add_noise(read_wave(u), 10, np.random.default_rng([0, *u.id.encode()]))) for u in prompts}
    suta = score(model, waves, prompts, Adaptation(method="suta"))
    assert suta.difference is not None
    assert suta.difference.difference <= -0.015
    assert suta.difference.high < 0
    pseudo = score(model, waves, prompts, Adaptation(method="pseudo_label"))
    assert pseudo.difference is not None
    assert -0.01 <= pseudo.difference.difference <= 0.005


def test_the_simulated_line(model: AdaptableCtc, prompts: list[Utterance]) -> None:
    rows, line = prompts[:50], LineConfig(codec="gsm", snr_db=10)
    waves = {u.id: limit_peak(resample(simulate_line(read_wave(u), 16_000, line, u.id), 8000, 16_000)) for u in rows}
    suta = score(model, waves, rows, Adaptation(method="suta"))
    assert suta.difference is not None
    assert suta.difference.difference <= -0.06
    assert suta.difference.high < 0
