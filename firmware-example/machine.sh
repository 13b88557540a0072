#!/bin/sh
# Prints the machine of QEMU that ELF was built for, told by the target's name in its path:
#   machine.sh ELF
case $1 in
*thumbv6m-none-eabi/*) echo microbit ;;
*thumbv7m-none-eabi/*) echo stm32vldiscovery ;;
*thumbv7em-none-eabihf/*) echo netduinoplus2 ;;
*)
    echo "$1: the path names no target that there is a board for" >&2
    exit 1
    ;;
esac
