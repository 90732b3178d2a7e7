-- The fields of the record of the job at hand, for one HSET; what has no value is left out.
local fields
local function set(name, value)
  if value then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
