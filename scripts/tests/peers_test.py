#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of peers.py: what must not pass for the same, and what may differ. Prints KTAP."""

import subprocess
import sys
import tempfile
from pathlib import Path

import results

PEERS = Path(__file__).resolve().parent.parent / "peers.py"

TIMES = "# PIN_FAST_BENCHMARK: Time: get:{get} put:7 us{rest}# \n"
SHORT = ", truncated (size: 4096)"
OUTPUT = """Linux 7.2.0, up for 3 s
=== driver: {driver}
=== gup_test -a -j 2
TAP version 13
1..2
{first}{second}ok 1 ioctl status 0
ok 2 ioctl status 0
# Totals: pass:2 fail:0
=== exit code: 0
=== cow
TAP version 13
1..3
# [RUN] one
{one}
# no swap
ok 2 # SKIP two
# leak
ok 3 # XFAIL three
=== exit code: {code}
=== hmm-tests
1..0 # SKIP no CONFIG_TEST_HMM
=== exit code: 4
{end}"""
DUMP = "{prefix}---- page #0, starting from user virt addr: {addr}\npage: refcount:{refs} mapcount:1 {pfn}\n{prefix}anon flags: 0x80828({flags}|node=0)\n"
LOG = "before {refs}\ngup_test peers: gup_test -a -j 2\n{dump}gup_test peers: cow\n{cow}"
RAW = "pfn:0x77\nraw: 4002082c {}"
AGAIN = "=== exit code: 1\n=== cow\nok 1 one"
CHECKS = "KTAP version 1\n1..2\nok 1 insmod\n{pins}\n"
USUAL = {
    "first": TIMES.format(get=5, rest=""),
    "second": TIMES.format(get=8, rest=SHORT),
    "one": "ok 1 one",
    "code": 0,
    "end": "=== end\n",
    "prefix": "",
    "addr": "0x7f0000000000",
    "refs": 3,
    "flags": "uptodate|lru|swapbacked",
    "pfn": "pfn:0x77",
    "cow": "",
    "pins": "ok 2 no pin is left",
    "died": None,
}
# What the guest with guplab may say otherwise.
OTHERS = {"prefix": "guplab: ", "addr": "0x7f1111111111", "pfn": "pfn:0x12345"}
THREADS = {"first": USUAL["second"], "second": TIMES.format(get=1234, rest="")}

# Description, what is otherwise with guplab and with the in-tree driver, exit code, and a text of
# the output that says so.
CASES = [
    ("the same", {}, {}, 0, ""),
    ("times and addresses", OTHERS, {}, 0, "known, of 1 commands"),
    ("threads in another order", THREADS, {}, 0, ""),
    ("all of a range, not some", {"second": TIMES.format(get=8, rest="")}, {}, 1, "truncated"),
    ("a failing test", {"one": "not ok 1 one"}, {}, 1, "one: guplab: not ok"),
    ("a test that fails with both", {"one": "not ok 1 one"}, {"one": "not ok 1 one"}, 0, ""),
    ("a test that only the in-tree driver fails", {}, {"one": "not ok 1 one"}, 1, "one: in-tree: not ok"),
    ("a test that is skipped", {"one": "ok 1 # SKIP one"}, {}, 1, "one: guplab: ok, SKIP"),
    ("another reason", {"one": "# because\nok 1 one"}, {}, 1, "one: guplab: ok; because"),
    ("a test that is missing", {"one": ""}, {}, 1, "one: guplab: no such test"),
    ("one test more", {"one": "ok 1 one\nok 2 one"}, {}, 1, "one (2): in-tree: no such test"),
    ("another exit code", {"code": 139}, {}, 1, "exit code: guplab: 139"),
    ("other references", {"refs": 2}, {}, 1, "kernel log: guplab: page: refcount:2"),
    ("a page that is not on its list yet", {"refs": 4, "flags": "uptodate|swapbacked"}, {}, 0, ""),
    ("a page of hugetlb", {"refs": 4, "flags": "head"}, {"flags": "head"}, 1, "refcount:4"),
    ("a line more in the log", {"cow": "WARNING: at gup.c\n"}, {}, 1, "guplab: WARNING"),
    ("guplab's name in the in-tree driver's log", {}, {"prefix": "guplab: "}, 1, "in-tree: guplab:"),
    ("other words of 32 bits", {"pfn": RAW.format("c158e0e1")}, {"pfn": RAW.format("00003bbb")}, 0, ""),
    ("a hang with the in-tree driver", {}, {"one": AGAIN}, 0, "run again"),
    ("a pin that is left", {"pins": "not ok 2 no pin is left"}, {}, 1, "no pin is left: guplab"),
    ("a guest that died", {"died": "panic", "end": ""}, {}, 1, "guplab: not ok; panic"),
    ("both guests died", {"died": "panic", "end": ""}, {"died": "panic", "end": ""}, 1, "did not end"),
    ("guplab doesn't serve it", {"driver": "none"}, {}, 1, "the driver there is none"),
    ("guplab isn't asked", {"driver": "in-tree"}, {}, 1, "the driver there is in-tree"),
    ("there is no in-tree driver", {}, {"driver": "guplab"}, 4, "the driver there is guplab"),
]


def write(folder, values):
    """Makes what vm-run.sh would leave."""
    (folder / "results").mkdir(parents=True)
    (folder / "output.log").write_text(OUTPUT.format(**values))
    log = LOG.format(dump=DUMP.format(**values), **values)
    (folder / "results/dmesg.txt").write_text(log)
    (folder / "results/kernel.out").write_text(CHECKS.format(**values))
    if values["died"]:
        (folder / "results/died").write_text(values["died"])


def compare(guplab, in_tree, *options):
    """Runs peers.py; returns its output and exit code."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / driver for driver in ("in-tree", "guplab")]
        for folder, values in zip(folders, (in_tree, guplab)):
            write(folder, USUAL | {"driver": folder.name} | values)
        command = [sys.executable, PEERS, "compare", *options, *folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr, done.returncode


def check_ktap():
    """The results of a comparison with one difference."""
    output, code = compare({"one": "not ok 1 one"}, {}, "--format", "ktap")
    lines = [line for line in output.splitlines() if not line.startswith("#")]
    wanted = [
        "KTAP version 1",
        "1..4",
        "ok 1 gup_test -a -j 2",
        "not ok 2 cow",
        "ok 3 hmm-tests # SKIP no CONFIG_TEST_HMM",
        "ok 4 guest",
    ]
    return lines == wanted and code == 1, output


def check_commands():
    """Fewer with --quick, none of them twice, and programs that are built."""
    lists = []
    for options in ((), ("--quick",)):
        command = [sys.executable, PEERS, "commands", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lists.append(done.stdout.splitlines())
    everything, quick = lists
    built = (PEERS.parent / "peers-run.sh").read_text()
    good = set(quick) < set(everything) and len(set(everything)) == len(everything)
    return good and all(line.split()[0] in built for line in everything), "\n".join(everything)


def main():
    checks = [("KTAP", *check_ktap()), ("the command lines", *check_commands())]
    for name, guplab, in_tree, wanted, text in CASES:
        output, code = compare(guplab, in_tree)
        checks.append((name, code == wanted and text in output, f"exit code {code}\n{output}"))
    return results.report(checks)


if __name__ == "__main__":
    sys.exit(main())
