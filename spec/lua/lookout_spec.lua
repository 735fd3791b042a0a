-- lookout_spec.lua - looking at a live cluster: watch, timeline and plot of connected handles, and above a prompt.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())
local nursery = assert(core.process.nursery())
local port = 20006 + core.process.pid() % 1200 * 10       -- connect_spec's are below
local ids, pids, said = { "a", "b", "c" }, {}, {}

local function at(id) return ("127.0.0.1:%d"):format(port + id:byte() - ("a"):byte()) end

folder:write("node.lua", [[
  local sum = node:replicate("sum", {
    init = function() return { n = 0 } end,
    apply = function(state, op)
      state.n = state.n + op.by
      return state.n
    end,
    query = { n = function(state) return state.n end },
  })
  node.state.calls = 0
  node:on("add", function(by)
    node.state.calls = node.state.calls + 1
    return sum:propose { by = by }
  end)
]])
local file
do
  local nodes = {}
  for i, id in ipairs(ids) do nodes[i] = ('{ id = "%s", at = "%s" }'):format(id, at(id)) end
  file = folder:write("cluster.lua", ([[
    return orrery.cluster { name = "spec", node = "node.lua", timing = { call = 5 }, nodes = { %s } }]]):format(
    table.concat(nodes, ", ")))
end

-- Until done(), what the processes say is taken, and kept.
local function hear(done, T)
  local until_time = core.process.clock() + T
  repeat
    local what, pid, _, bytes = nursery:wait(0.02)
    if what == "data" then said[pid] = (said[pid] or "") .. bytes end
    if what == "exit" then said[pid] = (said[pid] or "") .. "\nexit " .. tostring(bytes) .. "\n" end
  until done() or core.process.clock() > until_time
  return done()
end

local function start(id)
  pids[id] = assert(nursery:spawn { program, "run", file, "--node", id, "--data", folder.path .. "/data" })
end
local function is_ready(id) return (said[pids[id]] or ""):find "\nready\n" ~= nil end

local function kill(id)
  nursery:kill(pids[id], "KILL")
  assert(hear(function() return (said[pids[id]] or ""):find "\nexit " end, 10))
end

setup(function()
  for _, id in ipairs(ids) do start(id) end
  assert(hear(function() return is_ready "a" and is_ready "b" and is_ready "c" end, 60), "the nodes don't get ready")
end)
teardown(function()
  nursery:close()
  folder:remove()
end)

local function connect(id) return assert(orrery.connect(at(id))) end

-- Looks on until done(); at most so long.
local function look(handle, done, T)
  local until_time = core.process.clock() + (T or 20)
  repeat handle:step(0.05) until done() or core.process.clock() > until_time
  return done()
end

-- A handle whose watches tell into a list, without the time.
local function watching(id)
  local handle, told = connect(id), {}
  assert(#handle:timeline() > 0)
  handle.family.lookout.say = function(text)
    told[#told + 1] = assert(text:match "^%d%d:%d%d:%d%d%.%d%d%d  (.*)$", text)
  end
  return handle, told
end

local function leader_of(handle)
  for _, id in ipairs(ids) do
    local group = handle.nodes[id]:status().groups.sum
    if group and group.role == "leader" then return id end
  end
end

local function first_but(id) return id == "a" and "b" or "a" end

describe("a connected handle", function()
  it("watches leader, roles, commit, a node's state and figures", function()
    local a <close>, told = watching "a"
    local leader = leader_of(a)
    assert.equal(("orrery.watch(leader = %q)"):format(leader), tostring(a:watch "leader"))
    assert.matches(("%s = \"leader\""):format(leader), tostring(a:watch "roles"), 1, true)
    assert.equal("orrery.watch(b.state.calls = 0)", tostring(a.nodes.c:watch "b.state.calls"))
    assert.equal('orrery.watch(a.role = "' .. a:status().groups.sum.role .. '")', tostring(a:watch "a.role"))
    local commit = math.tointeger(a:watch "commit".last)
    for n = 1, 3 do assert.equal(n, a.nodes.b:call("add", 1)) end
    assert(look(a, function() return table.concat(told, "\n"):find "commit  %d+ %-> %d+" end))
    assert(look(a, function() return table.concat(told, "\n"):find "b%.state%.calls  %d %-> 3" end))
    local _, grown = table.concat(told, "\n"):match "commit  (%d+) %-> (%d+)"
    assert.is_true(math.tointeger(grown) > commit)
  end)

  it("tells at most two lines a second of each watch, and the last change always", function()
    local a <close>, told = watching "a"
    a:watch "a.state.calls"
    local from, began = a.state.calls, core.process.clock()
    for _ = 1, 40 do a:call("add", 1) end
    assert(look(a, function() return told[#told] and told[#told]:find(("-> %d"):format(from + 40), 1, true) end))
    assert.is_true(#told <= 2 * (core.process.clock() - began) + 1)
  end)

  it("tells of a leader's end and of the next, with what that came from", function()
    local any <close> = connect "a"
    local old = leader_of(any)
    local h <close>, told = watching(first_but(old))
    local began = core.process.clock()
    h:watch "leader"
    kill(old)
    assert(look(h, function() return #told >= 2 end))
    assert.same({ ('leader  "%s" -> nil'):format(old), 'leader  nil -> "' }, { told[1], told[2]:sub(1, 16) })
    local new = told[2]:match '"(%a)"$'
    assert.is_true(new ~= old)
    start(old)
    assert(look(h, function() return tostring(h:timeline()):find("started anew", 1, true) end))
    assert(hear(function() return is_ready(old) end, 30))
    local events, text = h:timeline(), tostring(h:timeline())
    assert.matches(("%s  doesn't answer: the node closed the connection"):format(old), text, 1, true)
    assert.matches(("%s  answers: it was started anew"):format(old), text, 1, true)
    assert.matches(("\n  %%d%%d:%%d%%d:%%d%%d.%%d%%d%%d  %s  leads in term %%d+: stood in term %%d+, and asked"):format(
      new), text)
    local before
    for _, e in ipairs(events) do
      assert.is_true(e.at >= (before or 0) and e.at <= core.process.clock() - began + 5)
      assert.is_true(math.abs(e.wall - os.time()) < 120)
      before = e.at
    end
    for _, e in ipairs(h:timeline { kinds = { "down", "restart" }, nodes = { old } }) do
      assert.is_true(e.node == old and (e.kind == "down" or e.kind == "restart"))
    end
    assert.equal(0, #h:timeline { nodes = { first_but(old) }, kinds = { "down" } })
    assert.equal(0, #h:timeline { from = before + 1 })
  end)

  it("counts a node that says nothing as down, until it speaks", function()
    local any <close> = connect "a"
    local still = leader_of(any) == "c" and "b" or "c"
    local h <close>, told = watching(still == "c" and "a" or "c")
    h:watch(still .. ".role")
    nursery:kill(pids[still], "STOP")
    local ok = look(h, function() return #told > 0 and told[#told]:find("-> nil", 1, true) end)
    nursery:kill(pids[still], "CONT")
    assert(ok)
    assert.matches(still .. '%.role  "%a+" %-> nil$', told[#told])
    assert.matches(still .. "  doesn't answer: nothing for 1 s", tostring(h:timeline()), 1, true)
    assert(look(h, function() return not told[#told]:find("-> nil", 1, true) end))
    local text = tostring(h:timeline { kinds = { "up", "restart" } })
    assert.matches(still .. "  answers", text, 1, true)
    assert.is_nil(text:find("anew", 1, true))
  end)

  it("plots what was seen", function()
    local a <close> = connect "a"
    a:timeline()
    for _ = 1, 4 do
      a:call("add", 1)
      look(a, function() return false end, 0.3)
    end
    local commit = a:status().groups.sum.commit
    assert(look(a, function() return a:plot("commit", { width = 20 }).series.commit.b[40] >= commit end))
    local charts = a:plot("term", "commit", { width = 20 })
    local values = charts.series.commit.a
    assert.is_true(values[40] >= commit and (values[1] == false or values[1] < values[40]))
    assert.matches("^term   a %d+  b %d+  c %d+\n", tostring(charts))
    assert.is_true(a:plot("lag", { path = folder.path .. "/lag.svg" }))
    assert.matches("spec, from %d%d:%d%d:%d%d%.%d%d%d on", folder:read "lag.svg")
  end)

  it("ends what it watches, one or all, and no more is told", function()
    local a <close>, told = watching "a"
    local one = a:watch "commit"
    a:watch "term"
    a:watch "a.state.calls"
    one:close()
    assert.equal(1, a:unwatch "a.state.calls")
    assert.equal(1, a.nodes.b:unwatch())
    assert.equal(0, a:unwatch())
    local n = #told
    a:call("add", 1)
    look(a, function() return false end, 0.7)
    assert.equal(n, #told)
    for _ = 1, 100 do a:watch "term" end
    assert.same({ nil, "node:watch: 100 are watched, as many as can be; unwatch() ends them", "overloaded" },
      { a:watch "term" })
    local b = a.nodes.b
    a:close()
    assert.same({ nil, "a: the handle is closed", "closed" }, { a:watch "term" })
    assert.same({ nil, "b: the handle is closed", "closed" }, { b:timeline() })
    assert.equal(0, a:unwatch())
  end)

  it("says what is wrong, and what only a simulation has", function()
    local a <close> = connect "a"
    assert.has_error(function() a:watch "ledaer" end, 'node:watch: \'what\' must be "applied", "commit", "leader", ' ..
      '"roles", "term" or a node\'s like "a.state" (got "ledaer" (nearest: \'leader\'))')
    assert.has_error(function() a:watch("leader", "sun") end,
      'node:watch: no node that is up has a group "sun" (nearest: \'sum\')')
    assert.has_error(function() a:timeline { kinds = { "message" } } end,
      "node:timeline: 'kinds' has \"message\", which is none")
    assert.has_error(function() a:plot "comit" end, 'node:plot: a figure must be "applied", "commit", "lag" or ' ..
      '"term" (got "comit" (nearest: \'commit\'))')
    assert.has_error(function() a:diagram "x.svg" end, "node a:diagram: a diagram needs every message, and a live " ..
      "cluster tells of none: sim:diagram draws a simulation's; here there are timeline and plot")
    assert.has_error(function() a:back(1) end,
      "node a:back: wall time goes one way: only a simulation can be led back, orrery.sim")
    local where = select(2, pcall(function() a:watch "ledaer" end))
    assert.matches("^[^\n]*lookout_spec.lua:%d+: ", where)
    where = select(2, pcall(function() a:timeline { kinds = { "message" } } end))
    assert.matches("^[^\n]*lookout_spec.lua:%d+: ", where)
    where = select(2, pcall(function() a:plot "comit" end))
    assert.matches("^[^\n]*lookout_spec.lua:%d+: ", where)
  end)
end)

describe("a prompt on a live cluster", function()
  -- A terminal of 80 columns, in which these lines are typed, each after so many seconds.
  local function typed(lines)
    local script = {}
    for _, line in ipairs(lines) do
      script[#script + 1] = ("sleep %g; printf '%%s' '%s'"):format(line[1], (line[2]:gsub("'", "'\\''")))
    end
    local command = ("(%s; printf '\\n'; sleep 0.3; printf '\\004') | TERM=%s XDG_STATE_HOME='%s' timeout 60 " ..
      "script -qec 'stty cols 80; \"%s\" repl --connect %s' /dev/null"):format(table.concat(script, "; "),
      lines.terminal or "xterm", folder.path, program, at "a")
    local pipe = io.popen(command .. " 2>&1")
    local out = pipe:read "a"
    pipe:close()
    return (out:gsub("\r", ""))
  end

  it("tells above the line that is being typed, and leaves that as it is", function()
    local out = typed { { 1.5, "live:watch 'a.state.calls'\nb:cast('add', 1); a:cast('add', 1)\nprint('half" },
      { 3, " typed')" } }
    assert.matches("orrery.watch(a.state.calls = ", out, 1, true)
    assert.matches("%d%d:%d%d:%d%d%.%d%d%d  a%.state%.calls  %d+ %-> %d+\n", out)
    assert.matches("%-> %d+\n[^\n]*spec> print%('half", out)
    assert.matches("\nhalf typed\n", out, 1, true)
  end)

  it("does so in a terminal that can't go up", function()
    local out = typed { terminal = "dumb", { 1.5, "live:watch 'a.state.calls'\na:cast('add', 1)\n" }, { 3, "1 + 1" } }
    assert.matches("\n%d%d:%d%d:%d%d%.%d%d%d  a%.state%.calls  %d+ %-> %d+\n", out)
    assert.matches("\n2\n", out, 1, true)
  end)
end)
