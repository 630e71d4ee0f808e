"""What must not leave a machine in a diagnosis: secrets that are known here, and whatever looks like one.

A machine: texts in, texts out. Known secrets go in every form that somebody may have written them in.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

LEFT_OUT = "(left out)"
_LEAST = 6
"""Characters of a known secret that is worth looking for: shorter ones are in half of all texts."""

_PATTERNS = (
    (re.compile(r"kos1-[0-9a-z-]{20,}", re.I), LEFT_OUT),
    (re.compile(r"kos-edge-key 1 [0-9a-f]+( [0-9a-f]+)?", re.I), LEFT_OUT),
    (re.compile(r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|\Z)", re.S), LEFT_OUT),
    (re.compile(r"\b(([0-9a-f]{2}[:-]){3})([0-9a-f]{2}[:-]){2}[0-9a-f]{2}\b", re.I), r"\1xx:xx:xx"),
    (
        re.compile(
            r"(?i)\b((?:[a-z0-9_.-]*)(?:pass(?:word|phrase|wd)?|secret|token|api[_-]?key|authorization|bearer|psk)"
            r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+(?: \S+)?)"
        ),
        rf"\1{LEFT_OUT}",
    ),
    (re.compile(r"\b(bearer|basic) +[a-z0-9._~+/=-]{8,}", re.I), rf"\1 {LEFT_OUT}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), LEFT_OUT),  # a JSON web token
    (re.compile(r"(\w+://)[^@\s/?#]+@"), rf"\1{LEFT_OUT}@"),  # a name alone may be the token
)
_PRIVATE_KEYS = re.compile(r"(?i)pass|secret|token(?!-file)|last_error|^body$|^values?$")
"""Names in reports whose values stay here. A file's path is no secret."""


class Scrubber:
    """Takes known secrets and what looks like one out of texts and values."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            forms |= {secret.hex(), secret.hex().upper(), secret.decode("latin-1")}
            for code in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
                forms.add(code(secret).decode().rstrip("="))
        self._forms = sorted((each for each in forms if len(each) >= _LEAST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, LEFT_OUT)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """The same for a value as JSON has it."""
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each, name) for each in value]
        if value is not None and not isinstance(value, bool) and _PRIVATE_KEYS.search(name):
            return LEFT_OUT
        return self.text(value) if isinstance(value, str) else value
