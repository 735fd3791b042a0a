-- node_members.lua - node.members, for scripts: which nodes of the cluster file are there, and alive.
--
-- The core knows (orrery/node_members.h). What changed is taken in a task of its own, which spawns one for each
-- subscription: these begin in the order of the changes.
local cluster = require "orrery.cluster"
local later = require "orrery.later"
local options = require "orrery.options"
local subscription = require "orrery.subscription"

local node_members = {}

local names = { "join", "suspect", "alive", "fail", "leave", "change" }

local ways = {
  direct = "answered in %.3f ms", indirect = "answered over others: the link between is cut",
  stream = "no answer by datagram, but its stream was heard", none = "no answer",
}

local function probe_line(p, now)
  local text = ways[p.way]
  if p.rtt then text = text:format(1e3 * p.rtt) end
  if p.asked then text = ("%s (asked %d others, %d of whom had none either)"):format(text, p.asked, p.nacks) end
  return ("  %.1f s ago: %s"):format(now - p.at, text)
end

local function suspicion_line(w)
  if not w.suspected_by then return nil end
  local text = "  suspected first by " .. w.suspected_by
  if w.suspected then text = ("%s, %.1f s ago, and by %d more"):format(text, w.now - w.suspected, w.confirmed) end
  if w.fails then text = ("%s; failed in %.1f s if it doesn't say that it lives"):format(text, w.fails - w.now) end
  return text
end

local function tell_why(w)
  local lines = { ("%s: %s for %.1f s, its start number %d%s"):format(w.id, w.state, w.now - w.since, w.start,
    w.refuted > 0 and ("; it has said %d times that it lives"):format(w.refuted) or "") }
  lines[#lines + 1] = suspicion_line(w)
  if w.phi then lines[#lines + 1] = ("  phi is %.1f"):format(w.phi) end
  for i = #w.probes, 1, -1 do lines[#lines + 1] = probe_line(w.probes[i], w.now) end
  if w.awareness > 0 then
    lines[#lines + 1] = ("  this node itself seems slow (%d): it waits %d times as long"):format(w.awareness,
      w.awareness + 1)
  end
  return table.concat(lines, "\n")
end

local why_meta = { __name = "orrery.why", __tostring = function(self) return self.text end }

-- self: { host, plan, own, life, tasks, secret(name) } -> node.members. self.members is for other files of the layer:
-- changes() grows when anything changed, state(id) is a member's state, or nil; ask() makes this node take part.
function node_members.open(self)
  local core, known, all, api = self.host.members, {}, {}, {}
  local watched, asked = false, false
  for _, id in ipairs(cluster.ids(self.plan.cluster)) do known[id] = true end

  local function check_id(id, what)
    if known[id] then return id end
    error(("%s: a node of the cluster is expected (got %s%s)"):format(what, options.got(id), options.hint(id,
      options.keys(known))), 3)
  end

  -- The first use of any kind: from then on this node takes part.
  local function ask()
    if asked then return end
    asked = core.ask() or false
  end

  local function take()
    local events, lost = core.events()
    if lost > 0 then
      self.host.log("warn", ("node.members: %d changes came faster than they were told; list() has them"):format(lost))
    end
    for _, e in ipairs(events) do
      local member = core.member(e.id)
      if member then
        member.event, member.by = e.event, e.by
        for _, s in ipairs(table.move(all, 1, #all, 1, {})) do
          if s.event == e.event and not s.closed then self.tasks.spawn(s.f, member) end
        end
      end
    end
  end

  -- Of the layer's own: f() at once, not as a task, after anything changed; it must not wait.
  local followers = {}
  local function watch(what, level)
    if watched then return end
    core.wanted()
    local room, most = self.host.groups.watch(nil, "members", function()
      for _, f in ipairs(followers) do f() end
      take()
    end)
    if not room then
      error(("%s: there are %d subscriptions, closed ones among them; there may be no more"):format(what, most),
        level + 1)
    end
    watched = true
  end

  self.members = {
    ask = ask, changes = core.changes, state = core.state,
    watch = function(f, what, level)
      ask()
      watch(what, level + 1)
      followers[#followers + 1] = f
    end,
  }

  function api.list()
    ask()
    return core.list()
  end

  function api.state(id)
    ask()
    return core.state(check_id(id, "node.members:state"))
  end

  function api.why(id)
    ask()
    local w = core.why(check_id(id, "node.members:why"))
    if not w then
      return nil, ("node.members:why: %s was not heard of yet"):format(id), "unavailable"
    end
    w.text = tell_why(w)
    return setmetatable(w, why_meta)
  end

  function api.rtt(a, b)
    ask()
    check_id(a, "node.members:rtt")
    return core.rtt(b == nil and self.own.id or a, b == nil and a or check_id(b, "node.members:rtt"))
  end

  function api.status()
    ask()
    return core.status() or {}
  end

  function api.tag(tags)
    if type(tags) ~= "table" then
      error(("node.members:tag: a table is expected (got %s)"):format(options.got(tags)), 2)
    end
    ask()
    return core.tags(tags)
  end

  local verbs = { "add", "use", "remove" }
  function api.key(verb, name)
    if verb ~= "add" and verb ~= "use" and verb ~= "remove" then
      error(("node.members:key: 'verb' must be %s (got %s%s)"):format(options.either(verbs), options.got(verb),
        options.hint(verb, verbs)), 2)
    end
    local text, message, code = self.secret(name)
    if not text then return nil, "node.members:key: " .. message, code end
    return core.key(verb, text)
  end

  function api.on(event, f)
    local what = "node.members:on"
    if self.life.over then error(what .. ": other scripts have replaced these", 2) end
    ask()
    local s = subscription.new(all, names, event, f, what, 3)
    watch(what, 2)
    return s
  end

  local object
  local methods = { title = "orrery.node.members" }
  for name, f in pairs(api) do
    methods[name] = function(given, ...)
      if given ~= object then
        error(("node.members.%s must be called as a method: node.members:%s(...)"):format(name, name), 2)
      end
      return f(...)
    end
  end
  object = later.guard("node.members", methods, {})
  return object
end

return node_members
