-- What the scripts of a topic's history share; it stands before each of them.
-- A position is a hash: epoch, offset, and what the latest publication said: bytes kept, time (ms)
-- of the oldest kept, ttl (ms). An epoch begins with the server's run id, so that a server which may
-- have lost the end of a history, one that was started anew or was a replica, cannot go on with it.
-- An entry of the stream is <offset>-0 with the time (ms), the size and the body.
local SERVER = 12
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Returns the position as {epoch, offset, bytes, oldest, ttl} and whether it has to be written.
local function stand(position, stream, server, candidate)
  local at = redis.call('HMGET', position, 'epoch', 'offset', 'bytes', 'oldest', 'ttl')
  local prefix = string.sub(server, 1, SERVER)
  if not at[1] then
    redis.call('DEL', stream)
    return {prefix .. candidate, 0, 0, 0, 0}, true
  end
  local here = {at[1], tonumber(at[2]), tonumber(at[3]), tonumber(at[4]), tonumber(at[5])}
  if string.sub(at[1], 1, SERVER) == prefix then return here, false end
  here[1] = prefix .. candidate
  return here, true
end
-- The same for whoever only looks: the topic is kept for at least so long (ms) from now.
local function look(position, stream, server, candidate, idle)
  local here, is_new = stand(position, stream, server, candidate)
  if is_new then
    redis.call('HSET', position, 'epoch', here[1], 'offset', here[2], 'bytes', here[3],
      'oldest', here[4], 'ttl', here[5])
  end
  redis.call('PEXPIRE', position, math.max(here[5], idle))
  return here
end
