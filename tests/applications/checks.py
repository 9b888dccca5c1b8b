"""What the programs in Python share: counted checks, waiting for a condition, and an end when too much time has passed."""

import os
import sys
import threading
import time
import traceback

PATIENCE = 20
checks = 0


def same(found, wanted, what):
    global checks
    checks += 1
    if found != wanted:
        raise AssertionError(f"check {checks}: {what}: {found!r} instead of {wanted!r}")


def between(found, low, high, what):
    global checks
    checks += 1
    if not low <= found <= high:
        raise AssertionError(f"check {checks}: {what}: {found!r} is not from {low!r} to {high!r}")


def fails(kind, call, *args, **options):
    """The text of the error of this kind that the call must end with."""
    global checks
    checks += 1
    try:
        answer = call(*args, **options)
    except kind as error:
        return str(error)
    raise AssertionError(f"check {checks}: {args!r}: {answer!r} instead of {kind.__name__}")


def until(condition, what):
    """Asks until the answer is true, and gives it."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"after check {checks}, waited too long for: {what}")
        time.sleep(0.005)
    return found


def run(*parts):
    """Runs the parts one after the other, and ends the process: with the number of checks, or with an error."""
    part = parts[0]

    def end(status):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def late():
        print(f"{part.__name__} doesn't end, after check {checks}", file=sys.stderr)
        end(1)

    timer = threading.Timer(4 * PATIENCE, late)
    timer.daemon = True
    timer.start()
    try:
        for part in parts:
            part()
    except BaseException:
        print(f"{part.__name__}:", file=sys.stderr)
        traceback.print_exc()
        end(1)
    print(f"checks: {checks}")
    end(0)
