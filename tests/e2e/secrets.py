#!/usr/bin/env python3
"""A password is planted wherever one may stand, and nothing that others can read has it: no log line, error,
report, dead letter, metric, crash line, and no /proc/PID/cmdline."""

import concurrent.futures, glob, http.client, os, signal, socket, subprocess, time
from avro import confluent, container
from tap import NIGHTJAR, ROOT, Folder, done, free_port, nightjar, ok

SECRET = "gEh3im-Pa55w0rt"
PATIENCE = 120  # s: only an end that never comes takes so long
SOURCE = """
#include <math.h>
#include <stdlib.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    abort();
}
NJ_MODULE(dies) = { NJ_HEADER, .name = "dies", .version = "1.0", .summary = "dies", .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""


def written(*but):
    """Files here, of those that a run made, that have the secret."""
    found = []
    for path in glob.glob("**/*", recursive=True):
        if os.path.isfile(path) and path not in but:
            with open(path, "rb") as f:
                if SECRET.encode() in f.read():
                    found.append(path)
    return found


def clean(r, name, *files):
    text = r.stdout + r.stderr
    ok(SECRET not in text, f"{name}: not on the terminal", text)
    ok(not written(*files), f"{name}: in no file", written(*files))


class Mute:
    """A server that takes connections and never answers."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *_):
        self.socket.close()


def command_line():
    """While the run waits for a broker that never answers, its words are looked at as ps does."""
    forms = (
        ["-X", f"sasl.password={SECRET}"],
        [f"-Xsasl.password={SECRET}"],
        [f"--kafka=sasl.password={SECRET}"],
        ["-X", f"ssl.key.password={SECRET}"],
        ["-X", f"sasl.oauthbearer.client.secret={SECRET}"],
        ["-D", f"kafka.sasl.password={SECRET}"],
        ["-D", f"registry.password={SECRET}"],
        ["--registry", f"http://me:{SECRET}@127.0.0.1:9"],
        ["-D", f"registry.url=https://me:{SECRET}@127.0.0.1:9/path"],
    )
    for form in forms:
        with Mute() as server:
            p = subprocess.Popen(
                [NIGHTJAR, "run", f"kafka://{server}/topic?group=g", "-m", "features", *form],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            first = p.stderr.readline()
            with open(f"/proc/{p.pid}/cmdline", encoding="utf-8") as f:
                words = f.read()
            p.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            p.send_signal(signal.SIGTERM)
            out, err = p.communicate()
        name = " ".join(form).replace(SECRET, "...")
        ok("command line" in first and SECRET not in first, f"{name}: a warning, without it", first)
        ok(SECRET not in words and "****" in words, f"{name}: masked for ps", words)
        ok(SECRET not in out + err, f"{name}: not in what follows", out + err)


def kafka():
    """From a file, the environment and settings, with all that librdkafka says, and words that are wrong."""
    with open("secret", "w", encoding="ascii") as f:
        f.write(SECRET + "\n")
    with open("secret.ini", "w", encoding="ascii") as f:
        f.write(f"[kafka]\nsasl.password = {SECRET}\nssl.key.password = {SECRET}\n")
    own = ("secret", "secret.ini")
    sasl = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=PLAIN", "-X", "sasl.username=me"]
    env = {"NIGHTJAR_KAFKA_PASSWORD": SECRET}
    # lag asks for ten seconds: all of them at once
    with Mute() as server, concurrent.futures.ThreadPoolExecutor() as pool:
        lags, spec = {}, f"kafka://{server}/topic?until=end"
        common = [
            "-v",
            "-d",
            "all",
            "-X",
            "debug=all",
            "-D",
            "source.contact_s=1",
            "--report",
            "k.json",
            *sasl,
        ]
        for name, args, environment in (
            ("a file", ["-X", "sasl.password.file=secret"], {}),
            ("a file of another secret", ["-X", "ssl.key.password.file=secret"], env),
            ("settings", ["-c", "secret.ini"], {}),
            ("the environment", [], env),
        ):
            r = nightjar("run", spec, *common, *args, env=environment)
            ok(r.returncode == 2, f"Kafka by {name}: no broker answers", r.stderr[-500:])
            clean(r, f"Kafka by {name}", *own)
            lag = ["lag", f"kafka://{server}/topic", "-X", "socket.timeout.ms=1000", *sasl, *args]
            lags[name] = pool.submit(nightjar, *lag, env=environment)
        for name, lag in lags.items():
            clean(lag.result(), f"lag, {name}", *own)
    for args in (
        ["-X", f"sasl.pasword={SECRET}", "-X", f"sasl.password={SECRET}"],
        ["-D", f"kafka.sasl.passwords={SECRET}"],
        ["-D", f"password={SECRET}"],
        ["-D", f"registry.pasword={SECRET}", "-D", f"registry.password={SECRET}"],
        ["-D", f"registry.password={SECRET}", "-D", f"registry.timeout_s={SECRET}"],
        ["-X", f"sasl.password={SECRET}", "-X", f"security.protocol={SECRET}"],
    ):
        r = nightjar(
            "run",
            "night.tar",
            "-m",
            "features",
            *args,
            *("-o", "kafka://127.0.0.1:9/t"),
        )
        ok(r.returncode == 1, f"{args[0]} {args[1].split('=')[0][:30]}: refused", r.stderr)
        clean(r, args[1].replace(SECRET, "..."), *own)
    address = f"kafka://me:{SECRET}@127.0.0.1:9/topic"
    for args in (["run", address], ["run", "night.tar", "-o", address], ["lag", address]):
        r = nightjar(*args, *(["-m", "features"] if args[0] == "run" else []))
        name = " ".join(args).replace(SECRET, "...")
        ok("no user and password" in r.stderr, f"{name}: refused, with the remedy", r.stderr)
        clean(r, name, *own)
    r = nightjar("replay", "night.tar", "--to", address)
    ok("no user and password" in r.stderr, "replay to it: refused, with the remedy", r.stderr)
    clean(r, "replay", *own)


def registry():
    """Dead letters quote the registry's address."""
    own = ("secret", "secret.ini", "registry.ini")
    with open("registry.ini", "w", encoding="ascii") as f:
        f.write(f"[registry]\nurl = http://me:{SECRET}@127.0.0.1:9/\nwait_s = 0\ncache = off\n")
    args = ["run", "packets", "-m", "features", "-o", "ndjson:r.ndjson", "--overwrite", "--report", "r.json"]
    args += ["--dead-letters", "dead.avro", "-v"]
    r = nightjar(*args, "-c", "registry.ini")
    ok("127.0.0.1:9" in r.stderr, "a registry that does not answer is named", r.stderr)
    clean(r, "its address in settings", *own)
    at = ["--registry", "http://127.0.0.1:9/", "-D", "registry.user=me", "-D", "registry.wait_s=0"]
    r = nightjar(*args, *at, env={"NIGHTJAR_REGISTRY_PASSWORD": SECRET})
    clean(r, "its password in the environment", *own)
    r = nightjar(*args, *at, "-D", "registry.password_file=secret")
    clean(r, "its password in a file", *own)


def metrics():
    port = free_port()
    with Mute() as server:
        p = subprocess.Popen(
            [
                NIGHTJAR,
                "run",
                f"kafka://{server}/topic?group=g",
                "-c",
                "secret.ini",
                "--metrics",
                f"127.0.0.1:{port}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        answers, end = [], time.time() + PATIENCE
        while not answers and time.time() < end and p.poll() is None:
            try:
                for path in ("/metrics", "/health", "/ready", "/"):
                    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                    c.request("GET", path)
                    answers.append(c.getresponse().read().decode())
            except OSError:
                answers = []
                time.sleep(0.05)
        p.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        p.send_signal(signal.SIGTERM)
        p.communicate()
    ok(len(answers) == 4 and SECRET not in "".join(answers), "metrics, health and ready have none", answers)


def crash():
    with open("dies.c", "w", encoding="utf-8") as f:
        f.write(SOURCE)
    flags = "-std=c11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    subprocess.run(["cc", *flags, f"-I{ROOT}/include", "dies.c", "-o", "dies.so"], check=True)
    r = nightjar(
        *("run", "night.tar", "--module-path", "./dies.so", "-m", "dies", "-c", "secret.ini", "-v"),
        *("-o", "ndjson:c.ndjson", "--report", "c.json"),
        env={"NIGHTJAR_KAFKA_PASSWORD": SECRET},
    )
    ok("dies" in r.stderr, "a module that dies is named", r.stderr)
    clean(r, "a crash", "secret", "secret.ini", "registry.ini")


def others():
    env = {"NIGHTJAR_KAFKA_PASSWORD": SECRET, "NIGHTJAR_REGISTRY_PASSWORD": SECRET}
    for args in (
        ["doctor"],
        ["settings", "kafka"],
        ["settings", "registry"],
        ["run", "night.tar", "-q", "--report", "o.json"],
    ):
        clean(nightjar(*args, env=env), " ".join(args[:2]), "secret", "secret.ini", "registry.ini")


def in_a_query():
    """Kafka's settings do not go there; as a part of the topic's name one was in the report."""
    for query in (f"?sasl.password={SECRET}", f"?group=g&sasl.password={SECRET}&from=latest"):
        r = nightjar("run", "kafka://127.0.0.1:9/topic" + query, "-q", "--report", "q.json", "-o", "null:")
        ok("the query has no key 'sasl.password'" in r.stderr, "a password in a query: refused", r.stderr)
        clean(r, "a password in a query", "secret", "secret.ini", "registry.ini")


def of_children():
    """The interpreter of a module in Python: here a program that writes down its environment."""
    with open("interpreter", "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nenv > seen.txt\nexit 1\n")
    os.chmod("interpreter", 0o755)
    with open("m.py", "w", encoding="ascii"):
        pass
    names = ("NIGHTJAR_KAFKA_PASSWORD", "NIGHTJAR_REGISTRY_PASSWORD")
    env = {**{name: SECRET for name in names}, "NIGHTJAR_PYTHON": "./interpreter", "NIGHTJAR_OF_TEST": "1"}
    args = ["run", "night.tar", "--module-path", "./m.py", "-q", "-D", "guard.sandbox=0", "-o", "null:"]
    r = nightjar(*args, env=env)
    with open("seen.txt", encoding="utf-8", errors="replace") as f:
        seen = f.read()
    ok("NIGHTJAR_OF_TEST=1" in seen, "a module's interpreter has the environment", r.stderr)
    ok(SECRET not in seen, "without the passwords", [x for x in seen.splitlines() if SECRET in x])
    clean(r, "a module in Python", "secret", "secret.ini", "registry.ini")


with Folder():
    nightjar("simulate", "-q", "-n", 20, "-o", "night.tar", "--truth", "t.csv")
    nightjar("simulate", "--survey", "lsst", "-q", "-n", 2, "-o", "night", "--truth", "u.csv")
    os.mkdir("packets")
    for i, path in enumerate(sorted(glob.glob("night/*.avro"))):
        with open(path, "rb") as f:
            for datum in container(f.read())[1]:
                with open(f"packets/{i}.msg", "wb") as to:
                    to.write(confluent(7, datum))
    command_line()
    kafka()
    registry()
    metrics()
    crash()
    others()
    in_a_query()
    of_children()
done()
