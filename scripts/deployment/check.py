"""Judges what is shipped in deploy/ and the Dockerfile; called by check-deploy.

Arguments: the built imcast, the folder with the tools from PyPI.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import balancer
import chart

IMCAST, TOOLS = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
BALANCER = ROOT / "deploy/compose/haproxy.cfg"
UNIT = ROOT / "deploy/systemd/imcast.service"
RULES = ROOT / "deploy/prometheus/rules.yaml"
RULES_TEST = ROOT / "deploy/prometheus/rules-test.yaml"
# What stands in the file of a secret that says where batches are kept.
STORE_URL = "postgres://imcast:secret@postgres/imcast"
# What `systemd-analyze security` may find, times ten: 1.1 is what a program on the network cannot do without.
EXPOSURE = 13


def run(*command, **options):
    """What a tool prints; a tool that refuses ends the check with its own words."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def require(holds, *what):
    if not holds:
        sys.exit(": ".join(str(part) for part in what))


def seconds(text):
    """35s, 1m15s or 35 as seconds."""
    units = {"h": 3600, "m": 60, "s": 1, "": 1}
    parts = re.findall(r"(\d+)(ms|[hms]?)", str(text))
    return sum(int(number) * units[unit] for number, unit in parts)


def leaving(settings, environment=None):
    """Seconds from SIGTERM to the end, as the configuration says."""
    environment = environment or {}
    section = settings.get("shutdown", {})
    default = tomllib.loads((ROOT / "config/default.toml").read_text())["shutdown"]
    return sum(
        int(environment.get(f"IMCAST__SHUTDOWN__{key.upper()}", section.get(key, default[key])))
        for key in ("drain_delay_seconds", "grace_seconds")
    )


def check_configuration(name, text, folder, store_url, environment=None):
    """Asks imcast itself, with a file for every secret that the text or the environment names."""
    with tempfile.TemporaryDirectory() as work:
        mapped = text.replace(folder, f"{work}/")
        variables = {key: value.replace(folder, f"{work}/") for key, value in (environment or {}).items()}
        for path in re.findall(rf'{re.escape(work)}/[^"\s]+', "\n".join([mapped, *variables.values()])):
            Path(path).write_text(store_url if path.endswith("store_url") else "secret\n")
        config = Path(work, "imcast.toml")
        config.write_text(mapped)
        out, _ = run(IMCAST, "check", "--config", config, env={"PATH": os.defpath, **variables})
        require("warning" not in out, name, out)
        require("ok: " in out, name, out)
    print(f"{name}: imcast check: {out.splitlines()[0]}")


def check_compose():
    with tempfile.TemporaryDirectory() as home:
        out, err = run(TOOLS / "docker-compose", "--file", COMPOSE, "config", "--format", "json",
                       env={"HOME": home, "PATH": os.environ["PATH"]})
        require(not err, "compose.yaml", err)
    services = yaml.safe_load(out)["services"]
    for name, service in services.items():
        require(service.get("read_only") is True, name, "read_only")
        require(service.get("cap_drop") == ["ALL"] and "cap_add" not in service, name, "capabilities")
        require(service.get("security_opt") == ["no-new-privileges:true"], name, "security_opt")
        require(not str(service.get("user", "0")).startswith(("0", "root")), name, "runs as root")
        require({"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name, "limits")
        require("healthcheck" in service, name, "no health check")
        secret = [key for key in service.get("environment") or {} if re.search("PASSWORD|SECRET|TOKEN", key)]
        require(all(key.endswith("_FILE") for key in secret), name, "a secret in the environment", secret)
    published = [name for name, service in services.items() if service.get("ports")]
    require(published == ["balancer"], "more than the balancer is published", published)
    replicas = [{key: value for key, value in service.items() if key != "build"}
                for name, service in services.items() if name.startswith("imcast-")]
    require(len(replicas) == 3 and replicas.count(replicas[0]) == 3, "three equal replicas")

    text = (ROOT / "deploy/compose/imcast.toml").read_text()
    settings = tomllib.loads(text)
    require(leaving(settings) < seconds(replicas[0]["stop_grace_period"]), "stop_grace_period is too short")
    stop = re.search(r"hard-stop-after (\w+)", BALANCER.read_text())[1]
    require(seconds(stop) < seconds(services["balancer"]["stop_grace_period"]), "hard-stop-after is too long")
    check_configuration("compose", text, "/run/secrets/", STORE_URL)


def check_balancer():
    text = BALANCER.read_text()
    idle = tomllib.loads((ROOT / "config/default.toml").read_text())["server"]["idle_timeout_seconds"]
    rest = seconds(re.search(r"timeout http-keep-alive (\w+)", text)[1])
    require(rest < idle and "option http-server-close" in text, "connections rest longer than in imcast")
    if not shutil.which("haproxy"):
        return
    out, err = run("haproxy", "-c", "-f", BALANCER)
    # The names of the replicas are known to Docker alone.
    odd = [line for line in (out + err).splitlines()
           if re.search("WARNING|ALERT", line) and "could not resolve address 'imcast-" not in line]
    require(not odd, "haproxy.cfg", *odd)
    print("balancer:", balancer.play(text))


def check_chart():
    for name, manifests in chart.check(ROOT / "deploy/helm/imcast").items():
        deployment = next(one for one in manifests if one["kind"] == "Deployment")
        pod = deployment["spec"]["template"]["spec"]
        environment = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
        text = next(one for one in manifests if one["kind"] == "ConfigMap")["data"]["imcast.toml"]
        left = pod["terminationGracePeriodSeconds"] - leaving(tomllib.loads(text), environment)
        require(left >= 3, name, "terminationGracePeriodSeconds is too short")
        check_configuration(f"chart, {name}", text, "/run/secrets/imcast/", STORE_URL, environment)
    rules = yaml.safe_load(RULES.read_text())
    shipped = next(one for one in chart.rendered["postgresql"] if one["kind"] == "PrometheusRule")
    require(shipped["spec"] == rules, "the chart's alerts are not those of deploy/prometheus/rules.yaml")


def check_unit():
    text = UNIT.read_text()
    config = (ROOT / "deploy/systemd/imcast.toml").read_text()
    stop = seconds(re.search(r"^TimeoutStopSec=(\w+)", text, re.M)[1])
    require(leaving(tomllib.loads(config)) < stop, "TimeoutStopSec= is too short")
    check_configuration("systemd", config, "/run/credentials/imcast.service/", STORE_URL)
    if not shutil.which("systemd-analyze"):
        return
    with tempfile.TemporaryDirectory() as work:
        unit = Path(work, "imcast.service")
        # The program is asked for by `verify`; everything else is as it is shipped.
        unit.write_text(text.replace("/usr/local/bin/imcast", str(IMCAST)))
        out, err = run("systemd-analyze", "verify", "--man=no", unit)
        # An unknown directive is only a warning to systemd, which then runs without it.
        odd = [line for line in (out + err).splitlines() if "imcast.service" in line]
        require(not odd, "imcast.service", *odd)
        out, _ = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", unit)
        print("systemd:", re.search(r"Overall exposure level.*?: ([\d.]+)", out)[1], "of 10 exposed")


def check_image():
    run(TOOLS / "hadolint", "--failure-threshold", "info", ROOT / "Dockerfile")
    dockerfile = (ROOT / "Dockerfile").read_text()
    for label in ("title", "description", "source", "licenses", "version", "revision"):
        require(f"org.opencontainers.image.{label}=" in dockerfile, "Dockerfile has no label", label)
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    metadata = yaml.safe_load((ROOT / "deploy/helm/imcast/Chart.yaml").read_text())
    require(metadata["appVersion"] == version, "Chart.yaml: appVersion is not", version)
    require(f"ARG VERSION={version}\n" in dockerfile, "Dockerfile: VERSION is not", version)
    require(f"IMCAST_VERSION:-{version}" in COMPOSE.read_text(), "compose.yaml: IMCAST_VERSION is not", version)
    # The build context, as .dockerignore leaves it, must be a package that cargo can read.
    with tempfile.TemporaryDirectory() as work:
        for line in (ROOT / ".dockerignore").read_text().splitlines():
            source = ROOT / line[1:]
            if line.startswith("!") and source.is_dir():
                shutil.copytree(source, Path(work, line[1:]))
            elif line.startswith("!"):
                shutil.copy(source, work)
        run("cargo", "metadata", "--no-deps", "--offline", "--format-version", "1", cwd=work)
        for source in Path(work, "src").rglob("*.rs"):
            # Strings in a test are not read by the build.
            for path in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
                if not source.stem.endswith("tests") and "tests" not in source.parts:
                    require((source.parent / path).exists(), f".dockerignore leaves out {path} of {source.name}")
            for path in re.findall(r'migrate!\(\s*"([^"]+)"', source.read_text()):
                require(Path(work, path).is_dir(), f".dockerignore leaves out {path} of {source.name}")
    print("image: hadolint and the build context")


def check_alerts():
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    quiet = [test["name"] for test in tests for one in test["promql_expr_test"] if not one["exp_samples"]]
    require(quiet == ["a quiet hour"], "rules-test.yaml: what raises nothing is", *quiet)
    samples = [sample["labels"] for test in tests for one in test["promql_expr_test"] for sample in one["exp_samples"]]
    raised = {re.search('alertname="(\\w+)"', labels)[1] for labels in samples}
    require(raised == alerts, "rules-test.yaml does not raise, or there is no", *sorted(raised ^ alerts))
    if not shutil.which("promtool"):
        return
    run("promtool", "check", "rules", "--lint-fatal", RULES)
    run("promtool", "test", "rules", RULES_TEST)
    print(f"alerts: {len(alerts)}, each raised by one of {len(tests) - 1} faults and none by a quiet hour")


def main():
    check_image()
    check_compose()
    check_balancer()
    check_chart()
    check_unit()
    check_alerts()


main()
