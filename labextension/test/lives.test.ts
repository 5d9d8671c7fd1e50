/** Lives: every object has one, from its creation to its death, with what happened in between. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Lives, type Life } from '../src/view/lives';
import { isMoving, place, promisedUntil, spilledAt, tracksSince } from '../src/view/timeline';
import { NOW, event, object } from './facts';

function only(lives: Lives): Life[] {
  const tracks = lives.tracks();
  assert.equal(tracks.length, 1);
  return [...(tracks[0]?.lives ?? [])];
}

test('an overwrite ends one life and begins the next, on the same track', () => {
  const lives = new Lives();

  lives.update(
    [object('2', 'x', { version: 2 })],
    [event(1, 'publish', 'x', '1', NOW - 9), event(2, 'overwrite', 'x', '2', NOW - 4)],
    NOW
  );

  const [first, second] = only(lives);
  assert.deepEqual([first?.start, first?.end, first?.gone], [NOW - 9, NOW - 4, NOW - 4]);
  assert.deepEqual([second?.start, second?.end], [NOW - 4, null]);
  assert.deepEqual(
    second?.marks.map(mark => mark.kind),
    ['overwrite']
  );
});

test('what was published before anybody remembers has the creation that the store tells', () => {
  const lives = new Lives();

  lives.update([object('1', 'x', { created: NOW - 5000 })], [event(1, 'pin', 'x', '1', NOW)], NOW);

  assert.equal(only(lives)[0]?.start, NOW - 5000);
  assert.equal(only(lives)[0]?.marks.length, 1);
});

test('what is deleted before it was ever seen has a life of which the end is known', () => {
  const lives = new Lives();

  lives.update([], [event(5, 'delete', 'x', '1', NOW - 3)], NOW);

  const [life] = only(lives);
  assert.deepEqual(
    [life?.start, life?.end, life?.gone, life?.state],
    [null, NOW - 3, NOW - 3, 'ended']
  );
});

test('an object that is read on after its name has ended is gone only later', () => {
  const lives = new Lives();
  lives.update([object('1', 'x')], [event(1, 'publish', 'x', '1', NOW - 9)], NOW - 8);

  lives.update(
    [object('1', 'x', { state: 'held' })],
    [event(2, 'delete', 'x', '1', NOW - 5)],
    NOW - 4
  );
  assert.deepEqual([only(lives)[0]?.end, only(lives)[0]?.gone], [NOW - 5, null]);

  lives.update([], [event(3, 'free', 'x', '1', NOW - 1)], NOW);
  assert.deepEqual([only(lives)[0]?.end, only(lives)[0]?.gone], [NOW - 5, NOW - 1]);
});

test('what was promised is so until it is made, or for ever', () => {
  const lives = new Lives();
  const promised = [
    object('1', '', { state: 'pending', nbytes: 0, created: NOW - 9 }),
    object('2', '', { state: 'pending', nbytes: 0, created: NOW - 8 })
  ];
  lives.update(promised, [], NOW - 7);

  lives.update(
    [object('1', '', { created: NOW - 2 }), object('2', '', { state: 'lost' })],
    [],
    NOW
  );

  const [lost, made] = lives.tracks().map(track => track.lives[0]);
  assert.deepEqual([made?.start, made?.made, made?.nbytes], [NOW - 9, NOW - 2, 48]);
  assert.equal(made && promisedUntil(made), NOW - 2);
  assert.equal(lost && promisedUntil(lost), Infinity);
});

test('an event that is told twice happens once', () => {
  const lives = new Lives();
  const spill = event(2, 'spill', 'x', '1', NOW);

  lives.update([object('1', 'x')], [spill], NOW);
  lives.update([object('1', 'x', { state: 'spilled' })], [spill], NOW);

  const [life] = only(lives);
  assert.equal(life?.marks.length, 1);
  assert.equal(life?.state, 'spilled');
  assert.equal(life && spilledAt(life), NOW);
});

test('what goes without an event, a small object without a name, has ended when it was missed', () => {
  const lives = new Lives();
  lives.update([object('7', '')], [], NOW - 5);

  lives.update([], [], NOW);

  assert.deepEqual([only(lives)[0]?.end, only(lives)[0]?.gone], [NOW, NOW]);
});

test('the youngest name comes first, and objects without one have a track each', () => {
  const lives = new Lives();

  lives.update(
    [
      object('1', 'old', { created: NOW - 9 }),
      object('2', '', { created: NOW - 5 }),
      object('3', '', { created: NOW - 4 }),
      object('4', 'new', { created: NOW - 1 })
    ],
    [],
    NOW
  );

  assert.deepEqual(
    lives.tracks().map(track => track.name || track.key),
    ['new', 'id 3', 'id 2', 'old']
  );
});

test('a death that is about no object is nobody’s', () => {
  const lives = new Lives();

  lives.update([], [event(1, 'death', '', '0', NOW)], NOW);

  assert.equal(lives.tracks().length, 0);
});

test('only what reaches into the time that is shown has a track there', () => {
  const lives = new Lives();
  lives.update(
    [object('2', 'y', { created: NOW - 500 })],
    [event(1, 'publish', 'x', '1', NOW - 90), event(2, 'delete', 'x', '1', NOW - 80)],
    NOW
  );

  const names = (span: number): string[] =>
    tracksSince(lives.tracks(), NOW - span).map(track => track.name);

  assert.deepEqual(names(60), ['y']);
  assert.deepEqual(names(300), ['x', 'y']);
  assert.equal(isMoving(tracksSince(lives.tracks(), NOW - 60), NOW, 60), false);
  assert.equal(isMoving(lives.tracks(), NOW, 300), true);
});

test('a moment has its place between the beginning and now', () => {
  assert.equal(place(NOW, NOW, 60), 1);
  assert.equal(place(NOW - 30, NOW, 60), 0.5);
  assert.equal(place(NOW - 90, NOW, 60), 0);
  assert.equal(place(null, NOW, 60), 0);
});
