"""Takes passwords and tokens out of text before anybody reads it."""

import re

_SHOWN = "***"
_IN_ADDRESS = re.compile(r"(?<=://)(?:[^\s'\"<>@/]+|[^\s'\"<>@/:]*:[^\s'\"<>@]+)@")
"""What stands before the @ of an address; secrets of object storage hold slashes."""
_IN_QUERY = re.compile(
    r"(?i)([?&;][\w-]*(?:token|secret|passw|signature|credential|api[_-]?key|auth)[\w-]*=)[^&\s'\"<>]+"
)


def redacted(text: str) -> str:
    """The text with `***` for user and password of each address, and for tokens in its query."""
    if "://" not in text:
        return text
    return _IN_QUERY.sub(rf"\1{_SHOWN}", _IN_ADDRESS.sub(f"{_SHOWN}@", text))


def holds_secret(text: str) -> bool:
    """Whether an address in the text carries a password or token."""
    return redacted(text) != text
