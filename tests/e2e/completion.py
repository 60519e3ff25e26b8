#!/usr/bin/env python3
"""The scripts of `nightjar completion` in a real bash and zsh, and the pages of `nightjar man` through the
checkers there are."""

import json, os, pty, re, select, shutil, subprocess, time
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, skip

PATIENCE_S = 120  # on a machine that does other things, too

BASH = """
PATH={folder}:$PATH
source <(nightjar completion bash)
complete_line() {{
  COMP_WORDS=("$@"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}
  _nightjar nightjar "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
  printf '%s\\n' "${{COMPREPLY[@]}}"
}}
complete_line {line}
"""


def in_bash(*words):
    line = " ".join(f"'{w}'" for w in ("nightjar", *words))
    r = subprocess.run(
        ["bash", "--norc", "-c", BASH.format(folder=os.path.dirname(os.path.abspath(NIGHTJAR)), line=line)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return r.stdout.split() if r.returncode == 0 and not r.stderr else [r.stderr]


def bash(tables):
    names = {c["name"] for c in tables}
    ok(
        subprocess.run(["bash", "-n"], input=nightjar("completion", "bash").stdout, text=True).returncode
        == 0,
        "bash reads the script",
    )
    got = in_bash("")
    ok(names <= set(got), "bash: all commands", got)
    ok(in_bash("simu") == ["simulate"], "bash: a command by its beginning", in_bash("simu"))
    for c in tables:
        if not c.get("commands"):
            want = {"--" + o["name"] for o in c["options"]} | {"--help"}
            got = set(in_bash(c["name"], "--"))
            ok(got == want, f"bash: the options of {c['name']}", f"{sorted(got ^ want)}")
    ok(
        set(in_bash("catalog", "")) == {"build", "info", "query", "check"},
        "bash: the commands of catalog",
        in_bash("catalog", ""),
    )
    ok(
        in_bash("catalog", "build", "--pm") == ["--pmra", "--pmdec", "--pm-unit"],
        "bash: the options of catalog build",
    )
    ok(
        in_bash("profile", "--clock", "") == ["wall", "cpu"],
        "bash: the words of --clock",
        in_bash("profile", "--clock", ""),
    )
    ok(in_bash("help", "lag") == ["lag"], "bash: help names a command", in_bash("help", "lag"))
    open("night.tar", "w").close()
    os.mkdir("data")
    ok(in_bash("run", "nig") == ["night.tar"], "bash: a source is a file", in_bash("run", "nig"))
    ok(
        in_bash("run", "--schemas", "") == ["data"],
        "bash: a folder where one is wanted",
        in_bash("run", "--schemas", ""),
    )
    ok(
        in_bash("run", "--limit", "") == [],
        "bash: nothing where a number is wanted",
        in_bash("run", "--limit", ""),
    )


def in_zsh(line, *words):
    """What zsh shows for LINE and two tabs, once all of these words are there, or after PATIENCE_S."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(
            TERM="dumb",
            PS1="> ",
            PATH=os.path.dirname(os.path.abspath(NIGHTJAR)) + ":" + os.environ["PATH"],
            COLUMNS="200",
            LINES="100",
        )
        os.execvp("zsh", ["zsh", "-f", "-i"])
    shown = b""

    def wait(there):
        nonlocal shown
        end = time.time() + PATIENCE_S
        while time.time() < end and not there(shown.decode(errors="replace")):
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    shown += os.read(fd, 65536)
                except OSError:
                    break

    os.write(
        fd,
        b"unsetopt zle_bracketed_paste list_beep; LISTMAX=10000; autoload -U compinit && compinit -u -D;"
        b" source <(nightjar completion zsh); print read''y\n",
    )
    wait(lambda text: re.search(r"ready\r?\n", text))
    shown = b""
    os.write(fd, line.encode() + b"\t\t")
    wait(lambda text: all(w in text for w in words))
    os.write(fd, b"\x15exit\n")
    wait(lambda text: False)  # it closes the terminal
    os.close(fd)
    os.waitpid(pid, 0)
    return shown.decode(errors="replace")


def zsh(tables):
    if not shutil.which("zsh"):
        return skip("zsh", "zsh is not here")
    r = subprocess.run(
        ["zsh", "-n"], input=nightjar("completion", "zsh").stdout, text=True, capture_output=True
    )
    ok(r.returncode == 0 and not r.stderr, "zsh reads the script", r.stderr)
    run = next(c for c in tables if c["name"] == "run")
    for line, words, what in (
        ("nightjar ", [c["name"] for c in tables], "all commands"),
        ("nightjar run --", ["--" + o["name"] for o in run["options"]], "the options of run"),
        ("nightjar simu", ["simulate"], "a command by its beginning"),
        ("nightjar profile --clock ", ["wall", "cpu"], "the words of --clock"),
        ("nightjar catalog build --p", ["pmra", "pmdec"], "the options of catalog build"),
    ):
        got = in_zsh(line, *words)
        ok(all(w in got for w in words), f"zsh: {what}", got)


def man(tables):
    """A page of each command: no warning of groff and mandoc, every option in it."""
    checkers = [
        c
        for c in (["groff", "-man", "-ww", "-Tutf8"], ["mandoc", "-T", "lint", "-W", "warning"])
        if shutil.which(c[0])
    ]
    for name in ["", *(c["name"] for c in tables)]:
        page = nightjar("man", *([name] if name else [])).stdout
        open("page.1", "w").write(page)
        for checker in checkers:
            r = subprocess.run([*checker, "page.1"], capture_output=True, text=True)
            said = r.stderr + (r.stdout if checker[0] == "mandoc" else "")
            said = "\n".join(
                l for l in said.splitlines() if "missing date" not in l
            )  # of sources without their history
            ok(not said, f"{checker[0]} has nothing to say of nightjar-{name}", said)
        plain = page.replace("\\-", "-")
        own = [c for c in tables if c["name"] == name]
        options = [
            o for c in own for o in c["options"] + [o for v in c.get("commands", []) for o in v["options"]]
        ]
        missing = [o["name"] for o in options if f"--{o['name']}\\fR" not in plain]
        ok(
            page.startswith(".TH NIGHTJAR") and not missing,
            f"the page of nightjar-{name} has every option",
            missing,
        )
    if not checkers:
        skip("the checkers of pages", "neither groff nor mandoc is here")
    r = nightjar("man", "runn")
    ok(r.returncode == 1 and "did you mean 'run'?" in r.stderr, "man of a wrong command", r.stderr)
    r = nightjar("completion", "zhs")
    ok(r.returncode == 1 and "did you mean 'zsh'?" in r.stderr, "completion of a wrong shell", r.stderr)


if __name__ == "__main__":
    with Folder():
        all_of_them = json.loads(nightjar("help", "--json").stdout)
        bash(all_of_them)
        zsh(all_of_them)
        man(all_of_them)
    done()
