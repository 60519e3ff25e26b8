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

from . import confine, declare, forms, near
from .columns import DTYPE, I32, I64, NULL, REASONS, STR, TYPES, U8, Images, Series

# The words of the memory's head, of a column, what is asked and answered; include/nightjar/python.h.
ID, REASON, REASONED, USED, TEXT, TEXT_BYTES, PID, STATUS, READY, ALONE = range(10)
ANSWER, NEED, FIRST, COUNT, ASK, SIZE, LAYOUT, N_ROWS, HEAD = range(10, 19)
DATA, OFFSETS, BYTES, COLUMN = range(4)
PROTOCOL = 2
CALL, OPENED, END = 1, 2, 3
DONE, RAISED, IMAGES = 1, 2, 3
ONE = struct.pack("=Q", 1)  # to an eventfd
PLACED = {**DTYPE, STR: np.dtype(np.int32)}  # of texts the memory has the lengths


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
        self.words = memoryview(self.map).cast("q")

    def room(self, n):
        at = align(self.words[USED])
        size = self.size
        while at + n > size:
            size *= 2
        if size > self.size:
            os.ftruncate(self.fd, size)
            self.grown(size)
            self.words[SIZE] = size
        self.words[USED] = at + n
        return at

    def array(self, kind, n, at):
        """kind: U8 and so on."""
        return np.ndarray((n,), PLACED[kind], self.map, at)


class Out:
    """Where a column that is given belongs."""

    __slots__ = ("name", "give", "column", "data", "whole", "dtype", "count", "shape", "place")

    def __init__(self, name, give, column):
        self.name, self.give, self.column, self.data, self.count = name, give, column, 0, -1

    def cut(self, count):
        """So many elements, in this call."""
        self.count, self.shape = count, (count,)
        self.place = slice(self.data, self.data + count * self.dtype.itemsize)


class Worker:
    """Most calls find their columns where those of the call before were: arrays over them are made once, and
    a call only cuts them to its rows and points. A call finds the processor's caches full of other things:
    what it costs is how much different code it runs, which is why call() does so little."""

    def __init__(self, module, fds):
        self.module, self.memory = module, Memory(fds[1])
        self.memory.words[PID] = self.pid = os.getpid()
        self.asks, self.answers = fds[2], fds[3]
        self.needs = [(k, name, need.shape, need.type) for k, (name, need) in enumerate(module.needs.items())]
        first = len(self.needs)
        self.out = [Out(name, give, first + k) for k, (name, give) in enumerate(module.gives.items())]
        self.names = {out.name: None for out in self.out}
        self.n_columns = first + len(self.out)
        # from the word ASK on: what, size, layout, rows, and the elements of each column
        self.read = struct.Struct("=%dq" % (4 + self.n_columns)).unpack_from
        self.layout, self.rows, self.mapped = -1, -1, None
        self.state = module.opened() if module.opened else None
        self.given = dict(module.settings)
        if module.wants_state:
            self.given["state"] = self.state

    # --- the columns of a call; t: the words from ASK on ---

    def words_of(self, column):
        """Of a column: the index of its first word."""
        return HEAD + self.n_columns + COLUMN * column

    def whole(self, kind, at):
        """An array from a place to the end of the memory."""
        return self.memory.array(kind, (self.memory.size - at) // PLACED[kind].itemsize, at)

    def lay(self, t):
        """Arrays for the places of this layout."""
        memory, words = self.memory, self.memory.words
        self.layout, self.rows, self.mapped = t[2], -1, memory.map
        self.scalars, self.ragged, self.texts, self.images, offsets = [], [], [], [], {}
        for k, name, shape, kind in self.needs:
            data, offset, data_bytes = words[self.words_of(k) : self.words_of(k) + COLUMN].tolist()
            if data and shape == declare.SERIES and offset not in offsets:
                offsets[offset] = self.whole(I64, offset)
            if shape == declare.IMAGE:
                self.images.append((name, k))
            elif not data:
                self.given[name] = None
            elif kind == STR:
                self.texts.append((name, 4 + k, data, data_bytes, offset))
            elif shape == declare.SERIES:
                self.ragged.append((name, 4 + k, self.whole(kind, data), offset))
            else:
                self.scalars.append((name, self.whole(kind, data)))
        self.offsets = list(offsets.items())
        self.ids = self.whole(I64, words[ID])
        self.reasons = self.whole(U8, words[REASON])
        for out in self.out:
            out.data, out.count = words[self.words_of(out.column)], -1
            out.whole = self.whole(out.give.type, out.data) if out.data else None
            out.dtype = PLACED[out.give.type]

    def cut(self, n):
        """For so many rows."""
        self.rows = n
        for name, whole in self.scalars:
            self.given[name] = whole[:n]
        self.offset_of = {place: whole[: n + 1] for place, whole in self.offsets}
        if self.module.wants_batch:
            self.given["batch"] = declare.Batch(n, self.ids[:n])

    def decoded(self, n, data, at):
        out = np.empty(n, object)
        lengths = self.memory.array(I32, n, data).tolist()
        for i, length in enumerate(lengths):
            if length >= 0:
                out[i] = self.memory.map[at : at + length].decode("utf-8", "replace")
                at += length
        return out

    def opened(self, need, first, count):
        words = self.memory.words
        words[NEED], words[FIRST], words[COUNT], words[ANSWER] = need, first, count, IMAGES
        os.write(self.answers, ONE)
        os.read(self.asks, 8)
        if words[ASK] != OPENED:
            os._exit(0)
        self.memory.grown(words[SIZE])
        out, table = [], words[FIRST]
        for at, rows, columns in self.memory.array(I64, 3 * count, table).reshape(-1, 3).tolist():
            pixels = np.ndarray((rows, columns), np.float32, self.memory.map, at) if at else None
            out.append(pixels)
        return out

    def columns(self, t):
        """What the function is called with."""
        if t[2] != self.layout or self.memory.map is not self.mapped:
            self.lay(t)
        if t[3] != self.rows:
            self.cut(t[3])
        given, offset_of = self.given, self.offset_of
        for name, count, whole, offset in self.ragged:
            given[name] = Series(whole[: t[count]], offset_of[offset])
        for name, count, data, at, offset in self.texts:
            values = self.decoded(t[count], data, at)
            given[name] = Series(values, offset_of[offset]) if offset else values
        for name, k in self.images:
            given[name] = Images(t[3], lambda i, m, k=k: self.opened(k, i, m))
        if self.module.form != "numpy":
            return forms.turned(given, self.module)
        return given

    # --- what the function returned ---

    def returned(self, out):
        names = list(self.names)
        table = forms.columns(out)
        if table is not None:
            out = table
        elif isinstance(out, tuple):
            if len(out) != len(names):
                raise Raised("it returned %d columns, and gives %s" % (len(out), ", ".join(names)))
            out = dict(zip(names, out))
        elif not isinstance(out, dict):
            if out is None:
                raise Raised("it returned None, and gives %s" % ", ".join(names))
            if len(names) != 1:
                what = type(out).__name__
                raise Raised("it returned a %s, and gives %s: return a dict" % (what, ", ".join(names)))
            return {names[0]: out}
        for name in out:
            if name not in self.names and name != "reason":
                raise Raised("it returned %s, which is not declared; it gives %s" % (name, ", ".join(names)))
        missing = [name for name in names if name not in out]
        if missing:
            raise Raised("it returned no %s; None stands for a column without answers" % missing[0])
        return out

    def put_texts(self, out, values):
        lengths, data, name = out.whole[: out.count], bytearray(), out.name
        if isinstance(values, (str, bytes)):  # as a number: the same for all rows
            values = [values] * len(lengths)
        values = forms.items(values)
        if len(values) != len(lengths):
            raise Raised("%s has %d values, not %d" % (name, len(values), len(lengths)))
        for i, text in enumerate(values):
            if text is None or text is np.ma.masked or (isinstance(text, float) and text != text):
                lengths[i] = -1
                continue
            if type(text).__name__ == "NAType":  # of pandas
                lengths[i] = -1
                continue
            if not isinstance(text, (str, bytes)):
                raise Raised("%s holds a %s, and is declared str" % (name, type(text).__name__))
            raw = text.encode() if isinstance(text, str) else bytes(text)
            if b"\0" in raw:
                raise Raised("%s holds a text with a NUL in it: %.40r" % (name, text))
            lengths[i] = len(raw)
            data += raw
        at = self.memory.room(len(data) + 1)
        self.memory.map[at : at + len(data)] = bytes(data)
        self.memory.words[self.words_of(out.column) + BYTES] = at

    def put(self, out, values, n):
        """Whatever is not an array of the column's type and length already."""
        name, give = out.name, out.give
        if not forms.in_order(values):
            raise Raised(
                "the index of %s is that of the batch in another order: sort_index() puts each answer to its "
                "alert, to_numpy() says that the order is meant" % name
            )
        if isinstance(values, Series):
            if give.like is not None:
                self.compare_lengths(out, values.lengths, n)
            values = values.values
        elif give.like is not None and not isinstance(values, np.ndarray) and hasattr(values, "__iter__"):
            parts = [np.asarray([] if v is None else v) for v in forms.items(values)]
            self.compare_lengths(out, [len(np.atleast_1d(v)) for v in parts], n)
            values = np.concatenate(parts) if parts else np.zeros(0)
        if give.type == STR:
            self.put_texts(out, values)
        else:
            self.put_numbers(name, give, values, out.whole[: out.count], out.count, n)

    def compare_lengths(self, out, lengths, n):
        """As many values for each row as the series has that it is like."""
        wanted = np.diff(self.offset_of[self.memory.words[self.words_of(out.column) + OFFSETS]])
        if len(lengths) != n:
            raise Raised("%s has values of %d rows, not of %d" % (out.name, len(lengths), n))
        for got, points in zip(lengths, wanted):
            if got != points:
                raise Raised("%s has %d values for a row of %d points" % (out.name, got, points))

    def put_numbers(self, name, give, values, out, count, n):
        values, mask = forms.numbers(values)
        values = np.asarray(values)
        if values.ndim == 0:
            values = np.broadcast_to(values, count)
            mask = None if mask is None else np.broadcast_to(mask, count)
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

    def put_reasons(self, reasons, n):
        if isinstance(reasons, (str, int)):
            reasons = np.full(n, reasons)
        reasons = np.asarray(forms.items(reasons))
        if len(reasons) != n:
            raise Raised("reason has %d values, not %d" % (len(reasons), n))
        if reasons.dtype.kind in "OU":
            unknown = sorted({str(r) for r in reasons} - set(REASONS))
            if unknown:
                raise Raised("reason %r is none of %s" % (unknown[0], ", ".join(REASONS)))
            reasons = np.array([REASONS[str(r)] for r in reasons], np.uint8)
        words = ", ".join(REASONS)
        if reasons.dtype.kind not in "iu":
            raise Raised("reason holds %s: %s are its words" % (reasons.dtype, words))
        if n and (reasons.min() < 0 or reasons.max() >= len(REASONS)):
            wrong = next(r for r in reasons.tolist() if not 0 <= r < len(REASONS))
            raise Raised("reason %d is none of 0 to %d: %s" % (wrong, len(REASONS) - 1, words))
        self.reasons[:n] = reasons
        self.memory.words[REASONED] = 1

    # --- calls ---

    def call(self, t):
        given, n = self.columns(t), t[3]
        answers = self.module.function(**given)
        if os.getpid() != self.pid:  # the caller ends it
            raise Raised("a process that it forked returned from it, too: os._exit() ends one")
        if type(answers) is not dict or answers.keys() != self.names.keys():
            answers = self.returned(answers)
        for out in self.out:
            values = answers.get(out.name)
            if values is None or not out.data:
                continue
            if out.count != t[4 + out.column]:
                out.cut(t[4 + out.column])
            if (
                type(values) is np.ndarray
                and values.dtype == out.dtype
                and values.shape == out.shape
                and values.flags.c_contiguous
            ):
                self.memory.map[out.place] = values
            else:
                self.put(out, values, n)
        if "reason" in answers:
            self.put_reasons(answers["reason"], n)

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
        memory, asks, answers, read, at = self.memory, self.asks, self.answers, self.read, 8 * ASK
        place, left = near.Near(memory.words, ALONE), near.LOOK
        memory.words[READY] = 1
        while True:
            os.read(asks, 8)
            t = read(memory.map, at)
            if t[0] != CALL:
                return
            if t[1] > memory.size:
                memory.grown(t[1])
            left -= 1
            if not left:
                place.look()
                left = near.LOOK
            try:
                self.call(t)
            except BaseException:  # what it raises, also by sys.exit(), is the user's; a worker goes on
                if os.getpid() != self.pid:
                    traceback.print_exc()
                    os._exit(1)
                self.report()
                memory.words[ANSWER] = RAISED
            os.write(answers, ONE)


# --- the interpreter that has imported the file ---


def known_as(name):
    """Of a file: a name that no other module has, as random.py would have."""
    return name if name.isidentifier() and name not in sys.modules else "module"


def load(path, settings):
    """The module that a file declares. SystemExit with what is wrong."""
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(known_as(name), path)
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


def work(module, fds, sandbox, profile):
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

            lines = by_line.lines(module.function.__code__.co_filename, profile)
        worker = Worker(module, fds)
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
        self.workers = {}  # by pid: the memory, and the eventfd that wakes it

    def reap(self, *_):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            memory, asks = self.workers.pop(pid, (None, None))
            if memory is not None:
                os.pwrite(memory, struct.pack("=q", 1 + status), 8 * STATUS)
                os.close(memory)
                os.close(asks)

    def fork(self, fds):
        """fds: a socket that ends with the worker, the memory, the eventfds for calls and for answers."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            self.control.close()
            for fd in [fd for pair in self.workers.values() for fd in pair]:
                os.close(fd)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            work(self.module, fds, self.sandbox, self.profile)
        os.close(fds[0])
        os.close(fds[3])
        self.workers[pid] = fds[1], fds[2]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])

    def end(self):
        """A host that was killed has told its workers nothing."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        for memory, asks in self.workers.values():
            os.pwrite(memory, struct.pack("=q", END), 8 * ASK)
            os.write(asks, ONE)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        until = time.monotonic() + 3
        while self.workers and time.monotonic() < until:
            time.sleep(0.005)

    def serve(self):
        signal.signal(signal.SIGCHLD, self.reap)
        gc.collect()
        gc.freeze()  # workers share these pages
        while True:
            data, fds = receive(self.control)
            if not data:
                break
            if len(fds) == 4:
                self.fork(fds)
        self.end()


def warm(form):
    """Imports what is otherwise imported in the first call, whose deadline it is not for, and by each worker
    again: pandas or Arrow, and what NumPy imports at first use."""
    forms.warm(form)
    masked = np.ma.array([1, 2], mask=[True, False])
    np.ma.getmaskarray(masked), np.asarray(np.ma.getdata(masked)), np.iinfo(np.int32)
    Series(np.zeros(2), np.array([0, 2])).mean()


def receive(control):
    fds = array.array("i")
    data, more, _, _ = control.recvmsg(16, socket.CMSG_LEN(4 * fds.itemsize))
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
        warm(module.form)
        control.send(("protocol\t%d\n" % PROTOCOL + module.describe()).encode())
        Parent(module, control, sandbox == "1", profile).serve()
    except BaseException as e:
        try:
            control.send(refusal(path, e).encode())
        except OSError:
            pass
        os._exit(1)
    os._exit(0)
