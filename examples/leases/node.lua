-- As examples/kv, but the leader answers reads by its lease, without a word to the others. And where a page may be a
-- second old, any node answers from its own copy.
local kv = node:replicate("kv", { machine = "kv", reads = node.config.reads })
node:listen("resp", kv:resp())

node:on("set", function(key, value) return kv:set(key, value) end)
node:on("get", function(key) return kv:get(key) end)
node:on("page", function(key) return kv:get(key, { max_age = 1 }) end)
