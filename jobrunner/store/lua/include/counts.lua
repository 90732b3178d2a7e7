-- Live jobs per state and task: changes are summed up here and written once per call.
local LIVE = {scheduled = true, blocked = true, queued = true, running = true}
local count_changes = {} -- by state, then by task: a text made of both would cost more per job
local function count(state, task, by)
  if LIVE[state] then
    local changes = count_changes[state]
    if not changes then
      changes = {}
      count_changes[state] = changes
    end
    changes[task or '?'] = (changes[task or '?'] or 0) + by
  end
end
local function write_count(key, field, by)
  local number = by ~= 0 and redis.pcall('HINCRBY', key, field, by)
  -- A task that has gone from the manifest must not leave a field behind for ever; and a damaged
  -- number must not stop the transition that it only counts.
  if number == 0 or (type(number) == 'table' and number.err) then
    redis.call('HDEL', key, field)
  end
end
local function write_counts(key)
  for state, changes in pairs(count_changes) do
    for task, by in pairs(changes) do
      write_count(key, state .. ':' .. task, by)
    end
  end
end
