/** What a page knows of a store: the last state, with every change since applied to it. Draws nothing. */

import { Lives } from './lives';
import type {
  DiffMessage,
  Message,
  ObjectFacts,
  StateMessage,
  StoreEvent,
  Usage
} from './messages';

/** Seconds for which events are kept, as the store keeps them. */
const MEMORY = 600;

const MOST_EVENTS = 10_000;

/** Seconds by which the clocks of kernel and page may differ without being corrected. */
const SAME_CLOCK = 2;

type Listener = () => void;

/** The state that a diff makes of the one that it is about. */
export function stateAfter(state: StateMessage, diff: DiffMessage): StateMessage {
  const objects = new Map(state.objects.map(object => [object.id, object]));
  diff.gone.forEach(id => objects.delete(id));
  diff.changed.forEach(object => objects.set(object.id, object));
  return {
    ...state,
    revision: diff.revision,
    now: diff.now,
    usage: diff.usage,
    objects: [...objects.values()],
    events: state.events.concat(diff.events)
  };
}

/** A store as of the last message. Objects are in no particular order. */
export class Model {
  /** Name of the store; "" before the first message. */
  store = '';
  /** Tells stores of one name apart. */
  incarnation = '';
  /** Why there is nothing to show; "" where there is. */
  fault = '';
  usage: Usage | null = null;
  /** Revision of the last message; -1 before the first one. */
  revision = -1;
  readonly objects = new Map<string, ObjectFacts>();
  events: StoreEvent[] = [];
  /** What the timeline shows. */
  readonly lives = new Lives();

  private readonly listeners = new Set<Listener>();
  private ahead = 0;

  /** @param clock Seconds since 1970, as this page knows them. */
  constructor(private readonly clock: () => number = () => Date.now() / 1000) {}

  /** Whether anything was told yet. */
  get isKnown(): boolean {
    return this.revision >= 0;
  }

  /** Seconds since 1970, as whoever sends the messages knows them. */
  now(): number {
    return this.clock() + this.ahead;
  }

  /**
   * Take a message.
   * @param isOld It was told some time ago, so it does not say what the time is.
   * @returns False: it is a change of a state that this is not; a whole state has to be asked for.
   */
  apply(message: Message, isOld = false): boolean {
    if (message.kind === 'diff' && (message.base !== this.revision || this.fault)) {
      return false;
    }
    if (message.kind === 'state') {
      this.replace(message);
    } else {
      message.gone.forEach(id => this.objects.delete(id));
      message.changed.forEach(object => this.objects.set(object.id, object));
      this.events = this.events.concat(message.events);
      this.usage = message.usage;
    }
    this.revision = message.revision;
    if (!isOld) {
      const ahead = message.now - this.clock();
      this.ahead = Math.abs(ahead) < SAME_CLOCK ? 0 : ahead;
    }
    this.forget(message.now);
    this.lives.update(this.objects.values(), message.events, message.now);
    this.listeners.forEach(listener => listener());
    return true;
  }

  /**
   * Be told of every change.
   * @returns What ends that.
   */
  changed(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  private replace(message: StateMessage): void {
    if (message.incarnation !== this.incarnation) {
      this.lives.clear();
    }
    this.store = message.store;
    this.incarnation = message.incarnation;
    this.fault = message.fault;
    this.usage = message.usage;
    this.objects.clear();
    message.objects.forEach(object => this.objects.set(object.id, object));
    this.events = message.events.slice();
  }

  private forget(now: number): void {
    const first = this.events.findIndex(event => event.time >= now - MEMORY);
    const kept = first < 0 ? this.events.length : first;
    this.events = this.events.slice(Math.max(kept, this.events.length - MOST_EVENTS));
    this.lives.forget(now - MEMORY);
  }
}
