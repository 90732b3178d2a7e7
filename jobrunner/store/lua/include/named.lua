-- Names and values in turn, so many pairs from an argument on: as a table, and what comes after them.
local none_named = {}
local function named(number, at)
  if number == '0' then
    return none_named, at
  end
  local found = {}
  for _ = 1, tonumber(number) do
    found[ARGV[at]] = ARGV[at + 1]
    at = at + 2
  end
  return found, at
end
