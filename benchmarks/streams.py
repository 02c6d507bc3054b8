"""What a recogniser learns while it listens: agents on Asterisk's conference and voicemail prompts on a simulated line.

    python benchmarks/streams.py [--feedback right-wrong|corrected] [--agents NAMES] [--orders N] [--json FILE]

whisper-tiny.en, 193 turns, fed in the order of their names and in shuffled ones. The glossary are the terms of the
prompts' own texts, which is what a user has without any feedback. A stopped table goes on where it was.
"""

import argparse
import json
from pathlib import Path

from demo_material import machine

from asr_tv.config.run import CorpusConfig, LineConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.models.family import family_of
from asr_tv.models.locate import resolve_model
from asr_tv.models.vocabulary import load_tokenizer
from asr_tv.report.learning.stream import render_stream
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.harness import Teaching
from asr_tv.streaming.learners import Retraining
from asr_tv.streaming.specs import Setup, check_agents
from asr_tv.streaming.table import StreamPlan, stream_table
from asr_tv.text.domain_terms import domain_terms, general_frequency
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.rare_words import is_known

DOMAINS = ("conference", "voicemail")
MODEL_NAME = "openai/whisper-tiny.en"
MOST_TERMS = 50


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--model", default=MODEL_NAME)
    parser.add_argument("--feedback", choices=("right-wrong", "corrected"), default="corrected")
    parser.add_argument("--agents", default="glossary,corrections,remember-right,remember-all,remember-wrong")
    parser.add_argument("--orders", type=int, default=1)
    parser.add_argument("--boost", type=float, default=1.0)
    parser.add_argument("--replay", action="store_true", help="retrain hears as many prompts of other domains")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runtime = Runtime(Store(asked.store), device="cpu")
    line = LineConfig(codec="gsm", snr_db=10)
    corpus = stored_manifest(load_corpus(runtime, CorpusConfig(kind="asterisk", language="en", line=line)))
    stream = corpus.where("stream", lambda u: u.domain in DOMAINS)
    source = corpus.where("source", lambda u: u.domain == "services") if asked.replay else None
    base = resolve_model(asked.model, runtime.store)
    known = is_known(load_tokenizer(resolve_model(MODEL_NAME, runtime.store).path / MODEL))
    terms = domain_terms([u.text for u in stream], known, general_frequency("en"), most=MOST_TERMS)
    setup = Setup("en", tuple(terms), asked.boost, Retraining(replay=source))
    agents = tuple(asked.agents.split(","))
    teaching = Teaching(asked.feedback, tolerance=0.1)
    check_agents(agents, family_of(base.path / MODEL), teaching.mode, setup)
    table = stream_table(
        runtime,
        base,
        Manifest("voicemail and conference, simulated line", stream.utterances),
        StreamPlan(agents, setup, teaching, asked.orders),
        get_normalizer("english"),
        Bootstrap(2000, 0.95, 17),
    )
    print(machine(), "\n")
    print(render_stream(table))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), **table}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
