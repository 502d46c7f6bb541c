"""
A switch that loses, delays, reorders and duplicates Ethernet frames: what netem does, for kernels without it.

    unruly-switch.py plain IFACE...      frames leave IFACE whole: one checksum and one segment each, as on a wire
    unruly-switch.py switch JSON         runs until its standard input ends, then prints what it did as one line of JSON

JSON: {"ports": [...], "seed": 1, "loss": 0.05, "duplicate": 0.05, "reorder": 0.1, "delay_ms": 5, "jitter_ms": 5}.
A reordered frame is held REORDER_MS longer, so that those behind it overtake; the others keep their order for each
port. It needs root and AF_PACKET (packet(7)), reaches nothing but its ports, and ends with whoever holds its input.
"""

import array
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
FRAME_BYTES_MAX = 65_536
SOCKET_BYTES = 8 * 1024 * 1024
#: Frames under way; beyond it the switch loses what comes, as any switch does.
HELD_MAX = 20_000
REORDER_MS = 15
READ_AT_ONCE_MAX = 64

SIOCETHTOOL = 0x8946
#: ETHTOOL_SRXCSUM, STXCSUM, STSO, SGSO, SGRO (linux/ethtool.h)
OFFLOADS = (0x15, 0x17, 0x1F, 0x24, 0x2C)


def make_plain(interface):
    """Else frames come here with checksums that the card was to fill in, and many segments in one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = array.array("I", [command, 0])
            request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError:
                pass  # It has no such offload, or can't change it.


class Switch:
    def __init__(self, plan):
        self.plan = plan
        self.random = random.Random(plan["seed"])
        self.ports = {}
        self.port_of_mac = {}
        self.held = []
        self.sequence = 0
        self.free_at = {}
        self.done = {"frames": 0, "lost": 0, "duplicated": 0, "reordered": 0, "overflow": 0}
        for name in plan["ports"]:
            port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
            port.bind((name, ETH_P_ALL))
            port.setblocking(False)
            self.ports[port.fileno()] = port

    def run(self):
        poll = select.poll()
        for number in [sys.stdin.fileno(), *self.ports]:
            poll.register(number, select.POLLIN)
        print("ready", flush=True)
        while True:
            wait_ms = max(0, (self.held[0][0] - time.monotonic()) * 1000) if self.held else None
            for number, _ in poll.poll(wait_ms):
                if number == sys.stdin.fileno():
                    try:
                        print(json.dumps(self.done), flush=True)
                    except BrokenPipeError:
                        os._exit(1)  # Nobody is left to read it.
                    return
                self.read(number)
            self.send_due()

    def read(self, number):
        port = self.ports[number]
        for _ in range(READ_AT_ONCE_MAX):
            try:
                frame, address = port.recvfrom(FRAME_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            if address[2] != PACKET_OUTGOING:
                self.take(number, frame)

    def take(self, number, frame):
        self.done["frames"] += 1
        self.port_of_mac[frame[6:12]] = number
        known = self.port_of_mac.get(frame[0:6])
        targets = [other for other in self.ports if other != number] if known is None else [known]
        for target in targets:
            if self.random.random() < self.plan["loss"]:
                self.done["lost"] += 1
                continue
            self.hold(number, target, frame)
            if self.random.random() < self.plan["duplicate"]:
                self.done["duplicated"] += 1
                self.hold(number, target, frame)

    def hold(self, source, target, frame):
        if len(self.held) >= HELD_MAX:
            self.done["overflow"] += 1
            return
        due = time.monotonic() + (self.plan["delay_ms"] + self.random.random() * self.plan["jitter_ms"]) / 1000
        if self.random.random() < self.plan["reorder"]:
            self.done["reordered"] += 1
            due += REORDER_MS / 1000
        else:
            due = max(due, self.free_at.get((source, target), 0))
            self.free_at[(source, target)] = due
        self.sequence += 1
        heapq.heappush(self.held, (due, self.sequence, target, frame))

    def send_due(self):
        now = time.monotonic()
        while self.held and self.held[0][0] <= now:
            _, _, target, frame = heapq.heappop(self.held)
            try:
                self.ports[target].send(frame)
            except OSError:
                self.done["overflow"] += 1  # The port is down, or its queue is full.


def main(command, *arguments):
    if command == "plain":
        for interface in arguments:
            make_plain(interface)
    else:
        Switch(json.loads(arguments[0])).run()


main(*sys.argv[1:])
