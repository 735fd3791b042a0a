-- why_spec.lua - g:why: how a replica came to its role, term and leader, as lines and as fields, inside and outside.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local script = [[
  local g = node:replicate("g", { apply = function() end, on = "x" })
  local some = node:replicate("some", { machine = "kv", on = "y" })
  node:on("text", function(n) return tostring(g:why(n)) end)
  node:on("fields", function()
    local list = {}
    for i, c in ipairs(g:why(32)) do list[i] = { c.kind, c.id, c.at, c.last, c.count, c.term, c.peer or "" } end
    return list, node:now()
  end)
  node:on("elsewhere", function() return some:why() end)
  node:on("wrong", function(n) return select(2, pcall(g.why, g, n)) end)]]

local function kinds(causes)
  local list = {}
  for i, c in ipairs(causes) do list[i] = c.kind .. " " .. c.term end
  return table.concat(list, ", ")
end

describe("g:why", function()
  it("tells of an election, from all sides", function()
    local sim <close> = start(script)
    local leader = sim:leader "g"
    local causes = sim.nodes[leader]:group("g"):why()
    assert.equal("start 1, silence 1, prevote 2, vote 2, won 2", kinds(causes))
    assert.is_true(causes[2].waited >= 0.25 and causes[2].waited <= 0.5)
    local text = tostring(causes)
    assert.matches("^  0%.00%d  (%l)  began, in term 1\n  0%.%d%d%d  %1  heard from no leader for 0%.%d%d%d s\n", text)
    assert.matches("  %l  asked %l, %l for a pre%-vote: .*%l agreed.*; term stays 1\n", text)
    assert.matches("  %l  stood in term 2, and asked %l, %l for a vote: .*%l gave it.*\n", text)
    assert.matches("  %l  leads term 2$", text)
    for _, id in ipairs { "a", "b", "c" } do
      if id ~= leader then
        causes = sim.nodes[id]:group("g"):why()
        assert.matches(", leader 2$", kinds(causes))
        assert.equal(leader, causes[#causes].peer)
        assert.equal(1, #sim.nodes[id]:group("g"):why(1))
        assert.equal(id, causes[1].id)
      end
    end
    local list, now = sim:call(leader, "fields")
    assert.equal(5, #list)
    assert.same({ "won", leader, 2, "" }, { list[5][1], list[5][2], list[5][6], list[5][7] })
    assert.is_true(list[5][3] < now and list[5][3] > now - 1)
    assert.matches("leads term 2$", sim:call(leader, "text", 2))
  end)

  it("tells who is cut off that he is, and counts what is the same", function()
    local sim <close> = start(script)
    local leader = sim:leader "g"
    local one = leader == "a" and "b" or "a"
    sim:cut(leader, one)
    sim:run(3)
    local text = tostring(sim.nodes[one]:group("g"):why())
    local silence = "heard nothing from its leader %s for 0%%.%%d+ s: the link %s%%-%s is cut since 1%%.000"
    assert.matches(silence:format(leader, one, leader), text)
    assert.matches("has said nothing (the link " .. one .. "-" .. leader .. " is cut since 1.000)", text, 1, true)
    assert.matches("refused (it hears a leader, or has more of the log); term stays 2", text, 1, true)
    assert.matches("the same, %d+ more times$", text)
    local causes = sim.nodes[one]:group("g"):why(1)
    assert.is_true(causes[1].count > 3 and causes[1].last > causes[1].at + 1)
    assert.equal("silent", causes[1].ballots[leader])
    sim:partition({ leader }, { "a", "b", "c" })
    sim:run(1)
    assert.matches("led, but heard from no majority for 0%.%d+ s", tostring(sim.nodes[leader]:group("g"):why()))
    sim:heal()
    sim:run(2)
    local last = sim.nodes[leader]:group("g"):why(1)[1]
    assert.is_true(last.kind == "leader" or last.kind == "won" or last.kind == "voted", last.kind)
  end)

  it("is refused where there is nothing to tell", function()
    local sim <close> = start(script)
    local _, message, code = sim:call("a", "elsewhere")
    assert.same({ "some: why: a has no replica", "unavailable" }, { message, code })
    assert.matches("g:why: 'n' must be an integer from 1 up (got 0)", sim:call("a", "wrong", 0), 1, true)
    local group = sim.nodes.b:group "g"
    _, message = pcall(group.why, group, 1.5)
    assert.matches("g:why: 'n' must be an integer from 1 up (got 1.5)", message, 1, true)
    sim:kill "b"
    _, message, code = group:why()
    assert.same({ "b: g:why: no replica is here now", "unavailable" }, { message, code })
  end)

  it("is in order and says who leads, whatever happens", function()
    for seed = 1, 30 do
      local sim <close> = orrery.sim("examples/counter/cluster.lua", { seed = seed, faults = "default" })
      sim:run(8)
      sim:heal()
      sim:run(4)
      for _, id in ipairs { "a", "b", "c" } do
        if sim.nodes[id]:status().state == "up" then
          local causes = sim.nodes[id]:group("counter"):why(32)
          local status = sim.nodes[id]:group("counter"):status()
          local last = causes[#causes]
          for i = 2, #causes do assert.is_true(causes[i].at >= causes[i - 1].at) end
          assert.equal(status.term, last.term, tostring(causes))
          assert.equal(status.leader, last.kind == "won" and id or last.peer, tostring(causes))
        end
      end
    end
  end)
end)
