"""Real weights on recordings in which nobody says a term: which of the safe strengths makes one be heard there."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from asr_tv.audio.recordings import write_audio
from asr_tv.config.run import SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.corpora.noise import CLIP_SECONDS, SAMPLING_RATE, noise_stage
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.biasing.bias import SAFE_ALPHA, SAFE_BOOST, Bias
from asr_tv.decoding.biasing.phrases import Phrase, folded
from asr_tv.decoding.biasing.stages import ngram_stage
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.locate import resolve_model
from asr_tv.store.results import Record, Store, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize

pytestmark = pytest.mark.real

TERMS = ("palak paneer", "rogan josh", "mango lassi", "chicken vindaloo", "garlic naan", "bruschetta", "Worcestershire")
MENU = tuple(f"I would like the {term}, please." for term in TERMS)
TALK = (
    "The weather was fine all week and we went for long walks along the river.",
    "She asked the driver whether the last bus had already left the station.",
    "There is a box of old letters under the stairs behind the winter coats.",
    "My brother repairs clocks and sells them at the market on Saturdays.",
    "Nobody had told him that the meeting would be held in another building.",
    "They painted the kitchen yellow and put new shelves above the window.",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("noise"))


@pytest.fixture(scope="module")
def base(real_models: Store) -> Record:
    return resolve_model("openai/whisper-tiny.en", real_models)


@pytest.fixture(scope="module")
def recordings(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Silence, faint and loud white noise, and babble: six sentences spoken at once."""
    noise = stored_manifest(noise_stage(Runtime(store), CLIP_SECONDS, seed=1))
    rows = tuple(Utterance(f"talk-{n}", text, origin="text") for n, text in enumerate(TALK))
    spoken = stored_manifest(synthesize(Runtime(store, workers=1), Manifest("talk", rows), SynthesisConfig(takes=1), 1))
    samples = round(CLIP_SECONDS * SAMPLING_RATE)
    babble = np.mean([np.resize(read_wave(u), samples) for u in spoken], axis=0, dtype=np.float32)
    path = tmp_path_factory.mktemp("babble") / "babble.flac"
    write_audio(path, babble, SAMPLING_RATE)
    row = replace(noise.utterances[0], id="babble", domain="babble", audio=str(path), audio_digest=file_digest(path))
    return Manifest("nobody", (*noise, row))


@pytest.fixture(scope="module")
def biases(store: Store, base: Record) -> Mapping[str, Bias]:
    phrases = tuple(map(Phrase, TERMS))
    texts = Manifest("menu", tuple(Utterance(f"m{n}", text, origin="text") for n, text in enumerate(MENU)))
    ngram = ngram_stage(Runtime(store), base, texts, Manifest("none", ()), 4, 0.0)
    return {
        "boost": Bias(phrases=phrases, boost=SAFE_BOOST),
        "ngram": Bias(ngram=ngram, alpha=SAFE_ALPHA),
        "both": Bias(phrases=phrases, boost=SAFE_BOOST, ngram=ngram, alpha=SAFE_ALPHA),
        "prompt": Bias(prompt=", ".join(TERMS)),
    }


def heard(store: Store, base: Record, recordings: Manifest, bias: Bias) -> dict[str, str]:
    record = transcribe(Runtime(store), base, recordings, Decoding("full", "en", bias=bias))
    return read_hypotheses(record.path / hypotheses_file())


def terms_in(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The words of any term that stand in a text, by the text's id."""
    own = {word for term in TERMS for word in folded(term).split()}
    found = {name: [word for word in folded(text).split() if word in own] for name, text in texts.items()}
    return {name: words for name, words in found.items() if words}


@pytest.mark.parametrize("name", ["boost", "ngram", "both"])
def test_at_the_safe_strengths_no_term_is_heard_where_nobody_says_one(
    name: str, store: Store, base: Record, recordings: Manifest, biases: Mapping[str, Bias]
) -> None:
    assert terms_in(heard(store, base, recordings, biases[name])) == {}


def test_a_prompt_of_terms_is_heard_in_noise_and_not_in_silence(
    store: Store, base: Record, recordings: Manifest, biases: Mapping[str, Bias]
) -> None:
    """What docs/biasing.md warns of; and the test above can see terms."""
    found = terms_in(heard(store, base, recordings, biases["prompt"]))
    assert "babble" in found
    assert "silence-0" not in found
