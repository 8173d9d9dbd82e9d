"""Plays bad days against the shipped haproxy.cfg with three stand-ins on loopback; used by check-deploy.

What is judged is what the stand-ins received, not what HAProxy says.
"""

import http.client
import itertools
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOSTS = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]
PATIENCE_SECONDS = 30


class Replica:
    """One stand-in: its probes on one port and its API on another, as imcast has them."""

    def __init__(self, host, api_port, admin_port):
        self.host, self.is_ready, self.cuts, self.sends, self.probes = host, True, False, [], 0
        self.connections = set()
        self.changed = threading.Condition()
        self.admin = serve(host, admin_port, self)
        self.api = serve(host, api_port, self)

    def wait_for_probes(self, count):
        """Until it has been asked so many times more."""
        with self.changed:
            goal = self.probes + count
            if not self.changed.wait_for(lambda: self.probes >= goal, PATIENCE_SECONDS):
                sys.exit(f"balancer: {self.host} is not asked for /readyz")

    def refuse(self):
        """Nobody listens any more: connections are refused."""
        self.api.shutdown()
        self.api.server_close()

    def stop(self):
        self.admin.shutdown()
        self.admin.server_close()


def serve(host, port, replica):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, text):
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            if text:
                self.wfile.write(text)

        def do_GET(self):
            with replica.changed:
                replica.probes += self.path == "/readyz"
                replica.changed.notify_all()
            self.answer(200 if replica.is_ready else 503, b"")

        def do_POST(self):
            number = self.rfile.read(int(self.headers["content-length"]))
            replica.sends.append(number)
            replica.connections.add(self.client_address)
            if replica.cuts:
                # The send was received and its answer is lost.
                self.close_connection = True
                return
            self.answer(200, number)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def free_port():
    """A port that none of the stand-ins' addresses uses now."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


class Caller:
    def __init__(self, port):
        self.port, self.numbers = port, itertools.count()

    def send(self, connection=None):
        """The status of one POST, each with a body of its own."""
        number = str(next(self.numbers)).encode()
        one = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        one.request("POST", "/v1/batches", number, {"content-type": "application/json"})
        answer = one.getresponse()
        answer.read()
        return number, answer.status


def require(holds, *what):
    if not holds:
        sys.exit(": ".join(["balancer", *(str(part) for part in what)]))


def all_served(caller, replicas, what, connection=None):
    for _ in range(30):
        number, status = caller.send(connection)
        times = sum(replica.sends.count(number) for replica in replicas)
        require((status, times) == (200, 1), what, f"status {status}, received {times} times")


def days(caller, replicas):
    first, second, third = replicas
    one = http.client.HTTPConnection("127.0.0.1", caller.port, timeout=PATIENCE_SECONDS)
    all_served(caller, replicas, "a good day", one)
    require(all(replica.sends for replica in replicas), "a replica gets nothing")
    used = sum(len(replica.connections) for replica in replicas)
    require(used == 30, "connections to replicas outlive a request", used)

    # Lost answers: the caller is told, and nothing is sent twice.
    for replica in replicas:
        replica.cuts = True
    for _ in range(6):
        number, status = caller.send()
        times = sum(replica.sends.count(number) for replica in replicas)
        require((status, times) == (502, 1), "a lost answer", f"status {status}, received {times} times")
    for replica in replicas:
        replica.cuts = False

    # One goes away without a word: no caller notices.
    third.refuse()
    all_served(caller, replicas, "a refused connection")

    # One drains: it is found out by its /readyz while it would still serve.
    second.is_ready = False
    # The answer to the second is believed once the third is asked.
    second.wait_for_probes(3)
    before = len(second.sends)
    all_served(caller, replicas, "a drain")
    require(len(second.sends) == before, "a draining replica still gets sends")

    # It comes back.
    second.is_ready = True
    second.wait_for_probes(3)
    all_served(caller, replicas, "a return")
    require(len(second.sends) > before, "a replica that is ready again gets nothing")


def play(config):
    """Says what held; ends the check if something did not."""
    listen, health, api, admin = (free_port() for _ in range(4))
    changes = {
        "bind :8080": f"bind 127.0.0.1:{listen}",
        "bind 127.0.0.1:8404": f"bind 127.0.0.1:{health}",
        "check port 9090": f"check port {admin}",
        **{f" imcast-{index}:8080": f" {host}:{api}" for index, host in enumerate(HOSTS, 1)},
    }
    for old, new in changes.items():
        require(config.count(old) == 1, f"haproxy.cfg has `{old}` not just once")
        config = config.replace(old, new)
    replicas = [Replica(host, api, admin) for host in HOSTS]
    with tempfile.TemporaryDirectory() as work:
        file = Path(work, "haproxy.cfg")
        file.write_text(config)
        with open(Path(work, "log"), "w+", encoding="utf-8") as log:
            balancer = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=log)
            try:
                for replica in replicas:
                    replica.wait_for_probes(2)
                require(balancer.poll() is None, "haproxy ended", Path(work, "log").read_text())
                days(Caller(listen), replicas)
            finally:
                balancer.terminate()
                balancer.wait(PATIENCE_SECONDS)
                for replica in replicas:
                    replica.stop()
    return "no send twice, none lost to a refused connection or a drain, no connection kept"
