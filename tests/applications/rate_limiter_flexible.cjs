// rate-limiter-flexible, limits by a script, with ioredis and node-redis on a fresh server: rate_limiter_flexible.cjs PORT.

const Redis = require('ioredis');
const { createClient } = require('redis');
const { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis } = require('rate-limiter-flexible');
const { same, between, until, run } = require('./checks.cjs');

const port = Number(process.argv[2]);
const r = new Redis(port);

async function storeClients() {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP: 3 });
  client.on('error', (error) => console.error('node-redis:', error));
  await client.connect();
  return { ioredis: { storeClient: r }, redis: { storeClient: client, useRedisPackage: true } };
}

// What is left after a try, or that it is refused.
async function tried(limiter, key, points) {
  try {
    return (await limiter.consume(key, points)).remainingPoints;
  } catch (refused) {
    if (refused instanceof Error) throw refused;
    return 'refused';
  }
}

async function points() {
  for (const [name, client] of Object.entries(await storeClients())) {
    const limiter = new RateLimiterRedis({ ...client, keyPrefix: name, points: 5, duration: 60 });
    same(await limiter.get('user'), null, `${name}: nothing consumed`);
    const first = await limiter.consume('user', 2);
    same([first.consumedPoints, first.remainingPoints, first.isFirstInDuration], [2, 3, true], `${name}: first`);
    between(first.msBeforeNext, 55_000, 60_000, `${name}: time of the window`);
    same(await tried(limiter, 'user', 3), 0, `${name}: all points`);
    same(await tried(limiter, 'user'), 'refused', `${name}: one too many`);
    same(await tried(limiter, 'other'), 4, `${name}: another key`);
    same((await limiter.get('user')).consumedPoints, 6, `${name}: points consumed`);
    await limiter.reward('user', 4);
    same(await tried(limiter, 'user'), 2, `${name}: after a reward`);
    await limiter.penalty('user', 10);
    same(await tried(limiter, 'user'), 'refused', `${name}: after a penalty`);
    same(await limiter.delete('user'), true, `${name}: deleted`);
    same(await limiter.delete('user'), false, `${name}: nothing to delete`);
    await limiter.block('user', 30);
    same(await tried(limiter, 'user'), 'refused', `${name}: blocked`);
    between(await r.ttl(`${name}:user`), 25, 30, `${name}: time of the block`);
    await limiter.set('user', 1, 0);
    same(await r.ttl(`${name}:user`), -1, `${name}: set for ever`);
    const forever = new RateLimiterRedis({ ...client, keyPrefix: `${name}:forever`, points: 2, duration: 0 });
    const found = [await tried(forever, 'user'), await tried(forever, 'user'), await tried(forever, 'user')];
    same(found, [1, 0, 'refused'], `${name}: a limit that never ends`);
  }
}

async function window() {
  const limiter = new RateLimiterRedis({ storeClient: r, keyPrefix: 'window', points: 10, duration: 1 });
  const all = await Promise.all([...Array(15).keys()].map(() => tried(limiter, 'user')));
  same(all.filter((found) => found === 'refused').length, 5, 'refused of fifteen at once');
  same(all.filter((found) => found !== 'refused').sort((a, b) => a - b), [...Array(10).keys()], 'points left, each once');
  await until(async () => !(await r.exists('window:user')), 'end of the window');
  same(await tried(limiter, 'user'), 9, 'the next window');
}

async function burst() {
  const limiter = new RateLimiterRedis({ storeClient: r, keyPrefix: 'steady', points: 2, duration: 60 });
  const more = new RateLimiterRedis({ storeClient: r, keyPrefix: 'burst', points: 3, duration: 60 });
  const bursty = new BurstyRateLimiter(limiter, more);
  const found = [];
  for (let n = 0; n < 7; n += 1) found.push((await tried(bursty, 'user')) === 'refused');
  same(found, [false, false, false, false, false, true, true], 'two and a burst of three');
}

async function queue() {
  const limiter = new RateLimiterRedis({ storeClient: r, keyPrefix: 'queue', points: 2, duration: 1 });
  const waiting = new RateLimiterQueue(limiter, { maxQueueSize: 10 });
  const start = Date.now();
  const times = await Promise.all([1, 2, 3].map(() => waiting.removeTokens(1, 'user').then(() => Date.now() - start)));
  between(Math.max(...times), 900, 10_000, 'the third waits for the next second');
}

run([points, window, burst, queue]);
