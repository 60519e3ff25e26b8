"""live.py - a live run that is fed, killed and started again, and what is in its outputs. Not a test."""

import json, os, signal, sqlite3, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from tap import NIGHTJAR

OUTPUTS = ["ndjson:out.ndjson", "sqlite:out.db", "avro:out.avro", "fits:out.fits", "parquet:out.parquet"]
MODULES = "roid,nalerthist"


def command(bootstrap, topic, *more, query=None, outputs=OUTPUTS):
    """The live command of broker/source/STREAMS.md; a group that has no place begins with the first
    message."""
    query = query or f"group=g-{topic}&from=committed"
    args = [NIGHTJAR, "run", f"kafka://{bootstrap}/{topic}?{query}", "-q", "-j", "1", "-m", MODULES]
    for o in outputs:
        args += ["-o", o]
    return [*args, "--append", *more]


class Run:
    """A run in a folder of its own; its messages are in FOLDER/run.log."""

    def __init__(self, args, folder, env=None, before=()):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.args = folder, args
        self.log = open(os.path.join(folder, "run.log"), "a")
        self.process = subprocess.Popen(
            [*before, *args], cwd=folder, stdout=subprocess.DEVNULL, stderr=self.log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.begun = time.time()

    def worker(self, seconds=20):
        """The pid of the process that does the work."""
        until = time.time() + seconds
        while time.time() < until and self.process.poll() is None:
            path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
            try:
                pids = [int(x) for x in open(path).read().split()]
            except OSError:
                pids = []
            if pids:
                return pids[0]
            time.sleep(0.01)
        return 0

    def alive(self):
        return self.process.poll() is None

    def send(self, how):
        self.process.send_signal(how)

    def end(self, how=signal.SIGINT, seconds=90):
        """The exit code; None: it did not end in that time, and was killed."""
        if self.alive():
            self.send(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def said(self):
        with open(os.path.join(self.folder, "run.log"), errors="replace") as f:
            return f.read()


def size_of(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def lines_of(path):
    n = 0
    try:
        with open(path, "rb") as f:
            while True:
                block = f.read(1 << 20)
                if not block:
                    return n
                n += block.count(b"\n")
    except OSError:
        return n


def first_new_row(path, before, since, seconds=60):
    """Seconds from `since` until the file is longer than it was; None: it did not grow."""
    while time.time() < since + seconds:
        if size_of(path) > before:
            return time.time() - since
        time.sleep(0.005)
    return None


class Gaps(threading.Thread):
    """The longest time in which the file did not become longer."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.most, self.over = path, 0, False
        self.start()

    def run(self):
        size, since = size_of(self.path), time.time()
        while not self.over:
            if size_of(self.path) != size:
                size, since = size_of(self.path), time.time()
            self.most = max(self.most, time.time() - since)
            time.sleep(0.01)

    def end(self):
        self.over = True
        return self.most


class Watch(threading.Thread):
    """How long after each kill the file becomes longer than it was."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.open, self.seconds, self.over = path, [], [], False
        self.start()

    def mark(self, since, before):
        """A kill at `since`; the one before has until now."""
        if self.open:
            self.seconds.append(None)
        self.open = [(since, before)]

    def run(self):
        while not self.over:
            waiting = self.open
            if waiting and size_of(self.path) > waiting[0][1]:
                self.seconds.append(time.time() - waiting[0][0])
                if self.open is waiting:
                    self.open = []
            time.sleep(0.005)

    def end(self, seconds):
        until = time.time() + seconds
        while self.open and time.time() < until:
            time.sleep(0.05)
        if self.open:
            self.seconds.append(None)
        self.over = True
        return self.seconds


def wait_rows(path, n, seconds):
    until = time.time() + seconds
    while time.time() < until:
        if lines_of(path) >= n:
            return True
        time.sleep(0.2)
    return False


def drain_rate(paths, n, seconds=900):
    """Rows a second, from the moment when each of these files has some until they have 95 % of n; and how
    many rows that were."""
    rows, until = lambda: [lines_of(p) for p in paths], time.monotonic() + seconds
    while min(rows()) == 0 and time.monotonic() < until:
        time.sleep(0.01)
    n0, t0 = sum(rows()), time.monotonic()
    while sum(rows()) < 0.95 * n and time.monotonic() < until:
        time.sleep(0.02)
    n1, t1 = sum(rows()), time.monotonic()
    return (n1 - n0) / (t1 - t0), n1 - n0


def content(folder):
    """What readers find in each output, sorted, as texts."""
    import fastavro, pyarrow.parquet
    from astropy.io import fits

    found, at = {}, lambda name: os.path.join(folder, name)
    if os.path.exists(at("out.ndjson")):
        with open(at("out.ndjson")) as f:
            found["ndjson"] = sorted(f)
    if os.path.exists(at("out.db")):
        db = sqlite3.connect(at("out.db"))
        found["sqlite"] = sorted(map(repr, db.execute("SELECT * FROM alerts")))
        db.close()
    if os.path.exists(at("out.avro")):
        with open(at("out.avro"), "rb") as f:
            found["avro"] = sorted(json.dumps(r, sort_keys=True) for r in fastavro.reader(f))
    if os.path.exists(at("out.parquet")):
        found["parquet"] = sorted(map(repr, pyarrow.parquet.read_table(at("out.parquet")).to_pylist()))
    if os.path.exists(at("out.fits")):
        with fits.open(at("out.fits")) as f:
            found["fits"] = sorted(repr(x) for x in f["ALERTS"].data.tolist())
    return found


def differences(found, expected):
    """In words, per output; empty: they are equal."""
    wrong = []
    for kind in expected:
        a, b = expected[kind], found.get(kind, [])
        if a != b:
            lost = len(set(a) - set(b))
            wrong.append(
                f"{kind}: {len(b)} rows instead of {len(a)}; {lost} lost, {len(b) - len(set(b))} more than"
                f" once, {len(set(b) - set(a))} that no uninterrupted run has"
            )
    return wrong


class Feed(threading.Thread):
    """Stored alerts into a topic, at a rate, in a process of its own."""

    def __init__(self, night, bootstrap, topic, rate=None, limit=None, times=1):
        super().__init__(daemon=True)
        args = [NIGHTJAR, "replay", *[night] * times, "--to", f"kafka://{bootstrap}/{topic}", "-q"]
        args += ["--rate", f"{rate}/s"] if rate else []
        args += ["--limit", str(limit)] if limit else []
        # a broker that is killed is away for some seconds; the default of 5 minutes for a message is kept
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.err, self.over = "", threading.Event()
        self.start()

    def run(self):
        self.err = self.process.communicate()[1]
        if self.process.returncode > 0:
            print(f"# the feeder ended with {self.process.returncode}: {self.err[-400:]}", flush=True)
        self.over.set()

    def code(self, seconds=1200):
        self.over.wait(seconds)
        return self.process.poll()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
