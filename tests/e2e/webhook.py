#!/usr/bin/env python3
"""-o webhook: against a server that answers, hesitates, refuses, hangs and is gone: each alert is posted
or is a dead letter, in bounded time, and the address and keys are nowhere to be read."""

import glob, json, os, signal, socket, subprocess, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from avro import make_container
from out_kit import alert_schema, packet
from tap import NIGHTJAR, Folder, done, nightjar, ok, report, rows

N = 50
KEY = "T0KENxyz-services-B99"
# no pause that a person would notice, and no pace
QUICK = ["-D", "sink.webhook.per_minute=1000000", "-D", "sink.webhook.pause_s=0.01"]
FOR_EVER = 120  # s: only what never ends takes so long


class Server:
    """mode: a status, "hang", or a callable that gets the number of the request and the body."""

    def __init__(self, mode=200):
        self.mode, self.got, self.taken, self.free = mode, [], [], threading.Event()
        me = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                me.got.append((self.path, dict(self.headers), body))
                mode = me.mode(len(me.got), body) if callable(me.mode) else me.mode
                if mode == "hang":
                    me.free.wait(FOR_EVER)
                    self.close_connection = True
                    return
                status, text, more = mode if isinstance(mode, tuple) else (mode, b"no", {})
                if status < 300:
                    me.taken.append(body)
                self.send_response(status)
                for k, v in more.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/{KEY}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free.set()
        self.server.shutdown()
        self.server.server_close()

    def ids(self):
        return [a["candid"] for body in self.taken for a in body["alerts"]]


def run(target, *more, quick=True):
    args = ["run", "night.avro", "--survey", "ztf", "-m", "roid", "-o", f"webhook:{target}"]
    args += ["-o", "ndjson:o.ndjson", "--dead-letters", "d.avro", "--report", "r.json", "--overwrite"]
    return nightjar(*args, *(QUICK if quick else []), *more, timeout=FOR_EVER)


def dead():
    """Ids of the dead letters, which are a SOURCE."""
    if not os.path.exists("d.avro"):
        return []
    args = ["run", "d.avro", "-q", "--survey", "ztf", "-m", "roid", "--overwrite"]
    nightjar(*args, "-o", "ndjson:d.ndjson", "--dead-letters", "x.avro")
    return [r["candid"] for r in rows("d.ndjson")]


IDS = [2**62 + k for k in range(N)]


def accounts(name, server, r, n_dead):
    sent, letters = server.ids(), dead()
    ok(sorted(sent + letters) == IDS, f"{name}: each alert once, here or there", (len(sent), len(letters)))
    ok(len(letters) == n_dead, f"{name}: {n_dead} dead letters", (len(letters), r.stderr))
    ledger = report("r.json")["ledger"]
    ok(ledger["dead"] == n_dead, f"{name}: the report counts them", ledger)
    ok(KEY not in r.stdout + r.stderr, f"{name}: no address in a message", r.stderr)


def taken():
    with Server() as s:
        r = run(s.url)
        ok(r.returncode == 0, "a server that answers", r.stderr)
        accounts("taken", s, r, 0)
        ok(len(s.got) == 3, "20 alerts in a request", len(s.got))
        path, headers, body = s.got[0]
        ok(path == "/" + KEY, "the address", path)
        ok(headers["Content-Type"] == "application/json", "the type", headers)
        ok(
            body["alerts"] == rows("o.ndjson")[:20],
            "template rows: all columns, as in NDJSON",
            body["alerts"][0],
        )
        ok(r.stderr.count("127.0.0.1") < 5, "few words", r.stderr)


def busy():
    tired = (429, b"slow down", {"Retry-After": "0"})
    with Server(lambda k, _: tired if k % 3 else 200) as s:
        r = run(s.url)
        ok(r.returncode == 0, "429 twice, then taken", r.stderr)
        accounts("429", s, r, 0)
        ok(len(s.got) == 9, "tried again", len(s.got))
        keys = [h["Idempotency-Key"] for _, h, _ in s.got]
        ok(len(set(keys)) == 3, "the same request has the same key", keys)
    for late in ("3000", "Fri, 31 Dec 2099 23:59:59 GMT"):
        with Server((429, b"", {"Retry-After": late})) as s:
            r = run(s.url)
            ok(r.returncode == 0, f"Retry-After: {late}, beyond all patience", r.stderr)
            ok(len(s.got) < 4, "and it is not tried again before", len(s.got))
            accounts("Retry-After", s, r, N)


def broken():
    patience = ["-D", "sink.webhook.patience_s=0.1"]
    with Server(500) as s:
        r = run(s.url, *patience)
        ok(r.returncode == 0, "500 for ever: the run ends well", r.stderr)
        accounts("500", s, r, N)
        ok(len(s.got) > 1, "tried again", len(s.got))
        ok(r.stderr.count("takes nothing: HTTP status 500") == 1, "said once", r.stderr)
        ok("0 alerts were sent, 50 are dead letters" in r.stderr, "and counted", r.stderr)
        module = nightjar("ledger", ".", "--json").stdout
        ok(len(rows("o.ndjson")) in (0, N), "the other output has its rows", module)
    with Server(lambda k, _: 200 if k == 1 else 503) as s:
        r = run(s.url, *patience)
        accounts("one, then 503", s, r, N - 20)
    with Server((200, b"fine" * 2**21, {})) as s:
        r = run(s.url)
        accounts("taken, with an answer beyond ANSWER_MOST", s, r, 0)
    with Server((500, b"x" * 2**23, {})) as s:
        r = run(s.url, *patience)
        ok("500 '" + "x" * 120 + "'" in r.stderr, "the beginning of a long answer is quoted", r.stderr[-900:])
        ok("x" * 121 not in r.stderr, "and no more of it", len(r.stderr))
    with Server(401) as s:
        r = run(s.url)
        ok(r.returncode == 0 and len(s.got) == 1, "401 is not tried again", (len(s.got), r.stderr))
        accounts("401", s, r, N)
    with Server((302, b"", {"Location": "http://127.0.0.1:9/"})) as s:
        r = run(s.url)
        ok("redirections are not followed" in r.stderr, "a redirection is said", r.stderr)
        accounts("302", s, r, N)
    with Server("hang") as s:
        r = run(s.url, *patience, "-D", "sink.webhook.timeout_s=0.1")
        ok(r.returncode == 0, "a server that hangs", r.stderr)
        ok("no answer in time" in r.stderr, "and why", r.stderr)
        accounts("hang", s, r, N)
    with Server(lambda k, _: "hang" if k == 1 else 200) as s:
        r = run(s.url, "-D", "sink.webhook.timeout_s=0.3")
        accounts("slow once", s, r, 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        r = run(f"http://127.0.0.1:{free.getsockname()[1]}/{KEY}", *patience)
        ok(r.returncode == 0, "nobody listens", r.stderr)
        ok(dead() == IDS, "all are dead letters", r.stderr)
        ok(KEY not in r.stderr, "no address in a message", r.stderr)


def one_is_refused():
    bad = {IDS[7], IDS[33]}
    with Server(lambda _, b: 400 if bad & {a["candid"] for a in b["alerts"]} else 200) as s:
        r = run(s.url)
        ok(r.returncode == 0, "one of twenty is refused", r.stderr)
        accounts("400", s, r, 2)
        ok(sorted(dead()) == sorted(bad), "the two that are", dead())


def pace():
    """Two requests a minute, and a stop by a signal: the rest is in dead letters, at once."""
    with Server() as s:
        args = ["run", "night.avro", "--survey", "ztf", "-m", "roid", "-o", f"webhook:{s.url}", "--overwrite"]
        args += ["--dead-letters", "d.avro", "-D", "sink.webhook.per_minute=0.1", "--report", "r.json"]
        child = subprocess.Popen([NIGHTJAR, *args], stderr=subprocess.PIPE, text=True)
        while not s.got:
            pass
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=FOR_EVER)[1]
        ok(len(s.got) == 1, "the pace is kept", len(s.got))
        ok(child.returncode in (0, 130, 143), "the stop is not held up", (child.returncode, said))
        sent, letters = s.ids(), dead()
        ok(len(set(sent) | set(letters)) == len(sent) + len(letters), "none twice", (len(sent), len(letters)))
        ledger = report("r.json")["ledger"]
        ok(ledger["dead"] == len(letters), "the report has them", (ledger, len(letters), said))


def templates():
    mine = {
        "$comment": "x",
        "head": "{#n} of {{all}}",
        "n": "{#n}",
        "list": [1, {"$each": {"id": "{candid}", "ra": "{ra}", "t": "{object:mrkdwn}|{jd:%.2f}|{nope?}"}}],
        "text": {"$lines": ["a", {"$each": "{object:markdown}"}]},
        "deep": [{"no": True}, None],
    }
    with open("mine.json", "w", encoding="utf-8") as f:
        json.dump(mine, f)
    with Server() as s:
        r = run(s.url, "-D", "sink.webhook.template=mine.json", "-D", "sink.webhook.batch=2", "--limit", "2")
        ok(r.returncode == 0, "a template of one's own", r.stderr)
        body = s.taken[0] if s.taken else {}
        ok(body.get("head") == "2 of {all}", "braces", body)
        ok(body.get("n") == 2, "a number stays one", body)
        ok("$comment" not in body, "comments are not sent", body)
        first = body["list"][1]
        ok(first["id"] == IDS[0], "64-bit ids", first)
        ok(first["t"] == "ZTF18&lt;!channel&gt;*_|2460000.50|–", "no command from a packet's text", first)
        ok(body["text"] == "a\n" + "\n".join(["ZTF18\\<!channel\\>\\*\\_"] * 2), "lines", body["text"])
        ok(body["deep"] == [{"no": True}, None], "what has no place stays", body)
    for name in ("slack", "mattermost"):
        with Server() as s:
            r = run(s.url, "-D", f"sink.webhook.template={name}", "--limit", "2")
            ok(len(s.taken) == 1, f"{name}: one request", r.stderr)
            ok(str(IDS[1]) in s.taken[0]["text"], f"{name}: the alerts", s.taken)
    there = lambda k, b: (400, b'{"name":["target with this name already exists."]}', {}) if k > 1 else 201
    with Server(there) as s:
        r = run(s.url, "-D", "sink.webhook.template=tom", "--limit", "3")
        ok(len(s.got) == 3, "tom: a request for each", len(s.got))
        body = s.got[0][2]
        ok((body["type"], body["ra"], body["dec"]) == ("SIDEREAL", 10.0, -5.0), "tom: the target", body)
        ok(all(isinstance(x["value"], str) for x in body["targetextra_set"]), "tom: extras are texts", body)
        ok(
            report("r.json")["ledger"]["dead"] == 0,
            "tom: a target that is there already is no fault",
            r.stderr,
        )
    for text, says in (
        ("{", "line 1"),
        ("[1]", "no JSON object"),
        ('{"a": "{candit}"}', "did you mean {candid}"),
        ('{"a": "{candid"}', "a { without }"),
        ('{"a": "{candid:%n}"}', "a format that is none"),
        ('{"a": {"$each": 1}}', "no meaning"),
    ):
        with open("bad.json", "w", encoding="utf-8") as f:
            f.write(text)
        with Server() as s:
            r = run(s.url, "-D", "sink.webhook.template=bad.json")
            ok(
                r.returncode in (1, 3) and says in r.stderr,
                f"a template with '{says}'",
                (r.returncode, r.stderr),
            )
            ok(not s.got, "and nothing is sent", s.got)


def written(*but):
    for path in glob.glob("**/*", recursive=True):
        if os.path.isfile(path) and path not in but:
            with open(path, "rb") as f:
                if KEY.encode() in f.read():
                    yield path


def secrets():
    hanging = Server("hang")
    forms = (
        ["-o", f"webhook:{hanging.url}"],
        [f"-owebhook:{hanging.url}"],
        [f"--output=webhook:{hanging.url}"],
    )
    for form in forms:
        child = subprocess.Popen(
            [
                NIGHTJAR,
                "run",
                "night.avro",
                "--survey",
                "ztf",
                "-m",
                "roid",
                "--dead-letters",
                "no.avro",
                *form,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        before = len(hanging.got)
        while len(hanging.got) == before and child.poll() is None:
            time.sleep(0.01)
        with open(f"/proc/{child.pid}/cmdline", "rb") as f:
            words = f.read()
        ok(KEY.encode() not in words, f"ps does not show it: {form[0][:10]}", words)
        child.kill()
        said = child.communicate()[1]
        ok("the address of a webhook is on the command line" in said, "a warning", said)
        ok(KEY not in said, "without it", said)
        if os.path.exists("no.avro"):
            os.remove("no.avro")
    hanging.__exit__()
    with Server() as s, open("s.ini", "w", encoding="utf-8") as f:
        f.write(f"{s.url}\n# a comment\nAuthorization: Token {KEY}-2\ntemplate = rows\n")
        f.flush()
        r = run("s.ini", "--trace", str(IDS[3]))
        accounts("webhook:FILE", s, r, 0)
        ok(s.got[0][1]["Authorization"] == f"Token {KEY}-2", "its header", s.got[0][1])
    with Server() as other, Server() as s, open("t.ini", "w", encoding="utf-8") as f:
        f.write(f"[topic.all]\nwhere = ra > 0\nsinks = webhook:{s.url}\n")
        f.flush()
        r = run(other.url, "-c", "t.ini", "-t", "all")
        ok(len(s.ids()) == N, "a topic's own webhook", r.stderr)
        ok(KEY not in r.stderr, "no word of it", r.stderr)
        ok(all("Authorization" not in h for _, h, _ in s.got), "keys go to their own server alone")
    ok(not list(written("s.ini", "t.ini")), "in no file", list(written("s.ini", "t.ini")))
    for text, says in (
        ("no address\n", "expected the address"),
        ("http://h/x\nwrong\n", "expected a header"),
    ):
        with open("bad.ini", "w", encoding="utf-8") as f:
            f.write(text)
        r = run("bad.ini")
        ok(r.returncode == 1 and says in r.stderr, f"a file with {says}", (r.returncode, r.stderr))
    r = run("nothing-here")
    ok(r.returncode == 1 and "no file that can be read" in r.stderr, "neither address nor file", r.stderr)


def killed():
    """After kill -9 the rows of the last commit may come twice; none is lost."""
    with Server(lambda k, _: "hang" if k == 2 else 200) as s:
        args = [
            NIGHTJAR,
            "run",
            "night.avro",
            "--survey",
            "ztf",
            "-m",
            "roid",
            "-q",
            "-o",
            f"webhook:{s.url}",
        ]
        args += ["-o", "ndjson:k.ndjson", "--dead-letters", "k.avro", *QUICK, "-D", "run.batch_rows=10"]
        args += ["-D", "run.commit_ms=0", "-D", "run.flush_ms=1"]
        child = subprocess.Popen([*args, "--overwrite"], stderr=subprocess.DEVNULL, start_new_session=True)
        while len(s.got) < 2 and child.poll() is None:
            pass
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        s.free.set()
        r = subprocess.run([*args, "--resume"], capture_output=True, text=True, timeout=FOR_EVER)
        ok(r.returncode == 0, "--resume", r.stderr)
        ok(set(s.ids()) == set(IDS), "none is lost", len(s.ids()))
        ok([x["candid"] for x in rows("k.ndjson")] == IDS, "the file has each once")


with Folder():
    alerts = [packet(k, objectId="ZTF18<!channel>*_") for k in range(N)]
    with open("night.avro", "wb") as f:
        f.write(make_container(alert_schema(), alerts))
    taken()
    busy()
    broken()
    one_is_refused()
    pace()
    templates()
    secrets()
    killed()
done()
