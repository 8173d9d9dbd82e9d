"""Renders the Helm chart with each of its ci/ values and judges the manifests; used by check-deploy."""

import contextlib
import os
import sys
import tempfile

import helm_python as helm
import kubernetes_validate
import yaml

# The oldest that Chart.yaml allows, and the newest whose schemas there are.
VERSIONS = ("1.27", kubernetes_validate.latest_version())
# Kinds of the Prometheus operator, whose schemas are not Kubernetes' own.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
# Values that must be refused, and a word of the reason.
REFUSED = [
    ("{}", "config is empty"),
    ("{config: x}", "needs secrets.existingSecret"),
    ("{config: x, replicas: 2, store: {type: sqlite}}", "is for one replica"),
    ("{config: x, replicas: 2, store: {type: memory}}", "is for one replica"),
    ("{config: x, replicas: 1, store: {type: sqlite}, autoscaling: {enabled: true}}", "is for one replica"),
    ("{config: x, secrets: {existingSecret: s}, autoscaling: {enabled: true, minReplicas: 20}}", "is above"),
    ("{config: x, replicaz: 2}", "replicaz"),
    ("{config: x, replicas: '3'}", "want integer"),
    ("{config: x, image: {tga: x}}", "tga"),
    ("{config: x, resources: {limits: {memory: null}}}", "resources/limits"),
    ("{config: x, shutdown: {marginSeconds: 0}}", "marginSeconds"),
    ("{config: x, store: {type: mysql}}", "store/type"),
]

# Name of the ci/ values -> manifests.
rendered = {}


def require(holds, *what):
    if not holds:
        sys.exit(": ".join(["chart", *(str(part) for part in what)]))


@contextlib.contextmanager
def without_link_remarks():
    """Helm says of every linked file that it is one: the alerts are linked so that there is one text of them."""
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            sys.stderr.writelines(line for line in said if "found symbolic link in path" not in line)


def render(chart, values):
    with without_link_remarks(), helm.Chart.load(chart) as loaded:
        return loaded.render(values, name="demo", namespace="production")


def check_refusals(chart):
    for text, reason in REFUSED:
        try:
            render(chart, helm.values_from_yaml(text))
        except helm.HelmError as error:
            require(reason in str(error), text, "is refused for another reason", error)
        else:
            require(False, text, "is not refused")


def check_pod(name, spec):
    require(spec["automountServiceAccountToken"] is False, name, "has a token")
    context = spec["securityContext"]
    require(context["runAsNonRoot"] is True, name, "runs as root")
    require(context["seccompProfile"] == {"type": "RuntimeDefault"}, name, "has no seccomp profile")
    for container in spec["containers"]:
        context = container["securityContext"]
        require(context["readOnlyRootFilesystem"] is True, name, "can write to its root")
        require(context["allowPrivilegeEscalation"] is False, name, "can get more rights")
        require(context["capabilities"] == {"drop": ["ALL"]}, name, "has capabilities")
        require("memory" in container["resources"]["limits"], name, "has no limit of its memory")
        for variable in container.get("env", []):
            require("postgres" not in variable.get("value", ""), name, "has a secret in its environment")


def check_manifest(name, manifest):
    if manifest["kind"] not in FOREIGN:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                require(False, name, manifest["kind"], version, error.message)
    if manifest["kind"] == "Deployment":
        check_pod(name, manifest["spec"]["template"]["spec"])
        probes = {"startupProbe", "livenessProbe", "readinessProbe"}
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        require(probes <= container.keys(), name, "lacks a probe")
    if manifest["kind"] == "Pod":
        check_pod(name, manifest["spec"])


def check(chart):
    """Refuses the chart, or returns the manifests by the name of the values they were rendered with."""
    for file in sorted((chart / "ci").glob("*-values.yaml")):
        name = file.name.removesuffix("-values.yaml")
        values = helm.values_from_yaml(file.read_text())
        with without_link_remarks():
            report = helm.lint(str(chart), values, strict=True)
        # 1 = a remark.
        findings = [finding for finding in report["messages"] if finding["severity"] > 1]
        require(not findings and not report["errors"], name, "helm lint", findings, report["errors"])
        texts = render(str(chart), values)
        require("is installed as demo-imcast" in texts.pop("imcast/templates/NOTES.txt"), name, "NOTES.txt")
        manifests = [one for text in texts.values() for one in yaml.safe_load_all(text) if one]
        for manifest in manifests:
            check_manifest(name, manifest)
        rendered[name] = manifests
        print(f"chart, {name}: {len(manifests)} manifests for Kubernetes {' and '.join(VERSIONS)}")
    check_refusals(str(chart))
    print(f"chart: {len(REFUSED)} wrong values refused")
    return rendered
