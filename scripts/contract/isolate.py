"""Makes whatever is wrong with a request the only thing that could be wrong with it.

Bodies that schemathesis makes are large, and nearly always break some rule that no schema can say: a block of options
that no route reads, a type of message that the channel does not carry. The refusal would then prove nothing. What is
sound here is left out or becomes something plain, which makes nothing sound that was not.
"""

import json
import os

import jsonschema_rs

with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "openapi.json"), encoding="utf-8") as file:
    COMPONENTS = {"schemas": json.load(file)["components"]["schemas"]}
SCHEMAS = COMPONENTS["schemas"]

# Channels of the sandbox by what they are good for.
CHANNELS = {
    "tencent_tim": "sandbox-tim",
    "volcengine_rtc": "sandbox-volc",
    "openim": "sandbox-openim",
    "easemob_chatroom": "sandbox-room",
    "easemob_relay": "sandbox-relay",
}
PLAIN = {
    "from": "10001",
    "to": ["1"],
    "message": {"type": "text", "text": "hi"},
    "payload": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}],
}


# Made once for each part of the document, which lives as long as this module.
VALIDATORS = {}


def is_sound(schema, value):
    if id(schema) not in VALIDATORS:
        whole = {"allOf": [schema], "components": COMPONENTS}
        VALIDATORS[id(schema)] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return VALIDATORS[id(schema)].is_valid(value)


def reduce(value, schema):
    """An object without its sound optional members; of the others only what is wrong with them."""
    schema = SCHEMAS[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    if not isinstance(value, dict):
        return value
    if "discriminator" in schema:
        place = schema["discriminator"]["mapping"].get(str(value.get("type")))
        return reduce(value, {"$ref": place}) if place else value
    rest = {}
    for name, member in value.items():
        part = schema.get("properties", {}).get(name)
        if part is None:
            rest[name] = member
        elif not is_sound(part, member):
            rest[name] = reduce(member, part)
        elif name in PLAIN:
            rest[name] = PLAIN[name]
        elif name in schema.get("required", []):
            rest[name] = member
    return rest


def aim(route):
    """Sends a route where its options are read, and to somebody."""
    options = route.get("provider_options")
    block = next((name for name in CHANNELS if isinstance(options, dict) and name in options), "tencent_tim")
    if is_sound(SCHEMAS["Route"]["properties"]["channel"], route.get("channel")):
        route["channel"] = CHANNELS[block]
    route.setdefault("to", PLAIN["to"])
    route.setdefault("from", PLAIN["from"])
    return route


def isolate(body):
    """The same violation in a body that is plain otherwise."""
    if not isinstance(body, dict):
        return body
    if "routes" not in body:
        return aim(reduce(body, SCHEMAS["ShortSend"]))
    full = SCHEMAS["FullSend"]
    reduced = reduce(body, full)
    routes = body["routes"]
    if is_sound(full["properties"]["routes"], routes):
        options = reduced.get("provider_options")
        block = next((name for name in CHANNELS if isinstance(options, dict) and name in options), "tencent_tim")
        reduced["routes"] = [{"channel": CHANNELS[block], "to": PLAIN["to"], "from": PLAIN["from"]}]
    elif isinstance(routes, list):
        reduced["routes"] = [
            aim(reduce(route, SCHEMAS["Route"])) if isinstance(route, dict) else route for route in routes
        ]
    reduced.setdefault("message", PLAIN["message"])
    return reduced
