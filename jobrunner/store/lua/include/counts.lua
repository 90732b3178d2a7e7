-- Live jobs per state and task: changes are summed up here and written once per call.
local LIVE = {scheduled = true, blocked = true, queued = true, running = true}
local count_changes = {}
local function count(state, task, by)
  if LIVE[state] then
    local field = state .. ':' .. (task or '?')
    count_changes[field] = (count_changes[field] or 0) + by
  end
end
local function write_counts(key)
  for field, by in pairs(count_changes) do
    local number = by ~= 0 and redis.pcall('HINCRBY', key, field, by)
    -- A task that has gone from the manifest must not leave a field behind for ever; and a damaged
    -- number must not stop the transition that it only counts.
    if number == 0 or (type(number) == 'table' and number.err) then
      redis.call('HDEL', key, field)
    end
  end
end
