-- examples_spec.lua - the sessions in the examples' READMEs: what is typed there gives what stands there.
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())

setup(function()
  os.execute(("mkdir '%s/bin' && ln -s \"$(realpath '%s')\" '%s/bin/orrery'"):format(folder.path, program, folder.path))
end)
teardown(function() folder:remove() end)

-- The commands of the README's ```text blocks, each with what it prints.
local function sessions(path)
  local file = assert(io.open(path))
  local commands, inside = {}, false
  for line in file:lines() do
    if line:find "^```" then
      inside = line == "```text"
    elseif inside and line:find "^%$ " then
      commands[#commands + 1] = { line = line:sub(3), prints = "" }
    elseif inside and #commands > 0 then
      commands[#commands].prints = commands[#commands].prints .. line .. "\n"
    end
  end
  file:close()
  return commands
end

-- What is typed at the prompt of `$ orrery repl ...`, each line with the virtual time that stands before it: the
-- program gets it through a pipe, and says the time itself.
local function typed(command)
  local input = {}
  for line in command.prints:gmatch "[^\n]+" do
    local text = line:match "^%d+%.%d%d%d> (.*)$"
    if text then
      input[#input + 1] = ("do io.write((\"%%.3f> \"):format(sim:now()), %q, '\\n') end"):format(text)
      input[#input + 1] = text
    end
  end
  return table.concat(input, "\n") .. "\n"
end

for _, name in ipairs { "raft-by-hand", "counter", "gossip", "shop", "election", "partial-partition", "stale-read",
  "failover", "lease", "leases", "limiter", "cache" } do
  describe("examples/" .. name, function()
    it("does what its README shows", function()
      os.execute(("cp -r 'examples/%s' '%s'"):format(name, folder.path))
      local commands = sessions(("examples/%s/README.md"):format(name))
      assert.is_true(#commands > 0)
      for _, command in ipairs(commands) do
        folder:write("command", command.line)
        folder:write("input", command.line:find "^orrery repl" and typed(command) or "")
        os.execute(("cd '%s/%s' && PATH=\"../bin:$PATH\" sh ../command >../out 2>&1 <../input")
          :format(folder.path, name))
        assert.equal(command.prints, folder:read "out", command.line)
      end
    end)
  end)
end

-- The kinds of things in a picture, whatever their figures: a run's last microseconds may move.
local function shapes(text)
  local seen, list = {}, {}
  for line in text:gmatch "[^\n]+" do
    local shape = line:gsub("-?%d+%.?%d*", "#")
    if not seen[shape] then list[#list + 1] = shape end
    seen[shape] = true
  end
  table.sort(list)
  return table.concat(list, "\n")
end

it("examples/partial-partition shows the picture that its session draws", function()
  local file = assert(io.open "examples/partial-partition/cut.svg")
  local text = file:read "a"
  file:close()
  assert.equal(shapes(text), shapes(folder:read "partial-partition/cut.svg"))
end)

for _, wrong in ipairs {
  { "lost-update", "^linearizable\tthese %d+ calls fit into no order:\n" },
  { "unfenced-lock", "^lock\tnode %l took a write to l%d with token %d+, though one with token %d+ was taken before" },
} do
  local name, verdict = table.unpack(wrong)
  it("examples/" .. name .. " is found to be wrong by its sim.lua", function()
    os.execute(("cp -r 'examples/%s' '%s'"):format(name, folder.path))
    os.execute(("cd '%s/%s' && '%s' sim.lua >../out 2>&1"):format(folder.path, name, program))
    assert.matches(verdict, folder:read "out")
  end)
end

it("examples/gossip has a spec that holds", function()
  local run = "'%s' /usr/bin/busted --output=spec/lines.lua --filter='seed 2' examples/gossip/spec.lua >'%s/out' 2>&1"
  os.execute(run:format(program, folder.path))
  assert.matches("12 passed, 0 failed\n$", folder:read "out")
end)

-- README's own: the files whose text begins with their name, then the session and the spec.
it("README's replicated script does what stands there", function()
  local file = assert(io.open "README.md")
  local text = file:read "a"
  file:close()
  os.execute(("mkdir -p '%s/poll'"):format(folder.path))
  for block in text:gmatch "```lua\n(.-)```" do
    local path = block:match "^%-%- (poll/[%w.]+)\n"
    if path then folder:write(path, block) end
  end
  local session = assert(text:match "```text\n%$ orrery repl poll/cluster.lua\n(.-)```")
  folder:write("input", typed { prints = session })
  local run = "cd '%s' && PATH=\"$PWD/bin:$PATH\" sh -c '%s' >out 2>&1 <input"
  os.execute(run:format(folder.path, "orrery repl poll/cluster.lua"))
  assert.equal(session, folder:read "out")
  os.execute(("cp spec/lines.lua '%s'"):format(folder.path))
  os.execute(run:format(folder.path, "orrery /usr/bin/busted --output=lines.lua poll/spec.lua"))
  assert.matches("1 passed, 0 failed\n$", folder:read "out")
end)
