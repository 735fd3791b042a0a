-- mesh_spec.lua - orrery.mesh: what measured offsets say together, by hand.
local orrery = require "orrery"

-- Each pair of `names` with the offset that `clocks` has, off by what `wrong` says of "ab".
local function all_pairs(names, clocks, wrong)
  local edges = {}
  for i, from in ipairs(names) do
    for j = i + 1, #names do
      local to = names[j]
      local offset = clocks[to] - clocks[from] + (wrong[from .. to] or 0)
      edges[#edges + 1] = { from = from, to = to, offset = offset, sd = 1000 }
    end
  end
  return edges
end
local names, clocks = { "a", "b", "c", "d" }, { a = 0, b = 5000000, c = -700000, d = 123456789 }

describe("orrery.mesh", function()
  it("finds the clocks behind the offsets, and the one link that fits no other", function()
    local g = orrery.mesh { edges = all_pairs(names, clocks, { bd = 2500000 }) }
    assert.equal("a", g.anchor)
    for name, at in pairs(clocks) do assert.equal(at, g.nodes[name].offset) end
    assert.equal("integer", math.type(g.nodes.b.sd))
    for _, link in ipairs(g.links) do
      local it_is = link.from == "b" and link.to == "d"
      assert.equal(it_is and "cut" or "kept", link.verdict)
      assert.equal(it_is and 2500000 or 0, link.residual)
      assert.is_true(link.checked)
    end
    assert.equal("clocks against a's:\n  b  +5 ms +- 708 ns\n  c  -700 us +- 708 ns\n  d  +123.5 ms +- 708 ns\n" ..
      "b -> d takes 5 ms longer than the way back: asymmetric, and left out\n" ..
      "5 links: none is seen to be asymmetric, up to 0 ns", (tostring(g):gsub("%d+ ns\n", "708 ns\n")))
  end)

  it("holds the clocks against any of them", function()
    local g = orrery.mesh { edges = all_pairs(names, clocks, {}), anchor = "d" }
    assert.same({ offset = 0, sd = 0 }, g.nodes.d)
    assert.equal(-123456789, g.nodes.a.offset)
  end)

  it("knows what it can't know", function()
    local edges = { { from = "a", to = "b", offset = 10, sd = 5 }, { from = 1, to = 2, offset = 3, sd = 1 } }
    local g = orrery.mesh { edges = edges }
    assert.is_nil(g.nodes[1])
    assert.equal(10, g.nodes.b.offset)
    assert.equal("kept", g.links[1].verdict)
    assert.equal("unused", g.links[2].verdict)
    assert.is_false(g.links[1].checked)
    assert.is_nil(g.links[1].residual)
    assert.truthy(tostring(g):find "\n2 links: no loop of links in use has them")
  end)

  it("counts old measurements for less, and too old ones for nothing", function()
    local edges = all_pairs({ "a", "b", "c" }, { a = 0, b = 0, c = 0 }, { ac = 3000 })
    edges[1].age = 100 * 1000000000
    local g = orrery.mesh { edges = edges, max_drift = 1000 }
    assert.is_true(g.links[1].sd > 100000 and g.links[2].sd == 1000)
    assert.is_true(g.links[1].checked)
    g = orrery.mesh { edges = edges, max_age = 99 * 1000000000 }
    assert.equal("unused", g.links[1].verdict)
    assert.is_false(g.links[2].checked)
  end)

  it("complains of what it can't take", function()
    local function with(edge)
      return { edges = { { from = edge.from or "a", to = edge.to or "b", offset = edge.offset or 1, sd = edge.sd or 1,
        age = edge.age } } }
    end
    local many = {}
    for i = 1, 64 do many[i] = { from = 0, to = i, offset = 0, sd = 1 } end
    for complaint, given in pairs {
      ["'edges' is missing, must be a table"] = {},
      ["'edges' must be an array of 1 to 4096 edges (got 0)"] = { edges = {} },
      ["'edges[1]' must be a table (got 1)"] = { edges = { 1 } },
      ["'edges[1].offset' must be an integer from -2305843009213693952 to 2305843009213693952 (got 1.5)"] =
        with { offset = 1.5 },
      ["'edges[1].sd' must be an integer from 1 to 1099511627776 (got 0)"] = with { sd = 0 },
      ["'edges[1].age' must be an integer from 0 to 2305843009213693952 (got -1)"] = with { age = -1 },
      ["'edges[1].from' must be a name, or an integer (got \"\")"] = with { from = "" },
      ["'edges[1].to' must be another node than 'from' (got \"a\")"] = with { to = "a" },
      ["'edges' must be of at most 64 nodes (got 65)"] = { edges = many },
      ["'anchor' must be a node of the edges (got \"z\")"] = { edges = with {}.edges, anchor = "z" },
      ["'max_drift' must be an integer from 0 to 1000000 (got -1)"] = { edges = with {}.edges, max_drift = -1 },
      ["'edge' is unknown (nearest: 'edges')"] = { edge = {} },
    } do
      local ok, message = pcall(orrery.mesh, given)
      assert.is_false(ok)
      assert.equal("orrery.mesh: " .. complaint, (message:gsub("^[^:]+:%d+: ", "")))
    end
  end)

  it("gives the largest numbers an answer", function()
    local far = 1 << 61
    local g = orrery.mesh { edges = { { from = "a", to = "b", offset = far, sd = 1 << 40, age = far },
      { from = "b", to = "a", offset = far, sd = 1 } }, max_drift = 1000000 }
    assert.is_table(g.nodes.b)
  end)
end)
