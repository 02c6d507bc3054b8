"""Adapting a tiny CTC model: nothing leaks from one recording to the next, and nothing changes that should not."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.config.test_time import Adaptation
from asr_tv.decoding.test_time.adapting import Adapter, tuned_parameters
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.test_time.methods import AdaptedTurn, TestTimeAdapter, adapted_texts
from asr_tv.testing.ctc import tiny_ctc

SUTA = Adaptation(method="suta", steps=3, learning_rate=1e-2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> AdaptableCtc:
    return AdaptableCtc(tiny_ctc(tmp_path_factory.mktemp("model"), "conformer"), torch.device("cpu"))


def wave(seed: int, samples: int = 4000) -> Wave:
    return np.random.default_rng(seed).standard_normal(samples, dtype=np.float32) * 0.1


WAVES = [(str(seed), wave(seed)) for seed in range(8)]


def state_of(model: AdaptableCtc) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def turns(model: AdaptableCtc, how: Adaptation, waves: Iterable[tuple[str, Wave]] = WAVES) -> list[AdaptedTurn]:
    return [replace(turn, seconds=0.0) for turn in adapted_texts(model, waves, how)]


@pytest.mark.parametrize("change", [{"steps": 0}, {"learning_rate": 0.0}])
def test_without_steps_nothing_changes(model: AdaptableCtc, change: dict[str, float]) -> None:
    found = turns(model, SUTA.model_copy(update=change))
    assert all(turn.text == turn.text_before and turn.loss_before == turn.loss_after for turn in found)


@pytest.mark.parametrize("method", ["suta", "pseudo_label"])
def test_a_recording_heard_again_gives_the_same_to_the_bit(model: AdaptableCtc, method: str) -> None:
    before = state_of(model)
    how = Adaptation.model_validate(SUTA.model_dump() | {"method": method})
    first, other, again = turns(model, how, [WAVES[0], WAVES[1], WAVES[0]])
    assert first == again
    assert first.loss_after != other.loss_after
    assert equal(before, state_of(model))


def test_the_loss_falls(model: AdaptableCtc) -> None:
    assert all(turn.loss_after < turn.loss_before for turn in turns(model, SUTA))


def test_only_the_tuned_parameters_move_and_no_statistics(model: AdaptableCtc) -> None:
    before = state_of(model)
    adapter = TestTimeAdapter(model, Adaptation(method="continual", steps=2, learning_rate=1e-2))
    adapter.hear("a", WAVES[0][1])
    moved = {name for name, tensor in state_of(model).items() if not torch.equal(tensor, before[name])}
    adapter.close()
    assert moved <= set(model.parameters("norms_and_front"))
    assert any("layer_norm" in name for name in moved)
    assert any("conv_layers" in name for name in moved)
    assert any("running_mean" in name for name in before)  # a Conformer's batch norm
    assert set(model.parameters("norms")) < set(model.parameters("norms_and_front"))


def test_no_parameter_stands_twice() -> None:
    inner = torch.nn.LayerNorm(3)
    model = torch.nn.ModuleDict({"feature_extractor": torch.nn.Sequential(inner, inner), "other": inner})
    found = tuned_parameters(model, "norms_and_front")
    assert len(found) == len({id(p) for p in found.values()}) == 2


def test_fast_slow_that_never_steps_slowly_is_suta_to_the_bit(model: AdaptableCtc) -> None:
    endless = SUTA.model_copy(update={"method": "fast_slow", "buffer": 10**9, "reset": "never"})
    assert turns(model, endless) == turns(model, SUTA)


@pytest.mark.parametrize("method", ["continual", "fast_slow"])
def test_no_text_depends_on_what_comes_later(model: AdaptableCtc, method: str) -> None:
    how = Adaptation(method=method, steps=1, learning_rate=1e-2, buffer=2, reset="never")
    one, other = turns(model, how), turns(model, how, [*WAVES[:4], *reversed(WAVES[4:])])
    assert one[:4] == other[:4]
    assert one[4:] != other[4:]


def test_slow_weights_move_only_at_a_full_buffer(model: AdaptableCtc) -> None:
    how = Adaptation(method="fast_slow", steps=0, learning_rate=1e-2, buffer=3, reset="never")
    same = [("x", WAVES[0][1])] * 7
    losses = [turn.loss_before for turn in turns(model, how, same)]
    assert losses[0] == losses[1] == losses[2] > losses[3] == losses[5] > losses[6]


def test_a_fixed_reset_goes_back_to_the_pretrained_weights_with_fresh_moments(model: AdaptableCtc) -> None:
    how = Adaptation(method="fast_slow", steps=1, learning_rate=1e-2, buffer=2, reset=4)
    found = turns(model, how, [*WAVES[:4], *WAVES[:4]])
    assert [turn.reset for turn in found] == [False, False, False, True] * 2
    assert found[:4] == found[4:]


def test_drift_resets_to_the_pretrained_weights(model: AdaptableCtc, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Adaptation(method="fast_slow", steps=0, learning_rate=1e-3, buffer=2, window=8, patience=1)
    planted = iter([0.0, 1.0, 0.0, 1.0, 99.0, 99.0])  # ages 5 to 10; the fourth is the window's end
    monkeypatch.setattr(TestTimeAdapter, "_index", lambda *_: next(planted))
    before = state_of(model)
    adapter = TestTimeAdapter(model, how)
    found = [adapter.hear(name, samples) for name, samples in [*WAVES, *WAVES[:3]]]
    assert [number for number, turn in enumerate(found, 1) if turn.reset] == [10]
    assert found[10].loss_before == adapter.hear("2", WAVES[2][1]).loss_before  # both under the pretrained weights
    adapter.close()
    assert equal(before, state_of(model))


def test_what_cannot_be_adapted_to_is_decoded_plain_and_told(model: AdaptableCtc) -> None:
    long, click, silence = wave(1, 16_000 * 2), wave(2, 20), np.zeros(8000, np.float32)
    how = SUTA.model_copy(update={"longest": 1.5})
    found = turns(model, how, [("long", long), ("click", click), ("silence", silence), WAVES[0]])
    assert [turn.plain for turn in found] == ["too long", "no frame", "", ""]
    assert found[0].text == found[0].text_before
    assert found[1].text == ""
    assert found[3] == turns(model, SUTA, [WAVES[0]])[0]


def test_a_loss_that_is_not_finite_takes_no_step(model: AdaptableCtc, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(model)
    monkeypatch.setattr(Adapter, "step", lambda *_: False)
    (turn,) = turns(model, SUTA, [WAVES[0]])
    assert turn.plain == "loss not finite"
    assert equal(before, state_of(model))


def test_a_step_is_refused_before_it_is_taken(model: AdaptableCtc) -> None:
    before, adapter = state_of(model), Adapter(model, "norms", 1e-2)
    poisoned = next(iter(model.parameters("norms").values()))
    assert not adapter.step(lambda: poisoned.sum() * torch.tensor(float("nan")))
    assert equal(before, state_of(model))


def test_an_all_blank_recording_is_marked_and_the_weights_stay_finite(tmp_path: Path) -> None:
    model = AdaptableCtc(tiny_ctc(tmp_path), torch.device("cpu"))
    head = model.state_dict()["lm_head.bias"]
    head.zero_()[0] = 50.0
    adapter = TestTimeAdapter(model, Adaptation(method="continual", learning_rate=1e-2))
    assert adapter.hear("a", WAVES[0][1]).all_blank
    assert all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())
    empty = Adaptation(method="pseudo_label", steps=1)
    assert turns(model, empty, [WAVES[0]])[0].plain == "empty transcript"
