/**
 * What is told of a store: the words of `jupyter_shm/panel/feed.py` and `preview.py`, held by `contract/*.json`.
 * Sizes are bytes, times are seconds since 1970, ids are text.
 */

/** The accounts. */
export interface Usage {
  readonly capacity: number;
  /** Held ones included; with `reserved` never more than `capacity`. */
  readonly used: number;
  readonly held: number;
  readonly reserved: number;
  /** Warm memory; a part of `free`. */
  readonly reserve: number;
  readonly free: number;
  readonly spilled: number;
  readonly spilled_objects: number;
  readonly spill_limit: number;
  readonly spill_reason: string;
  readonly objects: number;
  readonly names: number;
  readonly clients: number;
  readonly payload: number;
  readonly pid: number;
  readonly version: string;
  readonly python: string;
  readonly is_nearly_full: boolean;
}

/** A process that holds an object. */
export interface Reader {
  readonly label: string;
  /** Path of its notebook, or "". */
  readonly notebook: string;
  readonly pid: number;
  readonly kernel: string;
  readonly client: number;
}

/** `pending`: it is still to be made, the result of a task for example; `lost`: who was to make it has ended. */
export type ObjectState = 'live' | 'spilled' | 'held' | 'pending' | 'lost';

/** One object. */
export interface ObjectFacts {
  readonly id: string;
  /** "" for an object without one. */
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[] | null;
  readonly dtype: string | null;
  readonly nbytes: number;
  readonly created: number;
  readonly version: number;
  readonly owner: string;
  /** Path of the publisher's notebook, or "". */
  readonly notebook: string;
  /** At most 32 are told. */
  readonly holders: readonly Reader[];
  readonly reads: number;
  readonly state: ObjectState;
  readonly pinned: boolean;
  readonly expires: number | null;
  readonly lifetime: 'store' | 'kernel' | 'reference';
  readonly containers: number;
}

/** Something that happened; `docs/names.md` lists the kinds. */
export interface StoreEvent {
  readonly sequence: number;
  readonly time: number;
  readonly kind: string;
  readonly name: string;
  readonly id: string;
  readonly version: number;
  readonly nbytes: number;
  readonly who: string;
}

/** Everything. */
export interface StateMessage {
  readonly kind: 'state';
  readonly revision: number;
  readonly now: number;
  readonly store: string;
  readonly incarnation: string;
  /** Why there is nothing to show; "" where there is. */
  readonly fault: string;
  readonly usage: Usage | null;
  readonly objects: readonly ObjectFacts[];
  readonly events: readonly StoreEvent[];
}

/** What makes one state of another. */
export interface DiffMessage {
  readonly kind: 'diff';
  /** Revision of the state that it is about. */
  readonly base: number;
  readonly revision: number;
  readonly now: number;
  readonly usage: Usage;
  readonly changed: readonly ObjectFacts[];
  readonly gone: readonly string[];
  readonly events: readonly StoreEvent[];
}

export type Message = StateMessage | DiffMessage;

export interface TableLook {
  readonly kind: 'table';
  readonly columns: readonly string[];
  readonly index: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly note: string;
}

export interface LineLook {
  readonly kind: 'line';
  readonly values: readonly (number | null)[];
  readonly low: string;
  readonly high: string;
  readonly first: readonly string[];
  readonly note: string;
}

export interface ImageLook {
  readonly kind: 'image';
  readonly width: number;
  readonly height: number;
  /** RGBA, a byte each, in base64. */
  readonly pixels: string;
  readonly low: string;
  readonly high: string;
  readonly note: string;
}

export interface TextLook {
  readonly kind: 'text';
  readonly text: string;
  readonly note: string;
}

/** A small look at an object. */
export type Look = TableLook | LineLook | ImageLook | TextLook;
