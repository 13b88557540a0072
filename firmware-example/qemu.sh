#!/usr/bin/env bash
# Starts the firmware in QEMU, in real time; further arguments go to QEMU:
#   qemu.sh target/thumbv7em-none-eabihf/release/daur-firmware -serial tcp:127.0.0.1:9000,server=on,wait=off
# The shell becomes QEMU, so a signal to this process ends it. Logs are decoded to standard output.
set -euo pipefail
elf=$1
shift
machine=$("$(dirname "$0")/machine.sh" "$elf")
exec qemu-system-arm -machine "$machine" -nographic -monitor none \
    -semihosting-config enable=on,target=native -kernel "$elf" "$@" </dev/null > >(exec defmt-print -e "$elf")
