#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes one KTAP document of what the parts of "make test" left, and judges it.

    ktap.py --host DIR --vm DIR --list FILE

DIR of --host holds NAME.out and NAME.rc of each program run on this machine: KTAP, or the output
of "cargo test". DIR of --vm holds what guest-start.sh wrote; FILE is the kselftest-list.txt that
says what it ought to hold. The document goes to standard output and ends in a line of counts. The
exit code is 0 if nothing failed and everything that was planned has reported.

The document is written anew from what was understood, so it is valid KTAP whatever came in: what
is missing or contradicts itself appears in it as a failure of its own.
"""

import argparse
import re
import sys
from pathlib import Path

VERSION = re.compile(r"^( *)(?:KTAP|TAP) version \d+$")
PLAN = re.compile(r"^( *)1\.\.(\d+)(?:\s+#\s*SKIP\b\s*(.*))?$")
RESULT = re.compile(
    r"^( *)(ok|not ok)\s+(\d+)(?:\s+(?:- )?([^#]*?))?(?:\s*#\s*([A-Z]+)\b\s*(.*))?$"
)
# What KUnit says in any case.
NOT_NOTES = re.compile(r"^ *# (?:Subtest: |\S+\.speed: normal$|module: )")
CARGO_START = re.compile(r"^running (\d+) tests?$")
CARGO_TEST = re.compile(r"^test (.+?) \.\.\. (ok|FAILED|ignored)\b(?:, )?(.*)$")
CARGO_END = re.compile(r"^test result: ")


class Test:
    """A result, with the subtests and the diagnostics that belong to it."""

    def __init__(self, name, status, reason="", children=(), notes=()):
        self.name = re.sub(r"\s*#\s*", " ", name).strip() or "unnamed"
        self.reason = reason
        self.children = list(children)
        self.notes = list(notes)
        self.status = status
        failing = any(child.status == "fail" for child in self.children)
        if status == "fail" and self.children and not failing:
            self.children.append(failure("the test as a whole", "it reports a failure"))
        if failing:
            self.status = "fail"

    def leaves(self, path=""):
        """Yields every test without subtests, with its full name."""
        path = f"{path}/{self.name}" if path else self.name
        if not self.children:
            yield path, self
        for child in self.children:
            yield from child.leaves(path)


def failure(name, reason):
    return Test(name, "fail", notes=[reason])


class Level:
    """The tests of one KTAP document, which can be nested in another."""

    def __init__(self, indent):
        self.indent = indent
        self.plan = None
        self.skip = None
        self.tests = []
        self.notes = []
        self.results = 0
        self.last = 0

    def add(self, match, children):
        _, verdict, number, name, directive, text = match.groups()
        if int(number) != self.last + 1:
            self.tests.append(failure("numbering", f"result {number} follows {self.last}"))
        self.last = int(number)
        self.results += 1
        status = "pass" if verdict == "ok" else "fail"
        if directive == "SKIP" and status == "pass":
            status = "skip"
        elif directive == "XFAIL" and status == "pass":
            status = "xfail"
        elif directive:
            self.notes.append(f"{directive} {text or ''}".strip())
        self.tests.append(Test(name or "", status, text or "", children, self.notes))
        self.notes = []

    def finish(self):
        """Returns the tests, with a failure for each thing that is wrong with them as a whole."""
        found = self.results
        if self.plan is None:
            self.tests.append(failure("plan", "the output has no plan line (1..N)"))
        elif self.plan != found:
            self.tests.append(
                failure("plan", f"{self.plan} results were planned, {found} came")
            )
        elif found == 0 and self.skip is None:
            self.tests.append(failure("plan", "no test was run"))
        return self.tests


def parse_ktap(text):
    """Returns (tests, reason): the tests of a document, and why all of it was skipped, if so."""
    stack = []
    ready = []  # the tests of a nested document whose own result line is still to come

    def close_above(indent):
        nonlocal ready
        while stack and stack[-1].indent > indent:
            level = stack.pop()
            if ready:
                level.tests.append(Test("a subtest without its result", "fail", children=ready))
            ready = level.finish()

    for line in text.splitlines():
        line = line.rstrip()
        if match := VERSION.match(line):
            indent = len(match[1])
            close_above(indent)
            if stack and stack[-1].indent == indent:
                stack[-1].tests.append(failure("document", "it starts a second time"))
            else:
                stack.append(Level(indent))
        elif (match := PLAN.match(line)) and stack and len(match[1]) == stack[-1].indent:
            if stack[-1].plan is not None:
                stack[-1].tests.append(failure("plan", "there is a second plan line"))
            stack[-1].plan, stack[-1].skip = int(match[2]), match[3]
        elif (match := RESULT.match(line)) and stack:
            close_above(len(match[1]))
            if stack and stack[-1].indent == len(match[1]):
                children, ready = ready, []
                stack[-1].add(match, children)
            else:
                return [failure("document", f"a result outside any document: {line}")], None
        elif line.strip().startswith("Bail out!"):
            if stack:
                stack[-1].tests.append(failure("bail out", line.strip()))
        elif stack and line.strip() and not NOT_NOTES.match(line):
            stack[-1].notes.append(re.sub(r"^#\s?", "", line.strip()))
    if not stack:
        return [failure("document", "it is empty or not KTAP")], None
    skip = stack[0].skip if not stack[0].tests else None
    close_above(stack[0].indent)
    if ready:
        stack[0].tests.append(Test("a subtest without its result", "fail", children=ready))
    return stack[0].finish(), skip


def parse_cargo(text):
    """Returns the tests of "cargo test", which runs several programs one after the other."""
    tests = []
    planned = started = ended = 0
    for line in text.splitlines():
        if match := CARGO_START.match(line):
            planned += int(match[1])
            started += 1
        elif CARGO_END.match(line):
            ended += 1
        elif match := CARGO_TEST.match(line):
            status = {"ok": "pass", "FAILED": "fail", "ignored": "skip"}[match[2]]
            tests.append(Test(match[1], status, match[3]))
    broken = [test for test in tests if test.status == "fail"]
    if broken and "\nfailures:\n" in text:
        broken[0].notes.append(text.split("\nfailures:\n", 1)[1].strip())
    if planned != len(tests) or started != ended:
        tests.append(failure("plan", f"{planned} results were planned, {len(tests)} came"))
    if not tests:
        tests.append(failure("plan", "no test was run"))
    return tests


def read(path):
    return path.read_text(errors="replace") if path.exists() else None


def program(name, base):
    """The result of one program: its output in base.out, its exit code in base.rc."""
    text = read(base.with_name(base.name + ".out"))
    code = read(base.with_name(base.name + ".rc"))
    if text is None:
        return failure(name, "it never ran, or left no output")
    skip = None
    if re.match(r"\s*(K?TAP) version", text):
        tests, skip = parse_ktap(text)
    elif any(CARGO_START.match(line) for line in text.splitlines()):
        tests = parse_cargo(text)
    else:
        tests = [failure("document", "the output is neither KTAP nor that of cargo test")]
        tests[0].notes += text.splitlines()[-30:]
    failing = any(test.status == "fail" for test in tests)
    code = (code or "").strip()
    if not code:
        tests.append(failure("end", "it did not end: there is no exit code"))
    elif code == "124":
        tests.append(failure("end", "it ran into its time limit"))
    elif code not in ("0", "4") and not failing:
        tests.append(failure("end", f"exit code {code}, though no result is a failure"))
        # What a build or a crash said last says why.
        tests[-1].notes += text.splitlines()[-10:]
    elif skip is not None and not tests:
        return Test(name, "skip", skip)
    return Test(name, "pass", children=tests)


def host_tests(folder):
    bases = sorted(path.with_suffix("") for path in folder.glob("*.out"))
    tests = [program(base.name, base) for base in bases]
    return Test("host", "pass", children=tests or [failure("host", "no host test was run")])


def kunit_tests(folder):
    suites = []
    for path in sorted(folder.glob("kunit.*.out")):
        suites += parse_ktap(path.read_text(errors="replace"))[0]
    if suites:
        return Test("kunit", "pass", children=suites)
    skip = read(folder / "kunit.skip")
    if skip is not None:
        return Test("kunit", "skip", skip.strip())
    return failure("kunit", "no KUnit suite of the module has run")


def vm_tests(folder, listed):
    tests = []
    died = read(folder / "died")
    if died is not None:
        tests.append(failure("the guest stays alive", died.strip()))
    elif read(folder / "rc") is None:
        tests.append(failure("the guest stays alive", "it reported no result"))
    else:
        tests.append(Test("the guest stays alive", "pass"))
    tests.append(kunit_tests(folder))
    for line in listed.split():
        tests.append(program(line, folder / f"test.{line}"))
    checks = read(folder / "kernel.out")
    if checks is None:
        tests.append(failure("kernel", "its checks never ran"))
    else:
        tests.append(Test("kernel", "pass", children=parse_ktap(checks)[0]))
    if not listed.split():
        tests.append(failure("kselftest-list.txt", "no program is in the list"))
    return tests


def write(tests, indent=""):
    """Prints tests as a KTAP document."""
    print(f"{indent}KTAP version 1")
    print(f"{indent}1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        if test.children:
            write(test.children, indent + "  ")
        for note in test.notes:
            for line in note.splitlines():
                print(f"{indent}# {line}")
        verdict = "not ok" if test.status == "fail" else "ok"
        directive = {"skip": "SKIP", "xfail": "XFAIL"}.get(test.status)
        tail = f" # {directive} {test.reason}".rstrip() if directive else ""
        print(f"{indent}{verdict} {number} {test.name}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", type=Path)
    parser.add_argument("--vm", type=Path)
    parser.add_argument("--list", type=Path)
    options = parser.parse_args()
    tests = []
    if options.host:
        tests.append(host_tests(options.host))
    if options.vm:
        tests += vm_tests(options.vm, read(options.list) or "")
    write(tests)
    leaves = [leaf for test in tests for leaf in test.leaves()]
    states = ("pass", "fail", "skip", "xfail")
    count = {s: sum(leaf.status == s for _, leaf in leaves) for s in states}
    for path, leaf in leaves:
        if leaf.status == "fail":
            print(f"# FAILED {path}" + "".join(f": {n.splitlines()[0]}" for n in leaf.notes[-1:] if n))
        if leaf.status == "xfail":
            print(f"# EXPECTED FAILURE {path}: {leaf.reason}")
    known = f", {count['xfail']} failed as expected" if count["xfail"] else ""
    print(f"{count['pass']} passed, {count['fail']} failed, {count['skip']} skipped{known}")
    return 0 if count["pass"] and not count["fail"] else 1


if __name__ == "__main__":
    sys.exit(main())
