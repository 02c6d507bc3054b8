"""Ids, names and texts in ten scripts keep every letter through transcripts, scores, reports, artifacts and exports."""

import json
import re
from dataclasses import replace
from pathlib import Path

from commands import Command, record, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import INPUTS, page_of

from asr_tv.data.manifest import Manifest, Utterance, format_manifest, parse_manifest
from asr_tv.decoding.hypotheses import read_hypotheses, write_hypotheses
from asr_tv.report.build import build_report
from asr_tv.report.export_card import export_card, plain_card
from asr_tv.report.inputs import SystemInput
from asr_tv.report.markdown import render_markdown
from asr_tv.scoring.score import evaluate, read_evaluation, write_evaluation
from asr_tv.text.normalize import get_normalizer
from flows.artifacts import report_markdown, slug, stage_key

SCRIPTS = {
    "Latin": "aąćęłńóśźżßøæžŁĐ",
    "Cyrillic": "абвгдежзийклмнопрстуюяЁЇ",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψωάέ",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "Devanagari": "अआइउकखगघचजटडतथदनपबमयरलवसहािीुे",
    "Thai": "กขคงจฉชซญดตถทธนบปผพมยรลวสหอะาิ",
    "Han": "日本語中文学生東京人大小山川田",
    "Hangul": "한국어가나다라마바사아자차카타파하",
    "Georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
}
"""Letters of each; no vowel sign begins a word below."""
MARKS = "ािीुे" + "ะาิ"


def words_of(letters: str) -> st.SearchStrategy[str]:
    first = st.sampled_from([letter for letter in letters if letter not in MARKS])
    return st.builds(str.__add__, first, st.text(letters, max_size=7))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """One to six utterances whose ids, names, domains and texts are of one script each."""
    rows = []
    for number in range(draw(st.integers(1, 6))):
        words = words_of(SCRIPTS[draw(st.sampled_from(sorted(SCRIPTS)))])
        text = " ".join(draw(st.lists(words, min_size=1, max_size=5)))
        rows.append(Utterance(f"{draw(words)}-{number}", text, domain=draw(words), speaker=draw(words), split="test"))
    return Manifest(draw(words), tuple(rows))


@settings(max_examples=30, deadline=None)
@given(manifest=manifests(), normalizer=st.sampled_from(["english", "basic", "characters", "none"]))
def test_what_is_heard_as_it_is_written_is_right_and_keeps_its_id(manifest, normalizer, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("scores")
    assert parse_manifest(format_manifest(manifest), manifest.name) == manifest
    write_hypotheses(folder / "hyp.jsonl", {u.id: u.text for u in manifest})
    heard = read_hypotheses(folder / "hyp.jsonl")
    evaluation = evaluate(manifest, heard, normalizer)
    assert (evaluation.wer, {u.id for u in evaluation.utterances}) == (0.0, {u.id for u in manifest})
    assert evaluation.word_counts.words > 0
    write_evaluation(evaluation, folder)
    assert read_evaluation(folder) == evaluation
    silent = evaluate(manifest, dict.fromkeys(heard, ""), normalizer)
    assert silent.wer == 1.0
    assert get_normalizer(normalizer)(manifest.utterances[0].text)


@settings(max_examples=10, deadline=None)
@given(manifest=manifests())
def test_reports_and_cards_show_every_letter(manifest: Manifest) -> None:
    domain = manifest.utterances[0].domain
    evaluation = evaluate(manifest, {u.id: u.text for u in manifest}, "basic", decoding={"audio_context": 8.0})
    systems = tuple(SystemInput(name, "target", domain, "test", evaluation, True) for name in ("pretrained", "adapted"))
    inputs = replace(INPUTS, name=manifest.name, target_domain=domain, systems=systems, target_curve={})
    report = json.loads(json.dumps(build_report(inputs)))
    pages = [render_markdown(report), page_of(inputs), report_markdown(report, None, "told", promoted=True)]
    pages.append(
        export_card(plain_card(domain, "MIT", "en"), "hf", "fp32", language="en", multilingual=True, check=None)
    )
    assert all(domain in page for page in pages)
    assert all(manifest.name in page for page in pages[:2])


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(SCRIPTS)).flatmap(lambda s: words_of(SCRIPTS[s])), unique=True, max_size=9)
)
def test_each_name_has_an_artifact_key_of_its_own(names: list[str]) -> None:
    keys = {slug(f"wer-{name}") for name in names} | {stage_key(name, "score a") for name in names}
    assert len(keys) == 2 * len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) for key in keys)


def test_ten_scripts_through_the_commands(asr_tv: Command, models: Path, tmp_path: Path) -> None:
    names = [letters[:4] for letters in SCRIPTS.values()]
    rows = [{"id": name, "audio": f"{name}.wav", "text": f"{name} {name}"} for name in names]
    for name in names:
        record(tmp_path / f"{name}.wav", 0.2)
    write_rows(tmp_path / "日本語.jsonl", *rows)
    done = asr_tv("transcribe", models / "base", "日本語.jsonl", "--audio-context", "2", "--quiet")
    heard = [json.loads(line) for line in done.out.splitlines()]
    assert [row["id"] for row in heard] == names
    assert done.lines == []
    (tmp_path / "hyp.jsonl").write_text(json.dumps(rows[0], ensure_ascii=False) + "\n", encoding="utf-8")
    assert names[1] in asr_tv("score", "日本語.jsonl", "hyp.jsonl", "--normalizer", "basic").problems[0]
    write_rows(tmp_path / "hyp.jsonl", *rows)
    assert asr_tv("score", "日本語.jsonl", "hyp.jsonl", "--normalizer", "basic", "--json").row["wer"] == 0.0
    for number, row in enumerate(rows):
        row["id"] = f"{row['id']}-{number}"
    write_rows(tmp_path / "한국어.jsonl", *rows[:1])
    command = ["export", models / "base", "--format", "hf", "--out", "экспорт", "--manifest", "한국어.jsonl"]
    row = asr_tv(*command, "--clips", "1", "--quiet", "--json").row
    assert (row["path"], row["same_words"]) == ("экспорт", 1)
    assert "한국어" in (tmp_path / "экспорт" / "README.md").read_text(encoding="utf-8")
