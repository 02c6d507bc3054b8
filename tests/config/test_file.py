"""Configuration files: what is read, what is refused, and `--set` on top."""

from pathlib import Path

import pytest

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.file import load_config, read_config, section_of
from asr_tv.config.run import TrainingConfig
from asr_tv.config.sequence import SequenceConfig
from asr_tv.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
RUN = """\
name: demo
corpora:
  - kind: asterisk
    line: {snr_db: 10}
training: {epochs: 3}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


def refused(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return list(caught.value.problems)


class TestExamples:
    def test_there_are_some(self) -> None:
        assert {"demo.yaml", "text_only.yaml"} <= {path.name for path in EXAMPLES}

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_each_parses_and_takes_the_users_texts(self, path: Path) -> None:
        if "asr-tv benchmark" in path.read_text():
            assert read_config(BenchmarkConfig, path).name == path.stem
            return
        if "asr-tv sequence" in path.read_text():
            assert read_config(SequenceConfig, path).name == path.stem
            return
        assert load_config(path).name == path.stem
        target = load_config(path, target_texts=Path("my.txt")).target
        assert target is not None
        assert (target.texts, target.domain) == ("my.txt", None)

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_each_says_what_it_needs_and_how_it_is_run(self, path: Path) -> None:
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any("Needs:" in line for line in header)
        commands = ("adapt", "benchmark", "sequence")
        assert any(f"asr-tv {command} configs/{path.name}" in line for command in commands for line in header)


class TestOverrides:
    def test_values_are_yaml(self, run: Path) -> None:
        config = load_config(
            run,
            [
                "training.epochs=7",
                "training.learning_rate=3e-5",
                "selection.scaling_coefs=[0, 0.5]",
                "corpora.0.line.codec=none",
                "target={domain: voicemail}",
                "model=a=b",
                "training.epochs=8",
            ],
        )
        assert config.training.epochs == 8
        assert config.training.learning_rate == 3e-5
        assert config.selection.scaling_coefs == (0.0, 0.5)
        assert config.corpora[0].line is not None
        assert (config.corpora[0].line.codec, config.corpora[0].line.snr_db) == ("none", 10)
        assert config.target is not None
        assert config.target.domain == "voicemail"
        assert config.model == "a=b"
        assert run.read_text() == RUN

    def test_problems_of_file_and_overrides_come_together(self, run: Path) -> None:
        run.write_text(RUN + "sed: 3\n")
        assert [
            problem.split(";")[0].split(" (found")[0] for problem in refused(run, "seed", "=3", "x=[", "seed=a")
        ] == [
            "--set 'seed': expected section.key=value",
            "--set '=3': expected section.key=value",
            "--set 'x=[': the value is not YAML",
            "run.yaml: seed: Input should be a valid integer, unable to parse string as an integer",
            "run.yaml: unknown key sed",
        ]

    def test_an_unusable_override_is_not_passed_over(self, run: Path) -> None:
        assert refused(run, "seed") == ["--set 'seed': expected section.key=value"]

    def test_a_section_alone(self) -> None:
        assert section_of(TrainingConfig, ["epochs=2"]) == TrainingConfig(epochs=2)
        with pytest.raises(ConfigError) as caught:
            section_of(TrainingConfig, ["epoch=2", "batch_size=0", "x"])
        assert [problem.split(";")[0] for problem in caught.value.problems] == [
            "--set 'x': expected section.key=value",
            "--set: batch_size: Input should be greater than or equal to 1 (found 0)",
            "--set: unknown key epoch",
        ]


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        assert refused(tmp_path / "no.yaml") == [f"{tmp_path / 'no.yaml'}: there is no such file"]

    def test_a_folder(self, tmp_path: Path) -> None:
        (problem,) = refused(tmp_path)
        assert problem.startswith(f"{tmp_path}: cannot be read: ")

    def test_not_utf8(self, run: Path) -> None:
        run.write_bytes(b"name: d\xe9mo\n")
        (problem,) = refused(run)
        assert problem.startswith(f"{run}: cannot be read: ")

    @pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- a\n- b\n", "list"), ("just words\n", "str")])
    def test_no_keys(self, run: Path, text: str, kind: str) -> None:
        run.write_text(text)
        assert refused(run) == [f"{run}: expected keys and values, found {kind}"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("name: [demo\n", "line 2, column 1"),
            ("name: demo\n\tseed: 1\n", "line 2, column 1"),
            ("name: a: b\n", "line 1, column 8"),
            ("a: \x00\n", "special characters are not allowed"),
            ("name: demo\nseed: 1\nname: other\n", "key name stands twice"),
            ("name: demo\ntraining: {epochs: 1, epochs: 2}\n", "key epochs stands twice"),
            ("name: 2024-13-45\n", "month must be in 1..12"),
            ("? [a]\n: b\n", "unhashable key"),
        ],
    )
    def test_broken_yaml_says_where(self, run: Path, text: str, says: str) -> None:
        run.write_text(text)
        (problem,) = refused(run)
        assert problem.startswith(f"{run}: not YAML: ")
        assert says in problem
        assert "\n" not in problem

    def test_very_deep_nesting(self, run: Path) -> None:
        run.write_text("name: " + "[" * 100_000)
        (problem,) = refused(run)
        assert problem.startswith(f"{run}: not YAML: ")

    @pytest.mark.parametrize(
        "value",
        [
            "!!python/object/apply:os.system ['touch {marker}']",
            "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]",
            "!!python/name:os.system",
            "!mine {{a: 1}}",
        ],
    )
    def test_tags_run_nothing(self, run: Path, tmp_path: Path, value: str) -> None:
        marker = tmp_path / "marker"
        tag = value.format(marker=marker)
        run.write_text(f"name: {tag}\n")
        (problem,) = refused(run)
        assert "could not determine a constructor for the tag" in problem
        run.write_text(RUN)
        assert refused(run, f"name={tag}") == [f"--set {f'name={tag}'!r}: the value is not YAML"]
        assert not marker.exists()

    def test_anchors_and_merges_are_understood(self, run: Path) -> None:
        run.write_text(RUN + "general:\n  - &a {kind: asterisk, max_seconds: 4}\n  - {<<: *a, max_seconds: 5}\n")
        assert [corpus.max_seconds for corpus in load_config(run).general] == [4, 5]
