#!/usr/bin/env python3
"""Which test runs which core machine on which target: makes the table of it, and refuses what it does not say.

    on-target.py TABLE [--accept] < what `cargo test` printed, after a line `target TRIPLE` for each target

A machine is a file of `core/src` that stands for one, or an attribute of `core/macros`. A test says which it is for in a
line of its documentation, `Machines: breaker, ..`; one that says nothing is the board's. It fails, and says why, if a
machine has no test that passed on a target, if a test names a machine that there is none of, if what ran is not what the
sources have, or if the table that is committed is not this one; with --accept it writes it.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = ["thumbv6m-none-eabi", "thumbv7m-none-eabi", "thumbv7em-none-eabihf"]
BOARD = "the board"
# Files that hold no machine.
NONE = {"lib": "the tour", "fmt": "macros that log", "attributes": "what the attributes call: they have lines of their own"}


def machines():
    core = ROOT / "core" / "src"
    found = []
    for path in sorted(core.glob("*.rs")) + sorted(core.glob("*/*.rs")):
        # A folder beside a file of its name holds parts of that one.
        if path.parent != core and (core / (path.parent.name + ".rs")).exists():
            continue
        name = "::".join(path.relative_to(core).with_suffix("").parts)
        if path.stem != "mod" and name not in NONE:
            found.append(name)
    macros = (ROOT / "core" / "macros" / "src" / "lib.rs").read_text()
    names = re.findall(r"#\[proc_macro_attribute\]\npub fn (\w+)", macros)
    return found + ["attributes::" + name for name in sorted(names) if not name.endswith("_std")]


def sources():
    """For each (binary, test): the machines that it is for."""
    tests = {}
    for path in sorted((ROOT / "firmware-example" / "tests").glob("*.rs")):
        said = [BOARD]
        is_test = False
        for line in path.read_text().splitlines():
            if match := re.match(r" {4}/// Machines: (.+)\.$", line):
                said = match[1].split(", ")
            is_test |= line == "    #[test]"
            if match := re.match(r"    (?:async )?fn (\w+)\(", line):
                if is_test:
                    tests[path.stem, match[1]] = said
                said, is_test = [BOARD], False
    return tests


def runs(lines):
    """For each (binary, test): the targets on which it passed."""
    passed, target, binary = {}, None, None
    for line in lines:
        if match := re.match(r"target (\S+)$", line):
            target = match[1]
        elif match := re.match(r"\s+Running tests/(\w+)\.rs ", line):
            binary = match[1]
        elif match := re.match(r"test (?:tests::)?(\w+) +\.\.\. ok$", line):
            passed.setdefault((binary, match[1]), set()).add(target)
    return passed


def main():
    table_path, accept = pathlib.Path(sys.argv[1]), "--accept" in sys.argv[2:]
    wanted, tests, passed = machines(), sources(), runs(sys.stdin.read().splitlines())
    wrong = []
    for test in sorted(passed.keys() - tests.keys()):
        wrong.append(f"{test[0]}::{test[1]} ran, and the sources have no such test")
    for test in sorted(tests.keys() - passed.keys()):
        wrong.append(f"{test[0]}::{test[1]} passed nowhere")
    rows = []
    for machine in wanted + [BOARD]:
        of_it = [test for test, said in tests.items() if machine in said]
        for target in TARGETS:
            if not any(target in passed.get(test, ()) for test in of_it):
                wrong.append(f"{machine} has no test on {target}")
        for binary, name in sorted(of_it):
            where = passed.get((binary, name), ())
            rows.append([machine, f"`{binary}::{name}`", *("ok" if target in where else "" for target in TARGETS)])
    for test, said in tests.items():
        for machine in set(said) - set(wanted) - {BOARD}:
            wrong.append(f"{test[0]}::{test[1]} is for {machine}, which is no file of core/src")
    lines = [
        "# What runs on the target",
        "",
        "Every machine of `daur-core`, and the tests that `../.ci/device tests` runs of it on each target in QEMU: microbit",
        "(16 KiB of RAM), stm32vldiscovery (8 KiB), netduinoplus2, each test from a reset. With `--config .cargo/hw.toml` the",
        "same binaries run on the chips. `../.ci/device --accept tests` writes this file; without `--accept` a difference fails.",
        "",
        "| machine | test | " + " | ".join(target.split("-")[0] for target in TARGETS) + " |",
        "|---|---|" + "---|" * len(TARGETS),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    table = "\n".join(lines) + "\n"
    if not accept and (not table_path.exists() or table_path.read_text() != table):
        wrong.append(f"{table_path} does not say what ran: look, then `.ci/device --accept tests`")
    for line in wrong:
        print("FAIL  " + line, file=sys.stderr)
    if wrong:
        sys.exit(1)
    if accept:
        table_path.write_text(table)
    ran = sum(len(where) for where in passed.values())
    print(f"{len(wanted)} machines on {len(TARGETS)} targets, {len(tests)} tests, {ran} runs: {table_path.name} says the same")


main()
