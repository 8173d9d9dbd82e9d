"""Sends through a running sandbox gateway and judges its metrics; called by check-metrics.

Arguments: the gateway's log (JSON lines), its process id.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

TO = {
    "sandbox-tim": ["bonnie", "rong"],
    "sandbox-volc": ["1", "2"],
    "sandbox-openim": ["bonnie", "rong"],
    "sandbox-room": ["185145305923585"],
    "sandbox-relay": ["bonnie", "rong"],
}


def addresses(log, pid):
    """Waits for the lines that name the API's and the admin listener's address."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        found = {}
        with open(log, encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    entry = json.loads(line)
                    found[entry["message"]] = entry.get("server.address")
        if "Listening." in found:
            return found["Listening."], found["Listening for probes and scrapes."]
        time.sleep(0.05)
    sys.exit("the gateway does not start")


def ask(address, path, body=None):
    data = None if body is None else body.encode()
    request = urllib.request.Request(f"http://{address}{path}", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers["content-type"], answer.read().decode()


def main():
    api, admin = addresses(sys.argv[1], int(sys.argv[2]))
    recipients = 0
    for channel, to in TO.items():
        batch = {"channel": channel, "from": "10001", "to": to + to[:1], "message": {"type": "text", "text": "x"}}
        status, _, text = ask(api, "/v1/batches", json.dumps(batch))
        assert status in (200, 207), (channel, text)
        recipients += len(to) + 1
    assert ask(api, "/v1/batches", "{")[0] == 400
    assert ask(api, "/metrics")[0] == 404, "the admin listener alone has them"
    status, content_type, text = ask(admin, "/metrics")
    assert (status, content_type) == (200, CONTENT_TYPE), (status, content_type)

    families = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family comes twice"
    for family in families:
        assert family.documentation and family.type != "unknown", family.name
        assert family.name.startswith("imcast_") or family.name == "process_start_time_seconds", family.name
        assert family.name == family.name.lower(), family.name
        assert family.type != "counter" or not family.name.endswith("_total"), family.name
    assert len(samples) <= 2000, len(samples)

    def total(name, **labels):
        found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(found)

    assert total("imcast_recipients_total") == recipients
    assert total("imcast_batches_total") == len(TO)
    assert total("imcast_invariant_violations_total") == 0
    assert total("imcast_refusals_total", code="invalid_json") == 1
    for channel in TO:
        assert total("imcast_recipients_total", channel=channel, status="accepted") > 0, channel
        assert total("imcast_calls_total", channel=channel, result="answered") > 0, channel
    print(f"{len(families)} families, {len(samples)} samples")


main()
