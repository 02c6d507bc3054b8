"""The configuration: its defaults, what it refuses, how it says so, and what never enters a key."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from asr_tv.config.parsing import parse_config, parse_section, with_overrides
from asr_tv.config.run import AdaptConfig, AugmentationConfig, CorpusConfig, RunOptions, SynthesisConfig, TrainingConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError
from asr_tv.store.results import Identity, Record, Store
from asr_tv.store.runtime import Runtime

SPOKEN = {"name": "x", "corpora": [{"kind": "asterisk"}, {"kind": "manifest", "path": "m.jsonl"}]}
TEXT_ONLY = {"name": "x", "selection": {"method": "fixed", "fixed": {"scaling_coef": 0}}}


def problems(values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(values, "run.yaml")
    return list(caught.value.problems)


def changed(path: str, value: Any, values: Mapping[str, Any] = SPOKEN) -> dict[str, Any]:
    return with_overrides(dict(values), {path: value})


class TestDefaults:
    @pytest.mark.parametrize("values", [SPOKEN, TEXT_ONLY])
    def test_they_parse_and_come_back_from_their_own_values(self, values: dict[str, Any]) -> None:
        config = parse_config(values, "run.yaml")
        assert AdaptConfig.model_validate(config.model_dump(mode="json")) == config

    def test_they_are_the_papers_where_it_says_them(self) -> None:
        config = parse_config(SPOKEN, "run.yaml")
        assert config.second_stage_learning_rate == 0.1
        assert 0.0 in config.selection.scaling_coefs
        assert config.drop_shared_sentences
        assert config.selection.method == "leave_one_source_domain_out"

    def test_a_list_becomes_a_tuple_and_a_string_a_number(self) -> None:
        # YAML 1.1 reads 1e-5 as a string.
        config = parse_config(changed("training.learning_rate", "1e-5") | {"sources": ["a", "b"]}, "run.yaml")
        assert config.training.learning_rate == 1e-5
        assert config.sources == ("a", "b")


def sections(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in kind.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


class TestFrozen:
    @pytest.mark.parametrize(("name", "kind"), [("", AdaptConfig), *sections(AdaptConfig).items()])
    def test_no_value_can_be_set(self, name: str, kind: type[BaseModel]) -> None:
        config = parse_config(SPOKEN, "run.yaml")
        section = getattr(config, name) if name else config
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, next(iter(kind.model_fields)), None)

    def test_a_configuration_can_be_hashed_and_sent_to_a_process(self) -> None:
        import pickle

        config = parse_config(SPOKEN, "run.yaml")
        assert pickle.loads(pickle.dumps(config)) == config
        assert len({config.corpora[0], config.corpora[0], config.corpora[1]}) == 2

    def test_scaled_changes_a_copy(self) -> None:
        training = TrainingConfig(epochs=3, learning_rate=1e-4)
        assert (training.scaled(0.5, 2).learning_rate, training.scaled(0.5, 2).epochs) == (5e-5, 6)
        assert training.scaled(1, 0.01).epochs == 1
        assert (training.learning_rate, training.epochs) == (1e-4, 3)


class TestUnknownKeys:
    @pytest.mark.parametrize("name", sections(AdaptConfig))
    def test_each_section_lists_the_keys_it_has(self, name: str) -> None:
        (problem,) = problems(changed(f"{name}.nosuch", 1))
        listed = ", ".join(sorted(sections(AdaptConfig)[name].model_fields))
        assert problem == f"run.yaml: unknown key {name}.nosuch; keys here: {listed}"

    def test_at_the_top(self) -> None:
        (problem,) = problems({**SPOKEN, "modell": "x"})
        assert problem == f"run.yaml: unknown key modell; keys here: {', '.join(sorted(AdaptConfig.model_fields))}"

    def test_in_a_list(self) -> None:
        (problem,) = problems(changed("corpora.1.lin", {"snr_db": 3}))
        assert problem == (
            f"run.yaml: unknown key corpora.1.lin; keys here: {', '.join(sorted(CorpusConfig.model_fields))}"
        )

    def test_below_a_list_and_behind_an_optional_section(self) -> None:
        assert problems(changed("corpora.0.line.snr", 3)) == [
            "run.yaml: unknown key corpora.0.line.snr; keys here: codec, seed, snr_db"
        ]
        assert problems(changed("selection.fixed.coef", 3))[0].endswith(
            "selection.fixed.coef; keys here: augmentation, pretrained_weight, scaling_coef, start"
        )


class TestProblems:
    def test_all_at_once_each_with_its_path(self) -> None:
        found = problems(
            {
                "corpora": [{"kind": "asterisk", "path": "x"}, {"kind": "wav"}, {"kind": "manifest"}],
                "training": {"epochs": 0, "epoch": 2, "precision": "fp16"},
                "selection": {"scaling_coefs": [0, "much"], "starts": []},
                "scoring": 5,
                "seed": 1.5,
            }
        )
        assert [problem.split(" (found")[0] for problem in found] == [
            "run.yaml: name is missing",
            "run.yaml: seed: Input should be a valid integer, got a number with a fractional part",
            "run.yaml: corpora.0: kind asterisk takes no path",
            "run.yaml: corpora.1.kind: Input should be 'asterisk', 'manifest', 'audiofolder', 'slurp', 'huggingface', "
            "'nemo', 'lhotse', 'kaldi' or 'openslr'",
            "run.yaml: corpora.2: kind manifest needs a path",
            "run.yaml: training.epochs: Input should be greater than or equal to 1",
            "run.yaml: training.precision: Input should be 'auto', 'bf16' or 'fp32'",
            "run.yaml: unknown key training.epoch; keys here: " + ", ".join(sorted(TrainingConfig.model_fields)),
            "run.yaml: selection.starts: Tuple should have at least 1 item after validation, not 0",
            "run.yaml: selection.scaling_coefs.1: Input should be a valid number, unable to parse string as a number",
            "run.yaml: scoring: expected keys and values",
        ]

    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            ("name", 7, "Input should be a valid string (found 7)"),
            ("name", "../runs", "must be usable as a folder's name (found '../runs')"),
            ("name", " ", "must be usable as a folder's name (found ' ')"),
            (
                "language",
                False,
                "YAML reads no, off and false as false: write it in quotes",
            ),  # YAML 1.1 reads no as false
            ("training", [1], "expected keys and values (found [1])"),
            ("synthesis.voices", 1.5, "expected a list (found 1.5)"),
            ("sources", ["a", "b", "a"], "stands there more than once: a (found ['a', 'b', 'a'])"),
            (
                "selection",
                {"effort": "quick", "starts": ["joint"], "folds": 2},
                "effort quick has its own starts: leave out one of the two",
            ),
            ("selection.scaling_coefs", [0, 0.3, 0.3], "stands there more than once: 0.3 (found [0, 0.3, 0.3])"),
            ("selection.scaling_coefs", [0.0, -0.0], "stands there more than once: 0 (found [0.0, -0.0])"),
            ("selection.augmentation", [True, True], "stands there more than once: True (found [True, True])"),
            ("selection.augmentation", [], "Tuple should have at least 1 item after validation, not 0 (found [])"),
            ("synthesis.length_scale", [1.2, 0.8], "the range ends at 0.8, below its start 1.2 (found [1.2, 0.8])"),
            ("augmentation.snr_db", [25, 0], "the range ends at 0, below its start 25 (found [25, 0])"),
            ("training.learning_rate", float("inf"), "Input should be a finite number (found inf)"),
            ("augmentation.gain_db", [float("nan"), 0], "Input should be a finite number (found nan)"),
            ("target", {}, "needs domain or texts (found {})"),
            ("target", {"domain": "a", "test_fraction": 1}, "Input should be less than 1 (found 1)"),
            ("splits", {"dev": 0.5, "test": 0.5}, "dev and test leave nothing to train on"),
            ("selection", {"fixed": {"scaling_coef": 0.4}}, "fixed has no effect without method"),
        ],
    )
    def test_one_names_its_path_and_what_was_found(self, path: str, value: Any, says: str) -> None:
        (problem,) = problems(changed(path, value))
        assert problem.startswith(f"run.yaml: {path}")
        assert says in problem

    @pytest.mark.parametrize("path", ["synthesis.length_scale", "augmentation.speed"])
    def test_a_factor_is_positive(self, path: str) -> None:
        assert problems(changed(path, [0, 1])) == [f"run.yaml: {path}.0: Input should be greater than 0 (found 0)"]

    def test_names_of_types_stay_out_of_paths(self) -> None:
        found = problems(changed("training.audio_context", 45))
        assert {problem.split(": ")[1] for problem in found} == {"training.audio_context"}
        assert "run.yaml: training.audio_context: Input should be less than or equal to 30 (found 45)" in found

    @pytest.mark.parametrize("values", [None, [], "name: x", 5])
    def test_what_has_no_keys_is_refused(self, values: Any) -> None:
        assert problems(values) == [f"run.yaml: expected keys and values, found {type(values).__name__}"]

    def test_a_key_that_is_no_text(self) -> None:
        assert problems({**SPOKEN, 3: 4}) == ["run.yaml: 3: Keys should be strings (found 3)"]

    def test_a_section_alone(self) -> None:
        with pytest.raises(ConfigError, match=r"^--set: unknown key epoch; keys here: audio_context, "):
            parse_section(TrainingConfig, {"epoch": 3}, "--set")

    def test_ends_of_a_range_may_be_equal(self) -> None:
        assert AugmentationConfig(speed=(1.0, 1.0), snr_db=(-5, -5)).speed == (1.0, 1.0)


class TestSectionsAgree:
    """What is right in itself and wrong together."""

    def test_language(self) -> None:
        found = problems({**SPOKEN, "language": "fr", "general": [{"kind": "asterisk", "language": "it"}]})
        assert found == [
            "run.yaml: model: openai/whisper-tiny.en knows English only, and language is fr",
            "run.yaml: scoring.normalizer: english is for English, and language is fr: use basic",
            "run.yaml: corpora.0.language: is en, and the run's language is fr",
            "run.yaml: general.0.language: is it, and the run's language is fr",
        ]

    def test_another_language_done_right(self) -> None:
        values = {
            "name": "x",
            "language": "fr",
            "model": "openai/whisper-base",
            "corpora": [{"kind": "asterisk", "language": "fr"}, {"kind": "manifest", "path": "m.jsonl"}],
            "scoring": {"normalizer": "basic"},
        }
        assert parse_config(values, "run.yaml").language == "fr"

    def test_no_source_speech(self) -> None:
        fixed = {"method": "fixed", "fixed": {"start": "source_real", "scaling_coef": 0.5}}
        assert problems({"name": "x", "target": {"domain": "voicemail"}, "selection": fixed}) == [
            "run.yaml: selection.fixed.scaling_coef: 0.5 needs a vector, so source speech in corpora; without it, 0",
            "run.yaml: selection.fixed.start: source_real needs source speech in corpora",
            "run.yaml: target.domain: voicemail is to be found in corpora, and there are none: give target.texts",
        ]
        assert problems({"name": "x"}) == [
            "run.yaml: selection.method: leave_one_source_domain_out needs source speech in corpora; "
            "without it, use fixed"
        ]

    def test_the_target_is_no_source(self) -> None:
        values = {**SPOKEN, "target": {"domain": "a"}, "sources": ["a", "b"]}
        assert problems(values) == ["run.yaml: sources: a is the target"]
        # With texts given, its recordings are the test.
        assert problems(with_overrides(values, {"target.texts": "a.txt"})) == ["run.yaml: sources: a is the target"]

    def test_a_choice_needs_recordings_to_choose_on(self) -> None:
        (problem,) = problems(changed("splits.dev", 0))
        assert problem.startswith("run.yaml: splits.dev: 0 leaves no recordings to choose the recipe on")
        assert parse_config(changed("selection.method", "fixed", changed("splits.dev", 0)), "run.yaml")


class TestOverrides:
    def test_a_dotted_path_replaces_one_value_and_the_input_stays(self) -> None:
        values = {"a": {"b": {"c": 1, "d": 2}}, "list": [{"x": 1}, {"x": 2}]}
        before = deepcopy(values)
        result = with_overrides(values, {"a.b.c": 9, "list.1.x": 8, "new.key": 7})
        assert result == {"a": {"b": {"c": 9, "d": 2}}, "list": [{"x": 1}, {"x": 8}], "new": {"key": 7}}
        assert values == before

    def test_a_value_gives_way_to_a_section_and_back(self) -> None:
        assert with_overrides({"target": None}, {"target.texts": "t"}) == {"target": {"texts": "t"}}
        assert with_overrides({"target": {"texts": "t"}}, {"target": None}) == {"target": None}

    def test_a_place_that_the_list_does_not_have_is_refused_by_the_parser(self) -> None:
        (problem,) = problems(changed("corpora.7.language", "en"))
        assert problem.startswith("run.yaml: corpora: expected a list")

    @given(
        st.dictionaries(
            st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), st.integers(), max_size=4
        )
    )
    def test_the_last_setting_can_be_read_at_its_path(self, settings: dict[str, int]) -> None:
        result: Any = with_overrides({"a": {"a": 0}, "b": 1}, settings)
        if settings:
            path, value = list(settings.items())[-1]
            for part in path.split("."):
                result = result[part]
            assert result == value


class Asked(Exception):
    """Ends a stage once its identity is known."""


class IdentityOnly(Store):
    """A store that takes down what it is asked for and makes nothing."""

    identity: Identity

    def build(self, identity: Identity, produce: Any) -> Record:  # noqa: ARG002
        self.identity = identity
        raise Asked


def identity_of(stage: Callable[..., Record], folder: Path, how: dict[str, Any], **arguments: Any) -> Identity:
    store = IdentityOnly(folder)
    with pytest.raises(Asked):
        stage(Runtime(store, **how), **arguments)
    return store.identity


class TestRunOptionsNeverEnterAKey:
    """How to run — device, processes, batches that only save time — leaves every key as it is."""

    MANIFEST = Manifest("m", (Utterance("u", "hello there", audio="u.wav", duration=1.0),))
    BASE = Record("checkpoint", "k", Path("model"), "digest", (), {}, 0.0, True)

    def test_their_names_are_in_no_other_section(self) -> None:
        others = {
            name for kind in sections(AdaptConfig).values() if kind is not RunOptions for name in kind.model_fields
        }
        assert not RunOptions.model_fields.keys() & others

    def test_finetune(self, tmp_path: Path) -> None:
        from asr_tv.training.finetune import finetune

        arguments = {
            "base": self.BASE,
            "data": self.MANIFEST,
            "seed": 1,
            "training": TrainingConfig(precision="fp32"),
        }
        first = identity_of(finetune, tmp_path, {"device": "cpu", "label": "one"}, **arguments)
        assert first == identity_of(finetune, tmp_path, {"device": "auto", "label": "two"}, **arguments)
        assert not first.parameters.keys() & RunOptions.model_fields.keys()

    def test_transcribe(self, tmp_path: Path) -> None:
        from asr_tv.decoding.options import Decoding
        from asr_tv.decoding.transcribe import transcribe

        arguments = {"checkpoint": self.BASE, "manifest": self.MANIFEST, "decoding": Decoding("full", "en")}
        first = identity_of(transcribe, tmp_path, {"device": "cpu", "batch_size": 1, "label": "one"}, **arguments)
        assert first == identity_of(transcribe, tmp_path, {"device": "auto", "batch_size": 64}, **arguments)
        assert not first.parameters.keys() & RunOptions.model_fields.keys()

    def test_synthesize(self, tmp_path: Path) -> None:
        from asr_tv.synthesis.synthesize import synthesize
        from asr_tv.testing.speech import FakeSynthesizer

        arguments = {"texts": self.MANIFEST, "config": SynthesisConfig(), "seed": 1, "synthesizer": FakeSynthesizer()}
        first = identity_of(synthesize, tmp_path, {"workers": 1}, **arguments)
        assert first == identity_of(synthesize, tmp_path, {"workers": 8, "label": "another"}, **arguments)
        assert not first.parameters.keys() & RunOptions.model_fields.keys()
