"""Voice activity detection by Silero VAD, with the weights of the package silero-vad (MIT).

It runs in onnxruntime, because importing the package would set torch's thread count for the whole process.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_tv.audio.recordings import Wave
from asr_tv.audio.silences import Span
from asr_tv.errors import ConfigError
from asr_tv.store.results import file_digest

SAMPLING_RATE = 16_000
_FRAME, _CONTEXT, _BLOCK = 512, 64, 512
_STATE = (1, 1, 128)
_ON, _OFF = 0.5, 0.35
"""Silero's own hysteresis: speech starts above the first threshold and ends below the second."""
_SHORTEST_GAP = 4
"""Frames (128 ms); a shorter gap may be a stop consonant and is bridged."""


class SpeechDetector:
    """A single-threaded detector whose result depends on the recording alone; its `version` is for keys.

    Raises:
        ConfigError: silero-vad or onnxruntime is not installed.
    """

    def __init__(self) -> None:
        model = _weights()
        if find_spec("onnxruntime") is None:
            raise ConfigError("the quality gate needs the package onnxruntime (extra gate of asr-tv)")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.version = f"silero-vad sha256:{file_digest(model)[:16]}"

    def spans(self, wave: Wave) -> tuple[Span, ...]:
        """Stretches of speech in a wave [samples] at `SAMPLING_RATE`, in order; none in silence or noise."""
        if not wave.size:
            return ()
        frames = _find_speech(self._probabilities(wave))
        seconds = wave.size / SAMPLING_RATE
        step = _FRAME / SAMPLING_RATE
        return tuple(Span(start * step, min(end * step, seconds)) for start, end in frames)

    def _probabilities(self, wave: Wave) -> NDArray[np.float32]:
        frames = _frames(wave)
        hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        found = []
        for start in range(0, len(frames), _BLOCK):
            feeds = {"input": frames[start : start + _BLOCK], "h": hidden, "c": cell}
            probabilities, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], feeds)
            found.append(np.asarray(probabilities, np.float32).reshape(-1))
        return np.concatenate(found)


def _weights() -> Path:
    spec = find_spec("silero_vad")
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    model = folder / "data" / "silero_vad_16k_sequence.onnx" if folder else None
    if model is None or not model.is_file():
        raise ConfigError("the quality gate needs the package silero-vad==6.2.3 (extra gate of asr-tv)")
    return model


def _frames(wave: Wave) -> NDArray[np.float32]:
    """Frames [m, 64 + 512], each preceded by the end of the previous one; the last is padded with silence."""
    count = -(-wave.size // _FRAME)
    padded = np.zeros(_CONTEXT + count * _FRAME, np.float32)
    padded[_CONTEXT : _CONTEXT + wave.size] = wave
    windows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + _FRAME)
    return np.ascontiguousarray(windows[::_FRAME])


def _find_speech(probabilities: NDArray[np.float32]) -> list[tuple[int, int]]:
    """First frame of each stretch of speech and the frame after its last, by hysteresis, short gaps bridged."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for index, probability in enumerate([*probabilities.tolist(), 0.0]):  # the end of the recording ends the speech
        if start is None and probability >= _ON:
            bridged = spans and index - spans[-1][1] < _SHORTEST_GAP
            start = spans.pop()[0] if bridged else index
        elif start is not None and probability < _OFF:
            spans.append((start, index))
            start = None
    return spans
