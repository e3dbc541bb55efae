#!/usr/bin/env python3
"""The example that plays stories: world.py PATH-TO-WORLD [--write].

What is told of a story is held against tests/examples/stories/NAME.told. Chance decides the
instants and how often something is tried, so that a change in how the library draws from it moves
them: those are left out of the comparison. What happens must stay. --write writes the files anew.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

WORLD = sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLD = ROOT / "tests/examples/stories"
STORIES = [ROOT / "examples/world/ordinary.txt", ROOT / "examples/world/outage.txt", TOLD / "faults.txt"]


def run(*args):
    done = subprocess.run([WORLD, *map(str, args)], capture_output=True, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def gist(told):
    """Its lines, each once, without what chance decides."""
    for pattern, word in ((r"(?m)^day \d+ \S+", "DAY"), (r"queued as \w+", "queued as ID"),
                          (r"after (\d+d )?[\d:.]+", "after TIME")):
        told = re.sub(pattern, word, told)
    return sorted(set(told.splitlines()))


class World(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.dir.cleanup()

    def write(self, text):
        path = os.path.join(self.dir.name, "story.txt")
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_tells_what_happens(self):
        for story in STORIES:
            with self.subTest(story=story.name):
                code, out, err = run(story)
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(gist(out), gist((TOLD / (story.stem + ".told")).read_text()))

    def test_tells_the_same_story_the_same_way(self):
        for story in STORIES:
            with self.subTest(story=story.name):
                first = run(story)
                self.assertEqual(run(story), first)
                self.assertEqual(run("--seed", "7", story), run("--seed=7", story))
                self.assertNotEqual(run("--seed", "7", story), first)

    def test_takes_the_seed_from_the_story(self):
        text = STORIES[0].read_text()
        self.assertEqual(run(self.write(text + "seed 9\n")), run("--seed", "9", STORIES[0]))

    def test_keeps_every_message_whatever_the_seed(self):
        for seed in range(10):
            code, out, err = run("--seed", seed, ROOT / "examples/world/outage.txt")
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"\n3 recipients: 2 delivered, 1 failed\n$")

    def test_says_what_is_wrong_with_a_story(self):
        cases = [
            ("hosts a.example\n", 1, '"hosts" stands where '),
            ("until 1d\n\nat 0s b@a.example reads mail\n", 3, "no mailbox b@a.example has been introduced"),
            ("host mx.a.example for a.example\nmailbox b@a.example\n"
             'at 0s b@a.example sends "\u0085" to b@a.example\nuntil 1d\n', 3, "Subject: "),
        ]
        for text, line, why in cases:
            path = self.write(text)
            code, out, err = run(path)
            self.assertEqual((code, out), (65, ""))
            self.assertTrue(err.startswith("world: %s:%d: %s" % (path, line, why)), err)
            self.assertEqual(err.count("\n"), 1)

    def test_says_how_it_is_called(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("usage: world [--seed N] STORY\n", out)
        for args in ([], ["--seed"], ["--seed", "x", "story"], ["--seed", "-1", "story"],
                     ["--bad", "story"], ["one", "two"]):
            code, out, err = run(*args)
            self.assertEqual((code, out, err.count("\n")), (64, "", 1), args)
        code, out, err = run(os.path.join(self.dir.name, "none"))
        self.assertEqual((code, out, err.count("\n")), (66, "", 1))


def write_anew():
    for story in STORIES:
        (TOLD / (story.stem + ".told")).write_text(run(story)[1])


def main():
    if "--write" in sys.argv:
        write_anew()
        return 0
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    print("[  PASSED  ] %d test(s)." % (result.testsRun - bad)) # as cmocka says it: tests/count.py counts
    if bad:
        print("[  FAILED  ] %d test(s), listed below:" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
