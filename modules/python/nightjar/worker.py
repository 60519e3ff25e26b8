"""The processes behind kind = python: one imports the user's file and forks a worker for each compute thread;
a worker answers the calls of one thread. PROTOCOL.md has the messages and the memory."""

import array
import gc
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
from .columns import DTYPE, I32, I64, NULL, REASONS, STR, TYPES, U8, Images, Series

CALL, OPENED, DONE, RAISED, IMAGES = 1, 2, 3, 4, 5
N_ROWS, N_NEEDS, N_GIVES, ID, REASON, USED, TEXT, TEXT_BYTES, PID, STATUS, REASONED = range(11)
HEAD, COLUMN = 16, 4
DATA, OFFSETS, N, BYTES = range(4)
PLACED = {**DTYPE, STR: np.dtype(np.int32)}  # of texts the memory has the lengths


def align(n):
    return (n + 63) // 64 * 64


class Raised(Exception):
    """A mistake in what a function returned."""


class Memory:
    """The memory that a worker shares with its thread; either side makes it longer. Arrays over it are kept:
    most calls have theirs at the same places."""

    KEPT = 512

    def __init__(self, fd):
        self.fd, self.map, self.size, self.kept = fd, None, 0, {}
        self.grown(os.fstat(fd).st_size)

    def grown(self, size):
        if size <= self.size:
            return
        self.map = mmap.mmap(self.fd, size)  # arrays over the former one keep it
        self.size, self.kept = size, {}
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

    def array(self, kind, n, at):
        """kind: U8 and so on."""
        key = (kind, n, at)
        found = self.kept.get(key)
        if found is None:
            if len(self.kept) >= self.KEPT:
                self.kept.clear()
            found = self.kept[key] = np.ndarray((n,), PLACED[kind], self.map, at)
        return found


class Worker:
    def __init__(self, module, peer, memory_fd):
        self.module, self.peer, self.memory = module, peer, Memory(memory_fd)
        self.needs = [(k, name, need.shape, need.type) for k, (name, need) in enumerate(module.needs.items())]
        first = len(self.needs)
        self.gives = [(first + k, name, give) for k, (name, give) in enumerate(module.gives.items())]
        self.names = {name: None for _, name, _ in self.gives}
        self.n_words = HEAD + COLUMN * (first + len(self.gives))
        self.state = module.opened() if module.opened else None

    # --- the columns of a call; t: the first words of the memory ---

    def texts(self, data, at, n):
        out = np.empty(n, object)
        lengths = self.memory.array(I32, n, data).tolist()
        for i, length in enumerate(lengths):
            if length >= 0:
                out[i] = self.memory.map[at : at + length].decode("utf-8", "replace")
                at += length
        return out

    def images(self, need, first, count):
        os.write(self.peer, struct.pack("<qqqq", IMAGES, need, first, count))
        message = os.read(self.peer, 64)
        if not message:
            os._exit(0)
        _, size, table, _ = struct.unpack("<qqqq", message)
        self.memory.grown(size)
        out = []
        for at, rows, columns in self.memory.array(I64, 3 * count, table).reshape(-1, 3).tolist():
            pixels = np.ndarray((rows, columns), np.float32, self.memory.map, at) if at else None
            out.append(pixels)
        return out

    def columns(self, t, n):
        given, array, at = {}, self.memory.array, HEAD
        for k, name, shape, kind in self.needs:
            data = t[at]
            if shape == declare.IMAGE:
                given[name] = Images(n, lambda i, m, k=k: self.images(k, i, m))
            elif not data:
                given[name] = None
            else:
                values = (
                    array(kind, t[at + N], data)
                    if kind != STR
                    else self.texts(data, t[at + BYTES], t[at + N])
                )
                if shape == declare.SERIES:
                    values = Series(values, array(I64, n + 1, t[at + OFFSETS]))
                given[name] = values
            at += COLUMN
        if self.module.form != "numpy":
            from . import forms

            given = forms.turned(given, self.module.form)
        return given

    # --- what the function returned ---

    def returned(self, out):
        names = list(self.names)
        if hasattr(out, "columns") and hasattr(out, "iloc"):
            out = {name: out[name] for name in out.columns}
        elif isinstance(out, tuple):
            if len(out) != len(names):
                raise Raised("it returned %d columns, and gives %s" % (len(out), ", ".join(names)))
            out = dict(zip(names, out))
        elif not isinstance(out, dict):
            if len(names) != 1:
                raise Raised("it returned a %s, and gives %s: return a dict" % (type(out).__name__, names))
            return {names[0]: out}
        for name in out:
            if name not in self.names and name != "reason":
                raise Raised("it returned %s, which is not declared; it gives %s" % (name, ", ".join(names)))
        return out

    def put_texts(self, name, values, place, count, column):
        lengths, data = self.memory.array(I32, count, place), bytearray()
        if len(values) != count:
            raise Raised("%s has %d values, not %d" % (name, len(values), count))
        for i, text in enumerate(values):
            if text is None or text is np.ma.masked or (isinstance(text, float) and text != text):
                lengths[i] = -1
                continue
            if not isinstance(text, (str, bytes)):
                raise Raised("%s holds a %s, and is declared str" % (name, type(text).__name__))
            raw = text.encode() if isinstance(text, str) else bytes(text)
            lengths[i] = len(raw)
            data += raw
        at = self.memory.room(len(data) + 1)
        self.memory.map[at : at + len(data)] = bytes(data)
        self.memory.words[HEAD + COLUMN * column + BYTES] = at

    def put(self, t, column, name, give, values, n):
        place, _, count, _ = t[HEAD + COLUMN * column : HEAD + COLUMN * column + COLUMN]
        if values is None or not place:
            return
        if isinstance(values, Series):
            values = values.values
        elif give.like is not None and not isinstance(values, np.ndarray) and hasattr(values, "__iter__"):
            parts = [np.asarray(v) for v in values]
            values = np.concatenate(parts) if parts else np.zeros(0)
        if give.type == STR:
            self.put_texts(name, values, place, count, column)
            return
        out = self.memory.array(give.type, count, place)
        if type(values) is np.ndarray and values.dtype == out.dtype and values.shape == out.shape:
            out[:] = values
        else:
            self.put_numbers(name, give, values, out, count, n)

    def put_numbers(self, name, give, values, out, count, n):
        """Whatever is not an array of the column's type and length already."""
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
        values = np.asarray(np.ma.getdata(values))
        if values.ndim == 0:
            values = np.broadcast_to(values, count)
        if values.dtype == object:  # None among numbers
            mask = np.array([v is None for v in values.ravel()])
            values = np.array([0 if v is None else v for v in values.ravel()])
        if values.size != count or (give.width > 1 and values.shape not in ((n, give.width), (count,))):
            raise Raised("%s has shape %s; %d values for %d rows are wanted" % (name, values.shape, count, n))
        if values.dtype.kind not in "biuf":
            raise Raised("%s holds %s, and is declared %s" % (name, values.dtype, out.dtype))
        if values.dtype.kind == "f" and out.dtype.kind != "f":
            raise Raised(
                "%s is declared %s and holds %s: return integers, with a numpy.ma mask where there is no "
                "answer" % (name, next(t for t, v in TYPES.items() if v == give.type), values.dtype)
            )
        values = values.reshape(-1)
        mask = None if mask is None else mask.reshape(-1)
        if mask is not None:
            values = np.where(mask, values.dtype.type(0), values)
        if out.dtype.kind != "f" and values.dtype.kind != "b" and values.size:
            limits = np.iinfo(out.dtype)
            if values.min() < limits.min or values.max() > limits.max:
                raise Raised("%s holds %s, beyond %s" % (name, values[np.argmax(abs(values))], out.dtype))
        np.copyto(out, values, casting="unsafe")
        if mask is not None:
            out[mask] = NULL[give.type]

    def put_reasons(self, t, reasons, n):
        out = self.memory.array(U8, n, t[REASON])
        if isinstance(reasons, (str, int)):
            reasons = np.full(n, reasons)
        reasons = np.asarray(reasons)
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
        m, memory = self.module, self.memory
        t = memory.words[: self.n_words].tolist()
        n = t[N_ROWS]
        given = self.columns(t, n)
        if m.wants_batch:
            given["batch"] = declare.Batch(n, memory.array(I64, n, t[ID]))
        if m.wants_state:
            given["state"] = self.state
        out = self.returned(m.function(**given, **m.settings))
        for column, name, give in self.gives:
            self.put(t, column, name, give, out.get(name), n)
        if "reason" in out:
            self.put_reasons(t, out["reason"], n)
            memory.words[REASONED] = 1

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
        message = struct.Struct("<qqqq")
        while True:
            asked = os.read(self.peer, 64)
            if not asked:
                return
            self.memory.grown(message.unpack(asked)[1])
            what = DONE
            try:
                self.call()
            except Exception:  # what it raises is the user's; a worker goes on
                what = RAISED
                self.report()
            try:
                os.write(self.peer, message.pack(what, self.memory.size, 0, 0))
            except OSError:
                return  # nobody waits for it any more


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
        gc.collect()
        gc.freeze()  # workers share these pages
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
                work(self.module, fds[0], fds[1], self.sandbox, self.profile)
            os.close(fds[0])
            self.memory_of[pid] = fds[1]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        until = time.monotonic() + 3
        while self.memory_of and time.monotonic() < until:
            time.sleep(0.005)


def warm():
    """Imports what NumPy only imports at first use, before workers are forked."""
    masked = np.ma.array([1, 2], mask=[True, False])
    np.ma.getmaskarray(masked), np.asarray(np.ma.getdata(masked)), np.iinfo(np.int32)
    Series(np.zeros(2), np.array([0, 2])).mean()


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
        warm()
        control.send(module.describe().encode())
        Parent(module, control, sandbox == "1", profile).serve()
    except BaseException as e:
        try:
            control.send(refusal(path, e).encode())
        except OSError:
            pass
        os._exit(1)
    os._exit(0)
