"""What schemathesis must know to get beyond the front door; loaded by it (SCHEMATHESIS_HOOKS)."""

import json
import os
import re

import schemathesis

CHANNELS = ["sandbox-tim", "sandbox-volc", "sandbox-openim", "sandbox-room", "sandbox-relay"]
NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)

HEAD = json.dumps({"channel": "sandbox-tim", "from": "dave", "message": {"type": "text", "text": "hi"}})


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


def to_sandbox(route):
    """A channel that does not exist but could becomes one that does; what is no name at all stays as it is."""
    name = route.get("channel") if isinstance(route, dict) else None
    if isinstance(name, str) and NAME.fullmatch(name) and name not in CHANNELS:
        return {**route, "channel": CHANNELS[len(name) % len(CHANNELS)]}
    return route


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, str) and not body.startswith("{"):
        # To the document a stream of lines is any text; here it becomes one that names recipients.
        return "\n".join([HEAD, *(json.dumps(line) for line in body.splitlines() or [""])])
    if not isinstance(body, dict):
        return body
    routes = body.get("routes")
    if isinstance(routes, list):
        return {**body, "routes": [to_sandbox(route) for route in routes]}
    return to_sandbox(body)


@schemathesis.hook
def after_call(context, case, response):
    """Notes which status each operation answered with."""
    with open(os.environ["CONTRACT_SEEN"], "a", encoding="utf-8") as seen:
        seen.write(f"{case.method.lower()} {case.operation.path} {response.status_code}\n")
