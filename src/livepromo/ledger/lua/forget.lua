-- forget: deletes rows that an older generation of one ledger partition left behind, if the table still stands at a later one.
--
-- KEYS[1]    applied: how far into the ledger the rows reach
-- KEYS[2..]  rows
-- ARGV[1]    how applied begins in the generation whose rows stay
-- returns    "forgotten", or "stale": nothing has changed
-- cost       one GET, and an UNLINK for each row

local applied = redis.call('GET', KEYS[1]) or ''
if string.sub(applied, 1, #ARGV[1]) ~= ARGV[1] then
  return 'stale'
end

for at = 2, #KEYS do
  redis.call('UNLINK', KEYS[at])
end
return 'forgotten'
