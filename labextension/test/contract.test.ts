/** The contract's files, as the Python side made them, are understood. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import after from '../contract/after.json';
import diff from '../contract/diff.json';
import fault from '../contract/fault.json';
import formats from '../contract/formats.json';
import previews from '../contract/previews.json';
import state from '../contract/state.json';
import { formatAge, formatShape, formatSize } from '../src/view/formatting';
import type { DiffMessage, Look, ObjectFacts, StateMessage } from '../src/view/messages';
import { Model, stateAfter } from '../src/view/model';

const [before, change, then] = [state, diff, after] as unknown as [
  StateMessage,
  DiffMessage,
  StateMessage
];

function byId(objects: Iterable<ObjectFacts>): ObjectFacts[] {
  return [...objects].sort((a, b) => a.id.localeCompare(b.id));
}

/** `expires` may differ by less than a second: what is left is counted anew each time. */
function withoutExpiry(objects: ObjectFacts[]): unknown[] {
  return objects.map(({ expires, ...rest }) => ({ ...rest, ends: expires !== null }));
}

test('a state and its change make the state after it', () => {
  const model = new Model();

  assert.equal(model.apply(before), true);
  assert.equal(model.apply(change), true);

  assert.deepEqual(withoutExpiry(byId(model.objects.values())), withoutExpiry(byId(then.objects)));
  assert.deepEqual(model.usage, then.usage);
  assert.deepEqual(model.events, then.events);
  assert.equal(model.revision, then.revision);
  assert.equal(model.store, then.store);
});

test('a state and its change, put together, are the state after it', () => {
  const { objects, ...rest } = stateAfter(before, change);
  const { objects: expected, ...others } = then;

  assert.deepEqual(rest, others);
  assert.deepEqual(withoutExpiry(byId(objects)), withoutExpiry(byId(expected)));
});

test('a fault leaves nothing to show but its text', () => {
  const model = new Model();
  model.apply(before);

  model.apply(fault as unknown as StateMessage);

  assert.match(model.fault, /no store is running/);
  assert.equal(model.usage, null);
  assert.equal(model.objects.size, 0);
});

test('a change of a state that is not there is refused', () => {
  const model = new Model();
  assert.equal(model.apply(change), false);

  model.apply({ ...before, revision: 6 });

  assert.equal(model.apply(change), false);
  assert.equal(model.objects.size, before.objects.length);
});

test('sizes, shapes and ages are written as in Python', () => {
  for (const [size, text] of formats.sizes as [number, string][]) {
    assert.equal(formatSize(size), text);
  }
  for (const [shape, text] of formats.shapes as [number[], string][]) {
    assert.equal(formatShape(shape), text);
  }
  for (const [age, text] of formats.ages as [number, string][]) {
    assert.equal(formatAge(age), text);
  }
});

test('there is a preview of each kind, and its picture has all its pixels', () => {
  const looks = previews as unknown as Record<string, Look>;
  for (const [kind, look] of Object.entries(looks)) {
    assert.equal(look.kind, kind);
  }
  const { image } = looks;
  assert.ok(image?.kind === 'image');
  assert.equal(atob(image.pixels).length, 4 * image.width * image.height);
});
