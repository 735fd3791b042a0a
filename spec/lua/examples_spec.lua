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

for _, name in ipairs { "raft-by-hand" } do
  describe("examples/" .. name, function()
    it("does what its README shows", function()
      os.execute(("cp -r 'examples/%s' '%s'"):format(name, folder.path))
      local commands = sessions(("examples/%s/README.md"):format(name))
      assert.is_true(#commands > 0)
      for _, command in ipairs(commands) do
        folder:write("command", command.line)
        os.execute(("cd '%s/%s' && PATH=\"../bin:$PATH\" sh ../command >../out 2>&1 </dev/null")
          :format(folder.path, name))
        assert.equal(command.prints, folder:read "out", command.line)
      end
    end)
  end)
end
