-- Find entries of a queue that are not their jobs' own, and claims of entries that are not there.
-- include: holder
-- flags: allow-oom
-- KEYS[1] workers zset  KEYS[2] queue stream  KEYS per entry: record hash of the job it names
-- ARGV[1] group         ARGV[2] 1 to take them out else ''
-- ARGV per entry: entry id, job id
-- Returns per entry '' if all is well, 'stale_entry' or 'ghost'; with ARGV[2] only of those taken out.
-- What a worker with a lease has claimed is never taken out: its worker will.
local function is_current(entry, record)
  local state, current = unpack(redis.call('HMGET', record, 'state', 'entry'))
  return current == entry and (state == 'queued' or state == 'running')
end

local replies = {}
local key_at = 3
for arg_at = 3, #ARGV, 2 do
  local entry, id = ARGV[arg_at], ARGV[arg_at + 1]
  local found = redis.call('XRANGE', KEYS[2], entry, entry)[1]
  local holder = holder_of(KEYS[2], ARGV[1], entry)
  local reply = ''
  if found and found[2][2] == id and not is_current(entry, KEYS[key_at]) then
    reply = 'stale_entry'
  elseif not found and holder then
    reply = 'ghost'
  end
  key_at = key_at + 1
  if reply ~= '' and ARGV[2] ~= '' then
    if holder and redis.call('ZSCORE', KEYS[1], holder) then
      reply = ''
    else
      if holder then
        redis.call('XACK', KEYS[2], ARGV[1], entry)
      end
      redis.call('XDEL', KEYS[2], entry)
    end
  end
  replies[#replies + 1] = reply
end
return replies
