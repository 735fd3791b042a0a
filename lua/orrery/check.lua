-- check.lua - judges recorded histories: what clients were told, against what a service claims to be.
--
-- A history is an array of entries { process, type, f, key, value, time, order, final }, or the path of a file with one
-- such entry as JSON on each line. See orrery.check in types.lua, and core/include/orrery/check.h for the models.
local core = require "orrery.core"
local options = require "orrery.options"
local show = require "orrery.show".show

local check = {}

local PIECE = 1 << 20

local function any(v) return v end

local function a_function(v)
  if type(v) == "function" then return v end
  return nil, "a function"
end

local own_spec = {
  init = { any }, step = { a_function, required = true }, show = { a_function }, by_key = { "boolean" },
  reads = { "table", expected = "an array of names", each = { "string" } },
}

local function a_model(v)
  local names = core.check.models()
  for _, name in ipairs(names) do if name == v then return v end end
  if type(v) ~= "table" then return nil, options.either(names) .. ", or a table { init, step }" end
  options.check(v, own_spec, "check.history: model", 6)
  return v
end

local spec = {
  model = { a_model },
  witness = { "boolean" },
  budget = { "integer", min = 1 },
  sequential = { "boolean" },
  strict = { "boolean" },
}

-- -- Reading --------------------------------------------------------------------------------------------------------
-- An entry as a line of JSON, without the newline.
function check.line(entry)
  if type(entry) ~= "table" then
    error(("check.line: 'entry' must be a table (got %s)"):format(options.got(entry)), 2)
  end
  return core.check.line(entry)
end

local function read_file(handle, path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why, "failed" end
  local ok, message, code = true, nil, nil
  while ok do
    local piece, failure = file:read(PIECE)
    if failure then ok, message, code = nil, ("%s: %s"):format(path, failure), "failed" end
    if not piece then break end
    ok, message, code = handle:read(piece)
  end
  file:close()
  return ok, message, code
end

local function read_entries(handle, entries)
  for i = 1, #entries do
    if type(entries[i]) ~= "table" then
      error(("check.history: 'history[%d]' must be an entry (got %s)"):format(i, options.got(entries[i])), 3)
    end
    local ok, message, code = handle:add(entries[i])
    if not ok then return nil, message:gsub("^line ", "entry "), code end
  end
  return true
end

-- -- Judging --------------------------------------------------------------------------------------------------------
-- What the core takes as options, of a model by name or of one's own.
local function asked(opts)
  local given = {
    sequential = opts.sequential, strict = opts.strict, budget = opts.budget, search = opts.witness == false,
  }
  if type(opts.model) ~= "table" then
    given.model = opts.model
    return given
  end
  local own = opts.model
  given.step, given.reads, given.by_key, given.show = own.step, own.reads, own.by_key, own.show or show
  given.init = own.init
  if type(own.init) == "function" then given.init = own.init() end
  return given
end

-- A report; or nil, message, code: the history can't be read, or is none of that model's.
function check.history(history, opts)
  if type(history) ~= "string" and type(history) ~= "table" then
    error(("check.history: 'history' must be an array of entries, or a path (got %s)"):format(options.got(history)), 2)
  end
  opts = options.check(opts or {}, spec, "check.history", 2)
  local handle <close> = core.check.new()
  local read = type(history) == "string" and read_file or read_entries
  local ok, message, code = read(handle, history)
  if ok then ok, message, code = handle:finish() end
  if not ok then return nil, message, code end
  return handle:judge(asked(opts))
end

-- The names of the models.
function check.models() return core.check.models() end

return check
