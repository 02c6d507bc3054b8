from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.report.ledger import StageEntry, ledger_entries, target_recordings_read_before_scoring


def ref(name, *rows):
    return Manifest(name, tuple(Utterance(str(i), "x", domain=d, origin=o) for i, (d, o) in enumerate(rows))).ref()


SOURCE = ref("source train", ("digits", "real"), ("phrases", "real"))
CLIPS = ref("target clips", ("voicemail", "synthetic"))
TEXTS = ref("target texts", ("voicemail", "text"))
TARGET = ref("target test", ("voicemail", "real"))


def stage(label, *reads, kind="finetune", purpose="model"):
    return StageEntry(kind, label, f"key-{label}", cached=False, seconds=1.0, reads=reads, purpose=purpose)


def found(*stages, target="voicemail", origin=()):
    leaks = target_recordings_read_before_scoring(stages, target, origin)
    return [(leak.label, leak.manifest.name) for leak in leaks]


def test_a_clean_run_has_none():
    assert (
        found(
            stage("synthesize target", TEXTS, kind="synthesize"),
            stage("source_real", SOURCE),
            stage("target_synthetic", CLIPS),
            stage("topline", TARGET, purpose="topline"),
            stage("score adapted", TARGET, kind="score", purpose="scoring"),
        )
        == []
    )


def test_a_planted_leak_is_found_wherever_it_is():
    stages = [
        stage("source_real", SOURCE),
        stage("target_synthetic", CLIPS, TARGET),
        stage("select", TARGET, purpose="choice"),
    ]
    assert found(*stages) == [("target_synthetic", "target test"), ("select", "target test")]


def test_a_declaration_does_not_cover_what_the_model_comes_from():
    declared = stage("topline", TARGET, purpose="topline")
    assert found(declared) == []
    assert found(declared, origin={("finetune", "key-topline")}) == [("topline", "target test")]


def test_a_mixed_manifest_is_no_hiding_place():
    mixed = ref("all recordings", ("digits", "real"), ("voicemail", "real"), ("voicemail", "synthetic"))
    assert found(stage("source_mixed", mixed)) == [("source_mixed", "all recordings")]


def test_another_domain_s_recordings_are_no_leak():
    assert found(stage("select", TARGET), target="conference") == []


def test_rows_say_what_was_read_by_which_stage():
    (entry,) = ledger_entries([stage("source_real", SOURCE)])
    assert entry.row() == {
        "stage": "finetune",
        "key": "key-source_real",
        "label": "source_real",
        "manifest": "source train",
        "digest": SOURCE.digest,
        "domains": ["digits", "phrases"],
        "splits": ["train"],
        "origins": ["real"],
        "utterances": 2,
    }
