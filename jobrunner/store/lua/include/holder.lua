-- The worker that has claimed an entry, or nil. A queue that no worker ever read has no group yet.
local function holder_of(stream, group, entry)
  local pending = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  if pending.err or not pending[1] then
    return nil
  end
  return pending[1][2]
end
