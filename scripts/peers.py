#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the in-tree users of gup_test's interface say with guplab, and with the in-tree driver.

    peers.py commands [--quick]               the command lines that peers-guest.sh is to run
    peers.py compare [--format ktap] DIR DIR  what vm-run.sh left of the in-tree driver and of guplab

Compared are the results test by test with what was said about each, the exit codes, and what came
to the kernel log meanwhile; times, addresses and what else is another in each run left out. The
exit code is 0 if all is the same, 1 if not, and 4 if there is nothing to compare.
"""

import argparse
import collections
import itertools
import re
import sys
from pathlib import Path

# The pages of a mapping are the more interesting, the fewer run_vmtests.sh has: 128 MB take long in
# an emulator. gup_test makes whole huge pages of them.
SIZE = "-m 8"

RESULT = re.compile(r"^(ok|not ok) (\d+)(?: (?:- )?(.*))?$")
DIRECTIVE = re.compile(r"# (SKIP|XFAIL|XPASS|TODO)\b\s*")
SKIPPED = re.compile(r"^1\.\.0 # SKIP (.*)$")
NOT_SAID = re.compile(r"^(K?TAP version \d+|1\.\.\d+|# Totals: .*|# \[RUN\] .*|#? *)$")
LOG_MARK = "gup_test peers: "

HEADINGS = ("program", "commands", "tests", "ok", "xfail", "skip", "not ok", "differing")

# Flags that tell of a page's past. When it comes to an LRU list is a matter of batches, and a page of
# hugetlb has some from who had it before: which page it is depends on the CPU.
PAST = "lru|active|referenced|workingset|dirty"

# What is another each time in what a program says, and in the kernel log. What dump_page() prints of
# a page keeps its counts.
VARYING = [
    (re.compile(r"get:\d+ put:\d+ us"), "get:# put:# us"),
    (re.compile(r"\bpfn:0x[0-9a-f]+"), "pfn:#"),
    (re.compile(r"\b0x[0-9a-f]{5,}\b"), "#"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "#"),
    # The words of a struct page: addresses, and what nobody uses at the moment.
    (re.compile(r"\b(raw|head):( [0-9a-f]{8})+$"), r"\1: #"),
    (re.compile(r"^\[ *\d+\.\d+\] "), ""),
    (re.compile(rf"(?<=[(|])({PAST})\|"), ""),
    (re.compile(rf"\|({PAST})(?=\))"), ""),
    (re.compile(r"\|node=\d+\|zone=\d+\|lastcpupid=\S+?(?=\))"), ""),
]

# A page that is on its way to an LRU list waits in its CPU's batch, which has a reference to it.
REFERENCES = re.compile(r"\bpage: refcount:(\d+) ")
WAITS = re.compile(r"\bflags: (?=.*\bswapbacked\b)(?!.*\blru\b)")

# What guplab says otherwise, in the kernel log, and why that is all right.
KNOWN = [
    (re.compile(r"^guplab: "), "the kernel puts a module's name before what the module prints"),
]


def matrix(sizes, counts):
    """The command lines of run_gup_matrix() in run_vmtests.sh, of so many pages a call."""
    for size, way, write, share, count in itertools.product(
        sizes, ("-u", "-U", "-a", "-b", "-L"), ("-w", "-W"), ("-S", ""), counts
    ):
        yield " ".join(f"gup_test {size} {SIZE} {way} {write} {share} -n {count}".split())


def commands(quick):
    """The command lines, each a program of tools/testing/selftests/mm with its arguments."""
    # Those that run_vmtests.sh has.
    yield from ("gup_test -u -n 1", "gup_test -u -n -1", "gup_test -a -n 1", "gup_test -a -n -1")
    yield "gup_test -ct -F 0x1 0 19 0x1000"
    yield from matrix(("-t", "-T", "-H"), ("123",) if quick else ("1", "512", "123", "-1"))
    # Threads, repetitions, a flag (FOLL_LONGTERM), nothing to do.
    yield f"gup_test -a {SIZE} -n 64 -j 4 -r 3"
    yield f"gup_test -L {SIZE} -n 64 -j 4"
    yield f"gup_test -a {SIZE} -n 16 -F 0x100"
    # Not of fast GUP, which brings pages all the same, and the in-tree driver has no room for them.
    yield "gup_test -U -m 1 -n 0"
    # Pages to dump: of each size, got and pinned, and of an index that is out of range.
    yield f"gup_test -c {SIZE} 0 1 1000"
    yield f"gup_test -cp -W {SIZE} 0 1000"
    yield f"gup_test -cp -t {SIZE} 0 511 600"
    yield f"gup_test -cp -H {SIZE} 0 511 600"
    yield "gup_test -c -m 1 0 255 256"
    # Files: what lies on a disk isn't pinned for long and for writing.
    for file, way in itertools.product(("tmpfs", "ext4"), ("-u", "-U", "-a", "-b", "-L")):
        yield f"gup_test {way} -S -m 1 -n 16 -f {file}-file"
    yield "gup_test -a -F 0x100 -S -m 1 -n 16 -f ext4-file"
    yield "gup_test -L -W -S -m 1 -n 16 -f ext4-file"
    yield "gup_test -L -m 1 -n 16 -f ext4-file"
    yield from ("gup_longterm", "cow", "uffd-unit-tests -f wp-fork-pin", "hmm-tests -t hmm_gup_test")


def plain(line):
    """The line without what is another each time."""
    for pattern, text in VARYING:
        line = pattern.sub(text, line)
    return line.strip()


def without_batches(lines):
    """The lines of a kernel log without the references that batches of pages have."""
    counted = None
    for number, line in enumerate(lines):
        if REFERENCES.search(line):
            counted = number
        elif counted is not None and WAITS.search(line):
            lines[counted] = REFERENCES.sub(
                lambda match: f"page: refcount:{int(match[1]) - 1} ", lines[counted]
            )
            counted = None
    return lines


class Run:
    """What one command line left."""

    def __init__(self, command):
        self.command = command
        self.tests = []
        self.code = None
        self.is_second = False
        self.log = []
        self.said = []

    def add(self, line):
        """Takes a line of the output."""
        if match := RESULT.match(line):
            verdict, _, rest = match.groups()
            name, reason = rest or "", ""
            if directive := DIRECTIVE.search(name):
                verdict = f"{verdict}, {directive[1]}"
                # kselftest.h has the name of the test after the directive, its harness a reason.
                name, reason = name[: directive.start()].strip(), name[directive.end() :]
                name, reason = (name, reason) if name else (reason, "")
            said = [reason] if reason else []
            # Which of its threads says something first is another each time.
            if not self.command.startswith("gup_test "):
                said, self.said = self.said + said, []
            self.tests.append((name, verdict, said))
        elif match := SKIPPED.match(line):
            self.tests.append(("all", "ok, SKIP", [match[1]]))
        elif not NOT_SAID.match(line):
            # gup_test begins a message where another has not ended its line.
            pieces = (plain(piece) for piece in line.rstrip("# ").split("# "))
            self.said += [piece for piece in pieces if piece]

    def end(self, code):
        """Takes the exit code: with it the output ends."""
        self.code = code
        if self.said:
            self.tests.append(("what it said", "", sorted(self.said)))

    def results(self):
        """The tests that have a result."""
        return [test for test in self.tests if test[1]]

    def why_skipped(self):
        """Why no test of it has run, if so."""
        if not self.results():
            return "it has no result"
        if not all(verdict == "ok, SKIP" for _, verdict, _ in self.results()):
            return None
        return "; ".join(dict.fromkeys(itertools.chain(*(said for _, _, said in self.tests))))


def text(path):
    return path.read_text(errors="replace") if path.exists() else ""


def guest(folder, ended):
    """What guest-start.sh says of the guest itself, as a Run: pins that are left, for example."""
    run = Run("guest")
    for line in text(folder / "results/kernel.out").splitlines():
        run.add(line)
    died = text(folder / "results/died").strip()
    run.tests.append(("it stays alive", "not ok" if died else "ok", [died] if died else []))
    if ended:
        run.end(0)
    return run


def read(folder):
    """The driver that a guest had, and what it ran: a Run for each command line."""
    driver, runs, run, ended = None, {}, None, False
    for line in text(folder / "output.log").splitlines():
        line = line.rstrip()
        if not line.startswith("=== "):
            if run:
                run.add(line)
            continue
        word, _, rest = line[4:].partition(": ")
        if word == "driver":
            driver = rest
        elif word == "exit code":
            run.end(int(rest))
            run = None
        elif word == "end":
            ended = True
        else:
            is_second, run = word in runs, Run(word)
            run.is_second, runs[word] = is_second, run
    run = None
    for line in without_batches(text(folder / "results/dmesg.txt").splitlines()):
        if LOG_MARK in line:
            run = runs.get(line.split(LOG_MARK, 1)[1])
        elif run:
            run.log.append(plain(line))
    runs["guest"] = guest(folder, ended)
    return driver, runs


def tell(test):
    """A test's result on one line."""
    if not test:
        return "no such test"
    _, verdict, said = test
    return "; ".join([*([verdict] if verdict else []), *said])


def numbered(tests):
    """The tests by name; of tests that share one, the second is "name (2)"."""
    by_name = {}
    for test in tests:
        names = itertools.chain([test[0]], (f"{test[0]} ({n})" for n in itertools.count(2)))
        by_name[next(name for name in names if name not in by_name)] = test
    return by_name


def unprefixed(lines):
    """The lines of guplab's kernel log as the in-tree driver would have them, and the reasons."""
    reasons = []
    for pattern, reason in KNOWN:
        changed = [pattern.sub("", line) for line in lines]
        reasons += [reason] if changed != lines else []
        lines = changed
    return lines, reasons


def log_differences(one, other):
    """Yields the first line of the kernel log that differs, with its number."""
    lines, _ = unprefixed(other.log)
    for number, (a, b) in enumerate(itertools.zip_longest(one.log, lines), 1):
        if a != b:
            yield f"line {number} of the kernel log", a or "no such line", b or "no such line"
            return


def differences(one, other):
    """Yields (what, in-tree, guplab) of two Runs of one command line."""
    if one is None or other is None:
        yield "it", "ran" if one else "never ran", "ran" if other else "never ran"
        return
    tests, others = numbered(one.tests), numbered(other.tests)
    for name in {**tests, **others}:
        a, b = tests.get(name), others.get(name)
        if a != b:
            yield name, tell(a), tell(b)
    if one.code != other.code or one.code is None:
        codes = ("it did not end" if run.code is None else str(run.code) for run in (one, other))
        yield "exit code", *codes
    yield from log_differences(one, other)


def result(runs):
    """(state, tests, notes) of one command line: same, differs, or skipped and why."""
    one, other = runs
    found = list(differences(one, other))
    if found:
        notes = [f"{what}: in-tree: {a}\n{what}: guplab: {b}" for what, a, b in found]
        return "differs", one.results() if one else [], notes
    if why := one.why_skipped():
        return "skipped", one.results(), [why]
    hung = "in-tree: it was run again: the first time it did not end"
    return "same", one.results(), [hung] if one.is_second else []


def print_ktap(results, known):
    """One result for each command line."""
    print(f"KTAP version 1\n1..{len(results)}")
    for reason, count in known.items():
        print(f"# known, of {count} commands in the kernel log: {reason}")
    for number, (command, (state, tests, notes)) in enumerate(results.items(), 1):
        if state == "skipped":
            print(f"ok {number} {command} # SKIP {notes[0]}")
            continue
        for line in "\n".join(notes).splitlines():
            print(f"# {line}")
        print(f"# tests: {len(tests)}")
        print(f"{'ok' if state == 'same' else 'not ok'} {number} {command}")


def print_table(results, known):
    """A line for each program, and below what differs, and what isn't counted as a difference."""
    rows = {}
    for command, (state, tests, _) in results.items():
        row = rows.setdefault(command.split()[0], dict.fromkeys(HEADINGS[1:], 0))
        row["commands"] += 1
        row["tests"] += len(tests)
        row["differing"] += state == "differs"
        for _, verdict, _ in tests:
            row["ok"] += verdict == "ok"
            row["xfail"] += "XFAIL" in verdict
            row["skip"] += verdict == "ok, SKIP"
            row["not ok"] += verdict == "not ok"
    print(f"{HEADINGS[0]:<16}" + "".join(f"{heading:>10}" for heading in HEADINGS[1:]))
    for program, row in rows.items():
        print(f"{program:<16}" + "".join(f"{row[heading]:>10}" for heading in HEADINGS[1:]))
    for command, (state, _, notes) in results.items():
        if notes:
            print(f"\n{command}: {state}")
            print("\n".join(f"  {line}" for note in notes for line in note.splitlines()))
    for reason, count in known.items():
        print(f"\nknown, of {count} commands in the kernel log: {reason}")


def compare(folders, style):
    """Prints how the two runs compare. Returns the exit code."""
    sides = {}
    for name, folder in zip(("in-tree", "guplab"), folders):
        driver, sides[name] = read(folder)
        if driver != name:
            print(f"peers.py: {folder}: the driver there is {driver}, not {name}", file=sys.stderr)
            for test in sides[name]["guest"].tests:
                print(f"  {test[0]}: {tell(test)}", file=sys.stderr)
            # Without the in-tree one there is nothing to compare with.
            return 4 if name == "in-tree" else 1
    results = {
        command: result([runs.get(command) for runs in sides.values()])
        for command in dict.fromkeys(itertools.chain(*sides.values()))
    }
    known = collections.Counter(
        itertools.chain(*(unprefixed(run.log)[1] for run in sides["guplab"].values()))
    )
    (print_ktap if style == "ktap" else print_table)(results, known)
    states = [state for state, _, _ in results.values()]
    if "differs" in states:
        return 1
    return 0 if "same" in states else 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("commands")
    task.add_argument("--quick", action="store_true")
    task = tasks.add_parser("compare")
    task.add_argument("--format", choices=("table", "ktap"), default="table")
    task.add_argument("folders", nargs=2, type=Path, metavar="DIR")
    options = parser.parse_args()
    if options.task == "commands":
        print(*commands(options.quick), sep="\n")
        return 0
    return compare(options.folders, options.format)


if __name__ == "__main__":
    sys.exit(main())
