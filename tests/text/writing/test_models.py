"""Language models as writers: a fake endpoint on this machine, and a tiny random model of transformers."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from language_models import tiny_writer

from asr_tv.errors import ConfigError, DataError
from asr_tv.text.writing.endpoint import EndpointWriter
from asr_tv.text.writing.local_model import LocalWriter

GOOD = (200, json.dumps({"choices": [{"message": {"content": "One sentence.\nAnother."}}]}))


class Endpoint(HTTPServer):
    """Answers with the replies it is given, the last one for ever, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[tuple[int, str]] = [GOOD]
        self.asked: list[tuple[str, dict, str | None]] = []

    def writer(self, **settings: object) -> EndpointWriter:
        return EndpointWriter(f"http://127.0.0.1:{self.server_port}/v1/", "writer-1", pause=0.01, **settings)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers["Authorization"]))
        status, text = self.server.replies.pop(0) if len(self.server.replies) > 1 else self.server.replies[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_chat_completion(endpoint: Endpoint):
    assert endpoint.writer(key="secret").answer("Write.", 5) == "One sentence.\nAnother."
    ((path, body, authorization),) = endpoint.asked
    assert path == "/v1/chat/completions"
    assert body["model"] == "writer-1"
    assert body["messages"] == [{"role": "user", "content": "Write."}]
    assert body["seed"] == 5
    assert authorization == "Bearer secret"


def test_a_key_is_neither_shown_nor_needed(endpoint: Endpoint):
    assert "secret" not in repr(endpoint.writer(key="secret")) + endpoint.writer(key="secret").name
    endpoint.writer().answer("Write.", 5)
    assert endpoint.asked[0][2] is None


def test_a_busy_server_is_asked_again(endpoint: Endpoint):
    endpoint.replies = [(429, "slow down"), (503, ""), GOOD]
    assert endpoint.writer().answer("Write.", 5).startswith("One")
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    ("reply", "error", "times"),
    [
        ((401, "bad\nkey"), "HTTP 401: bad key", 1),
        ((500, "broken"), "HTTP 500: broken", 4),
        ((200, "<html>"), "not a chat completion", 4),
        ((200, '{"choices": []}'), "not a chat completion", 4),
        ((200, '{"choices": [{"message": {"content": null}}]}'), "has no text", 4),
    ],
)
def test_what_goes_wrong_is_said(endpoint: Endpoint, reply: tuple[int, str], error: str, times: int):
    endpoint.replies = [reply]
    with pytest.raises((ConfigError, DataError), match=error):
        endpoint.writer().answer("Write.", 5)
    assert len(endpoint.asked) == times


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "no address", "http://[broken/v1"])
def test_an_endpoint_that_is_not_there(url: str):
    with pytest.raises(ConfigError, match="chat/completions"):
        EndpointWriter(url, "m", pause=0.0).answer("Write.", 5)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_writer(tmp_path_factory.mktemp("model"))


def test_a_local_model_goes_on_after_the_prompt_and_repeats_itself_by_seed(tiny_model: Path):
    writer = LocalWriter(str(tiny_model), device="cpu", new_tokens=12)
    first = writer.answer("Write about pad thai.", 1)
    assert first
    assert "Write about" not in first
    assert writer.answer("Write about pad thai.", 1) == first
    assert writer.answer("Write about pad thai.", 2) != first
    assert str(tiny_model) in writer.name


def test_a_folder_without_a_model_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not load as a language model"):
        LocalWriter(str(tmp_path)).answer("Write.", 1)


def test_a_prompt_that_fills_the_context_is_told_and_an_answer_is_as_long_as_fits(tmp_path: Path) -> None:
    folder = str(tiny_writer(tmp_path / "writer"))
    _, model = LocalWriter(folder)._loaded
    context = model.config.max_position_embeddings
    with pytest.raises(ConfigError, match=rf"tokens of prompt in a context of {context}"):
        LocalWriter(folder).answer("word " * 2 * context, 1)
    assert LocalWriter(folder, new_tokens=10 * context).answer("word", 1) is not None


def test_rubbish_is_asked_again(endpoint: Endpoint):
    endpoint.replies = [(200, "<html>"), (200, "{}"), GOOD]
    assert endpoint.writer().answer("Write.", 5) == "One sentence.\nAnother."
    assert len(endpoint.asked) == 3


def test_one_that_is_too_slow_is_given_up(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("asr_tv.text.writing.endpoint._SECONDS", 0.05)
    monkeypatch.setattr(_Handler, "do_POST", lambda self: time.sleep(0.3))
    with pytest.raises(ConfigError, match="ReadTimeout"):
        endpoint.writer().answer("Write.", 5)
