#!/usr/bin/env python3
"""The table of hostless in README.md: runs the profile and puts its output there, word for word, of four
functions.

Usage: perf/hostless_profile.py NIGHT [MORE OPTIONS]     (from the root; NIGHT: ../shared/real/ztf)"""

import os, re, subprocess, sys

SHOWN = ("do_row", "test_spectra", "do_rows", "process")


def main():
    command = ["./nightjar", "profile", "hostless", sys.argv[1], "--lines", "-z", "--overhead", *sys.argv[2:]]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head, *functions = output.split("\nTotal time:")
    last, tail = functions[-1].split("\nOther functions:")
    functions[-1] = last + "\n"
    shown = [next(f for f in functions if re.search(r"^Function: %s at" % name, f, re.M)) for name in SHOWN]
    tail = tail[tail.index("\nEnergy per") :]
    table = (
        head.rstrip()
        + "\n"
        + "".join("\nTotal time:" + f.rstrip() + "\n" for f in shown)
        + tail.rstrip()
        + "\n"
    )
    with open("perf/README.md", encoding="utf-8") as f:
        text = f.read()
    begin = text.index("```text\nModule hostless") + len("```text\n")
    with open("perf/README.md", "w", encoding="utf-8") as f:
        f.write(text[:begin] + table + text[text.index("```", begin) :])
    print(table[:1200])
    print("load average:", *os.getloadavg())


main()
