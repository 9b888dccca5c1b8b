// redlock, locks by scripts, on a fresh server: redlock.cjs PORT.

const Redis = require('ioredis');
const Redlock = require('redlock');
const { same, between, fails, until, run } = require('./checks.cjs');

const port = Number(process.argv[2]);
const r = new Redis(port);

// A process of its own, which has its own connection; it asks for a lock so many times more, each time after 20 ms.
function locker(retryCount) {
  const locker = new Redlock([new Redis(port)], { retryCount, retryDelay: 20, retryJitter: 5 });
  locker.on('clientError', (error) => {
    console.error('redlock:', error);
    process.exit(1);
  });
  return locker;
}

async function lock() {
  const [first, second] = [locker(1), locker(1)];
  const held = await first.lock('account', 10_000);
  same(await r.get('account'), held.value, 'value of a lock');
  between(await r.pttl('account'), 5_000, 10_000, 'time of a lock');
  await fails(second.lock('account', 10_000), 'Exceeded 1 attempts to lock', 'a held lock');
  same(await r.get('account'), held.value, 'the lock is still the first one');
  await second.lock('other account', 10_000);
  await held.unlock();
  same(await r.exists('account'), 0, 'a released lock');
  await fails(held.unlock(), 'Unable to fully release', 'a lock released twice');
  const next = await second.lock('account', 10_000);
  same(next.value !== held.value, true, 'another value');
  await r.flushall();
}

async function extension() {
  const [first, second] = [locker(1), locker(1)];
  const held = await first.lock('account', 1_000);
  await held.extend(60_000);
  between(await r.pttl('account'), 50_000, 60_000, 'time of an extended lock');
  await r.del('account');
  const taken = await second.lock('account', 10_000);
  await fails(held.extend(10_000), 'Exceeded', 'extending a lock that another has now');
  await fails(held.unlock(), 'Unable to fully release', 'releasing it');
  same(await r.get('account'), taken.value, 'the other is untouched');
  await r.flushall();
}

async function expiry() {
  const [first, second] = [locker(1), locker(-1)];
  const start = Date.now();
  const held = await first.lock('account', 300);
  const taken = await second.lock('account', 10_000);
  between(Date.now() - start, 295, 10_000, 'the second waits until the first has expired');
  between(taken.attempts, 2, 500, 'attempts of the second');
  await fails(held.extend(10_000), 'already expired', 'extending an expired lock');
  await taken.unlock();
  const short = await first.lock('account', 50);
  await until(async () => !(await r.exists('account')), 'expiry');
  await fails(short.unlock(), 'Unable to fully release', 'releasing an expired lock');
}

async function severalKeys() {
  const [first, second] = [locker(1), locker(1)];
  const held = await first.lock(['a', 'b', 'c'], 10_000);
  same(await r.mget('a', 'b', 'c'), Array(3).fill(held.value), 'values of three keys');
  await fails(second.lock(['z', 'c'], 10_000), 'Exceeded', 'one of two is held');
  same(await r.exists('z'), 0, 'the free one is not taken');
  await held.extend(30_000);
  await held.unlock();
  same(await r.exists('a', 'b', 'c'), 0, 'all three are released');
}

// Ten processes add one to a number, by reading and writing it under a lock.
async function contention() {
  const work = async (n) => {
    const own = locker(-1);
    const client = new Redis(port);
    for (let turn = 0; turn < 5; turn += 1) {
      const held = await own.lock('number:lock', 10_000);
      const number = Number(await client.get('number'));
      await client.lpush('turns', n);
      await client.set('number', number + 1);
      await held.unlock();
    }
  };
  await Promise.all([...Array(10).keys()].map(work));
  same(await r.get('number'), '50', 'sum of ten processes');
  same(await r.llen('turns'), 50, 'turns');
  same(await r.exists('number:lock'), 0, 'the lock is released');
}

// Three databases of one server stand for three servers, of which two make a majority.
async function majority() {
  const clients = [0, 1, 2].map((db) => new Redis({ port, db }));
  const three = new Redlock(clients, { retryCount: 1, retryDelay: 20 });
  await clients[1].set('account', 'of another');
  const held = await three.lock('account', 10_000);
  const found = await Promise.all(clients.map((client) => client.get('account')));
  same(found, [held.value, 'of another', held.value], 'two of three');
  await held.unlock();
  await clients[2].set('account', 'of another');
  await fails(three.lock('account', 10_000), 'Exceeded', 'one of three');
  same(await clients[0].exists('account'), 0, 'the one is released');
}

run([lock, extension, expiry, severalKeys, contention, majority]);
