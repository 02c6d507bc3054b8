"""Every method of test-time adaptation on one model and one manifest: transcribed through the store, and compared."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from asr_tv.config.test_time import Adaptation
from asr_tv.data.manifest import Manifest
from asr_tv.data.orders import in_orders
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import CTC, Decoding
from asr_tv.decoding.test_time.transcribing import TURNS, read_turns
from asr_tv.decoding.transcribe import transcribe
from asr_tv.scoring.adapted import AdaptedScore, adapted_score, unadapted_score
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime
from asr_tv.text.normalize import Normalizer

Hear = Callable[[str, Manifest, Decoding], Record]
"""Transcribes a manifest; the first argument names the row."""


def hearing_with(runtime: Runtime, checkpoint: Record) -> Hear:
    """Transcribes with one checkpoint, without an executor."""
    return lambda _, manifest, decoding: transcribe(runtime, checkpoint, manifest, decoding)


def adaptation_table(
    hear: Hear,
    manifest: Manifest,
    methods: Mapping[str, Adaptation],
    normalize: Normalizer,
    bootstrap: Bootstrap,
    language: str = "en",
    orders: int = 1,
) -> list[AdaptedScore]:
    """The unadapted row and one for each method, by the name given to it.

    Args:
        manifest: its order is taken for time; further orders are shuffled with seeds as `in_orders`.
        orders: how many, for methods whose texts depend on it.

    Raises:
        DataError: as `transcribe`.
    """
    references = {u.id: normalize(u.text) for u in manifest}
    usual = Decoding("full", language, precision="fp32", engine=CTC)
    texts = _normalised(hear("none", manifest, usual), normalize)
    rows = [unadapted_score(references, texts, bootstrap)]
    for name, how in methods.items():
        ordered = in_orders(manifest, orders) if how.needs_order else [manifest]
        told = [hear(name, one, replace(usual, adaptation=how)) for one in ordered]
        heard = [(read_turns(record.path / TURNS), _normalised(record, normalize)) for record in told]
        rows.append(adapted_score(name, references, texts, heard, manifest.seconds, bootstrap))
    return rows


def _normalised(record: Record, normalize: Normalizer) -> dict[str, str]:
    return {name: normalize(text) for name, text in read_hypotheses(record.path / hypotheses_file()).items()}
