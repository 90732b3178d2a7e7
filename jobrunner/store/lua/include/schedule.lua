-- Puts a job among the scheduled ones, and tells the schedulers when it is the new earliest.
local function schedule(scheduled, id, due, wake_channel)
  local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  redis.call('ZADD', scheduled, due, id)
  if first[1] == nil or due < tonumber(first[2]) then
    redis.call('PUBLISH', wake_channel, due)
  end
end
