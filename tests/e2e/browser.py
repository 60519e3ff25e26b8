"""browser.py - a page in a real browser, as its scripts leave it. One Chromium for all pages of a test: to
start it costs more than to look at fifty pages. It is told what to do through a pair of pipes (the DevTools
protocol, --remote-debugging-pipe). Not a test."""

import fcntl, json, os, select, shutil, signal, subprocess, tempfile, time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 120


class Browser:
    """`with Browser() as b`: b.dom("page.html") is the page after its load, "" when there is none."""

    def __enter__(self):
        self.last, self.held, self.events = 0, b"", []
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, self.to = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in os.pipe())
        self.source, ours = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in os.pipe())

        def in_child():  # 3 and 4 are the protocol's
            os.dup2(theirs, 3)
            os.dup2(ours, 4)

        self.p = subprocess.Popen(
            [
                PROGRAM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--allow-file-access-from-files",
                "--remote-debugging-pipe",
                "--user-data-dir=" + self.profile.name,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=in_child,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(ours)
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.p.wait()
        os.close(self.to)
        os.close(self.source)
        self.profile.cleanup()

    def receive(self, until):
        """The next message; None when the browser ended or the time is over."""
        while b"\0" not in self.held:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.source], [], [], left)[0]:
                return None
            got = os.read(self.source, 1 << 20)
            if not got:
                return None
            self.held += got
        message, self.held = self.held.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """The result of a command; {} when there is none."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            os.write(self.to, json.dumps(message).encode() + b"\0")
        except OSError:
            return {}
        until = time.monotonic() + SECONDS
        while (m := self.receive(until)) is not None:
            if m.get("id") == self.last:
                return m.get("result", {})
            self.events.append(m)
        return {}

    def wait(self, event, session):
        is_it = lambda m: m.get("method") == event and m.get("sessionId") == session
        until = time.monotonic() + SECONDS
        while not any(map(is_it, self.events)):
            m = self.receive(until)
            if m is None:
                return False
            self.events.append(m)
        return True

    def dom(self, page, size=None, dark=False):
        target = self.call("Target.createTarget", url="about:blank").get("targetId")
        session = self.call("Target.attachToTarget", targetId=target, flatten=True).get("sessionId")
        if not session:
            return ""
        if size:
            self.call(
                "Emulation.setDeviceMetricsOverride",
                session,
                width=size[0],
                height=size[1],
                deviceScaleFactor=1,
                mobile=False,
            )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self.call("Page.enable", session)
        path = os.path.abspath(page).replace("%", "%25").replace("#", "%23").replace("?", "%3F")
        self.events.clear()
        self.call("Page.navigate", session, url="file://" + path)
        if not self.wait("Page.loadEventFired", session):
            return ""
        r = self.call(  # what the page has put off until after its load has run, too
            "Runtime.evaluate",
            session,
            expression="new Promise(f => setTimeout(() => f(document.documentElement.outerHTML), 0))",
            awaitPromise=True,
            returnByValue=True,
        )
        self.call("Target.closeTarget", targetId=target)
        return r.get("result", {}).get("value", "")
