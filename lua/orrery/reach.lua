-- reach.lua - what programs outside the nodes reach them by: what was asked, waited for; a node's group.
--
-- A host says how to wait: { wait(done, T), timeout }. What it asks for is an object of bindings/orrb_ask.c.
local later = require "orrery.later"
local options = require "orrery.options"
local why = require "orrery.why"

local reach = {}
local ns = 1000000000

function reach.in_ns(seconds) return math.floor(math.min(seconds, 1e9) * ns + 0.5) end

function reach.check_name(name, what, level)
  local text = type(name) == "string"
  if text and #name >= 1 and #name <= 255 and name:byte() ~= 0 then return end
  local own = text and name:byte() == 0 and ", none that begins with a NUL" or ""
  error(("%s: a message's name is expected, 1 to 255 bytes%s (got %s)"):format(what, own, options.got(name)), level)
end

local function settle(what, ok, ...)
  if ok then return ... end
  local why, code = ...
  return nil, what .. ": " .. why, code
end

function reach.check_text(text, what, level)
  if type(text) == "string" then return end
  error(("%s: a text is expected (got %s)"):format(what, options.got(text)), level)
end

-- What eval in a node came to.
function reach.evaluated(id, ...) return settle(id .. ": eval", ...) end

-- The results of what was asked; nil, message, code.
function reach.settle(host, what, T, asked, message, code)
  if not asked then return nil, message, code end
  local _ <close> = asked
  host.wait(function() return asked:over() end, 1.1 * T)
  return settle(what, asked:results())
end

local submit_spec = { timeout = { "seconds" } }
local read_spec = {
  timeout = { "seconds" },
  consistency = { "choice", of = { "strong" }, default = "strong" },
}

-- Functions stay where they were written: a question is plain data, for the machine's `query`.
local function check_value(v, what, name, level)
  if type(v) == "table" then return end
  local why = type(v) == "function" and "; a function can't travel, `query` of the group can do it" or ""
  error(("%s: '%s' must be a table (got %s%s)"):format(what, name, options.got(v), why), level + 1)
end

local function same(...) return ... end       -- what it is given was not called last: levels count up to the user

-- The group `name` of node `id`. host: and submit(verb, name, T, value), peek(name, value), group_status(name),
-- causes(name, n); maybe now(), the time that people see, and hint(id), what is known of the way there.
function reach.group(host, id, name)
  local api = {}
  local function submit(verb, value, opts, spec)
    local what = ("%s:%s"):format(name, verb)
    check_value(value, what, verb == "read" and "question" or "op", 3)
    local T = options.check(opts == nil and {} or opts, spec, what, 3).timeout or host.timeout
    return reach.settle(host, ("%s: %s"):format(id, what), T, host.submit(verb, name, reach.in_ns(T), value))
  end
  function api.propose(op, opts) return same(submit("propose", op, opts, submit_spec)) end
  function api.read(q, opts) return same(submit("read", q, opts, read_spec)) end
  function api.peek(q)
    check_value(q, name .. ":peek", "question", 2)
    return settle(("%s: %s:peek"):format(id, name), host.peek(name, q))
  end
  function api.snapshot()
    local T = 60                        -- the others are waited for: half a minute at most
    local what = ("%s: %s:snapshot"):format(id, name)
    return reach.settle(host, what, T, host.submit("snapshot", name, reach.in_ns(T), {}))
  end
  function api.status()
    local now = host.group_status(name)
    if now then return now end
    return nil, ("group:status: %s bears no replica of %s now"):format(id, name), "unavailable"
  end
  function api.why(n)
    n = why.check(n, name .. ":why", 2)
    local causes, now, code = host.causes(name, n + 1)
    if not causes then return nil, ("%s: %s:why: no replica is here now"):format(id, name), code end
    return why.new(id, n, causes, host.now and host.now() - now or 0, host.hint)
  end
  local object
  local methods = { name = name, title = ("orrery.group(%s at %s)"):format(name, id) }
  for key, f in pairs(api) do
    methods[key] = function(given, ...)
      if given ~= object then
        error(("group %s.%s must be called as a method: %s:%s(...)"):format(name, key, name, key), 2)
      end
      return f(...)
    end
  end
  object = later.guard("group " .. name, methods, later.handle_group, ":")
  return object
end

return reach
