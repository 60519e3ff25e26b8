"""Hits and time of each line of the user's file, by the interpreter's own means: for `nightjar profile`."""

import collections
import linecache
import sys
import threading
import time
import types


class Lines:
    """The time of a line holds what it calls, as line_profiler has it."""

    how = "sys.settrace"

    def __init__(self, file, path):
        self.file, self.hits, self.ns = file, {}, {}
        self.functions = {}  # first line -> name, last line
        self.out = open(path, "w", encoding="utf-8")  # before the worker confines itself

    def is_ours(self, code):
        """Lambdas and comprehensions belong to the line that calls them."""
        return code.co_filename == self.file and not code.co_name.startswith("<")

    def note(self, code):
        if code.co_firstlineno not in self.functions:
            lines = [line for _, _, line in code.co_lines() if line] if hasattr(code, "co_lines") else []
            self.functions[code.co_firstlineno] = code.co_name, max(lines, default=code.co_firstlineno)

    def trace(self, frame, event, arg):
        if event != "call" or not self.is_ours(frame.f_code):
            return None
        self.note(frame.f_code)
        hits, ns, clock, line, since = self.hits, self.ns, time.perf_counter_ns, 0, 0

        def local(frame, event, arg):
            nonlocal line, since
            now = clock()
            if line:
                ns[line] = ns.get(line, 0) + now - since
            line = 0
            if event == "line":
                line = frame.f_lineno
                hits[line] = hits.get(line, 0) + 1
            elif event == "exception":
                line = frame.f_lineno
            since = clock()
            return local

        return local

    def start(self):
        sys.settrace(self.trace)

    def end(self):
        sys.settrace(None)

    def stop(self):
        self.end()
        self.write()
        self.out.close()

    def source(self, line):
        return linecache.getline(self.file, line).rstrip()

    def write(self):
        self.out.write("  by %s of Python %d.%d\n\n" % (self.how, *sys.version_info[:2]))
        for first, (name, last) in sorted(self.functions.items()):
            while first < last and not self.source(first).lstrip().startswith(("def ", "async")):
                first += 1  # decorators
            own = range(first, last + 1)
            total = max(1, sum(self.ns.get(i, 0) for i in own))
            self.out.write("%s(), line %d: %.3f ms\n" % (name, first, total / 1e6))
            self.out.write("%6s %10s %12s %10s %6s  %s\n" % ("line", "hits", "us", "us/hit", "%", "source"))
            for i in own:
                hits, ns = self.hits.get(i, 0), self.ns.get(i, 0)
                text = self.source(i)
                if hits:
                    row = (
                        i,
                        hits,
                        "%.1f" % (ns / 1e3),
                        "%.3f" % (ns / 1e3 / hits),
                        "%.1f" % (100 * ns / total),
                    )
                else:
                    row = (i, "", "", "", "")
                self.out.write(("%6s %10s %12s %10s %6s  %s" % (*row, text)).rstrip() + "\n")
            self.out.write("\n")


class Monitored(Lines):
    """The same of Python 3.12 and later. Only functions of the file are instrumented, so what they call runs
    as fast as ever, and an event costs a call of a function with two arguments."""

    how = "sys.monitoring"

    def start(self):
        m = sys.monitoring
        e, self.tool, self.thread = m.events, m.PROFILER_ID, threading.get_ident()
        self.local = e.LINE | e.PY_START | e.PY_RESUME | e.PY_RETURN | e.PY_YIELD
        self.known = set()
        m.use_tool_id(self.tool, "nightjar")
        line, self.push, leave = self.callbacks()
        for event, does in (
            (e.LINE, line),
            (e.PY_START, self.enter),
            (e.PY_RESUME, self.enter),
            (e.PY_THROW, self.thrown),
            (e.PY_RETURN, leave),
            (e.PY_YIELD, leave),
            (e.PY_UNWIND, leave),
        ):
            m.register_callback(self.tool, event, does)
        for module in list(sys.modules.values()):
            if getattr(module, "__file__", None) == self.file:
                self.look_at(vars(module).values())
        # the latter two are of no one function
        m.set_events(self.tool, e.PY_START | e.PY_THROW | e.PY_UNWIND)

    def look_at(self, values):
        """Functions that are there before the first call, methods and inner ones among them."""
        for value in values:
            if isinstance(value, type) and value.__module__ != "builtins":
                self.look_at(v for v in vars(value).values() if not isinstance(v, type))
            value = getattr(value, "__wrapped__", value)
            value = getattr(value, "__func__", getattr(value, "fget", value))
            code = getattr(value, "__code__", None)
            if isinstance(code, types.CodeType):
                self.add(code)

    def add(self, code):
        if code in self.known or code.co_filename != self.file:
            return
        if self.is_ours(code):
            self.known.add(code)
            sys.monitoring.set_local_events(self.tool, code, self.local)
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                self.add(inner)

    def enter(self, code, *_):
        if not self.is_ours(code):
            return sys.monitoring.DISABLE
        self.thrown(code)

    def thrown(self, code, *_):
        if not self.is_ours(code):
            return
        self.add(code)
        if threading.get_ident() == self.thread:
            self.note(code)
            self.push()

    def callbacks(self):
        """Hits and ns are put into one list per line, and all is a local variable: what is done here is most
        of what the measuring costs."""
        clock, ident, mine, known = time.perf_counter_ns, threading.get_ident, self.thread, self.known
        counts = self.counts = collections.defaultdict(lambda: [0, 0])
        stack, now_at, since = [], None, 0  # of the calls below: where they are, and since when

        def push():
            nonlocal now_at
            stack.append((now_at, since))
            now_at = None

        def line(code, number):
            nonlocal now_at, since
            now = clock()
            if ident() != mine or not stack:
                return
            if now_at:
                now_at[1] += now - since
            now_at = counts[number]
            now_at[0] += 1
            since = clock()

        def leave(code, *_):
            nonlocal now_at, since
            now = clock()
            if code not in known or ident() != mine or not stack:
                return
            if now_at:
                now_at[1] += now - since
            now_at, since = stack.pop()

        return line, push, leave

    def end(self):
        sys.monitoring.set_events(self.tool, 0)
        for code in self.known:
            sys.monitoring.set_local_events(self.tool, code, 0)
        sys.monitoring.free_tool_id(self.tool)
        for number, (hits, ns) in self.counts.items():
            self.hits[number], self.ns[number] = hits, ns


def lines(file, path):
    return (Monitored if hasattr(sys, "monitoring") else Lines)(file, path)
