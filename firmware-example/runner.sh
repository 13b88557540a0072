#!/bin/sh
# Cargo's runner: runs ELF in QEMU, as `probe-rs run` would on the board.
#   runner.sh ELF [libtest arguments]
# A test binary runs test by test, each from a reset; anything else runs once, with its logs decoded.
# DAUR_SERIAL is where the device's UART goes, in QEMU's words (default: nowhere).
set -eu
elf=$1
shift
if grep -q EMBEDDED_TEST_VERSION "$elf"; then
    # Virtual time by counted instructions: the same run each time, and no waiting for timeouts.
    exec embedded-test-qemu-runner --qemu "qemu-system-arm -machine netduinoplus2 -nographic -monitor none -icount shift=3,sleep=off" "$elf" "$@"
fi
exec qemu-run --machine netduinoplus2 --arg "serial=${DAUR_SERIAL:-null}" "$elf"
