-- Count the live jobs by state and task, and compare with the counts; write them if asked.
-- flags: allow-oom
-- KEYS[1] counts hash    KEYS[2] scheduled zset  KEYS[3] blocked zset  KEYS[4] running zset
-- KEYS[5..] queue streams
-- ARGV[1] 1 to write else ''   ARGV[2] most jobs to count   ARGV[3] what record keys begin with
-- Returns a list of {field, number stored, number counted} of those that differ, or false when
--   there are more jobs than ARGV[2].
-- In one step, since counts of a moving store cannot be added up in several; so the records'
-- keys can only be made here, from the ids that the indexes hold at this instant.
local CHUNK = 1000
local total = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
for index = 5, #KEYS do
  total = total + redis.call('XLEN', KEYS[index])
end
if total > tonumber(ARGV[2]) then
  return false
end

local counted = {}
local function add(id, wanted, entry)
  local state, task, current = unpack(redis.call('HMGET', ARGV[3] .. id, 'state', 'task', 'entry'))
  if state == wanted and task and (not entry or current == entry) then
    local field = state .. ':' .. task
    counted[field] = (counted[field] or 0) + 1
  end
end
for index, state in ipairs({'scheduled', 'blocked', 'running'}) do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1 + index], 0, -1)) do
    add(id, state)
  end
end
for index = 5, #KEYS do
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', KEYS[index], after, '+', 'COUNT', CHUNK)
    for _, entry in ipairs(entries) do
      add(entry[2][2], 'queued', entry[1])
      after = '(' .. entry[1]
    end
  until #entries < CHUNK
end

local differing = {}
local stored = redis.call('HGETALL', KEYS[1])
for index = 1, #stored, 2 do
  local field, number = stored[index], tonumber(stored[index + 1])
  if counted[field] ~= number then
    differing[#differing + 1] = {field, number, counted[field] or 0}
  end
  counted[field] = nil
end
for field, number in pairs(counted) do
  differing[#differing + 1] = {field, 0, number}
end
if ARGV[1] ~= '' then
  for _, item in ipairs(differing) do
    if item[3] == 0 then
      redis.call('HDEL', KEYS[1], item[1])
    else
      redis.call('HSET', KEYS[1], item[1], item[3])
    end
  end
end
return differing
