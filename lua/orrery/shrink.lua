-- shrink.lua - the fewest strikes, and the fewest nodes, that still make a run fail.
--
-- Strikes are what faults.write makes a fault file of: { at, till (or nil), ... }, times in ns. Whether some
-- of them still fail is asked of the caller (a run), so the fewer questions the better: halves first, then quarters and
-- so on (delta debugging: Zeller & Hildebrandt 2002, "ddmin", complements alone), then each one, then shorter and
-- rounder times. The answer is minimal: without any one strike of it the run holds, unless the questions ran out.
local shrink = {}
local ms = 1000000

local function without(list, first, last)
  local out = {}
  for i, item in ipairs(list) do if i < first or i > last then out[#out + 1] = item end end
  return out
end

-- The asker: counts questions, and says no once they have run out.
local function ask_within(fails, most)
  local asker = { left = most }
  function asker.fails(list)
    if asker.left <= 0 then return false end
    asker.left = asker.left - 1
    return fails(list)
  end
  return asker
end

local function remove_parts(list, asker)
  local parts = 2
  while #list > 0 and asker.left > 0 do
    local size, removed = math.ceil(#list / parts), false
    local first = 1
    while first <= #list do
      local rest = without(list, first, first + size - 1)
      if asker.fails(rest) then
        list, removed = rest, true
      else
        first = first + size
      end
    end
    if size == 1 and not removed then break end
    if size == 1 then parts = #list else parts = math.min(parts * 2, #list) end
    parts = math.max(parts, 1)
  end
  return list
end

local function changed(list, i, fields)
  local item, out = {}, table.move(list, 1, #list, 1, {})
  for name, v in pairs(list[i]) do item[name] = v end
  for name, v in pairs(fields) do item[name] = v end
  out[i] = item
  return out
end

-- Whether what lasts may be shorter.
local function shorter(list, asker)
  for i = 1, #list do
    while list[i].till and list[i].till - list[i].at > 20 * ms and asker.left > 0 do
      local item = list[i]
      local tried = changed(list, i, { till = item.at + (item.till - item.at) // 2 })
      if not asker.fails(tried) then break end
      list = tried
    end
  end
  return list
end

local function rounded(time, to) return time and (time + to // 2) // to * to end

-- Whether times may be rounder: whole seconds, or else tenths, and so on.
local function rounder(list, asker)
  for i = 1, #list do
    local to = 1000 * ms
    while to >= ms // 100 do
      local item = list[i]
      local at, till = rounded(item.at, to), rounded(item.till, to)
      if at == item.at and till == item.till then break end
      if not till or till > at then
        local tried = changed(list, i, { at = at, till = till })
        if asker.fails(tried) then
          list = tried
          break
        end
      end
      to = to // 10
    end
  end
  return list
end

-- list: strikes that fail; fails(list) -> true where a run with those fails in the same way. most: questions, at the
-- most. The smaller list, and how many questions it took.
function shrink.strikes(list, fails, most)
  local asker = ask_within(fails, most or 500)
  local before
  repeat                              -- what has another time may make another one needless
    before = #list
    list = remove_parts(list, asker)
    list = shorter(list, asker)
    list = rounder(list, asker)
  until #list == before
  return list, (most or 500) - asker.left
end

-- The least whole number from `least` to `most` with which it still fails, where `most` does: tried from below.
function shrink.number(least, most, fails)
  for n = least, most - 1 do if fails(n) then return n end end
  return most
end

-- -- Nodes ----------------------------------------------------------------------------------------------------------
-- The strikes, without those ids in the sides of a partition; nil where one is about a node that is left out, or a side
-- would be empty.
function shrink.strikes_without(list, gone)
  local is_gone, out = {}, {}
  for _, id in ipairs(gone) do is_gone[id] = true end
  for i, strike in ipairs(list) do
    out[i] = {}
    for key, v in pairs(strike) do out[i][key] = v end
    for k, v in ipairs(strike) do
      if is_gone[v] then return nil end
      if type(v) == "table" then
        local side = {}
        for _, id in ipairs(v) do if not is_gone[id] then side[#side + 1] = id end end
        if #side == 0 and #v > 0 then return nil end
        out[i][k] = side
      end
    end
  end
  return out
end

-- f(gone) for each pair of ids, the last ones first, then for each one: until it says true.
local function first_of(ids, f)
  for i = #ids, 2, -1 do
    for j = i - 1, 1, -1 do if #ids > 2 and f { ids[j], ids[i] } then return true end end
  end
  for i = #ids, 1, -1 do if #ids > 1 and f { ids[i] } then return true end end
  return false
end

-- The ids that can be left out such that it still fails: fails(gone) says so. Two at once before one, for an even
-- number of voters bears no more than one less. At the end no one more can be left out, unless the questions ran out.
function shrink.nodes(ids, fails, most)
  local asker, left, gone = ask_within(fails, most or 100), ids, {}
  local function try(more)
    local all = table.move(more, 1, #more, #gone + 1, table.move(gone, 1, #gone, 1, {}))
    if not asker.fails(all) then return false end
    local kept, out = {}, {}
    for _, id in ipairs(all) do out[id] = true end
    for _, id in ipairs(left) do if not out[id] then kept[#kept + 1] = id end end
    left, gone = kept, all
    return true
  end
  while first_of(left, try) do end
  table.sort(gone)
  return gone
end

local width = 117                   -- of a comment's text

-- A text as lines of comment: prose is wrapped, a drawing (its bars are |--...--|) and a long word stay whole.
function shrink.comment(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    while #line > width and not line:find("|--", 1, true) do
      local at = line:sub(1, width + 1):match "^.*%S() " or line:match "%S() "
      if not at then break end
      lines[#lines + 1], line = line:sub(1, at - 1), line:sub(at + 1)
    end
    lines[#lines + 1] = line
  end
  return (("-- " .. table.concat(lines, "\n-- ") .. "\n"):gsub(" +\n", "\n"):gsub("\n$", ""))
end

return shrink
