#!/usr/bin/env python3
"""The compatibility ratchet: a test of Redis's own suite that passed once must pass for ever.

    tests/compat/ratchet.py --server target/release/redloop            # check
    tests/compat/ratchet.py --server target/release/redloop --bless    # add what passes now

ratchet.json holds the groups that are finished and, for each unit, the names of the tests that passed.
A unit with a test that fails now is run a second time; only what fails twice is a regression.
Exit status: 0 nothing lost, 1 something lost, 77 skipped because the suite's tree can't be had.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIST = HERE / "ratchet.json"


def run_suite(server, selection, out):
    """Runs tcl_suite.py on groups or units; the outcomes by unit and test."""
    command = [sys.executable, str(HERE / "tcl_suite.py"), "--tree", "redis", "--server", server, "--out", str(out)]
    status = subprocess.run(command + selection).returncode
    result = out / "result.json"
    if status == 2 or not result.exists():
        sys.exit("the suite could not be run")
    return {unit: got["tests"] for unit, got in json.loads(result.read_text())["units"].items()}


def lost(known, outcomes):
    """Tests that passed once and don't now, by unit."""
    missing = {}
    for unit, names in known.items():
        if unit in outcomes:
            gone = [name for name in names if outcomes[unit].get(name) not in ("ok", "skip", "ignore")]
            if gone:
                missing[unit] = gone
    return missing


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--server", required=True)
    ap.add_argument("--bless", action="store_true", help="add the tests that pass now")
    args = ap.parse_args()
    ratchet = json.loads(LIST.read_text())
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        outcomes = run_suite(args.server, ["--group", ",".join(ratchet["groups"])], out / "first")
        missing = lost(ratchet["passed"], outcomes)
        if missing:
            print(f"\nonce more: {', '.join(missing)}", flush=True)
            again = run_suite(args.server, ["--unit", ",".join(missing)], out / "second")
            missing = lost({unit: names for unit, names in missing.items()}, again)
    if args.bless:
        for unit, tests in outcomes.items():
            passed = {name for name, outcome in tests.items() if outcome == "ok"}
            ratchet["passed"][unit] = sorted(passed | set(ratchet["passed"].get(unit, [])))
        LIST.write_text(json.dumps(ratchet, indent=1, sort_keys=True) + "\n")
    for unit, names in missing.items():
        for name in names:
            print(f"LOST {unit}: {name}")
    total = sum(len(names) for names in ratchet["passed"].values())
    print(f"{total} tests have passed once, {sum(map(len, missing.values()))} of them are lost")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
