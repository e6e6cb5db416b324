"""livepromo schema: which fields has a document of a kind?"""

from __future__ import annotations

import json

from livepromo.cli.naming import unknown
from livepromo.cli.output import put
from livepromo.documents.schemas import ANY_KIND, schema_of
from livepromo.model.documents import KINDS


def schema(kind: str = ANY_KIND, /) -> None:
    """Write the JSON Schema of a kind, by which editors complete and check documents while they are written.

    It knows the fields and what their values look like. What may be combined, and whether what is referred to exists, is said by
    `livepromo check`. An editor finds the schema by a comment in the first line: `# yaml-language-server: $schema=campaign.json`.

    Example: `livepromo schema campaign > campaign.json`

    Args:
        kind: campaign, wallet, coupon, partner, voucher_list, item, endpoint, segment or list; or document, for files of several kinds.
    """
    if kind not in {*KINDS, ANY_KIND}:
        raise unknown("kind", kind, (*KINDS, ANY_KIND))
    put(json.dumps(schema_of(kind), indent=2, ensure_ascii=False))
