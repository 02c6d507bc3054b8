"""Passwords and tokens: planted, then looked for in everything that a run leaves behind and prints."""

import logging
from pathlib import Path

import pytest
from commands import Command
from refusals import refused

from asr_tv.config.parsing import parse_config
from asr_tv.errors import ConfigError, DataError, TryAgain
from asr_tv.safe_text import holds_secret, redacted
from asr_tv.store.object_storage import Bucket
from asr_tv.text.writing.endpoint import EndpointWriter

CANARY = "c4n4ry-9f2e"
VARIABLES = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("AWS_SESSION_TOKEN", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_KEY"),
    *("ASR_TV_PASSWORD", "ASR_TV_DATABASE_PASSWORD", "GITHUB_TOKEN"),
)
RUN = """
name: small
model: base
synthesis: {engine: fake, voices: [tone], takes: 1}
training: {epochs: 1, batch_size: 4, precision: fp32}
selection: {method: fixed, fixed: {start: pretrained, scaling_coef: 0, augmentation: false}}
retention: {noise_seconds: 1}
scoring: {resamples: 100, max_new_tokens: 8}
"""


def test_a_run_leaves_no_secret_of_its_environment(
    asr_tv: Command, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@127.0.0.1:9")
    (tmp_path / "base").symlink_to(models / "base")
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "t.txt").write_text("Hello there.\nGood bye now.\nPlease hold the line.\n")
    done = asr_tv("adapt", "run.yaml", "--target-text", "t.txt")
    assert done.code == 0, done.lines
    for command in (["doctor"], ["report", "runs/small"], ["report", "runs/small", "--json"]):
        done = asr_tv(*command)
        assert CANARY not in done.out + "".join(done.lines)
    written = [path for folder in (".store", "runs") for path in Path(folder).rglob("*") if path.is_file()]
    assert {"record.json", "report.json", "report.html", "report.md", "README.md"} <= {path.name for path in written}
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://me:{CANARY}@example.org/x", "https://***@example.org/x"),
        (f"https://{CANARY}@example.org/x", "https://***@example.org/x"),
        (f"s3://KEY:{CANARY}/with/slashes+more@bucket/path", "s3://***@bucket/path"),
        (f"no postgresql+asyncpg://p:{CANARY}@db/x here", "no postgresql+asyncpg://***@db/x here"),
        (f"https://h/x?a=1&access_token={CANARY}&b=2", "https://h/x?a=1&access_token=***&b=2"),
        (f"https://h/x?X-Amz-Signature={CANARY}", "https://h/x?X-Amz-Signature=***"),
        (f"one ftp://a:{CANARY}@b and sftp://c:{CANARY}@d", "one ftp://***@b and sftp://***@d"),
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ("s3://bucket/asr-tv", "s3://bucket/asr-tv"),
        ("me@example.org", "me@example.org"),
        ("openai/whisper-tiny.en", "openai/whisper-tiny.en"),
        ("10:30 @ the gate", "10:30 @ the gate"),
    ],
)
def test_what_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert holds_secret(text) is (CANARY in text)


@pytest.mark.parametrize("kind", [ConfigError, DataError, TryAgain])
def test_no_mistake_shows_one(kind: type[DataError]) -> None:
    error = kind([f"store s3://KEY:{CANARY}@bucket: refused", "b"])
    assert CANARY not in f"{error} {error!r} {error.problems}"


def test_a_configuration_may_not_hold_one() -> None:
    values = {"name": "x", "general": [{"kind": "huggingface", "path": f"https://me:{CANARY}@h/d"}], "seed": "x"}
    problems = refused(lambda: parse_config(values, "run.yaml"), "general.0.path: an address with a password", "seed: ")
    assert CANARY not in "".join(problems)


def test_neither_a_store_nor_an_endpoint_shows_its_own(tmp_path: Path) -> None:
    bucket = Bucket(f"nosuchkind://me:{CANARY}@bucket", tmp_path)
    assert CANARY not in "".join(refused(lambda: bucket.read("x"), "store nosuchkind://***@bucket"))
    writer = EndpointWriter(f"http://me:{CANARY}@127.0.0.1:9/v1", "m", key=CANARY, pause=0.0)
    assert CANARY not in repr(writer.name)
    assert CANARY not in "".join(refused(lambda: writer.answer("hi", 1), "http://***@127.0.0.1:9/v1"))


def test_no_line_of_the_log_shows_one() -> None:
    from asr_tv.cli import _Lines

    record = logging.LogRecord("asr_tv", 30, "f", 1, "lease at %s\x1b[2J", (f"s3://K:{CANARY}@b",), None)
    assert _Lines("%(message)s").format(record) == "lease at s3://***@b⟨U+001B⟩[2J"
    settings = pytest.importorskip("flows.settings")
    assert settings._without_secrets(record)
    assert CANARY not in record.getMessage()
