"""A language model behind an OpenAI-compatible endpoint: POST {url}/chat/completions."""

import json
import time
from dataclasses import dataclass, field

from asr_tv.errors import ConfigError, DataError

_SECONDS = 120.0
_TRIES = 4
_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class EndpointWriter:
    """Chat completions of one model; the key is sent as a bearer token and never shown.

    `url` is without /chat/completions; `pause` is in seconds before the second attempt, doubled for each further one.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.9
    pause: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.model} (temperature {self.temperature:g})"

    def answer(self, prompt: str, seed: int) -> str:
        """The text of the first choice; a server that is busy, fails, or answers something else gets four requests.

        Raises:
            ConfigError: the endpoint does not respond, or refuses the request.
            DataError: the response is not a chat completion.
        """
        import httpx

        body = {"model": self.model, "temperature": self.temperature, "seed": seed}
        body |= {"messages": [{"role": "user", "content": prompt}]}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        where = f"{self.url.rstrip('/')}/chat/completions"
        for attempt in range(_TRIES):
            try:
                response = httpx.post(where, json=body, headers=headers, timeout=_SECONDS)
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            except httpx.InvalidURL as error:
                raise ConfigError(f"{where}: not an address: {error}") from None
            else:
                if response.status_code == 200:
                    try:
                        return _text(response.text, where)
                    except DataError:
                        if attempt + 1 == _TRIES:
                            raise
                reason = f"HTTP {response.status_code}: {' '.join(response.text.split())[:200]}"
                if response.status_code not in (*_AGAIN, 200):
                    break
            if attempt + 1 < _TRIES:
                time.sleep(self.pause * 2**attempt)
        raise ConfigError(f"{where}: {reason}")


def _text(content: str, where: str) -> str:
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{where}: the response is not a chat completion ({error!r})") from None
    if not isinstance(text, str):
        raise DataError(f"{where}: the response has no text")
    return text
