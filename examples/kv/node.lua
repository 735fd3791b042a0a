-- What each node does: bears a replica of the group "kv", and serves it to whoever speaks the Redis protocol.
local kv = node:replicate("kv", { machine = "kv" })
node:listen("resp", kv:resp())
