"""The same command lines for qemu-img (or qemu-io) and for ours under that name, each in a folder of its own."""
import json
import os
import re
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("ATOLL_BUILD", os.path.join(ROOT, "build")))
ATOLL_IMG = os.path.join(BUILD, "bin/atoll-img")
PATIENCE = float(os.environ.get("ATOLL_TEST_PATIENCE", "3"))
LONG = os.environ.get("ATOLL_TEST_LONG") == "1"


def run(args, cwd, text=None, seconds=60):
    got = subprocess.run(args, cwd=cwd, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                         timeout=seconds * PATIENCE)
    return got.returncode, got.stdout, got.stderr


def formats():
    """The image formats that ours knows."""
    return re.search(r"Supported formats: (.*)", run([ATOLL_IMG, "--help"], "/")[1]).group(1).split()


def normal(text):
    """Without what differs from run to run: times, dates, what a file takes on the disk, and prompts, which asynchronous answers overtake."""
    text = text.replace("qemu-io> ", "")
    text = re.sub(r"\d+ ops; .*", "N ops; TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)
    text = re.sub(r"Run completed in [\d.]+", "Run completed in T", text)
    text = re.sub(r"disk size: .*", "disk size: N", text)
    return re.sub(r"\d+,1,0:00:00[\d.]+,[\d.]+,[\d.]+", "MACHINE", text)


def without(value, keys):
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    return [without(item, keys) for item in value] if isinstance(value, list) else value


class Twins(unittest.TestCase):
    """self.both(...) runs a command in both worlds; self.check_file(name) has qemu-img judge our file."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-img-")
        self.addCleanup(self.folder.cleanup)
        self.ours, self.theirs, links = (os.path.join(self.folder.name, name) for name in ("ours", "theirs", "bin"))
        for path in (self.ours, self.theirs, links):
            os.mkdir(path)
        for name in ("qemu-img", "qemu-io", "qemu-nbd"):
            os.symlink(ATOLL_IMG, os.path.join(links, name))
        self.links = links

    def path(self, name):
        return os.path.join(self.ours, name)

    def write(self, name, data, size=None):
        for folder in (self.ours, self.theirs):
            with open(os.path.join(folder, name), "wb") as out:
                out.write(data)
                if size is not None:
                    out.truncate(size)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def our(self, *words, text=None, status=0):
        got = run([os.path.join(self.links, words[0]), *map(str, words[1:])], self.ours, text)
        if status is not None:
            self.assertEqual(got[0], status, f"{words}: {got}")
        return got

    def atoll(self, *words, status=0):
        got = run([ATOLL_IMG, *map(str, words)], self.ours)
        if status is not None:
            self.assertEqual(got[0], status, f"{words}: {got}")
        return got

    def their(self, *words, text=None, status=0, cwd=None):
        got = run([words[0], *map(str, words[1:])], cwd or self.theirs, text)
        if status is not None:
            self.assertEqual(got[0], status, f"{words}: {got}")
        return got

    def both(self, *words, text=None, same=True, status=None):
        """Same status, same standard output (same=False: only the status); returns ours."""
        ours, theirs = self.our(*words, text=text, status=None), self.their(*words, text=text, status=None)
        message = f"{' '.join(map(str, words))}\nours: {ours}\ntheirs: {theirs}"
        self.assertEqual(ours[0], theirs[0], message)
        if status is not None:
            self.assertEqual(ours[0], status, message)
        if same:
            self.assertEqual(normal(ours[1]), normal(theirs[1]), message)
        return ours

    def both_json(self, *words, ignore=("actual-size", "date-sec", "date-nsec")):
        ours, theirs = self.our(*words, status=None), self.their(*words, status=None)
        self.assertEqual(ours[0], theirs[0], f"{words}\n{ours}\n{theirs}")
        mine, other = without(json.loads(ours[1]), ignore), without(json.loads(theirs[1]), ignore)
        self.assertEqual(mine, other, f"{words}")
        self.assertEqual(ours[1].count("\n"), theirs[1].count("\n"), f"lines of {words}: {ours[1]}{theirs[1]}") if not ignore else None
        return json.loads(ours[1])

    def assert_sound(self, name, fmt="qcow2"):
        self.their("qemu-img", "check", "-f", fmt, name, cwd=self.ours)
        self.our("qemu-img", "check", "-f", fmt, name)

    def assert_same(self, name, other, fmt="qcow2", other_fmt="raw"):
        """qemu-img finds both files of ours the same."""
        self.their("qemu-img", "compare", "-f", fmt, "-F", other_fmt, name, other, cwd=self.ours)
        self.our("qemu-img", "compare", "-f", fmt, "-F", other_fmt, name, other)

    def no_leftovers(self):
        self.assertEqual([name for name in os.listdir(self.ours) if ".atoll-" in name], [])
