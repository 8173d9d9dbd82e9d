"""What schemathesis must know to get beyond the front door; loaded by it (SCHEMATHESIS_HOOKS)."""

import json
import os
import re

import schemathesis
from hypothesis import strategies

CHANNELS = ["sandbox-tim", "sandbox-volc", "sandbox-openim", "sandbox-room", "sandbox-relay"]
NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)

text = strategies.text(max_size=12)
recipient = text | strategies.integers() | strategies.fixed_dictionaries({"id": text}, optional={"ref": text})
HEAD = {"channel": "sandbox-tim", "from": "dave", "message": {"type": "text", "text": "hi"}}


def lines(to):
    return "\n".join(json.dumps(line) for line in [HEAD, *to]).encode()


schemathesis.openapi.media_type("application/x-ndjson", strategies.lists(recipient, min_size=1, max_size=5).map(lines))


def to_sandbox(route):
    """A channel that does not exist but could becomes one that does; what is no name at all stays as it is."""
    name = route.get("channel") if isinstance(route, dict) else None
    if isinstance(name, str) and NAME.fullmatch(name) and name not in CHANNELS:
        return {**route, "channel": CHANNELS[len(name) % len(CHANNELS)]}
    return route


@schemathesis.hook
def map_body(context, body):
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
