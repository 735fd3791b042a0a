-- lint.lua - what is wrong with a cluster's scripts, or would be once they run: with file and line.
--
-- Two looks: each node's top level is tried on a host that does nothing, which finds what loading finds (syntax,
-- options, functions that aren't pure); then every function of every file is read as bytecode, for what shows only when
-- it runs.
local bytecode = require "orrery.bytecode"
local cluster = require "orrery.cluster"
local environment = require "orrery.environment"
local node = require "orrery.node"
local options = require "orrery.options"
local plan = require "orrery.plan"

local lint = {}

local function set_of(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

local waits = set_of "call propose read sleep save wait"
local raise_in_pure = set_of "exp log sin cos tan asin acos atan"
local absent = set_of "os io debug package collectgarbage dofile loadfile"
local ends = set_of "CALL TAILCALL RETURN RETURN0 RETURN1 TFORCALL"
local tests = set_of "EQ LT LE EQK EQI LTI LEI GTI GEI TEST TESTSET"

local function known_globals()
  local known = { "node", "orrery", "print", "require", "_G" }
  for name in pairs(environment.script()) do known[#known + 1] = name end
  return known
end

-- -- One function --------------------------------------------------------------------------------------------------
-- The name of the global that this instruction reads or sets, or nil.
local function global_of(f, instruction)
  local upvalue, key
  if instruction.op == "GETTABUP" then upvalue, key = instruction.b, instruction.c end
  if instruction.op == "SETTABUP" then upvalue, key = instruction.a, instruction.b end
  return upvalue and f.upvalues[upvalue + 1] == "_ENV" and f.constants[key + 1] or nil
end

-- A jump back whose loop neither ends nor does anything that could.
local function is_endless(f, at)
  local jump = f.code[at]
  if jump.op ~= "JMP" or jump.sj >= 0 or at > 1 and tests[f.code[at - 1].op] then return false end
  local first = at + 1 + jump.sj
  for i = first, at do
    local instruction = f.code[i]
    if ends[instruction.op] then return false end
    if instruction.op == "JMP" then
      local target = i + 1 + instruction.sj
      if target < first or target > at then return false end
    end
  end
  return true
end

local function look_at(self, f, is_main, pure)
  local before
  for i, instruction in ipairs(f.code) do
    local line, name = f.lines[i], global_of(f, instruction)
    local function say(text, ...) self.say(line, text:format(...)) end
    if instruction.op == "SETTABUP" and name then
      say("makes a global, %s: write local %s", name, name)
    elseif name and absent[name] then
      say("scripts have no %s", name)
    elseif name and not self.known[name] then
      say("there is no global %s%s", name, options.hint(name, self.names))
    elseif name == "node" and pure then
      say "a pure function has no node: it depends on its arguments alone"
    elseif name == "print" and pure then
      say "print raises in a pure function: each replica would do it"
    end
    if pure and (instruction.op == "POW" or instruction.op == "POWK") then
      say "the last bits of ^ may differ between replicas' C libraries: multiply, or shift"
    elseif pure and before == "math" and instruction.op == "GETFIELD" and
      raise_in_pure[f.constants[instruction.c + 1]] then
      say("math.%s raises in a pure function: last bits differ between C libraries", f.constants[instruction.c + 1])
    elseif is_main and before == "node" and instruction.op == "SELF" and waits[f.constants[instruction.c + 1]] then
      say("node:%s waits, and the top level can't: put it into node:spawn or a handler", f.constants[instruction.c + 1])
    end
    if is_endless(f, i) then say "this loop never ends, and nothing in it waits: its budget will" end
    before = instruction.op == "GETTABUP" and name or nil
  end
end

local function walk(self, f, is_main, ranges, pure)
  for _, range in ipairs(ranges or {}) do
    pure = pure or f.first == range.first and f.last == range.last
  end
  look_at(self, f, is_main, pure)
  for _, inner in ipairs(f.functions) do walk(self, inner, false, ranges, pure) end
end

-- -- A cluster -----------------------------------------------------------------------------------------------------
local function note_pure(pure, f)
  if type(f) == "table" then
    for _, each in pairs(f) do note_pure(pure, each) end
  elseif type(f) == "function" then
    local info = debug.getinfo(f, "S")
    local path = info.source:sub(2)
    pure[path] = pure[path] or {}
    table.insert(pure[path], { first = info.linedefined, last = info.lastlinedefined })
  end
end

-- Array of lines "FILE:LINE: what is wrong", sorted; or nil and why the cluster file itself can't be used.
function lint.cluster(path)
  local value, message = cluster.load(path)
  if not value then return nil, message end
  local bundle
  bundle, message = plan.bundle(value)
  if not bundle then return nil, message end
  local found, pure = {}, {}
  local groups = node.idle_groups(function(spec)
    for _, key in ipairs { "init", "apply", "query", "upgrade" } do note_pure(pure, spec[key]) end
  end)
  for _, id in ipairs(cluster.ids(value)) do
    local text = plan.text(value, bundle, id)
    local ok, raised = environment.limited(node.try, value.limits.memory, node.idle_host { groups = groups }, text)
    if not ok then found[raised:gsub("\n%s*", " ")] = true end
  end
  local names, known = known_globals(), {}
  for _, name in ipairs(names) do known[name] = true end
  for file, text in pairs(bundle.files) do
    local chunk = load(text:gsub("^#[^\n]*", "", 1), "@" .. file, "t")
    local self = { names = names, known = known }
    function self.say(line, what) found[("%s%s:%d: %s"):format(cluster.directory(value), file, line, what)] = true end
    if chunk and bytecode.works() then walk(self, bytecode.read(chunk), true, pure[file]) end
  end
  local lines = options.keys(found)
  table.sort(lines, function(a, b)
    local file_a, line_a = a:match "^(.-):(%d+):"
    local file_b, line_b = b:match "^(.-):(%d+):"
    if file_a ~= file_b or not file_a then return a < b end
    if line_a ~= line_b then return tonumber(line_a) < tonumber(line_b) end
    return a < b
  end)
  return lines
end

return lint
