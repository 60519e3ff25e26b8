"""registry_stub.py - a schema registry that misbehaves on request: GET /schemas/ids/N over HTTP or TLS, with
or without a password, slow, broken, or with nonsense for an answer. Not a test."""

import base64, json, ssl, subprocess, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stub:
    """schemas: {id: text}; a text as key is a whole path, its value the whole answer. mode: good, 404, 500,
    html, huge, slow; a callable gets the number of the request and says which."""

    def __init__(self, schemas, mode="good", port=0, tls=None, login=None):
        self.schemas, self.mode, self.login, self.requests, self.refused = schemas, mode, login, [], 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                stub.requests.append(self.path)
                mode = stub.mode(len(stub.requests)) if callable(stub.mode) else stub.mode
                want = stub.login and "Basic " + base64.b64encode(stub.login.encode()).decode()
                number = self.path.rpartition("/ids/")[2]
                try:
                    if want and self.headers.get("Authorization") != want:
                        stub.refused += 1
                        self.answer(401, b'{"error_code": 40101}')
                    elif mode == "500":
                        self.answer(500, b"oops")
                    elif mode == "html":
                        self.answer(200, b"<!DOCTYPE html><html>log in here</html>")
                    elif mode == "huge":
                        self.send_response(200)
                        self.send_header("Content-Length", str(100 << 20))
                        self.end_headers()
                        for _ in range(100):
                            self.wfile.write(b" " * (1 << 20))
                    elif mode == "good" and self.path in stub.schemas:
                        self.answer(200, json.dumps(stub.schemas[self.path]).encode())
                    elif mode == "404" or not number.isdigit() or int(number) not in stub.schemas:
                        self.answer(404, b'{"error_code": 40403, "message": "Schema not found"}')
                    else:
                        if mode == "slow":
                            time.sleep(1.5)
                        self.answer(200, json.dumps({"schema": stub.schemas[int(number)]}).encode())
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def certificates(folder):
    """A private authority and a server certificate for 127.0.0.1 by openssl: (ca, certificate, key), or
    None."""

    def openssl(*args):
        return subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True).returncode == 0

    with open(f"{folder}/san.txt", "w", encoding="ascii") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    try:
        good = (
            openssl(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=test authority",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            )
            and openssl(
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=127.0.0.1",
                "-keyout",
                "server.key",
                "-out",
                "server.csr",
            )
            and openssl(
                "x509",
                "-req",
                "-in",
                "server.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "san.txt",
                "-out",
                "server.pem",
            )
        )
    except FileNotFoundError:
        good = False
    return tuple(f"{folder}/{x}" for x in ("ca.pem", "server.pem", "server.key")) if good else None
