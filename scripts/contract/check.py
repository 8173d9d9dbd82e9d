"""Runs schemathesis against gateways without and with keys and sums up; called by check-contract.

Arguments: the gateway's binary, that of schemathesis, the number of examples for each operation.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from gateway import Gateway
from provoke import LIMITS, Provoker

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "..", "docs", "openapi.json")
PHASES = "examples,coverage,fuzzing,stateful"


def new_key(imcast, name, rights):
    """A key, and its table for the configuration."""
    lines = subprocess.run([imcast, "keygen", "--name", name], check=True, capture_output=True, text=True).stdout
    key = next(line for line in lines.splitlines() if line.startswith("imc_"))
    return key, "[[keys]]" + lines.split("[[keys]]", 1)[1] + rights


class Run:
    """One run of schemathesis."""

    def __init__(self, tool, folder, count):
        self.tool, self.folder, self.count = tool, folder, count
        self.seen = os.path.join(folder, "seen")
        self.failed = []

    def start(self, title, gateway, *options):
        started = time.monotonic()
        command = [
            self.tool, "--no-color", "--config-file", os.path.join(HERE, "schemathesis.toml"), "run", DOCUMENT,
            "--url", f"http://{gateway.address}", "--workers", "1", "--max-examples", self.count,
            "--generation-database", "none", "--continue-on-failure", *options,
        ]  # fmt: skip
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": HERE, "CONTRACT_SEEN": self.seen}
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True)
        summary = next((line for line in done.stdout.splitlines() if "generated, " in line), "no test case").strip()
        print(f"{title}: {summary} ({time.monotonic() - started:.0f} s)", flush=True)
        if done.returncode != 0:
            self.failed.append(title)
            print(done.stdout, done.stderr)
        faults = gateway.violations()
        if faults:
            self.failed.append(f"{title}: {faults}")

    def statuses(self):
        with open(self.seen, encoding="utf-8") as lines:
            return {tuple(line.split()) for line in lines}


def main():
    imcast, tool, count = sys.argv[1:]
    with open(DOCUMENT, encoding="utf-8") as file:
        document = json.load(file)
    operator, operator_table = new_key(imcast, "operator", "operator = true\n")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(tool, folder, count)
        quick = "[shutdown]\ndrain_delay_seconds = 0\ngrace_seconds = 1\n"
        authorization = ["--header", f"Authorization: Bearer {operator}"]
        thorough = ["--checks", "all", "--exclude-checks", "ignored_auth", "--phases", PHASES]
        runs = [
            # Nobody is asked for a key here, whatever the document says about gateways that have some.
            ("without keys", quick, [*thorough, "--generation-with-security-parameters", "false"]),
            # Wrong keys are held back for seconds: how they are refused is judged for a few requests below.
            ("with a key", quick + operator_table, [*thorough, *authorization]),
            (
                "no key or a wrong one",
                quick + operator_table,
                ["--checks", "ignored_auth", "--phases", "examples", *authorization],
            ),
        ]

        def judge(title, toml, options):
            with Gateway(imcast, folder, title.replace(" ", "-"), toml) as gateway:
                run.start(title, gateway, *options)

        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(judge, *one) for one in runs]:
                done.result()
        limited, limited_table = new_key(
            imcast, "operator", 'operator = true\nchannels = ["sandbox-tim", "sandbox-volc"]\n'
        )
        rooms, rooms_table = new_key(imcast, "rooms", 'channels = ["sandbox-room"]\n')
        with Gateway(imcast, folder, "provoked", LIMITS + limited_table + rooms_table) as gateway:
            provoker = Provoker(document, gateway.address, {"operator": limited, "rooms": rooms})
            provoker.everything()
            provoker.draining(gateway.process)
        with Gateway(imcast, folder, "store-away", quick) as gateway:
            stranded = Provoker(document, gateway.address, {})
            stranded.store_away(gateway.store)
        missing = provoker.unseen(run.statuses() | stranded.seen)
        documented = sum(len(operation["responses"]) for _, _, operation in provoker.operations)
        print(f"{len(provoker.operations)} operations, {documented} documented statuses, {len(missing)} never seen")
        if run.failed or missing:
            sys.exit(f"failed: {run.failed}; never seen: {missing}")


main()
