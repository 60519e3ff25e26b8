"""Hits and time of each line of the user's file, by the interpreter's own tracing: for `nightjar profile`."""

import linecache
import sys
import time


class Lines:
    """The time of a line holds what it calls, as line_profiler has it."""

    def __init__(self, file, path):
        self.file, self.hits, self.ns = file, {}, {}
        self.functions = {}  # first line -> name, last line
        self.out = open(path, "w", encoding="utf-8")  # before the worker confines itself

    def trace(self, frame, event, arg):
        code = frame.f_code
        if event != "call" or code.co_filename != self.file or code.co_name.startswith("<"):
            return None  # lambdas and comprehensions belong to the line that calls them
        if code.co_firstlineno not in self.functions:
            lines = [line for _, _, line in code.co_lines() if line] if hasattr(code, "co_lines") else []
            self.functions[code.co_firstlineno] = code.co_name, max(lines, default=code.co_firstlineno)
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

    def source(self, line):
        return linecache.getline(self.file, line).rstrip()

    def start(self):
        sys.settrace(self.trace)

    def stop(self):
        sys.settrace(None)
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
        self.out.close()
