/** Objects, events and states to test with, plain but for what is said of them. */

import type { ObjectFacts, StateMessage, StoreEvent, Usage } from '../src/view/messages';

export const NOW = 1_764_000_000;

export const USAGE: Usage = {
  capacity: 1000,
  used: 100,
  held: 0,
  reserved: 0,
  reserve: 0,
  free: 900,
  spilled: 0,
  spilled_objects: 0,
  spill_limit: 0,
  spill_reason: '',
  objects: 0,
  names: 0,
  clients: 1,
  payload: 0,
  pid: 1,
  version: '0',
  python: '3',
  is_nearly_full: false
};

export function object(id: string, name: string, facts: Partial<ObjectFacts> = {}): ObjectFacts {
  return {
    id,
    name,
    type: 'numpy.ndarray',
    shape: [2, 3],
    dtype: 'float64',
    nbytes: 48,
    created: NOW - 10,
    version: 1,
    owner: 'a.ipynb',
    notebook: 'a.ipynb',
    holders: [],
    reads: 0,
    state: 'live',
    pinned: false,
    expires: null,
    lifetime: 'store',
    containers: 0,
    ...facts
  };
}

export function event(
  sequence: number,
  kind: string,
  name: string,
  id: string,
  time: number
): StoreEvent {
  return { sequence, time, kind, name, id, version: 1, nbytes: 48, who: 'a.ipynb' };
}

export function state(facts: Partial<StateMessage>): StateMessage {
  return {
    kind: 'state',
    revision: 1,
    now: NOW,
    store: 'default',
    incarnation: 'one',
    fault: '',
    usage: USAGE,
    objects: [],
    events: [],
    ...facts
  };
}
