#!/usr/bin/env python3
"""A broker that lets clients in by OpenID Connect, as GCN's does: the token is fetched by client id and
secret, also with a librdkafka that cannot."""

import base64, http.server, json, os, subprocess, threading, time, urllib.parse
import notices
from streams_kafka import UP, Kafka
from tap import Folder, done, nightjar, ok, rows


class Tokens(http.server.BaseHTTPRequestHandler):
    """A token endpoint; tokens are not signed, which Kafka takes when nothing else is set."""

    asked = []
    size = 0  # of its answer, which blanks fill up

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        kind, _, login = self.headers.get("Authorization", " ").partition(" ")
        user = base64.b64decode(login).decode()
        self.asked.append((kind, user, form))
        good = user == "reader:let me in"
        part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).decode().rstrip("=")
        now = int(time.time())
        token = f"{part({'alg': 'none'})}.{part({'sub': 'reader', 'iat': now, 'exp': now + 3600})}."
        answer = (
            {"access_token": token, "expires_in": 3600, "token_type": "Bearer"} if good else {"error": "no"}
        )
        body = json.dumps(answer).encode().ljust(self.size)
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def settings(port, secret):
    with open("account.ini", "w", encoding="utf-8") as f:
        f.write("[kafka]\nsecurity.protocol = SASL_PLAINTEXT\nsasl.mechanisms = OAUTHBEARER\n")
        f.write("sasl.oauthbearer.method = oidc\nsasl.oauthbearer.client.id = reader\n")
        f.write(f"sasl.oauthbearer.client.secret = {secret}\nsasl.oauthbearer.scope = gcn.nasa.gov/kafka-x\n")
        f.write(f"sasl.oauthbearer.token.endpoint.url = http://127.0.0.1:{port}/oauth2/token\n")


with Folder(), Kafka() as kafka:
    subprocess.run([UP, "stop", "kafka"], capture_output=True)
    with open("kafka/server.properties", encoding="utf-8") as f:
        lines = [line for line in f if "scram" not in line and not line.startswith("sasl.enabled")]
    module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
    lines += ["sasl.enabled.mechanisms=OAUTHBEARER\n"]
    lines += [
        f"listener.name.{n}.oauthbearer.sasl.jaas.config={module} required;\n" for n in ("secure", "sealed")
    ]
    with open("kafka/server.properties", "w", encoding="utf-8") as f:
        f.writelines(lines)
    r = subprocess.run([UP, "again", "kafka"], capture_output=True, text=True)
    ok(r.returncode == 0, "a Kafka with OAUTHBEARER", r.stderr)
    with open("kafka/env", encoding="utf-8") as f:
        secure = next(line.split("=", 1)[1].strip() for line in f if line.startswith("KAFKA_SASL="))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kafka.send("alerts", [(p, None, []) for p in notices.sample(3)])
    settings(server.server_address[1], "let me in")
    url = f"kafka://{secure}/alerts?group=oauth&from=earliest&until=end"
    r = nightjar("run", url, "-c", "account.ini", "-m", "nalerthist", "-o", "ndjson:a.ndjson")
    ok(r.returncode == 0, "a run that gets its token by OpenID Connect", r.stderr)
    ok(os.path.exists("a.ndjson") and len(rows("a.ndjson")) == 3, "has the rows", r.stderr)
    kind, user, form = Tokens.asked[0]
    ok((kind, user) == ("Basic", "reader:let me in"), "client id and secret", Tokens.asked[0])
    want = {"grant_type": ["client_credentials"], "scope": ["gcn.nasa.gov/kafka-x"]}
    ok(form == want, "grant and scope", form)
    for more in (0, 1):  # MOST_BODY, reached and passed
        Tokens.size = 2**20 + more
        args = ["-D", "source.contact_s=3", "-m", "nalerthist", "-o", f"ndjson:size{more}.ndjson"]
        r = nightjar("run", url.replace("group=oauth", f"group=size{more}"), "-c", "account.ini", *args)
        ok(r.returncode == 2 * more, f"a token's answer of 1 MiB and {more}", (r.returncode, r.stderr))
    ok("sends an answer of more than 1048576 bytes" in r.stderr, "and the size is named", r.stderr)
    Tokens.size = 0
    settings(server.server_address[1], "wrong secret")
    r = nightjar(
        "run", url, "-c", "account.ini", "-D", "source.contact_s=3", "-m", "nalerthist", "-o", "null:"
    )
    ok(r.returncode == 2, "a wrong secret: exit 2", (r.returncode, r.stderr))
    ok("401" in r.stderr, "and the token's server is quoted", r.stderr)
    ok("wrong secret" not in r.stderr, "but not the secret", r.stderr)
done()
