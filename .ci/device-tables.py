#!/usr/bin/env python3
"""Compares what was measured with the committed table.

    device-tables.py sizes|instructions TABLE [--accept]   < measurements

Both directions count: a table that is not true any more is worth nothing. --accept writes it anew.
"""

import sys

HEAD = {
    "sizes": """# Bytes that each image of one core machine takes beyond an empty one; the whole example in full.
# flash: its code. A machine in a static takes its initial value in flash once more, as many bytes as RAM,
#        unless that is all zero.
# RAM:   what is static: the machine itself.
# stack: what the calls of the image take at most, on any path, with their arguments and results: a bound read off the
#        code by `.ci/device-stack.py`. What an interrupt pushes comes on top. That of the whole example is measured
#        while it runs, by `.ci/device example`.
# Compared by `.ci/device sizes`, written by `.ci/device --accept sizes`.
#
# machine              target       flash     RAM   stack
""",
    "instructions": """# Instructions of one call on QEMU's microbit (thumbv6m, Cortex-M0), mps2-an385 (thumbv7m, Cortex-M3) and
# netduinoplus2 (thumbv7em, Cortex-M4).
# They are counted, not timed: two runs agree. Not cycles. Built as the firmware is, for size.
# Compared by `.ci/device instructions`, written by `.ci/device --accept instructions`.
#
# operation                      target      instructions
""",
}
# Hard limits, whatever the table says: (machine, target) -> bytes of flash, RAM and stack.
# The wire's way out has none: COBS, frames and the outbox are 1.7 KB of it, the 15 kinds of record the rest.
BUDGETS = {
    ("breaker", "thumbv6m"): (700, 80, None),
    ("decoder", "thumbv6m"): (2400, None, None),
}
COLUMNS = ["flash", "RAM", "stack"]
TOLERANCE = 0.02
# What is inlined here depends on the names of symbols, and those on the folder of the clone (core lies beside this workspace,
# not in it): of path_check 1,203 or 1,341 instructions were seen.
UNSTEADY = {"path_check": 0.15}


def sizes(lines):
    """Of llvm-size `TEXT DATA BSS DEC HEX ELF`, of device-stack.py `ELF STACK`."""
    rows, stacks = {}, {}
    for line in lines:
        *numbers, elf = reversed(line.split()) if len(line.split()) == 2 else line.split()
        target, image = elf.split("/")[1].split("-")[0], elf.split("/")[-1]
        if len(numbers) == 1:
            stacks[image, target] = int(numbers[0])
        else:
            text, data, bss = map(int, numbers[:3])
            rows[image, target] = (text, data + bss) if image != "daur-firmware" else (text + data, data + bss)
    for (image, target), (code, ram) in rows.items():
        if image == "daur-firmware":
            yield (image, target), (code, ram, None)
        elif image != "empty":
            empty = "empty", target
            yield (image, target), (code - rows[empty][0], ram, max(stacks[image, target] - stacks[empty], 0))


def instructions(lines):
    for line in lines:
        name, target, count = line.split(" ", 2)
        if not count.strip().isdigit():
            raise SystemExit(f"FAIL  {line.strip()}")
        yield (name, target), (int(count),)


def show(kind, key, values):
    if kind == "sizes":
        columns = ["-" if value is None else value for value in values]
        return f"{key[0]:<22} {key[1]:<10} {columns[0]:>7} {columns[1]:>7} {columns[2]:>7}"
    return f"{key[0]:<32} {key[1]:<10} {values[0]:>10}"


def differs(new, old, least, tolerance=TOLERANCE):
    if new is None or old is None:
        return new != old
    return abs(new - old) > max(old * tolerance, least)


def main():
    kind, path = sys.argv[1:3]
    measured = dict({"sizes": sizes, "instructions": instructions}[kind](sys.stdin))
    if not measured:
        raise SystemExit("FAIL  nothing was measured")
    if "--accept" in sys.argv:
        with open(path, "w") as file:
            file.write(HEAD[kind] + "".join(show(kind, *row) + "\n" for row in sorted(measured.items())))
    with open(path) as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    table = {(row[0], row[1]): tuple(None if value == "-" else int(value) for value in row[2:]) for row in rows}
    faults = [f"{' '.join(key)}: is not measured any more" for key in table.keys() - measured.keys()]
    for key, values in sorted(measured.items()):
        print(show(kind, key, values))
        before = table.get(key)
        if before is None:
            faults.append(f"{' '.join(key)}: is not in the table")
        elif len(values) != len(before) or any(
            differs(new, old, 8 if kind == "sizes" else 1, UNSTEADY.get(key[0], TOLERANCE)) for new, old in zip(values, before)
        ):
            faults.append(f"{' '.join(key)}: {values} instead of {before}")
        if kind == "sizes" and key in BUDGETS:
            for column, value, budget in zip(COLUMNS, values, BUDGETS[key]):
                if budget is not None and value > budget:
                    faults.append(f"{' '.join(key)}: {value} bytes of {column}, {budget} are allowed")
    for fault in faults:
        print(f"FAIL  {fault}")
    if faults:
        raise SystemExit(f"{path} is not true (more than {TOLERANCE:.0%} off, or a budget is exceeded)")


if __name__ == "__main__":
    main()
