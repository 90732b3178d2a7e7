-- The next number of a counter that only grows. Where it is damaged it goes on from the time: that is
-- more than any counter has reached.
local function next_token(key, now)
  local token = redis.pcall('INCR', key)
  if type(token) == 'table' then
    if not is_damage(token.err) then
      return error(token)
    end
    redis.call('SET', key, now)
    token = redis.call('INCR', key)
  end
  return token
end
