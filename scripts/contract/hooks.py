"""What schemathesis must know to get beyond the front door; loaded by it (SCHEMATHESIS_HOOKS)."""

import json
import os
import re

import schemathesis
from isolate import CHANNELS, isolate
from schemathesis import GenerationMode

SENDS = ["/v1/batches", "/v1/batches/plan"]
NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)

HEAD = json.dumps({"channel": "sandbox-tim", "from": "dave", "message": {"type": "text", "text": "hi"}})


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


def to_sandbox(route):
    """A channel that does not exist but could becomes one that does, and only its options stay; what is no name at all
    stays as it is."""
    name = route.get("channel") if isinstance(route, dict) else None
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in CHANNELS.values():
        return route
    options = route.get("provider_options")
    blocks = [block for block in CHANNELS if isinstance(options, dict) and block in options] or list(CHANNELS)
    block = blocks[len(name) % len(blocks)]
    fitting = {**route, "channel": CHANNELS[block]}
    if isinstance(options, dict):
        fitting["provider_options"] = {
            other: one for other, one in options.items() if other == block or other not in CHANNELS
        }
    return fitting


def to_work(body):
    """The same body, with channels that exist: otherwise hardly anything would be judged beyond that."""
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
def before_call(context, case, kwargs):
    if case.operation.path not in SENDS:
        return
    is_negative = case.meta is not None and case.meta.generation.mode == GenerationMode.NEGATIVE
    if is_negative and case.media_type == "application/json":
        case.body = isolate(case.body)
    else:
        case.body = to_work(case.body)


@schemathesis.hook
def after_call(context, case, response):
    """Notes which status each operation answered with."""
    with open(os.environ["CONTRACT_SEEN"], "a", encoding="utf-8") as seen:
        seen.write(f"{case.method.lower()} {case.operation.path} {response.status_code}\n")
