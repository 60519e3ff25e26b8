#!/usr/bin/env python3
"""The service files under a real systemd: a container of systemd-nspawn, whose root is this machine's own
with a layer above it, so that nothing here changes. Notifications, the watchdog, a reload, kills and a stop,
with every alert in the rows once. The broker is librdkafka's, in this process."""

import glob, os, re, shlex, shutil, signal, subprocess, sys, tempfile, time
from mock_broker import MockBroker
from tap import NIGHTJAR, ROOT, done, nightjar, ok, report, rows, skip

WHAT = "the units under a real systemd"
PATIENCE = 120  # s: only what never comes takes so long
PART = 40  # alerts between two events
PARTITIONS = 8  # the broker keeps 5 MB of each: all that a run may want again after a kill
FIELDS = "ActiveState,SubState,Type,NRestarts,MainPID,Result,StatusText,User"


def missing():
    if os.geteuid() != 0:
        return "only root makes a container with systemd in it"
    tools = [t for t in ("systemd-nspawn", "nsenter", "unshare", "systemctl") if not shutil.which(t)]
    if tools or not os.path.exists("/lib/systemd/systemd"):
        return "not installed: " + ", ".join(tools or ["systemd"])
    return ""


def run(*args):
    return subprocess.run([*map(str, args)], capture_output=True, text=True)


def own_mounts():
    """Continues where mounts are this process's alone, and go with it."""
    if os.environ.get("NIGHTJAR_OWN_MOUNTS"):
        return ""
    r = run("unshare", "--mount", "--propagation", "private", "true")
    if r.returncode:
        return "no mounts of its own: " + r.stderr.strip()
    os.environ["NIGHTJAR_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def wait_until(true):
    """What `true` says last: as soon as it is something, or when nothing is to be expected any more."""
    end, said = time.time() + PATIENCE, None
    while time.time() < end and not said:
        said = true()
        time.sleep(0 if said else 0.1)
    return said


class Machine:
    """with Machine(folder): a systemd as process 1 over a root that was filled in."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder + "/root"
        self.process = self.init = None

    def layer(self):
        """'' or why no layer can be laid over this machine's root."""
        r = run("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", self.folder)
        for name in ("root", "up", "work"):
            os.makedirs(f"{self.folder}/{name}")
        layers = f"lowerdir=/,upperdir={self.folder}/up,workdir={self.folder}/work"
        r = r if r.returncode else run("mount", "-t", "overlay", "-o", layers, "overlay", self.root)
        return r.stderr.strip() if r.returncode else ""

    def boot(self):
        """'' or why systemd does not come up."""
        for path in glob.glob(f"{self.root}/etc/systemd/system/*.wants/*"):
            os.remove(path)  # this machine's own services
        with open(f"{self.root}/etc/machine-id", "w") as f:
            f.write("")
        args = ["systemd-nspawn", "-q", "-D", self.root, f"--machine=nightjar-{os.getpid()}"]
        args += ["--register=no", "--console=pipe", "--kill-signal=SIGRTMIN+3"]
        args += ["--keep-unit"] if os.path.exists("/run/systemd/system") is False else []
        self.log = open(f"{self.folder}/console", "w")
        self.process = subprocess.Popen(
            [*args, "--boot", "systemd.unit=multi-user.target"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        up = wait_until(lambda: self.process.poll() is not None or self.state())
        if self.process.poll() is None and up:
            return ""
        with open(f"{self.folder}/console") as f:
            return " ".join(f.read().split())[-300:] or "it does not come up"

    def state(self):
        """'running' or 'degraded', once its start is over."""
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                self.init = (f.read().split() or [None])[0]
        except OSError:
            return ""
        said = self("systemctl", "is-system-running").stdout.strip() if self.init else ""
        return said if said in ("running", "degraded") else ""

    def __call__(self, *args):
        """A command in there."""
        return run("nsenter", "-t", self.init, "-m", "-u", "-i", "-p", *args)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Service:
    """One stream as a service in the machine: what systemd says of it, and its rows."""

    def __init__(self, machine, unit, name, folder):
        self.machine, self.unit, self.folder = machine, unit, machine.root + folder
        self.ini = f"{machine.root}/etc/nightjar/{name}.ini"
        self.env = f"{machine.root}/etc/nightjar/{name}.env"

    def settings(self, where, source=None):
        os.makedirs(os.path.dirname(self.ini), exist_ok=True)
        with open(self.ini, "w") as f:
            f.write("[run]\nsinks = ndjson:rows.ndjson\nmodules = roid\n")
            f.write(f"[topic.bright]\nwhere = {where}\n")
            f.write("[kafka]\nsession.timeout.ms = 6000\n")  # so long a killed member is waited for
        if source:
            with open(self.env, "w") as f:
                f.write(f"NIGHTJAR_SOURCE='{source}'\nNIGHTJAR_KAFKA_PASSWORD=not-to-be-read\n")
            os.chmod(self.env, 0o600)

    def show(self):
        text = self.machine("systemctl", "show", self.unit, "-p", FIELDS).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def systemctl(self, verb):
        r = self.machine("systemctl", verb, self.unit)
        return ok(r.returncode == 0, f"{self.unit}: systemctl {verb}", r.stderr + self.said()[-2500:])

    def said(self):
        return self.machine("journalctl", "-u", self.unit, "--no-pager", "-o", "cat").stdout

    def lines(self):
        """Rows that are whole."""
        try:
            with open(f"{self.folder}/rows.ndjson", "rb") as f:
                return f.read().count(b"\n")
        except OSError:
            return 0

    def all_of(self, n, what):
        wait_until(lambda: self.lines() >= n)
        ok(self.lines() == n, f"{self.unit}: {what}: all {n} rows", (self.lines(), self.said()[-2500:]))

    def restarted(self, n, what):
        """systemd has begun it n times anew, and it is ready again."""
        wait_until(
            lambda: int(self.show().get("NRestarts", 0)) >= n and self.show()["ActiveState"] == "active"
        )
        s = self.show()
        ok(
            (s["NRestarts"], s["ActiveState"]) == (str(n), "active"),
            f"{self.unit}: {what}: systemd starts it again, and it is ready",
            (s, self.said()[-2500:]),
        )

    def main(self):
        return int(self.show()["MainPID"])

    def worker(self):
        """Its number in the machine."""
        main = self.main()
        children = lambda: self.machine("cat", f"/proc/{main}/task/{main}/children").stdout.split()
        return (wait_until(children) or ["0"])[0]


def install(m):
    """As data/README.md says."""
    shutil.copy(NIGHTJAR, f"{m.root}/usr/local/bin/nightjar")
    for name in ("nightjar.service", "nightjar@.service"):
        shutil.copy(f"{ROOT}/data/systemd/{name}", f"{m.root}/etc/systemd/system/{name}")
    shutil.copy(f"{ROOT}/data/systemd/nightjar.conf", f"{m.root}/usr/lib/sysusers.d/nightjar.conf")
    for unit in ("nightjar.service", "nightjar@ztf.service"):  # the units wait for two minutes
        os.makedirs(f"{m.root}/etc/systemd/system/{unit}.d")
        with open(f"{m.root}/etc/systemd/system/{unit}.d/soon.conf", "w") as f:
            f.write("[Service]\nWatchdogSec=20\nTimeoutStopSec=20\n")


class Feeder:
    """Alerts of a night, a part at a time, and no alert twice."""

    def __init__(self, broker, topic, alerts, folder):
        self.to, self.n = f"kafka://{broker.server}/{topic}", 0
        self.night = f"{folder}/{topic}.tar"
        broker.topic(topic)
        nightjar(
            "simulate", "-q", "-n", alerts, "--seed", len(topic), "-o", self.night, "--truth", f"{topic}.csv"
        )
        self.members = run("tar", "-tf", self.night).stdout.split()

    def part(self):
        """How many have been sent by now."""
        part = self.members[self.n : self.n + PART]
        path = f"{self.night}.part"
        run("tar", "-C", os.path.dirname(path), "-xf", self.night, *part)
        run("tar", "-C", os.path.dirname(path), "-cf", path, *part)
        os.rename(path, path + ".tar")
        r = nightjar("replay", "-q", path + ".tar", "--to", self.to)
        self.n += len(part)
        ok(r.returncode == 0, f"alerts up to {self.n} are sent", r.stderr)
        return self.n


def a_stream(m, broker, folder):
    s = Service(m, "nightjar.service", "nightjar", "/var/lib/nightjar")
    feed = Feeder(broker, "ztf", 6 * PART, folder)
    s.settings("mag < 19", f"kafka://{broker.server}/ztf?group=test&from=committed")
    s.systemctl("start")
    now = s.show()
    ok(
        (now["Type"], now["ActiveState"], now["User"]) == ("notify", "active", "nightjar"),
        "started: it is ready when systemctl comes back, and not root's",
        (now, s.said()),
    )
    s.all_of(feed.part(), "a first part")
    wait_until(lambda: "are through" in s.show()["StatusText"])
    ok("alerts are through" in s.show()["StatusText"], "status: in words", s.show())
    mode = os.stat(f"{s.folder}/rows.ndjson")
    ok(
        mode.st_mode & 0o777 == 0o640 and mode.st_uid != 0,
        "rows are read by its group alone",
        oct(mode.st_mode),
    )

    main, worker = s.main(), s.worker()
    m("kill", "-KILL", worker)
    s.all_of(feed.part(), "its worker was killed")
    ok(
        (s.main(), s.show()["NRestarts"]) == (main, "0") and s.worker() != worker,
        "killed worker: the supervisor starts another, and systemd has nothing to do",
        (s.show(), s.said()[-2500:]),
    )

    s.settings("mag < 17")
    s.systemctl("reload")
    wait_until(lambda: "topic.bright.where" in s.said())
    s.all_of(feed.part(), "reloaded")
    ok(
        s.main() == main and "topic.bright.where" in s.said(),
        "reload: the clause is taken, by name",
        s.said(),
    )

    m("kill", "-KILL", s.main())
    s.restarted(1, "kill -9")
    s.all_of(feed.part(), "killed")

    m("kill", "-STOP", s.worker())
    s.restarted(2, "its worker hangs")
    ok("watchdog" in s.said().lower(), "hung worker: it was the watchdog", s.said()[-2500:])
    s.all_of(feed.part(), "hung")

    s.all_of(feed.part(), "the last part")
    s.systemctl("stop")
    now = s.show()
    stopped = (now["ActiveState"], now["Result"]) == ("inactive", "success")
    ok(
        stopped and "Deactivated successfully" in s.said(),
        "stopped: exit code 130 is no failure",
        (now, s.said()[-500:]),
    )
    got = [r["candid"] for r in rows(f"{s.folder}/rows.ndjson")]
    ok(len(set(got)) == len(got) == feed.n, "each alert is there once", (len(set(got)), len(got), feed.n))
    r = report(f"{s.folder}/report.json")
    ok(r["ledger"]["consumed"] >= PART, "the report of the last run is there", r["ledger"])
    ok("not-to-be-read" not in s.said(), "the password is not in the journal")
    lost = glob.glob(f"{s.folder}/*.part") + glob.glob(f"{s.folder}/core*")
    ok(not lost, "nothing else is left", lost)


def an_instance(m, broker, folder):
    s = Service(m, "nightjar@ztf.service", "ztf", "/var/lib/nightjar/ztf")
    feed = Feeder(broker, "ztf_i", PART, folder)
    s.settings("mag < 19", f"kafka://{broker.server}/ztf_i?group=test_i&from=committed")
    s.systemctl("start")
    s.all_of(feed.part(), "an instance")
    s.systemctl("stop")
    now = s.show()
    ok((now["ActiveState"], now["Result"]) == ("inactive", "success"), "an instance: stopped", now)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machine ends, too
    why = missing() or own_mounts()
    if why:
        return skip(WHAT, why)
    with tempfile.TemporaryDirectory(prefix="nightjar-test-") as here:
        folder, nights = here + "/machine", here + "/nights"
        os.makedirs(folder), os.makedirs(nights), os.chdir(nights)
        m = Machine(folder)
        try:
            why = m.layer()
            if not why:
                install(m)
                why = m.boot()
            if why:
                return skip(WHAT, why)
            with MockBroker(PARTITIONS) as broker:
                a_stream(m, broker, nights)
                an_instance(m, broker, nights)
        finally:
            m.end()
            os.chdir("/")
            run("umount", "-l", m.root), run("umount", "-l", folder)


main()
done()
