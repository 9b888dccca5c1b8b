#!/usr/bin/env python3
"""The compatibility ratchet: a test of a peer's own suite that passed once must pass for ever.

    tests/compat/ratchet.py --server target/release/redloop                          # check, all trees
    tests/compat/ratchet.py --server target/release/redloop --tree valkey            # check one
    tests/compat/ratchet.py --server target/release/redloop --bless [--group types]  # add what passes now

The group tls and some other units (OVER_TLS) run over TLS besides, where Tcl has its package for that. ratchet.json holds, for each tree, the groups that the gate runs, the units of these that it leaves out because they
take long (with the seconds that they take), and, for each unit, the names of the tests that passed. An older tree names a newer one instead ("succeeded_by"): of it only those units are run
in which a test has passed that the newer one no longer has; --group has others run. Units with a test that fails now are run a second time with more patience, and few of them a third and a fourth time,
one after the other, at last on other ports; only what fails each time is a regression.
--bless takes what passes now out of not_passing.json (see not_passing.py), too. It may be given groups
which the gate doesn't run: what passes of them is noted, for the page.
A tree that isn't built, or is of another version than its baseline, is skipped.
Exit status: 0 nothing lost, 1 something lost.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import not_passing
import tcl_suite

HERE = Path(__file__).resolve().parent
LIST = HERE / "ratchet.json"
# What Valkey's tests take for granted: they compare manifests of the append-only file, and whether DEL or UNLINK is propagated.
LAZY = ["expire", "eviction", "server-del", "user-del", "user-flush"]
VALKEY_DEFAULTS = " ".join(["--config rdb-family valkey", *(f"--config lazyfree-lazy-{what} yes" for what in LAZY)])


def run_suite(tree, server, selection, out):
    """Runs tcl_suite.py on groups or units; what it notes of each unit: "tests" (outcomes), "messages" (of failures), "ending"."""
    command = [sys.executable, str(HERE / "tcl_suite.py"), "--tree", tree, "--server", server, "--out", str(out)]
    if tree == "valkey":
        command.append(f"--runtest-args={VALKEY_DEFAULTS}")
    status = subprocess.run(command + selection).returncode
    result = out / "result.json"
    if status == 2 or not result.exists():
        sys.exit("the suite could not be run")
    return json.loads(result.read_text())["units"]


def lost(known, units):
    """Tests that passed once and don't now, by unit, each with what is known of why."""
    missing = {}
    for unit, names in known.items():
        if got := units.get(unit):
            unseen = f"not reached, the unit's end: {got.get('ending')}"
            gone = [name for name in names if got["tests"].get(name) not in ("ok", "skip", "ignore")]
            if gone:
                missing[unit] = {name: got.get("messages", {}).get(name, unseen) for name in gone}
    return missing


def bless(passed, listed, units):
    """Notes what passed, which no longer counts as not passing."""
    for unit, got in units.items():
        names = {name for name, outcome in got["tests"].items() if outcome == "ok"}
        passed[unit] = sorted(names | set(passed.get(unit, [])))
        for name in names & listed.get(unit, {}).keys():
            del listed[unit][name]


# Units that run a second time, over TLS: clients, users, messages, replicas, sentinels; of Valkey, what Redis's don't have so.
OVER_TLS = {
    "redis-8.6": ["unit/auth", "unit/acl", "unit/pubsub", "unit/networking", "unit/limits",
                  "integration/redis-benchmark", "integration/replication-2", "sentinel/tests/05-manual"],
    "valkey": ["unit/tracking", "integration/replication-3", "integration/valkey-cli"],
}
# What the suites themselves leave out over TLS: its pretended servers don't speak it.
NOT_OVER_TLS = {"Non-interactive non-TTY CLI: ASK redirect test"}


# How units are run again: the more often, the more patiently (tcl_suite.py has these options).
ALONE = ["--slack", "10", "--workers", "1"]
AGAIN = [["--slack", "6"], ALONE, [*ALONE, "--baseport", "18000"]]
# More units than these fail by no chance: they are not run a third and fourth time.
FEW_UNITS = 10


def lost_again(tree, missing, server, more, out):
    """What is lost when units are run again in which something is missing."""
    for attempt, patience in enumerate(AGAIN):
        if not missing or (attempt and len(missing) > FEW_UNITS):
            break
        print(f"\nonce more: {', '.join(missing)}", flush=True)
        missing = lost(missing, run_suite(tree, server, ["--unit", ",".join(missing), *more, *patience], out / f"again-{attempt}"))
    return missing


def lost_over_tls(tree, passed, server, more, out):
    """Of the units that run over TLS as well, the tests that are lost there."""
    known = {unit: set(passed[unit]) - NOT_OVER_TLS for unit in OVER_TLS.get(tree, []) if unit in passed}
    if known:
        more = [*more, "--tls"]
        known = lost(known, run_suite(tree, server, ["--unit", ",".join(known), *more], out / "tls"))
        known = lost_again(tree, known, server, more, out / "tls-again")
    return {f"{unit} over TLS": names for unit, names in known.items()}


def has_tls():
    """Whether Tcl can speak TLS."""
    script = "puts [catch {package require tls}]"
    found = subprocess.run(["tclsh8.6"], input=script, text=True, capture_output=True).stdout.strip() == "0"
    if not found:
        print("skipped: the group tls (Tcl's package tls isn't there)")
    return found


def why_skipped(tree):
    """Why a tree can't be compared with what has passed of it, if it can't."""
    version = not_passing.TREES[tree][0].rpartition(" ")[2]
    program = tcl_suite.PEERS / tree / "src" / f"{tree.partition('-')[0]}-server"
    if not program.exists():
        return f"{program} isn't there (tests/compat/peers.sh)"
    said = subprocess.run([program, "--version"], text=True, capture_output=True).stdout
    return "" if f" v={version}." in said else f"it is no {version}: {said.strip()}"


def units_with_tests_gone(passed, newer):
    """Units in which a test has passed that a newer tree no longer has."""
    units = json.loads((HERE / not_passing.TREES[newer][1]).read_text())["units"]
    return [unit for unit, names in passed.items() if set(names) - units.get(unit, {"tests": {}})["tests"].keys()]


def selections(entry, args):
    """What is run: arguments of tcl_suite.py, of which the last is over TLS, if it can be."""
    if args.group:
        return [["--group", args.group]]
    if "succeeded_by" in entry:
        units = units_with_tests_gone(entry["passed"], entry["succeeded_by"])
        plain = ["--unit", ",".join(unit for unit in units if unit != "unit/tls")]
        return [plain, ["--unit", "unit/tls", "--tls"]] if "unit/tls" in units and has_tls() else [plain]
    groups = ["--group", ",".join(entry["groups"]), "--without", ",".join(entry["left_out"])]
    return [groups, ["--group", "tls", "--tls"]] if has_tls() else [groups]


def run_tree(tree, entry, listed, args):
    """Runs what is to be run of a tree; the tests that are lost, by unit."""
    more, units = ["--workers", str(args.workers)], {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        for at, selection in enumerate(selections(entry, args)):
            units |= run_suite(tree, args.server, [*selection, *more], out / f"first-{at}")
        missing = lost(entry["passed"], units)
        tls = {unit: missing.pop(unit) for unit in ("unit/tls",) if unit in missing}
        missing = lost_again(tree, missing, args.server, more, out / "plain")
        missing |= lost_again(tree, tls, args.server, [*more, "--tls"], out / "tls")
        if not args.group and has_tls():
            missing |= lost_over_tls(tree, entry["passed"], args.server, more, out)
    if args.bless:
        bless(entry["passed"], listed, units)
    for unit, got in units.items():
        for name in listed.get(unit, {}):
            if got["tests"].get(name) == "ok":
                print(f"passes now, though it is listed in not_passing.json: {tree} {unit}: {name}")
    return missing


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--server", required=True)
    ap.add_argument("--tree", choices=list(not_passing.TREES), help="only this tree")
    ap.add_argument("--group", default="", help="comma list of groups, instead of those of the gate")
    ap.add_argument("--bless", action="store_true", help="add the tests that pass now")
    ap.add_argument("--workers", type=int, default=2)
    args = ap.parse_args()
    ratchet, listed, regressions = json.loads(LIST.read_text()), not_passing.load(), []
    for tree in [args.tree] if args.tree else ratchet:
        print(f"\n== {tree}", flush=True)
        if why := why_skipped(tree):
            print(f"SKIPPED: {tree}, {why}")
            continue
        missing = run_tree(tree, ratchet[tree], listed[tree], args)
        regressions += [f"LOST {tree} {unit}: {name}\n  {why}" for unit, tests in missing.items() for name, why in tests.items()]
        total = sum(map(len, ratchet[tree]["passed"].values()))
        print(f"{total} tests have passed once, {sum(map(len, missing.values()))} of them are lost")
    if args.bless:
        LIST.write_text(json.dumps(ratchet, indent=1, sort_keys=True) + "\n")
        not_passing.save(listed)
    # Last, where whoever reads the end of a long log finds them.
    print(*regressions, sep="\n", end="\n" if regressions else "")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
