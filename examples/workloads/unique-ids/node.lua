-- Ids without asking anybody: the node's own name, which life of it this is, and a number. A life counts once it is on
-- the disk: what is forgotten in a crash was never given.
local last, why = node:load "life"
if why then return node:stop(why) end         -- its disk can't be read: better down than forgetful
local life, durable, n = (last or 0) + 1, false, 0
node:on("generate", function()
  if not durable then
    local ok, message, code = node:save("life", life)
    if not ok then return nil, message, code end
    durable = true
  end
  n = n + 1
  return ("%s-%d-%d"):format(node.id, life, n)
end)
