"""What goes through the topics, for machines: JSON Schemas of the records, and an AsyncAPI document of every topic."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from livepromo.behaviour.decoding import EARLIEST_MS, FIELDS, LATEST_MS, LONGEST_NAME, NAMES, OPTIONAL
from livepromo.model.decisions import AMOUNT_REASONS, Reason
from livepromo.model.records import DeadReason
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, Format, Settings
from livepromo.streaming.topics import TopicSpec
from livepromo.worker.topics import specs

Schema = dict[str, Any]
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_TYPES: Final = {str: "string", int: "integer", dict: "object", bool: "boolean"}
_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_INSTANT: Final[Schema] = {"type": "integer", "description": "epoch milliseconds"}
_MAYBE_INSTANT: Final[Schema] = {"type": ["integer", "null"], "description": "epoch milliseconds; null: never"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Schema] = {"type": "number"}
_AMOUNT: Final[Schema] = {"type": "number", "exclusiveMinimum": 0}


def _object(fields: dict[str, Schema], optional: tuple[str, ...] = (), about: str = "") -> Schema:
    """Return the schema of an object that has these fields and no other, in this order."""
    said = {"description": about} if about else {}
    required = [name for name in fields if name not in optional]
    return {**said, "type": "object", "properties": fields, "required": required, "additionalProperties": False}


def record_schema() -> Schema:
    """Return the schema of what comes in, in livepromo's own format: made of the table that the decoder refuses by.

    It cannot say everything: an offset must be in a text of time, nothing may be nested too deep.
    """
    kinds = []
    for kind, types in FIELDS.items():
        fields: dict[str, Schema] = {"type": {"const": kind} if kind != "event" else {"enum": [kind, None]}}
        for name, taken in types.items():
            fields[name] = _field(name, taken)
        required = [name for name in types if name not in OPTIONAL] + ([] if kind == "event" else ["type"])
        kinds.append({"title": kind, "type": "object", "properties": fields, "required": required})
    return {"$schema": _DRAFT, "title": "record", "description": "A record of the events topic.", "oneOf": kinds}


def _field(name: str, taken: tuple[type, ...]) -> Schema:
    if name == "ts":
        return {
            "description": "epoch milliseconds, or ISO 8601 with an offset; from 2000 to 2099",
            "oneOf": [{"type": "integer", "minimum": EARLIEST_MS, "maximum": LATEST_MS}, {"type": "string", "format": "date-time"}],
        }
    types = [_TYPES[one] for one in taken] + (["null"] if name in OPTIONAL else [])
    found: Schema = {"type": types[0] if len(types) == 1 else types}
    return found | ({"minLength": 1, "maxLength": LONGEST_NAME} if name in NAMES else {})


_EVENT_CAUSE: Final = {"event_id": _NAME, "event": _NAME, "ts": _INSTANT}
_CAUSE: Final[Schema] = {
    "description": "what the reward is owed for; ts is the event's own time, as it claims",
    "oneOf": [
        _object({"kind": {"const": "did"}, **_EVENT_CAUSE}),
        _object({"kind": {"const": "did_not"}, **_EVENT_CAUSE, "deadline": _INSTANT}, ("event_id", "event", "ts")),
        _object({"kind": {"enum": ["past", "list"]}}),
    ],
}
_REQUESTED: Final[Schema] = {**_AMOUNT, "description": "only of a partial reward: what it would have been"}
_REWARDS: Final = {
    "points": _object(
        {
            "type": {"const": "points"},
            "wallet": _TEXT,
            "points": _AMOUNT,
            "active_at": _INSTANT,
            "expires_at": _MAYBE_INSTANT,
            "metadata": {"type": "object"},
            "requested": _REQUESTED,
        },
        ("requested",),
    ),
    "coupon": _object(
        {
            "type": {"const": "coupon"},
            "coupon": _TEXT,
            "kind": {"enum": ["single", "bulk"]},
            "code": _TEXT,
            "redeemable_at": _INSTANT,
            "redemption_allowance": _COUNT,
        }
    ),
    "voucher": _object({"type": {"const": "voucher"}, "partner": _TEXT, "list_tag": _TEXT, "code": _TEXT, "redemption_allowance": _COUNT}),
    "custom": _object(
        {
            "type": {"const": "custom"},
            "endpoint": _TEXT,
            "item": _TEXT,
            "wallet": _TEXT,
            "value": _AMOUNT,
            "payload": {},
            "requested": _REQUESTED,
        },
        ("item", "wallet", "requested"),
        "what an endpoint is asked for: an item, or an amount of a wallet",
    ),
}


def grant_schema() -> Schema:
    """Return the schema of what is published for every reward."""
    fields = {
        "grant_id": {"type": "string", "pattern": "^gr_[0-9a-f]{32}$", "description": "the same however often the grant is seen"},
        "campaign": _TEXT,
        "revision": {"type": "integer", "minimum": 1},
        "user": _NAME,
        "granted_at": _INSTANT,
        "cause": _CAUSE,
        "reward": {"oneOf": list(_REWARDS.values())},
    }
    return {"$schema": _DRAFT, "title": "grant", **_object(fields, about="A reward that was granted.")}


def denial_schema() -> Schema:
    """Return the schema of what is published for every reward that was owed, but not granted."""
    fields = {
        "campaign": _TEXT,
        "revision": {"type": "integer", "minimum": 1},
        "user": _NAME,
        "decided_at": _INSTANT,
        "cause": _CAUSE,
        "reason": {"enum": [reason.value for reason in Reason]},
        "limit": _NUMBER,
        "used": _NUMBER,
        "requested": {**_NUMBER, "description": f"with {' and '.join(sorted(AMOUNT_REASONS))}"},
        "resets_at": _INSTANT,
    }
    optional = ("limit", "used", "requested", "resets_at")
    return {"$schema": _DRAFT, "title": "denial", **_object(fields, optional, about="A reward that was owed, and why it was not granted.")}


SCHEMAS: Final = {"record": record_schema, "grant": grant_schema, "denial": denial_schema}
"""By what `livepromo schema` calls them."""

_HEADER: Final[Schema] = {"type": "string"}
_ABOUT: Final = {
    "catalogue": "what was published, in order; internal",
    "codes": "imported codes, by pool; internal, and worth money",
    "candidates": "what is owed, between matching and deciding; internal",
    "ledger": "every grant, in the order granted: the system of record; internal",
    "state": "the changelog of profiles, windows, history; internal",
    "webhooks": "calls on their way to endpoints; internal",
    "webhooks.dead-letters": "calls that were given up; internal",
    "dead-letters": "what could not be processed, byte for byte",
}


def asyncapi(settings: Settings) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of an installation: every topic as `livepromo init` makes it, and what stands in it."""
    channels, operations = {}, {}
    for spec in specs(settings, {}):
        own = spec.name.removeprefix(f"{settings.namespace}.")
        name = "events" if spec.name == settings.events else own
        message = {"events": "record", GRANTED_TOPIC: "grant", DENIED_TOPIC: "denial", "dead-letters": "deadLetter"}.get(name, "internal")
        if name == "events" and settings.format is not Format.LIVEPROMO:
            message = "foreignRecord"
        key = name.replace(".", "-")
        channels[key] = _channel(spec, message, _ABOUT.get(name))
        if message != "internal":
            action = "receive" if name == "events" else "send"
            operations[f"{action}-{key}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{key}"},
                "messages": [{"$ref": f"#/channels/{key}/messages/{message}"}],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "livepromo",
            "version": version("livepromo"),
            "description": "Promotion campaigns on a stream of events: what comes in, and what goes out. Actions are livepromo's own.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(settings), "schemas": {name: _bare(make()) for name, make in SCHEMAS.items()}},
    }


def _bare(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "$schema"}


def _channel(spec: TopicSpec, message: str, about: str | None) -> dict[str, Any]:
    configuration: dict[str, Any] = {}
    for name, value in spec.config.items():
        match name:
            case "cleanup.policy":
                configuration[name] = [value]
            case "retention.ms" | "retention.bytes" | "max.message.bytes":
                configuration[name] = int(value)
            case _:  # not one that AsyncAPI has a word for
                pass
    said = {"description": about} if about else {}
    return {
        "address": spec.name,
        **said,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": spec.name, "partitions": spec.partitions, "topicConfiguration": configuration}},
    }


def _messages(settings: Settings) -> dict[str, Any]:
    by_user = {"kafka": {"key": {**_NAME, "description": "the user; its murmur2 is the partition"}}}

    def headers(**which: Schema) -> Schema:
        return {"type": "object", "properties": {name.replace("_", "-"): schema for name, schema in which.items()}}

    return {
        "record": {"title": "an event, a profile or a membership", "payload": _schema("record"), "bindings": by_user},
        "foreignRecord": {"title": f"a record in the format {settings.format}: see docs/formats.md", "payload": {}, "bindings": by_user},
        "grant": {
            "title": "a grant",
            "description": "May come more than once: drop repeats by grant_id.",
            "headers": headers(grant_id=_HEADER, campaign=_HEADER, reward_type={"enum": list(_REWARDS)}),
            "payload": _schema("grant"),
            "bindings": by_user,
        },
        "denial": {"title": "a denial", "payload": _schema("denial"), "bindings": by_user},
        "deadLetter": {
            "title": "a dead letter",
            "contentType": "application/octet-stream",
            "headers": headers(
                reason={"enum": [reason.value for reason in DeadReason]},
                topic=_HEADER,
                partition=_HEADER,
                offset=_HEADER,
                truncated={"const": "true"},
            ),
            "payload": {},
        },
        "internal": {"title": "internal: read and written by livepromo alone", "contentType": "application/octet-stream", "payload": {}},
    }


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
