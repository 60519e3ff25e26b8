"""A stand-in for the CDS X-Match service on 127.0.0.1: prints its port, then answers POSTs as the service
documents, or misbehaves by path: /good /500 /429 /hang /drip /garbage /html /empty /torn /short /noid
/wrongid /huge /cells /long /close /flaky (fails twice, then answers) /switch (good or 500, by GET /set/good,
/set/500). GET /count/PATH: POSTs so far.
"""

import http.server
import math
import re
import sys
import threading
import time

SOURCES = [
    (10.0, 20.0, "Star"),
    (10.0001, 20.0, "QSO"),
    (200.0, -45.0, "RR*"),
    (0.00005, 0.0, "Candidate_SN*"),
    (359.99995, 89.0, "a, \"b\""),
    (77.0, 5.0, ""),
]
counts, mode, lock = {}, {"switch": "good"}, threading.Lock()


def separation(a1, d1, a2, d2):
    a1, d1, a2, d2 = map(math.radians, (a1, d1, a2, d2))
    h = math.sin((d2 - d1) / 2) ** 2 + math.cos(d1) * math.cos(d2) * math.sin((a2 - a1) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(h))) * 3600


def fields_of(body, content_type):
    boundary = b"--" + re.search("boundary=(.*)", content_type).group(1).strip('"').encode()
    fields = {}
    for part in body.split(boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        fields[re.search(rb'name="([^"]*)"', head).group(1).decode()] = value[:-2].decode()
    return fields


def answer(fields):
    assert (
        fields["request"] == "xmatch"
        and fields["selection"] == "all"
        and fields["RESPONSEFORMAT"] == "csv"
        and fields["cat2"] == "simbad"
    )
    assert fields["colRA1"] == "ra_in" and fields["colDec1"] == "dec_in"
    lines = fields["cat1"].splitlines()
    assert lines[0] == "ra_in,dec_in,id"
    radius, out = float(fields["distMaxArcsec"]), [
        "angDist,ra_in,dec_in,id,main_id,ra,dec," + fields["cols2"]
    ]
    for line in reversed(lines[1:]):
        ra, dec, key = line.split(",")
        for a, d, kind in sorted(SOURCES, reverse=True):
            s = separation(float(ra), float(dec), a, d)
            if s <= radius:
                out.append(
                    '%.6f,%s,%s,%s,"name, %s",%r,%r,"%s"'
                    % (s, ra, dec, key, key, a, d, kind.replace('"', '""'))
                )
    return "\n".join(out) + "\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, text, length=None):
        data = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(length if length is not None else len(data)))
        self.end_headers()
        self.wfile.write(data)
        if length is not None:
            self.close_connection = True

    def do_GET(self):
        verb, what = self.path.strip("/").split("/")
        if verb == "set":
            mode["switch"] = what
        self.reply(200, str(counts.get(what, 0)))

    def do_POST(self):
        kind = self.path.strip("/")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            counts[kind] = counts.get(kind, 0) + 1
            n = counts[kind]
        good = answer(fields_of(body, self.headers["Content-Type"]))
        if kind == "switch":
            kind = mode["switch"]
        if kind == "flaky":
            kind = "500" if n <= 2 else "good"
        if kind == "good":
            self.reply(200, good)
        elif kind in ("500", "429"):
            self.reply(int(kind), "busy\n")
        elif kind == "hang":
            time.sleep(20)
        elif kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b"a")
                self.wfile.flush()
                time.sleep(0.1)
        elif kind == "close":
            self.close_connection = True
        else:
            lines = good.split("\n")
            self.reply(
                200,
                {
                    "garbage": bytes(range(256)) * 10,
                    "html": "<html><body>Service unavailable</body></html>\n",
                    "empty": "",
                    "torn": good[:-5],
                    "short": good,
                    "noid": good.replace(",id,", ",ident,"),
                    "wrongid": lines[0] + "\n0.1,1,2,999999,x,1,2,Star\n",
                    "long": (
                        lines[0]
                        + "\n0.1,1,2,0,x,1,2,"
                        + ",".join(c * 150 for c in "abcdefgh"[: lines[0].count(",") - 6])
                        + "\n"
                    ),
                    "huge": lines[0] + "\n" + "x" * (20 << 20) + "\n",
                    "cells": lines[0] + "\n0.1,1,2,0\n",
                }[kind],
                len(good) + 50 if kind == "short" else None,
            )


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
threading.Thread(
    target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True
).start()  # ends with the test
server.serve_forever()
