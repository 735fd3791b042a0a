-- gather_spec.lua - scatter: need, hedge, tries, order, the account, and what is still out when it ends.
local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

-- go(f, ...): f is the body of a function of g, the gather, that is run in a.
local function run(sim, to, name, body, ...)
  return sim:call("a", "go", to, name, body, ...)
end

local script = [[
local wait = { a = 0.3, b = 0.1, c = 0.2 }
node.state.n, node.state.closed = 0, 0
node:on("slow", function(x)
  node.state.n = node.state.n + 1
  local held <close> = setmetatable({}, { __close = function() node.state.closed = node.state.closed + 1 end })
  node:sleep(wait[node.id])
  return node.id, x
end)
node:on("odd", function() if node.id == "b" then error "no" end return node.id end)
node:on("first_fails", function()
  node.state.n = node.state.n + 1
  return node.id
end, { limit = 1 })
node:on("hang", function() node.state.n = node.state.n + 1 node:sleep(node.id == "b" and 5 or 0.01) return node.id end)
node:on("go", function(to, name, body, ...)
  local g <close> = node:scatter(to, name, ...)
  return load("local g = ... " .. body, "=body", "t", { table = table, node = node, tostring = tostring })(g)
end)
]]
local each = [[
  local out = {}
  for from, value, message, code in g:each() do out[#out + 1] = from .. "=" .. tostring(value or code) end
  return table.concat(out, " "), g:account()]]

describe("scatter", function()
  local sim
  before_each(function() sim = start(script) end)
  after_each(function() sim:close() end)

  it("gives all good answers by target order, and the account", function()
    local list, account = run(sim, { "c", "a", "b" }, "slow", "return g:all()", 1)
    assert.same({ "c", "a", "b" }, list)
    assert.same({ "c", "a", "b" }, account.answered)
    assert.same({}, account.missing)
  end)

  it("gives each as they come, or as they were given", function()
    assert.equal("b=b c=c a=a", (run(sim, { "a", "b", "c" }, "slow", each)))
    assert.equal("a=a b=b c=c", (run(sim, { "a", "b", "c", order = "given" }, "slow", each)))
  end)

  it("tells failures too, and who is late", function()
    local text, account = run(sim, { role = "x" }, "odd", each)
    assert.matches("b=failed", text)
    assert.same({ "a", "c" }, account.answered)
    assert.same({ "b" }, account.missing)
    assert.same({ message = "b: odd: node.lua:9: no", code = "failed" }, account.failed.b)
    local _, late = run(sim, { "a", "b", "c", timeout = 0.15 }, "slow", each)
    assert.same({ "a", "c" }, late.late)
    assert.same({ "b" }, late.answered)
  end)

  it("takes the first good answer, and the others' handlers are closed", function()
    assert.equal("b", (run(sim, { "a", "b", "c" }, "slow", "return g:first()")))
    sim:run(0.02)
    assert.equal(1, sim.nodes.c.state.closed)
    assert.equal(1, sim.nodes.a.state.closed)
  end)

  it("asks only as many as it needs, and another one for each that fails", function()
    assert.same({ "a" }, (run(sim, { "a", "b", "c", need = 1 }, "slow", "return g:all()")))
    assert.equal(0, sim.nodes.b.state.n)
    assert.same({ "a", "c" }, (run(sim, { "b", "a", "c", need = "majority" }, "odd", "return g:all()")))
    local _, message, code = run(sim, { "a", "b", "c", need = "all" }, "odd", "return g:all()")
    assert.same({ "2 of the 3 needed answered", "unavailable" }, { message, code })
    sim:kill "b"
    sim:run(0.5)
    assert.equal("c", (run(sim, { "b", "c", need = 1 }, "hang", "return g:first()")))
  end)

  it("hedges: asks the next one when the first is slow", function()
    local before = sim:now()
    assert.equal("c", (run(sim, { "b", "c", need = 1, hedge = 0.9, timeout = 1 }, "hang", "return g:first()")))
    assert.is_true(sim:now() - before < 0.3)
    assert.equal(1, sim.nodes.b.state.n)
    local far = run(sim, { "c", "b", need = 1, hedge = 0.9, timeout = 1 }, "hang", "return g:first()")
    assert.equal("c", far)
    assert.equal(1, sim.nodes.b.state.n)
  end)

  it("tries again what was surely not done, within its time", function()
    sim:kill "b"
    sim:run(0.5)
    sim:at(sim:now() + 0.2):restart "b"
    assert.equal("b", (run(sim, { "b", tries = 20, timeout = 2 }, "odd", "return node:left() and 'b'")))
    local _, account = run(sim, { "b", tries = 1 }, "slow", each)
    assert.is_truthy(account.answered[1] or account.failed.b)
    local list = run(sim, { "b", tries = 50, timeout = 2 }, "slow", "return g:all()")
    assert.same({ "b" }, list)
  end)

  it("ends with its block: what is out is cancelled", function()
    assert.equal("left", run(sim, { "a", "b", "c" }, "slow", "for from in g:each() do return 'left' end"))
    sim:run(0.02)
    local closed = 0
    for _, id in ipairs { "a", "b", "c" } do closed = closed + sim.nodes[id].state.closed end
    assert.equal(3, closed)
    local account = run(sim, { "a", "b" }, "slow", "g:cancel() g:cancel() return g:account()")
    assert.same({ "a", "b" }, account.canceled)
  end)
end)
