/** Which objects a table shows, and in which order. Draws nothing. */

import type { ObjectFacts } from './messages';

export type Column =
  'name' | 'type' | 'shape' | 'dtype' | 'size' | 'age' | 'owner' | 'holders' | 'reads' | 'state';

export interface Order {
  readonly column: Column;
  readonly isDescending: boolean;
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

function elements(object: ObjectFacts): number {
  return object.shape === null ? -1 : object.shape.reduce((product, size) => product * size, 1);
}

const KEYS: Record<Column, (object: ObjectFacts) => string | number> = {
  name: object => object.name,
  type: object => object.type,
  shape: elements,
  dtype: object => object.dtype ?? '',
  size: object => object.nbytes,
  age: object => -object.created,
  owner: object => object.owner,
  holders: object => object.holders.length,
  reads: object => object.reads,
  state: object => object.state
};

/** Objects in the order of a column; equal ones the youngest first. */
export function sorted(objects: Iterable<ObjectFacts>, order: Order): ObjectFacts[] {
  const key = KEYS[order.column];
  const sign = order.isDescending ? -1 : 1;
  const keyed = [...objects].map(object => ({ object, key: key(object) }));
  keyed.sort((a, b) => {
    // Objects without a name come last, whichever way round.
    if (order.column === 'name' && !a.key !== !b.key) {
      return a.key ? -1 : 1;
    }
    return (
      sign * compare(a.key, b.key) ||
      b.object.created - a.object.created ||
      compare(a.object.id, b.object.id)
    );
  });
  return keyed.map(({ object }) => object);
}

function compare(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number'
    ? a - b
    : collator.compare(String(a), String(b));
}

/**
 * A filter: every word must be found somewhere in what the table shows of an object; a word with `*` or `?` must match
 * the whole name, as in a shell.
 */
export function filterOf(text: string): (object: ObjectFacts) => boolean {
  const tests = text
    .trim()
    .toLowerCase()
    .split(/\s+/)
    .filter(word => word)
    .map(word => (/[*?]/.test(word) ? ofPattern(word) : ofWord(word)));
  return object => tests.every(test => test(object));
}

function ofWord(word: string): (object: ObjectFacts) => boolean {
  return object =>
    [
      object.name,
      object.type,
      object.dtype ?? '',
      object.owner,
      object.state,
      object.pinned ? 'pinned' : ''
    ].some(text => text.toLowerCase().includes(word));
}

function ofPattern(word: string): (object: ObjectFacts) => boolean {
  const source = word
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.');
  const pattern = new RegExp(`^${source}$`, 's');
  return object => pattern.test(object.name.toLowerCase());
}
