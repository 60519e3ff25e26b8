#!/usr/bin/env python3
"""A schema registry in all its moods, through `nightjar run`: alerts wait or are dead letters, and none is
ever misread."""

import glob, json, os, shutil, signal, subprocess, time, urllib.error, urllib.request
from avro import Schema, confluent, container
from registry_stub import Stub, certificates
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, free_port, nightjar, ok, report, rows, skip

N = 12


def night():
    r = nightjar(
        "simulate",
        "--survey",
        "lsst",
        "-n",
        N,
        "--exposures",
        2,
        "--seed",
        3,
        "-q",
        "-o",
        "night",
        "--truth",
        "truth.csv",
    )
    schema, datums = None, []
    for f in sorted(glob.glob("night/*.avro")):
        with open(f, "rb") as file:
            schema, more = container(file.read())
        datums += more
    for name, numbers in (
        ("one", [7] * N),
        ("two", [7] * (N // 2) + [8] * (N - N // 2)),
        ("lsst", [1100] * N),
    ):
        os.mkdir(name)
        for i, d in enumerate(datums):
            with open(f"{name}/{i:03}.msg", "wb") as f:
                f.write(confluent(numbers[i], d))
    ok(r.returncode == 0 and len(datums) == N, f"{N} packets", r.stderr)
    return schema


def run(source, *args, name="run", env=None):
    for f in glob.glob(f"{name}.*"):
        os.remove(f)
    r = nightjar(*command(source, name), *args, env={**home(), **(env or {})})
    return r, *outcome(name)


def command(source, name):
    return [
        "run",
        source,
        "-j",
        "1",
        "-m",
        "nalerthist,features",
        "-o",
        f"ndjson:{name}.ndjson",
        "--report",
        f"{name}.json",
        "--dead-letters",
        f"{name}.dead.avro",
    ]


def home():
    return {"XDG_CACHE_HOME": os.path.join(os.getcwd(), "home")}


def outcome(name):
    l = (
        report(f"{name}.json")["ledger"]
        if os.path.exists(f"{name}.json")
        else {"closed": False, "dead": -1, "emitted": -1}
    )
    return {x["candid"]: x for x in rows(f"{name}.ndjson")} if os.path.exists(f"{name}.ndjson") else {}, l


def run_until(says, then, source, *args, name="late"):
    """A run whose first line with `says` starts then(). Returns as run(); then()'s answer is its .then."""

    class Result:
        stderr, then = "", None

    r = Result()
    child = subprocess.Popen(
        [NIGHTJAR, *command(source, name), *args],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **home()},
    )
    for line in child.stderr:
        r.stderr += line
        if says in line and r.then is None:
            r.then = then()
    r.returncode = child.wait()
    return r, *outcome(name)


def ended(says, source, *args, name="ended"):
    """A run that gets SIGINT at its first line with `says`. Returns as run()."""

    class Result:
        stderr = ""

    r = Result()
    child = subprocess.Popen(
        [NIGHTJAR, *command(source, name), *args],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **home()},
    )
    for line in child.stderr:
        r.stderr += line
        if says in line:
            child.send_signal(signal.SIGINT)
    r.returncode = child.wait()
    return r, *outcome(name)


def at(url, **settings):
    return ["--registry", url, "-D", "registry.cache=off"] + [
        x for k, v in settings.items() for x in ("-D", f"registry.{k}={v}")
    ]


def good(schemas, want):
    with Stub(schemas) as s:
        r, got, l = run("two", *at(s.url))
        ok(
            got == want
            and l["closed"]
            and l["dead"] == 0
            and s.requests == ["/schemas/ids/7", "/schemas/ids/8"],
            "two ids, two requests, the rows of the container files",
            f"{s.requests} {r.stderr}",
        )
        r, got, l = run("two", "--registry", s.url)
        n = len(s.requests)
        r2, again, l2 = run("two", "--registry", s.url)
        ok(
            got == again == want
            and n == 4
            and len(s.requests) == 4
            and glob.glob("home/nightjar/registry/*/7.json"),
            "the next run has them from the disk",
            r2.stderr,
        )
        url = s.url
    r, got, l = run("two", "--registry", url, "-D", "registry.wait_s=0")
    ok(got == want and l["closed"], "and needs no registry for them at all", r.stderr)
    with open("a_file", "w", encoding="ascii"), Stub(schemas) as s:
        r, got, l = run("two", "--registry", s.url, "-D", "registry.cache=a_file/below")
        said = r.stderr.count("schemas of the registry are not kept for later runs: Not a directory")
        ok(got == want and said == 1, "a cache that takes no files: the rows, and it says so once", r.stderr)
        cache = ["--registry", s.url, "-D", "registry.cache=kept"]
        r, got, l = run("two", *cache, "-D", "guard.sandbox=1")
        ok(got == want and not os.path.exists("kept"), "in a sandbox nothing is added to it", r.stderr)
        ok("no schema is added to the cache of the registry" in r.stderr, "and the log says so", r.stderr)
        ok("refused" not in r.stderr, "no module is blamed for what the host would write", r.stderr)
        run("two", *cache)
        n = len(s.requests)
        r, got, l = run("two", *cache, "-D", "guard.sandbox=1")
        ok(got == want and len(s.requests) == n, "what is there is read in a sandbox as well", r.stderr)
        ok(len(glob.glob("kept/*/*.json")) == 2, "schemas of two ids are there", glob.glob("kept/*/*"))
        ok(not glob.glob("kept/*/*.tmp"), "and nothing half written")
    with Stub(schemas) as s:
        r, got, l = run("embedded://two", *at(s.url))
        ok(got == want and l["closed"] and len(s.requests) == 2, "the same as a Kafka stream", r.stderr)


def references(schemas, want):
    """MAX_REFERENCES: as many schemas as one may refer to, and one more."""
    for n in (200, 201):
        named = [{"name": f"t.R{k}", "subject": f"s{k}", "version": 1} for k in range(n)]
        paths = {"/schemas/ids/7": {"schema": schemas[7], "references": named}}
        for k in range(n):
            text = json.dumps({"type": "enum", "namespace": "t", "name": f"R{k}", "symbols": ["A"]})
            paths[f"/subjects/s{k}/versions/1"] = {"schema": text}
        with Stub(paths) as s:
            r, got, l = run("one", *at(s.url, unknown_s=0))
        if n == 200:
            ok(got == want, "200 references: the rows", r.stderr)
            continue
        ok(not got and l["dead"] == N and l["closed"], "201: dead letters", r.stderr)
        ok("more than 200 schemas refer to each other" in r.stderr, "with the reason", r.stderr)
        ok("it refers to t.R200 " in r.stderr, "and which one it was", r.stderr)


def waits(schemas, want):
    with Stub(schemas, mode=lambda n: "500" if n < 3 else "good") as s:
        r, got, l = run("one", *at(s.url, wait_s=20))
        ok(
            got == want and l["closed"] and len(s.requests) == 3 and "alerts wait" in r.stderr,
            "500 twice, then good: the alerts wait, none is lost",
            r.stderr,
        )
    with Stub(schemas) as s:
        port = s.port
    r, got, l = run_until(
        "alerts wait", lambda: Stub(schemas, port=port), "one", *at(f"http://127.0.0.1:{port}", wait_s=120)
    )
    if ok(r.then, "down at the start: the alerts wait", r.stderr):
        r.then.__exit__()
    ok(got == want and l["closed"], "up while they wait: none is lost", r.stderr)
    with Stub(schemas, mode=lambda n: "404" if n < 3 else "good") as s:
        r, got, l = run("one", *at(s.url))
        ok(
            got == want and l["closed"],
            "an id that is new at the registry, 404 twice: none is lost",
            r.stderr,
        )
    with Stub(schemas, mode=lambda n: "html" if n < 2 else "good") as s:
        r, got, l = run("one", *at(s.url))
        ok(got == want and l["closed"], "a log-in page once, then good: none is lost", r.stderr)
    with Stub(schemas, mode=lambda n: "good" if n == 1 else "html") as s:
        r, got, l = ended("alerts wait", "two", *at(s.url))
        ok(r.returncode == 130 and l["dead"] == 0, "Ctrl-C while alerts wait: none is dead", r.stderr)
        ok(
            len(got) == N // 2 and l["closed"],
            "what was read before is written, and the ledger closes",
            (l, r.stderr),
        )
    with Stub(schemas, mode="slow") as s:
        r, got, l = run("one", *at(s.url, timeout_s=60))
        ok(
            got == want and l["closed"] and len(s.requests) == 1,
            "slow, within the time limit: asked once",
            (s.requests, r.stderr),
        )
        r, got, l = run("one", *at(s.url, timeout_s=0.4, wait_s=0))
        ok(
            not got and l["closed"] and l["dead"] == N and r.returncode == 0,
            "slower than the limit, no patience: dead letters",
            r.stderr,
        )


def health(schemas, want):
    """A run that waits for a registry is alive, so that nobody starts it again, and not ready."""
    port = free_port()

    def ask(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    state = {"mode": "500"}

    def look():
        answer, end = ask("/ready"), time.time() + 120
        while "registry" not in answer[1] and time.time() < end:
            time.sleep(0.1)
            answer = ask("/ready")
        time.sleep(1)
        seen = answer, ask("/health"), ask("/metrics")
        state["mode"] = "good"
        return seen

    with Stub(schemas, mode=lambda n: state["mode"]) as s:
        args = at(s.url) + ["--metrics", f"127.0.0.1:{port}", "-D", "run.stall_s=0.3"]
        r, got, l = run_until("alerts wait", look, "one", *args, name="health")
    ready, alive, metrics = r.then or ((0, ""), (0, ""), (0, ""))
    ok(
        ready == (503, "the schema registry does not answer; alerts wait\n"),
        "while alerts wait: /ready says why not",
        ready,
    )
    ok(alive[0] == 200, "/health says yes", alive)
    ok("\nnightjar_registry_waiting 1\n" in metrics[1], "and so do the metrics", metrics[1][-1500:])
    ok(got == want, "and none is lost", r.stderr)


def dead(schemas, want):
    for mode, says, asked in (
        ("404", "HTTP status 404", 1),
        ("html", "an answer without a schema", 9),
        ("huge", "more than", 1),
        ("500", "HTTP status 500", 9),
    ):
        with Stub(schemas, mode=mode) as s:
            r, got, l = run("one", *at(s.url, wait_s=0, unknown_s=0), name=f"m{mode}")
            n = len(s.requests)
        memory = (
            report(f"m{mode}.json")["memory"]["rss_max_bytes"] if os.path.exists(f"m{mode}.json") else 1 << 40
        )
        ok(
            r.returncode == 0
            and not got
            and l["closed"]
            and l["dead"] == N
            and says in r.stderr
            and 0 < n <= asked
            and (SANITIZED or memory < 150e6),
            f"{mode}: {N} dead letters that say why, {asked} request{'s' if asked > 1 else ''} at most, under"
            " 150 MB of memory",
            f"{n} requests, {memory} bytes {r.stderr}",
        )
    with Stub(schemas) as s:
        r, got, l = run("m404.dead.avro", *at(s.url), name="revived")
        ok(
            got == want and l["closed"] and l["dead"] == 0,
            "the dead letters, with a registry that knows the id: the rows",
            r.stderr,
        )
        port = s.port
    r, got, l = run("one", *at(f"http://127.0.0.1:{port}", wait_s=0))
    ok(
        r.returncode == 0 and not got and l["closed"] and l["dead"] == N and f"127.0.0.1:{port}" in r.stderr,
        "down, no patience: dead letters that name it",
        r.stderr,
    )
    r, got, l = run("one", *at(f"http://127.0.0.1:{port}", wait_s=0), "--strict")
    ok(r.returncode == 4 and l["closed"], "and --strict makes it exit code 4", r.stderr)
    with Stub(schemas, mode=lambda n: "good" if n == 1 else "500") as s:
        r, got, l = run("two", *at(s.url, wait_s=0))
        first = {c: want[c] for c in list(want)[: N // 2]}
        ok(
            got == first and l["closed"] and l["dead"] == N - N // 2,
            "down in mid-stream: the known id continues, the new one is dead, no row is wrong",
            r.stderr,
        )
    with Stub(
        {
            7: schemas[7],
            8: json.dumps(
                {
                    "type": "record",
                    "name": "lsst.v12_0.alert",
                    "fields": [{"name": "diaSourceId", "type": "long"}],
                }
            ),
        }
    ) as s:
        r, got, l = run("two", *at(s.url))
        ok(
            got == first and l["closed"] and l["dead"] == N - N // 2,
            "a schema that is not the packets': dead letters, not rows",
            r.stderr,
        )


def builtin(want):
    with Stub({}) as s:
        port = s.port
        r, got, l = run("lsst", "--survey", "lsst", *at(s.url))
        ok(
            got == want
            and l["closed"]
            and s.requests == ["/schemas/ids/1100"]
            and "built-in layout of LSST's release 11.0" in r.stderr,
            "LSST's id 1100, which the registry does not know: the built-in layout",
            r.stderr,
        )
        r, got, l = run("lsst", "--survey", "lsst", "-D", "registry.builtin=0", *at(s.url))
        ok(not got and l["dead"] == N and l["closed"], "not with registry.builtin=0", r.stderr)
    r, got, l = run("lsst", "--survey", "lsst", *at(f"http://127.0.0.1:{port}", wait_s=60))
    ok(
        got == want and l["closed"] and "alerts wait" not in r.stderr,
        "a registry that is down is not waited for",
        r.stderr,
    )
    r, got, l = run("lsst", "--survey", "lsst")
    ok(got == want and l["closed"], "and none is needed", r.stderr)
    r, got, l = run("lsst")
    ok(
        not got and l["dead"] == N and "--survey lsst" in r.stderr,
        "without a word that it is LSST: dead letters that say how",
        r.stderr,
    )


def tls(schemas, want):
    paths = certificates(os.getcwd())
    if not paths:
        return skip("a registry over TLS", "no openssl")
    ca, certificate, key = paths
    with Stub(schemas, tls=(certificate, key), login="reader:pass word:x") as s:
        login = ["-D", "registry.user=reader"]
        r, got, l = run("one", *at(s.url, ca=ca), *login, env={"NIGHTJAR_REGISTRY_PASSWORD": "pass word:x"})
        ok(got == want and l["closed"], "TLS with the authority's certificate, user and password", r.stderr)
        with open("secret", "w", encoding="ascii") as f:
            f.write("pass word:x\n")
        r, got, l = run("one", *at(s.url, ca=ca, password_file="secret"), *login)
        ok(got == want and l["closed"], "the password from a file", r.stderr)
        n = s.refused
        r, got, l = run("one", *at(s.url, ca=ca, password="wrong", wait_s=0), *login)
        ok(
            not got
            and l["dead"] == N
            and s.refused > n
            and "HTTP status 401" in r.stderr
            and "wrong" not in r.stderr,
            "a wrong password: 401, reported, and not shown",
            r.stderr,
        )
        n = len(s.requests)
        r, got, l = run(
            "one", *at(s.url, wait_s=0), *login, env={"NIGHTJAR_REGISTRY_PASSWORD": "pass word:x"}
        )
        ok(
            not got and l["dead"] == N and len(s.requests) == n and "certificate" in r.stderr.lower(),
            "without the authority: no request, the certificate is named",
            r.stderr,
        )
        r, got, l = run("one", *at(s.url.replace("127.0.0.1", "localhost"), ca=ca, wait_s=0), *login)
        ok(
            not got and l["dead"] == N and len(s.requests) == n,
            "a name that the certificate does not have is refused",
            r.stderr,
        )
    r, got, l = run("one", *at("https://127.0.0.1:1", ca="nosuch.pem", wait_s=0))
    ok(
        r.returncode == 1 and "nosuch.pem" in r.stderr,
        "a file of certificates that is not there: refused at the start, by name",
        r.stderr,
    )


APICURIO = "2.6.13.Final"


def apicurio(schema, want):
    """A real registry, by Maven coordinates, kept under build/."""
    name = f"Apicurio Registry {APICURIO}: subjects posted, the ids it gives, the rows"
    home = os.path.join(ROOT, "build", "apicurio", APICURIO)
    jar = f"apicurio-registry-app-{APICURIO}-runner.jar"
    if not shutil.which("java"):
        return skip(name, "no Java")
    if not glob.glob(f"{home}/**/{jar}", recursive=True):
        if not shutil.which("mvn"):
            return skip(name, "no Maven, and it was not fetched before")
        got = subprocess.run(
            [
                "mvn",
                "-q",
                "-B",
                "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
                f"-Dartifact=io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all",
                "-DoutputDirectory=fetched",
            ],
            capture_output=True,
            text=True,
            timeout=400,
        )
        part = f"{home}.part.{os.getpid()}"
        if got.returncode == 0:
            os.makedirs(part)
            subprocess.run(["tar", "xzf", glob.glob("fetched/*.tar.gz")[0], "-C", part], check=True)
            shutil.rmtree(home, ignore_errors=True)
            os.rename(part, home)
    jars = glob.glob(f"{home}/**/{jar}", recursive=True)
    if not jars:
        return skip(name, f"Maven could not fetch Apicurio Registry {APICURIO}")
    with Stub({}) as s:
        port = s.port
    with open("apicurio.log", "wb") as log:
        server = subprocess.Popen(
            [
                "java",
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-Dquarkus.http.host=127.0.0.1",
                f"-Dquarkus.http.port={port}",
                "-jar",
                jars[0],
            ],
            cwd=os.path.dirname(jars[0]),
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        ids = []
        for _ in range(240):
            try:
                for k, text in enumerate(
                    [schema, schema.replace("v11_0", "v11_9").replace('"psfFlux"', '"psfFluxLater"')][
                        len(ids) :
                    ]
                ):
                    ask = urllib.request.Request(
                        f"{url}/subjects/alert-packet-{len(ids)}/versions",
                        json.dumps({"schema": text}).encode(),
                        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
                    )
                    with urllib.request.urlopen(ask, timeout=120) as answer:
                        ids.append(json.load(answer)["id"])
                break
            except OSError:
                time.sleep(0.25)
        else:
            return ok(False, name, open("apicurio.log", encoding="utf-8", errors="replace").read()[-2000:])
        os.mkdir("real")
        datums = [open(f, "rb").read()[5:] for f in sorted(glob.glob("lsst/*.msg"))]
        for i, d in enumerate(datums):
            with open(f"real/{i:03}.msg", "wb") as f:
                f.write(confluent(ids[i % 2], d))
        r, got, l = run("real", *at(url))
        even = {c: want[c] for c in list(want)[::2]}
        ok(
            len(set(ids)) == 2
            and l["closed"]
            and l["dead"] == 0
            and {c: x for c, x in got.items() if c in even} == even
            and len(got) == N
            and all(x["mag"] is None for c, x in got.items() if c not in even),
            name,
            f"ids {ids}\n{r.stderr}",
        )
        with open("real/999.msg", "wb") as f:
            f.write(confluent(4711, datums[0]))
        r, got, l = run("real", *at(url, wait_s=0))
        ok(
            len(got) == N and l["dead"] == 1 and l["closed"] and "HTTP status 404" in r.stderr,
            "Apicurio: an id that it does not know is a dead letter",
            r.stderr,
        )
    finally:
        server.terminate()
        server.wait(120)


def main():
    with Folder():
        schema = night()
        later = schema.replace("v11_0", "v11_3")
        _, want, _ = run("night", name="want")
        schemas = {7: schema, 8: later}
        good(schemas, want)
        references(schemas, want)
        waits(schemas, want)
        health(schemas, want)
        dead(schemas, want)
        builtin(want)
        tls(schemas, want)
        apicurio(schema, want)
    done()


main()
