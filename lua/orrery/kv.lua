-- kv.lua - a group whose machine is "kv", for scripts: get, set, del, add, scan.
--
-- Values are plain. In the machine a string is itself and a number its text, as Redis clients read and write them, so a
-- string that is a number's own text ("5", "0.1") comes back as that number. Anything else is packed, behind a mark
-- that begins no text.
local core = require "orrery.core"
local options = require "orrery.options"

local kv = {}
local mark, page, at_once = "\xc1orr", 1000, 1000

local function text_of(n)
  if math.type(n) == "integer" then return tostring(n) end
  local text
  for digits = 15, 17 do
    text = ("%%.%dg"):format(digits):format(n)
    if tonumber(text) == n then break end
  end
  return text:find "[.eEn]" and text or text .. ".0"
end

-- The bytes that the machine keeps.
function kv.bytes_of(value)
  local kind = math.type(value)
  if kind and value == value and math.abs(value) ~= math.huge then return text_of(value) end
  if type(value) == "string" and value:sub(1, #mark) ~= mark then return value end
  return mark .. core.value.pack(value)
end

function kv.value_of(bytes)
  if type(bytes) ~= "string" then return nil end
  if bytes:sub(1, #mark) == mark then
    local value = core.value.unpack(bytes:sub(#mark + 1))
    if value == nil then return bytes end                           -- a Redis client may have set anything
    return value
  end
  local n = bytes:find "^-?%d" and #bytes <= 32 and tonumber(bytes)
  return n and text_of(n) == bytes and n or bytes
end

local set_spec = {
  ttl = { "seconds" }, nx = { "boolean" }, xx = { "boolean" }, version = { "integer", min = 0 },
  timeout = { "seconds" },
}

local function check_key(key, what)
  if type(key) ~= "string" then error(("%s: 'key' must be a string (got %s)"):format(what, options.got(key)), 4) end
  return key
end

-- One value told by the machine; nil, message, code where it failed.
local function told(convert, value, message, code)
  if message ~= nil or code ~= nil then return nil, message, code end
  return convert(value)
end

-- api: where the methods go. host: ask("propose" or "read", bytes, timeout, max_age); read_options(more, what) gives
-- timeout, max_age.
function kv.methods(api, groups, name, host)
  local ask = host.ask
  local function propose(convert, timeout, ...)
    return told(convert, ask("propose", groups.kv(...), timeout))
  end
  local function read(convert, ...) return told(convert, ask("read", groups.kv(...))) end
  local function same(v) return v end

  function api.get(key, more)
    local bytes = groups.kv("get", nil, nil, nil, check_key(key, name .. ":get"))
    return told(kv.value_of, ask("read", bytes, host.read_options(more, name .. ":get")))
  end

  function api.set(key, value, more)
    local what = name .. ":set"
    check_key(key, what)
    if value == nil then error(what .. ": 'value' must not be nil: del removes a key", 3) end
    local flags = options.check(more or {}, set_spec, what, 3)
    if flags.nx and flags.xx then error(what .. ": 'nx' and 'xx' exclude each other", 3) end
    if flags.ttl and flags.ttl < 0.001 then error(what .. ": 'ttl' must be at least 0.001", 3) end
    local ok, bytes = pcall(kv.bytes_of, value)
    if not ok then error(("%s: %s"):format(what, bytes), 3) end
    return propose(function(v) return v ~= nil end, flags.timeout, "set", flags,
      flags.ttl and math.floor(flags.ttl * 1000 + 0.5), flags.version, key, bytes)
  end

  function api.del(key)
    return propose(function(n) return n == 1 end, nil, "del", nil, nil, nil, check_key(key, name .. ":del"))
  end

  function api.add(key, n)
    check_key(key, name .. ":add")
    if n == nil then n = 1 end
    if math.type(n) == "integer" then return propose(same, nil, "add", nil, n, nil, key) end
    if type(n) ~= "number" or n ~= n or math.abs(n) == math.huge then
      error(("%s:add: 'n' must be a number (got %s)"):format(name, options.got(n)), 3)
    end
    return propose(tonumber, nil, "add_float", nil, nil, nil, key, text_of(n))
  end

  local function keys_between(from, to)
    local keys, seen, cursor = {}, {}, 0
    repeat
      local found, message, code = read(same, "scan", nil, cursor, page)
      if not found then return nil, message, code end
      cursor = math.tointeger(tonumber(found[1]))
      for _, key in ipairs(found[2]) do
        if not seen[key] and (not from or key >= from) and (not to or key <= to) then
          seen[key] = true
          keys[#keys + 1] = key
        end
      end
    until cursor == 0
    table.sort(keys)
    return keys
  end

  function api.scan(from, to)
    local what = name .. ":scan"
    if from ~= nil then check_key(from, what) end
    if to ~= nil then check_key(to, what) end
    local keys, message, code = keys_between(from, to)
    if not keys then return nil, message, code end
    local pairs_found = {}
    for i = 1, #keys, at_once do
      local values
      values, message, code = read(same, "mget", nil, nil, nil, table.unpack(keys, i, math.min(i + at_once - 1, #keys)))
      if not values then return nil, message, code end
      for k, bytes in ipairs(values) do
        if bytes then pairs_found[#pairs_found + 1] = { keys[i + k - 1], kv.value_of(bytes) } end
      end
    end
    local i = 0
    return function()
      i = i + 1
      if pairs_found[i] then return pairs_found[i][1], pairs_found[i][2] end
    end
  end
end

return kv
