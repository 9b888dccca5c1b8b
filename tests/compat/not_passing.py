#!/usr/bin/env python3
"""The tests of the peers' suites that don't pass, each with its reason: not_passing.json and its page.

    tests/compat/not_passing.py                        # write docs/compatibility-suites.md
    tests/compat/not_passing.py --check                # is the page up to date, is every test accounted for?
    tests/compat/not_passing.py --unlisted RESULT.json # what failed in a run of tcl_suite.py and isn't listed
    tests/compat/not_passing.py --add REASON RESULT.json [PATTERN]  # lists what failed there (and matches)

not_passing.json has the reasons (a short name and a sentence each), then for each tree and unit the tests
with the name of their reason. What counts are the tests that pass on the real server (baseline-*.json). Each
of these has passed here once (ratchet.json) or is listed, never both, but for those of units that are NOT_READ.
"""
import argparse
import collections
import fnmatch
import json
import sys
from pathlib import Path

from tcl_results import GROUPS, group_of

HERE = Path(__file__).resolve().parent
LIST, RATCHET = HERE / "not_passing.json", HERE / "ratchet.json"
PAGE = HERE.parent.parent / "docs/compatibility-suites.md"
TREES = {
    "redis-8.6": ("Redis 8.6", "baseline-redis-8.6.json"),
    "redis": ("Redis 8.0", "baseline-redis-8.0.json"),
    "valkey": ("Valkey 9.1", "baseline-valkey-9.1.json"),
}
# Units whose failures have no reasons yet: what passes of them counts, what doesn't isn't listed.
NOT_READ = {("redis-8.6", "unit/cluster/atomic-slot-migration")}


def reference(tree):
    """What the real server passes: the names by unit."""
    units = json.loads((HERE / TREES[tree][1]).read_text())["units"]
    return {unit: [t for t, outcome in got["tests"].items() if outcome == "ok"] for unit, got in units.items()}


def load():
    return json.loads(LIST.read_text())


def save(listed):
    for tree in TREES:
        listed[tree] = {unit: tests for unit, tests in listed[tree].items() if tests}
    LIST.write_text(json.dumps(listed, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def faults(listed, passed):
    """What the two lists get wrong about each other and the suites."""
    for tree in TREES:
        suite = reference(tree)
        for unit, tests in suite.items():
            known, ok = listed[tree].get(unit, {}), set(passed[tree].get(unit, []))
            missing = [test for test in tests if test not in ok and test not in known]
            if (tree, unit) not in NOT_READ:
                yield from (f"{tree} {unit}: neither passes nor is listed: {test}" for test in missing)
            elif not missing:
                yield f"{tree} {unit}: every test is accounted for, it is NOT_READ no more"
            yield from (f"{tree} {unit}: passes, but is listed: {test}" for test in tests if test in ok and test in known)
        for unit, tests in listed[tree].items():
            for test, reason in tests.items():
                if test not in suite.get(unit, []):
                    yield f"{tree} {unit}: the real server passes no such test: {test}"
                if reason not in listed["reasons"]:
                    yield f"{tree} {unit}: no such reason, {reason}: {test}"


def quoted(name):
    fence = "``" if "`" in name else "`"
    return f"{fence}{name}{fence}"


def summary(passed):
    """A row for each group: how many pass of those that pass on the real server."""
    names = " | ".join(name for name, _ in TREES.values())
    lines = [f"| group | {names} |", "|---" * (len(TREES) + 1) + "|"]
    rows = {group: {tree: [0, 0] for tree in TREES} for group, _ in GROUPS[1:]}
    for tree in TREES:
        for unit, tests in reference(tree).items():
            if group_of(unit):
                cell = rows[group_of(unit)][tree]
                cell[0] += len(set(tests) & set(passed[tree].get(unit, [])))
                cell[1] += len(tests)
    for group, cells in rows.items():
        if any(of for _, of in cells.values()):
            shown = " | ".join(f"{ok} of {of}" if of else "–" for ok, of in cells.values())
            lines.append(f"| {group} | {shown} |")
    return lines


def page(listed, passed):
    lines = [
        "# The suites of Redis and Valkey", "",
        "Both servers come with test suites written in Tcl. These are run against redloop, unchanged (`tests/compat/`);",
        "what follows is how many pass of the tests that the real servers pass, and every one that does not, under its",
        "reason. What takes minutes is run by hand, not in the gate: `ratchet.json` names its units.", "",
        "`tests/compat/not_passing.py` makes this page from `not_passing.json` and `ratchet.json`, and the gate checks",
        "that each test is accounted for.", "", *summary(passed)]
    if NOT_READ:
        units = ", ".join(f"{unit} ({TREES[tree][0]})" for tree, unit in sorted(NOT_READ))
        lines += ["", f"Of these units, what doesn't pass is not listed below yet: {units}."]
    by_reason = collections.defaultdict(lambda: collections.defaultdict(list))
    for tree in TREES:
        for unit, tests in sorted(listed[tree].items()):
            for test, reason in tests.items():
                by_reason[reason][unit, test].append(TREES[tree][0])
    names = " | ".join(name for name, _ in TREES.values())
    lines += ["", "Those that don't, by reason:", "", f"| reason | {names} |", "|---" * (len(TREES) + 1) + "|"]
    for reason, tests in sorted(by_reason.items()):
        counts = (sum(name in trees for trees in tests.values()) for name, _ in TREES.values())
        lines.append(f"| {reason} | {' | '.join(map(str, counts))} |")
    for reason in sorted(by_reason):
        tests = by_reason[reason]
        title = reason.upper() if reason in ("acl", "migrate") else reason[0].upper() + reason[1:]
        lines += ["", f"## {title}", "", listed["reasons"][reason]]
        last = None
        for (unit, test), trees in sorted(tests.items()):
            if unit != last:
                lines += ["", f"{unit}", ""]
                last = unit
            lines.append(f"- {quoted(test)}" + ("" if len(trees) == len(TREES) else f" ({', '.join(trees)})"))
    return "\n".join(lines) + "\n"


def unlisted(listed, result):
    """Tests of a run that failed or were not reached, of those that pass on the real server, not listed."""
    suite, known = reference(result["tree"]), listed[result["tree"]]
    for unit, got in result["units"].items():
        for test in suite.get(unit, []):
            if got["tests"].get(test) != "ok" and test not in known.get(unit, {}):
                yield unit, test, got.get("messages", {}).get(test) or got["tests"].get(test, "not reached")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--check", action="store_true", help="write nothing; status 1 if something is wrong")
    ap.add_argument("--unlisted", metavar="RESULT", type=Path, help="print what failed in a run and isn't listed")
    ap.add_argument("--add", metavar=("REASON", "RESULT [PATTERN]"), nargs="+", help="list what failed in a run")
    args = ap.parse_args()
    listed = load()
    if args.unlisted or args.add:
        result = json.loads((args.unlisted or Path(args.add[1])).read_text())
        pattern = args.add[2] if args.add and len(args.add) > 2 else "*"
        for unit, test, message in unlisted(listed, result):
            if fnmatch.fnmatchcase(test, pattern) or fnmatch.fnmatchcase(unit, pattern):
                print(f"{unit}: {test}\n    {message}")
                if args.add:
                    listed[result["tree"]].setdefault(unit, {})[test] = args.add[0]
        if args.add:
            save(listed)
        return 0
    passed = {tree: entry["passed"] for tree, entry in json.loads(RATCHET.read_text()).items()}
    wrong, text = list(faults(listed, passed)), page(listed, passed)
    if not args.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.name} is out of date: run {Path(__file__).name}")
    print("\n".join(wrong) or f"every test is accounted for in {PAGE.name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
