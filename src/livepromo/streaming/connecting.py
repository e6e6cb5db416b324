"""How a client of Kafka is made: where the brokers are and who we are; and what is said when they do not let us."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from livepromo.streaming import private_names
from livepromo.streaming.errors import RefusedError, UnavailableError

SEE: Final = "see docs/security.md"
_ANSWER_S: Final = 10.0
_RENEW_BEFORE_S: Final = 30.0
_NOT_ALLOWED: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where Kafka is and who we are: all that every client is made of. Its `repr` shows no secret."""

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    tokens: AbstractTokenProvider | None = None

    def __repr__(self) -> str:
        return f"Connection({self.servers}, {self.protocol}, {self.mechanism}, {self.user!r})"

    def options(self) -> dict[str, Any]:
        """Return what makes a client of aiokafka one of this connection."""
        return {"bootstrap_servers": self.servers, **self.security()}

    def security(self) -> dict[str, Any]:
        """Return the same without the addresses."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls}
        if self.protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.mechanism
            if self.tokens is None:
                options |= {"sasl_plain_username": self.user, "sasl_plain_password": self.password}
            else:
                options["sasl_oauth_token_provider"] = self.tokens
        return options


class _Client(Protocol):
    async def start(self) -> None: ...


async def open_client(client: _Client, connection: Connection) -> None:
    """Start a client of the connection.

    Raises:
        RefusedError: the brokers do not take us for whom we say we are, or we them. aiokafka says that it cannot connect, no more.
        KafkaError: anything else.
    """
    if connection.tokens is not None and (refused := await refusal(connection)) is not None:
        raise refused  # aiokafka would take what a broker says of a wrong token for a yes
    try:
        await client.start()
    except KafkaError as error:
        if isinstance(error, KafkaConnectionError) and (refused := await refusal(connection)) is not None:
            raise refused from error
        raise


async def refusal(connection: Connection) -> RefusedError | None:
    """Knock at the brokers, and return what the first that does not let us in says; None where all do, or none answers."""
    if connection.protocol == "PLAINTEXT":
        return None
    for host, port in private_names.addresses(connection.servers):
        try:
            await private_names.knock(host, port, **connection.security())
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            said = _said(error, connection)
            if said is not None:
                return RefusedError(f"kafka at {host}:{port} {said}: {SEE}")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it came from."""
    found: BaseException | None = error
    for _ in range(8):  # errors of libraries may go in a circle
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _said(error: BaseException, connection: Connection) -> str | None:
    """Say why a broker and we do not get on, and what to do about it; None where that is not known."""
    for cause in _causes(error):
        match cause:
            case UnsupportedSaslMechanismError():
                return f"does not take {connection.mechanism}: set LIVEPROMO_KAFKA_MECHANISM to one that it takes"
            case IllegalSaslStateError():
                return "wants no SASL at this port: set LIVEPROMO_KAFKA_SECURITY_PROTOCOL, or the port, to what the listener is"
            case SaslAuthenticationFailed() if connection.tokens is not None:
                return f"refuses our token ({_words(cause)}): look at LIVEPROMO_KAFKA_TOKEN_FILE or LIVEPROMO_KAFKA_TOKEN_URL"
            case SaslAuthenticationFailed():
                who = f'user "{connection.user}" over {connection.mechanism} ({_words(cause)})'
                return f"refuses {who}: look at LIVEPROMO_KAFKA_USER and LIVEPROMO_KAFKA_PASSWORD"
            case ssl.SSLCertVerificationError():
                return f"shows a certificate that is not trusted ({cause.verify_message}): look at LIVEPROMO_KAFKA_CA"
            case ssl.SSLError() if "ALERT" in (cause.reason or ""):
                return f"refuses our certificate ({cause.reason}): look at LIVEPROMO_KAFKA_CERTIFICATE and LIVEPROMO_KAFKA_KEY"
            case ssl.SSLError() if cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
                return "does not speak TLS at this port: set LIVEPROMO_KAFKA_SECURITY_PROTOCOL, or the port, to what the listener is"
            case ValueError():  # what it signed does not fit the password
                return "does not know our password: look at LIVEPROMO_KAFKA_PASSWORD"
            case _:
                continue
    return None


def _words(error: BaseException) -> str:
    """Return what the error was told, without its kind and its number."""
    return " ".join(str(error.args[0] if error.args else "").split()) or "no reason given"


def not_allowed(error: BaseException, what: str, right: str) -> RefusedError | None:
    """Return what to say where Kafka knows us, but does not allow what we asked for (`right`, as an ACL says it); None otherwise."""
    for cause in _causes(error):
        if isinstance(cause, _NOT_ALLOWED):
            return RefusedError(f"{what}: kafka does not allow it ({type(cause).__name__}): give our user {right}: {SEE}")
    return None


def failure(error: KafkaError, what: str, right: str) -> RefusedError | UnavailableError:
    """Return the error in our words: Kafka does not allow it, or does not do it."""
    return not_allowed(error, what, right) or UnavailableError(f"{what}: {error!r}")


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """The token of a file, read anew for each connection: whoever renews it needs to tell nobody."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def token(self) -> str:
        """Return what the file holds."""
        try:
            text = await asyncio.to_thread(Path(self._path).read_text, "utf-8")
        except (OSError, ValueError) as error:
            raise SaslAuthenticationFailed(f"the token cannot be read: {type(error).__name__}") from None
        return text.strip()


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Tokens of an OAuth 2 endpoint, by client credentials; each is used until shortly before its end."""

    def __init__(self, url: str, client_id: str, secret: str, scope: str, tls: ssl.SSLContext | None) -> None:
        self._url, self._tls = url, tls
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}
        self._asked = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._token, self._until_s = "", 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that holds for a while. An endpoint that is away is as a broker that is away."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._until_s:
                self._token, lasts_s = await self._ask()
                self._until_s = loop.time() + max(0.0, lasts_s - _RENEW_BEFORE_S)
            return self._token

    async def _ask(self) -> tuple[str, float]:
        import aiohttp  # noqa: PLC0415 - slow to import

        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_ANSWER_S)) as session,
                session.post(self._url, data=self._asked, headers=self._headers, ssl=self._tls or True, allow_redirects=False) as answer,
            ):
                body, status = await answer.read(), answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(f"the token endpoint is away: {type(error).__name__}") from None
        if status >= 500:  # noqa: PLR2004 - the endpoint's own trouble
            raise ConnectionError(f"the token endpoint answers {status}")
        if status != 200:  # noqa: PLR2004 - anything else is a refusal
            raise SaslAuthenticationFailed(f"the token endpoint answers {status}")
        try:
            found = msgspec.json.decode(body, type=_Token)
        except msgspec.DecodeError:
            raise SaslAuthenticationFailed("what the token endpoint answers is no token") from None
        return found.access_token, found.expires_in


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 60.0
