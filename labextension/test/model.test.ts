/** The model: what is told is known, told on, and forgotten in time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DiffMessage } from '../src/view/messages';
import { Model } from '../src/view/model';
import { NOW, event, object, state, USAGE } from './facts';

function diff(base: number, changes: Partial<DiffMessage> = {}): DiffMessage {
  return {
    kind: 'diff',
    base,
    revision: base + 1,
    now: NOW,
    usage: USAGE,
    changed: [],
    gone: [],
    events: [],
    ...changes
  };
}

test('listeners are told of every change until they are not', () => {
  const model = new Model();
  let told = 0;
  const end = model.changed(() => told++);

  model.apply(state({}));
  model.apply(diff(1));
  end();
  model.apply(diff(2));

  assert.equal(told, 2);
});

test('another clock than the page’s is followed, unless it is the same but for the delay', () => {
  const model = new Model(() => NOW - 100);

  model.apply(state({}));
  assert.equal(model.now(), NOW);
  model.apply(diff(1, { now: NOW - 99 }));

  assert.equal(model.now(), NOW - 100);
});

test('what was told some time ago does not say what the time is', () => {
  const model = new Model(() => NOW + 500);

  model.apply(state({}), true);

  assert.equal(model.now(), NOW + 500);
});

test('events of more than ten minutes ago are forgotten, with the lives that ended then', () => {
  const model = new Model(() => NOW);
  model.apply(
    state({
      now: NOW - 600,
      events: [event(1, 'publish', 'x', '1', NOW - 700), event(2, 'delete', 'x', '1', NOW - 601)]
    })
  );
  assert.equal(model.lives.tracks().length, 1);

  model.apply(
    diff(1, { events: [event(3, 'publish', 'y', '2', NOW)], changed: [object('2', 'y')] })
  );

  assert.deepEqual(
    model.events.map(one => one.name),
    ['y']
  );
  assert.deepEqual(
    model.lives.tracks().map(track => track.name),
    ['y']
  );
});

test('another store of the same name begins without the lives of the one before', () => {
  const model = new Model(() => NOW);
  model.apply(state({ objects: [object('1', 'x')] }));

  model.apply(state({ revision: 2, incarnation: 'another', objects: [object('1', 'y')] }));

  assert.deepEqual(
    model.lives.tracks().map(track => track.name),
    ['y']
  );
});

test('a store that is back is shown as it is, whatever was told before its fault', () => {
  const model = new Model(() => NOW);
  model.apply(state({ objects: [object('1', 'x')] }));
  model.apply(state({ revision: 2, fault: 'gone', usage: null }));
  assert.equal(model.apply(diff(2)), false);

  model.apply(state({ revision: 3, objects: [object('2', 'z')] }));

  assert.deepEqual([...model.objects.keys()], ['2']);
  assert.equal(model.fault, '');
});
