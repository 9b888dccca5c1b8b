#!/usr/bin/env python3
"""Runs the tests of Redis's vector sets (modules/vector-sets of its source tree) against servers that are running.

    run.py TREE PORT REPLICA_PORT [LONGEST]

Both servers need `enable-debug-command yes`. Tests that take longer than LONGEST seconds by their own estimate are left out. Prints a
line for each that fails, and in the end how many passed and failed.
"""

import contextlib
import importlib
import inspect
import io
import pathlib
import sys

import redis


class Resp2(redis.Redis):
    """A client as the tests expect it: newer libraries speak RESP3 unless told otherwise, and name the parts of replies."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("protocol", 2)
        super().__init__(*args, **kwargs)
        for command in list(self.response_callbacks):
            if str(command).startswith("V"):
                del self.response_callbacks[command]


def classes(tree):
    """The tests of the tree."""
    sys.path.insert(0, str(tree))
    base = importlib.import_module("test").TestCase
    for path in sorted((tree / "tests").glob("*.py")):
        module = importlib.import_module(f"tests.{path.stem}")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, base) and found is not base:
                yield found


def main():
    tree, port, replica_port = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    longest = float(sys.argv[4]) if len(sys.argv) > 4 else float("inf")
    redis.Redis = Resp2
    passed, failed, seen = 0, 0, set()
    for found in classes(tree):
        test = found(port, replica_port)
        if found.__name__ in seen or test.estimated_runtime() > longest:
            continue
        seen.add(found.__name__)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            is_good = test.run()
        passed += is_good
        failed += not is_good
        if not is_good:
            print(f"FAILED {test.getname()}: {test.error_msg}\n{test.error_details}\n{output.getvalue()}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
