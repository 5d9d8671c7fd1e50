/**
 * The way to the server extension: one websocket for all that look, and the requests that change something.
 * It is open only while somebody looks at a page that is visible.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import type { Message, Model, ObjectFacts } from '../view';

/** Milliseconds until a connection that was lost is tried again; doubled from the first to the last. */
const FIRST_DELAY = 500;
const LAST_DELAY = 30_000;

/** Milliseconds for which a page may be out of sight before nothing is told to it any more. */
const OUT_OF_SIGHT = 10_000;

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
   * @param settings Which server.
   * @param model What is told goes there.
   * @param texts For people.
   */
  constructor(
    private readonly settings: ServerConnection.ISettings,
    readonly model: Model,
    private readonly texts: Texts
  ) {
    document.addEventListener('visibilitychange', () => this.seen());
  }

  /** The folder in which the server's files lie; "" before it was told. */
  root = '';

  /** Look, until what is returned is disposed of. */
  look(): IDisposable {
    this.lookers += 1;
    this.update();
    return new DisposableDelegate(() => {
      this.lookers -= 1;
      this.update();
    });
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
    const path = URLExt.join('jupyter-shm/objects', this.model.incarnation, object.id);
    const url = URLExt.join(this.settings.baseUrl, path);
    const response = await ServerConnection.makeRequest(url, request, this.settings);
    if (!response.ok) {
      throw new Error(await sentenceOf(response));
    }
  }

  private get isWanted(): boolean {
    return this.lookers > 0 && !this.isOutOfSight && !this.isMissing;
  }

  private seen(): void {
    window.clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = window.setTimeout(() => this.setOutOfSight(true), OUT_OF_SIGHT);
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
      window.clearTimeout(this.retrying);
      const socket = this.socket;
      this.socket = null;
      socket?.close();
    }
  }

  private open(): void {
    window.clearTimeout(this.retrying);
    const { WebSocket, wsUrl, token, appendToken } = this.settings;
    const query = appendToken && token ? `?token=${encodeURIComponent(token)}` : '';
    const socket = new WebSocket(URLExt.join(wsUrl, 'jupyter-shm/watch') + query);
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
      this.retrying = window.setTimeout(() => this.update(), this.delay);
      this.delay = Math.min(2 * this.delay, LAST_DELAY);
    }
  }

  private async hasNoExtension(): Promise<boolean> {
    const url = URLExt.join(this.settings.baseUrl, 'jupyter-shm/state');
    try {
      return (await ServerConnection.makeRequest(url, {}, this.settings)).status === 404;
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

  private lookers = 0;
  private isOutOfSight = false;
  private isMissing = false;
  private socket: WebSocket | null = null;
  private delay = FIRST_DELAY;
  private retrying = 0;
  private hiding = 0;
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
