/** The columns of the table: what each says of an object. */

import {
  displayName,
  formatAge,
  formatCount,
  formatShape,
  formatSize,
  shortPath,
  shortType
} from './formatting';
import { visible, type Translate } from './formatting';
import type { ObjectFacts, ObjectState } from './messages';
import type { Column } from './order';

/** How a column looks, and what it says. */
export interface ColumnLook {
  readonly column: Column;
  readonly label: string;
  readonly isNumber?: boolean;
  /** Sorted the other way round at the first click: the largest matter. */
  readonly isDescendingFirst?: boolean;
  readonly text: (object: ObjectFacts, now: number) => string;
  readonly title: (object: ObjectFacts) => string;
}

/** The names of the states. */
export function stateName(state: ObjectState, t: Translate): string {
  return {
    live: t('live'),
    spilled: t('spilled'),
    held: t('held'),
    pending: t('pending'),
    lost: t('lost')
  }[state];
}

/** What a state means, where its name does not say that. */
export function stateMeaning(state: ObjectState, t: Translate): string {
  return {
    live: '',
    spilled: t('its bytes are on disk, and are read there'),
    held: t('its name is gone, and somebody still reads it'),
    pending: t('it is still to be made'),
    lost: t('it will not be made: who was to make it has ended')
  }[state];
}

/** Whether there is an object, and not only a promise of one. */
export function isMade(object: ObjectFacts): boolean {
  return object.state !== 'pending' && object.state !== 'lost';
}

/** All columns, in their order. */
export function columnLooks(t: Translate): ColumnLook[] {
  const nothing = (): string => '';
  return [
    {
      column: 'name',
      label: t('Name'),
      text: object => displayName(object, t),
      title: object => displayName(object, t)
    },
    {
      column: 'type',
      label: t('Type'),
      text: object => (isMade(object) ? shortType(object.type) : ''),
      title: object => (isMade(object) ? object.type : '')
    },
    {
      column: 'shape',
      label: t('Shape'),
      text: object => formatShape(object.shape),
      title: object => formatShape(object.shape)
    },
    {
      column: 'dtype',
      label: t('Dtype'),
      text: object => object.dtype ?? '',
      title: object => object.dtype ?? ''
    },
    {
      column: 'size',
      label: t('Size'),
      isNumber: true,
      isDescendingFirst: true,
      text: object => (isMade(object) ? formatSize(object.nbytes) : ''),
      title: object => (isMade(object) ? t('%1 bytes', formatCount(object.nbytes)) : '')
    },
    {
      column: 'age',
      label: t('Age'),
      isNumber: true,
      text: (object, now) => formatAge(now - object.created),
      title: object => new Date(object.created * 1000).toLocaleString()
    },
    {
      column: 'owner',
      label: t('Publisher'),
      text: object => visible(shortPath(object.owner)),
      title: object => visible(object.owner)
    },
    {
      column: 'holders',
      label: t('Held by'),
      isNumber: true,
      isDescendingFirst: true,
      text: object => formatCount(object.holders.length),
      title: object =>
        object.holders.map(reader => `${visible(reader.label)} (pid ${reader.pid})`).join('\n')
    },
    {
      column: 'reads',
      label: t('Reads'),
      isNumber: true,
      isDescendingFirst: true,
      text: object => formatCount(object.reads),
      title: nothing
    },
    {
      column: 'state',
      label: t('State'),
      text: object => stateName(object.state, t),
      title: object => stateMeaning(object.state, t)
    }
  ];
}
