/** What a table shows, in which order, and what its rows say. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fetchingCode } from '../src/view/code';
import { columnLooks } from '../src/view/columns';
import {
  clientsText,
  displayName,
  formatCount,
  objectsText,
  termsText,
  untilNextAge,
  untranslated,
  usageText
} from '../src/view/formatting';
import { linePath } from '../src/view/look';
import { filterOf, sorted, type Column } from '../src/view/order';
import { NOW, object, USAGE } from './facts';

const SOME = [
  object('1', 'run10', { nbytes: 5, created: NOW - 3, reads: 7 }),
  object('2', 'run9', { nbytes: 50, created: NOW - 2, state: 'held', shape: [100] }),
  object('3', '', { nbytes: 500, created: NOW - 1, type: 'builtins.dict', shape: null }),
  object('4', 'Alpha', { nbytes: 5, created: NOW, owner: 'b/c.ipynb', pinned: true })
];

function order(column: Column, isDescending = false): string {
  return sorted(SOME, { column, isDescending })
    .map(one => one.id)
    .join('');
}

test('names are sorted as people count, and those without one come last either way', () => {
  assert.equal(order('name'), '4213');
  assert.equal(order('name', true), '1243');
});

test('what is equal is in the order of age, the youngest first', () => {
  assert.equal(order('size'), '4123');
  assert.equal(order('size', true), '3241');
  assert.equal(order('age'), '4321');
  assert.equal(order('age', true), '1234');
});

test('shapes are sorted by what they hold', () => {
  assert.equal(order('shape', true), '2413');
});

test('every word of a filter is to be found', () => {
  const found = (text: string): string =>
    SOME.filter(filterOf(text))
      .map(one => one.id)
      .join('');

  assert.equal(found(''), '1234');
  assert.equal(found('RUN'), '12');
  assert.equal(found('run held'), '2');
  assert.equal(found('dict'), '3');
  assert.equal(found('c.ipynb'), '4');
  assert.equal(found('pinned'), '4');
  assert.equal(found('run?'), '2');
  assert.equal(found('r*'), '12');
  assert.equal(found('(*'), '');
});

test('a name that can be a variable is fetched by the magic, any other one into a variable like it', () => {
  assert.equal(fetchingCode('array_1'), '%shm_get array_1');
  assert.equal(
    fetchingCode('my table'),
    'import jupyter_shm as shm\nmy_table = shm.get("my table")'
  );
  assert.match(fetchingCode('class'), /^import .*\nclass_ = shm\.get\("class"\)$/);
  assert.match(fetchingCode('1/2'), /\n_1_2 = /);
  assert.match(fetchingCode('é'), /\nfetched_ = shm\.get\("é"\)$/);
});

test('nothing in a name gets out of the quotes, or onto a line of its own', () => {
  const code = fetchingCode('"); evil("\n\u2028\\');

  assert.equal(code.split('\n').length, 2);
  assert.ok(code.endsWith('= shm.get("\\"); evil(\\"\\n\\u2028\\\\")'));
});

test('what cannot be seen in a name is written out', () => {
  assert.equal(displayName({ name: 'a\n\u202eb' }, untranslated), 'a\\u000a\\u202eb');
  assert.equal(displayName({ name: '' }, untranslated), '(anonymous)');
});

test('texts name their values, and a missing one stays as it is', () => {
  assert.equal(untranslated('%1 of %2, %3', 1, 'x'), '1 of x, %3');
  assert.equal(usageText({ ...USAGE, used: 2048, capacity: 4096 }), '2.0 KiB of 4.0 KiB');
  assert.equal(formatCount(1234567), '1,234,567');
});

test('one is told as one, and many as many', () => {
  assert.equal(objectsText(1, untranslated), '1 object');
  assert.equal(objectsText(5000, untranslated), '5,000 objects');
  assert.equal(clientsText(0, untranslated), '0 clients');
  assert.equal(clientsText(1, untranslated), '1 client');
});

test('of what is still to be made no type, shape or size is told', () => {
  const pending = object('1', '', {
    state: 'pending',
    type: '?',
    shape: null,
    dtype: null,
    nbytes: 0
  });

  const told = columnLooks(untranslated).map(({ column, text }) => [column, text(pending, NOW)]);

  assert.deepEqual(Object.fromEntries(told), {
    name: '(anonymous)',
    type: '',
    shape: '',
    dtype: '',
    size: '',
    age: '10 s',
    owner: 'a.ipynb',
    holders: '0',
    reads: '0',
    state: 'pending'
  });
});

test('an age is said anew when it has changed, not before', () => {
  assert.equal(untilNextAge(0.25), 0.75);
  assert.equal(untilNextAge(61), 59);
  assert.equal(untilNextAge(3600), 3600);
});

test('how long an object lives is said in words', () => {
  const said = (facts: Parameters<typeof object>[2]): string =>
    termsText(object('1', 'x', facts), NOW, untranslated);

  assert.equal(said({}), 'until it is deleted or replaced');
  assert.equal(said({ expires: NOW + 90, pinned: true }), '1 min left; pinned');
  assert.equal(said({ lifetime: 'kernel' }), 'until its publisher ends');
  assert.equal(said({ state: 'held' }), 'until nobody reads it any more');
});

test('a line spans its picture, and breaks where there is no number', () => {
  assert.equal(linePath([0, 1], 10, 4), 'M0.0 4.0L10.0 0.0');
  assert.equal(linePath([0, null, 1], 10, 4), 'M0.0 4.0M10.0 0.0');
  assert.equal(linePath([2, 2], 10, 4), 'M0.0 2.0L10.0 2.0');
  assert.equal(linePath([-1.7e308, 1.7e308], 10, 4), 'M0.0 4.0L10.0 0.0');
  assert.equal(linePath([], 10, 4), '');
});
