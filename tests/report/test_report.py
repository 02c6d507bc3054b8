import json
import re
from dataclasses import replace
from importlib import resources

import pytest
from jsonschema import Draft202012Validator, ValidationError, validate
from reports import INPUTS, LIBRI, RECIPE, VOICEMAIL, general, manifest, scored, target

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.report import score_tables
from asr_tv.report.build import SCHEMA_VERSION, build_report
from asr_tv.report.charts import frontier_chart
from asr_tv.report.inputs import BoundInput, DroppedUtterance, SelectionInput, SystemInput, TermsInput
from asr_tv.report.ledger import StageEntry
from asr_tv.report.markdown import escaped, render_markdown, sparkline, wer_header, wer_tables
from asr_tv.report.model_card import model_card
from asr_tv.report.page import render_page
from asr_tv.report.scores import loops_more
from asr_tv.report.systems import display_name
from asr_tv.runs.promotion import judge
from asr_tv.scoring.score import evaluate
from flows.artifacts import report_markdown


def with_target(**wrong):
    return build_report(replace(INPUTS, systems=tuple(target(name, n) for name, n in wrong.items())))


def row_of(report, name, role="target"):
    return next(row for row in report["systems"] if (row["name"], row["role"]) == (name, role))


def test_known_evaluation_gives_exactly_the_known_row():
    row = row_of(build_report(INPUTS), "adapted")
    conditions = row.pop("conditions")
    assert row["wer"] == 40 / 400
    assert (row["ci_low"], row["ci_high"]) == (0.1, 0.1)  # one error in each sentence: nothing varies
    assert row["characters"] == sum(len(u.text) for u in VOICEMAIL)
    assert row["cer"] == 2 * 40 / row["characters"]  # a letter and a space each
    expected = {"errors": 40, "words": 400, "hits": 360, "substitutions": 0, "deletions": 40, "insertions": 0}
    expected |= {"utterances": 40, "sentences": 40, "text_only": True, "scaling_coef": 0.4, "note": None}
    expected |= {"name": "adapted", "role": "target", "domain": "voicemail", "split": "test"}
    assert expected.items() <= row.items()
    assert conditions["audio_context"] == 8.0
    assert conditions["normalizer"] == "basic"
    assert conditions["manifest"] == VOICEMAIL.digest
    assert conditions["simulated_line"] == "gsm, 5 dB SNR"


def test_report_is_json_and_deterministic():
    report = build_report(INPUTS)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert build_report(INPUTS) == report
    assert report["schema_version"] == 2


def schema():
    file = resources.files("asr_tv.schemas") / f"report-{SCHEMA_VERSION}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_published_schema_is_one_and_the_report_is_of_it():
    Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == f"urn:asr-tv:report:{SCHEMA_VERSION}"
    validate(build_report(INPUTS), schema())
    validate(build_report(replace(INPUTS, systems=(), target_curve={}, stages=(), missing=("all",))), schema())
    rows = tuple(SystemInput(n, "target", "mine", "test", None, True) for n in ("target_synthetic", "adapted"))
    validate(build_report(replace(INPUTS, systems=rows, selection=SelectionInput("fixed", None))), schema())


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.pop("verdict"),
        lambda r: r.update(more=1),
        lambda r: r.update(schema_version=1),
        lambda r: r["systems"][0].update(wer="10 %"),
        lambda r: r["systems"][0].update(wer=-0.1),
        lambda r: r["comparison"][0].update(verdict="much better"),
        lambda r: r["stages"][0].update(state="skipped"),
    ],
)
def test_the_schema_refuses_what_is_no_report(change):
    report = build_report(INPUTS)
    change(report)
    with pytest.raises(ValidationError):
        validate(report, schema())


def test_the_headline_says_what_was_won_with_intervals_and_what_was_lost():
    report = build_report(INPUTS)
    low, high = (f"{-100 * report['comparison'][1][key]:.1f}" for key in ("ci_high", "ci_low"))
    best_low, best_high = (f"{-100 * report['comparison'][2][key]:.1f}" for key in ("ci_high", "ci_low"))
    assert report["headline"] == (
        f"10.0 % word error rate on voicemail, 15.0 points ({low} to {high}) below target_synthetic and "
        f"12.5 points ({best_low} to {best_high}) below the best text-only rival, source_real_then_target_synthetic "
        "(95 % intervals). Libri speech 5.0 % to 5.2 %, within the bound."
    )
    undecided = with_target(target_synthetic=41, adapted=40)["headline"]
    assert "not shown to differ from target_synthetic (-0.2 points, " in undecided
    worse = with_target(target_synthetic=100, adapted=120)["headline"]
    assert "above target_synthetic" in worse
    assert build_report(replace(INPUTS, systems=()))["headline"].startswith("Nothing was measured on the target domain")


def test_no_difference_inside_its_interval_is_called_better_anywhere():
    report = with_target(pretrained=41, target_synthetic=41, rival=42, adapted=40)
    rows = [
        *report["comparison"],
        *(r for p in report["breakdowns"] for g in p["groups"] for r in g["differences"].values()),
    ]
    assert rows
    assert len(rows) >= 3
    for row in rows:
        assert (row["verdict"] == "better") == (row["ci_high"] < 0)
    for text in (report["verdict"], report["headline"], render_markdown(report)):
        assert "better than" not in text
        assert "below" not in text.partition("Differences are in points")[0]


def test_an_unfinished_run_says_what_is_missing():
    report = build_report(replace(INPUTS, missing=("finetune source_real", "adapt")))
    assert report["missing"] == ["finetune source_real", "adapt"]
    for text in (report["verdict"], report["headline"]):
        assert text.startswith("UNFINISHED: this run has not come to its end; missing: finetune source_real, adapt.")
    assert build_report(INPUTS)["missing"] is None


def test_terms_are_scored_on_the_target():
    inputs = replace(INPUTS, terms=TermsInput("given", ("a b", "h", "zebra")))
    report = build_report(inputs)
    (part,) = report["terms"]["sets"]
    rows = {row["name"]: row for row in part["systems"]}
    assert (rows["adapted"]["expected"], rows["adapted"]["right"]) == (80, 40)  # every sentence lost its last word, h
    assert (rows["adapted"]["recall"], rows["adapted"]["precision"]) == (0.5, 1.0)
    by_term = {row["term"]: row["systems"]["adapted"] for row in part["by_term"]}
    assert by_term == {
        "a b": {"expected": 40, "heard": 40, "right": 40},
        "h": {"expected": 40, "heard": 0, "right": 0},
    }
    against = {row["rival"]: row for row in part["differences"]}
    assert against["topline"]["verdict"] == "worse"
    assert against["topline"]["difference"] == -0.25
    assert build_report(INPUTS)["terms"]["sets"] == []
    validate(report, schema())


def test_each_coefficient_is_compared_with_none_of_the_vector():
    zero, chosen = build_report(INPUTS)["target_curve"]
    assert zero["against_zero"] is None
    assert chosen["against_zero"]["difference"] == pytest.approx(-0.15)
    assert chosen["against_zero"]["verdict"] == "better"
    curve = {c: scored(VOICEMAIL, 40 + round(10 * c), scaling_coef=c) for c in (0.0, 0.1)}
    assert build_report(replace(INPUTS, target_curve=curve))["target_curve"][1]["against_zero"]["verdict"] == (
        "no difference shown"
    )
    without = build_report(replace(INPUTS, target_curve={0.4: scored(VOICEMAIL, 40)}))
    assert without["target_curve"][0]["against_zero"] is None


def test_the_tables_of_a_report_of_version_1_are_read():
    report = build_report(INPUTS)
    new = ("raw_wer", "raw_errors", "raw_words", "loops", "loop_ids")
    older = {**report, "systems": [{k: v for k, v in row.items() if k not in new} for row in report["systems"]]}
    for key in ("headline", "missing", "breakdowns", "terms", "examples", "synthesis", "settings", "packages"):
        del older[key]
    older["comparison"] = [{k: v for k, v in row.items() if k != "matched_pairs"} for row in report["comparison"]]
    assert wer_tables(older) == wer_tables(report)
    for old, made in zip(score_tables.wer_tables(older), score_tables.wer_tables(report), strict=True):
        assert [row[:7] for row in old.rows] == [row[:7] for row in made.rows]


def test_raw_and_normalised_stand_side_by_side():
    row = row_of(build_report(INPUTS), "adapted")
    assert (row["wer"], row["raw_wer"], row["raw_words"], row["loops"]) == (0.1, 0.1, 400, 0)
    shouted = Manifest("v", tuple(replace(u, text=f"{u.text.upper()}!") for u in VOICEMAIL))
    heard = evaluate(shouted, {u.id: u.text for u in VOICEMAIL}, "basic")
    systems = (SystemInput("adapted", "target", "voicemail", "test", heard, True),)
    row = row_of(build_report(replace(INPUTS, systems=systems)), "adapted")
    assert (row["wer"], row["raw_wer"]) == (0.0, 0.9)  # all words but the number


def test_comparison_is_adapted_minus_rival_on_every_shared_set():
    rows = {(r["rival"], r["role"]): r for r in build_report(INPUTS)["comparison"]}
    assert list(rows) == [
        ("pretrained", "target"),
        ("target_synthetic", "target"),
        ("source_real_then_target_synthetic", "target"),
        ("topline", "target"),
        ("pretrained", "general"),
    ]
    baseline = rows["target_synthetic", "target"]
    assert baseline["difference"] == -60 / 400
    assert baseline["relative"] == pytest.approx(-0.6)
    assert baseline["ci_low"] < -0.15 < baseline["ci_high"] < 0
    assert (baseline["verdict"], baseline["p"]) == ("better", 2 / 301)
    assert rows["topline", "target"]["verdict"] == "worse"
    assert not rows["topline", "target"]["text_only"]


def test_verdict_better():
    report = build_report(INPUTS)
    baseline = report["comparison"][1]
    low, high = (f"{100 * baseline[key]:+.1f}" for key in ("ci_low", "ci_high"))
    assert report["verdict"] == (
        "On the target domain voicemail (simulated line, 40 utterances) adapted has 10.0 % WER: "
        f"better than target_synthetic at 25.0 % (-15.0 points, 95 % interval {low} to {high}, -60 % relative); "
        "better than source_real_then_target_synthetic at 22.5 %, the best rival that used no target recordings "
        f"(-12.5 points, 95 % interval {100 * report['comparison'][2]['ci_low']:+.1f} to "
        f"{100 * report['comparison'][2]['ci_high']:+.1f}, -56 % relative). "
        "General speech stays within the bound of 10 % relative: 5.0 % to 5.2 % WER, no more loops than before. "
        "That rests on 400 words, where the bound is 2.0 errors: too few to tell a small loss from chance."
    )


def test_verdict_worse_names_every_better_rival():
    text = with_target(target_synthetic=100, adapted=120, a=40, b=80)["verdict"]
    assert "adapted has 30.0 % WER: worse than target_synthetic at 25.0 %" in text
    assert "worse than a at 10.0 %, the best rival that used no target recordings" in text
    assert text.endswith("Also better than adapted: b.")


def test_verdict_of_a_run_from_text_alone_is_against_pretrained():
    text = with_target(pretrained=120, target_synthetic_augmented=40, adapted=40)["verdict"]
    assert "adapted has 10.0 % WER: better than pretrained at 30.0 % (-20.0 points" in text
    assert "no word more or less wrong than target_synthetic_augmented at 10.0 %, the best rival" in text
    worse = with_target(pretrained=60, target_synthetic_augmented=20, adapted=120)["verdict"]
    assert "worse than pretrained at 15.0 %" in worse
    assert "Also better" not in worse  # both are named before


def test_verdict_no_difference_shown():
    report = with_target(target_synthetic=41, adapted=40)
    assert report["comparison"][0]["verdict"] == "no difference shown"
    assert "not shown to differ from target_synthetic at 10.2 %, the best rival" in report["verdict"]


def test_the_topline_is_no_fair_rival():
    assert "topline" not in build_report(INPUTS)["verdict"]


def test_one_sentence_shows_nothing():
    one = manifest("voicemail", count=1)
    systems = tuple(
        SystemInput(name, "target", "voicemail", "test", scored(one, wrong), text_only=True)
        for name, wrong in (("target_synthetic", 9), ("adapted", 0))
    )
    report = build_report(replace(INPUTS, systems=systems))
    assert report["systems"][0]["ci_high"] is None
    assert (report["comparison"][0]["verdict"], report["comparison"][0]["p"]) == ("no difference shown", 1.0)
    assert "interval unknown" in report["verdict"]
    assert "unknown" in render_markdown(report)


def test_without_target_recordings():
    rows = tuple(SystemInput(n, "target", "mine", "test", None, True) for n in ("target_synthetic", "adapted"))
    report = build_report(replace(INPUTS, systems=rows + INPUTS.systems[-2:], target_curve={}))
    row = row_of(report, "adapted")
    assert (row["wer"], row["note"], row["split"]) == (None, "no target recordings", "test")
    assert report["verdict"].startswith("No target recordings: nothing was measured on the target domain mine.")
    assert [r["role"] for r in report["comparison"]] == ["general"]
    assert "no target recordings" in render_markdown(report)


def test_an_infinite_rate_is_null():
    silence = Manifest("silence", (Utterance("s1", "", domain="voicemail"), Utterance("s2", "?", domain="voicemail")))
    noisy = evaluate(silence, {"s1": "you", "s2": ""}, "basic")
    systems = tuple(SystemInput(n, "target", "voicemail", "test", noisy, True) for n in ("pretrained", "adapted"))
    report = build_report(replace(INPUTS, systems=systems))
    assert json.dumps(report, allow_nan=False)
    assert (report["systems"][0]["wer"], report["systems"][0]["errors"]) == (None, 1)
    assert "undefined" in render_markdown(report)


@pytest.mark.parametrize(
    ("speakers", "told"), [(None, "400 words, where"), (1, "of one speaker,"), (7, "of 7 speakers,")]
)
def test_the_verdict_says_on_whose_words_the_bound_was_tested(speakers, told):
    report = build_report(replace(INPUTS, bound=BoundInput(speakers=speakers)))
    assert told in report["verdict"]
    assert report["forgetting"]["rows"][0]["speakers"] == speakers
    assert "is 10.0 errors." in build_report(replace(INPUTS, max_relative=0.5))["verdict"]


def test_forgetting_within_and_beyond_the_bound():
    forgetting = build_report(INPUTS)["forgetting"]
    (row,) = forgetting["rows"]
    assert (row["pretrained"], row["adapted"]) == (20 / 400, 21 / 400)
    assert row["relative"] == pytest.approx(0.05)
    assert forgetting["passed"] is True
    beyond = build_report(replace(INPUTS, max_relative=0.04))
    assert beyond["forgetting"]["passed"] is False
    assert "General speech was lost beyond the bound of 4 % relative: libri 5.0 % to 5.2 %." in beyond["verdict"]
    assert "Guard FAILED" in render_markdown(beyond)
    nothing = build_report(replace(INPUTS, systems=INPUTS.systems[:5]))
    unknown = {"pretrained": None, "within": None, "recipes": []}
    unprobed = {"bound": 0.1, "passed": None, "rows": [], "probed_loops": None, "dev": unknown}
    assert nothing["forgetting"] == unprobed


@pytest.mark.parametrize(
    ("loops", "passed", "told"),
    [(2, None, "it has 2 loops, pretrained 2."), (3, False, "3 loops, pretrained 2: DO NOT USE")],
)
def test_more_loops_than_before_where_nothing_is_said_are_told_and_fail(loops, passed, told):
    rows = tuple(
        {"system": n, "loops": {"music": k, "silence": 1}} for n, k in (("pretrained", 1), ("adapted", loops - 1))
    )
    report = build_report(replace(INPUTS, systems=INPUTS.systems[:5], retention=rows))
    assert report["forgetting"]["probed_loops"] == {"pretrained": 2, "adapted": loops}
    assert report["forgetting"]["passed"] is passed
    assert told in report["verdict"]
    assert loops_more(rows, "adapted") is (passed is False)


def test_a_model_that_loops_where_the_pretrained_one_does_not_has_lost_general_speech():
    before, after = general("pretrained", 20), general("adapted", 20)
    turned = replace(after.evaluation.utterances[0], hypothesis="the call is the call is " * 12)
    looping = replace(
        after, evaluation=replace(after.evaluation, utterances=(turned, *after.evaluation.utterances[1:]))
    )
    report = build_report(replace(INPUTS, systems=(*INPUTS.systems[:5], before, looping)))
    (row,) = report["forgetting"]["rows"]
    assert (row["pretrained_loops"], row["adapted_loops"], row["passed"]) == (0, 1, False)
    assert "0 to 1 loops, BEYOND the bound" in report["headline"]


def test_the_frontier_has_a_point_per_share_and_the_chosen_one_is_marked():
    half, none = (RECIPE.model_copy(update={"pretrained_weight": share}) for share in (0.5, 0.0))
    tested = {0.0: scored(VOICEMAIL, 40), 0.5: scored(VOICEMAIL, 44)}
    bound = BoundInput(0.05, {none: 0.09, half: 0.052}, True, tested)
    report = build_report(replace(INPUTS, bound=bound, selection=replace(INPUTS.selection, chosen=half)))
    shares = {r["pretrained_weight"]: (r["general"], r["target"]) for r in report["forgetting"]["dev"]["recipes"]}
    assert shares == {0.0: (0.09, 40 / 400), 0.5: (0.052, 44 / 400)}
    adapted, pretrained = frontier_chart(report).lines
    assert [point.chosen for point in adapted.points] == [False, True]
    assert adapted.points[1].label == "0.5 pretrained: general 5.2 %, target 11.0 %"
    assert adapted.points[0].x > frontier_chart(report).bound > adapted.points[1].x > pretrained.points[0].x
    assert frontier_chart(build_report(INPUTS)) is None


def test_selection_holds_every_recipe_tried():
    selection = build_report(INPUTS)["selection"]
    assert selection["chosen"] == RECIPE.model_dump()
    assert selection["folds"] == ["digits", "phrases"]
    assert selection["scores"][1] == {
        "start": "pretrained",
        "augmentation": True,
        "scaling_coef": 0.0,
        "pretrained_weight": None,
        "wer": 0.2,
        "errors": 40,
        "words": 200,
        "per_fold": {"digits": 0.4, "phrases": 0.0},
    }


def test_ledger_holds_reads_and_a_planted_leak_is_shouted():
    clean = build_report(INPUTS)
    assert clean["ledger"]["target_recordings_read_before_scoring"] == []
    assert [row["label"] for row in clean["ledger"]["entries"]] == ["transcribe adapted"]
    leak = StageEntry("finetune", "source_mixed", "k9", False, 1.0, (VOICEMAIL.ref(),))
    report = build_report(replace(INPUTS, stages=(*INPUTS.stages, leak)))
    assert [row["key"] for row in report["ledger"]["target_recordings_read_before_scoring"]] == ["k9"]
    assert report["verdict"].startswith("NOT TEXT-ONLY: target recordings were read before the final scoring")
    assert "**1, listed first**" in render_markdown(report)


def test_stages_dropped_and_corpora():
    report = build_report(INPUTS)
    assert [(s["label"], s["state"]) for s in report["stages"]][:2] == [
        ("synthesize target", "cached"),
        ("target_synthetic", "executed"),
    ]
    assert report["dropped"]["count"] == 2
    assert report["dropped"]["by_reason"] == {"longer than 60 words": 1, "too | long\nrecording": 1}
    assert report["corpus"]["corpora"][0]["licence"] == "CC BY-SA 3.0"
    assert "simulated line" in report["corpus"]["simulated_line"]
    assert [row["wer"] for row in report["target_curve"]] == [0.25, 0.1]


def test_inputs_that_cannot_be_put_side_by_side_are_refused():
    with pytest.raises(ValueError, match="scored twice"):
        build_report(replace(INPUTS, systems=(*INPUTS.systems, target("adapted", 1))))
    other = SystemInput("rival", "target", "voicemail", "test", scored(LIBRI, 1), text_only=True)
    with pytest.raises(DataError, match="manifest"):
        build_report(replace(INPUTS, systems=(*INPUTS.systems, other)))


def test_markdown_begins_with_the_verdict_and_names_every_rival():
    report = build_report(INPUTS)
    text = render_markdown(report)
    assert text.startswith(f"# demo\n\n**{report['verdict']}**\n")
    for name in ("pretrained", "target_synthetic", "source_real_then_target_synthetic", "topline"):
        assert re.search(rf"^\| {display_name(name)} \| [\d.]+ \| [\d. to]+ \| [−+]", text, re.MULTILINE)
        assert f"| {display_name(name)} | {name} |" in text
    assert "### Target domain: voicemail\n\ntest, 40 utterances, 400 words" in text
    assert re.search(r"^\| adapted \(c = 0\.4\) \| 10\.0 \| 10\.0 to 10\.0 \|.*\| 0 \| 40 \| 0 \|", text, re.MULTILINE)
    assert "| pretrained | yes | 0.4 \\* | 5.0 | 10 | 200 |" in text
    assert "| pretrained | yes | 0 | 20.0 | 40 | 200 |" in text
    assert "- pretrained, augmented: █▁\n- pretrained, not augmented:  ▁" in text


def test_markdown_tables_are_whole_whatever_the_texts():
    text = render_markdown(build_report(INPUTS))
    assert "| too \\| long(U+000A)recording | 1 |" in text
    for table in (block for block in text.split("\n\n") if block.startswith("|")):
        columns = {line.replace("\\|", "").count("|") for line in table.strip().split("\n")}
        assert len(columns) == 1, table


def test_markdown_stays_small():
    stages = tuple(StageEntry("finetune", f"fold {i} " + "x" * 200, "k" * 24, False, 1.0) for i in range(300))
    dropped = tuple(
        DroppedUtterance(f"id-{i}" + "y" * 300, "synthesize", f"reason {i} " + "z" * 300) for i in range(300)
    )
    rivals = tuple(target(f"rival_{i}", i + 1) for i in range(20))
    report = build_report(replace(INPUTS, stages=stages, dropped=dropped, systems=INPUTS.systems + rivals))
    text = render_markdown(report)
    assert len(text.encode()) < 30_000
    assert "260 more in report.json." in text
    assert len(render_markdown(build_report(INPUTS)).encode()) < 10_000


def test_table_rows_match_their_header():
    rows = {row[0]: row for row in next(iter(wer_tables(build_report(INPUTS)).values()))}
    assert {len(row) for row in rows.values()} == {len(wer_header(build_report(INPUTS)))}
    assert rows["topline"][-1] == "yes"
    assert rows["pretrained"][-1] == "no"
    assert rows["topline"][-2] == "8 s"


def test_each_set_of_recordings_has_a_table_with_its_size():
    titles = list(wer_tables(build_report(INPUTS)))
    assert len(titles) == len(set(titles)) > 1
    assert all("utterances" in title for title in titles)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>`x`", "\\<b\\>\\`x\\`"),
        ("tab\there", "tab(U+0009)here"),
        ("\u202edesrever", "(U+202E)desrever"),
        ("a" * 200, "a" * 79 + "…"),
    ],
)
def test_escaping(text, expected):
    assert escaped(text) == expected


def test_sparkline():
    assert sparkline([0.1, None, 0.2, 0.3]) == "▁ ▅█"
    assert sparkline([0.2, 0.2]) == "▁▁"
    assert sparkline([]) == ""


def test_rates_of_characters_are_called_so_wherever_they_are_told():
    """No table, page, card or sentence says WER where each character was a word, but of the raw texts."""
    reference = Manifest("ref", tuple(Utterance(f"u{i}", "今日は天気がいい") for i in range(5)))
    heard = {"adapted": "今日は天気がいい", "pretrained": "今日は電気がいい", "target_synthetic": "天気がいい"}
    general = Manifest("general", tuple(Utterance(f"g{i}", "また明日") for i in range(3)))

    def row(name, role, spoken, text):
        found = evaluate(spoken, dict.fromkeys(spoken.by_id, text), "characters", decoding={"audio_context": 30.0})
        return SystemInput(name, role, "天気", "test", found, text_only=True)

    systems = [row(name, "target", reference, text) for name, text in heard.items()]
    systems += [row(name, "general", general, "また明日") for name in ("pretrained", "adapted")]
    report = build_report(replace(INPUTS, systems=tuple(systems), target_curve={}))
    given = {"base": "b", "base_licence": "MIT", "synthesis": SynthesisConfig(), "language": "ja"}
    card = model_card(report, **given, voice_licences={"en_US-joe-medium": "MIT"})
    made = list(score_tables.wer_tables(report))
    texts = {
        "headline": report["headline"],
        "verdict": report["verdict"],
        "markdown": render_markdown(report),
        "page": render_page(report),
        "card": card,
        "artifact": report_markdown(report, None, "told", promoted=True, earlier=[("2026", "x")]),
        "promotion": judge(_worse(report), report),
        "CSV": "".join(t.csv for t in made),
    }
    for name, text in texts.items():
        assert text is not None
        assert "CER" in text or "character error rate" in text, name
        plain = text.replace("raw WER %", "").replace("Raw WER", "")  # which is of words
        assert "WER" not in plain, (name, plain[max(0, plain.find("WER") - 80) :][:160])
        assert "word error rate" not in plain.lower(), name


def _worse(report):
    rows = [{**row, "wer": 1.0} if row["name"] == "adapted" else row for row in report["systems"]]
    return {**report, "systems": rows}
