"""A gateway with its sandbox on a free loopback port."""

import json
import os
import subprocess
import time


class Gateway:
    """Runs `imcast serve --sandbox` with this configuration in a folder of its own, where it keeps its batches; leaving
    the `with` ends it."""

    def __init__(self, imcast, folder, name, toml):
        home = os.path.join(folder, name)
        os.mkdir(home)
        self.store = os.path.join(home, "imcast.db")
        config = os.path.join(home, "imcast.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(toml)
        self.log = os.path.join(home, "log")
        command = [imcast, "serve", "--sandbox", "--listen", "127.0.0.1:0", "--config", config]
        environment = {"IMCAST__LOG__FORMAT": "json", "PATH": os.environ["PATH"]}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment, cwd=home)
        self.address = self._address()

    def _address(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.log, encoding="utf-8") as lines:
                for line in lines:
                    if line.endswith("\n") and json.loads(line)["message"] == "Listening.":
                        return json.loads(line)["server.address"]
            time.sleep(0.05)
        raise SystemExit(f"the gateway does not start: {open(self.log, encoding='utf-8').read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def violations(self):
        """Lines of the log that somebody would have to act on."""
        with open(self.log, encoding="utf-8") as lines:
            return [line for line in lines if json.loads(line).get("level") == "ERROR"]
