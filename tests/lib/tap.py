"""Python test programs speak TAP, as the C ones do: `tap.main()` at the end of a file of unittest cases."""
import sys
import traceback
import unittest


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0

    def _line(self, word, test, comment=""):
        self.count += 1
        print(f"{word} {self.count} {test.id().removeprefix('__main__.')}{comment}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def _bad(self, test, error):
        print("".join("# " + line + "\n" for line in "".join(traceback.format_exception(*error)).splitlines()), end="")
        self._line("not ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._bad(subtest, err)


def main():
    names = sys.argv[1:]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, sys.modules["__main__"]) if names else loader.loadTestsFromModule(sys.modules["__main__"])
    result = TapResult()
    print("TAP version 13")
    suite.run(result)
    print(f"1..{result.count}")
    sys.exit(0 if result.wasSuccessful() else 1)
