"""Who may look, and what a page may do: hosts, a token, no foreign POST, and a policy under which only our files run.

Without a token only this machine is answered, under a name of this machine: a page elsewhere that has its own name
resolve to 127.0.0.1 is refused. With one, whoever has it is answered, under any name.
"""

__all__ = ["COOKIE", "Guard"]

import hmac
import secrets
from collections.abc import Collection
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "converge_inspector"
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets through what may pass to `app`, with `scope["csrf"]`, which a form must hold; answers the rest itself.

    token: what must be known to look. hosts: further names that are answered without one, where the service that
    mounts the inspector says by its own means who may look.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self._app, self._token, self._hosts = app, token, frozenset(hosts)
        self._secret = sha256((token or secrets.token_hex()).encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        session = _cookie(headers)
        refusal = self._refusal(scope, headers, session)
        is_new = refusal is None and not self._knows(session)
        if is_new:
            session = self._session()
        scope["csrf"] = self._signed("form", session)
        if refusal is None and scope["method"] not in ("GET", "HEAD") and not self._is_own(headers):
            refusal = _refused("this form was sent by another site", 403)
        path = scope.get("root_path", "") or "/"

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._stamp(MutableHeaders(scope=message), f"{session}; Path={path}" if is_new else None)
            await send(message)

        await (refusal or self._app)(scope, receive, answered)

    def _refusal(self, scope: Scope, headers: Headers, session: str) -> Response | None:
        host = _name(headers.get("host", ""))
        if self._token is None:
            if host not in _HERE | self._hosts:
                return _refused(
                    f"the host {host!r:.80} is not answered: open it as http://localhost, or give a token", 421
                )
            if host in _HERE and scope.get("client") and scope["client"][0] not in _HERE:
                return _refused("only this machine is answered without a token", 403)
            return None
        if self._knows(session) or self._is_told(headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] == "GET" and self._is_told(query.pop("token", [""])[0]):
            return self._let_in(scope, query)
        return _refused("this inspector asks for its token: open the address that it printed when it began", 401)

    def _let_in(self, scope: Scope, query: dict[str, list[str]]) -> Response:
        """Keep the token in a cookie, and out of the address, which others may see."""
        rest = urlencode(query, doseq=True)
        answer = RedirectResponse(f"{scope['path']}{f'?{rest}' if rest else ''}", 303)
        root = scope.get("root_path", "") or "/"
        answer.headers["set-cookie"] = f"{COOKIE}={self._session()}; Path={root}; {_STRICT}"
        return answer

    def _stamp(self, headers: MutableHeaders, session: str | None) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("cache-control", "no-store")
        if session is not None:
            headers.append("set-cookie", f"{COOKIE}={session}; {_STRICT}")

    # --- who it is ------------------------------------------------------------------------------------------------

    def _session(self) -> str:
        name = secrets.token_hex(16)
        return f"{name}.{self._signed('session', name)}"

    def _knows(self, session: str) -> bool:
        name, _, signature = session.partition(".")
        return bool(name) and hmac.compare_digest(signature.encode(), self._signed("session", name).encode())

    def _signed(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose} {text}".encode(), sha256).hexdigest()

    def _is_told(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def _is_own(self, headers: Headers) -> bool:
        """Whether a form comes from one of our pages, as far as the browser says."""
        origin = headers.get("origin")
        is_ours = origin is None or urlsplit(origin).netloc == headers.get("host")
        return is_ours and headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


_STRICT = "HttpOnly; SameSite=Strict"


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _name(host: str) -> str:
    """Return a host without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host


def _refused(why: str, status: int) -> Response:
    return PlainTextResponse(f"{why}\n", status)
