#!/usr/bin/env python3
"""Compares what was measured with the committed table.

    device-tables.py sizes|instructions TABLE [--accept]   < measurements

Both directions count: a table that is not true any more is worth nothing. --accept writes it anew.
"""

import sys

HEAD = {
    "sizes": """# Bytes that each image of one core machine takes beyond an empty one; the whole example in full.
# `code` is flash. A machine in a static takes its initial value in flash once more, as many bytes as RAM,
# unless that is all zero. Compared by `.ci/device sizes`, written by `.ci/device --accept sizes`.
#
# machine            target        code     RAM
""",
    "instructions": """# Instructions of one call on QEMU's microbit (thumbv6m, Cortex-M0), mps2-an385 (thumbv7m, Cortex-M3) and
# netduinoplus2 (thumbv7em, Cortex-M4).
# They are counted, not timed: two runs agree. Not cycles. Built as the firmware is, for size.
# Compared by `.ci/device instructions`, written by `.ci/device --accept instructions`.
#
# operation                      target      instructions
""",
}
# Hard limits, whatever the table says: (machine, target, column) -> bytes.
BUDGETS = {
    ("breaker", "thumbv6m", 0): 700,
    ("breaker", "thumbv6m", 1): 80,
}
TOLERANCE = 0.02


def sizes(lines):
    rows = {}
    for line in lines:
        image, target, text, data, bss, *_ = line.split()
        rows[image, target] = (int(text), int(data) + int(bss))
    for (image, target), (code, ram) in rows.items():
        if image == "daur-firmware":
            yield (image, target), (code, ram)
        elif image != "empty":
            empty = rows["empty", target]
            yield (image, target), (code - empty[0], ram)


def instructions(lines):
    for line in lines:
        name, target, count = line.split(" ", 2)
        if not count.strip().isdigit():
            raise SystemExit(f"FAIL  {line.strip()}")
        yield (name, target), (int(count),)


def show(kind, key, values):
    if kind == "sizes":
        return f"{key[0]:<20} {key[1]:<10} {values[0]:>7} {values[1]:>7}"
    return f"{key[0]:<32} {key[1]:<10} {values[0]:>10}"


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
    table = {(row[0], row[1]): tuple(map(int, row[2:])) for row in rows}
    faults = [f"{' '.join(key)}: is not measured any more" for key in table.keys() - measured.keys()]
    for key, values in sorted(measured.items()):
        print(show(kind, key, values))
        before = table.get(key)
        if before is None:
            faults.append(f"{' '.join(key)}: is not in the table")
        elif any(abs(new - old) > max(old * TOLERANCE, 8 if kind == "sizes" else 1) for new, old in zip(values, before)):
            faults.append(f"{' '.join(key)}: {values} instead of {before}")
        if kind == "sizes":
            for column, value in enumerate(values):
                budget = BUDGETS.get((*key, column))
                if budget is not None and value > budget:
                    faults.append(f"{' '.join(key)}: {value} bytes of {'code' if column == 0 else 'RAM'}, {budget} are allowed")
    for fault in faults:
        print(f"FAIL  {fault}")
    if faults:
        raise SystemExit(f"{path} is not true (more than {TOLERANCE:.0%} off, or a budget is exceeded)")


if __name__ == "__main__":
    main()
