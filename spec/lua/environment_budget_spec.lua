-- environment_budget_spec.lua - core.budget: what is stopped stays stopped, whatever the script does about it.
local core = require "orrery.core"
local budget = core.budget
local pcall, xpcall, load = budget.pcall, budget.xpcall, budget.load
local create, resume, wrap, close = budget.coroutine.create, budget.coroutine.resume, budget.coroutine.wrap,
  budget.coroutine.close

local function forever() while true do end end
local function closing(f) return setmetatable({}, { __close = f }) end

describe("a budget", function()
  -- Each would go on for ever where one of the catchers let go.
  local caught = {
    ["pcall"] = function() while true do pcall(forever) end end,
    ["xpcall"] = function() while true do xpcall(forever, function() return "kept" end) end end,
    ["xpcall's handler"] = function() while true do xpcall(error, forever) end end,
    ["a handler that is asked"] = function() xpcall(forever, forever) forever() end,
    ["pcall in pcall"] = function() while true do pcall(pcall, pcall, forever) end end,
    ["__close"] = function() local x <close> = closing(forever) forever() end,
    ["__close in pcall"] = function()
      while true do pcall(function() local x <close> = closing(function() pcall(forever) end) forever() end) end
    end,
    ["resume"] = function() while true do resume(create(forever)) end end,
    ["wrap"] = function() while true do pcall(wrap(forever)) end end,
    ["wrap with a __close"] = function()
      while true do pcall(wrap(function() local x <close> = closing(forever) forever() end)) end
    end,
    ["close"] = function()
      local co = create(function() local x <close> = closing(forever) coroutine.yield() end)
      resume(co)
      while true do close(co) end
    end,
    ["a reader of load"] = function() while true do load(forever) end end,
    ["__index"] = function()
      while true do pcall(function() return setmetatable({}, { __index = forever }).x end) end
    end,
    ["__tostring"] = function() core.names.tostring(setmetatable({}, { __tostring = forever })) end,
    ["many short coroutines"] = function() while true do resume(create(function() end)) end end,
    ["many coroutines"] = function() while true do wrap(function() for _ = 1, 150 do end end)() end end,
    ["a generator"] = function()
      local co = wrap(function() while true do coroutine.yield() end end)
      while true do co() end
    end,
    ["gsub"] = function() while true do pcall(core.pattern.gsub, "a", "a", forever) end end,
    ["sort"] = function() while true do pcall(core.sort.sort, { 1, 2, 3 }, forever) end end,
    ["an iterator"] = function() while true do pcall(function() for _ in forever do end end) end end,
    ["stock pcall"] = function() while true do _G.pcall(forever) end end,
  }
  for name, f in pairs(caught) do
    it("isn't outlived by " .. name, function()
      local before = os.clock()
      local ok, message = budget.run(200000, f)
      assert.is_false(ok)
      assert.matches("^.-%.lua:%d+: ran for more than 200000 instructions$", message)
      assert(os.clock() - before < 2)
      assert.same({ true, 7 }, { budget.run(1000, function() return 7 end) })
    end)
  end

  it("leaves what it stopped where it was: nothing of it runs later", function()
    local ran, co = false, nil
    assert.is_false(budget.run(10000, function()
      co = create(function() local x <close> = closing(function() ran = true forever() end) forever() end)
      resume(co)
    end))
    assert.same({ false, "it was stopped by its budget" }, { close(co) })
    assert.is_false(ran)
  end)

  it("is exact for small figures, and counts what inner ones spent", function()
    assert.is_true(budget.run(100, function() for _ = 1, 20 do end end))
    assert.is_false(budget.run(100, function() for _ = 1, 100 do end end))
    local ok, message = budget.run(50000, function()
      for _ = 1, 100 do budget.run(1000000, function() for _ = 1, 5000 do end end) end
    end)
    assert.is_false(ok)
    assert.matches("more than 50000", message)
    local _, spent = budget.run(100000, function() for _ = 1, 10000 do end return budget.spent() end)
    assert(spent >= 9000 and spent <= 12000, spent)
  end)

  it("stops the inner one alone", function()
    assert.same({ true, false }, { budget.run(1000000, function() return (budget.run(1000, forever)) end) })
  end)

  it("puts a hook back that was there", function()
    local function hook() end
    debug.sethook(hook, "", 12345)
    budget.run(1000, forever)
    local f, _, count = debug.gethook()
    debug.sethook()
    assert.same({ hook, 12345 }, { f, count })
  end)

  it("is charged by C", function()
    assert.is_false(budget.run(1000, function() for _ = 1, 5 do budget.charge(300) end end))
    assert.is_true(budget.run(2000, function() for _ = 1, 5 do budget.charge(300) end end))
  end)
end)

describe("a canceled run", function()
  it("isn't caught, and its __close run, which may catch errors of their own", function()
    local trail = {}
    local ok, message = budget.run(100000, function()
      local x <close> = closing(function(_, why)
        trail[#trail + 1] = why
        trail[#trail + 1] = select(2, pcall(error, "own"))
      end)
      pcall(function()
        local y <close> = closing(function() error "swallows it" end)
        resume(create(function() xpcall(budget.cancel, function() trail[#trail + 1] = "handler" end) end))
        trail[#trail + 1] = "went on"
      end)
      trail[#trail + 1] = "went on"
    end)
    assert.same({ false, "canceled" }, { ok, message })
    assert.same({ "canceled", "own" }, trail)
  end)
end)

describe("pcall, xpcall, load, coroutines", function()
  it("are Lua's else", function()
    assert.same({ true, 1, 2 }, { pcall(function(...) return ... end, 1, 2) })
    assert.same({ false, "x" }, { pcall(error, "x") })
    assert.is_false(_G.pcall(pcall))
    assert.same({ false, "x!" }, { xpcall(error, function(e) return e .. "!" end, "x") })
    assert.same({ true, 1, 2 }, { xpcall(function(...) return ... end, print, 1, 2) })
    assert.is_false(_G.pcall(xpcall, print, 1))
    assert.equal(3, load("return 1 + x", "=c", "t", { x = 2 })())
    assert.is_nil(load(string.dump(print == nil and print or function() end)))
    assert.equal("c:1: unexpected symbol near '='", select(2, load("=", "=c")))
    local co = create(function(a) local b = coroutine.yield(a + 1) error(b, 0) end)
    assert.same({ true, 2 }, { resume(co, 1) })
    assert.same({ false, "b" }, { resume(co, "b") })
    assert.same({ false, "cannot resume dead coroutine" }, { resume(co) })
    local f = wrap(function() coroutine.yield(1) error({ 7 }) end)
    assert.equal(1, f())
    assert.same({ false, { 7 } }, { pcall(f) })
    assert.matches("cannot resume dead coroutine", select(2, pcall(f)))
    local trail = {}
    co = create(function() local x <close> = closing(function() trail[1] = "closed" end) coroutine.yield() end)
    resume(co)
    assert.same({ true }, { close(co) })
    assert.same({ "closed" }, trail)
    assert.is_false(_G.pcall(resume, 1))
  end)

  it("let a wait pass through", function()
    local co = coroutine.wrap(function()
      local ok, a = pcall(function() return coroutine.yield "first" end)
      local _, b = xpcall(function() error(coroutine.yield "second", 0) end, function(e) return e end)
      return ok, a, b
    end)
    assert.equal("first", co())
    assert.equal("second", co "a")
    assert.same({ true, "a", "b" }, { co "b" })
  end)
end)
