"""An OpenAI-compatible endpoint (``POST <address>/chat/completions``). Nothing is sent unless one is named.

Only the prompt, and a picture where one is given, leave the machine: no pseudonym, no file name. Redirects are not
followed and proxies of the environment not used, so that a report goes to the named address or nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .completion import (
    BrokenAnswerError,
    CompletionError,
    CompletionRefusedError,
    CompletionTimeoutError,
    EndpointUnusableError,
)

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 120.0
MAX_ANSWER_TOKENS = 4096
_AGAIN = frozenset({408, 409, 425, 429})
_HOPELESS = {
    401: "refuses the key; set RENALCLIP_API_KEY",
    403: "refuses the key; set RENALCLIP_API_KEY",
    404: "knows no such address or model; give the address up to and including its version, for instance .../v1",
    405: "does not take questions at this address",
}
_REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "i can’t", "i’m sorry", "i am unable", "as an ai")


class Endpoint:
    """A model behind an OpenAI-compatible address; safe to use from several threads.

    Args:
        address: For instance ``http://127.0.0.1:8000/v1``; https, unless it is this machine or ``allow_http``.
        model: Name of the model there.
        key: Sent as bearer token, or None.
        timeout_s: For one answer.
        allow_http: Whether reports may travel unencrypted to another machine.

    Raises:
        ConfigurationError: The address is none, or would send reports unencrypted.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        allow_http: bool = False,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigurationError("An endpoint's address is like https://host/v1, without user name and query.")
        if parts.scheme == "http" and not allow_http and not _is_this_machine(parts.hostname):
            raise ConfigurationError(
                "Reports are sent to another machine over https only; give --allow-http if the network is trusted."
            )
        self._url = f"{address.rstrip('/')}/chat/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name; not the address, so that answers outlive a move of the server."""
        return self._model

    def complete(self, prompt: str, png: bytes | None = None) -> str:
        """See :class:`~RenalCLIPCore.text.completion.Completer`; with a picture where one is given."""
        import httpx

        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt if png is None else _with_picture(prompt, png)}],
            "temperature": 0,
            "max_tokens": MAX_ANSWER_TOKENS,
        }
        try:
            response = self._open().post(self._url, json=body)
        except httpx.ConnectError as error:
            raise EndpointUnusableError("Nothing answers at the endpoint's address; is the server running?") from error
        except httpx.TimeoutException as error:
            raise CompletionTimeoutError(f"The endpoint gave no answer within {self._timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise CompletionTimeoutError("The connection to the endpoint broke.") from error
        _check_status(response.status_code)
        return _content(response.text)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    headers=self._headers, timeout=self._timeout_s, trust_env=False, follow_redirects=False
                )
            return self._client


@dataclass(frozen=True)
class Pictured:
    """A model that is asked about one picture (PNG); its name tells the picture, so that answers can be kept."""

    endpoint: Endpoint
    png: bytes

    @property
    def name(self) -> str:
        """Model and picture."""
        return f"{self.endpoint.name} {hashlib.sha256(self.png).hexdigest()}"

    def complete(self, prompt: str) -> str:
        """See :class:`~RenalCLIPCore.text.completion.Completer`."""
        return self.endpoint.complete(prompt, self.png)


def _with_picture(prompt: str, png: bytes) -> list[dict[str, Any]]:
    address = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": address}}]


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_status(status: int) -> None:
    if status in _HOPELESS:
        raise EndpointUnusableError(f"The endpoint {_HOPELESS[status]} (status {status}).")
    if 300 <= status < 400:
        raise EndpointUnusableError("The endpoint points elsewhere, which is not followed; give the right address.")
    if status in _AGAIN or status >= 500:
        raise CompletionTimeoutError(f"The endpoint is busy or failing (status {status}).")
    if status != 200:
        raise CompletionError(f"The endpoint does not take this question (status {status}).")


def _content(text: str) -> str:
    """The answer in a response of ``chat/completions``."""
    try:
        choice: dict[str, Any] = json.loads(text)["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BrokenAnswerError("the endpoint's response is not of the documented form.") from error
    if refusal or choice.get("finish_reason") == "content_filter":
        raise CompletionRefusedError("The model declines to answer for this report.")
    if not isinstance(content, str):
        raise BrokenAnswerError("the endpoint's response holds no text.")
    if "{" not in content and content.strip().lower().startswith(_REFUSALS):
        raise CompletionRefusedError("The model declines to answer for this report.")
    return content
