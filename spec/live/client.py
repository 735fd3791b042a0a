"""client.py - Python's redis library against the nodes whose ports are given: connecting, values, pipelines, errors."""
import sys

import redis

nodes = [redis.Redis(port=int(port), socket_timeout=5, client_name="spec") for port in sys.argv[1:]]
first, last = nodes[0], nodes[-1]

assert first.ping()
assert first.set("python", "värde ☃") is True
assert last.get("python").decode() == "värde ☃"
blob = bytes(range(256)) * 4096
assert last.set("blob", blob) and first.get("blob") == blob
assert first.set("python", "x", nx=True) is None
assert first.set("python", "y", get=True).decode() == "värde ☃"
assert last.incrby("count", 5) == 5 and first.decr("count") == 4
assert first.mset({"m1": "1", "m2": "2"}) and last.mget("m1", "none", "m2") == [b"1", None, b"2"]
assert last.expire("m1", 100) is True and 90 < first.ttl("m1") <= 100
assert last.persist("m1") is True and first.ttl("m1") == -1
assert first.append("m1", "23") == 3 and last.strlen("m1") == 3 and first.type("m1") == b"string"
assert sorted(last.scan_iter(match="m*")) == [b"m1", b"m2"]

pipe = first.pipeline(transaction=False)
for i in range(1000):
    pipe.set(f"p{i}", i).get(f"p{i}")
replies = pipe.execute()
assert replies[0::2] == [True] * 1000 and replies[1::2] == [b"%d" % i for i in range(1000)]

try:
    first.execute_command("NOSUCH", "x")
    raise SystemExit("an unknown command was taken")
except redis.ResponseError as error:
    assert "unknown command" in str(error), error
try:
    first.incr("python")
    raise SystemExit("a text was counted up")
except redis.ResponseError as error:
    assert "not an integer" in str(error), error

assert last.delete("python", "blob", "none") == 2 and first.exists("python") == 0
assert first.dbsize() == last.dbsize() > 1000
assert last.flushall() is True and first.dbsize() == 0
