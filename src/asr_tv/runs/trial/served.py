"""The page on loopback: other hosts are refused, its policy forbids every foreign address, uploads are bounded."""

import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from asr_tv.errors import ConfigError
from asr_tv.runs.trial.clips import MOST_BYTES
from asr_tv.runs.trial.page import build_page, style
from asr_tv.runs.trial.trial import Trial

HOST = "127.0.0.1"
_PORTS = range(7860, 7900)
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Gradio's page has scripts in its HTML, so those cannot be forbidden; foreign addresses can."""


def listen_on(port: int | None) -> socket.socket:
    """A socket on loopback, at the port or at the first free one from 7860.

    Raises:
        ConfigError: the port, or every one of them, is in use or not ours to open.
    """
    reason = ""
    for candidate in _PORTS if port is None else (port,):
        try:
            return socket.create_server((HOST, candidate))
        except OSError as error:
            reason = str(error.strerror)
    tried = f"{_PORTS[0]} to {_PORTS[-1]}" if port is None else port
    raise ConfigError(f"--port {tried}: {reason}; give another")


def address_of(listening: socket.socket) -> str:
    """Where a browser finds the page."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def serve(trial: Trial, listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C or SIGTERM; uploads lie in a folder that is removed afterwards.

    Args:
        ready: is told the address once the page is built, which takes seconds.
    """
    import uvicorn

    with tempfile.TemporaryDirectory(prefix="asr-tv-try-") as uploads:
        # Read when Gradio is imported and when it makes its components.
        os.environ.update(GRADIO_TEMP_DIR=uploads, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
        config = uvicorn.Config(_application(trial), log_level="warning", timeout_graceful_shutdown=2)
        ready(address_of(listening))
        uvicorn.Server(config).run(sockets=[listening])


def _application(trial: Trial) -> Any:
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app.middleware("http")(_confine)
    plain = gr.themes.Font
    theme = gr.themes.Default(font=[plain("system-ui"), plain("sans-serif")], font_mono=[plain("monospace")])
    return gr.mount_gradio_app(
        app,
        build_page(trial),
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=True,
        theme=theme,
        css=style(),
    )


async def _confine(request: Any, follow: Any) -> Any:
    """The answer to a request, with the policy that keeps the page to this machine."""
    response = await follow(request)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
