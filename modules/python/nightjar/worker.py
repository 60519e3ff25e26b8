"""The processes behind kind = python: one imports the user's file and forks a worker for each compute thread;
a worker answers the calls of one thread. PROTOCOL.md has the messages and the memory."""

import array
import importlib.util
import linecache
import mmap
import os
import signal
import socket
import struct
import sys
import time
import traceback

import numpy as np

from . import confine, declare
from .columns import DTYPE, NULL, REASONS, STR, TYPES, Images, Series

CALL, OPENED, DONE, RAISED, IMAGES = 1, 2, 3, 4, 5
N_ROWS, N_NEEDS, N_GIVES, ID, REASON, USED, TEXT, TEXT_BYTES, PID, STATUS = range(10)
HEAD, COLUMN = 16, 4
DATA, OFFSETS, N, BYTES = range(4)
NO_REASON = 255


def align(n):
    return (n + 63) // 64 * 64


class Raised(Exception):
    """A mistake in what a function returned."""


class Memory:
    """The memory that a worker shares with its thread; either side makes it longer."""

    def __init__(self, fd):
        self.fd, self.map, self.size = fd, None, 0
        self.grown(os.fstat(fd).st_size)

    def grown(self, size):
        if size <= self.size:
            return
        self.map = mmap.mmap(self.fd, size)  # arrays over the former one keep it
        self.size = size
        self.words = np.frombuffer(self.map, np.int64, size // 8)

    def room(self, n):
        at = align(int(self.words[USED]))
        size = self.size
        while at + n > size:
            size *= 2
        if size > self.size:
            os.ftruncate(self.fd, size)
            self.grown(size)
        self.words[USED] = at + n
        return at

    def array(self, dtype, n, at):
        return np.ndarray((n,), dtype, self.map, at)

    def column(self, k):
        at = HEAD + COLUMN * k
        return self.words[at : at + COLUMN].tolist()


class Worker:
    def __init__(self, module, peer, memory_fd):
        self.module, self.peer, self.memory = module, peer, Memory(memory_fd)
        self.needs = list(module.needs.items())
        self.gives = list(module.gives.items())
        self.state = module.opened() if module.opened else None

    # --- the columns of a call ---

    def texts(self, column, n):
        data, _, _, at = column
        out = np.empty(n, object)
        lengths = self.memory.array(np.int32, n, data).tolist()
        for i, length in enumerate(lengths):
            if length >= 0:
                out[i] = self.memory.map[at : at + length].decode("utf-8", "replace")
                at += length
        return out

    def images(self, need, first, count):
        self.peer.send(struct.pack("<qqqq", IMAGES, need, first, count))
        message = self.peer.recv(64)
        if not message:
            os._exit(0)
        _, size, table, _ = struct.unpack("<qqqq", message)
        self.memory.grown(size)
        out = []
        for at, rows, columns in self.memory.array(np.int64, 3 * count, table).reshape(-1, 3).tolist():
            pixels = self.memory.array(np.float32, rows * columns, at).reshape(rows, columns) if at else None
            out.append(pixels)
        return out

    def columns(self, n):
        given = {}
        for k, (name, need) in enumerate(self.needs):
            data, offsets, count, _ = column = self.memory.column(k)
            if need.shape == declare.IMAGE:
                given[name] = Images(n, lambda i, m, k=k: self.images(k, i, m))
                continue
            if not data:
                given[name] = None
                continue
            if need.type == STR:
                values = self.texts(column, count)
            else:
                values = self.memory.array(DTYPE[need.type], count, data)
            if need.shape == declare.SERIES:
                values = Series(values, self.memory.array(np.int64, n + 1, offsets))
            given[name] = values
        if self.module.form != "numpy":
            from . import forms

            given = forms.turned(given, self.module.form)
        return given

    # --- what the function returned ---

    def returned(self, out):
        names = [name for name, _ in self.gives]
        if hasattr(out, "columns") and hasattr(out, "iloc"):
            out = {name: out[name] for name in out.columns}
        elif isinstance(out, tuple):
            if len(out) != len(names):
                raise Raised("it returned %d columns, and gives %s" % (len(out), ", ".join(names)))
            out = dict(zip(names, out))
        elif not isinstance(out, dict):
            if len(names) != 1:
                raise Raised("it returned a %s, and gives %s: return a dict" % (type(out).__name__, names))
            out = {names[0]: out}
        for name in out:
            if name not in names and name != "reason":
                raise Raised("it returned %s, which is not declared; it gives %s" % (name, ", ".join(names)))
        return out

    def put_texts(self, name, values, place, count, column):
        lengths, data = self.memory.array(np.int32, count, place), bytearray()
        if len(values) != count:
            raise Raised("%s has %d values, not %d" % (name, len(values), count))
        answered = np.zeros(count, bool)
        for i, text in enumerate(values):
            if text is None or text is np.ma.masked or (isinstance(text, float) and text != text):
                lengths[i] = -1
                continue
            if not isinstance(text, (str, bytes)):
                raise Raised("%s holds a %s, and is declared str" % (name, type(text).__name__))
            raw = text.encode() if isinstance(text, str) else bytes(text)
            lengths[i] = len(raw)
            data += raw
            answered[i] = True
        at = self.memory.room(len(data) + 1)
        self.memory.map[at : at + len(data)] = bytes(data)
        self.memory.words[HEAD + COLUMN * column + BYTES] = at
        return answered

    def put(self, k, name, give, values, n):
        """Writes a column; returned: which rows have an answer."""
        column = len(self.needs) + k
        place, _, count, _ = self.memory.column(column)
        if values is None or not place:
            return np.zeros(n, bool)
        if isinstance(values, Series):
            values = values.values
        elif give.like is not None and not isinstance(values, np.ndarray) and hasattr(values, "__iter__"):
            parts = [np.asarray(v) for v in values]
            values = np.concatenate(parts) if parts else np.zeros(0)
        if give.type == STR:
            answered = self.put_texts(name, values, place, count, column)
        else:
            answered = self.put_numbers(name, give, values, place, count, n)
        if give.like is not None:
            offsets = self.memory.array(np.int64, n + 1, self.memory.column(column)[OFFSETS])
            return Series(answered, offsets).reduce(np.logical_or, False)
        return answered.reshape(n, -1).any(axis=1)

    def put_numbers(self, name, give, values, place, count, n):
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
        values = np.asarray(np.ma.getdata(values))
        dtype = DTYPE[give.type]
        if values.ndim == 0:
            values = np.broadcast_to(values, count)
        if values.dtype == object:  # None among numbers
            mask = np.array([v is None for v in values.ravel()])
            values = np.array([0 if v is None else v for v in values.ravel()])
        if values.size != count or (give.width > 1 and values.shape not in ((n, give.width), (count,))):
            raise Raised("%s has shape %s; %d values for %d rows are wanted" % (name, values.shape, count, n))
        if values.dtype.kind == "f" and dtype.kind != "f":
            raise Raised(
                "%s is declared %s and holds %s: return integers, with a numpy.ma mask where there is no "
                "answer" % (name, next(t for t, v in TYPES.items() if v == give.type), values.dtype)
            )
        out = self.memory.array(dtype, count, place)
        values = values.reshape(-1)
        if dtype.kind != "f" and values.size and values.dtype != dtype:
            if values.dtype.kind not in "biu":
                raise Raised("%s holds %s, and is declared %s" % (name, values.dtype, dtype))
            limits = np.iinfo(dtype)
            shown = values if mask is None else values[~mask.reshape(-1)]
            if (
                values.dtype.kind != "b"
                and shown.size
                and not (limits.min <= shown.min() and shown.max() <= limits.max)
            ):
                raise Raised("%s holds %s, beyond %s" % (name, shown[np.argmax(abs(shown))], dtype))
            if mask is not None:
                values = np.where(mask.reshape(-1), 0, values)
        np.copyto(out, values, casting="unsafe")
        if mask is not None:
            out[mask.reshape(-1)] = NULL[give.type]
        return ~np.isnan(out) if dtype.kind == "f" else out != NULL[give.type]

    def put_reasons(self, reasons, answered, n):
        out = self.memory.array(np.uint8, n, int(self.memory.words[REASON]))
        if reasons is None:
            out[:] = np.where(answered, REASONS["done"], REASONS["no_input"])
            return
        reasons = np.asarray(reasons)
        if reasons.ndim == 0:
            reasons = np.broadcast_to(reasons, n)
        if len(reasons) != n:
            raise Raised("reason has %d values, not %d" % (len(reasons), n))
        if reasons.dtype.kind in "OU":
            unknown = sorted({str(r) for r in reasons} - set(REASONS))
            if unknown:
                raise Raised("reason %r is none of %s" % (unknown[0], ", ".join(REASONS)))
            reasons = np.array([REASONS[str(r)] for r in reasons], np.uint8)
        out[:] = reasons

    # --- calls ---

    def call(self):
        words, m = self.memory.words, self.module
        n = int(words[N_ROWS])
        given = self.columns(n)
        if m.wants_batch:
            given["batch"] = declare.Batch(n, self.memory.array(np.int64, n, int(words[ID])))
        if m.wants_state:
            given["state"] = self.state
        out = self.returned(m.function(**given, **m.settings))
        answered = np.zeros(n, bool)
        for k, (name, give) in enumerate(self.gives):
            answered |= self.put(k, name, give, out.get(name), n)
        self.put_reasons(out.get("reason"), answered, n)

    def report(self):
        """The traceback, without the lines of this file."""
        kind, e, tb = sys.exc_info()
        if isinstance(e, Raised):
            text = "%s(): %s" % (self.module.name, e)
        else:
            frames = [f for f in traceback.extract_tb(tb) if f.filename != __file__]
            text = "".join(traceback.format_list(frames) + traceback.format_exception_only(kind, e)).rstrip()
        data = text.encode("utf-8", "replace")[:8000]
        at = self.memory.room(len(data))
        self.memory.map[at : at + len(data)] = data
        self.memory.words[TEXT], self.memory.words[TEXT_BYTES] = at, len(data)

    def serve(self):
        self.memory.words[PID] = os.getpid()
        while True:
            message = self.peer.recv(64)
            if not message:
                return
            before = time.process_time_ns()
            self.memory.grown(struct.unpack("<qqqq", message)[1])
            what = DONE
            try:
                self.call()
            except Exception:  # what it raises is the user's; a worker goes on
                what = RAISED
                self.report()
            spent = time.process_time_ns() - before
            self.peer.send(struct.pack("<qqqq", what, self.memory.size, spent, 0))


# --- the interpreter that has imported the file ---


def load(path, settings):
    """The module that a file declares. SystemExit with what is wrong."""
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name if name.isidentifier() else "module", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    found = declare.declared
    if not found:
        raise ValueError("no function has the decorator @nightjar.module")
    named = [m for m in found if m.name == name]
    if len(found) > 1 and not named:
        names = ", ".join(m.name for m in found)
        raise ValueError("it declares %s: one is to have the name of the file" % names)
    one = named[0] if named else found[0]
    one.set(settings)
    return one


def refusal(path, e):
    """One line for whoever wrote the file."""
    frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename == os.path.abspath(path)]
    at = " (line %d)" % frames[-1].lineno if frames else ""
    if isinstance(e, SyntaxError):
        at = " (line %s)" % e.lineno
        e = e.msg
    kind = "" if isinstance(e, (str, ValueError)) else type(e).__name__ + ": "
    return "error\t%s%s%s\n" % (kind, " ".join(str(e).split()), at)


def work(module, peer, memory, sandbox, profile):
    """In the child: never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        confine.dies_with_parent()
        import faulthandler

        faulthandler.enable()
        lines = None
        if profile:
            from . import lines as by_line

            lines = by_line.Lines(module.function.__code__.co_filename, profile)
        worker = Worker(module, peer, memory)
        if sandbox:
            confine.confine()
        if lines:
            lines.start()
        worker.serve()
        if lines:
            lines.stop()
        code = 0
    except BaseException:  # also SystemExit: a worker that ends is started again
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class Parent:
    """Forks workers, and notes in their memory how they end."""

    def __init__(self, module, control, sandbox, profile):
        self.module, self.control, self.sandbox, self.profile = module, control, sandbox, profile
        self.memory_of = {}

    def reap(self, *_):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            fd = self.memory_of.pop(pid, None)
            if fd is not None:
                os.pwrite(fd, struct.pack("<q", 1 + status), 8 * STATUS)
                os.close(fd)

    def serve(self):
        signal.signal(signal.SIGCHLD, self.reap)
        while True:
            data, fds = receive(self.control)
            if not data:
                break
            if len(fds) < 2:
                continue
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
            pid = os.fork()
            if pid == 0:
                self.control.close()
                for fd in self.memory_of.values():
                    os.close(fd)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
                peer = socket.socket(fileno=fds[0])
                work(self.module, peer, fds[1], self.sandbox, self.profile)
            os.close(fds[0])
            self.memory_of[pid] = fds[1]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        until = time.monotonic() + 3
        while self.memory_of and time.monotonic() < until:
            time.sleep(0.005)


def receive(control):
    fds = array.array("i")
    data, more, _, _ = control.recvmsg(16, socket.CMSG_LEN(2 * fds.itemsize))
    for level, kind, raw in more:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return data, list(fds)


def main():
    path, settings, sandbox, profile = sys.argv[1:5]
    sys.argv[1:] = []
    control = socket.socket(fileno=3)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a run that ends closes the socket
    try:
        module = load(os.path.abspath(path), settings)
        linecache.getlines(os.path.abspath(path))  # for tracebacks of what was imported, not of a later edit
        control.send(module.describe().encode())
        Parent(module, control, sandbox == "1", profile).serve()
    except BaseException as e:
        try:
            control.send(refusal(path, e).encode())
        except OSError:
            pass
        os._exit(1)
    os._exit(0)
