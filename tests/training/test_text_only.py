"""The decoder tuned on texts: it learns them, keeps what must stay bit by bit, and at rho = 1 everything."""

import pytest
import torch

from asr_tv.config.biasing import TextOnlyConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import open_tensors
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.text_only import TUNED, text_only_stage

TEXTS = Manifest("texts", tuple(Utterance(str(n), t, origin="text") for n, t in enumerate(["press one", "the tone"])))
FAST = TextOnlyConfig(epochs=10, learning_rate=3e-3, batch_size=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("text_only") / "store")


@pytest.fixture(scope="module")
def base(store: Store) -> Record:
    return resolve_model(str(tiny_whisper(store.root.parent / "base")), store)


def test_it_learns_the_texts_and_changes_nothing_else(store: Store, base: Record) -> None:
    tuned = text_only_stage(Runtime(store), base, TEXTS, FAST, 0.2, seed=1, language="en")
    losses = tuned.details["epoch_losses"]
    assert losses[-1] < losses[0] - 0.3
    before, after = open_tensors(base.path / MODEL), open_tensors(tuned.path / MODEL)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("model.decoder.layers.") for name in changed)
    assert all(name.split(".", 4)[4].startswith(TUNED) for name in changed)
    assert not any("encoder_attn" in name for name in changed)


def test_at_rho_one_no_weight_moves(store: Store, base: Record) -> None:
    tuned = text_only_stage(Runtime(store), base, TEXTS, FAST, 1.0, seed=1, language="en")
    before, after = open_tensors(base.path / MODEL), open_tensors(tuned.path / MODEL)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_texts_that_cannot_be_learnt_are_named(store: Store, base: Record) -> None:
    long = Manifest("long", (Utterance("a", "tone " * 600, origin="text"),))
    with pytest.raises(DataError, match="a: its text has over 448 tokens"):
        text_only_stage(Runtime(store), base, long, FAST, 0.2, seed=1, language="en")
    with pytest.raises(DataError, match="no text"):
        text_only_stage(Runtime(store), base, Manifest("none", ()), FAST, 0.2, seed=1, language="en")
