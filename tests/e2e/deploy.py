#!/usr/bin/env python3
"""Service units, Containerfile and Kubernetes manifest in data: verified by the tools that are there, and
their commands are run."""

import glob, os, re, shlex, shutil, subprocess
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, skip

needs("yaml")
import yaml

UNITS = ("nightjar.service", "nightjar@.service")
TEXT, NUMBER, FLAG = str, int, bool
LABELS = {"*": TEXT}
PROBE = {"httpGet": {"path": TEXT, "port": TEXT}, "periodSeconds": NUMBER, "failureThreshold": NUMBER}
PROBE["timeoutSeconds"] = NUMBER
META = {"name": TEXT, "labels": LABELS, "annotations": LABELS}
# The fields that the manifest uses, with their types, as Kubernetes 1.27 and KEDA 2.12 have them.
CONTAINER = {
    "name": TEXT,
    "image": TEXT,
    "args": [TEXT],
    "env": [
        {
            "name": TEXT,
            "valueFrom": {"fieldRef": {"fieldPath": TEXT}, "secretKeyRef": {"name": TEXT, "key": TEXT}},
        }
    ],
    "ports": [{"name": TEXT, "containerPort": NUMBER}],
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "resources": {"requests": {"cpu": TEXT, "memory": TEXT}, "limits": {"memory": TEXT}},
    "securityContext": {
        "allowPrivilegeEscalation": FLAG,
        "readOnlyRootFilesystem": FLAG,
        "capabilities": {"drop": [TEXT]},
    },
    "volumeMounts": [{"name": TEXT, "mountPath": TEXT, "readOnly": FLAG}],
}
POD = {
    "automountServiceAccountToken": FLAG,
    "terminationGracePeriodSeconds": NUMBER,
    "securityContext": {
        "runAsNonRoot": FLAG,
        "runAsUser": NUMBER,
        "runAsGroup": NUMBER,
        "fsGroup": NUMBER,
        "seccompProfile": {"type": TEXT},
    },
    "containers": [CONTAINER],
    "volumes": [{"name": TEXT, "configMap": {"name": TEXT}, "emptyDir": {}}],
}
SELECTOR = {"matchLabels": LABELS}
KINDS = {
    ("v1", "ConfigMap"): {"data": {"*": TEXT}},
    ("v1", "Service"): {
        "spec": {"clusterIP": TEXT, "selector": LABELS, "ports": [{"name": TEXT, "port": NUMBER}]}
    },
    ("apps/v1", "StatefulSet"): {
        "spec": {
            "serviceName": TEXT,
            "podManagementPolicy": TEXT,
            "selector": SELECTOR,
            "template": {"metadata": META, "spec": POD},
            "volumeClaimTemplates": [
                {
                    "metadata": META,
                    "spec": {"accessModes": [TEXT], "resources": {"requests": {"storage": TEXT}}},
                }
            ],
        }
    },
    ("policy/v1", "PodDisruptionBudget"): {"spec": {"maxUnavailable": NUMBER, "selector": SELECTOR}},
    ("keda.sh/v1alpha1", "TriggerAuthentication"): {
        "spec": {"secretTargetRef": [{"parameter": TEXT, "name": TEXT, "key": TEXT}]}
    },
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "spec": {
            "scaleTargetRef": {"apiVersion": TEXT, "kind": TEXT, "name": TEXT},
            "minReplicaCount": NUMBER,
            "maxReplicaCount": NUMBER,
            "pollingInterval": NUMBER,
            "cooldownPeriod": NUMBER,
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": NUMBER}}
                }
            },
            "triggers": [{"type": TEXT, "metadata": {"*": TEXT}, "authenticationRef": {"name": TEXT}}],
        }
    },
}


def read(*path):
    with open(os.path.join(ROOT, "data", *path), encoding="utf-8") as f:
        return f.read()


# --- systemd ---------------------------------------------------------------------------------------------
def unit(name):
    """{key: [values]} of a unit; lines that are none are under ''."""
    found = {}
    for line in read("systemd", name).splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key if _ else "", []).append(value if _ else line)
    return found


def fill(text, instance="ztf"):
    """As systemd fills it in, with folders of the test."""
    return (
        text.replace("%i", instance).replace("%S", os.getcwd()).replace("/etc/nightjar", os.getcwd() + "/etc")
    )


def units():
    texts = [read("systemd", name) for name in UNITS]
    same = [re.sub(r"(?m)^#.*\n", "", t) for t in texts]
    same[1] = (
        same[1]
        .replace(" (%i)", "")
        .replace("=nightjar/%i", "=nightjar")
        .replace("%S/nightjar/%i", "%S/nightjar")
    )
    same[1] = same[1].replace("%i", "nightjar")
    ok(same[0] == same[1], "the two units differ in names only")
    for name in UNITS:
        u = unit(name)
        ok("" not in u, f"{name}: keys and values", u.get(""))
        ok(u["Type"] == ["notify"], f"{name}: says when it is ready")
        shared = "XDG_RUNTIME_DIR=%t/" + u["RuntimeDirectory"][0]
        ok(u.get("Environment") == [shared], f"{name}: services of a host share the names of members", u)
        ok(u["RuntimeDirectoryPreserve"] == ["yes"], f"{name}: also while one of them rests")
        ok(u["SuccessExitStatus"] == ["130"], f"{name}: a stop is no failure")
        stall = float(re.search(r"stall_s = (\d+)", nightjar("settings", "run").stdout)[1])
        ok(float(u["WatchdogSec"][0]) > 2 * stall, f"{name}: the watchdog waits longer than run.stall_s")
    if not shutil.which("systemd-analyze"):
        return skip("systemd-analyze verify", "systemd-analyze is not installed")
    os.mkdir("units")
    for name in UNITS:
        with open(f"units/{name}", "w", encoding="utf-8") as f:
            f.write(read("systemd", name).replace("/usr/local/bin/nightjar", os.path.abspath(NIGHTJAR)))
    for name in ("nightjar.service", "nightjar@ztf.service"):
        r = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", f"units/{name}"], capture_output=True, text=True
        )
        lines = [line for line in r.stderr.splitlines() if "nightjar" in line]
        ok(not lines, f"systemd-analyze verify {name}", r.stderr)
    args = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", "units/nightjar.service"]
    r = subprocess.run(args, capture_output=True, text=True)
    if "unrecognized option" in r.stderr:
        skip("systemd-analyze security", "this one has no --offline")
    else:
        ok(r.returncode == 0, "systemd-analyze security: exposure of at most 2.5", r.stdout[-300:] + r.stderr)


def the_units_command():
    """ExecStart with its file of settings and its environment, on a night instead of a stream."""
    os.makedirs("etc", exist_ok=True)
    with open("etc/ztf.ini", "w", encoding="ascii") as f:
        f.write("[run]\nsinks = ndjson:rows.ndjson\nmodules = features\n")
    words = shlex.split(fill(unit("nightjar@.service")["ExecStart"][0]))
    words = [os.path.abspath("night.tar") if w == "${NIGHTJAR_SOURCE}" else w for w in words]
    ok(words[0] == "/usr/local/bin/nightjar", "ExecStart runs nightjar", words)
    r = nightjar(*words[1:])
    ok(r.returncode == 0 and os.path.exists("rows.ndjson"), "and its words are a run", r.stderr)


# --- Kubernetes ------------------------------------------------------------------------------------------
def wrong_fields(value, want, path):
    """Fields that are not known or of another type."""
    if isinstance(want, dict):
        if not isinstance(value, dict):
            return [f"{path}: not a map"]
        bad = []
        for k, v in value.items():
            known = want.get(k, want.get("*"))
            bad += [f"{path}.{k}: not known"] if known is None else wrong_fields(v, known, f"{path}.{k}")
        return bad
    if isinstance(want, list):
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [x for i, v in enumerate(value) for x in wrong_fields(v, want[0], f"{path}[{i}]")]
    return [] if type(value) is want else [f"{path}: {value!r} is no {want.__name__}"]


def manifest():
    documents = list(yaml.safe_load_all(read("deploy", "kubernetes.yaml")))
    by_kind = {d["kind"]: d for d in documents}
    for d in documents:
        want = KINDS.get((d["apiVersion"], d["kind"]))
        ok(want is not None, f"{d['kind']}: a kind and version that the test knows", d["apiVersion"])
        bad = wrong_fields(d, {"apiVersion": TEXT, "kind": TEXT, "metadata": META, **(want or {})}, d["kind"])
        ok(not bad, f"{d['kind']}: its fields and types", bad)
    stateful = by_kind["StatefulSet"]["spec"]
    pod = stateful["template"]["spec"]
    container = pod["containers"][0]
    labels = stateful["template"]["metadata"]["labels"]
    ok(
        all(
            s.items() <= labels.items()
            for s in (
                stateful["selector"]["matchLabels"],
                by_kind["Service"]["spec"]["selector"],
                by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            )
        ),
        "selectors name the pods",
    )
    ok(stateful["serviceName"] == by_kind["Service"]["metadata"]["name"], "the service is there")
    volumes = {v["name"] for v in pod["volumes"]}
    volumes |= {v["metadata"]["name"] for v in stateful["volumeClaimTemplates"]}
    ok({m["name"] for m in container["volumeMounts"]} == volumes, "every volume is mounted, and is there")
    ports = {p["name"] for p in container["ports"]}
    probes = [container[k] for k in ("startupProbe", "livenessProbe", "readinessProbe")]
    ok({p["httpGet"]["port"] for p in probes} <= ports, "probes ask a port that is there")
    ok({p["httpGet"]["path"] for p in probes} == {"/health", "/ready"}, "and paths that are served")
    ok(container["securityContext"]["readOnlyRootFilesystem"], "nothing but volumes can be written")
    ok(pod["securityContext"]["runAsNonRoot"], "not as root")
    scaled = by_kind["ScaledObject"]["spec"]
    ok(
        scaled["scaleTargetRef"]["name"] == by_kind["StatefulSet"]["metadata"]["name"],
        "the scaler scales the StatefulSet",
    )
    group = re.search(r"group=([\w-]+)", container["args"][-1])[1]
    ok(scaled["triggers"][0]["metadata"]["consumerGroup"] == group, "and looks at the group of the pods")
    ok("replicas" not in stateful, "which has no fixed number of pods")
    the_pods_command(container, by_kind["ConfigMap"]["data"]["nightjar.ini"])


def the_pods_command(container, settings):
    with open("pod.ini", "w", encoding="ascii") as f:
        f.write(settings.replace("0.0.0.0:9100", "127.0.0.1:0"))
    args = [a.replace("/etc/nightjar/nightjar.ini", "pod.ini") for a in container["args"]]
    source = args.pop()
    ok(source.startswith("kafka://"), "the last word of the pod is its source", source)
    os.remove("rows.ndjson")
    r = nightjar(*args, "night.tar", "--dead-letters", "dead.avro")
    ok(r.returncode == 0, "the words and settings of the pod are a run", r.stderr)
    source = source.replace("kafka.example.org:9093", "127.0.0.1:9")
    r = nightjar(*args, source, "-D", "source.contact_s=1", env={"NIGHTJAR_KAFKA_PASSWORD": "x-y-z"})
    ok(r.returncode == 2 and "127.0.0.1:9" in r.stderr, "and a stream's: it looks for its broker", r.stderr)


# --- the container ---------------------------------------------------------------------------------------
def packages_of_libraries():
    """Packages of the libraries that the binary names, or None where dpkg does not know them."""
    named = subprocess.run(["objdump", "-p", NIGHTJAR], capture_output=True, text=True).stdout
    where = subprocess.run(["ldd", NIGHTJAR], capture_output=True, text=True).stdout
    found = set()
    for lib in re.findall(r"NEEDED\s+(\S+)", named):
        at = re.search(rf"^\s*{re.escape(lib)} => (\S+)", where, re.M)
        if not at:
            continue
        real = os.path.realpath(at[1])
        for path in (real, at[1], real.removeprefix("/usr"), at[1].removeprefix("/usr")):
            r = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
            if r.returncode == 0:
                found.add(r.stdout.split(":")[0])
                break
        else:
            return None
    return found


def container():
    text = re.sub(r"\\\n", " ", read("deploy", "Containerfile"))
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    known = "FROM WORKDIR COPY RUN USER VOLUME STOPSIGNAL EXPOSE ENTRYPOINT CMD".split()
    ok(all(s[0] in known for s in steps), "Containerfile: steps that there are", [s[0] for s in steps])
    ok(sum(s[0] == "FROM" for s in steps) == 2, "two stages")
    last = max(i for i, s in enumerate(steps) if s[0] == "FROM")
    user = [s[1] for s in steps[last:] if s[0] == "USER"]
    ok(user and not user[-1].startswith(("0", "root")), "not as root", user)
    ok(
        any(s[0] == "COPY" and "--from=build" in s[1] for s in steps[last:]),
        "the binary comes from the first",
    )
    installs = " ".join(s[1] for s in steps[last:] if s[0] == "RUN")
    have = set(re.search(r"--no-install-recommends (.*?) &&", installs)[1].split())
    with open("/etc/os-release", encoding="utf-8") as f:
        debian = 'VERSION_ID="12"' in f.read()
    want = packages_of_libraries() if debian and shutil.which("dpkg") and shutil.which("objdump") else None
    if want is None:
        skip("the packages of the binary's libraries", "not Debian 12, or libraries of no package")
    else:
        always = {"libc6", "libgcc-s1"}  # every image has them
        ok(want - always == have - {"ca-certificates"}, "the packages of the binary's libraries", want ^ have)
    ok(
        os.access(os.path.join(ROOT, ".ci", "deps"), os.X_OK),
        ".ci/deps, which the first stage runs, is there",
    )


with Folder():
    nightjar("simulate", "-q", "-n", 20, "-o", "night.tar", "--truth", "t.csv")
    units()
    the_units_command()
    manifest()
    container()
done()
