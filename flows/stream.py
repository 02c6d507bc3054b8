"""The stream flow: one look into a folder. Without a server: asr-tv stream MODEL --follow FOLDER --once --retrain."""

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows import settings

settings.prepare()
from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import Field

from asr_tv.runs.retraining import follow_once
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.learners import Retraining
from asr_tv.streaming.specs import Setup
from asr_tv.text.normalize import get_normalizer


@flow(
    name="stream",
    flow_run_name=lambda: f"stream {Path(flow_run.parameters['folder']).name}",
    persist_result=False,
    timeout_seconds=24 * 3600,
)
def stream(
    folder: str,
    out: str,
    model: str = "openai/whisper-tiny.en",
    every: Annotated[int, Field(ge=1)] = 16,
    language: str = "en",
    normalizer: str = "english",
    store: str = ".store",
) -> State[dict[str, Any]]:
    """Hear what is new in a folder, count what people corrected, tune on it and promote a model that is not worse.

    Args:
        folder: Recordings and corrections.jsonl, on the worker's machine.
        out: Folder of journal, texts, terms, versions and the link `current`; the same every time.
        model: The model that every training starts from.
        every: Verified recordings between two trainings.
        language: Code of what is spoken.
        normalizer: How texts are compared.
        store: Folder of finished stages.
    """
    setup = Setup(language, retraining=Retraining(every))
    runtime = Runtime(Store(Path(store)))
    done = follow_once(runtime, model, Path(folder), Path(out), setup, get_normalizer(normalizer), retrain=True)
    look, log = done.look, get_run_logger()
    for line in (*look.problems, *(f"correction of {name}: not heard yet" for name in look.unheard)):
        log.warning("%s", line)
    told = f"{len(look.heard)} heard, {len(look.verified)} verified, {len(look.terms)} terms"
    if done.promotion is not None:
        verdict = "promoted" if done.promotion.promoted else "refused"
        told += f"; tuned on {done.trained_on}, {verdict}: {done.promotion.reason}"
    return Completed(message=told, data={"heard": len(look.heard), "terms": len(look.terms), "told": told})
