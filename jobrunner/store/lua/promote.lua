-- Move due jobs from scheduled or blocked to their queues, unless an upstream job forbids it.
-- include: clock counts entry
-- flags: allow-oom
-- KEYS[1] scheduled zset  KEYS[2] blocked zset  KEYS[3] counts hash
-- KEYS per job: record hash, queue stream; if it awaits an upstream job: its record, its watchers
-- ARGV per job: id, 1 if it awaits an upstream job else ''
-- Returns per job: 'promoted'; 'upstream' when the caller must end it, as its upstream job did not
--   complete; 'waiting' when that job was retried meanwhile; 'idle' (not due, gone, not waiting, or
--   its queue is damaged: it is looked at again in a while).
local DAMAGED_MS = 5000
local now = now_ms()
local replies = {}
local ids = {}
for arg_at = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[arg_at]
end
-- Read at once, and removed at once at the end: a command costs more than what it does for one job.
local dues = redis.call('ZMSCORE', KEYS[1], unpack(ids))
local gone = {}
local key_at = 4
for job, id in ipairs(ids) do
  local has_upstream = ARGV[2 * job] ~= ''
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  local upstream, watchers
  key_at = key_at + 2
  if has_upstream then
    upstream, watchers = KEYS[key_at], KEYS[key_at + 1]
    key_at = key_at + 2
  end

  local reply = 'idle'
  local due = dues[job]
  if due and tonumber(due) <= now then
    local state, task, message, attempt, lost, fence, base, awaits, reason = unpack(redis.call(
      'HMGET', record, 'state', 'task', 'message', 'attempt', 'lost', 'fence', 'base', 'awaits',
      'reason'))
    local upstream_state = upstream and awaits and redis.call('HGET', upstream, 'state')
    if (state ~= 'scheduled' and state ~= 'blocked') or not message then
      gone[#gone + 1] = id
    elseif LIVE[upstream_state] then
      reply = 'waiting'
      gone[#gone + 1] = id
      redis.call('SADD', watchers, 'job:' .. id)
    elseif upstream and awaits == 'completed' and upstream_state ~= 'completed' then
      reply = 'upstream'
    else
      -- A record without a fence: at most fence 1 was handed out, by the submit.
      local next_fence = number_of(fence, 1) + 1
      local entry = add_again(stream, id, message, number_of(attempt, 0), number_of(lost, 0),
        next_fence, number_of(base, 0))
      if entry then
        reply = 'promoted'
        gone[#gone + 1] = id
        if state == 'blocked' then
          redis.call('ZREM', KEYS[2], id)
          redis.call('HDEL', record, 'awaits', 'detail')
        elseif reason == 'unknown_task' then
          -- It was parked; who claims it now decides anew.
          redis.call('HDEL', record, 'reason', 'detail')
        end
        redis.call('HSET', record, 'state', 'queued', 'entry', entry, 'fence', next_fence)
        count(state, task, -1)
        count('queued', task, 1)
      else
        redis.call('ZADD', KEYS[1], now + DAMAGED_MS, id)
      end
    end
  end
  replies[job] = reply
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
write_counts(KEYS[3])
return replies
