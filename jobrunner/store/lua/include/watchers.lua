-- Tells everyone who waits for a job that it has ended. Jobs become due now; the caller of the
-- script promotes them, or the scheduler does should the caller die.
local function tell_watchers(watchers, id, scheduled, now, woken)
  local members = redis.call('SMEMBERS', watchers)
  if #members == 0 then
    return
  end
  redis.call('DEL', watchers)
  for _, member in ipairs(members) do
    local kind, name = string.match(member, '^(%a+):(.*)$')
    if kind == 'job' then
      -- NX: a job that was cancelled and now waits for a retry keeps its own due time.
      redis.call('ZADD', scheduled, 'NX', now, name)
      woken[#woken + 1] = name
    elseif name then
      redis.call('PUBLISH', name, id)
    end
  end
end
