# ntp_strangers.py - what strangers try with an NTP server: `ntp_strangers.py PORT`, on 127.0.0.1. Ends with
# `N passed, N failed`.
#
# Each stranger has an address of its own in 127.0.0.0/8, for the server counts by address. That something is not
# answered is seen by the good question after it, whose answer is the first to come.
import os, socket, struct, sys

port = int(sys.argv[1])
passed = failed = 0
strangers = 0


def check(what, good):
    global passed, failed
    print(("ok: " if good else "not ok: ") + what)
    passed, failed = passed + good, failed + (not good)


def stranger():
    global strangers
    strangers += 1
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.7.%d.%d" % (strangers // 250, strangers % 250 + 1), 0))
    s.settimeout(20)
    return s


def question(mode=3, version=4, cookie=b"cookie 1"):
    return struct.pack(">B3x20x16x8s", version << 3 | mode, cookie)


def answered_after(data, what):
    s = stranger()
    for datagram in data:
        s.sendto(datagram, ("127.0.0.1", port))
    s.sendto(question(cookie=b"the last"), ("127.0.0.1", port))
    answer = s.recv(4096)
    check(what + " gets no answer", answer[24:32] == b"the last" and len(answer) == 48)


for mode in (0, 1, 2, 4, 5, 6, 7):
    answered_after([question(mode)], "mode %d" % mode)
answered_after([bytes.fromhex("1700032a00000000")], "monlist")
answered_after([bytes.fromhex("160200010000000000000000")], "ntpq's question")
answered_after([question()[:n] for n in range(48)], "whatever is short")
answered_after([question(version=v) for v in (0, 5, 6, 7)], "no version of ours")
answered_after([question() + bytes(n) for n in (1, 2, 3, 4, 12, 20)], "what is followed by no extension field")
answered_after([os.urandom(1300), bytes(9000)], "whatever is long")

s = stranger()
s.sendto(question() + struct.pack(">HH", 0x104, 1000) + bytes(996), ("127.0.0.1", port))
check("the answer is never longer than 48 bytes", len(s.recv(4096)) == 48)
for version in (1, 2, 3, 4):
    s.sendto(question(version=version), ("127.0.0.1", port))
    check("version %d is answered in kind" % version, s.recv(4096)[0] & 0x3F == version << 3 | 4)

# 400 at once: a burst of 16 is answered, then one in eight hears RATE, and the others nothing.
s, other = stranger(), stranger()
for i in range(400):
    s.sendto(question(cookie=b"greedy%02d" % (i % 100)), ("127.0.0.1", port))
other.sendto(question(), ("127.0.0.1", port))
check("a greedy stranger keeps nobody else off", len(other.recv(4096)) == 48)
s.settimeout(0)
told = rates = 0
try:
    while True:
        answer = s.recv(4096)
        if answer[1] == 0 and answer[12:16] == b"RATE":
            rates += 1
        else:
            told += 1
except BlockingIOError:
    pass
check("a greedy stranger gets 16 answers and little more (%d)" % told, 16 <= told <= 18)
check("hears RATE now and then (%d)" % rates, 40 <= rates <= 48)

print("%d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
