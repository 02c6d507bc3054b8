from typing import Any

import pytest
from reports import REPORT

from asr_tv.config.run import SynthesisConfig
from asr_tv.report.model_card import model_card
from asr_tv.synthesis.engines.licences import voice_licences


def card(report: dict[str, Any]) -> str:
    voices = ("en_US-joe-medium", "/home/me/voices/secret.onnx#2")
    return model_card(
        report,
        base="openai/whisper-tiny.en",
        base_licence="MIT (OpenAI)",
        synthesis=SynthesisConfig(voices=voices, takes=2),
        voice_licences=dict(zip(voices, ("CC0", "licence not stated"), strict=True)),
        language="en",
    )


@pytest.mark.parametrize(
    "line",
    [
        "base_model: openai/whisper-tiny.en",
        "scaling coefficient 0.3, 0 % of the pretrained weights; chosen by leave_one_source_domain_out.",
        "(conference, services): pooled WER 18.2% there, 24.9% with the same start and augmentation and no vector.",
        "- Target texts: 57 sentences of voicemail, spoken by machine.",
        "voices: en_US-joe-medium (CC0), secret.onnx#2 (licence not stated).",
        "- Base: openai/whisper-tiny.en (MIT (OpenAI)).",
        "| voicemail | adapted | dynamic | 17.7% | 13.0% to 23.2% |",
        "Recordings of general: 7.3% WER pretrained, 10.1% adapted (+2.8 points, interval +0.4 to +5.0); "
        "BEYOND the bound, 10% relative.",
    ],
)
def test_the_card_says(line: str) -> None:
    assert line in card(REPORT)


def test_each_corpus_is_named_once_and_no_path_is() -> None:
    text = card(REPORT)
    assert text.count("- Data: prompts (CC BY-SA 3.0).") == 1
    assert "/home/me" not in text


def test_what_was_not_measured_is_said() -> None:
    text = card({**REPORT, "forgetting": {"bound": 0.1, "passed": None, "rows": []}})
    assert "Not measured: the run had no general recordings." in text


def test_leaks_are_said() -> None:
    ledger = {**REPORT["ledger"], "target_recordings_read_before_scoring": [{"label": "finetune"}]}
    assert "recordings of the target domain were used." in card({**REPORT, "ledger": ledger})


class TestLicences:
    def test_from_the_card_beside_a_voice(self, tmp_path: Any) -> None:
        (tmp_path / "voice.onnx").write_bytes(b"")
        (tmp_path / "MODEL_CARD").write_text("# Card\n\n* URL: x\n* License: CC BY 4.0\n")
        voice = str(tmp_path / "voice.onnx")
        for name in (voice, f"{voice}#3"):
            assert voice_licences(SynthesisConfig(voices=(name,))) == {name: "CC BY 4.0"}

    def test_none_stated(self, tmp_path: Any) -> None:
        voice = str(tmp_path / "voice.onnx")
        assert voice_licences(SynthesisConfig(voices=(voice, "nobody"))) == {
            voice: "licence not stated",
            "nobody": "licence not stated",
        }

    def test_of_other_engines(self) -> None:
        voices = voice_licences(SynthesisConfig(engine="bark", voices=("v2/en_speaker_1", "espeak:en-us+f3")))
        assert voices == {"v2/en_speaker_1": "MIT", "espeak:en-us+f3": "GPL-3.0, the program's"}

    @pytest.mark.real
    def test_of_the_packaged_voice(self) -> None:
        assert voice_licences(SynthesisConfig(voices=("en_US-joe-medium",))) == {"en_US-joe-medium": "CC0"}
