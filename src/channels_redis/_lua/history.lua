-- What the scripts of a topic's history share; it stands before each of them.
-- A position is a hash: epoch, offset, the ttl (ms) of the latest publication, and for trimming total,
-- the bytes published so far, and base and oldest, what stood before the oldest entry that is kept
-- and its time (ms), or that of one which has been dropped since. An epoch begins with the server's
-- run id, so that a server which may have lost the end of a history, one that was started anew or was
-- a replica, cannot go on with it.
-- An entry of the stream is <offset>-0 with its time (ms), the bytes published before it, its body.
local SERVER = 12
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Returns {epoch, offset, ttl, total, base, oldest} and whether it has to be written.
local function stand(position, stream, server, candidate)
  local at = redis.call('HMGET', position, 'epoch', 'offset', 'ttl', 'total', 'base', 'oldest')
  local prefix = string.sub(server, 1, SERVER)
  if not at[1] then
    redis.call('DEL', stream)
    return {prefix .. candidate, 0, 0, 0, 0, 0}, true
  end
  local is_new = string.sub(at[1], 1, SERVER) ~= prefix
  if is_new then at[1] = prefix .. candidate end
  for i = 2, 6 do at[i] = tonumber(at[i]) end
  return at, is_new
end
local function write(position, at)
  redis.call('HSET', position, 'epoch', at[1], 'offset', at[2], 'ttl', at[3], 'total', at[4],
    'base', at[5], 'oldest', at[6])
end
-- The same for whoever only looks: the topic is kept for at least so long (ms) from now.
local function look(position, stream, server, candidate, idle)
  local at, is_new = stand(position, stream, server, candidate)
  if is_new then write(position, at) end
  redis.call('PEXPIRE', position, math.max(at[3], idle))
  return at
end
