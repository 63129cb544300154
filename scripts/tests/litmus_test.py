#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of litmus.py, with a herd7 that answers what it is told to. Prints KTAP."""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import results

TOP = Path(__file__).resolve().parent.parent.parent
TESTS = TOP / "Documentation/litmus"
MAKEFILE = "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 13\n"
CODE = "static int pin(struct folio *folio)\n{\n\tatomic_inc(&folio->_pincount);\n}\n"
TEST = """C one

(*
 * Result: Never
 *
 * Models Linux 7.2.13:
 * mm/gup.c:3 pin(): atomic_inc(&folio->_pincount);
 *)
"""


class Litmus(unittest.TestCase):
    def __str__(self):
        return self._testMethodName.removeprefix("test_").replace("_", " ")

    def run_test(self, test=TEST, answer="Observation one Never 0 7", code=0, kernel=MAKEFILE, name="one"):
        """Returns the exit code and what was printed."""
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            for directory in ("mm", "tools/memory-model"):
                (base / directory).mkdir(parents=True)
            (base / "Makefile").write_text(kernel)
            (base / "mm/gup.c").write_text(CODE)
            (base / f"{name}.litmus").write_text(test)
            herd = base / "herd7"
            wait = "exec sleep 60\n" if answer is None else ""
            herd.write_text(f"#!/bin/sh\n{wait}cat <<'END'\n{answer}\nEND\nexit {code}\n")
            herd.chmod(0o755)
            done = subprocess.run(
                [TOP / "scripts/litmus.py", "--herd", herd, "--source", base, "--limit", "1",
                 base / f"{name}.litmus"],
                capture_output=True, text=True, check=False,
            )
        return done.returncode, done.stdout + done.stderr

    def passes(self, **how):
        code, said = self.run_test(**how)
        self.assertEqual(code, 0, said)
        self.assertIn("\nok 1 one\n", said)
        return said

    def fails(self, why, **how):
        code, said = self.run_test(**how)
        self.assertEqual(code, 1, said)
        self.assertRegex(said, r"(?m)^not ok 1 ")
        self.assertIn(why, said)

    def test_the_expected_outcome(self):
        self.passes()

    def test_an_outcome_that_is_allowed_but_must_not_be(self):
        self.fails("Sometimes, but Never is expected", answer="Observation one Sometimes 1 7")

    def test_an_outcome_that_can_not_be_reached(self):
        self.fails("Never, but Sometimes is expected", test=TEST.replace("Never", "Sometimes"))

    def test_no_execution_at_all(self):
        self.fails("no execution is possible", answer="Observation one Never 0 0")

    def test_a_data_race(self):
        self.fails("data race", answer="Test one\nFlag data-race\nObservation one Never 0 7")

    def test_no_expectation(self):
        self.fails("it has no", test=TEST.replace("Result: Never", "Never"))

    def test_a_syntax_error(self):
        self.fails("exit code 2", answer="unexpected '}' (User error)", code=2)

    def test_no_answer(self):
        self.fails("herd7 has no answer", answer="Ok")

    def test_no_end(self):
        self.fails("did not end within 1 seconds", answer=None)

    def test_another_name(self):
        self.fails("its first line calls it one", name="two")

    def test_no_lines_of_the_kernel(self):
        self.fails("which lines of the kernel", test=TEST.replace("Models", "Shows"))

    def test_a_line_that_is_elsewhere(self):
        self.fails("mm/gup.c:2 is not: atomic_inc", test=TEST.replace("gup.c:3", "gup.c:2"))

    def test_a_line_of_another_function(self):
        self.fails("is in pin(), not in unpin()", test=TEST.replace(" pin()", " unpin()"))

    def test_a_file_that_is_gone(self):
        self.fails("there is no mm/pin.c", test=TEST.replace("mm/gup.c", "mm/pin.c"))

    def test_another_kernel_with_other_code_is_a_note(self):
        kernel = MAKEFILE.replace("13", "14")
        self.assertNotIn("in 7.2.14", self.passes(kernel=kernel))
        test = TEST.replace("atomic_inc", "atomic_add")
        self.assertIn("in 7.2.14, mm/gup.c has no line with", self.passes(kernel=kernel, test=test))

    def test_the_table_lists_every_test_with_its_outcome(self):
        table = dict(re.findall(r"^``([\w-]+)``\s+(\w+)", (TESTS / "index.rst").read_text(), re.MULTILINE))
        files = {
            path.stem: re.search(r"^ \* Result: (\w+)$", path.read_text(), re.MULTILINE)[1]
            for path in TESTS.glob("*.litmus")
        }
        self.assertEqual(table, files)


if __name__ == "__main__":
    sys.exit(results.run(Litmus))
