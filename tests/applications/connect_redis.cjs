// connect-redis with express-session, sessions of a web server, on a fresh server: connect_redis.cjs PORT.

const http = require('node:http');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const { same, between, until, run } = require('./checks.cjs');

const port = Number(process.argv[2]);

async function visits() {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on('error', (error) => console.error('node-redis:', error));
  await client.connect();
  const store = new RedisStore({ client, prefix: 'app:', ttl: 100 });
  const middleware = session({ store, secret: 'secret', resave: false, saveUninitialized: false });
  const server = http.createServer((request, response) => middleware(request, response, () => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname === '/logout') return request.session.destroy(() => response.end('gone'));
    if (pathname === '/short') request.session.cookie.maxAge = 1000;
    request.session.seen = [...(request.session.seen ?? []), searchParams.get('page')];
    response.end(JSON.stringify(request.session.seen));
  }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const get = async (path, cookie) => {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: cookie ? { cookie } : {} });
    return [await answer.text(), answer.headers.get('set-cookie')?.split(';')[0] ?? cookie];
  };

  const [first, cookie] = await get('/?page=start');
  same(first, '["start"]', 'first visit');
  same((await get('/?page=ümlaut', cookie))[0], '["start","ümlaut"]', 'second visit');
  const [other, otherCookie] = await get('/?page=shop');
  same(other, '["shop"]', 'another visitor');
  const keys = await client.keys('app:*');
  same(keys.length, 2, 'sessions in the server');
  for (const key of keys) between(await client.ttl(key), 90, 100, 'time of a session');
  same(await store.length(), 2, 'sessions counted');
  const seen = (await store.all()).map(({ seen }) => seen.join(' ')).sort();
  same(seen, ['shop', 'start ümlaut'], 'all sessions');
  same((await get('/logout', cookie))[0], 'gone', 'logout');
  same((await get('/?page=again', cookie))[0], '["again"]', 'after the logout');
  await get('/short?page=short', otherCookie);
  await until(async () => (await store.length()) === 1, 'expiry of a short session');
  await Promise.all([...Array(250).keys()].map((n) => get(`/?page=${n}`)));
  same((await store.ids()).length, 251, 'many sessions');
  await store.clear();
  same(await client.dbSize(), 0, 'all sessions cleared');
}

run([visits]);
