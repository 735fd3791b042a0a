-- environment_determinism_spec.lua - README's table "What makes replicas differ": each row in twelve processes.
--
-- determinism_rows.lua runs all rows in one process; here twelve of them run for each mode, with addresses and seeds of
-- their own. In a script's environment and in pure functions every row has one result; in stock Lua those that are
-- marked so have several, else they would prove nothing.
local core = require "orrery.core"
local rows = dofile "spec/lua/determinism_rows.lua"

local processes = 12

local function results(mode)
  local program = core.process.program()
  local found, pipes = {}, {}
  for i = 1, processes do
    pipes[i] = assert(io.popen(("'%s' spec/lua/determinism_rows.lua %s"):format(program, mode)))
    if i % 2 == 0 or i == processes then
      for j = i - 1, i do
        for line in pipes[j]:lines() do
          local name, result = line:match "^(.-) = (.*)$"
          found[name] = found[name] or { n = 0, runs = 0 }
          local of = found[name]
          of.runs = of.runs + 1
          if not of[result] then of[result], of.n, of.one = true, of.n + 1, result end
        end
        assert(pipes[j]:close())
      end
    end
  end
  return found
end

describe("in twelve processes", function()
  local stock, here, pure = results "stock", results "here", results "pure"
  for _, row in ipairs(rows) do
    local name = row[1]
    it("one result: " .. name, function()
      for mode, found in pairs { here = here, pure = pure } do
        assert.equal(processes, found[name].runs)
        assert.equal(1, found[name].n, mode)
        local expected = row[mode] or row.here
        if expected then assert.matches(expected, found[name].one) end
      end
      if row.differs then assert(stock[name].n > 1, "stock Lua gave one result, too") end
    end)
  end

  it("each row of README's table is one of these", function()
    local file = assert(io.open "README.md")
    local text = file:read "a"
    file:close()
    local section = assert(text:match "## What makes replicas differ\n(.-)\n## ")
    local n = 0
    for name in section:gmatch "\n| ([^|]-) |" do
      local known = name == "what" or name:find "^%-"
      for _, row in ipairs(rows) do known = known or row[1] == name end
      assert(known, name)
      n = n + 1
    end
    assert.equal(#rows + 2, n)
  end)
end)
