/** From objects and events to lives: who was there from when to when, and what happened to it. Draws nothing. */

import type { ObjectFacts, ObjectState, StoreEvent } from './messages';

/** Kinds of events that end what a name means. */
const ENDS = new Set(['delete', 'expire', 'death']);
const MARKED = new Set(['spill', 'pin', 'unpin', 'ttl']);

/** Something that happened to an object. */
export interface Mark {
  readonly time: number;
  readonly kind: string;
  readonly who: string;
}

/** One object, from its creation to its death. */
export interface Life {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  nbytes: number;
  readonly owner: string;
  /** When it was published, or promised; `null`: longer ago than anybody remembers. */
  readonly start: number | null;
  /** When what had been promised was made; `null`: it is not yet, or was never seen so. */
  made: number | null;
  /** When its name ended; `null`: it has not. */
  end: number | null;
  /** When its bytes were found to be gone; `null`: they are not, or went with the name. */
  gone: number | null;
  /** What it is, or was when it was last seen; "ended" where it was never seen. */
  state: ObjectState | 'ended';
  readonly marks: Mark[];
}

/** All lives of one name, or the one of an object without a name. */
export interface Track {
  readonly key: string;
  readonly name: string;
  readonly lives: readonly Life[];
}

/** The lives of a store's objects; changed by what is told, in the order in which it is told. */
export class Lives {
  private readonly lives = new Map<string, Life>();
  private readonly meant = new Map<string, string>(); // name to id
  private known = 0; // number of the last event
  private tracked: Track[] | null = null;

  /** Forget everything. */
  clear(): void {
    this.lives.clear();
    this.meant.clear();
    this.known = 0;
    this.tracked = null;
  }

  /**
   * Take what was told.
   * @param objects All that there are now.
   * @param events What happened; events that are known already are passed over.
   * @param now When that was told.
   */
  update(objects: Iterable<ObjectFacts>, events: readonly StoreEvent[], now: number): void {
    this.tracked = null;
    const present = [...objects];
    for (const event of events) {
      if (event.sequence > this.known) {
        this.known = event.sequence;
        this.happened(event);
      }
    }
    const ids = new Set(present.map(object => object.id));
    present.forEach(object => this.seen(object, now));
    for (const life of this.lives.values()) {
      if (!ids.has(life.id) && life.gone === null) {
        life.end ??= now;
        // What was held was read on; what was not ended with its name.
        life.gone = life.state === 'held' ? now : life.end;
      }
    }
  }

  /** Forget what was gone before a time. */
  forget(before: number): void {
    for (const [id, life] of this.lives) {
      if (life.gone !== null && life.gone < before) {
        this.lives.delete(id);
        this.tracked = null;
        if (this.meant.get(life.name) === id) {
          this.meant.delete(life.name);
        }
      }
    }
  }

  /** The name that an object had; "" where that is not known. */
  nameOf(id: string): string {
    return this.lives.get(id)?.name ?? '';
  }

  /** A track for each name, the youngest name first. */
  tracks(): readonly Track[] {
    if (this.tracked === null) {
      const found = new Map<string, { key: string; name: string; lives: Life[] }>();
      const byStart = [...this.lives.values()].sort((a, b) => (a.start ?? 0) - (b.start ?? 0));
      for (const life of byStart) {
        const key = life.name ? `name ${life.name}` : `id ${life.id}`;
        const track = found.get(key) ?? { key, name: life.name, lives: [] };
        track.lives.push(life);
        found.set(key, track);
      }
      this.tracked = [...found.values()].reverse();
    }
    return this.tracked;
  }

  private happened(event: StoreEvent): void {
    if (event.id === '0') {
      return;
    }
    const isNew = event.kind === 'publish' || event.kind === 'overwrite';
    if (event.kind === 'overwrite') {
      this.ended(this.meant.get(event.name), event, event.id);
    }
    const life = this.lifeOf(event, isNew ? event.time : null);
    if (isNew && event.name) {
      this.meant.set(event.name, event.id);
    }
    if (event.kind === 'overwrite' || MARKED.has(event.kind)) {
      life.marks.push({ time: event.time, kind: event.kind, who: event.who });
    } else if (ENDS.has(event.kind)) {
      this.ended(event.id, event, '');
    } else if (event.kind === 'free') {
      life.end ??= event.time;
      life.gone = event.time;
    }
  }

  private lifeOf(event: StoreEvent, start: number | null): Life {
    let life = this.lives.get(event.id);
    if (life === undefined) {
      const { id, name, version, nbytes, who } = event;
      life = {
        id,
        name,
        version,
        nbytes,
        owner: who,
        start,
        made: null,
        end: null,
        gone: null,
        state: 'ended',
        marks: []
      };
      this.lives.set(id, life);
    }
    return life;
  }

  private ended(id: string | undefined, event: StoreEvent, successor: string): void {
    const life = id === undefined || id === successor ? undefined : this.lives.get(id);
    if (life !== undefined && life.end === null) {
      life.end = event.time;
      if (!successor) {
        life.marks.push({ time: event.time, kind: event.kind, who: event.who });
      }
    }
  }

  private seen(object: ObjectFacts, now: number): void {
    const life = this.lives.get(object.id);
    if (life === undefined || (life.start === null && object.created)) {
      const { id, name, version, nbytes, owner } = object;
      const marks = life?.marks ?? [];
      this.lives.set(id, {
        id,
        name,
        version,
        nbytes,
        owner,
        start: object.created,
        made: null,
        end: life?.end ?? (object.state === 'held' ? now : null),
        gone: null,
        state: object.state,
        marks
      });
    } else {
      if (life.state === 'pending' && object.state === 'live') {
        life.made = object.created; // which is told anew then
        life.nbytes = object.nbytes;
      }
      life.state = object.state;
      life.gone = null;
      life.end = object.state === 'held' ? (life.end ?? now) : null;
    }
    if (object.name && object.state !== 'held') {
      this.meant.set(object.name, object.id);
    }
  }
}
