-- A rate limiter for gateways: a key's bucket lives on the node that the ring gives it; the others take tokens in lots.
local rate, burst, lot = node.config.rate, node.config.burst, node.config.lot
local stale = 1                               -- s: after which a lot isn't spent any more
local buckets, here, life = {}, {}, nil

-- -- The owner of a key ---------------------------------------------------------------------------------------------
-- How many of n tokens it may have, and from whose buckets they are: those of this life of this node.
node:on("take", function(key, n)
  local now = node:now()
  life = life or ("%s since %.6f"):format(node.id, now)
  local b = buckets[key] or { level = burst, at = now }
  b.level, b.at = math.min(burst, b.level + (now - b.at) * rate), now
  local granted = math.min(n, b.level // 1)
  b.level, buckets[key] = b.level - granted, b
  return granted, life
end)

-- -- Whoever is asked -----------------------------------------------------------------------------------------------
local function lot_of(key)
  local l = here[key]
  return l and l.left >= 1 and node:now() < l.ends and l or nil
end

-- true, and whose tokens it was that this costs one of; or false, and maybe why the owner can't be asked.
node:on("allow", function(key)
  if not lot_of(key) then
    local ends = node:now() + stale           -- before they were granted: a slow answer makes them older, not younger
    local granted, by = node:call({ role = "gateway", key = key, timeout = 0.02 }, "take", key, lot)
    if not granted then return node.config.fail_open, by end
    local other = lot_of(key)                 -- somebody else was as quick
    if other and (other.by == by or granted == 0) then other.left = other.left + granted
    else here[key] = { left = granted, ends = ends, by = by } end
  end
  local l = lot_of(key)
  if not l then return false end
  l.left = l.left - 1
  return true, l.by
end)

node:every(1, function()                      -- a full bucket is as good as none
  local now = node:now()
  for key, l in pairs(here) do if now >= l.ends then here[key] = nil end end
  for key, b in pairs(buckets) do if b.level + (now - b.at) * rate >= burst then buckets[key] = nil end end
end)
