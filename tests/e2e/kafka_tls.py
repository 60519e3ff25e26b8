#!/usr/bin/env python3
"""Certificates are exchanged under a running run, on a real Kafka that wants one from its clients, too. The
run takes the new ones on SIGHUP, and reads on when the broker knows nothing but the new authority."""

import os, signal, subprocess, tarfile, time
from tap import NIGHTJAR, ROOT, Folder, done, needs, nightjar, ok, report, rows, skip

needs("confluent_kafka")
UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
PATIENCE = 120  # s: only an end that never comes takes so long
N = 60  # alerts in each of three parts


def sh(command):
    r = subprocess.run(["bash", "-euc", command], capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(r.stderr[-2000:])


def authority(name):
    sh(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2"
        f" -subj /CN={name} -keyout {name}.key -out {name}.crt"
    )


def signed(name, by, more=""):
    """name.key, name.crt, signed by an authority."""
    sh(f"openssl req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
    sh(
        f"openssl x509 -req -in {name}.csr -CA {by}.crt -CAkey {by}.key -CAcreateserial -days 2"
        f" -out {name}.crt {more}"
    )


def exchange(path, *parts):
    """In one moment, as an operator's tools do."""
    sh(f"cat {' '.join(parts)} > {path}.new; mv {path}.new {path}")


class Kafka:
    def __init__(self):
        r = subprocess.run([UP, "start", os.path.abspath("kafka")], capture_output=True, text=True)
        self.missing = r.stderr.strip().splitlines()[-1] if r.returncode == 3 else ""
        if self.missing:
            return
        if r.returncode:
            raise RuntimeError(r.stderr)
        with open("kafka/env", encoding="utf-8") as f:
            self.env = dict(line.strip().split("=", 1) for line in f)

    def again(self, certificate, *trusts):
        """With another certificate, and other authorities of clients."""
        self.stop()
        exchange("kafka/broker.pem", f"{certificate}.key", f"{certificate}.crt")
        exchange("kafka/trust.pem", *trusts)
        r = subprocess.run([UP, "again", os.path.abspath("kafka")], capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError(r.stderr)

    def stop(self):
        subprocess.run([UP, "stop", os.path.abspath("kafka")], capture_output=True)


def wants_certificates():
    with open("kafka/server.properties", "a", encoding="utf-8") as f:
        f.write("ssl.truststore.type=PEM\n")
        f.write(f"ssl.truststore.location={os.path.abspath('kafka/trust.pem')}\n")
        f.write("listener.name.sealed.ssl.client.auth=required\n")


def command(k, name, *more, ca="ca.pem", key="client.key.pem", certificate="client.crt.pem"):
    secure = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": k.env["KAFKA_USER"],
        "ssl.ca.location": ca,
        "ssl.key.location": key,
        "ssl.certificate.location": certificate,
    }
    args = [
        NIGHTJAR,
        "run",
        f"kafka://{k.env['KAFKA_TLS']}/alerts?group={name}&{more[0]}",
        "-m",
        "roid",
    ]
    for key_, value in secure.items():
        args += ["-X", f"{key_}={value}"]
    return [*args, "-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", *more[1:]]


def feed(k, part):
    r = nightjar("replay", f"night{part}.tar", "--to", f"kafka://{k.env['KAFKA']}/alerts", "-q")
    ok(r.returncode == 0, f"part {part} is sent", r.stderr)


def lines(path):
    try:
        with open(path, "rb") as f:
            return f.read().count(b"\n")
    except OSError:
        return 0


def said():
    with open("run.log", encoding="utf-8") as f:
        return f.read()


def wait(child, condition):
    end = time.time() + PATIENCE
    while time.time() < end and child.poll() is None and not condition():
        time.sleep(0.05)
    return condition()


def main():
    k = Kafka()
    if k.missing:
        return skip("certificates exchanged on a real Kafka", k.missing)
    env = {**os.environ, "NIGHTJAR_KAFKA_PASSWORD": k.env["KAFKA_PASSWORD"]}
    name = "-extfile <(echo subjectAltName=IP:127.0.0.1)"
    for who in ("old", "new"):
        authority(who)
        signed(f"{who}-broker", who, name)
        signed(f"{who}-client", who)
    nightjar("simulate", "-n", 3 * N, "-q", "-o", "night.tar")
    with tarfile.open("night.tar") as night:
        members = [m for m in night if m.isfile() and m.name.endswith(".avro")]
        for part in (1, 2, 3):
            with tarfile.open(f"night{part}.tar", "w") as to:
                for m in members[(part - 1) * N : part * N]:
                    to.addfile(m, night.extractfile(m))
    wants_certificates()
    # the broker knows both authorities of clients, as it does while they are exchanged
    k.again("old-broker", "old.crt", "new.crt")
    exchange("ca.pem", "old.crt")
    exchange("client.key.pem", "old-client.key")
    exchange("client.crt.pem", "old-client.crt")
    feed(k, 1)
    with open("run.log", "w", encoding="utf-8") as log:
        child = subprocess.Popen(command(k, "live", "from=earliest"), env=env, stdout=log, stderr=log)
    try:
        ok(wait(child, lambda: lines("live.ndjson") == N), "rows by the old certificates", said()[-2000:])

        exchange("client.crt.pem", "new-client.crt")
        child.send_signal(signal.SIGHUP)
        told = wait(child, lambda: "the settings stay as they were" in said())
        ok(told, "a certificate without its key: the old ones stay", said()[-2000:])
        ok("is not the key of ssl.certificate.location" in said(), "and why", said()[-2000:])

        exchange("ca.pem", "old.crt", "new.crt")
        exchange("client.key.pem", "new-client.key")
        child.send_signal(signal.SIGHUP)
        told = wait(child, lambda: "new settings: the files of TLS" in said())
        ok(told, "new certificates are taken", said()[-2000:])
        feed(k, 2)
        ok(wait(child, lambda: lines("live.ndjson") == 2 * N), "rows by the new ones", said()[-2000:])

        k.again("new-broker", "new.crt")
        feed(k, 3)
        ok(
            wait(child, lambda: lines("live.ndjson") == 3 * N),
            "the broker has exchanged its own and knows no old one: the run reads on",
            said()[-2000:],
        )
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        child.wait(PATIENCE)
    ok(child.returncode == 130, "it ends on Ctrl-C", (child.returncode, said()[-2000:]))
    ids = [r["candid"] for r in rows("live.ndjson")]
    ok(len(set(ids)) == 3 * N, "every alert is there", len(set(ids)))
    ok(len(ids) == 3 * N, "and none twice", len(ids))
    guard = report("live.json")["guard"]
    ok(guard["reloads"] == 1, "the report counts one change", guard)
    ok(guard["restarts"] == 0, "and no crash", guard)

    def refused(name, **files):
        args = command(k, name, "from=earliest&until=end", "-D", "source.contact_s=15", **files)
        return subprocess.run(args, env=env, capture_output=True, text=True, timeout=PATIENCE)

    r = refused("oldca", ca="old.crt")
    ok(r.returncode == 2, "a run that trusts the old authority alone is refused", (r.returncode, r.stderr))
    ok("certificate" in r.stderr.lower(), "with the reason", r.stderr)
    r = refused("oldclient", key="old-client.key", certificate="old-client.crt")
    ok(r.returncode == 2, "so is one with the old certificate", (r.returncode, r.stderr))
    k.stop()


with Folder():
    try:
        main()
    finally:
        if os.path.exists("kafka/pid"):
            subprocess.run([UP, "stop", os.path.abspath("kafka")], capture_output=True)
done()
