#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs litmus tests with herd7 and compares each outcome with the one that it names. Prints KTAP.

    litmus.py --herd PROGRAM --source LINUX TEST.litmus...

LINUX is a kernel source: its tools/memory-model judges tests in C, and the lines that a test says it
models are looked up in it. Tests in the assembly of an architecture are judged by herd7's own model
of that one. Documentation/litmus/index.rst says what a test has to look like.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RESULT = re.compile(r"^ \* Result: (Never|Sometimes|Always)$", re.MULTILINE)
MODELS = re.compile(r"^ \* Models Linux (\d+\.\d+(?:\.\d+)?):\n((?: \* .+\n)*)", re.MULTILINE)
LINE = re.compile(r"^ \* (\S+):(\d+) (\w+)\(\): (.+)$")
FUNCTION = re.compile(r"^(?=[A-Za-z_]).*?\b(\w+)\(")
OBSERVATION = re.compile(r"^Observation (\S+) (Never|Sometimes|Always) (\d+) (\d+)$", re.MULTILINE)


def kernel_version(source):
    """The version of a kernel source, as in 7.2.13."""
    names = dict(re.findall(r"^(\w+) = (\d+)$", (source / "Makefile").read_text(), re.MULTILINE))
    parts = [names[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(parts[:2] if parts[2] == "0" else parts)


def function_at(lines, number):
    """The name of the function that a line belongs to: the last that starts in the first column."""
    for line in reversed(lines[:number]):
        if match := FUNCTION.match(line):
            return match[1]
    return None


def moved_lines(text, source, version):
    """Yields what is wrong with the lines that a test says it models."""
    models = MODELS.search(text)
    if not models:
        yield "it does not say which lines of the kernel it models"
        return
    same = models[1] == version
    for row in models[2].splitlines():
        match = LINE.match(row)
        if not match:
            yield f"this is not PATH:LINE FUNCTION(): TEXT: {row[3:]}"
            continue
        path, number, function, code = match[1], int(match[2]), match[3], match[4]
        if not (source / path).exists():
            yield f"there is no {path}"
            continue
        lines = (source / path).read_text(errors="replace").splitlines()
        if not same:
            if not any(code in line for line in lines):
                yield f"{path} has no line with: {code}"
        elif number > len(lines) or code not in lines[number - 1]:
            yield f"{path}:{number} is not: {code}"
        elif function_at(lines, number) != function:
            yield f"{path}:{number} is in {function_at(lines, number)}(), not in {function}()"


class Outcome:
    """What has come of a test: its failures, and what there is to say besides."""

    def __init__(self, name):
        self.name = name
        self.failures = []
        self.notes = []


def run(path, herd, source, version, limit):
    """Runs a test. Returns an Outcome."""
    text = path.read_text()
    language, _, name = text.split("\n", 1)[0].partition(" ")
    outcome = Outcome(path.stem)
    expected = RESULT.search(text)
    if name.strip() != path.stem:
        outcome.failures.append(f"its first line calls it {name.strip()}")
    moved = list(moved_lines(text, source, version))
    models = MODELS.search(text)
    if models and models[1] != version:
        # Another kernel may have the same protocol in other words: somebody has to look.
        outcome.notes += [f"models Linux {models[1]}; in {version}, {what}" for what in moved]
    else:
        outcome.failures += moved
    if not expected:
        outcome.failures.append('it has no "Result: Never", "Sometimes" or "Always"')
        return outcome
    command = [herd]
    if language == "C":
        command += ["-I", source / "tools/memory-model", "-conf", "linux-kernel.cfg"]
    try:
        # The model of the kernel names its files relative to where herd7 runs.
        done = subprocess.run(
            [*command, path.resolve()],
            cwd=source / "tools/memory-model" if language == "C" else None,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        outcome.failures.append(f"herd7 did not end within {limit} seconds")
        return outcome
    observed = OBSERVATION.search(done.stdout)
    if done.returncode or not observed:
        outcome.failures.append(f"herd7 has no answer, exit code {done.returncode}")
        outcome.notes += (done.stderr + done.stdout).strip().splitlines()[-5:]
        return outcome
    found, positive, negative = observed[2], int(observed[3]), int(observed[4])
    outcome.notes.append(f"{found}, {positive} of {positive + negative} executions")
    if positive + negative == 0:
        outcome.failures.append("no execution is possible at all")
    elif found != expected[1]:
        outcome.failures.append(f"{found}, but {expected[1]} is expected")
    if "\nFlag data-race" in done.stdout:
        outcome.failures.append("it has a data race")
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--herd", required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=300, help="seconds that a test may take")
    parser.add_argument("tests", type=Path, nargs="+")
    options = parser.parse_args()
    version = kernel_version(options.source)
    print("KTAP version 1")
    print(f"1..{len(options.tests)}")
    print(f"# tools/memory-model of Linux {version}")

    def one(path):
        return run(path, options.herd, options.source, version, options.limit)

    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, outcome in enumerate(pool.map(one, options.tests), 1):
            for line in outcome.notes + outcome.failures:
                print(f"# {outcome.name}: {line}")
            failed += bool(outcome.failures)
            print(f"{'not ok' if outcome.failures else 'ok'} {number} {outcome.name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
