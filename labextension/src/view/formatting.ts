/** Numbers and times as people read them; sizes and shapes as the Python side writes them. */

import type { ObjectFacts, Usage } from './messages';

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];
const AGES: readonly (readonly [number, string])[] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's']
];

/** Strings of this page in the reader's language; `%1`, `%2` stand for the values. */
export type Translate = (text: string, ...values: (string | number)[]) => string;

/** The language of this code. */
export const untranslated: Translate = (text, ...values) =>
  text.replace(/%(\d)/g, (whole, number: string) => String(values[Number(number) - 1] ?? whole));

/** A size in binary units: "312 B", "1.5 MiB". */
export function formatSize(nbytes: number): string {
  if (Math.abs(nbytes) < 1024) {
    return `${nbytes} B`;
  }
  let value = nbytes;
  for (const unit of UNITS) {
    value /= 1024;
    if (Math.abs(value) < 1023.95 || unit === 'TiB') {
      return `${value.toFixed(1)} ${unit}`;
    }
  }
  return '';
}

/** A number with commas between the thousands. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A shape: "3 × 4", "scalar", or "" for what has none. */
export function formatShape(shape: readonly number[] | null): string {
  return shape === null ? '' : shape.map(formatCount).join(' × ') || 'scalar';
}

/** A time span by its largest unit: "12 s", "3 min", "5 h", "2 d". */
export function formatAge(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [size, unit] of AGES) {
    if (whole >= size) {
      return `${Math.floor(whole / size)} ${unit}`;
    }
  }
  return '0 s';
}

/** Seconds until `formatAge` says something else. */
export function untilNextAge(seconds: number): number {
  const [size] = AGES.find(([one]) => seconds >= one) ?? [1];
  return size - (Math.max(0, seconds) % size);
}

/** The last part of a type's name: "DataFrame". */
export function shortType(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1);
}

/** The last part of a path. */
export function shortPath(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** What an object is called: its name, with what cannot be seen made visible. */
export function displayName(object: { readonly name: string }, t: Translate): string {
  return object.name ? visible(object.name) : t('(anonymous)');
}

/** Text on one line: controls, line ends and what turns the direction of writing, as escapes. */
export function visible(text: string): string {
  return text.replace(
    // eslint-disable-next-line no-control-regex -- these are what is meant
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
}

/** What is used of how much: "780.0 MiB of 1.0 GiB". */
export function usageText(usage: Usage, t: Translate = untranslated): string {
  return t('%1 of %2', formatSize(usage.used + usage.reserved), formatSize(usage.capacity));
}

/** How many objects: "1 object", "5,000 objects". */
export function objectsText(count: number, t: Translate): string {
  return count === 1 ? t('1 object') : t('%1 objects', formatCount(count));
}

/** How many clients: "1 client", "12 clients". */
export function clientsText(count: number, t: Translate): string {
  return count === 1 ? t('1 client') : t('%1 clients', formatCount(count));
}

/** How long an object lives and what was agreed about it, in words. */
export function termsText(object: ObjectFacts, now: number, t: Translate): string {
  const said: string[] = [];
  if (object.state === 'held') {
    return t('until nobody reads it any more');
  }
  if (object.expires !== null) {
    said.push(t('%1 left', formatAge(object.expires - now)));
  }
  if (object.lifetime === 'kernel') {
    said.push(t('until its publisher ends'));
  } else if (object.lifetime === 'reference') {
    said.push(t('as long as it is referred to'));
  } else if (object.expires === null) {
    said.push(t('until it is deleted or replaced'));
  }
  if (object.pinned) {
    said.push(t('pinned'));
  }
  return said.join('; ');
}
