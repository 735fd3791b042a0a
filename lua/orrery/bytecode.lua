-- bytecode.lua - a chunk's functions as Lua 5.4 compiled them: their instructions with lines, read from string.dump.
--
-- For people's sake only (lint.lua): nothing that runs rests on it. The format is ldump.c's of 5.4; header and opcodes
-- are checked against a function that is known, so another Lua is refused rather than misread.
local bytecode = {}

local names = {}
do
  local i = 0
  for name in ([[MOVE LOADI LOADF LOADK LOADKX LOADFALSE LFALSESKIP LOADTRUE LOADNIL GETUPVAL SETUPVAL GETTABUP
    GETTABLE GETI GETFIELD SETTABUP SETTABLE SETI SETFIELD NEWTABLE SELF ADDI ADDK SUBK MULK MODK POWK DIVK
    IDIVK BANDK BORK BXORK SHRI SHLI ADD SUB MUL MOD POW DIV IDIV BAND BOR BXOR SHL SHR MMBIN MMBINI MMBINK UNM
    BNOT NOT LEN CONCAT CLOSE TBC JMP EQ LT LE EQK EQI LTI LEI GTI GEI TEST TESTSET CALL TAILCALL RETURN
    RETURN0 RETURN1 FORLOOP FORPREP TFORPREP TFORCALL TFORLOOP SETLIST CLOSURE VARARG VARARGPREP
    EXTRAARG]]):gmatch "%u%w*" do
    names[i] = name
    i = i + 1
  end
end

-- -- Reading -----------------------------------------------------------------------------------------------------
local Reader = {}
Reader.__index = Reader

function Reader:byte()
  self.at = self.at + 1
  return self.text:byte(self.at - 1)
end

function Reader:number()
  local n = 0
  while true do
    local b = self:byte()
    n = n << 7 | b & 0x7f
    if b & 0x80 ~= 0 then return n end
  end
end

function Reader:bytes(n)
  self.at = self.at + n
  return self.text:sub(self.at - n, self.at - 1)
end

function Reader:string()
  local size = self:number()
  return size > 0 and self:bytes(size - 1) or nil
end

local NIL, FALSE, TRUE, INTEGER, FLOAT, SHORT, LONG = 0, 1, 17, 3, 19, 4, 20

local function read_constant(r)
  local kind = r:byte()
  if kind == SHORT or kind == LONG then return r:string() end
  if kind == INTEGER then return (string.unpack("<i8", r:bytes(8))) end
  if kind == FLOAT then return (string.unpack("<d", r:bytes(8))) end
  assert(kind == NIL or kind == FALSE or kind == TRUE, "unknown constant")
  return kind == TRUE
end

local function read_lines(r, first, n)
  local deltas, absolute, lines = r:bytes(n), {}, {}
  for _ = 1, r:number() do
    local pc = r:number()
    absolute[pc] = r:number()
  end
  local line = first
  for pc = 0, n - 1 do
    local delta = string.unpack("b", deltas, pc + 1)
    line = delta == -128 and absolute[pc] or line + delta
    lines[pc + 1] = line
  end
  return lines
end

local function decode(word)
  return {
    op = names[word & 0x7f], a = word >> 7 & 0xff, k = word >> 15 & 1, b = word >> 16 & 0xff, c = word >> 24 & 0xff,
    bx = word >> 15 & 0x1ffff, sj = (word >> 7 & 0x1ffffff) - 0xffffff,
  }
end

local read_function

local function list(r, read)
  local t = {}
  for i = 1, r:number() do t[i] = read(r) end
  return t
end

function read_function(r)
  r:string()
  local f = { first = r:number(), last = r:number(), parameters = r:byte() }
  f.vararg = r:byte() ~= 0
  r:byte()
  f.code = list(r, function() return decode((string.unpack("<I4", r:bytes(4)))) end)
  f.constants = list(r, read_constant)
  list(r, function() return r:bytes(3) end)
  f.functions = list(r, read_function)
  f.lines = read_lines(r, f.first, r:number())
  list(r, function() r:string() r:number() r:number() return true end)
  f.upvalues = list(r, function() return r:string() or "" end)
  return f
end

-- The main function of a chunk: { first, last, code = { { op, a, b, c, ... } }, lines, constants, upvalues,
-- functions }.
function bytecode.read(chunk)
  local text = string.dump(chunk)
  if text:sub(1, 6) ~= "\27Lua\x54\0" then return nil, "not compiled by Lua 5.4" end
  local r = setmetatable({ text = text, at = 33 }, Reader)
  return read_function(r)
end

-- Does this Lua compile as the names above say?
function bytecode.works()
  local main = bytecode.read(load "local t = ... \n x = t.y ^ 2 \n while true do end")
  if not main then return false end
  local found = {}
  for i, instruction in ipairs(main.code) do found[#found + 1] = instruction.op .. ":" .. main.lines[i] end
  local text = table.concat(found, " ")
  return text:find("GETFIELD:2", 1, true) and text:find("POWK:2", 1, true) and text:find("SETTABUP:2", 1, true)
    and text:find("JMP:3", 1, true) and true or false
end

return bytecode
