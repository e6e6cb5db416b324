"""livepromo schema: which fields has a document of a kind, a record, a grant; and what is in which topic?"""

from __future__ import annotations

import json

from livepromo.cli.naming import unknown
from livepromo.cli.output import put
from livepromo.documents.schemas import ANY_KIND, schema_of
from livepromo.model.documents import KINDS

_RECORDS = ("record", "grant", "denial")
_TOPICS = "asyncapi"


def schema(kind: str = ANY_KIND, /) -> None:
    """Write the JSON Schema of a kind, by which editors complete and check documents while they are written.

    It knows the fields and what their values look like. What may be combined, and whether what is referred to exists, is said by
    `livepromo check`. An editor finds the schema by a comment in the first line: `# yaml-language-server: $schema=campaign.json`.
    For those who write events and read grants there are the schemas of records, and an AsyncAPI 3.0 document of every topic.

    Example: `livepromo schema campaign > campaign.json`

    Args:
        kind: campaign, wallet, coupon, partner, voucher_list, item, endpoint, segment or list; or document, for files of several kinds;
            record (what comes in), grant, denial (what goes out); or asyncapi, all topics of this installation, by its settings.
    """
    if kind in {*KINDS, ANY_KIND}:
        found = schema_of(kind)
    elif kind in _RECORDS:
        from livepromo.worker.describing import SCHEMAS  # noqa: PLC0415 - slow to import

        found = SCHEMAS[kind]()
    elif kind == _TOPICS:
        from livepromo.settings import load  # noqa: PLC0415 - slow to import
        from livepromo.worker.describing import asyncapi  # noqa: PLC0415

        found = asyncapi(load())
    else:
        raise unknown("kind", kind, (*KINDS, ANY_KIND, *_RECORDS, _TOPICS))
    put(json.dumps(found, indent=2, ensure_ascii=False))
