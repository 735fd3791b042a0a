#!/usr/bin/env python3
"""ask.py DIRECTORY - asks the HTTP server at DIRECTORY/front.sock for every path in DIRECTORY/requests, over one
connection, a few hundred ahead of its answers, and writes a line `PATH X-ASKED BODY` for each to DIRECTORY/answers."""
import socket
import sys

AHEAD = 200
directory = sys.argv[1]
paths = open(directory + "/requests").read().split()
front = socket.socket(socket.AF_UNIX)
front.connect(directory + "/front.sock")
front.settimeout(60)
stream = front.makefile("rb")


def ask(path):
    return b"GET %s HTTP/1.1\r\nHost: spec\r\n\r\n" % path.encode()


def answer():
    size, asked = 0, "-"
    while True:
        line = stream.readline()
        if not line:
            sys.exit("the server hung up")
        name, _, value = line.decode().strip().partition(":")
        if name.lower() == "content-length":
            size = int(value)
        elif name.lower() == "x-asked":
            asked = value.strip()
        elif not name:
            return asked, stream.read(size).decode().split("\n")[0].strip()


with open(directory + "/answers", "w") as answers:
    for first in range(0, len(paths), AHEAD):
        batch = paths[first:first + AHEAD]
        front.sendall(b"".join(map(ask, batch)))
        for path in batch:
            answers.write("%s %s %s\n" % (path, *answer()))
