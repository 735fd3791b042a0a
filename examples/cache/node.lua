-- A sharded cache before a store. A key's owner by the ring of those that are alive holds its value, and so does who
-- would own it next; whoever is asked asks them. What is held bears the time of before its question to the store: so
-- long ago it may have become wrong. It is soft state: who is new, or was away, is given copies, or asks the store.
local max_age, copies, most = node.config.max_age, node.config.copies, node.config.most
local fast = 1.001                            -- a clock may be slow by a thousandth: so much longer it may have been
local store = node:replicate("store", { machine = "kv", on = "store" })
local ring = node:ring { role = "cache" }
local held, n = {}, 0                         -- key -> { value, at }; { gone = true, at }: nothing from before that
local loading = {}                            -- key -> { asked, task }: who asks the store
local count = { hits = 0, loads = 0, taken = 0 }
node.state.count = count

-- -- What is held ---------------------------------------------------------------------------------------------------
local function fresh(e) return (node:now() - e.at) * fast < max_age end

local function sweep()
  for key, e in pairs(held) do
    if not fresh(e) then held[key], n = nil, n - 1 end
  end
end
node:every(1, sweep)

local function keep(key, e)
  local old = held[key]
  if old and old.at >= e.at then return false end
  if not old and n >= most then
    sweep()
    if n >= most then return false end
  end
  held[key], n = e, old and n or n + 1
  return true
end

local function found(key)
  local e = held[key]
  return e and not e.gone and fresh(e) and e or nil
end

-- -- Copies ---------------------------------------------------------------------------------------------------------
-- An offer names keys; who wants them asks for them. So their age is right however long a message was under way: it
-- is counted from before the question.
node:on("offer", function(keys)
  local asked = node:now()
  local got = node:call({ node:from(), timeout = 1 }, "copies", keys)
  for key, copy in pairs(got or {}) do
    if keep(key, { value = copy.value, at = asked - copy.age * fast }) then count.taken = count.taken + 1 end
  end
end)

node:on("copies", function(keys)
  local out = {}
  for _, key in ipairs(keys) do
    local e = found(key)
    if e then out[key] = { value = e.value, age = node:now() - e.at } end
  end
  return out
end)

local function offer(due)
  for id, keys in pairs(due) do
    for i = 1, #keys, 100 do node:cast(id, "offer", table.move(keys, i, math.min(i + 99, #keys), 1, {})) end
  end
end

-- Who is to have the key, those left out that are in `but`.
local function owners(of, key, but)
  local list, out = {}, {}
  for _, id in ipairs(but) do out[id] = true end
  for _, id in ipairs(of:owners(key, copies)) do if not out[id] then list[#list + 1] = id end end
  return list
end

ring:on("change", function(change)
  local due = {}
  for key in pairs(held) do
    for _, id in ipairs(owners(change.after, key, owners(change.before, key, { node.id }))) do
      if id ~= node.id then
        due[id] = due[id] or {}
        table.insert(due[id], key)
      end
    end
  end
  offer(due)
end)

-- -- What an owner does ---------------------------------------------------------------------------------------------
local function ask_store(key, mine)
  local value, message, code = store:get(key)
  if loading[key] == mine then loading[key] = nil end
  if code then return nil, message, code end
  count.loads = count.loads + 1
  local e = { value = value, at = mine.asked }
  if keep(key, e) then
    for _, id in ipairs(owners(ring, key, { node.id })) do offer { [id] = { key } } end
  end
  return e
end

-- Many who ask at once are one question; but not with one from before the key was forgotten.
local function loaded(key)
  local l, old = loading[key], held[key]
  if not l or old and old.at >= l.asked then
    l = { asked = node:now() }
    l.task = node:spawn(ask_store, key, l)
    loading[key] = l
  end
  return l.task:wait()
end

node:on("look", function(key)
  local e, message, code = found(key), nil, nil
  if e then
    count.hits = count.hits + 1
    return e.value
  end
  repeat e, message, code = loaded(key) until not e or fresh(e)     -- it joined a question that took too long
  if not e then return nil, message, code end
  return e.value
end)

node:on("forget", function(key)
  keep(key, { gone = true, at = node:now() })
  return true
end)

-- -- Whoever is asked -----------------------------------------------------------------------------------------------
node:on("get", function(key)
  for _, id in ipairs(ring:owners(key, copies)) do
    local value, _, code = node:call({ id, timeout = 0.3 }, "look", key)
    if not code then return value end
  end
  return store:get(key)                       -- nobody of them can be asked
end)

local function invalidate(key)
  local to = ring:owners(key, copies)
  to.timeout = 0.3
  local forgotten <close> = node:scatter(to, "forget", key)
  forgotten:all()                             -- as far as they are there: max_age holds without
  return true
end
node:on("invalidate", invalidate)

node:on("set", function(key, value)
  local ok, message, code = store:set(key, value)
  invalidate(key)                             -- it may have happened, whatever it says
  if not ok then return nil, message, code end
  return true
end)
