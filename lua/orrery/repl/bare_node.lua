-- bare_node.lua - what the nodes of cluster(n) do at the prompt: a replicated key-value store, by handlers and Redis.
local kv = node:replicate("kv", { machine = "kv" })
node:listen("resp", kv:resp())
for _, name in ipairs { "get", "set", "del", "add" } do
  node:on(name, function(...) return kv[name](kv, ...) end)
end
node:on("scan", function(from, to)
  local found, each, message, code = {}, kv:scan(from, to)
  if not each then return nil, message, code end
  for key, value in each do found[key] = value end
  return found
end)
