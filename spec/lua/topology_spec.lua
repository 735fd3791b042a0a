-- topology_spec.lua - which pairs each topology links, how they join and draw, what they complain of.
local topology = require "orrery.topology"

local function pairs_of(t, ids)
  local out = {}
  for i, pair in ipairs(t:list(ids)) do out[i] = pair[1] .. pair[2] end
  return table.concat(out, " ")
end

local function complaint(f)
  local ok, message = pcall(f)
  assert.is_false(ok)
  return (message:gsub("^spec/lua/topology_spec.lua:%d+: ", ""))
end

local abcd = { "a", "b", "c", "d" }

describe("a topology", function()
  it("links", function()
    assert.equal("ab ac ad bc bd cd", pairs_of(topology.mesh(), abcd))
    assert.equal("ab bc cd ad", pairs_of(topology.ring(), abcd))
    assert.equal("ab", pairs_of(topology.ring(), { "a", "b" }))
    assert.equal("", pairs_of(topology.ring(), { "a" }))
    assert.equal("ab bc cd", pairs_of(topology.line(), abcd))
    assert.equal("ab ac ad", pairs_of(topology.star(), abcd))
    assert.equal("ac bc cd", pairs_of(topology.star { center = "c" }, abcd))
    assert.equal("ab ac bd", pairs_of(topology.tree(), abcd))
    assert.equal("ab bc cd", pairs_of(topology.tree { arity = 1 }, abcd))
    assert.equal("ad bc", pairs_of(topology.links { { "d", "a" }, { "b", "c" } }, abcd))
  end)

  it("joins, a pair being one pair, the later figures counting", function()
    local t = topology.links { { "a", "b", delay = 1, loss = 0.5 } } + topology.line()
      + topology.links { { "b", "a", delay = 2, bandwidth = 9 } }
    assert.equal("ab bc cd", pairs_of(t, abcd))
    assert.same({ "a", "b", delay = 2, loss = 0.5, bandwidth = 9 }, t:list(abcd)[1])
  end)

  it("knows each node's peers, sorted", function()
    assert.same({ "b", "d" }, topology.ring():peers(abcd, "a"))
    assert.same({ "a", "b", "d" }, topology.mesh():peers(abcd, "c"))
    assert.same({ "a", "b", "d" }, (topology.line() + topology.mesh()):peers(abcd, "c"))
    assert.same({}, topology.links({ { "a", "b" } }):peers(abcd, "c"))
    local many = {}
    for i = 1, 10000 do many[i] = "n" .. i end
    assert.equal(9999, #topology.mesh():peers(many, "n1"))
  end)

  it("draws itself", function()
    assert.equal([[
ring()
    a b c d e
  a . o     o
  b o . o
  c   o . o
  d     o . o
  e o     o .]], tostring(topology.ring()))
    assert.equal([[
links of 1
     x  yy
  x  .  o
  yy o  .]], tostring(topology.links { { "x", "yy" } }))
    assert.equal([[star{ center = "b" } + tree{ arity = 2 }]],
      tostring(topology.star { center = "b" } + topology.tree()):match "^[^\n]*")
  end)

  it("is given for some of the nodes where their links stay as they are, and else not", function()
    local function among(t, ...)
      local part = t:among(abcd, { ... })
      return part and pairs_of(part, { ... }) or nil
    end
    assert.equal("ac ad cd", among(topology.mesh(), "a", "c", "d"))
    assert.equal("", among(topology.mesh(), "b"))
    assert.is_nil(among(topology.ring(), "a", "b", "c"))
    assert.equal("bc", among(topology.line(), "b", "c"))
    assert.is_nil(among(topology.line(), "a", "c"))
    assert.equal("ac ad", among(topology.star(), "a", "c", "d"))
    assert.is_nil(among(topology.star(), "b", "c", "d"))
    assert.equal("bd cd", among(topology.star { center = "d" }, "b", "c", "d"))
    assert.is_nil(among(topology.star { center = "d" }, "b", "c"))
    assert.equal("ab ac", among(topology.tree(), "a", "b", "c"))
    assert.is_nil(among(topology.tree(), "a", "c", "d"))
    local far = topology.links { { "a", "b", delay = 0.2 }, { "c", "d" } }
    assert.equal("ab", among(far, "a", "b", "c"))
    assert.equal("cd", among(far, "c", "d"))
    assert.same({ { "a", "b", delay = 0.2 }, { "a", "c" }, { "b", "c" } },
      (topology.mesh() + far):among(abcd, { "a", "b", "c" }):list { "a", "b", "c" })
    assert.is_nil(among(topology.ring() + far, "a", "b", "c"))
  end)

  it("comes back from plain data", function()
    local plain = load("return " .. require "orrery.show".literal(topology.ring() + topology.star { center = "b" }))()
    assert.equal("ab bc cd ad bd", pairs_of(topology.revive(plain), abcd))
  end)

  local cases = {
    { function() topology.star { centre = "a" } end, "topology.star: 'centre' is unknown (nearest: 'center')" },
    { function() topology.star { center = 7 } end, "topology.star: 'center' must be a node's id (got 7)" },
    { function() topology.tree { arity = 0 } end, "topology.tree: 'arity' must be an integer from 1 to 10000 (got 0)" },
    { function() topology.mesh "x" end, [[topology.mesh: options must be a table (got "x")]] },
    { function() topology.links() end, "topology.links: must be an array of links (got nothing)" },
    { function() topology.links { { "a" } } end, "topology.links: '[1][2]' is missing, must be a node's id" },
    { function() topology.links { { "a", "a" } } end, [[topology.links: '[1]' must be two nodes (got "a" twice)]] },
    { function() topology.links { { "a", "b", loss = 2 } } end,
      "topology.links: '[1].loss' must be a number from 0 to 1 (got 2)" },
    { function() topology.links { { "a", "b", dely = 2 } } end,
      "topology.links: '[1].dely' is unknown (nearest: 'delay')" },
    { function() return topology.ring() + 1 end, "topology +: operand 2 must be an orrery.topology (got 1)" },
  }
  for _, case in ipairs(cases) do
    it("complains: " .. case[2], function() assert.equal(case[2], complaint(case[1])) end)
  end
end)
