-- look_spec.lua - looking at a run: watch, timeline, why, diagram, plot; and what it is measured by: rto, converging.
local orrery = require "orrery"
local counter, kv = "examples/counter/cluster.lua", "examples/kv/cluster.lua"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

-- A partial partition: the leader and one follower don't hear each other. And the end of that leader.
local function cut_run(seed)
  local sim = orrery.sim(counter, { seed = seed or 1 })
  sim:seek(1)
  local leader = sim:leader()
  local other = leader == "a" and "b" or "a"
  sim:cut(leader, other)
  sim:seek(3)
  return sim, leader, other
end

describe("sim:watch", function()
  local function watching(path)
    local sim, said = orrery.sim(path or counter), {}
    function sim.say(text) said[#said + 1] = text end
    return sim, said
  end

  it("tells what changes, and when", function()
    local sim <close>, said = watching()
    assert.equal("orrery.watch(leader = nil)", tostring(sim:watch "leader"))
    sim:watch "term"
    sim:seek(1)
    assert.same({ "0.002  term  nil -> 1", "0.331  term  1 -> 2", "0.332  leader  nil -> \"a\"" }, said)
  end)

  it("takes a node's state, role and figures, and functions", function()
    local sim <close>, said = watching "examples/election/cluster.lua"
    sim:watch "a.state.leader"
    sim:watch "a.ready"
    sim:watch(function(s) return s:now() > 0.5 end)
    sim:run(1)
    sim:call("c", "start")
    sim:run(1)
    assert.matches("^0.%d+  a.ready  false %-> true$", said[1])
    assert.matches("^0.5%d+  function  false %-> true$", said[2])
    assert.matches("^1.%d+  a.state.leader  nil %-> \"b\"$", said[3])
  end)

  it("ends by close, by unwatch, by what was given", function()
    local sim <close>, said = watching()
    local one = sim:watch "leader"
    sim:watch "term"
    sim:watch "a.role"
    one:close()
    assert.equal(1, sim:unwatch "a.role")
    assert.equal(1, sim:unwatch())
    sim:run(1)
    assert.same({}, said)
  end)

  it("tells nothing of time travel, and changes nothing", function()
    local sim <close>, said = watching()
    sim:watch "leader"
    sim:run(1)
    local digest, n = sim:digest(), #said
    local at = sim:now()
    sim:seek(0.1)
    sim:seek(at)
    assert.equal(n, #said)
    local plain <close> = orrery.sim(counter)
    plain:run(1)
    assert.equal(plain:digest(), digest)
    assert.equal(digest, sim:digest())
    assert.has_error(function() sim:watch "ledaer" end, 'sim:watch: \'what\' must be "applied", "commit", "leader", ' ..
      '"roles", "term", a node\'s like "a.state" or a function (got "ledaer" (nearest: \'leader\'))')
  end)
end)

describe("sim:timeline", function()
  it("tells in order what happened, with the causes of elections", function()
    local sim <close>, leader, other = cut_run()
    sim:kill(leader)
    sim:seek(4)
    local list = sim:timeline()
    local text = tostring(list)
    for i = 2, #list do assert.is_true(list[i].at >= list[i - 1].at) end
    assert.matches(("  1.000  cut: %s-%s\n"):format(leader, other), text, 1, true)
    assert.matches(("\n  1%%.%%d+  %s  asks whether it may stand; its term is 2: heard nothing from its leader %s " ..
      "for 0%%.%%d+ s: the link %s%%-%s is cut since 1%%.000"):format(other, leader, other, leader), text)
    assert.matches(("\n  3.000  %s  is killed\n"):format(leader), text, 1, true)
    assert.matches("leads in term 3: stood in term 3, and asked .* has said nothing %(" .. leader ..
      " is down since 3.000%)", text)
  end)

  it("tells a partition by its sides", function()
    local bare = require "orrery.repl.bare"
    local sim <close> = bare.new({}, function() end)(5)
    sim:seek(1.5)
    sim:partition({ "n2", "n4" }, { "n1", "n3", "n5" })
    sim:seek(2)
    sim:heal()
    sim:cut_way("n1", "n5")
    sim:seek(2.5)
    sim:partition({ "n1", "n2" }, { "n3" }, { "n4", "n5" })
    sim:seek(3)
    local text = tostring(sim:timeline { kinds = { "cut", "heal" } })
    assert.equal("  1.500  cut: n1, n3, n5 from n2, n4\n  2.000  whole again: n1, n3, n5 from n2, n4\n" ..
      "  2.000  cut: n1 to n5\n  2.500  cut: n1-n3, n1-n4, n2-n3, n2-n4, n2-n5, n3-n4, n3-n5, n5 to n1", text)
    assert.is_true(sim:diagram(folder.path .. "/sides.svg"))
    local drawn = folder:read "sides.svg"
    assert.matches(">n1, n3, n5 ✕ n2, n4<", drawn, 1, true)
    assert.matches(">n1 ✕→ n5<", drawn, 1, true)
  end)

  it("takes a part: of the time, of the nodes, of the kinds", function()
    local sim <close>, leader = cut_run()
    sim:call(leader, "add", 1)
    for _, e in ipairs(sim:timeline { from = 0.5, till = 2, nodes = { leader } }) do
      assert.is_true(e.at >= 0.5 and e.at <= 2)
      assert.is_true(e.node == leader or e.ways ~= nil)
    end
    local n = { message = 0, commit = 0, call = 0 }
    for _, e in ipairs(sim:timeline { from = 3, kinds = { "message", "commit", "call" } }) do
      n[e.kind] = n[e.kind] + 1
    end
    assert.equal(1, n.call)
    assert.is_true(n.commit >= 1 and n.message >= 2)
    assert.has_error(function() sim:timeline { kinds = { "comit" } } end,
      "sim:timeline: 'kinds' has \"comit\", which is none (nearest: 'commit')")
    assert.has_error(function() sim:timeline { nodes = { "z" } } end, "sim:timeline: 'nodes' has \"z\", which is none")
  end)

  it("says how calls ended, also on the way back", function()
    local sim <close> = orrery.sim(kv)
    sim:seek(1)
    local client = sim:client { to = "a" }
    client:call("SET", "k", "v")
    sim:seek(1.5)
    local function calls() return tostring(sim:timeline { kinds = { "call" } }) end
    local text = calls()
    assert.matches("^  1.000  a  is asked SET k v: answered after 0%.%d+ s$", text)
    sim:seek(2)
    sim:seek(1.5)
    assert.equal(text, calls())
    sim:seek(0.9)
    assert.equal("", calls())
  end)
end)

describe("sim:why", function()
  it("walks from a leader to what made the one before silent", function()
    local sim <close> = orrery.sim(counter)
    sim:seek(1)
    local leader = sim:leader()
    sim:kill(leader)
    sim:run_until("leader", 5)
    local text = tostring(sim:why "leader")
    assert.matches("^  1.%d+  %w  leads in term 3\n", text)
    assert.matches("heard nothing from its leader " .. leader, text, 1, true)
    assert.matches(leader .. " is down (kill), still", text, 1, true)
  end)

  it("tells the cause of this time, not of an earlier one in the same term", function()
    local sim <close> = orrery.sim(counter, { seed = 1 })
    sim:run(2)
    local leader = sim:leader()
    local other = leader == "a" and "b" or "a"
    for _ = 1, 2 do
      sim:cut(leader, other)
      sim:run(1)
      sim:heal()
      sim:run(1)
    end
    local text = tostring(sim:timeline { kinds = { "leader" }, nodes = { other } })
    assert.matches("2%.%d+  %w  asks whether [^\n]+ is cut since 2%.000\n", text)
    assert.matches("4%.%d+  %w  asks whether [^\n]+ is cut since 4%.000\n", text)
  end)

  it("plays again where the replica has forgotten", function()
    local sim <close>, leader, other = cut_run()
    local asks
    for _, e in ipairs(sim:timeline()) do
      if e.what == "precandidate" and e.node == other then asks = asks or e end
    end
    sim:restart(other)
    sim:seek(6)
    local text = tostring(sim:why(asks))
    assert.matches(("heard nothing from its leader %s for"):format(leader), text, 1, true)
    assert.matches(("%s sent %s %%d+ messages from .*: %%d+ were not there by then"):format(leader, other), text)
    assert.matches("the link a-b is cut, still", text, 1, true)
    assert.equal(6, sim:now())
  end)

  it("says what a slow call waited for", function()
    local sim <close> = cut_run()
    sim:kill(sim:leader())
    local id = sim.core:state "a" == "up" and "a" or "b"
    assert.is_truthy(sim:call(id, "add", 1))
    local text = tostring(sim:why "call")
    assert.matches(("^  3.000  %s  is asked add: answered after 0%%.%%d+ s\n"):format(id), text)
    assert.matches("nobody leads counter until 3%.%d+", text)
    assert.matches("the longest wait", text, 1, true)
    local cut <close>, leader, other = cut_run()
    assert.is_nil((cut:call(other, "add", 1)))
    text = tostring(cut:why "call")
    assert.matches(("is asked add: no_leader after 1%%.%%d+ s\n    1.000  the link a%%-b is cut, still\n" ..
      "    1%%.%%d+  %s  asks whether it may stand; its term is 2\n" ..
      "      1%%.%%d+  %s  heard nothing from its leader %s"):format(other, other, leader), text)
    assert.same({ nil, "sim:why: there is no event snapshot", "unavailable" }, { sim:why "snapshot" })
    assert.has_error(function() sim:why "ledaer" end,
      "sim:why: 'event' must be an event of sim:timeline or its kind (got \"ledaer\" (nearest: 'leader'))")
  end)
end)

local parse = dofile "spec/lua/svg.lua"

describe("sim:diagram", function()
  local function drawn(sim, opts)
    local path = folder.path .. "/d.svg"
    assert.is_true(sim:diagram(path, opts))
    return folder:read "d.svg"
  end

  it("is valid, without scripts, and the same each time", function()
    local one <close> = cut_run()
    local text = drawn(one, { from = 0.9 })
    local names = parse(text)
    assert.is_nil(names.script)
    assert.is_nil(text:find("http[^\"]*", (text:find("xmlns", 1, true)) + 40))
    assert.is_true(names.title > 100 and names.line > 100)
    assert.matches("prefers-color-scheme:dark", text, 1, true)
    local two <close> = cut_run()
    assert.equal(text, drawn(two, { from = 0.9 }))
    one:seek(2)
    one:seek(3)
    assert.equal(text, drawn(one, { from = 0.9 }))
  end)

  it("shows cuts, what was lost in them, who led and who was killed", function()
    local sim <close>, leader, other = cut_run()
    sim:kill(leader)
    sim:seek(4)
    local text = drawn(sim, { from = 0.9 })
    assert.matches("a ✕ b", text, 1, true)
    assert.matches("the link a-b is cut: 1.000 s on", text, 1, true)
    assert.matches(("<title>1.0%%d+ s  %s to %s: heartbeat, term 2[^<]*; lost at 2.%%d+ s</title>"):format(leader,
      other), text)
    assert.matches(leader .. " goes down at 3.000 s: kill", text, 1, true)
    assert.matches(leader .. ": leader in term 2, 0.900 s to 3.000 s", text, 1, true)
    assert.is_truthy(text:find("leads, term 3", 1, true))
  end)

  it("is bounded where much happens, and says what it leaves out", function()
    local sim <close> = orrery.sim(kv)
    sim:run(20)
    local text = drawn(sim, { messages = 100 })
    assert.matches("%d+ heartbeats and answers that arrived aren&?%l*;?'?t drawn", text)
    assert.is_true(parse(text).line < 300)
  end)

  it("takes any names and texts", function()
    folder:write("odd/n.lua", 'node:on("<&>\\"\1", function() return 1 end)')
    local sim <close> = orrery.sim(folder:write("odd/c.lua", [[
      return orrery.cluster { name = "odd", node = "n.lua", nodes = {
        { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" } } }]]))
    sim:run(1)
    assert.equal(1, sim:call("a", "<&>\"\1"))
    parse(drawn(sim))
    assert.has_error(function() sim:diagram() end, "sim:diagram: 'path' must be the path of a file (got nothing)")
    assert.has_error(function() sim:diagram("x", { from = 2, till = 1 }) end,
      "sim:diagram: 'till' must be after 'from' (got 2, 1)")
    assert.same({ nil, "/nowhere/x.svg: No such file or directory", "unavailable" }, { sim:diagram "/nowhere/x.svg" })
  end)
end)

describe("sim:plot", function()
  it("draws figures in the terminal", function()
    local sim <close>, leader, other = cut_run()
    sim:call("c", "add", 1)
    sim:seek(4)
    local text = tostring(sim:plot("term", "lag", { width = 40 }))
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(2 * 7 + 1, #lines)
    assert.equal("term   a 2  b 2  c 2", lines[1])
    assert.matches("^lag   .*" .. other .. " 1", lines[8])
    assert.matches("0.000 s +4.000 s$", lines[15])
    for i = 2, 7 do assert.equal(3 + 40, utf8.len(lines[i])) end
    assert.not_equal(nil, leader)
    assert.has_error(function() sim:plot "trem" end,
      'sim:plot: a figure must be "applied", "commit", "lag" or "term" (got "trem" (nearest: \'term\'))')
  end)

  it("has what the replicas had", function()
    local sim <close> = cut_run()
    local series = sim:plot("commit", "applied", { width = 20 }).series
    for _, id in ipairs(sim.ids) do
      local status = sim.nodes[id]:group("counter"):status()
      assert.equal(status.commit, series.commit[id][40])
      assert.equal(status.applied, series.applied[id][40])
    end
    sim:kill "c"
    sim:run(1)
    series = sim:plot("commit", { width = 20 }).series
    assert.is_false(series.commit.c[40])
  end)

  it("writes them as SVG", function()
    local sim <close> = cut_run()
    assert.is_true(sim:plot("term", "commit", "lag", { path = folder.path .. "/p.svg" }))
    local names = parse(folder:read "p.svg")
    assert.equal(9, names.path)
  end)
end)

describe("sim:assert_converges", function()
  it("is true once all have applied what was committed, and raises where they don't", function()
    local sim <close>, _, other = cut_run()
    assert.is_truthy(sim:call("c", "add", 1))
    local ok, message = pcall(sim.assert_converges, sim, 1)
    assert.is_false(ok)
    assert.matches(("sim:assert_converges: not within 1 s: %s has applied counter only up to %%d+, and %%d+ was " ..
      "committed$"):format(other), message)
    assert.matches("converges", select(2, sim:check()), 1, true)
    local healed <close>, _, late = cut_run()
    healed:call("c", "add", 1)
    healed:heal()
    assert.is_true(healed:assert_converges(3))
    assert.equal(healed.nodes.c:group("counter"):status().applied, healed.nodes[late]:group("counter"):status().applied)
    healed:kill(late)
    assert.is_true(healed:assert_converges(0))
  end)
end)

describe("sim:rto", function()
  it("measures how long nobody is answered, and leaves the simulation alone", function()
    for _, of in ipairs { { kv }, { counter, { "add", 1 } } } do
      local sim <close> = orrery.sim(of[1])
      sim:run(1)
      local digest = sim:digest()
      local median, longest, all = sim:rto("kill leader", { write = of[2], tries = 4 })
      assert.is_true(median > 0.1 and median <= longest and longest < 2, tostring(median))
      assert.equal(4, #all)
      local quick = sim:rto("cut a b", { write = of[2] })
      assert.is_true(quick < 0.05)
      assert.equal(digest, sim:digest())
      assert.equal(median, (sim:rto(function(s) s:kill(s:leader()) end, { write = of[2], tries = 4 })))
    end
  end)

  it("says where nobody comes back", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    local ok, message, code = sim:rto(function(s) s:kill { "a", "b" } end, { limit = 2 })
    assert.is_nil(ok)
    assert.equal("sim:rto: try 1: nobody was answered within 2 s", message)
    assert.equal("timeout", code)
    assert.has_error(function() sim:rto "klil leader" end,
      "sim:rto: 'verb' must be a function or a text like \"kill leader\" (got \"klil leader\" (nearest: 'kill'))")
    assert.error_matches(function() orrery.sim(counter):rto "kill leader" end, "no node has a resp listener")
  end)
end)
