"""How the settings become connections: of every client of Kafka, and of every client of Redis."""

from __future__ import annotations

import ssl

from livepromo.ledger.redis_address import RedisAddress, Tls
from livepromo.settings import PREFIX, Mechanism, Settings, SettingsError
from livepromo.streaming.connecting import Connection, EndpointTokens, FileTokens


def kafka_of(settings: Settings) -> Connection:
    """Return how Kafka is reached. Raises SettingsError for certificates that are none."""
    protocol = settings.kafka_security_protocol
    files = Tls(settings.kafka_ca, settings.kafka_certificate, settings.kafka_key)
    tls = _context("KAFKA", files, settings.kafka_key_password) if protocol.endswith("SSL") else None
    tokens: FileTokens | EndpointTokens | None = None
    if protocol.startswith("SASL") and settings.kafka_mechanism is Mechanism.OAUTHBEARER:
        if settings.kafka_token_file:
            tokens = FileTokens(settings.kafka_token_file)
        else:
            tokens = EndpointTokens(
                settings.kafka_token_url,
                settings.kafka_user,
                settings.kafka_password,
                settings.kafka_scope,
                _context("KAFKA", Tls(settings.kafka_ca), ""),
            )
    return Connection(
        servers=settings.kafka,
        protocol=protocol,
        mechanism=settings.kafka_mechanism,
        user=settings.kafka_user,
        password=settings.kafka_password,
        tls=tls,
        tokens=tokens,
    )


def redis_of(settings: Settings) -> RedisAddress:
    """Return how Redis is reached. Raises SettingsError for certificates that are none."""
    found = RedisAddress.parse(settings.redis)
    tls = found.tls and Tls(settings.redis_ca, settings.redis_certificate, settings.redis_key)
    if tls is not None:
        _context("REDIS", tls, "")
    return RedisAddress(
        hosts=found.hosts,
        mode=settings.redis_mode.value,
        database=found.database,
        master=settings.redis_master,
        user=settings.redis_user or found.user,
        password=settings.redis_password or found.password,
        sentinel_user=settings.redis_sentinel_user,
        sentinel_password=settings.redis_sentinel_password,
        tls=tls,
    )


def _context(whose: str, files: Tls, key_password: str) -> ssl.SSLContext:
    named = f"{PREFIX}{whose}_CA"
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
        if files.certificate:
            named = f"{PREFIX}{whose}_CERTIFICATE, with {PREFIX}{whose}_KEY"
            # With a function, OpenSSL does not ask at the terminal for a password that is missing.
            context.load_cert_chain(files.certificate, files.key or None, lambda: key_password)
    except (OSError, ValueError) as error:  # of which ssl.SSLError is one
        why = error.reason if isinstance(error, ssl.SSLError) and error.reason else type(error).__name__
        raise SettingsError(f"{named} cannot be used ({why}): it must be PEM files that belong together") from None
    return context
