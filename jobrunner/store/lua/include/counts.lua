-- Live jobs per state and task: changes are summed up here and written once per call.
local LIVE = {scheduled = true, blocked = true, queued = true, running = true}
local count_changes = {}
local function count(state, task, by)
  if LIVE[state] then
    local field = state .. ':' .. task
    count_changes[field] = (count_changes[field] or 0) + by
  end
end
local function write_counts(key)
  for field, by in pairs(count_changes) do
    -- A task that has gone from the manifest must not leave a field behind for ever.
    if by ~= 0 and redis.call('HINCRBY', key, field, by) == 0 then
      redis.call('HDEL', key, field)
    end
  end
end
