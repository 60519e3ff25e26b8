#!/usr/bin/env python3
"""A night as an array job on a real Slurm: four shards on two slots, one of them killed and requeued, and
their outputs merged, equal those of one run. slurmctld, slurmd and munged run in a folder of the test.

NIGHTJAR_SLURM_ALERTS=20000 is a night of that many alerts (400)."""

import os, shutil, signal, socket, sqlite3, subprocess, time
from analysis_kit import build
from tap import (
    NIGHTJAR,
    ROOT,
    SANITIZED,
    Folder,
    done,
    free_port,
    needs,
    nightjar,
    ok,
    report,
    skip,
    table_rows,
)

needs("fastavro", "astropy")
import fastavro
from astropy.io import fits

ALERTS = int(os.environ.get("NIGHTJAR_SLURM_ALERTS", "400"))
KINDS = [("ndjson", "rows.ndjson"), ("csv", "rows.csv"), ("avro", "rows.avro"), ("sqlite", "rows.db")]
KINDS += [("parquet", "rows.parquet"), ("fits", "rows.fits")]
OFTEN = ["-D", "run.commit_ms=20", "-D", "run.flush_ms=10", "-D", "run.batch_rows=4"]
PATIENCE = 120 + ALERTS / 20  # seconds: a wait that lasts so long has failed


def tools():
    missing = [t for t in ("slurmctld", "slurmd", "munged", "sbatch", "scontrol") if not shutil.which(t)]
    if os.geteuid() != 0:
        return "slurmd and munged are started by root"
    return "there is no " + ", ".join(missing) if missing else ""


class Cluster:
    """with Cluster(folder): a node of two slots; SLURM_CONF is set."""

    def __init__(self, folder):
        self.folder = folder

    def pid(self, name):
        with open(f"{self.folder}/{name}.pid") as f:
            return int(f.read())

    def __enter__(self):
        d = self.folder
        for name in ("spool", "state"):
            os.makedirs(f"{d}/{name}")
        with open(f"{d}/key", "wb") as f:
            f.write(os.urandom(128))
        os.chmod(f"{d}/key", 0o400)
        os.chmod(d, 0o755)
        host = socket.gethostname().split(".")[0]
        ctld, node = free_port(), free_port()
        lines = {
            "ClusterName": "test",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={d}/munge.sock",
            "StateSaveLocation": f"{d}/state",
            "SlurmdSpoolDir": f"{d}/spool",
            "SlurmctldPidFile": f"{d}/slurmctld.pid",
            "SlurmdPidFile": f"{d}/slurmd.pid",
            "SlurmctldLogFile": f"{d}/slurmctld.log",
            "SlurmdLogFile": f"{d}/slurmd.log",
            "SlurmctldPort": ctld,
            "SlurmdPort": node,
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "MpiDefault": "none",
            "KillWait": 30,
        }
        with open(f"{d}/slurm.conf", "w") as f:
            f.writelines(f"{k}={v}\n" for k, v in lines.items())
            f.write(f"NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=500\n")
            f.write("PartitionName=all Nodes=ALL Default=YES\n")
        os.environ["SLURM_CONF"] = f"{d}/slurm.conf"
        munge = ["--force", f"--socket={d}/munge.sock", f"--key-file={d}/key", f"--pid-file={d}/munged.pid"]
        munge += [f"--log-file={d}/munged.log", f"--seed-file={d}/munged.seed", "--num-threads=2"]
        self.started = []
        for name, args in (("munged", munge), ("slurmctld", []), ("slurmd", [])):
            r = subprocess.run([shutil.which(name), *args], capture_output=True, text=True)
            if r.returncode == 0:
                self.started.append(name)
            self.why = r.stderr
        self.up = wait_for(lambda: "idle" in slurm("sinfo", "-h", "-o", "%T"), 60)
        return self

    def __exit__(self, *_):
        subprocess.run(["scancel", "--quiet", "--user=root"], capture_output=True)
        for name in reversed(self.started):
            try:
                os.kill(self.pid(name), signal.SIGTERM)
            except (OSError, ValueError):
                pass
        wait_for(lambda: not os.path.exists(f"{self.folder}/slurmctld.pid"), 20)


def slurm(*args):
    r = subprocess.run(args, capture_output=True, text=True)
    return r.stdout + r.stderr


def wait_for(f, patience=PATIENCE):
    end = time.time() + patience
    while not f() and time.time() < end:
        time.sleep(0.1)
    return bool(f())


def lines_of(path):
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def running():
    return slurm("squeue", "-h", "-t", "running", "-o", "%K").split()


def log(k):
    return open(f"{k}.log").read() if os.path.exists(f"{k}.log") else ""


def read(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return f.read()


def table(path):
    if not os.path.exists(path):
        return None
    db = sqlite3.connect(path)
    return list(map(repr, db.execute("SELECT * FROM alerts")))


def table_of(path):
    with fits.open(path) as f:
        return table_rows(f["ALERTS"].data)


def avro(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return list(map(repr, fastavro.reader(f)))


why = tools()
if why or SANITIZED:
    skip("a night on Slurm", why or "slurmd waits for no sanitizer")
    done()

with Folder() as here:
    os.environ["PATH"] = f"{os.path.dirname(os.path.abspath(NIGHTJAR))}:{os.environ['PATH']}"
    nightjar("simulate", "-q", "-n", ALERTS, "--schema", "4.02", "-o", "night.tar")
    # a module that waits after a few alerts until there is a file, so that a shard is killed within its night
    go = f"{here}/go"
    build("sleepy", f'static int seen; if (seen++ > 8) while (access("{go}", F_OK)) usleep(20000);')
    open(go, "w").close()
    common = ["-m", "roid,nalerthist,sleepy", "--module-path", "sleepy.so", *OFTEN]
    outputs = lambda d: [x for k, n in KINDS for x in ("-o", f"{k}:{d}/{n}")]
    os.makedirs("whole")
    r = nightjar("run", "night.tar", *common, *outputs("whole"), "-q", "--report", "whole/run.json")
    ok(r.returncode == 0, "one run of the night", r.stderr)
    os.remove(go)
    with Cluster(f"{here}/slurm") as cluster:
        ok(cluster.up, "slurmctld, slurmd and munged are up", cluster.why)
        batch = os.path.join(ROOT, "data", "slurm", "night.sbatch")
        args = ["sbatch", "--parsable", "--array=1-4", "--output=%a.log", batch, "night.shards", "night.tar"]
        args += [*common, *outputs("SHARD")]
        r = subprocess.run(args, capture_output=True, text=True)
        ok(r.returncode == 0, "the array job is submitted", r.stderr)
        job = r.stdout.strip()
        ok(wait_for(lambda: lines_of("night.shards/1/rows.ndjson") > 3), "shard 1 is under way", log(1))
        ok(len(running()) == 2, "two shards run at a time", running())
        said = slurm("scontrol", "requeue", f"{job}_1")
        before = lines_of("night.shards/1/rows.ndjson")
        ok(before < ALERTS // 4, "shard 1 is killed within its night, and goes to the queue again", said)
        open(go, "w").close()
        # Slurm lets a requeued job wait for two minutes
        ok(
            wait_for(lambda: "BeginTime" in slurm("squeue", "-h", "-o", "%r")),
            "it waits there",
            slurm("squeue"),
        )
        slurm("scontrol", "update", f"JobId={job}_1", "StartTime=now")
        ok(wait_for(lambda: not slurm("squeue", "-h").strip()), "all shards end", slurm("squeue"))
        states = slurm("scontrol", "show", "job", job)
        ok(states.count("JobState=COMPLETED") == 4, "each of them well", states + log(1))
        ok("Restarts=1" in states, "one was started twice", states)
        r = nightjar("merge", "night", *[f"night.shards/{k}" for k in (2, 4, 1, 3)])
        ok(r.returncode == 0, "the four are merged", r.stderr)
        for name in ("rows.ndjson", "rows.csv", "rows.parquet"):
            ok(read(f"night/{name}") == read(f"whole/{name}"), f"{name} is that of one run, to the byte")
        ok(table("night/rows.db") == table("whole/rows.db"), "SQLite has the rows of one run")
        ok(avro("night/rows.avro") == avro("whole/rows.avro"), "so has Avro")
        ok(table_of("night/rows.fits") == table_of("whole/rows.fits"), "and FITS")
        got, one = report("night/run.json"), report("whole/run.json")
        ok(
            got["ledger"] == one["ledger"],
            "the ledger of all, over the restart, is that of one run",
            got["ledger"],
        )
        ok(len(got["shards"]) == 4, "the report has the four shards")
        ok(
            [s.get("resumed", False) for s in got["shards"]] == [True, False, False, False],
            "and says which was resumed",
        )
        # the same line once more: nothing is left to do
        r = subprocess.run(args, capture_output=True, text=True)
        ok(wait_for(lambda: not slurm("squeue", "-h").strip()), "the same line once more ends at once")
        states = slurm("scontrol", "show", "job", r.stdout.strip())
        ok(states.count("JobState=COMPLETED") == 4, "with nothing to do", states + log(1))
        r = nightjar("merge", "night", *[f"night.shards/{k}" for k in (1, 2, 3, 4)], "--overwrite")
        ok(read("night/rows.ndjson") == read("whole/rows.ndjson"), "and the night is the same")
        r = nightjar("merge", "less", *[f"night.shards/{k}" for k in (1, 2, 4)])
        ok(
            r.returncode == 3 and "shard 3 of 4 is missing" in r.stderr,
            "a task that is not there is named",
            r.stderr,
        )
done()
