/** When the websocket is open, what is said over it, and what is shown when it is lost. */

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Connection, type Server } from '../src/lab/connection';
import { Model } from '../src/view';
import { object, state } from './facts';

/** A websocket whose other end is the test. */
class FakeSocket {
  static readonly made: FakeSocket[] = [];
  readonly said: unknown[] = [];
  readyState = 1;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(readonly url: string) {
    FakeSocket.made.push(this);
  }

  send(text: string): void {
    this.said.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }

  tell(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const page = { hidden: false, seen: (): void => undefined };
const requests: { url: string; method: string; body: string }[] = [];
let answer = { status: 204, body: '' };

const server: Server = {
  request: async (url, { method = 'GET', body = '' }) => {
    requests.push({ url, method, body: String(body) });
    return new Response(answer.body || null, { status: answer.status });
  },
  open: path => new FakeSocket(path) as unknown as WebSocket
};

function connected(): { connection: Connection; model: Model; last: () => FakeSocket } {
  const model = new Model();
  const connection = new Connection(server, model, { lost: 'lost', missing: 'missing' });
  return { connection, model, last: () => FakeSocket.made[FakeSocket.made.length - 1]! };
}

/** Let what waits for promises go on; the clock stands still. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise(resolve => setImmediate(resolve));
  }
}

beforeEach(() => {
  FakeSocket.made.length = requests.length = 0;
  page.hidden = false;
  answer = { status: 204, body: '' };
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
  Object.assign(globalThis, {
    document: {
      get hidden() {
        return page.hidden;
      },
      addEventListener: (_: string, heard: () => void) => (page.seen = heard)
    }
  });
});

test('it is open while somebody looks, and only then', () => {
  const { connection, last } = connected();
  assert.equal(FakeSocket.made.length, 0);

  const one = connection.look();
  const two = connection.look();
  assert.equal(FakeSocket.made.length, 1);
  assert.equal(last().url, 'jupyter-shm/watch');
  one();
  assert.equal(last().readyState, 1);
  two();
  two();

  assert.equal(last().readyState, 3);
  connection.look();
  assert.equal(FakeSocket.made.length, 2);
});

test('a page that is out of sight for long is told nothing, until it is seen again', () => {
  const { connection, last } = connected();
  connection.look();

  page.hidden = true;
  page.seen();
  mock.timers.tick(9_000);
  assert.equal(last().readyState, 1);
  mock.timers.tick(2_000);
  assert.equal(last().readyState, 3);
  mock.timers.tick(100_000);
  assert.equal(FakeSocket.made.length, 1);
  page.hidden = false;
  page.seen();

  assert.equal(FakeSocket.made.length, 2);
});

test('what is told is shown, and a change of something unknown has the whole told again', () => {
  const { connection, model, last } = connected();
  connection.look();

  last().tell({ kind: 'server', root: '/data' });
  last().tell(state({ objects: [object('1', 'x')] }));
  last().tell({ ...state({}), kind: 'diff', base: 9, revision: 10, changed: [], gone: [] });
  connection.refresh();

  assert.equal(connection.root, '/data');
  assert.deepEqual([...model.objects.keys()], ['1']);
  assert.deepEqual(last().said, [{ kind: 'resend' }, { kind: 'refresh' }]);
});

test('a connection that is lost is said to be, and tried again, ever more seldom', async () => {
  const { connection, model, last } = connected();
  connection.look();
  last().tell(state({ objects: [object('1', 'x')] }));

  last().close();
  await settled();
  assert.equal(model.fault, 'lost');
  assert.equal(model.objects.size, 0);
  mock.timers.tick(500);
  assert.equal(FakeSocket.made.length, 2);
  last().close();
  await settled();
  mock.timers.tick(500);
  assert.equal(FakeSocket.made.length, 2);
  mock.timers.tick(500);
  assert.equal(FakeSocket.made.length, 3);
  last().tell(state({}));

  assert.equal(model.fault, '');
});

test('a server without the extension is said to lack it, and not asked again', async () => {
  answer.status = 404;
  const { connection, model, last } = connected();
  connection.look();

  last().close();
  await settled();
  mock.timers.tick(1_000_000);

  assert.equal(model.fault, 'missing');
  assert.equal(FakeSocket.made.length, 1);
});

test('an object is changed as it was seen, and what the server says of it is passed on', async () => {
  const { connection, last } = connected();
  connection.look();
  last().tell(state({ incarnation: '77' }));
  const seen = object('5', 'x');

  await connection.pin(seen, true);
  await connection.remove(seen);
  answer = { status: 404, body: '{"message": "it is gone: 100%"}' };
  await assert.rejects(connection.remove(seen), /^Error: it is gone: 100%$/);

  const url = 'jupyter-shm/objects/77/5';
  assert.deepEqual(
    requests.slice(0, 2).map(({ url, method, body }) => [url, method, body]),
    [
      [url, 'PATCH', '{"pinned":true}'],
      [url, 'DELETE', '']
    ]
  );
});
