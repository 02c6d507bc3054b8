"""Manifests: what a line may say, what is refused and how, and what the digest depends on."""

import json
from dataclasses import asdict, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.data.manifest import (
    Manifest,
    Origin,
    Split,
    Utterance,
    checked,
    concatenate,
    format_manifest,
    in_domain,
    parse_manifest,
)
from asr_tv.errors import DataError

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SPEECH = TEXT.filter(lambda text: "<|" not in text)  # no control token
UTTERANCES = st.builds(
    Utterance,
    id=TEXT,
    text=SPEECH,
    audio=st.none() | TEXT,
    domain=TEXT,
    split=st.sampled_from(get_args(Split)),
    origin=st.sampled_from(get_args(Origin)),
    speaker=st.none() | TEXT,
    duration=st.none() | st.floats(0, allow_infinity=False),
    audio_digest=st.none() | TEXT,
)
MANIFESTS = st.lists(UTTERANCES, max_size=5, unique_by=lambda u: u.id).map(lambda rows: Manifest("m", tuple(rows)))
FULL = Utterance("u1", "Hello.", "a.wav", "voicemail", "dev", "synthetic", "joe", 1.5, "d1")


def problems(text: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        parse_manifest(text, "m.jsonl")
    return list(caught.value.problems)


def line(**row: Any) -> str:
    return json.dumps({"id": "a", "text": "x"} | row)


class TestFormat:
    @given(MANIFESTS)
    def test_parsing_is_its_inverse(self, manifest: Manifest) -> None:
        assert parse_manifest(format_manifest(manifest), "m") == manifest

    @given(MANIFESTS)
    def test_each_utterance_is_one_line_of_json(self, manifest: Manifest) -> None:
        lines = format_manifest(manifest).split("\n")
        assert lines.pop() == ""
        assert [json.loads(row)["id"] for row in lines] == [u.id for u in manifest]

    def test_it_can_be_read_by_people(self) -> None:
        text = format_manifest(Manifest("m", (Utterance("ü", "Größe"),)))
        assert text == '{"domain": "default", "id": "ü", "origin": "real", "split": "train", "text": "Größe"}\n'

    def test_line_separators_of_unicode_and_returns_are_text(self) -> None:
        manifest = Manifest("m", (Utterance("a", "one\u2028two\x85three\r\nfour"),))
        assert parse_manifest(format_manifest(manifest), "m") == manifest


class TestParse:
    def test_all_fields(self) -> None:
        assert parse_manifest(json.dumps(asdict(FULL)), "m").utterances == (FULL,)

    def test_an_example_of_nemo(self) -> None:
        text = '{"audio_filepath": "wavs/1.wav", "text": "Hi there.", "duration": 2, "lang": "en", "offset": 0}'
        (utterance,) = parse_manifest(text, "m")
        assert utterance == Utterance("wavs/1.wav", "Hi there.", audio="wavs/1.wav", duration=2, offset=0.0)

    @pytest.mark.parametrize("name", ["audio", "audio_filepath", "audio_path"])
    def test_names_of_the_recording(self, name: str) -> None:
        assert parse_manifest(json.dumps({name: "b.wav", "text": "x"}), "m").utterances[0].audio == "b.wav"

    @pytest.mark.parametrize("name", ["text", "transcript", "sentence"])
    def test_names_of_the_text(self, name: str) -> None:
        assert parse_manifest(json.dumps({"id": "a", name: "x y"}), "m").utterances[0].text == "x y"

    def test_an_id_is_given_by_the_recording_else_by_the_line(self) -> None:
        text = "\n".join(['{"text": "x", "audio": "b.wav"}', "", '{"text": "y"}', '{"text": "z", "id": "own"}'])
        assert [u.id for u in parse_manifest(text, "m")] == ["b.wav", "line-3", "own"]

    def test_null_is_absent_and_blank_lines_are_passed_over(self) -> None:
        text = f"\n  \n{line(domain=None, speaker=None, duration=None)}\r\n\n"
        assert parse_manifest(text, "m").utterances == (Utterance("a", "x"),)

    def test_empty(self) -> None:
        assert len(parse_manifest("", "m")) == 0

    def test_a_line_of_a_megabyte(self) -> None:
        text = "word " * 200_000
        assert parse_manifest(line(text=text), "m").utterances[0].text == text


class TestRefused:
    def test_every_bad_line_and_every_repeated_id_at_once(self) -> None:
        text = "\n".join(
            [
                line(id="good"),
                "no json",
                '{"id": "cut", "text": "x',
                "[1]",
                "7",
                '{"id": "silent"}',
                line(id=5),
                line(text=None),
                line(duration="3"),
                line(duration=-1),
                line(split="validation"),
                line(origin="fake"),
                line(id="good"),
                line(id="good", split="test"),
            ]
        )
        assert problems(text) == [
            "m.jsonl:2: not JSON (Expecting value: line 1 column 1 (char 0))",
            "m.jsonl:3: not JSON (Unterminated string starting at: line 1 column 23 (char 22))",
            "m.jsonl:4: expected a JSON object, found list",
            "m.jsonl:5: expected a JSON object, found int",
            "m.jsonl:6: no text",
            "m.jsonl:7: id is not text: 5",
            "m.jsonl:8: no text",
            "m.jsonl:9: duration is not a number of seconds: '3'",
            "m.jsonl:10: duration is not a number of seconds: -1",
            "m.jsonl:11: split is 'validation'; one of train, dev, test",
            "m.jsonl:12: origin is 'fake'; one of real, synthetic, text",
            "m.jsonl: duplicate id 'good'",
            "m.jsonl: id 'good' is in two splits: train and test",
        ]

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0", "true", "[1]"])
    def test_a_duration_is_a_finite_number(self, value: str) -> None:
        (problem,) = problems(f'{{"id": "a", "text": "x", "duration": {value}}}')
        assert problem.startswith("m.jsonl:1: duration is not a number of seconds: ")

    @pytest.mark.parametrize("key", ["id", "text", "audio", "domain", "speaker", "audio_digest"])
    @pytest.mark.parametrize("value", [3, ["x"], {"a": 1}, True, "a\0b"])
    def test_text_is_text_without_nul(self, key: str, value: Any) -> None:
        assert problems(line(**{key: value})) == [f"m.jsonl:1: {key} is not text: {value!r}"]

    @pytest.mark.parametrize("key", ["id", "text", "audio", "domain"])
    def test_half_a_surrogate_pair_could_not_be_written_again(self, key: str) -> None:
        (problem,) = problems(line(**{key: "caf\ud83d"}))
        assert problem.startswith("m.jsonl:1: ")
        assert "surrogates not allowed" in problem
        assert parse_manifest(line(text="\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")), "m")

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_very_deep_nesting(self, opening: str) -> None:
        (problem,) = problems(f'{line(id="good")}\n{{"id": "a", "text": "x", "more": {opening * 200_000}')
        assert problem.startswith("m.jsonl:2: not JSON (")

    def test_a_long_value_does_not_fill_the_screen(self) -> None:
        (problem,) = problems(line(text=["x"] * 10_000))
        assert len(problem) < 150

    def test_ids_are_checked_where_manifests_meet(self) -> None:
        one, other = Manifest("one", (FULL,)), Manifest("other", (replace(FULL, split="test"),))
        assert concatenate("both", [one, Manifest("none", ())]).utterances == (FULL,)
        with pytest.raises(DataError, match=r"^both: id 'u1' is in two splits: dev and test$"):
            concatenate("both", [one, other])
        with pytest.raises(DataError, match=r"^both: duplicate id 'u1'$"):
            checked(Manifest("both", (FULL, FULL)))


class TestDigest:
    @given(MANIFESTS, st.randoms())
    def test_neither_order_nor_paths_nor_name_matter(self, manifest: Manifest, random: Any) -> None:
        moved = [replace(u, audio=None if u.audio is None else f"/moved/{u.audio}") for u in manifest]
        random.shuffle(moved)
        assert Manifest("other", tuple(moved)).digest == manifest.digest

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "u2"},
            {"text": "Hello"},
            {"domain": "conference"},
            {"split": "test"},
            {"origin": "real"},
            {"speaker": "amy"},
            {"speaker": None},
            {"duration": 1.6},
            {"audio_digest": "d2"},
        ],
        ids=str,
    )
    def test_everything_else_matters(self, change: dict[str, Any]) -> None:
        assert Manifest("m", (replace(FULL, **change),)).digest != Manifest("m", (FULL,)).digest

    def test_so_does_each_utterance(self) -> None:
        other = replace(FULL, id="u2")
        digests = {Manifest("m", rows).digest for rows in [(), (FULL,), (other,), (FULL, other)]}
        assert len(digests) == 4

    def test_a_whole_number_of_seconds_is_that_number(self) -> None:
        assert parse_manifest(line(duration=2), "m").digest == parse_manifest(line(duration=2.0), "m").digest

    def test_no_field_is_forgotten(self) -> None:
        changed = {"id", "text", "domain", "split", "origin", "speaker", "duration", "offset", "audio_digest"}
        assert changed | {"audio"} == set(asdict(FULL))


class TestManifest:
    ROWS = Manifest(
        "m",
        (
            Utterance("a", "x", domain="b", duration=1.5),
            Utterance("b", "y", domain="a", split="test", origin="text"),
            Utterance("c", "z", domain="b", split="dev", origin="synthetic", duration=2.0),
        ),
    )

    def test_where_keeps_order_and_takes_a_name(self) -> None:
        part = self.ROWS.where("part", in_domain("b"))
        assert (part.name, [u.id for u in part]) == ("part", ["a", "c"])
        assert (len(part), len(self.ROWS)) == (2, 3)

    def test_what_a_record_keeps_of_it(self) -> None:
        ref = self.ROWS.ref()
        assert (ref.name, ref.digest, ref.utterances) == ("m", self.ROWS.digest, 3)
        assert ref.domains == self.ROWS.domains == ("a", "b")
        assert (ref.splits, ref.origins) == (("dev", "test", "train"), ("real", "synthetic", "text"))

    def test_seconds_and_ids(self) -> None:
        assert self.ROWS.seconds == 3.5
        assert self.ROWS.by_id["b"].text == "y"
