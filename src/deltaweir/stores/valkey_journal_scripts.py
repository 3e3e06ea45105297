"""What the server does with journals in one step each; see `deltaweir.stores.valkey_journals`."""

from __future__ import annotations

from deltaweir.stores.valkey import Script

PUBLISH = Script("""
local function write(news, frames)
  local id, first, last, kept = news[1], news[2], news[3], news[4]
  local who, ending, ttl = news[6], news[7], news[8]
  local stream, about = KEYS[1] .. id, KEYS[2] .. id
  local found = redis.call('HMGET', about, 'gateway', 'last', 'ended', 'dead')
  local stored = tonumber(found[2])
  if not found[1] and who ~= '' then
    stored = kept - 1
    redis.call('DEL', stream)
    redis.call('HSET', about, 'gateway', ARGV[1], 'about', who, 'last', stored)
  end
  if not stored then
    return -1
  elseif found[4] or (found[1] and found[1] ~= ARGV[1]) then
    return -2
  elseif found[3] then
    return stored
  end
  if last >= first and (first == stored + 1 or (first > stored and first == kept)) then
    redis.call('XADD', stream, last .. '-0', 'f', frames)
    redis.call('XTRIM', stream, 'MINID', kept .. '-0')
    stored = last
    redis.call('HSET', about, 'last', last)
  end
  if ending ~= '' and stored == last then
    if news[9] == 1 then redis.call('XADD', stream, last .. '-1', 'e', ending) end
    redis.call('HSET', about, 'ended', ending)
  end
  redis.call('PEXPIRE', stream, ttl)
  redis.call('PEXPIRE', about, ttl)
  return stored
end

local told, at = {}, 1
for i, news in ipairs(cmsgpack.unpack(ARGV[2])) do
  local size = news[5]
  local done, answer = pcall(write, news, string.sub(ARGV[3], at, at + size - 1))
  told[i] = done and answer or -2
  at = at + size
end
return told
""")
"""Write what streams have new; answer how far each is written, or -1 where it is unknown, or -2
where it was buried, is another gateway's, or something else has its name. Frames must follow what
is written, unless those between are kept by nobody any more."""
KNOWN = Script("""
local told = {}
for i, id in ipairs(cmsgpack.unpack(ARGV[1])) do
  local about = redis.call('HMGET', KEYS[1] .. id, 'about', 'ended')
  told[i] = (about[1] and not about[2]) and 1 or 0
end
return told
""")
"""Tell of each of many streams whether it is known and has not ended."""
BURY = Script("""
local stream, about, alive = KEYS[1], KEYS[2], KEYS[3]
local found = redis.call('HMGET', about, 'last', 'ended')
if redis.call('EXISTS', alive) == 1 or not found[1] or found[2] then
  return 0
end
local last, seen = tonumber(found[1]), tonumber(ARGV[2])
if seen > last and seen - last <= tonumber(ARGV[3]) then
  last = seen
end
last = last + 1
redis.call('XADD', stream, last .. '-0', 'd', ARGV[1])
redis.call('XADD', stream, last .. '-1', 'e', ARGV[4])
redis.call('HSET', about, 'last', last, 'ended', ARGV[4], 'dead', 1)
redis.call('PEXPIRE', stream, ARGV[5])
redis.call('PEXPIRE', about, ARGV[5])
return last
""")
"""End a stream whose gateway is dead; answer the number of its last frame, 0 where it is not."""
MAIL = Script("""
if redis.call('EXISTS', KEYS[2]) == 0 then
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'm', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")
"""Put a message into the mailbox of a gateway that lives; answer whether it does."""
