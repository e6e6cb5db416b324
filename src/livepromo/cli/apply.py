"""livepromo apply: publish documents."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from livepromo.cli.check import no_options
from livepromo.cli.naming import who
from livepromo.cli.output import say
from livepromo.cli.problems import refuse_errors
from livepromo.cli.publishing import wait_until_taken
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue, Publication, publication_of
from livepromo.documents.files import read_files
from livepromo.documents.references import check_documents
from livepromo.model.documents import key_of
from livepromo.settings import load
from livepromo.telemetry import clock


async def apply(
    files: Annotated[list[str], Parameter(allow_leading_hyphen=True, validator=no_options)],
    /,
    *,
    strict: bool = False,
    accept_short_history: bool = False,
    by: str | None = None,
    no_wait: bool = False,
) -> None:
    """Check documents against each other and what is published, then publish those that are new or changed: all or none.

    What is published takes effect without a restart. The command returns when every partition has taken it, or says after 10 seconds
    which have not. Publishing the same again changes nothing. Campaigns that give codes of their own need some: import them first.

    Example: `livepromo apply wallets.yaml campaigns/ --by anna`

    Args:
        files: YAML or JSON files, directories of them, or - for standard input.
        strict: Advice (a limit per user and one per campaign) is an error, not a warning.
        accept_short_history: A look-back that reaches further than the events topic does is a warning, not an error.
        by: Who publishes, for the history; the login name if not said.
        no_wait: Do not wait until the partitions have taken it.
    """
    from livepromo.worker.look_backs import judge_look_backs, looks_back, reach_of  # noqa: PLC0415 - slow to import
    from livepromo.worker.pools import codes_left  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log, publish  # noqa: PLC0415

    settings = load()
    read, problems = read_files(files, settings.timezone)
    if any(problem.severity == "error" for problem in problems):
        refuse_errors(problems)  # before Kafka is asked: what is published cannot make these good
    there = await partitions(settings, "catalogue", "state", "codes", events=True)
    pools = {link.key for document in read for link in document.links if link.gives_codes}
    left = await codes_left(settings, sorted(pools), there[settings.topic("codes")]) if pools else {}
    reach = None
    if looks_back(read):
        async with kafka_log(settings) as log:
            reach = await reach_of(log, settings, there[settings.events], clock.wall_ms())

    def make(catalogue: Catalogue) -> Publication | None:
        now_ms = clock.wall_ms()
        found = check_documents(read, catalogue, now_ms=now_ms, strict=strict, codes_left=left)
        short = judge_look_backs(read, catalogue, reach, now_ms, accepted=accept_short_history)
        refuse_errors([*problems, *found, *short])
        return publication_of(read, catalogue, who(by))

    taken = await publish(settings, make)
    if taken is None:
        say("nothing changed: all of it is published already")
        return
    for key in sorted(_published(taken.publication)):
        say(f"{key}: published revision {taken.catalogue.entries[key].revision}")
    if not no_wait:
        await wait_until_taken(settings, taken)


def _published(publication: object) -> list[str]:

    assert isinstance(publication, Publication), publication
    return [key_of(document) for document in publication.documents]
