#!/usr/bin/env python3
"""Files for engines that are not to be had here: an Indexed Job of Kubernetes, a submit file and a DAG of
HTCondor. Their fields, names and references are looked at, and their commands are run as those would."""

import os, re, shlex, shutil, subprocess
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, report

needs("yaml")
import yaml

TEXT, NUMBER, FLAG = str, int, bool
LABELS = {"*": TEXT}
META = {"name": TEXT, "labels": LABELS}
# The fields that the Job uses, with their types, as Kubernetes 1.27 has them.
JOB = {
    "apiVersion": TEXT,
    "kind": TEXT,
    "metadata": META,
    "spec": {
        "completionMode": TEXT,
        "completions": NUMBER,
        "parallelism": NUMBER,
        "backoffLimit": NUMBER,
        "template": {
            "metadata": META | {"name": None},
            "spec": {
                "restartPolicy": TEXT,
                "automountServiceAccountToken": FLAG,
                "terminationGracePeriodSeconds": NUMBER,
                "securityContext": {
                    "runAsNonRoot": FLAG,
                    "runAsUser": NUMBER,
                    "runAsGroup": NUMBER,
                    "fsGroup": NUMBER,
                    "seccompProfile": {"type": TEXT},
                },
                "containers": [
                    {
                        "name": TEXT,
                        "image": TEXT,
                        "command": [TEXT],
                        "env": [{"name": TEXT, "value": TEXT}],
                        "resources": {
                            "requests": {"cpu": TEXT, "memory": TEXT},
                            "limits": {"memory": TEXT},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": FLAG,
                            "readOnlyRootFilesystem": FLAG,
                            "capabilities": {"drop": [TEXT]},
                        },
                        "volumeMounts": [{"name": TEXT, "mountPath": TEXT}],
                    }
                ],
                "volumes": [{"name": TEXT, "persistentVolumeClaim": {"claimName": TEXT}, "emptyDir": {}}],
            },
        },
    },
}
# Commands of HTCondor's submit language that the files use (condor_submit, version 10), with their values.
SUBMIT = {
    "universe": r"vanilla|local|docker|container",
    "executable": r"/\S+",
    "arguments": r'"[^"]*"',
    "should_transfer_files": r"YES|NO|IF_NEEDED",
    "request_cpus": r"\d+",
    "request_memory": r"\d+(MB|GB)?",
    "kill_sig": r"SIG[A-Z]+",
    "job_max_vacate_time": r"\d+",
    "on_exit_remove": r".*ExitCode.*",
    "log": r"\S+",
    "output": r"\S+",
    "error": r"\S+",
}
DAG = {
    "JOB": r"JOB (\w+) (\S+\.sub)",
    "VARS": r'VARS (\w+)( \w+="[^"]*")+',
    "SCRIPT": r"SCRIPT (PRE|POST) (\w+) /\S+( \S+)*",
    "RETRY": r"RETRY (\w+) \d+",
    "PARENT": r"PARENT (\w+ )+CHILD( \w+)+",
}


def read(*path):
    with open(os.path.join(ROOT, "data", *path), encoding="utf-8") as f:
        return f.read()


def wrong_fields(value, want, path):
    if isinstance(want, dict):
        if not isinstance(value, dict):
            return [f"{path}: not a map"]
        known = lambda k: want.get(k, want.get("*"))
        bad = [f"{path}.{k}: not known" for k in value if known(k) is None]
        return bad + [
            x
            for k, v in value.items()
            if known(k) is not None
            for x in wrong_fields(v, known(k), f"{path}.{k}")
        ]
    if isinstance(want, list):
        return [x for i, v in enumerate(value) for x in wrong_fields(v, want[0], f"{path}[{i}]")]
    return [] if type(value) is want else [f"{path}: {value!r} is no {want.__name__}"]


def same_as_one_run(what, folder):
    with open(f"{folder}/rows.ndjson", "rb") as f, open("whole.ndjson", "rb") as g:
        ok(f.read() == g.read(), f"{what}: merged, the rows are those of one run")
    ok(report(f"{folder}/run.json")["ledger"]["closed"], f"{what}: and the ledger closes")


def kubernetes():
    job = yaml.safe_load(read("deploy", "night.yaml"))
    ok((job["apiVersion"], job["kind"]) == ("batch/v1", "Job"), "Job: its version and kind")
    bad = wrong_fields(job, JOB, "Job")
    ok(not bad, "Job: its fields and types", bad)
    spec = job["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    ok(spec["completionMode"] == "Indexed", "Job: each pod has an index")
    ok(pod["restartPolicy"] in ("OnFailure", "Never"), "Job: a restart policy that Jobs may have")
    ok(
        {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]},
        "Job: its volumes",
    )
    ok(container["securityContext"]["readOnlyRootFilesystem"], "Job: nothing but volumes can be written")
    env = {e["name"]: e["value"] for e in container["env"]}
    ok(env["SHARDS"] == str(spec["completions"]), "Job: as many shards as completions")
    for index in range(spec["completions"]):
        r = subprocess.run(
            container["command"],
            env={**os.environ, **env, "JOB_COMPLETION_INDEX": str(index)},
            capture_output=True,
            text=True,
        )
        ok(r.returncode == 0, f"Job: the command of pod {index}", r.stderr)
    words = shlex.split(re.search(r"nightjar (merge .*)", read("deploy", "night.yaml"))[1].replace("/*", ""))
    folders = sorted(os.path.join(words[-1], k) for k in os.listdir(words[-1]))
    r = nightjar(*words[:-1], *folders)
    ok(r.returncode == 0, "Job: its shards are merged", r.stderr)
    same_as_one_run("Job", words[1])
    shutil.rmtree(words[1])


def submit(name):
    """{command: value} of a submit file."""
    found = {}
    lines = [x for x in read("condor", name).splitlines() if x and not x.startswith("#")]
    ok(lines[-1] == "queue", f"{name}: ends with queue")
    for line in lines[:-1]:
        key, _, value = line.partition(" = ")
        ok(key in SUBMIT, f"{name}: {key} is a command", line)
        ok(bool(re.fullmatch(SUBMIT.get(key, ""), value)), f"{name}: and has a value of it", line)
        found[key] = value
    return found


def condor():
    dag = [x for x in read("condor", "night.dag").splitlines() if x and not x.startswith("#")]
    jobs, values, before = {}, {}, {}
    for line in dag:
        word = line.split()[0]
        ok(bool(re.fullmatch(DAG.get(word, ""), line)), f"night.dag: {word} is well formed", line)
        if word == "JOB":
            jobs[line.split()[1]] = line.split()[2]
        elif word == "VARS":
            values[line.split()[1]] = dict(re.findall(r'(\w+)="([^"]*)"', line))
        elif word == "SCRIPT":
            before[line.split()[2]] = line.split()[3:]
        elif word == "PARENT":
            parents, children = (x.split() for x in line[7:].split(" CHILD "))
    files = {name: submit(name) for name in sorted(set(jobs.values()))}
    ok(set(parents) | set(children) == set(jobs), "night.dag: every job has its place", jobs)
    ok(set(values) == set(parents), "night.dag: and every shard its number", values)
    for job in [*parents, *children]:
        text = files[jobs[job]]["arguments"].strip('"')
        for key, value in values.get(job, {}).items():
            text = text.replace(f"$({key})", value)
        ok("$(" not in text, f"night.dag: {job} has all that its file asks for", text)
        if job in before:
            subprocess.run(before[job], check=True)
        ok(os.path.basename(files[jobs[job]]["executable"]) == "nightjar", f"night.dag: {job} runs nightjar")
        r = nightjar(*text.split())
        ok(r.returncode == 0, f"night.dag: {job} ends well", r.stderr)
    same_as_one_run("DAG", "night")


with Folder():
    os.environ["PATH"] = f"{os.path.dirname(os.path.abspath(NIGHTJAR))}:{os.environ['PATH']}"
    nightjar("simulate", "-q", "-n", 60, "-o", "night.tar.gz")
    nightjar("run", "night.tar.gz", "-q", "-m", "roid,hostless", "-o", "ndjson:whole.ndjson")
    kubernetes()
    condor()
done()
