"""The page over HTTP: loopback and its own address only, bounded uploads, no analytics, and what its events answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import record
from parrots import parrots

from asr_tv.errors import ConfigError
from asr_tv.runs.trial import served
from asr_tv.runs.trial.clips import MOST_BYTES
from asr_tv.runs.trial.served import HOST, address_of, listen_on

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from starlette.testclient import TestClient

    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        with TestClient(served._application(parrots(folder / "kept")), base_url=f"http://{HOST}") as found:
            yield found


def test_it_listens_on_loopback_and_names_a_port_in_use() -> None:
    with listen_on(None) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        assert address_of(listening) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ConfigError, match=f"--port {port}: Address already in use"):
            listen_on(port)


def test_another_hosts_name_is_refused(client: Any) -> None:
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_its_policy_lets_no_request_out(client: Any) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    sources = {source for rule in policy.split(";") for source in rule.split()[1:]}
    assert sources == {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert config["stylesheets"] == []


def test_an_upload_has_a_bound(client: Any) -> None:
    whole = client.post("/gradio_api/upload", files={"files": ("a.wav", b"0" * (MOST_BYTES + 1))})
    assert whole.status_code == 413


def test_what_was_heard_is_shown_and_a_bad_file_is_a_line(tmp_path: Path) -> None:
    trial = parrots(tmp_path / "kept")
    heard, line = trial.hear(str(record(tmp_path / "a.wav", 1.0)))
    assert heard is not None
    assert [answer.text for answer in heard.answers] == ["press bound", "press pound", ""]
    assert "1.0 s of sound" in line
    (tmp_path / "text.wav").write_text("not audio " * 100)
    nothing, problem = trial.hear(str(tmp_path / "text.wav"))
    assert nothing is None
    assert 'class="problem"' in problem
    assert trial.hear(None)[0] is None


def test_a_correction_is_of_the_side_that_it_stands_under(tmp_path: Path) -> None:
    trial = parrots(tmp_path / "kept")
    heard, _ = trial.hear(str(record(tmp_path / "a.wav", 1.0)))
    assert trial.judged == 1
    assert "adapted was wrong, it should be “press round”" in trial.keep(heard, trial.judged, "press round", False)
    assert "pretrained was right" in trial.keep(heard, 0, None, False)
    rows = [json.loads(line) for line in (tmp_path / "kept" / "corrections.jsonl").read_text().splitlines()]
    assert [(row["model"], row["right"], row["text"]) for row in rows] == [
        ("a", False, "press round"),
        ("p", True, "press bound"),
    ]


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    trial = parrots(tmp_path / "kept")
    heard, _ = trial.hear(str(record(tmp_path / "a.wav", 1.0)))
    assert "record a sentence first" in trial.keep(None, 0, "x", False)
    assert "record a sentence first" in trial.keep(heard, 2, None, False)
    assert "is empty" in trial.keep(heard, 0, " ", False)
    assert "--keep FOLDER" in parrots().keep(heard, 0, None, False)
    (tmp_path / "kept").write_text("a file in the folder's place")
    assert "not kept" in trial.keep(heard, 0, None, False)


def test_sentences_are_drawn_from_those_of_the_run() -> None:
    assert parrots().sentence()[0] == "Press pound."
