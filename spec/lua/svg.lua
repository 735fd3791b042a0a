-- svg.lua - is a picture XML? dofile "spec/lua/svg.lua" (text) gives how many elements of each name it has, and raises
-- where it is none.
return function(text)
  local names, open = {}, {}
  local function check_text(t)
    assert(not t:find "[<>]" and not t:gsub("&%l+;", ""):find "&", t)
  end
  local at = assert(select(2, text:find "^<%?xml version=\"1.0\" encoding=\"UTF%-8\"%?>\n")) + 1
  while true do
    local from, to, slash, name, attributes, empty = text:find("<(/?)(%a[%w]*)(.-)(/?)>", at)
    if not from then break end
    check_text(text:sub(at, from - 1))
    if slash == "/" then
      assert(table.remove(open) == name, name)
    else
      local rest = attributes:gsub(' [%a:][%w:%-]*="[^"<]*"', function(a)
        check_text(a)
        return ""
      end)
      assert(rest == "", rest)
      names[name] = (names[name] or 0) + 1
      if empty ~= "/" then open[#open + 1] = name end
    end
    at = to + 1
  end
  assert(#open == 0 and text:sub(at) == "\n")
  return names
end
