#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of ktap.py: what must not pass for a success. Prints KTAP."""

import subprocess
import sys
import tempfile
from pathlib import Path

import results

KTAP = Path(__file__).resolve().parent.parent / "ktap.py"
GOOD = "KTAP version 1\n1..2\nok 1 one\nok 2 two # SKIP no swap\n"
NESTED = "KTAP version 1\n1..1\n{inner}ok 1 outer\n"
CHECKS = "KTAP version 1\n1..1\nok 1 insmod\n"
CARGO = "running 2 tests\ntest a::b ... ok\ntest c ... {}\n\ntest result: ok. 1 passed\n\n"


def inner(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def program(out, code="0\n"):
    return {"test.lab:t.out": out, "test.lab:t.rc": code}


def suite(out):
    return {"kunit.s.out": out} | program(GOOD)


def host(out, code="0\n"):
    return {"host/h.out": out, "host/h.rc": code} | program(GOOD)


# Description, files, and the last line of counts. A fine run has 4 results around the program's:
# the guest, KUnit (skipped), and one check of the kernel's.
CASES = [
    ("a fine run", program(GOOD), "3 passed, 0 failed, 2 skipped"),
    ("a failing result", program(GOOD.replace("ok 1", "not ok 1"), "1\n"), "2 passed, 1 failed, 2 skipped"),
    ("a failing result with exit code 0", program(GOOD.replace("ok 1", "not ok 1")), "2 passed, 1 failed, 2 skipped"),
    ("exit code 1 without a failing result", program(GOOD, "1\n"), "3 passed, 1 failed, 2 skipped"),
    ("killed by a signal", program(GOOD, "139\n"), "3 passed, 1 failed, 2 skipped"),
    ("out of time", program(GOOD, "124\n"), "3 passed, 1 failed, 2 skipped"),
    ("no exit code", {"test.lab:t.out": GOOD}, "3 passed, 1 failed, 2 skipped"),
    ("an empty exit code", program(GOOD, ""), "3 passed, 1 failed, 2 skipped"),
    ("no output file", {"test.lab:t.rc": "0\n"}, "2 passed, 1 failed, 1 skipped"),
    ("empty output", program(""), "2 passed, 1 failed, 1 skipped"),
    ("output that is not KTAP", program("Segmentation fault\n"), "2 passed, 1 failed, 1 skipped"),
    ("cut off after one result", program(GOOD[:GOOD.index("ok 2")]), "3 passed, 1 failed, 1 skipped"),
    ("one result more than planned", program(GOOD + "ok 3 more\n"), "4 passed, 1 failed, 2 skipped"),
    ("no plan", program(GOOD.replace("1..2\n", "")), "3 passed, 1 failed, 2 skipped"),
    ("a gap in the numbers", program(GOOD.replace("ok 2", "ok 3")), "3 passed, 1 failed, 2 skipped"),
    ("a plan of nothing", program("KTAP version 1\n1..0\n"), "2 passed, 1 failed, 1 skipped"),
    ("all skipped", program("KTAP version 1\n1..0 # SKIP no module\n", "4\n"), "2 passed, 0 failed, 2 skipped"),
    ("a known bug", program(GOOD.replace("SKIP no swap", "XFAIL it is known")), "3 passed, 0 failed, 1 skipped, 1 failed as expected"),
    ("bail out", program(GOOD + "Bail out! no memory\n"), "3 passed, 1 failed, 2 skipped"),
    ("a second document", program(GOOD + GOOD), "4 passed, 4 failed, 3 skipped"),
    ("not ok is not excused by SKIP", program(GOOD.replace("ok 2", "not ok 2"), "1\n"), "3 passed, 1 failed, 1 skipped"),
    ("nested results", program(NESTED.format(inner=inner(GOOD))), "3 passed, 0 failed, 2 skipped"),
    ("a nested failure below an ok", program(NESTED.format(inner=inner(GOOD.replace("ok 1", "not ok 1")))), "2 passed, 1 failed, 2 skipped"),
    ("a failure above nested oks", program(NESTED.format(inner=inner(GOOD)).replace("ok 1 outer", "not ok 1 outer"), "1\n"), "3 passed, 1 failed, 2 skipped"),
    ("a nested document cut off", program(NESTED.format(inner=inner(GOOD[:GOOD.index("ok 2")]))), "3 passed, 1 failed, 1 skipped"),
    ("cut off inside a nested document", program("KTAP version 1\n1..1\n" + inner(GOOD)), "3 passed, 2 failed, 2 skipped"),
    ("a guest that died", program(GOOD) | {"died": "Kernel panic"}, "2 passed, 1 failed, 2 skipped"),
    ("a guest without a result", program(GOOD) | {"rc": None}, "2 passed, 1 failed, 2 skipped"),
    ("no checks of the kernel", program(GOOD) | {"kernel.out": None}, "2 passed, 1 failed, 2 skipped"),
    ("checks cut off", program(GOOD) | {"kernel.out": CHECKS.replace("1..1", "1..4")}, "3 passed, 1 failed, 2 skipped"),
    ("no program in the list", program(GOOD) | {"list": ""}, "2 passed, 1 failed, 1 skipped"),
    ("neither KUnit results nor a reason", program(GOOD) | {"kunit.skip": None}, "3 passed, 1 failed, 1 skipped"),
    ("KUnit results", suite(NESTED.format(inner=inner(GOOD))), "4 passed, 0 failed, 2 skipped"),
    ("a failing KUnit case", suite(NESTED.format(inner=inner(GOOD.replace("ok 1", "not ok 1")))), "3 passed, 1 failed, 2 skipped"),
    ("cargo test", host(CARGO.format("ok") * 2), "7 passed, 0 failed, 2 skipped"),
    ("cargo test with a failure", host(CARGO.format("FAILED"), "101\n"), "4 passed, 1 failed, 2 skipped"),
    ("cargo test cut off", host(CARGO.format("ok")[:40]), "4 passed, 1 failed, 2 skipped"),
    ("cargo that could not build", host("error: could not compile\n", "101\n"), "3 passed, 1 failed, 2 skipped"),
]


def last_line(files):
    """Runs ktap.py on the files; returns its last line and exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "host").mkdir()
        everything = {
            "rc": "0\n",
            "kernel.out": CHECKS,
            "list": "lab:t\n",
            "kunit.skip": "the kernel has no KUnit\n",
        } | files
        for path, text in everything.items():
            if text is not None:
                (folder / path).write_text(text)
        command = [sys.executable, KTAP, "--vm", folder, "--list", folder / "list"]
        if any((folder / "host").iterdir()):
            command += ["--host", folder / "host"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout.splitlines() or [done.stderr])[-1], done.returncode


def main():
    checks = []
    for name, files, wanted in CASES:
        line, code = last_line(files)
        good = line == wanted and (code == 0) == (" 0 failed" in wanted)
        checks.append((name, good, f"wanted {wanted}, got {line} and exit code {code}"))
    return results.report(checks)


if __name__ == "__main__":
    sys.exit(main())
