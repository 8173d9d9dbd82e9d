"""Brings about every documented status that random requests seldom or never meet."""

import json
import select
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import requests

# Faults of the gateway itself. Tests of the crate provoke them with doubles.
BEYOND_REACH = {"500"}

LIMITS = """
[limits]
body_bytes = 262144
held_body_bytes = 131072
body_patience_ms = 300
[shutdown]
drain_delay_seconds = 2
grace_seconds = 1
"""

HANGING = "magic-hang"


class Provoker:
    """Asks a gateway with the keys `operator` (not for `sandbox-room`) and `rooms` (for that alone)."""

    def __init__(self, document, address, keys):
        self.document, self.address, self.keys = document, address, keys
        self.seen = set()
        self.operations = [
            (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
        ]

    def ask(self, method, path, key="operator", batch=None, channel="sandbox-tim", headers=None, query="", **more):
        target = path.replace("{id}", batch or "bat_00000000000000000000000000").replace("{name}", channel)
        headers = dict(headers or {})
        if key:
            headers.setdefault("authorization", f"Bearer {self.keys.get(key, key)}")
        answer = requests.request(method, f"http://{self.address}{target}{query}", headers=headers, timeout=60, **more)
        self.note(method, path, answer.status_code, answer.headers.get("content-type", ""), answer.text)
        return answer

    def note(self, method, path, status, content_type, text):
        described = self.document["paths"][path][method]["responses"]
        assert str(status) in described, f"{method} {path} answers {status}, which is not described: {text}"
        if content_type == "application/problem+json":
            codes = self.codes(described[str(status)])
            assert json.loads(text)["code"] in codes, f"{method} {path} answers {text}, which is not described"
        self.seen.add((method, path, str(status)))

    def codes(self, refusal):
        """The codes of a described refusal."""
        described = self.document["components"]["responses"][refusal["$ref"].rsplit("/", 1)[-1]]
        return described["content"]["application/problem+json"]["examples"]

    def send(self, channel="sandbox-tim", to=("bonnie",), options=None, **more):
        body = {"channel": channel, "to": list(to), "message": {"type": "text", "text": "hi"}, "options": options or {}}
        return self.ask("post", "/v1/batches", json=body, **more)

    def everything(self):
        self.heads()
        self.bodies()
        self.rights()
        self.courses()
        self.names()
        self.wrong_keys()

    def heads(self):
        for path, method, _ in self.operations:
            self.ask(method, path, query="?" + "x" * 9000)
            self.ask(method, path, headers={f"x-{number}": "x" for number in range(70)})
            self.ask(method, path, key=None)

    def bodies(self):
        done = self.send().json()["id"]
        for path, method, operation in self.operations:
            if "requestBody" not in operation:
                continue
            is_json = {"content-type": "application/json"}
            self.ask(method, path, batch=done, headers=is_json, data=b" " * 300_000)
            # Within the limit of one body, but not within that of all that are held at once.
            self.ask(method, path, batch=done, headers=is_json, data=b" " * 200_000)
            self.crowded(method, path, done)
            self.ask(method, path, batch=done, headers=is_json, data=b"{")
            self.ask(method, path, batch=done, headers=is_json, data=b"[]")
            self.ask(method, path, batch=done, headers={"content-type": "text/plain"}, data=b"x")
            self.slow(method, path, done)

    def crowded(self, method, path, batch):
        """Two bodies at once for which there is no room together; whichever comes later is refused."""
        with self.begin_body(method, path, batch, 100_000) as connection:
            connection.sendall(b" " * 90_000)
            is_json = {"content-type": "application/json"}
            while not select.select([connection], [], [], 0)[0]:
                if self.ask(method, path, batch=batch, headers=is_json, data=b" " * 100_000).status_code == 503:
                    return
            self.note_head(method, path, connection)

    def slow(self, method, path, batch):
        """A body of which only the first byte comes."""
        with self.begin_body(method, path, batch, 10) as connection:
            connection.sendall(b"{")
            self.note_head(method, path, connection)

    def note_head(self, method, path, connection):
        status = connection.makefile("rb").readline().split()[1].decode()
        self.note(method, path, status, "", "")

    def begin_body(self, method, path, batch, length):
        """A connection on which a body of this length is announced."""
        host, port = self.address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=30)
        connection.sendall(
            f"{method.upper()} {path.replace('{id}', batch)} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.keys['operator']}\r\ncontent-length: {length}\r\n\r\n".encode()
        )
        return connection

    def rights(self):
        room = self.send("sandbox-room", ["magic-reject-call"], key="rooms").json()["id"]
        self.send("sandbox-room")
        body = {"channel": "sandbox-room", "to": ["a"], "message": {"type": "text", "text": "hi"}}
        self.ask("post", "/v1/batches/plan", json=body)
        self.ask("post", "/v1/batches/{id}/resend", batch=room)
        self.ask("get", "/v1/channels/{name}", key="rooms")
        self.ask("get", "/v1/channels/{name}", channel="sandbox-none")
        self.ask("get", "/metrics", key="rooms")
        for path, method, _ in self.operations:
            self.ask(method, path, headers={"content-type": "application/json"})

    def courses(self):
        expired = {"expires_at": "2020-01-01T00:00:00Z"}
        at_once = {"prefer": "wait=0"}
        accepted = self.send().json()["id"]
        partial = self.send(to=["magic-refuse"]).json()["id"]
        late = self.send(options=expired).json()["id"]
        stuck = self.send(to=[HANGING], options=expired).json()["id"]
        running = self.send(to=[HANGING], headers=at_once).json()["id"]
        resend = "/v1/batches/{id}/resend"
        statuses = [self.ask("post", resend, batch=batch).status_code for batch in (partial, late, accepted, running)]
        assert statuses == [207, 200, 409, 409], statuses
        assert self.ask("post", resend, batch=stuck, headers=at_once).status_code == 202
        self.ask("get", "/v1/batches/{id}", batch=accepted)
        self.ask("get", "/v1/batches/{id}/results", batch=accepted)
        self.ask("get", "/v1/batches/{id}/results", batch=accepted, query="?status=lost")
        self.ask("post", "/v1/batches/{id}/cancel", batch=accepted)
        self.ask("post", "/v1/batches/plan", json=self.document_example())
        self.ask("get", "/v1/channels/{name}")
        self.ask("get", "/v1/batches", query="?status=completed&channel=sandbox-tim&page_size=1")
        self.ask("get", "/v1/batches", query="?status=lost")

    def names(self):
        """Batches that callers name, and those that nobody waits for."""
        named, faulty = {"idempotency-key": '"order-1"'}, {"idempotency-key": '"order-1'}
        resend = "/v1/batches/{id}/resend"
        batch = self.send(to=["magic-refuse"]).json()["id"]
        for ask in (
            lambda headers: self.send(headers=headers),
            lambda headers: self.ask("post", resend, batch=batch, headers=headers),
        ):
            first, again = ask(named), ask(named)
            assert first.ok and first.json() == again.json(), f"{first.text} {again.text}"
            assert [answer.headers.get("idempotency-replayed") for answer in (first, again)] == [None, "true"]
            other = self.send(to=["rong"], headers=named)
            assert other.json()["code"] == "idempotency_key_reused", other.text
            assert ask(faulty).json()["code"] == "invalid_header"
            named = {"idempotency-key": "order-2"}
        later = self.send(to=[HANGING], headers={"prefer": "respond-async"})
        assert (later.status_code, later.headers["preference-applied"]) == (202, "respond-async"), later.text

    def document_example(self):
        content = self.document["paths"]["/v1/batches"]["post"]["requestBody"]["content"]
        return content["application/json"]["examples"]["short"]["value"]

    def wrong_keys(self):
        """More of them at once than are answered."""
        guarded = [(path, method) for path, method, operation in self.operations if operation.get("security") != []]
        headers = {"content-type": "application/json"}

        def ask(where):
            path, method = where
            return where, self.ask(method, path, key="imc_0.0", headers=headers).status_code

        refused = set()
        with ThreadPoolExecutor(48) as pool:
            for where, status in pool.map(ask, guarded * 12):
                if status == 429:
                    refused.add(where)
        assert refused == set(guarded), f"wrong keys are not refused everywhere: {refused}"

    def store_away(self, file):
        """What is answered while the file is of no use."""
        self.send(key=None)
        store = sqlite3.connect(file, timeout=30)
        tables = store.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for (name,) in tables.fetchall():
            store.execute(f"ALTER TABLE {name} RENAME TO away_{name}")
        store.commit()
        store.close()
        headers = {"idempotency-key": "order-1"}
        for path, method, operation in self.operations:
            refusal = operation["responses"].get("503")
            if refusal and "store_unavailable" in self.codes(refusal):
                body = self.document_example() if path == "/v1/batches" and method == "post" else None
                answer = self.ask(method, path, key=None, headers=headers, json=body)
                code = answer.json()["code"]
                assert code == "store_unavailable", f"{method} {path} answers {answer.text} without its store"

    def draining(self, process):
        """What a process answers that was told to end."""
        process.terminate()
        while self.ask("get", "/readyz", key=None).status_code != 503:
            pass

    def unseen(self, seen):
        missing = set()
        for path, method, operation in self.operations:
            expected = set(operation["responses"]) - BEYOND_REACH
            found = {status for at, where, status in seen | self.seen if (at, where) == (method, path)}
            missing |= {f"{method} {path} {status}" for status in expected - found}
        return sorted(missing)
