#!/bin/sh
# Cargo's runner: runs ELF in QEMU, as `probe-rs run` would on the board.
#   runner.sh ELF [libtest arguments]
# A test binary runs test by test, each from a reset; anything else runs once, with its logs decoded.
# DAUR_SERIAL is where the device's UART goes, in QEMU's words (default: nowhere).
set -eu
elf=$1
shift
machine=$("$(dirname "$0")/machine.sh" "$elf")
if grep -q EMBEDDED_TEST_VERSION "$elf"; then
    # Virtual time by counted instructions: the same run each time, and no waiting for timeouts. An instruction takes
    # 2^shift ns, so that it is at least one tick of the board's clock.
    case $machine in
    netduinoplus2) shift=3 ;;
    *) shift=6 ;;
    esac
    exec embedded-test-qemu-runner --qemu "qemu-system-arm -machine $machine -nographic -monitor none -icount shift=$shift,sleep=off" "$elf" "$@"
fi
exec qemu-run --machine "$machine" --arg "serial=${DAUR_SERIAL:-null}" "$elf"
