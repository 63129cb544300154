#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/mutants/apply.sh. Prints KTAP.

    apply_test.py SOURCE

SOURCE is a kernel source. It is not changed: what the patches touch is copied.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import results

MUTANTS = Path(__file__).resolve().parent.parent / "mutants"


def touched():
    """The files that the patches change, and those that tell the version."""
    names = {"Makefile", "mm/gup.c"}
    for patch in MUTANTS.glob("patches/*.patch"):
        names.update(re.findall(r"^--- a/(\S+)$", patch.read_text(), re.MULTILINE))
    return names


class Apply(unittest.TestCase):
    source = None

    def __str__(self):
        return self._testMethodName.removeprefix("test_").replace("_", " ")

    def setUp(self):
        self.tree = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.tree)
        for name in touched():
            to = self.tree / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.source / name, to)

    def apply(self):
        return subprocess.run(
            [MUTANTS / "apply.sh", self.tree], capture_output=True, text=True, check=False
        )

    def content(self):
        return {path: path.read_bytes() for path in self.tree.rglob("*") if path.is_file()}

    def test_the_patches_apply_and_every_step_has_a_switch(self):
        done = self.apply()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.tree.rglob("*.rej")) + list(self.tree.rglob("*.orig")), [])
        steps = (MUTANTS / "steps.toml").read_text().split("[[pair]]")[0]
        names = set(re.findall(r'^name = "(\w+)"$', steps, re.MULTILINE))
        listed = (self.tree / "include/linux/mm_mutants_list.h").read_text()
        self.assertEqual(set(re.findall(r"^MM_MUTANT\((\w+),", listed, re.MULTILINE)), names)
        code = b"".join(self.content().values()).decode()
        self.assertEqual(set(re.findall(r"\bmm_step\((\w+)\)", code)) - {"name", "x"}, names)

    def test_a_second_time_is_refused(self):
        self.apply()
        before = self.content()
        done = self.apply()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("already", done.stderr)
        self.assertEqual(self.content(), before)

    def test_a_hunk_that_fails_is_named_and_nothing_changes(self):
        gup = self.tree / "mm/gup.c"
        text = gup.read_text()
        self.assertIn("local_irq_save(flags);", text)
        gup.write_text(text.replace("local_irq_save(flags);", "somebody_else_was_here();"))
        before = self.content()
        done = self.apply()
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"\.patch: mm/gup\.c: Hunk #\d+ FAILED")
        self.assertEqual(self.content(), before)

    def test_what_is_no_kernel_source_is_refused(self):
        (self.tree / "mm/gup.c").unlink()
        done = self.apply()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("is no kernel source", done.stderr)


def main():
    Apply.source = Path(sys.argv[1])
    return results.run(Apply)


if __name__ == "__main__":
    sys.exit(main())
