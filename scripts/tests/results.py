# SPDX-License-Identifier: GPL-2.0
"""The results of a test script, as KTAP."""

import unittest


def report(checks):
    """Prints checks, each (name, whether it is good, what to say if not). Returns the exit code."""
    print(f"KTAP version 1\n1..{len(checks)}")
    for number, (name, good, output) in enumerate(checks, 1):
        if not good:
            print("\n".join(f"# {line}" for line in output.splitlines()))
        print(f"{'ok' if good else 'not ok'} {number} {name}")
    return 0 if all(good for _, good, _ in checks) else 1


def run(case):
    """Runs a unittest.TestCase, and reports its tests."""
    checks = []
    for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
        result = test.run()
        said = "\n".join(traceback for _, traceback in result.errors + result.failures)
        checks.append((str(test), result.wasSuccessful(), said))
    return report(checks)
