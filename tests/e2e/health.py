#!/usr/bin/env python3
"""/health and /ready at the metrics server, and what systemd gets: a run that is well, waits or hangs."""

import http.client, os, shutil, signal, socket, subprocess, sys, threading, time
from mock_broker import MockBroker
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok, rows, skip

PATIENCE = 120  # s: only an end that never comes takes so long
HANGS = """
#include <math.h>
#include <unistd.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    double *x = w->out[0];
    for (uint32_t k = 0; k < w->n; k++) {
        x[w->row[k]] = 1, w->reason[w->row[k]] = NJ_DONE;
        while (w->id[w->row[k]] == @ID@ && access("hang", F_OK) == 0) usleep(10000);
    }
    return NJ_OK;
}
NJ_MODULE(hangs) = { NJ_HEADER, .name = "hangs", .version = "1.0", .summary = "waits for a file to go",
    .paper = "none: test", .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""


def get(port, path):
    """(status, text), or None while nobody listens."""
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read().decode()
    except OSError:
        return None


def wait_for(port, path, status, child):
    """The answer as soon as it has this status; the last one when the run ended before."""
    seen, end = None, time.time() + PATIENCE
    while time.time() < end and child.poll() is None:
        answer = get(port, path)
        seen = answer or seen
        if answer and answer[0] == status:
            break
        time.sleep(0.05)
    return seen or (0, "")


class Notify:
    """A socket such as systemd's."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name[0] == "@" else name)
        self.socket.settimeout(PATIENCE)
        self.lines = []

    def until(self, word):
        """Reads until a line begins so; what came until then."""
        first = len(self.lines)
        try:
            while not any(line.startswith(word) for line in self.lines[first:]):
                self.lines += self.socket.recv(4096).decode().splitlines()
        except TimeoutError:
            self.lines.append("nothing more came")
        return self.lines[first:]

    def to_the_end(self, child):
        """What the child writes until it ends. A socket that nobody reads takes some ten datagrams, and signs
        of life come until then."""
        reader = threading.Thread(target=self.until, args=("STOPPING=1",))
        reader.start()
        written = child.communicate()
        reader.join()
        return written

    def rest(self):
        self.socket.settimeout(0.01)
        try:
            while True:
                self.lines += self.socket.recv(4096).decode().splitlines()
        except (TimeoutError, BlockingIOError):
            return self.lines


def begin(*args, env=None, stdout=subprocess.PIPE):
    return subprocess.Popen(
        [NIGHTJAR, "run", *map(str, args)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def held(port, *more, env=None):
    """A run whose output nobody reads."""
    return begin(
        "night.tar",
        "-m",
        "features",
        "-o",
        "ndjson:-",
        "--metrics",
        f"127.0.0.1:{port}",
        "-D",
        "run.batch_rows=4",
        *more,
        env=env,
    )


def an_output_that_waits():
    port = free_port()
    p = held(port, "-D", "run.stall_s=0.5")
    status, text = wait_for(port, "/ready", 503, p)
    until = time.time() + PATIENCE  # it starts, is ready for a moment, and waits for its reader
    while not (status == 503 and "output" in text) and p.poll() is None and time.time() < until:
        time.sleep(0.05)
        status, text = get(port, "/ready") or (0, "")
    ok(status == 503 and "output does not answer" in text, "a reader that rests: not ready, and why", text)
    status, text = get(port, "/health")
    ok(status == 200, "but alive: a restart would not help", (status, text))
    out, err = p.communicate()
    ok(p.returncode == 0 and out.count("\n") >= 400, "and when it reads again, all comes", err[-500:])


def a_module_that_hangs():
    nightjar("run", "night.tar", "-m", "features", "-q", "-o", "ndjson:ids.ndjson")
    with open("hangs.c", "w", encoding="utf-8") as f:  # not in the call with which the host tries a module
        f.write(HANGS.replace("@ID@", f"{rows('ids.ndjson')[40]['candid']}LL"))
    flags = "-std=c11 -O1 -w -D_GNU_SOURCE -fPIC -DNJ_SHARED -shared".split()
    subprocess.run(["cc", *flags, f"-I{ROOT}/include", "hangs.c", "-o", "hangs.so"], check=True)
    with open("hang", "w", encoding="ascii"):
        pass
    port, notify = free_port(), Notify(os.path.abspath("hangs.sock"))
    args = ["night.tar", "--module-path", "./hangs.so", "-m", "hangs", "-j", 1, "-o", "ndjson:h.ndjson"]
    p = begin(
        *args,
        "--no-supervise",  # a supervisor tries the module first, and would end its call
        "--metrics",
        f"127.0.0.1:{port}",
        "-D",
        "run.stall_s=0.5",
        env={"NOTIFY_SOCKET": notify.name, "WATCHDOG_USEC": "400000"},
    )
    status, text = wait_for(port, "/health", 503, p)
    ok(
        status == 503 and ("module hangs has been in one call" in text or "; in module hangs" in text),
        "a module that hangs: /health says no, and its name",
        text,
    )
    status, text = get(port, "/ready")
    ok(status == 503, "/ready, too", text)
    notify.until("STATUS=hangs" if text.startswith("hangs") else "STATUS=module hangs")
    notify.rest()
    lines = notify.until("STATUS=")
    ok("WATCHDOG=1" not in lines, "the watchdog is not fed any more", lines)
    os.remove("hang")
    notify.to_the_end(p)
    ok(p.returncode == 0, "the call comes back: the run ends well", p.returncode)
    ok("STOPPING=1" in notify.rest(), "and says that it stops", notify.lines[-5:])


def notifies_systemd():
    for name, what in (
        (os.path.abspath("notify.sock"), "a socket in a folder"),
        (f"@nightjar-test-{os.getpid()}", "an abstract socket"),
    ):
        notify = Notify(name)
        p = begin(
            "embedded://night.tar",
            "-m",
            "features",
            "-o",
            "ndjson:e.ndjson",
            "--overwrite",
            env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"},
        )
        notify.until("STOPPING=1")
        out, err = p.communicate()
        lines = notify.rest()
        ok(
            p.returncode == 0 and "NOTIFY_SOCKET" not in err,
            f"{what}: the run continues as without",
            err[-500:],
        )
        ok(lines.count("STOPPING=1") == 1, f"{what}: STOPPING=1 comes once", lines)
        ok(lines.count("READY=1") <= 1, f"{what}: READY=1 does not come twice", lines)
    notify = Notify(os.path.abspath("long.sock"))
    port = free_port()
    p = held(port, "-D", "run.stall_s=0", env={"NOTIFY_SOCKET": notify.name, "WATCHDOG_USEC": "400000"})
    lines = notify.until("READY=1")
    ok("READY=1" in lines, "READY=1 when sources and outputs are open", lines)
    lines = notify.until("WATCHDOG=1")
    ok("WATCHDOG=1" in lines, "WATCHDOG=1 while it is alive", lines)
    lines = notify.until("STATUS=")
    ok(any("alerts are through" in line for line in lines), "STATUS= in words", lines)
    ok(wait_for(port, "/ready", 200, p)[0] == 200, "/ready says yes", get(port, "/ready"))
    forged(p.pid)
    p.send_signal(signal.SIGTERM)
    _, err = notify.to_the_end(p)
    lines = notify.rest()
    if os.geteuid() == 0:
        ok(not any("forged" in line for line in lines), "what another user says is not passed on", lines)
        ok("another user" in err, "and is reported", err)
    else:
        skip("what another user says is not passed on", "only root can be another user")
    ok("STOPPING=1" in lines, "SIGTERM: STOPPING=1", (p.returncode, lines[-8:]))
    r = nightjar("run", "night.tar", "-m", "features", env={"NOTIFY_SOCKET": "/no/such/socket"})
    ok(r.returncode == 0, "nobody listens: the run continues", r.stderr)
    ok(r.stderr.count("$NOTIFY_SOCKET /no/such/socket") == 1, "and says so once", r.stderr)


def forged(pid):
    """Another user writes to the socket that the worker writes to."""
    own = set()
    for e in os.scandir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(e.path))
        except FileNotFoundError:
            pass  # closed by now
    with open("/proc/net/unix") as f:
        sockets = [line.split() for line in f][1:]
    names = [s[7] for s in sockets if len(s) > 7 and f"socket:[{s[6]}]" in own]
    code = (
        "import os, socket, sys; os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(b'STATUS=forged', '\\0' + sys.argv[1][1:])"
    )
    ok(len(names) == 1 and names[0][0] == "@", "the supervisor has a socket for its workers", names)
    if os.geteuid() == 0:
        subprocess.run([sys.executable, "-c", code, names[0]], check=True)


def a_worker_that_is_replaced():
    """New settings: another worker continues. systemd would end a service that says that it stops."""

    def bright(limit):
        with open("conf.new", "w", encoding="ascii") as f:
            f.write(f"[topic.bright]\nwhere = mag < {limit}\n")
        os.replace("conf.new", "conf.ini")

    notify = Notify(os.path.abspath("replaced.sock"))
    with MockBroker(1) as broker:
        broker.topic("alerts")
        bright(19)
        source = f"kafka://{broker.server}/alerts?group=g&from=committed"
        args = [source, "-c", "conf.ini", "-t", "bright", "-m", "features", "-o", "null:"]
        p = begin(*args, env={"NOTIFY_SOCKET": notify.name})
        notify.until("READY=1")
        for limit in (18, 17):
            bright(limit)
            p.send_signal(signal.SIGHUP)
            lines = notify.until("READY=1")
            ok("READY=1" in lines, f"mag < {limit}: the next worker is ready", lines)
        ok("STOPPING=1" not in notify.lines, "systemd is not told that a replaced worker stops", notify.lines)
        p.send_signal(signal.SIGTERM)
        _, err = notify.to_the_end(p)
        ok(p.returncode == 130, "SIGTERM: exit code 130", err[-500:])
        ok(notify.rest().count("STOPPING=1") == 1, "STOPPING=1 comes once, at the end", notify.lines)


def two_of_one_number():
    """Containers that share a network share the names of sockets without files, and count processes anew."""
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        return skip("two runs with one process id", "unshare --pid is not allowed")
    runs = []
    for k in range(2):
        notify = Notify(os.path.abspath(f"number{k}.sock"))
        args = [*alone, NIGHTJAR, "run", "night.tar", "-m", "features", "-o", "ndjson:-", "-D"]
        p = subprocess.Popen(
            [*args, "run.batch_rows=4"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": notify.name},
        )
        runs.append((p, notify))
        ok("READY=1" in notify.until("READY=1"), f"run {k} with process id 1 is ready", notify.lines)
    for k, (p, _) in enumerate(runs):
        _, err = p.communicate()
        ok(p.returncode == 0 and "systemd" not in err, f"run {k}: its supervisor passes that on", err[-500:])


def no_partition_yet():
    port = free_port()
    with socket.socket() as s:  # takes connections, and never answers
        s.bind(("127.0.0.1", 0))
        s.listen()
        spec = f"kafka://127.0.0.1:{s.getsockname()[1]}/topic"
        p = begin(spec, "-m", "features", "--metrics", f"127.0.0.1:{port}", "-D", "run.stop_s=1")
        status, text = wait_for(port, "/ready", 503, p)
        while text == "starts\n":
            status, text = get(port, "/ready") or (0, "")
        ok(status == 503 and "no partition" in text, "a broker that does not answer: not ready", text)
        ok(get(port, "/health")[0] == 200, "but alive", get(port, "/health"))
        p.send_signal(signal.SIGTERM)
        p.communicate()


with Folder():
    nightjar("simulate", "-q", "-n", 400, "-o", "night.tar", "--truth", "t.csv")
    an_output_that_waits()
    a_module_that_hangs()
    notifies_systemd()
    a_worker_that_is_replaced()
    two_of_one_number()
    no_partition_yet()
done()
