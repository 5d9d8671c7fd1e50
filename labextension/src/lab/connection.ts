/**
 * The way to the server extension: one websocket for all that look, and the requests that change something.
 * It is open only while somebody looks at a page that is visible.
 */

import type { Message, Model, ObjectFacts } from '../view';

/** Milliseconds until a connection that was lost is tried again; doubled from the first to the last. */
const FIRST_DELAY = 500;
const LAST_DELAY = 30_000;

/** Milliseconds for which a page may be out of sight before nothing is told to it any more. */
const OUT_OF_SIGHT = 10_000;

/** Where the extension is; paths are below the server's own address. */
export interface Server {
  request(path: string, init: RequestInit): Promise<Response>;
  open(path: string): WebSocket;
}

/** What the server says of itself before all else. */
interface ServerMessage {
  readonly kind: 'server';
  /** The folder in which its files lie. */
  readonly root: string;
}

/** What is shown when nothing can be told. */
export interface Texts {
  readonly lost: string;
  readonly missing: string;
}

export class Connection {
  /**
   * @param server Where to ask.
   * @param model What is told goes there.
   * @param texts For people.
   */
  constructor(
    private readonly server: Server,
    readonly model: Model,
    private readonly texts: Texts
  ) {
    document.addEventListener('visibilitychange', () => this.seen());
  }

  /** The folder in which the server's files lie; "" before it was told. */
  root = '';

  /**
   * Look.
   * @returns What ends that.
   */
  look(): () => void {
    const looker = {};
    this.lookers.add(looker);
    this.update();
    return () => {
      this.lookers.delete(looker);
      this.update();
    };
  }

  /** Wait until something was told; to be called while looking. */
  async known(): Promise<void> {
    if (!this.model.isKnown) {
      await new Promise<void>(resolve => {
        const forget = this.model.changed(() => {
          forget();
          resolve();
        });
      });
    }
  }

  /** Look again: who reads an object is told by no event. */
  refresh(): void {
    this.say('refresh');
  }

  /** Pin an object, or take its pin away. */
  async pin(object: ObjectFacts, isPinned: boolean): Promise<void> {
    await this.change(object, { method: 'PATCH', body: JSON.stringify({ pinned: isPinned }) });
  }

  /** Take the name of an object away. */
  async remove(object: ObjectFacts): Promise<void> {
    await this.change(object, { method: 'DELETE' });
  }

  private async change(object: ObjectFacts, request: RequestInit): Promise<void> {
    const path = `jupyter-shm/objects/${this.model.incarnation}/${object.id}`;
    const response = await this.server.request(path, request);
    if (!response.ok) {
      throw new Error(await sentenceOf(response));
    }
  }

  private get isWanted(): boolean {
    return this.lookers.size > 0 && !this.isOutOfSight && !this.isMissing;
  }

  private seen(): void {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => this.setOutOfSight(true), OUT_OF_SIGHT);
    } else {
      this.setOutOfSight(false);
    }
  }

  private setOutOfSight(isOutOfSight: boolean): void {
    this.isOutOfSight = isOutOfSight;
    this.update();
  }

  private update(): void {
    if (this.isWanted && !this.socket) {
      this.open();
    } else if (!this.isWanted) {
      clearTimeout(this.retrying);
      const socket = this.socket;
      this.socket = null;
      socket?.close();
    }
  }

  private open(): void {
    clearTimeout(this.retrying);
    const socket = this.server.open('jupyter-shm/watch');
    this.socket = socket;
    socket.onmessage = event => {
      if (this.socket === socket) {
        this.delay = FIRST_DELAY;
        this.take(JSON.parse(String(event.data)) as Message | ServerMessage);
      }
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.socket = null;
        void this.lost();
      }
    };
  }

  private take(message: Message | ServerMessage): void {
    if (message.kind === 'server') {
      this.root = message.root;
    } else if (!this.model.apply(message)) {
      this.say('resend');
    }
  }

  private say(kind: 'resend' | 'refresh'): void {
    if (this.socket?.readyState === 1) {
      this.socket.send(JSON.stringify({ kind }));
    }
  }

  /** Show that nothing is seen, find out whether anything ever will, and try again. */
  private async lost(): Promise<void> {
    this.isMissing = await this.hasNoExtension();
    this.showFault(this.isMissing ? this.texts.missing : this.texts.lost);
    if (this.isWanted && !this.socket) {
      this.retrying = setTimeout(() => this.update(), this.delay);
      this.delay = Math.min(2 * this.delay, LAST_DELAY);
    }
  }

  private async hasNoExtension(): Promise<boolean> {
    try {
      return (await this.server.request('jupyter-shm/state', {})).status === 404;
    } catch {
      return false; // the server is not there at all
    }
  }

  private showFault(fault: string): void {
    this.model.apply({
      kind: 'state',
      revision: this.model.revision + 1,
      now: Date.now() / 1000,
      store: this.model.store,
      incarnation: '',
      fault,
      usage: null,
      objects: [],
      events: []
    });
  }

  private readonly lookers = new Set<object>();
  private isOutOfSight = false;
  private isMissing = false;
  private socket: WebSocket | null = null;
  private delay = FIRST_DELAY;
  private retrying: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;
}

/** What the server says of a request that it refuses. */
async function sentenceOf(response: Response): Promise<string> {
  try {
    const { message } = (await response.json()) as { message?: unknown };
    return typeof message === 'string' ? message : response.statusText;
  } catch {
    return response.statusText;
  }
}
