"""The four ways to adapt: each recording by itself, by its own transcript, on and on, or fast from slow weights."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.config.test_time import Adaptation
from asr_tv.decoding.test_time.adapting import Adaptable, Adapter, TunedState
from asr_tv.decoding.test_time.drift import DriftRule, DriftState, advance, measures
from asr_tv.decoding.test_time.loss import SutaLoss, greedy_labels, pseudo_label_loss, suta_loss
from asr_tv.models.audio_context import SAMPLING_RATE

TOO_LONG, TOO_SHORT, NOTHING_HEARD, NOT_FINITE = "too long", "no frame", "empty transcript", "loss not finite"


@dataclass(frozen=True, slots=True)
class AdaptedTurn:
    """What adapting to one recording did.

    Attributes:
        text_before: what the pretrained weights hear, or the slow ones where there are such.
        loss_before, loss_after: SUTA's, whatever the method.
        entropy_before, entropy_after: mean over frames that are not blank, in nats.
        seconds: of computing.
        all_blank: no frame was anything else before a step, so that the entropy's term was left out.
        reset: the slow weights went back to the pretrained ones after it.
        plain: why it was decoded unadapted; empty where it was adapted.
    """

    id: str
    text: str
    text_before: str
    loss_before: float = 0.0
    loss_after: float = 0.0
    entropy_before: float = 0.0
    entropy_after: float = 0.0
    seconds: float = 0.0
    all_blank: bool = False
    reset: bool = False
    plain: str = ""


@dataclass
class _Slow:
    """Slow weights, the recordings since their last step, and what tells drift."""

    weights: TunedState
    waiting: list[Wave] = field(default_factory=list)
    state: DriftState = field(default_factory=DriftState)
    measured: TunedState | None = None
    heard: int = 0


class TestTimeAdapter:
    """Hears recordings in their order and writes each one's text; the text of one depends on none after it."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(self, model: Adaptable, how: Adaptation) -> None:
        self._model, self._how = model, how
        self._adapter = Adapter(model, how.tuned, how.learning_rate)
        self._slow = _Slow(self._adapter.pretrained)
        self._rule = DriftRule(how.window, how.buffer, how.patience, how.threshold)

    def hear(self, name: str, wave: Wave) -> AdaptedTurn:
        """The text of one recording [samples at 16 kHz], adapted as the method says."""
        started = time.perf_counter()
        if not self._how.needs_order:
            self._adapter.restore(self._adapter.pretrained)
        elif self._how.method == "fast_slow":
            self._adapter.restore(self._slow.weights)
        before = self._logits(wave)
        plain = self._why_plain(wave, before)
        row = self._plain(name, before, plain) if plain else self._adapted(name, wave, before)
        if self._how.method == "fast_slow" and not row["plain"]:
            row["reset"] = self._follow(wave)
        if not self._how.needs_order:
            self._adapter.restore(self._adapter.pretrained)
        return AdaptedTurn(**row, seconds=time.perf_counter() - started)

    def close(self) -> None:
        """Leaves the model as it was given."""
        self._adapter.restore(self._adapter.pretrained)

    @torch.no_grad()
    def _logits(self, wave: Wave) -> Tensor:
        return self._model.logits(wave)

    def _why_plain(self, wave: Wave, before: Tensor) -> str:
        if not len(before):
            return TOO_SHORT
        if len(wave) > self._how.longest * SAMPLING_RATE:
            return TOO_LONG
        if self._how.method == "pseudo_label" and not len(greedy_labels(before, self._model.blank)):
            return NOTHING_HEARD
        return ""

    def _plain(self, name: str, before: Tensor, why: str) -> dict[str, Any]:
        text = self._model.text(before) if len(before) else ""
        return {"id": name, "text": text, "text_before": text, "plain": why}

    def _adapted(self, name: str, wave: Wave, before: Tensor) -> dict[str, Any]:
        own = self._adapter.snapshot()
        text_before, first = self._model.text(before), self._suta(before)
        labels = greedy_labels(before, self._model.blank)
        for _ in range(self._how.taken_steps):
            if not self._adapter.step(lambda: self._loss(wave, labels)):
                self._adapter.restore(own)
                return self._plain(name, before, NOT_FINITE)
        after = self._logits(wave)
        last = self._suta(after)
        return {
            "id": name,
            "text": self._model.text(after),
            "text_before": text_before,
            "loss_before": float(first.loss),
            "loss_after": float(last.loss),
            "entropy_before": first.entropy,
            "entropy_after": last.entropy,
            "all_blank": first.all_blank,
            "plain": "",
        }

    def _loss(self, wave: Wave, labels: Tensor) -> Tensor:
        logits = self._model.logits(wave)
        if self._how.method == "pseudo_label":
            return pseudo_label_loss(logits, labels, self._model.blank)
        return self._suta(logits).loss

    def _suta(self, logits: Tensor) -> SutaLoss:
        return suta_loss(logits, self._model.blank, self._how.temperature, self._how.entropy_weight)

    def _follow(self, wave: Wave) -> bool:
        """Takes a recording into the slow weights, after its text is written; whether they were reset."""
        slow, how = self._slow, self._how
        index = self._index(wave) if how.reset == "drift" and measures(self._rule, slow.state) else None
        slow.waiting.append(wave)
        slow.heard += 1
        step = advance(self._rule, slow.state, index)
        if how.reset == "drift":
            slow.state = step.state
        if (how.reset == "drift" and step.event == "reset") or slow.heard == how.reset:
            self._slow = _Slow(self._adapter.pretrained)
            return True
        if len(slow.waiting) >= how.buffer:
            self._step_slowly(slow)
        if how.reset == "drift" and step.event == "keep":
            slow.measured = slow.weights
        return False

    def _step_slowly(self, slow: _Slow) -> None:
        waves, slow.waiting = slow.waiting, []
        self._adapter.restore(slow.weights)
        self._adapter.step(lambda: torch.stack([self._suta(self._model.logits(wave)).loss for wave in waves]).mean())
        slow.weights = self._adapter.snapshot()

    def _index(self, wave: Wave) -> float:
        """Loss under the weights at half the window minus that under the pretrained ones."""
        assert self._slow.measured is not None  # nosec B101 - for the type checker
        losses = []
        for weights in (self._slow.measured, self._adapter.pretrained):
            self._adapter.restore(weights)
            losses.append(float(self._suta(self._logits(wave)).loss))
        return losses[0] - losses[1]


def adapted_texts(model: Adaptable, waves: Iterable[tuple[str, Wave]], how: Adaptation) -> Iterator[AdaptedTurn]:
    """A turn for each (id, samples), in their order; the model is left as it was given."""
    adapter = TestTimeAdapter(model, how)
    try:
        for name, wave in waves:
            yield adapter.hear(name, wave)
    finally:
        adapter.close()
