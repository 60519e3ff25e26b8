"""What a worker may not do, by the kernel: write files, start programs, open sockets. As
broker/graph/sandbox.c for modules in C, but the function gets a PermissionError, so that its traceback names
the line."""

import ctypes
import os
import platform
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 38, 22
SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, EPERM = 2, 0x7FFF0000, 0x00050000, 1
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446

# execve, execveat, socket, connect, bind, listen, ptrace, process_vm_writev
_REFUSED = {
    "x86_64": (0xC000003E, (59, 322, 41, 42, 49, 50, 101, 311)),
    "aarch64": (0xC00000B7, (221, 281, 198, 203, 200, 201, 117, 271)),
}


def dies_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _files():
    """Execute, write, remove, make, refer, truncate: what of them this kernel knows. /dev/null stays."""
    version = _libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return
    rights = 0x1FF3 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    attributes = ctypes.create_string_buffer(struct.pack("<Q", rights))
    rules = _libc.syscall(LANDLOCK_CREATE_RULESET, attributes, 8, 0)
    if rules < 0:
        return
    null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    beneath = ctypes.create_string_buffer(struct.pack("<Qi", rights & (2 | 1 << 14), null))
    _libc.syscall(LANDLOCK_ADD_RULE, rules, 1, beneath, 0)
    os.close(null)
    _libc.syscall(LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _calls():
    known = _REFUSED.get(platform.machine())
    if not known:
        return
    machine, numbers = known
    op = lambda code, yes, no, k: struct.pack("<HBBI", code, yes, no, k)
    load, jump, end = 0x20, 0x15, 0x06
    program = op(load, 0, 0, 4) + op(jump, 1, 0, machine) + op(end, 0, 0, SECCOMP_RET_ERRNO | EPERM)
    program += op(load, 0, 0, 0)
    for number in numbers:
        program += op(jump, 0, 1, number) + op(end, 0, 0, SECCOMP_RET_ERRNO | EPERM)
    program += op(end, 0, 0, SECCOMP_RET_ALLOW)
    code = ctypes.create_string_buffer(program)
    filter = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(code)))
    _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0)


def confine():
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _files()
    _calls()
