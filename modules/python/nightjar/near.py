"""The host keeps a worker on the processor of the thread that it serves: one of them sleeps while the other
one works, so they share a processor at no loss, and neither waits until another processor has been woken. A
function with threads or processes of its own is left alone: they would have that one processor, too."""

import os
import sys
import threading

LOOK = 64  # calls between two looks for threads that were started without `threading`

STARTS = {"os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"}  # as Python's audit hooks hear


class Near:
    """Threads and processes take over the processors of who starts them. A function that starts some gets all
    processors back before they begin, and keeps them; with threads that a library has started in C, after
    LOOK calls at the latest."""

    def __init__(self, words, at):
        """words[at]: 1 while the host may choose the processor."""
        self.words, self.at, self.all = words, at, os.sched_getaffinity(0)
        words[at] = 0 if has_threads() else 1
        sys.addaudithook(self.heard)
        start = threading.Thread.start
        threading.Thread.start = lambda *given, **named: (self.leave(), start(*given, **named))[1]

    def heard(self, event, _):
        if event in STARTS:
            self.leave()

    def look(self):
        if has_threads():
            self.leave()

    def leave(self):
        if not self.words[self.at]:
            return
        self.words[self.at] = 0
        for thread in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(thread), self.all)
            except OSError:  # it has ended
                pass


def has_threads():
    try:
        return os.stat("/proc/self/task").st_nlink > 3  # a folder's own two and one for each thread
    except OSError:
        return True  # it cannot be told
