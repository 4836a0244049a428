/** What Redis keeps of each slice, and with it the bounds of what a slice may take there. */
export type StoreBounds = {
  /** Routes × status classes × roles × outcomes; and sets of groups that comparisons differ in. */
  maxCells: number;
  maxGroups: number;
  maxExamplesPerGroup: number;
  /** Of all the slice's examples, as JSON. */
  maxExampleBytes: number;
  /** After so long without a comparison nothing is left. */
  ttlMs: number;
};

export const defaultStoreBounds: StoreBounds = {
  maxCells: 5_000,
  maxGroups: 200,
  maxExamplesPerGroup: 5,
  maxExampleBytes: 8 * 1024 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/** How long a batch's id is remembered: it may be sent again for as long. */
export const batchMemoryMs = 10 * 60 * 1000;

export const sliceKeys = (prefix: string, slice: string) => {
  // The braces keep a slice's keys on one node of a Redis cluster, where the script needs them together.
  const base = `${prefix}{${slice}}`;
  return {
    base,
    /** comparisons, firstMs, lastMs, exampleBytes, lostCells */
    totals: `${base}:totals`,
    /** Requests that came before this moment, in ms since 1970, are no longer counted. */
    since: `${base}:since`,
    /** Packed cell and outcome → count. */
    cells: `${base}:cells`,
    /** Group → its route, path and kind, as JSON. */
    groups: `${base}:groups`,
    /** Group → count. */
    counts: `${base}:counts`,
    /** Groups of one comparison, packed → how many comparisons differ in just these. */
    sets: `${base}:sets`,
    /** Groups by when they were last seen. */
    seen: `${base}:seen`,
    /** Group → who accepted it, as JSON. */
    accepted: `${base}:accepted`,
    /** Example → JSON. */
    examples: `${base}:examples`,
    /** Examples by when they were seen. */
    exampleOrder: `${base}:example-order`,
    /** Example → in how many groups it is listed. */
    exampleRefs: `${base}:example-refs`,
    examplesOf: (group: string) => `${base}:of:${group}`,
  };
};

/**
 * Adds one batch to what is kept, all of it or nothing, once: KEYS[1] base; ARGV batch as JSON, maxCells, maxGroups,
 * maxExamplesPerGroup, maxExampleBytes, ttlMs, batchMemoryMs. Gives whether it was kept, since when is counted, and the ids
 * of accepted groups. A batch with anything of before that is not kept: its sums cannot be told apart.
 */
export const keepScript = `
local base = KEYS[1]
local batch = cjson.decode(ARGV[1])
local maxCells, maxGroups = tonumber(ARGV[2]), tonumber(ARGV[3])
local perGroup, maxBytes, ttlMs = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local totals, cells, groups, counts = base .. ':totals', base .. ':cells', base .. ':groups', base .. ':counts'
local seen, accepted, examples, sets = base .. ':seen', base .. ':accepted', base .. ':examples', base .. ':sets'
local order, refs = base .. ':example-order', base .. ':example-refs'

local since = redis.call('GET', base .. ':since') or '0'
local function answer(kept) return { kept, since, redis.call('HKEYS', accepted) } end
if batch.firstMs < tonumber(since) then return answer('too old') end
if not redis.call('SET', base .. ':batch:' .. batch.id, '1', 'NX', 'PX', ARGV[7]) then return answer('kept') end

local function whole(n) return string.format('%.0f', n) end

redis.call('HINCRBY', totals, 'comparisons', whole(batch.comparisons))
redis.call('HSETNX', totals, 'firstMs', whole(batch.firstMs))
local last = tonumber(redis.call('HGET', totals, 'lastMs') or '0')
if batch.lastMs > last then redis.call('HSET', totals, 'lastMs', whole(batch.lastMs)) end

local room = maxCells - redis.call('HLEN', cells)
for _, cell in ipairs(batch.cells) do
  if redis.call('HEXISTS', cells, cell[1]) == 1 then
    redis.call('HINCRBY', cells, cell[1], whole(cell[2]))
  elseif room > 0 then
    redis.call('HINCRBY', cells, cell[1], whole(cell[2]))
    room = room - 1
  else
    redis.call('HINCRBY', totals, 'lostCells', whole(cell[2]))
  end
end

local known = {}
for _, group in ipairs(batch.groups) do
  local id = group[1]
  if redis.call('HEXISTS', groups, id) == 1 or redis.call('HLEN', groups) < maxGroups then
    known[id] = true
    redis.call('HSETNX', groups, id, group[4])
    redis.call('HINCRBY', counts, id, whole(group[2]))
    local before = tonumber(redis.call('ZSCORE', seen, id) or '0')
    if group[3] > before then redis.call('ZADD', seen, whole(group[3]), id) end
  end
end

-- A set may name groups that had no room: nobody can accept these, so the comparison stays unexplained.
for _, set in ipairs(batch.sets) do
  local field = set[1]
  if redis.call('HEXISTS', sets, field) == 0 and redis.call('HLEN', sets) >= maxCells then field = 'unlisted' end
  redis.call('HINCRBY', sets, field, whole(set[2]))
end

local function forget(id)
  local size = redis.call('HSTRLEN', examples, id)
  redis.call('HDEL', examples, id)
  redis.call('HDEL', refs, id)
  redis.call('ZREM', order, id)
  redis.call('HINCRBY', totals, 'exampleBytes', -size)
end

for _, example in ipairs(batch.examples) do
  local id, listed = example[1], 0
  for _, group in ipairs(example[2]) do
    if known[group] then
      local list = base .. ':of:' .. group
      redis.call('ZADD', list, whole(example[4]), id)
      redis.call('PEXPIRE', list, ttlMs)
      listed = listed + 1
    end
  end
  if listed > 0 then
    redis.call('HSET', examples, id, example[3])
    redis.call('HSET', refs, id, listed)
    redis.call('ZADD', order, whole(example[4]), id)
    redis.call('HINCRBY', totals, 'exampleBytes', #example[3])
  end
  for _, group in ipairs(example[2]) do
    if known[group] then
      local list = base .. ':of:' .. group
      local over = redis.call('ZCARD', list) - perGroup
      if over > 0 then
        for _, old in ipairs(redis.call('ZRANGE', list, 0, over - 1)) do
          redis.call('ZREM', list, old)
          if redis.call('HINCRBY', refs, old, -1) <= 0 then forget(old) end
        end
      end
    end
  end
end
while tonumber(redis.call('HGET', totals, 'exampleBytes') or '0') > maxBytes do
  local oldest = redis.call('ZRANGE', order, 0, 0)[1]
  if not oldest then break end
  forget(oldest)
end

-- What somebody has accepted outlives the counts: it is a decision.
for _, key in ipairs({ totals, cells, groups, counts, sets, seen, examples, order, refs }) do
  redis.call('PEXPIRE', key, ttlMs)
end
return answer('kept')
`;
