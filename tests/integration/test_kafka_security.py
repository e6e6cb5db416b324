"""Kafka as people run it: TLS, SASL, ACLs, for every client that livepromo opens; what is refused ends with one line and exit 3."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from livepromo.sandbox.certificates import Certificates
from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import DENIED, GRANTED, In, Installation, Worker, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka-security"), pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs/security.md"
PASSWORD = "hunter2-" + secrets.token_hex(8)
CODE = "CODE-" + secrets.token_hex(4)
T0 = 1_767_225_600_000
POOLS = """
{kind: wallet, id: grocery}
---
{kind: coupon, id: spring, type: bulk}
"""
CAMPAIGNS = """
kind: campaign
id: cart
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 10}, recurrence: {total: 1}, budget: {campaign: 1000}}}
---
kind: campaign
id: rate
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {percent: 10, of: amount}, recurrence: {total: 1}, budget: {campaign: 1000}}}
---
kind: campaign
id: gift
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought}}
reward: {coupon: {type: bulk, coupon: spring, max_per_user: 1}}
"""


class Right(NamedTuple):
    who: str
    on: str
    named: tuple[str, ...]
    operations: tuple[str, ...]


def table(head: str) -> list[Right]:
    """Return the page's table of rights whose first column is `head`; a row of several commands as several."""
    found = []
    lines = PAGE.read_text(encoding="utf-8").partition(f"| {head} | on | named | rights |\n")[2].splitlines()[1:]
    for line in lines:
        if not line.startswith("|"):
            break
        who, on, named, rights = (cell.strip() for cell in line.strip("|").split("|"))
        for one in re.findall(r"`livepromo ([^`]+)`", who) or [who]:
            found.append(Right(one, on, tuple(re.findall(r"`([^`]+)`", named)), tuple(rights.split(", "))))
    return found


STAGES, COMMANDS = table("who"), table("command")


def bindings(name: str, user: str, rights: Iterable[Right]) -> list[AclBinding]:
    """Return ACLs that give a user these rights in the installation `name`."""
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional id": ResourceType.TRANSACTIONAL_ID}
    made = []
    for right in rights:
        for named in right.named:
            ours = f"{name}.events" if named == "events" else re.sub(r"^livepromo\.", f"{name}.", named)
            pattern = ResourcePatternType.PREFIXED if ours.endswith("*") else ResourcePatternType.LITERAL
            for operation in right.operations:
                how = AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()]
                resource = ours.removesuffix("*")
                made.append(AclBinding(kinds[right.on], resource, pattern, f"User:{user}", "*", how, AclPermissionType.ALLOW))
    return made


class Rights:
    """Who may do what in a cluster, set up by whom all is allowed."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap})

    def give(self, name: str, user: str, rights: Iterable[Right]) -> None:
        """Give a user these rights in an installation, and take all others away."""
        anything = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None, AclOperation.ANY, AclPermissionType.ANY
        )
        for removed in self._admin.delete_acls([anything]).values():
            removed.result(20)
        wanted = bindings(name, user, rights)
        for added in self._admin.create_acls(wanted).values() if wanted else []:
            added.result(20)
        until(lambda: len(self._admin.describe_acls(anything).result(20)) == len(set(wanted)), 20, "the rights are as given")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[KafkaCluster]:
    users = {"livepromo": PASSWORD}
    cluster = KafkaCluster(tmp_path_factory.mktemp("secure-kafka") / "cluster", users=users, certificates=certificates)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def rights(secure_kafka: KafkaCluster) -> Rights:
    return Rights(secure_kafka)


ALL = [
    Right("", "topic", ("events", "livepromo.*", "reward-granted", "reward-denied"), ("All",)),
    Right("", "group", ("livepromo.*",), ("All",)),
    Right("", "transactional id", ("livepromo.*",), ("All",)),
]


def unsigned_token(user: str) -> str:
    """Return a token that only a broker of tests believes."""

    def part(of: Mapping[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part({'sub': user, 'iat': 1_700_000_000, 'exp': 4_000_000_000})}."


@pytest.fixture
def token_endpoint() -> Iterator[str]:
    """Yield the URL of an endpoint that gives tokens for the client `livepromo` with the right secret."""
    right = "Basic " + base64.b64encode(f"livepromo:{PASSWORD}".encode()).decode()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.headers["Authorization"] == right and b"grant_type=client_credentials" in asked and b"scope=kafka" in asked
            self.send_response(200 if known else 401)
            self.end_headers()
            if known:
                self.wfile.write(json.dumps({"access_token": unsigned_token("livepromo"), "expires_in": 31}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ways(secure_kafka: KafkaCluster, certificates: Certificates, tmp_path: Path, token_endpoint: str) -> dict[str, dict[str, str]]:
    """Return the settings of every way in; secrets in files where they may stand in one."""
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(PASSWORD + "\n")
    token.write_text(unsigned_token("livepromo") + "\n")
    tls = {"kafka": secure_kafka.secure("SASL_SSL"), "kafka_security_protocol": "SASL_SSL", "kafka_ca": str(certificates.ca)}
    user = {"kafka_user": "livepromo", "kafka_password_file": str(password)}
    return {
        "SCRAM-SHA-512": tls | user,
        "SCRAM-SHA-256": tls | user | {"kafka_mechanism": "SCRAM-SHA-256"},
        "PLAIN": tls | {"kafka_user": "livepromo", "kafka_password": PASSWORD, "kafka_mechanism": "PLAIN"},
        "OAUTHBEARER, file": tls | {"kafka_token_file": str(token), "kafka_mechanism": "OAUTHBEARER"},
        "OAUTHBEARER, endpoint": tls | user | {"kafka_token_url": token_endpoint, "kafka_scope": "kafka", "kafka_mechanism": "OAUTHBEARER"},
        "certificate": {
            "kafka": secure_kafka.secure("SSL"),
            "kafka_security_protocol": "SSL",
            "kafka_ca": str(certificates.ca),
            "kafka_certificate": str(certificates.pair("livepromo")),
        },
        "SASL_PLAINTEXT": user | {"kafka": secure_kafka.secure("SASL_PLAINTEXT"), "kafka_security_protocol": "SASL_PLAINTEXT"},
    }


def event(number: int, **properties: object) -> In:
    record = {"id": f"e{number}", "user": f"u{number}", "event": "Bought", "ts": T0 + number, "properties": properties}
    return In(f"u{number}", json.dumps(record).encode())


@pytest.fixture
def installations(secure_kafka: KafkaCluster, redis_server: RedisServer, tmp_path: Path) -> Iterator[Installations]:
    made = Installations(secure_kafka, redis_server, tmp_path)
    yield made
    for one in made.made:
        one.close()


class Installations:
    def __init__(self, cluster: KafkaCluster, redis_server: RedisServer, home: Path) -> None:
        self._cluster, self._redis, self._home = cluster, redis_server, home
        self.made: list[Installation] = []
        self._count = 0
        (home / "pools.yaml").write_text(POOLS)
        (home / "documents.yaml").write_text(CAMPAIGNS)
        (home / "codes.txt").write_text(CODE + "\n")

    @property
    def documents(self) -> Path:
        return self._home / "documents.yaml"

    @property
    def codes(self) -> Path:
        return self._home / "codes.txt"

    def words(self, command: str) -> list[str | Path]:
        """Return a command line that has something to do each time."""
        self._count += 1
        self.documents.write_text(CAMPAIGNS.replace("id: cart", f"id: cart\ndescription: number {self._count}"))
        files = {"DOCUMENTS": self.documents, "CODES": self.codes}
        return [*command.split(), *(files.get(word, word) for word in COMMAND_LINES[command])]

    def make(self, name: str, **settings: str) -> Installation:
        home = self._home / name
        home.mkdir()
        self.made.append(Installation(self._cluster.bootstrap, self._redis.url, name, home, partitions=1, **settings))
        return self.made[-1]

    def publish(self, installation: Installation) -> list[str]:
        """Publish pools, codes and campaigns; return what was said."""
        done = [
            installation.cli("apply", self._home / "pools.yaml", "--no-wait"),
            installation.cli("codes", "import", "coupon/spring", self.codes),
            installation.cli("apply", self.documents),
        ]
        return [one.stderr.decode() for one in done]


def last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def check_nothing_told(*said: str) -> None:
    """Object where a secret stands in a log, an output, an error."""
    for text in said:
        assert "hunter2" not in text
        assert unsigned_token("livepromo")[:30] not in text
        assert CODE not in text
    assert said


@pytest.mark.parametrize(
    "way", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER, file", "OAUTHBEARER, endpoint", "certificate", "SASL_PLAINTEXT"]
)
def test_every_client_comes_in_by_every_way_and_tells_no_secret(
    installations: Installations, rights: Rights, ways: dict[str, dict[str, str]], name: str, way: str
) -> None:
    rights.give(name, "CN=livepromo" if way == "certificate" else "livepromo", ALL)
    installation = installations.make(name, **ways[way])
    worker = installation.worker("--log-level", "DEBUG")
    told = installations.publish(installation)
    installation.send([event(1, amount=50), event(2), In("u3", b"not json")])
    installation.until_done(60)
    (port,) = [one.laddr.port for one in psutil.Process(worker.pid).net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        told.append(answer.read().decode())
    told += psutil.Process(worker.pid).cmdline()
    assert worker.stop() == 0
    every = way == "SCRAM-SHA-512"
    for words in (["get"], ["history"], ["ledger", "verify"], ["ledger", "rebuild"], ["log", "0", "--out", "-"])[: 5 if every else 1]:
        done = installation.cli(*words)
        told += [done.stdout.decode(), done.stderr.decode()]
    granted = {json.loads(out.value)["campaign"] for out in installation.read(GRANTED) if out.value and b'"user":"u1"' in out.value}
    assert granted == {"cart", "rate", "gift"}
    check_nothing_told(worker.said(), *told)


def check_refused(installation: Installation, says: str, commands: Iterable[Sequence[str | Path]]) -> None:
    """See that these commands, and a worker, end with exit 3 and one line that says so, and tell no secret."""
    for words in commands:
        said = installation.cli(*words, code=3).stderr.decode()
        assert says in said
        assert len(said.splitlines()) == 1
        check_nothing_told(said)
    worker = installation.worker()
    assert worker.wait(30) == 3
    assert says in last_line(worker.said())
    assert "Traceback" not in worker.said()
    check_nothing_told(worker.said())


def test_a_wrong_password_ends_every_command_that_speaks_to_kafka(
    installations: Installations, ways: dict[str, dict[str, str]], tmp_path: Path, name: str
) -> None:
    installation = installations.make(name)
    (tmp_path / "wrong").write_text("hunter2-wrong")
    wrong = ways["SCRAM-SHA-512"] | {"kafka_password_file": str(tmp_path / "wrong")}
    installation.environ |= {f"LIVEPROMO_{key.upper()}": value for key, value in wrong.items()}
    lines = [installations.words(command) for command in COMMAND_LINES]
    check_refused(installation, "LIVEPROMO_KAFKA_PASSWORD", lines)


@pytest.mark.parametrize(
    ("way", "wrong", "says"),
    [
        ("SCRAM-SHA-512", {"kafka_password_file": "hunter2-wrong"}, "LIVEPROMO_KAFKA_PASSWORD"),
        ("SCRAM-SHA-256", {"kafka_user": "nobody"}, "LIVEPROMO_KAFKA_USER"),
        ("PLAIN", {"kafka_password": "hunter2-wrong"}, "LIVEPROMO_KAFKA_PASSWORD"),
        ("OAUTHBEARER, file", {"kafka_token_file": "hunter2.no.token"}, "LIVEPROMO_KAFKA_TOKEN_FILE"),
        ("OAUTHBEARER, endpoint", {"kafka_password_file": "hunter2-wrong"}, "token endpoint answers 401"),
        ("certificate", {"kafka_certificate": ""}, "LIVEPROMO_KAFKA_CERTIFICATE"),
        ("SCRAM-SHA-512", {"kafka_ca": ""}, "LIVEPROMO_KAFKA_CA"),
        ("SCRAM-SHA-512", {"kafka_mechanism": "PLAIN", "kafka_password_file": "hunter2-wrong"}, "PLAIN"),
    ],
    ids=["scram-512-password", "scram-256-user", "plain-password", "token", "client-secret", "certificate", "authority", "plain-for-scram"],
)
def test_who_is_not_let_in_hears_which_setting_it_is(
    installations: Installations,
    rights: Rights,
    ways: dict[str, dict[str, str]],
    tmp_path: Path,
    name: str,
    way: str,
    wrong: dict[str, str],
    says: str,
) -> None:
    rights.give(name, "livepromo", ALL)
    installation = installations.make(name)
    settings = dict(ways[way])
    for key, value in wrong.items():
        if key.endswith("_file"):
            settings[key] = str(tmp_path / "wrong")
            (tmp_path / "wrong").write_text(value)
        elif value:
            settings[key] = value
        else:
            del settings[key]
    installation.environ |= {f"LIVEPROMO_{key.upper()}": value for key, value in settings.items()}
    check_refused(installation, says, [["get"]])


def run(installation: Installation, stage: str) -> Worker:
    return installation.worker("--stages", stage)


@pytest.mark.parametrize("stage", ["match", "decide", "deliver"])
def test_a_worker_needs_the_documented_rights_of_its_stage_and_each_of_them(
    installations: Installations, rights: Rights, ways: dict[str, dict[str, str]], name: str, stage: str
) -> None:
    installation = installations.make(name)
    first = installation.worker()
    installations.publish(installation)
    assert first.stop() == 0
    installation.send([event(1, amount=50), event(2), In("u3", b"not json")])
    before = ["match", "decide", "deliver"][: ["match", "decide", "deliver"].index(stage)]
    ends = {"match": installation.events, "decide": installation.topic("candidates"), "deliver": installation.topic("ledger")}

    def through(which: str) -> bool:
        kafka = installation.kafka
        return all(at >= end for at, end in zip(kafka.committed(f"{name}.{which}", ends[which]), kafka.ends(ends[which]), strict=True))

    for which in before:
        worker = run(installation, which)
        until(lambda which=which: through(which), 60, f"{which} is done")  # type: ignore[misc]
        assert worker.stop() == 0
    installation.environ |= {f"LIVEPROMO_{key.upper()}": value for key, value in ways["SCRAM-SHA-512"].items()}
    needed = [right for right in STAGES if right.who in {"every stage", stage}]
    assert len(needed) >= 6
    for missing in needed:
        rights.give(name, "livepromo", [right for right in needed if right != missing])
        worker = run(installation, stage)
        assert worker.wait(60) == 3, missing
        line = last_line(worker.said())
        assert "docs/security.md" in line, missing
        assert "Traceback" not in worker.said(), missing
        assert missing.operations[0] in line, missing
    rights.give(name, "livepromo", needed)
    worker = run(installation, stage)
    until(lambda: through(stage), 60, lambda: f"{stage} is done: {worker.said()[-2000:]}")
    assert worker.stop() == 0
    if stage == "match":
        # Those before, that were not allowed something else, may have written it too; its origin is its identity.
        assert {dict(out.headers)["offset"] for out in installation.read(installation.topic("dead-letters"))} == {b"2"}
        assert any(b"property_missing" in (out.value or b"") for out in installation.read(DENIED))
    if stage == "deliver":
        assert {json.loads(out.value or b"{}")["campaign"] for out in installation.read(GRANTED)} >= {"cart", "rate", "gift"}


COMMAND_LINES: dict[str, list[str]] = {
    "init": [],
    "apply": ["DOCUMENTS"],
    "pause": ["cart"],
    "resume": ["cart"],
    "stop": ["cart"],
    "history": [],
    "get": [],
    "codes import": ["coupon/spring", "CODES"],
    "ledger verify": [],
    "ledger rebuild": [],
    "log": ["0", "--out", "-"],
    "explain": ["--user", "u1"],
    "dead-letters list": [],
    "dead-letters replay": [],
    "erase": ["--user", "nobody"],
    "state rebuild": [],
}
ONCE = {"pause", "resume", "stop"}  # their rights are those of `apply`


@pytest.mark.parametrize("each", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["one", "each"])
def test_every_command_that_speaks_to_kafka_needs_the_documented_rights(
    installations: Installations, rights: Rights, ways: dict[str, dict[str, str]], name: str, *, each: bool
) -> None:
    installation = installations.make(name)
    worker = installation.worker()
    installations.publish(installation)
    installation.send([event(1, amount=50)])
    installation.until_done(60)
    installation.environ |= {f"LIVEPROMO_{key.upper()}": value for key, value in ways["SCRAM-SHA-512"].items()}
    assert set(COMMAND_LINES) == {right.who for right in COMMANDS}
    wrong = []
    for command in COMMAND_LINES:
        if command == "ledger rebuild":
            assert worker.stop() == 0
        needed = [right for right in COMMANDS if right.who == command]
        for missing in [] if command in ONCE else needed if each else needed[:1]:
            rights.give(name, "livepromo", [right for right in needed if right != missing])
            said = ended(installation, installations.words(command), 3)
            if said is None or "docs/security.md" not in last_line(said):
                wrong.append(f"{command}, without {missing}: {said}")
        rights.give(name, "livepromo", needed)
        if ended(installation, installations.words(command), 0) is None:
            wrong.append(f"{command}, with all of its rights")
    assert not wrong, "\n".join(wrong)


def ended(installation: Installation, words: Sequence[str | Path], code: int) -> str | None:
    """Return what a command said if it ended with this code."""
    try:
        return installation.cli(*words, code=code, seconds=60).stderr.decode()
    except AssertionError as error:
        print(error)
        return None
